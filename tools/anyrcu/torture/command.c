/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu torture: run anyrcu-torture, a build of the library that can be broken, and see how it
 * ends.
 */
#define _GNU_SOURCE
#include <breaks.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "beside.h"
#include "options.h"
#include "torture/faults.h"

#define GRACE_S 60 /* after its time, for what it waits for itself */

static struct mistake {
	char name[32];
	const char *env, *about;
} mistakes[] = {
#define MISTAKE(name, env, about) { #name, env, about },
	BREAKS_MISTAKES(MISTAKE)
};
#define MISTAKES (sizeof(mistakes) / sizeof(*mistakes))

static const struct fault {
	const char *name, *about;
} faults[] = {
#define FAULT(name, string, about) { string, about },
	FAULTS_LIST(FAULT)
};

struct asked {
	uint64_t seed, seconds, threads;
	unsigned faults;
	int mistake;
	bool json;
};

/* GP_NO_WAIT is gp-no-wait to the user. */
static void name_mistakes(void)
{
	for (size_t i = 0; i < MISTAKES; i++)
		for (char *c = mistakes[i].name; *c; c++)
			*c = *c == '_' ? '-' : tolower((unsigned char)*c);
}

static void set_faults(struct argp_state *state, struct asked *a, char *arg)
{
	char *name;

	a->faults = 0;
	while ((name = strsep(&arg, ","))) {
		unsigned i = 0;

		while (i < FAULTS && strcmp(name, faults[i].name))
			i++;
		if (!strcmp(name, "all"))
			a->faults = (1u << FAULTS) - 1;
		else if (i < FAULTS)
			a->faults |= 1u << i;
		else if (strcmp(name, "none"))
			argp_error(state, "--faults: there is no '%s'", name);
	}
}

static void set_mistake(struct argp_state *state, struct asked *a, const char *arg)
{
	for (size_t i = 0; i < MISTAKES; i++)
		if (!strcmp(arg, mistakes[i].name))
			a->mistake = i;
	if (a->mistake < 0)
		argp_error(state, "--break: there is no '%s'; see --list-breaks", arg);
}

enum { SECONDS_ = 256, THREADS, SEED, BREAK, LIST, FAULTS_, JSON };

static const struct argp_option options[] = {
	{ "seconds", SECONDS_, "N", 0, "For how long, 1 to 86,400 [10]", 0 },
	{ "threads", THREADS, "N", 0,
	  "Threads that read or update, 2 to 64, beside those that make trouble [4]", 0 },
	{ "seed", SEED, "N", 0, "What random choices depend on [another one each time]", 0 },
	{ "faults", FAULTS_, "LIST", 0, "The trouble to make, separated by commas, or 'none' [all]",
	  0 },
	{ "break", BREAK, "NAME", 0, "Break the library on purpose: this must be found", 0 },
	{ "list-breaks", LIST, NULL, 0, "List the ways to break it, and exit", 0 },
	{ "json", JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct asked *a = state->input;

	switch (key) {
	case SECONDS_:
		a->seconds = option_number(state, "--seconds", arg, 1, 86400);
		return 0;
	case THREADS:
		a->threads = option_number(state, "--threads", arg, 2, 64);
		return 0;
	case SEED:
		a->seed = option_number(state, "--seed", arg, 0, UINT32_MAX);
		return 0;
	case FAULTS_:
		set_faults(state, a, arg);
		return 0;
	case BREAK:
		set_mistake(state, a, arg);
		return 0;
	case LIST:
		for (size_t i = 0; i < MISTAKES; i++)
			printf("%-24s%s\n", mistakes[i].name, mistakes[i].about);
		exit(0);
	case JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool start(const struct asked *a, pid_t *pid)
{
	static char path[PATH_MAX] = "anyrcu-torture", text[6][24];
	const uint64_t numbers[] = {
		a->seed, a->seconds, a->threads, a->faults, a->mistake, a->json
	};
	char *argv[] = { path, text[0], text[1], text[2], text[3], text[4], text[5], NULL };
	int err = beside("anyrcu-torture", TORTURE_FROM_BINDIR, path);

	for (size_t i = 0; i < 6; i++)
		snprintf(text[i], sizeof(text[i]), "%lld", (long long)numbers[i]);
	if (a->mistake >= 0 && *mistakes[a->mistake].env)
		putenv((char *)mistakes[a->mistake].env);
	if (!err)
		err = posix_spawn(pid, path, NULL, NULL, argv, environ);
	if (err)
		fprintf(stderr, "anyrcu: %s: %s\n", path, strerror(err));
	return err == 0;
}

/* A broken library may do anything, so it is not relied on to say how it ends. */
static int see(const struct asked *a, pid_t pid)
{
	const struct timespec while_ = { .tv_nsec = 20000000 };
	time_t give_up = time(NULL) + a->seconds + GRACE_S;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (time(NULL) > give_up) {
			kill(pid, SIGKILL);
			give_up += GRACE_S;
			fprintf(stderr, "it does not come to its end\n");
		}
		nanosleep(&while_, NULL);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "seed %llu: ended by signal %d\n", (unsigned long long)a->seed,
		WTERMSIG(status));
	return 1;
}

static char *help(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size;
	FILE *f;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&list, &size);
	if (!f)
		return NULL;
	fprintf(f, "A number may end in K, M or G. Faults:\n");
	for (size_t i = 0; i < FAULTS; i++)
		fprintf(f, "  %-22s%s\n", faults[i].name, faults[i].about);
	fclose(f);
	return list;
}

int cmd_torture(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Attack the library with readers, updaters in every context and trouble, and see whether anything is lost, invoked "
		"twice, or early.\v ",
		NULL,
		help,
		NULL
	};
	struct asked a = {
		.seconds = 10, .threads = 4, .faults = (1u << FAULTS) - 1, .mistake = -1
	};
	uint32_t seed = time(NULL);
	pid_t pid;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		a.seed = seed;
	name_mistakes();
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	return start(&a, &pid) ? see(&a, pid) : 1;
}
