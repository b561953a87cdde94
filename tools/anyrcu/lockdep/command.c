/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu lockdep: run a program with the validator preloaded, and print what it and its children
 * report, with functions, files and lines. notices.h says how reports come here.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockdep/findings.h"
#include "lockdep/suppressions.h"
#include "lockdep/watch.h"
#include "tool.h"

enum {
	OPTION_JSON = 256,
	OPTION_EXITCODE,
	OPTION_SUPPRESSIONS,
	OPTION_GENERATE,
	OPTION_PID,
	OPTION_KILL,
	OPTION_STATS,
	OPTION_MODEL,
	OPTION_STRICT
};

static struct validation {
	const char *path;
	char **program;
	const char *model;
	bool json, stats, strict, generate, kill;
	int exitcode; /* 0: the program's own */
	FILE *out;

	struct watch watch;
	bool taken[NOTICES];
	unsigned reports, suppressed, notes, full;
	json_t *counts; /* of processes that have ended */
} v;

static void print_json(json_t *json)
{
	if (!json || json_dumpf(json, v.out, JSON_COMPACT) != 0)
		program_die("a report", "cannot be printed as JSON");
	json_decref(json);
	fputc('\n', v.out);
}

/*
 * What is allowed, or cannot happen as far as it was seen, and what the kernel's lockdep reports
 * all the same; and what is known to be false: for --strict.
 */
static bool is_note(const struct finding *f)
{
	return !strcmp(f->rule, "guarded-inversion") || !strcmp(f->rule, "invalid-wait-context") ||
	       finding_known_false(f);
}

static void take_report(const struct notice *n)
{
	struct finding f = finding_read(v.watch.notices, n);

	if (suppressed(&f)) {
		v.suppressed++;
	} else if (is_note(&f) && !v.strict) {
		v.notes++;
	} else {
		/* That a table is full is no mistake of the program. */
		if (strcmp(f.rule, "table-full"))
			v.reports++;
		else
			v.full++;
		if (v.json)
			print_json(finding_json(&f));
		else
			fprintf(v.out, "\n%s[%u]: thread \"%s\"\n%s", f.program, f.pid, f.thread,
				f.text);
		if (v.generate)
			suppression_write(v.out, &f);
		fflush(v.out);
	}
	finding_free(&f);
}

static void take_reports(struct watch *w)
{
	struct notices *notices = w->notices;
	uint32_t n = atomic_load(&notices->nnotices);

	for (uint32_t i = 0; i < n && i < NOTICES; i++) {
		if (v.taken[i] || !atomic_load(&notices->notice[i].ready))
			continue;
		v.taken[i] = true;
		take_report(&notices->notice[i]);
	}
}

static void count_process(struct watch *w, const struct notice_process *p)
{
	(void)w;
	if (!v.stats)
		return;
	json_array_append_new(
		v.counts, json_pack("{s:s%, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "program",
				    p->program, strnlen(p->program, sizeof(p->program)), "pid",
				    (json_int_t)p->pid, "classes", (json_int_t)p->classes, "edges",
				    (json_int_t)p->edges, "chains", (json_int_t)p->chains, "locks",
				    (json_int_t)p->locks, "longest_chain", (json_int_t)p->deepest,
				    "reports", (json_int_t)p->reports));
}

/* ---- the end ---- */

/* Reports for which there was no room. */
static uint32_t lost_reports(void)
{
	uint32_t n = atomic_load(&v.watch.notices->nnotices);

	return n > NOTICES ? n - NOTICES : 0;
}

/* Was something not checked, so that no report does not mean that nothing is wrong? */
static bool incomplete(void)
{
	return !atomic_load(&v.watch.notices->attached) || v.full || lost_reports() ||
	       atomic_load(&v.watch.notices->orders_lost);
}

static void summarise(void)
{
	struct notices *n = v.watch.notices;
	uint32_t lost = lost_reports(), unchecked = atomic_load(&n->unchecked);
	json_t *p;
	size_t i;

	if (atomic_load(&n->attached) == 0)
		fprintf(stderr,
			"anyrcu: nothing was watched: the program is static or setuid, or not for this machine\n");
	if (lost)
		fprintf(stderr, "anyrcu: there was no room for %u reports\n", lost);
	if (atomic_load(&n->orders_lost))
		fprintf(stderr,
			"anyrcu: %u orders of locks that processes share were not checked\n",
			atomic_load(&n->orders_lost));
	/* the rest of the program was, so that this is no matter for the exit status */
	if (unchecked)
		fprintf(stderr,
			"anyrcu: signal handlers were not checked, %u times, as their stacks are too small\n",
			unchecked);
	if (v.json) {
		print_json(json_pack("{s:s, s:i, s:i, s:i, s:b, s:i, s:i, s:i, s:O}", "event",
				     "summary", "reports", v.reports, "suppressed", v.suppressed,
				     "notes", v.notes, "complete", !incomplete() && !unchecked,
				     "repeated", (int)atomic_load(&n->repeated), "lost", (int)lost,
				     "processes", v.watch.processes, "counts", v.counts));
		return;
	}
	if (v.stats && json_array_size(v.counts))
		fprintf(v.out, "\n%-16s %9s %9s %9s %9s %9s %9s %9s\n", "program", "pid", "classes",
			"edges", "chains", "locks", "longest", "reports");
	json_array_foreach(v.counts, i, p)
	{
		fprintf(v.out, "%-16s", json_string_value(json_object_get(p, "program")));
		for (const char *const *key =
			     (const char *const[]){ "pid", "classes", "edges", "chains", "locks",
						    "longest_chain", "reports", NULL };
		     *key; key++)
			fprintf(v.out, " %9lld",
				(long long)json_integer_value(json_object_get(p, *key)));
		fputc('\n', v.out);
	}
	if (v.reports || v.suppressed || v.stats)
		fprintf(v.out, "\nanyrcu: %u reports, %u suppressed, in %u processes\n", v.reports,
			v.suppressed, v.watch.processes);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	char *end;
	long n;

	switch (key) {
	case OPTION_STRICT:
		v.strict = true;
		return 0;
	case 'o':
		v.path = arg;
		return 0;
	case OPTION_JSON:
		v.json = true;
		return 0;
	case OPTION_STATS:
		v.stats = true;
		return 0;
	case OPTION_EXITCODE:
		n = strtol(arg, &end, 10);
		if (!*arg || *end || n < 1 || n > 255)
			argp_error(state, "'%s' is not an exit status from 1 to 255", arg);
		v.exitcode = n;
		return 0;
	case OPTION_SUPPRESSIONS:
		suppressions_read(arg);
		return 0;
	case OPTION_KILL:
		v.kill = true;
		return 0;
	case OPTION_GENERATE:
		v.generate = true;
		return 0;
	case OPTION_PID:
		argp_error(
			state,
			"it cannot be attached to process %s: which locks are held, and in which "
			"orders they were taken so far, is known only from the start. Start the "
			"program by it; in one that was, gdb shows what is held, see anyrcu(1)",
			arg);
		return 0;
	case OPTION_MODEL:
		if (strcmp(arg, "none") && strcmp(arg, "full") && strcmp(arg, "rt"))
			argp_error(state, "'%s' is not one of none, full and rt", arg);
		v.model = arg;
		return 0;
	case ARGP_KEY_ARG:
		v.program = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!v.program)
			argp_error(state, "no program to watch");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_lockdep(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0, "Write reports to FILE, not to standard error", 0 },
		{ "json", OPTION_JSON, NULL, 0,
		  "A line of JSON for each report, and one at the end", 0 },
		{ "error-exitcode", OPTION_EXITCODE, "N", 0,
		  "Exit with N if there was a report; else with 124 if something could not be checked",
		  0 },
		{ "strict", OPTION_STRICT, NULL, 0,
		  "Report also what is guarded, waits under spinlocks, or is known to be false",
		  0 },
		{ "kill", OPTION_KILL, NULL, 0,
		  "End a program that is in a deadlock, with exit status 123", 0 },
		{ "suppressions", OPTION_SUPPRESSIONS, "FILE", 0,
		  "Leave out the reports that FILE describes", 0 },
		{ "gen-suppressions", OPTION_GENERATE, NULL, 0,
		  "After each report, print a line that suppresses it", 0 },
		{ "stats", OPTION_STATS, NULL, 0, "Say at the end what was counted", 0 },
		{ "pid", OPTION_PID, "PID", 0, "Not possible: says why", 0 },
		{ "model", OPTION_MODEL, "MODEL", 0, "The preemption model: none, full or rt", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "PROGRAM [ARG...]",
		.doc = "Run PROGRAM and report locking bugs that another run could hit.",
	};
	struct program p = { 0 };
	int status;

	argp_err_exit_status = EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
	p.argv = v.program;
	v.watch = (struct watch){ .look = take_reports, .ended = count_process };
	v.out = v.path ? fopen(v.path, "we") : stderr;
	if (!v.out)
		program_die(v.path, strerror(errno));
	v.counts = json_array();
	if (v.model && setenv("ANYRCU_PREEMPT", v.model, 1) != 0)
		program_die("ANYRCU_PREEMPT", strerror(errno));
	watch_prepare(&v.watch, &p);
	v.watch.notices->kill = v.kill;
	status = watch_program(&v.watch, &p);
	program_over(&p);
	summarise();
	json_decref(v.counts);
	if (v.path && fclose(v.out) != 0)
		program_die(v.path, strerror(errno));
	if (!v.exitcode)
		return status;
	return v.reports ? v.exitcode : incomplete() ? EXIT_INCOMPLETE : status;
}