/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What a process pays for the library: a program that defers one object, beside one without the
 * library, which is this source compiled with -DWITHOUT.
 *
 * usage: footprint FOOTPRINT_WITHOUT
 *	  footprint --measure [locked]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef WITHOUT
#include <anyrcu/anyrcu.h>

static volatile int called;

static void func(struct anyrcu_head *head)
{
	called = 1;
}

static void use(void)
{
	static struct anyrcu_head head;

	anyrcu_call(&head, func);
	while (!called)
		usleep(1000);
}
#else
static void use(void)
{
}
#endif

/* In KiB, but for threads. */
struct footprint {
	long space, resident, locked, threads;
};

static long status(const char *key)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	long value = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = atol(line + strlen(key) + 1);
	if (f)
		fclose(f);
	return value;
}

/* In all mappings but those of libc's and the loader's files. */
static long resident(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");
	long sum = 0, value;
	unsigned long from, to;
	int libc = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			libc = strstr(line, "/libc") || strstr(line, "/ld-");
		else if (!libc && sscanf(line, "Rss: %ld", &value) == 1)
			sum += value;
	}
	if (f)
		fclose(f);
	return sum;
}

static int measure(int locked)
{
	struct footprint p;

	if (locked && mlockall(MCL_CURRENT | MCL_FUTURE))
		return 2;
	use();
	p = (struct footprint){ status("VmSize:"), resident(), status("VmLck:"),
				status("Threads:") };
	printf("%ld %ld %ld %ld\n", p.space, p.resident, p.locked, p.threads);
	return 0;
}

/* False where memory may not be locked. */
static int measured(const char *program, const char *how, struct footprint *p)
{
	char command[4096];
	FILE *f;
	int n, status;

	snprintf(command, sizeof(command), "'%s' --measure %s", program, how);
	f = popen(command, "r");
	n = f ? fscanf(f, "%ld %ld %ld %ld", &p->space, &p->resident, &p->locked, &p->threads) : 0;
	status = f ? pclose(f) : -1;
	if (status == 2 << 8)
		return 0;
	if (status || n != 4) {
		fprintf(stderr, "%s cannot be measured\n", command);
		exit(1);
	}
	return 1;
}

static int within(const char *what, long more, long limit)
{
	printf("%-32s %6ld KiB more, at most %ld\n", what, more, limit);
	return more <= limit;
}

int main(int argc, char **argv)
{
	struct footprint with, without;
	int right = 1;

	if (argc >= 2 && !strcmp(argv[1], "--measure"))
		return measure(argc == 3);
	if (argc != 2)
		return 2;
	measured(argv[0], "", &with);
	measured(argv[1], "", &without);
	right &= within("address space", with.space - without.space, 4096);
	right &= within("resident, without libc's files", with.resident - without.resident, 256);
	right &= with.threads - without.threads <= 1;
	printf("%-32s %6ld more\n", "threads", with.threads - without.threads);
	if (measured(argv[0], "locked", &with) && measured(argv[1], "locked", &without))
		right &= within("locked, under mlockall()", with.locked - without.locked, 4096);
	else
		printf("memory may not be locked here\n");
	return right ? 0 : 1;
}
