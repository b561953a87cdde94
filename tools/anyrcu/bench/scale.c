/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* anyrcu scale: synthetic loads. */
#include <string.h>

#include "options.h"
#include "bench/scheme.h"

static const struct bench *const benches[] = { &bench_defer, &bench_invoke, &bench_read,
					       &bench_synchronize, &bench_flood };
static const size_t nbenches = sizeof(benches) / sizeof(*benches);

struct scale {
	struct options o; /* the parser of common_argp has a pointer to it */
	const struct bench *bench;
	bool all;
};

enum { SIZE = 512, SHARE, OBJECTS, DEPTH, ORDER, SECONDS_, LIMIT, QUICK };

static const struct argp_option options[] = {
	{ "size", SIZE, "BYTES", 0, "The size of an object, 1 to 1M [64, invoke: 128]", 0 },
	{ "reader-share", SHARE, "PERCENT", 0,
	  "The part of its time that a reader reads, 1 to 100 [100]", 0 },
	{ "objects", OBJECTS, "N", 0, "defer: objects of each thread [4,000,000]", 0 },
	{ "depth", DEPTH, "N", 0, "invoke: callbacks pending [4,000,000]", 0 },
	{ "order", ORDER, "ORDER", 0, "invoke: sequential or random [both]", 0 },
	{ "seconds", SECONDS_, "S", 0, "flood: for how long, 1 to 3600 [5]", 0 },
	{ "limit", LIMIT, "BYTES", 0, "flood: stop once so much is pending, 1M to 1024G [1G]", 0 },
	{ "quick", QUICK, NULL, 0, "A small run of everything, that only shows that it works", 0 },
	{ 0 },
};

static void set_bench(struct scale *s, struct argp_state *state, const char *arg)
{
	if (s->bench || s->all)
		argp_error(state, "one bench, or all");
	s->all = !strcmp(arg, "all");
	for (size_t i = 0; i < nbenches; i++)
		if (!strcmp(arg, benches[i]->name))
			s->bench = benches[i];
	if (!s->bench && !s->all)
		argp_error(state, "there is no bench '%s'", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct scale *s = state->input;
	struct options *o = &s->o;
	const uint64_t G = 1 << 30;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = o;
		return 0;
	case SIZE:
		o->size = option_number(state, "--size", arg, 1, 1 << 20);
		o->size = o->size < OBJECT_MIN ? OBJECT_MIN : o->size;
		return 0;
	case SHARE:
		o->reader_share = option_number(state, "--reader-share", arg, 1, 100);
		return 0;
	case OBJECTS:
		o->objects = option_number(state, "--objects", arg, 1, 1024 * G);
		return 0;
	case DEPTH:
		o->depth = option_number(state, "--depth", arg, 1, G);
		return 0;
	case ORDER:
		o->sequential = !strcmp(arg, "sequential");
		o->random = !strcmp(arg, "random");
		if (!o->sequential && !o->random)
			argp_error(state, "--order: '%s' is neither 'sequential' nor 'random'",
				   arg);
		return 0;
	case SECONDS_:
		o->seconds = option_number(state, "--seconds", arg, 1, 3600);
		return 0;
	case LIMIT:
		o->limit = option_number(state, "--limit", arg, 1 << 20, 1024 * G);
		return 0;
	case QUICK:
		o->quick = true;
		return 0;
	case ARGP_KEY_ARG:
		set_bench(s, state, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which bench?");
		return 0;
	case ARGP_KEY_SUCCESS:
		o->reader_share = o->reader_share ?: 100;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_scale(int argc, char **argv)
{
	static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = { options,
					  parse,
					  "defer|invoke|read|synchronize|flood|all",
					  "Measure synthetic loads.",
					  children,
					  NULL,
					  NULL };
	struct scale s = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &s);
	report_begin("scale", &s.o);
	for (size_t i = 0; i < nbenches; i++)
		if (s.all || s.bench == benches[i])
			report_bench(benches[i], &s.o);
	return report_end(&s.o);
}
