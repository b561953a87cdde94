/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu lockstat: run a program and print what its locks cost. counts.h says how the counts come
 * here.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lockdep/cost.h"
#include "lockdep/counts.h"
#include "lockdep/flame.h"
#include "lockdep/live.h"
#include "lockdep/watch.h"
#include "tool.h"

enum { OPTION_JSON = 256, OPTION_FOLDED, OPTION_LIVE, OPTION_SVG };

static struct {
	const char *path, *folded, *svg;
	char **program;
	bool json, live;
	FILE *out;
	struct watch watch;
	struct counts *counts;
} o;

/* ---- the clock ---- */

static bool clock_is(const char *name)
{
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	char line[32] = "";
	bool is = f && fgets(line, sizeof(line), f) && !strncmp(line, name, strlen(name));

	if (f)
		fclose(f);
	return is;
}

static uint64_t system_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* 0 where the system itself does not go by the CPU's clock, as they may disagree. */
static uint64_t ns_per_tick(void)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t ticks, ns;

	if (!clock_is("tsc") && !clock_is("arch_sys_counter"))
		return 0;
	ticks = cpu_clock();
	ns = system_clock();
	nanosleep(&pause, NULL);
	ticks = cpu_clock() - ticks;
	ns = system_clock() - ns;
	return ticks ? (uint64_t)(((unsigned __int128)ns << 32) / ticks) : 0;
}

/* ---- what is printed ---- */

static void put_cost(const char *name, const struct cost *c)
{
	fprintf(o.out, "%-38s %10llu %9llu %9llu", name, (unsigned long long)c->acquired,
		(unsigned long long)c->contended, (unsigned long long)c->moved);
	for (const struct times *t = &c->wait; t <= &c->hold; t++) {
		fputs("  ", o.out);
		put_time(o.out, t->total);
		fputc(' ', o.out);
		put_time(o.out, t->max);
		fputc(' ', o.out);
		put_time(o.out, times_below(t, 0.5));
		fputc(' ', o.out);
		put_time(o.out, times_below(t, 0.99));
	}
	fputc('\n', o.out);
}

static void put_lock(const struct lock_cost *l)
{
	char name[600];

	snprintf(name, sizeof(name), "%s {%s}", l->name, l->type);
	if (strlen(name) > 38) {
		fprintf(o.out, "%s\n", name);
		*name = '\0';
	}
	put_cost(name, &l->cost);
	for (size_t i = 0; i < l->nsites; i++) {
		const struct site_cost *s = &l->sites[i];

		snprintf(name, sizeof(name), "  %s%s", s->name, s->reads ? ", to read" : "");
		if (strlen(name) > 38) {
			fprintf(o.out, "%s\n", name);
			*name = '\0';
		}
		put_cost(name, &s->cost);
		for (size_t k = 0; k < s->nblames; k++) {
			fprintf(o.out, "    waited %llu times for %s, ",
				(unsigned long long)s->blames[k].times, s->blames[k].name);
			put_time(o.out, s->blames[k].total);
			fputc('\n', o.out);
		}
	}
}

static void put_table(const struct costs *c)
{
	const char *program = "";

	for (size_t i = 0; i < c->n; i++) {
		const struct lock_cost *l = &c->locks[i];

		if (strcmp(program, l->program)) {
			program = l->program;
			fprintf(o.out, "\n%-38s %10s %9s %9s  %8s %8s %8s %8s   %8s %8s %8s %8s\n",
				program, "acquired", "contended", "moved", "wait", "max", "p50",
				"p99", "hold", "max", "p50", "p99");
		}
		put_lock(l);
	}
}

static json_t *times_json(const struct times *t)
{
	json_t *buckets = json_array();
	unsigned n = COUNT_BUCKETS;

	while (n && !t->bucket[n - 1])
		n--;
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(buckets, json_integer(t->bucket[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:o}", "total", (json_int_t)t->total, "max",
			 (json_int_t)t->max, "p50", (json_int_t)times_below(t, 0.5), "p99",
			 (json_int_t)times_below(t, 0.99), "buckets", buckets);
}

static json_t *cost_json(const struct cost *c)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "acquired", (json_int_t)c->acquired,
			 "contended", (json_int_t)c->contended, "moved", (json_int_t)c->moved,
			 "wait_ns", times_json(&c->wait), "hold_ns", times_json(&c->hold));
}

static void put_json(json_t *json)
{
	if (!json || json_dumpf(json, o.out, JSON_COMPACT) != 0)
		program_die("what was counted", "cannot be printed as JSON");
	json_decref(json);
	fputc('\n', o.out);
}

static void put_lock_json(const struct lock_cost *l)
{
	json_t *lock = cost_json(&l->cost), *sites = json_array();

	for (size_t i = 0; i < l->nsites; i++) {
		const struct site_cost *s = &l->sites[i];
		json_t *site = cost_json(&s->cost), *blames = json_array();

		for (size_t k = 0; k < s->nblames; k++)
			json_array_append_new(
				blames, json_pack("{s:s, s:I, s:I}", "site", s->blames[k].name,
						  "times", (json_int_t)s->blames[k].times, "total",
						  (json_int_t)s->blames[k].total));
		json_object_set_new(site, "site", json_string(s->name));
		json_object_set_new(site, "reads", json_boolean(s->reads));
		json_object_set_new(site, "waited_for", blames);
		json_array_append_new(sites, site);
	}
	json_object_set_new(lock, "event", json_string("lock"));
	json_object_set_new(lock, "program", json_string(l->program));
	json_object_set_new(lock, "lock", json_string(l->name));
	json_object_set_new(lock, "type", json_string(l->type));
	json_object_set_new(lock, "sites", sites);
	put_json(lock);
}

static void put_stacks(const char *path,
		       void (*put)(FILE *, const struct notices *, const struct counts *))
{
	FILE *f = fopen(path, "we");

	if (!f)
		program_die(path, strerror(errno));
	put(f, o.watch.notices, o.counts);
	if (fclose(f) != 0)
		program_die(path, strerror(errno));
}

static void print(void)
{
	struct costs costs = costs_read(o.watch.notices, o.counts, true);
	uint64_t lost = atomic_load(&o.counts->lost);
	bool attached = atomic_load(&o.watch.notices->attached);

	if (!attached)
		fprintf(stderr,
			"anyrcu: nothing was counted: the program is static or setuid, or not for this machine\n");
	if (lost)
		fprintf(stderr, "anyrcu: there was no room for %llu acquisitions\n",
			(unsigned long long)lost);
	for (size_t i = 0; o.json && i < costs.n; i++)
		put_lock_json(&costs.locks[i]);
	if (o.json)
		put_json(json_pack("{s:s, s:i, s:I, s:b}", "event", "summary", "processes",
				   (int)o.watch.processes, "lost", (json_int_t)lost, "complete",
				   attached && !lost));
	else
		put_table(&costs);
	if (o.folded)
		put_stacks(o.folded, costs_fold);
	if (o.svg)
		put_stacks(o.svg, flame_put);
	costs_free(&costs);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'o':
		o.path = arg;
		return 0;
	case OPTION_JSON:
		o.json = true;
		return 0;
	case OPTION_FOLDED:
		o.folded = arg;
		return 0;
	case OPTION_SVG:
		o.svg = arg;
		return 0;
	case OPTION_LIVE:
		o.live = true;
		return 0;
	case ARGP_KEY_ARG:
		o.program = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!o.program)
			argp_error(state, "no program to watch");
		if (o.live && !isatty(STDERR_FILENO))
			argp_error(state, "--live: standard error is no terminal");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void look(struct watch *w)
{
	if (o.live)
		live_look(w->notices, o.counts);
}

int cmd_lockstat(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "live", OPTION_LIVE, NULL, 0,
		  "While it runs, show the locks that were waited for longest, on the terminal",
		  0 },
		{ "svg", OPTION_SVG, "FILE", 0,
		  "Draw the stacks of waits to FILE, as a flame graph", 0 },
		{ "output", 'o', "FILE", 0, "Print to FILE, not to standard error", 0 },
		{ "json", OPTION_JSON, NULL, 0, "A line of JSON for each class, and one at the end",
		  0 },
		{ "folded", OPTION_FOLDED, "FILE", 0,
		  "Write the stacks of waits to FILE, with nanoseconds, for flame graphs", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "PROGRAM [ARG...]",
		.doc = "Run PROGRAM and print how often and how long its locks were waited for and held.",
	};
	struct program p = { 0 };
	int status;

	argp_err_exit_status = EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
	p.argv = o.program;
	o.out = o.path ? fopen(o.path, "we") : stderr;
	if (!o.out)
		program_die(o.path, strerror(errno));
	o.watch.look = look;
	watch_prepare(&o.watch, &p);
	o.counts = watch_share(&o.watch, COUNTS_ENV, sizeof(*o.counts));
	o.counts->ns_per_tick = ns_per_tick();
	o.counts->stacks = o.folded || o.svg;
	o.counts->magic = COUNTS_MAGIC;
	status = watch_program(&o.watch, &p);
	live_end();
	program_over(&p);
	print();
	if (o.path && fclose(o.out) != 0)
		program_die(o.path, strerror(errno));
	return status;
}
