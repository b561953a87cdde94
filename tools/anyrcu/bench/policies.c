/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu policies: the ways in which a deferral can come by a page, side by side. Each row is a
 * policy, a model, a context, and the form that is called; it is measured in three processes: for
 * its cost, for its longest call, and for what the validator says.
 *
 * There is no worker, so what is deferred waits until all has been, and the reserve is what a
 * program begins with.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/measure.h"
#include "options.h"
#include "contexts/where.h"

#define BATCH 512 /* deferrals in one stay in the context */
#define CHECKED 2048 /* deferrals under the validator */

struct object {
	struct anyrcu_head head;
	uint64_t payload[14];
};

static const enum where contexts[] = { IN_TASK, UNDER_SPINLOCK, UNDER_RAW, IN_HANDLER };
#define CONTEXTS (sizeof(contexts) / sizeof(*contexts))
/* the last policy has the raw form too, in the last two contexts */
enum { RAW_VARIANTS = POLICIES - 1, FORMS = CONTEXTS + 2 };

struct row {
	int policy, model;
	enum where where;
	bool raw;
};

static struct row row_of(size_t i)
{
	const size_t most = RAW_VARIANTS * CONTEXTS * MODELS;
	struct row r = { .policy = RAW_VARIANTS };
	size_t form;

	if (i < most) {
		r.policy = i / (CONTEXTS * MODELS);
		r.model = i / CONTEXTS % MODELS;
		form = i % CONTEXTS;
	} else {
		r.model = (i - most) / FORMS;
		form = (i - most) % FORMS;
	}
	r.raw = form >= CONTEXTS;
	r.where = contexts[r.raw ? form - 2 : form];
	return r;
}

struct job {
	struct row row;
	uint64_t n;
	bool timed; /* each call */
	bool validator;
	struct object **object;
	uint64_t at;
};

static void touch(struct anyrcu_head *head)
{
	((struct object *)head)->payload[0]++;
}

static void defer(const struct job *j, struct object *o)
{
	if (j->row.raw)
		anyrcu_raw_call(&o->head, touch);
	else
		anyrcu_call(&o->head, touch);
}

/* One stay in the context. */
static void defer_batch(void *arg)
{
	struct job *j = arg;
	uint64_t begin = now_ns(CLOCK_MONOTONIC), end = j->at + BATCH < j->n ? j->at + BATCH : j->n;

	if (j->timed) {
		for (; j->at < end; j->at++) {
			uint64_t t = now_ns(CLOCK_MONOTONIC);

			defer(j, j->object[j->at]);
			histogram_add(&run->calls, now_ns(CLOCK_MONOTONIC) - t);
		}
	} else {
		for (; j->at < end; j->at++)
			defer(j, j->object[j->at]);
	}
	run->caller_ns += now_ns(CLOCK_MONOTONIC) - begin;
	run->heartbeat++;
}

/* In another order than that of their addresses: always the same one. */
static struct object **objects(uint64_t n)
{
	struct object **v = malloc(n * sizeof(*v)), *all = calloc(n, sizeof(*all));
	uint64_t x = 88172645463325252;

	if (!v || !all)
		measure_fail("out of memory");
	for (uint64_t i = 0; i < n; i++)
		v[i] = &all[i];
	for (uint64_t i = n - 1; i > 0; i--) {
		struct object *swap = v[i];
		uint64_t k;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		k = x % (i + 1);
		v[i] = v[k];
		v[k] = swap;
	}
	return v;
}

static void body(const void *arg)
{
	struct anyrcu_stats s = { .size = sizeof(s) };
	struct job j = *(const struct job *)arg;
	struct where_reports reports = { 0 };
	uint64_t begin;

	where_begin(j.row.model, j.row.policy, 0, j.validator ? &reports : NULL);
	j.object = objects(j.n);
	while (j.at < j.n)
		if (!where_call(j.row.where, defer_batch, &j))
			measure_fail("no handler could be installed");
	anyrcu_stats_get(&s);
	run->objects = j.validator ? reports.n : j.n - s.deferred_chain;
	begin = now_ns(CLOCK_MONOTONIC);
	anyrcu_barrier();
	run->drain_ns = now_ns(CLOCK_MONOTONIC) - begin;
}

/* ---- the table ---- */

static size_t rows(const struct options *o)
{
	return (RAW_VARIANTS * CONTEXTS + FORMS) * MODELS;
}

static void row_name(const struct options *o, size_t row, char *name, size_t size)
{
	struct row r = row_of(row);

	snprintf(name, size, "%s, %s, %s%s", policy_names[r.policy], model_names[r.model],
		 where_names[r.where], r.raw ? ", anyrcu_raw_call" : "");
}

static const struct column columns[] = {
	{ "page_percent", "in pages, %", COUNT, false, false },
	{ "defer_ns", "deferral", NANOSECONDS, true, false },
	{ "invoke_ns", "invocation", NANOSECONDS, true, false },
	{ "longest_ns", "longest", NANOSECONDS, true, false },
	{ "reports", "reports", COUNT, false, false },
};

static bool measure_row(const struct options *o, size_t row, const char *name, double *values)
{
	struct job j = { .row = row_of(row), .n = o->objects ?: o->quick ? 10000 : 200000 };
	const struct watch w = { .bench = "policies", .row = name };

	if (!measure(&w, body, &j))
		return false;
	values[0] = 100.0 * run->objects / j.n;
	values[1] = (double)run->caller_ns / j.n;
	values[2] = (double)run->drain_ns / j.n;
	j.timed = true;
	if (!measure(&w, body, &j))
		return false;
	values[3] = run->calls.longest;
	j.timed = false;
	j.validator = true;
	j.n = CHECKED;
	if (!measure(&w, body, &j))
		return false;
	values[4] = run->objects;
	return true;
}

static const struct bench bench_policies = {
	.name = "policies",
	.title = "ways in which a deferral can come by a page",
	.notes =
		"A row: the policy, the preemption model, the context of the caller. deferral: anyrcu_call(), or the form that is\n"
		"named, in that context. invocation: a callback that writes to its object of 128 bytes; deferred in another order\n"
		"than that of their addresses. longest: of single deferrals, in a second run. reports: the validator's, in a third\n"
		"run: calls that are mistakes in their context.",
	.reference = "",
	.columns = columns,
	.ncolumns = sizeof(columns) / sizeof(*columns),
	.processes = 3,
	.rows = rows,
	.row_name = row_name,
	.measure = measure_row,
};

enum { ROUNDS = 256, OBJECTS, JSON, QUICK };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case ROUNDS:
		o->rounds = option_number(state, "--rounds", arg, 1, 101);
		return 0;
	case OBJECTS:
		o->objects = option_number(state, "--objects", arg, 1, 1 << 24);
		return 0;
	case JSON:
		o->json = true;
		o->json_file = arg;
		return 0;
	case QUICK:
		o->quick = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'?", arg);
		return 0;
	case ARGP_KEY_SUCCESS:
		o->rounds = o->rounds ?: o->quick ? 1 : 3;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_policies(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "rounds", ROUNDS, "N", 0,
		  "Repeat all of it, interleaved, 1 to 101 times [3, with --quick 1]", 0 },
		{ "objects", OBJECTS, "N", 0, "Deferrals in a row, 1 to 16M [200000]", 0 },
		{ "json", JSON, "FILE", OPTION_ARG_OPTIONAL,
		  "Print JSON instead of a table, or write it to FILE beside it", 0 },
		{ "quick", QUICK, NULL, 0, "A small run, that only shows that it works", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Compare the four ways in which a deferral can come by a page, under each preemption model, from each context.\v"
		"A number may end in K, M or G.",
		NULL,
		NULL,
		NULL
	};
	struct options o = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	report_begin("policies", &o);
	report_bench(&bench_policies, &o);
	return report_end(&o);
}
