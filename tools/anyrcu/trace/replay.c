/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* anyrcu replay: the allocations and frees of a trace, with each free deferred. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"
#include "options.h"

#define ENOUGH_OPERATIONS 1000000

static struct replay replay;

static void *check(void *p)
{
	if (!p) {
		fprintf(stderr, "anyrcu: out of memory\n");
		exit(1);
	}
	return p;
}

/* What nobody frees is left to the thread that allocates it. */
static void find_left(const struct trace *t, unsigned threads)
{
	bool *freed = check(calloc(t->nobjects, sizeof(*freed)));

	for (size_t i = 0; i < t->nevents; i++)
		if (t->events[i].is_free)
			freed[t->events[i].object] = true;
	for (size_t i = 0; i < t->nevents; i++) {
		struct part *p = &replay.parts[t->events[i].thread % threads];

		if (!t->events[i].is_free && !freed[t->events[i].object])
			p->left[p->nleft++] = t->events[i].object;
	}
	free(freed);
}

/* Each thread of the replay takes its threads of the trace, in the trace's order. */
static void prepare(const struct trace *t, unsigned threads)
{
	size_t *n = check(calloc(threads, sizeof(*n)));

	replay.parts = check(calloc(threads, sizeof(*replay.parts)));
	for (size_t i = 0; i < t->nevents; i++)
		n[t->events[i].thread % threads]++;
	for (unsigned i = 0; i < threads; i++) {
		replay.parts[i].events =
			check(malloc((n[i] + 1) * sizeof(*replay.parts[i].events)));
		replay.parts[i].left = check(malloc((n[i] + 1) * sizeof(*replay.parts[i].left)));
	}
	for (size_t i = 0; i < t->nevents; i++) {
		struct part *p = &replay.parts[t->events[i].thread % threads];
		struct trace_event *e = &p->events[p->nevents++];

		*e = t->events[i];
		if (e->size < OBJECT_MIN)
			e->size = OBJECT_MIN;
	}
	find_left(t, threads);
	/* Touched here, so that it does not look like memory that a scheme takes. */
	replay.object = check(malloc(t->nobjects * sizeof(*replay.object)));
	memset(replay.object, 0, t->nobjects * sizeof(*replay.object));
	free(n);
}

static bool replay_measure(const struct options *o, size_t row, const char *name, double *values)
{
	struct load load = {
		.scheme = o->schemes[row],
		.threads = o->threads ?: 1,
		.readers = o->readers,
		.reader_share = 100,
		.replay = &replay,
	};

	return load_measure("replay", name, &load, values);
}

struct command {
	struct options o;
	const char *path;
};

enum { REPEAT = 512 };

static const struct argp_option options[] = {
	{ "repeat", REPEAT, "N", 0,
	  "Go through the trace so often in a run, 1 to 1,000,000 times [for a million operations]",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &c->o;
		return 0;
	case REPEAT:
		c->o.repeat = option_number(state, "--repeat", arg, 1, 1000000);
		return 0;
	case ARGP_KEY_ARG:
		if (c->path)
			argp_error(state, "one trace at a time");
		c->path = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which trace?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_replay(int argc, char **argv)
{
	static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		options,
		parse,
		"FILE",
		"Do what the trace in FILE says again, with every free deferred, once for each scheme.",
		children,
		NULL,
		NULL
	};
	struct command c = { 0 };
	struct trace *t;
	char *error, title[200];
	struct bench bench = {
		.name = "replay",
		.title = title,
		.notes = LOAD_NOTES
		"\nWhat the program left to its exit is freed at the end of each pass; that is in CPU\n"
		"alone. A free that has to wait for another thread's allocation waits outside of\n"
		"these times.",
		.reference = "anyrcu-free",
		.columns = load_columns,
		.ncolumns = LOAD_COLUMNS,
		.processes = 2,
		.rows = scheme_rows,
		.row_name = scheme_row_name,
		.measure = replay_measure,
	};

	argp_parse(&argp, argc, argv, 0, NULL, &c);
	t = trace_read(c.path, &error);
	if (!t) {
		fprintf(stderr, "anyrcu: %s\n", error ? error : "out of memory");
		free(error);
		return 1;
	}
	if (!t->nobjects) {
		fprintf(stderr, "anyrcu: %s: nothing is allocated in this trace\n", c.path);
		trace_free(t);
		return 1;
	}
	replay.repeat = c.o.repeat ?: (ENOUGH_OPERATIONS + t->nevents - 1) / t->nevents;
	prepare(t, c.o.threads ?: 1);
	snprintf(
		title, sizeof(title),
		"%u allocations, %zu frees; %u processes, %u threads; %llu bytes at most; %llu times",
		t->nobjects, t->nevents - t->nobjects, t->nprocesses, t->nthreads,
		(unsigned long long)t->live_bytes_high, (unsigned long long)replay.repeat);
	trace_free(t);
	report_begin("replay", &c.o);
	report_bench(&bench, &c.o);
	return report_end(&c.o);
}
