/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the programs in pairs have in common. Each has a table of kinds: what "right" does is right,
 * and "wrong" differs from it by as little as makes it wrong. None really deadlocks.
 * usage: PROGRAM, which prints the names, or PROGRAM NAME right|wrong
 */
#ifndef KINDS_H
#define KINDS_H

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define noinline __attribute__((noinline))

struct kind {
	const char *name;
	void (*f)(void);
};
#define KIND(f)       \
	{             \
#f, f \
	}

#define THREAD(name) static noinline void *name(void *arg)

static bool wrong;

static inline void run(void *(*f)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, f, arg) != 0 || pthread_join(t, NULL) != 0)
		abort();
}

/* Until the first thread sleeps, by what the system says. */
static inline void first_sleeps(void)
{
	char stat[512] = "";

	while (!strstr(stat, ") S ")) {
		int fd = open("/proc/self/stat", O_RDONLY);
		ssize_t n = read(fd, stat, sizeof(stat) - 1);

		stat[n > 0 ? n : 0] = 0;
		close(fd);
		sched_yield();
	}
}

static inline int kinds_main(const struct kind *kinds, size_t n, int argc, char **argv)
{
	for (size_t i = 0; argc == 1 && i < n; i++)
		printf("%s\n", kinds[i].name);
	if (argc == 1)
		return 0;
	wrong = argc > 2 && !strcmp(argv[2], "wrong");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(kinds[i].name, argv[1]))
			continue;
		kinds[i].f();
		return write(1, "done\n", 5) != 5;
	}
	return 1;
}

#define KINDS_MAIN(kinds)                                                               \
	int main(int argc, char **argv)                                                 \
	{                                                                               \
		return kinds_main(kinds, sizeof(kinds) / sizeof(*(kinds)), argc, argv); \
	}

#endif
