/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu urcu: run a program that was built for liburcu with its deferral on anyrcu, and say
 * afterwards what came of it. The files other than command.c, loop.c and loop_flavour.c are
 * preloaded; the counts come through the table of preload.h.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beside.h"
#include "child.h"
#include "urcu/preload.h"
#include "program.h"
#include "tool.h"

enum { REPORT = 'r', JSON = 256 };

#define LOOP_OBJECTS "1000000"

struct asked {
	struct program program;
	bool report;
	const char *json;
	struct urcu_table *table;
	int table_fd;
};

static void make_table(struct asked *a)
{
	a->table_fd = memfd_create("anyrcu-urcu", MFD_CLOEXEC);
	if (a->table_fd < 0 || ftruncate(a->table_fd, sizeof(*a->table)) != 0)
		program_die("memory to share", strerror(errno));
	a->table =
		mmap(NULL, sizeof(*a->table), PROT_READ | PROT_WRITE, MAP_SHARED, a->table_fd, 0);
	if (a->table == MAP_FAILED)
		program_die("memory to share", strerror(errno));
	a->table->magic = URCU_MAGIC;
	/* Whoever it runs as, it has to be able to open it. */
	fchmod(a->table_fd, 0666);
}

/*
 * Signals from the terminal reach the program too; those that somebody sent to this process were
 * meant for it.
 */
static int attend(struct asked *a)
{
	struct program *p = &a->program;
	char table[64];
	int status;

	snprintf(table, sizeof(table), "/proc/%d/fd/%d", (int)getpid(), a->table_fd);
	if (a->table && setenv(URCU_ENV, table, 1) != 0)
		program_die(URCU_ENV, strerror(errno));
	program_start(p);
	for (;;) {
		int sig = sigwaitinfo(&p->signals, NULL);

		if (sig == SIGTERM || sig == SIGHUP)
			kill(p->pid, sig);
		if (sig == SIGCHLD && waitpid(p->pid, &status, WNOHANG) == p->pid)
			return program_status(status);
	}
}

/* ---- what liburcu alone would have used ---- */

/* The loop takes less than a second on an idle machine. */
#define LOOP_SECONDS 120

/*
 * A callback's share of the CPU time of a loop that does nothing else, nanoseconds; below 0 where
 * that cannot be had.
 */
static double loop_ns(char *loop, const char *preload, const char *flavour, enum urcu_kind kind)
{
	char *argv[] = { loop, (char *)flavour, kind == URCU_CALL ? "call" : "defer",
			 "1",  LOOP_OBJECTS,	NULL };
	char out[1024];
	bool late;
	int status = child_output(argv, preload, URCU_ENV, LOOP_SECONDS, &late, out, sizeof(out));
	json_t *json = status == 0 ? json_loads(out, 0, NULL) : NULL;
	double ns = json ? json_number_value(json_object_get(json, "cpu_ns")) : -1;

	json_decref(json);
	if (late)
		fprintf(stderr,
			"anyrcu: urcu: a loop of %s_rcu, flavour %s, on %s did not end within %d s: it is not compared\n",
			argv[2], flavour, preload ? "anyrcu" : "liburcu", LOOP_SECONDS);
	return ns;
}

struct cost {
	bool known;
	double anyrcu, liburcu;
};

static struct cost cost(const struct asked *a, const char *flavour, enum urcu_kind kind)
{
	struct cost c = { 0 };
	char loop[PATH_MAX];

	if (beside("anyrcu-urcu-loop", URCU_LOOP_FROM_BINDIR, loop) != 0)
		return c;
	c.anyrcu = loop_ns(loop, a->program.preload, flavour, kind);
	c.liburcu = loop_ns(loop, NULL, flavour, kind);
	c.known = c.anyrcu >= 0 && c.liburcu >= 0;
	return c;
}

/* ---- the report ---- */

/* Lines of one program, flavour and way, added up. */
struct sum {
	char program[16], flavour[8];
	enum urcu_kind kind;
	unsigned processes, queues;
	uint32_t last_process;
	struct urcu_line l;
	struct cost cost;
};

static struct sum *sum_of(struct sum *sums, size_t *n, const struct urcu_line *l)
{
	for (size_t i = 0; i < *n; i++)
		if (sums[i].kind == l->kind && !strcmp(sums[i].program, l->program) &&
		    !strcmp(sums[i].flavour, l->flavour))
			return &sums[i];
	memcpy(sums[*n].program, l->program, sizeof(l->program));
	memcpy(sums[*n].flavour, l->flavour, sizeof(l->flavour));
	sums[*n].kind = l->kind;
	return &sums[(*n)++];
}

static void most(uint64_t *to, uint64_t v)
{
	*to = v > *to ? v : *to;
}

static void add(struct sum *s, const struct urcu_line *l)
{
	s->queues++;
	s->processes += l->process != s->last_process;
	s->last_process = l->process;
	s->l.deferred += l->deferred;
	s->l.page += l->page;
	s->l.chain += l->chain;
	s->l.left += l->left;
	s->l.invoked += l->invoked;
	s->l.gp_done += l->gp_done;
	s->l.gp_ns_total += l->gp_ns_total;
	s->l.wait_ns_total += l->wait_ns_total;
	s->l.gave_way += l->gave_way;
	s->l.wakes += l->wakes;
	most(&s->l.pending_high, l->pending_high);
	most(&s->l.bytes_high, l->bytes_high);
	most(&s->l.gp_ns_max, l->gp_ns_max);
	most(&s->l.wait_ns_max, l->wait_ns_max);
}

static size_t add_up(const struct asked *a, struct sum *sums)
{
	uint32_t lines = atomic_load(&a->table->lines);
	size_t n = 0;

	for (uint32_t i = 0; i < lines && i < URCU_LINES; i++) {
		const struct urcu_line *l = &a->table->line[i];

		if (atomic_load(&l->kind) && l->deferred)
			add(sum_of(sums, &n, l), l);
	}
	for (size_t i = 0; i < n; i++)
		sums[i].cost = cost(a, sums[i].flavour, sums[i].kind);
	if (lines > URCU_LINES)
		fprintf(stderr,
			"anyrcu: urcu: %u of %u queues of callbacks are not in the report, for want of room\n",
			lines - URCU_LINES, lines);
	return n;
}

static double mean(uint64_t total, uint64_t n)
{
	return n ? (double)total / n : 0;
}

static void print_sum(const struct sum *s)
{
	const struct urcu_line *l = &s->l;

	fprintf(stderr, "anyrcu: urcu: %s, %s, flavour %s: %llu callbacks in %u process%s\n",
		s->program, s->kind == URCU_CALL ? "call_rcu" : "defer_rcu", s->flavour,
		(unsigned long long)l->deferred, s->processes, s->processes == 1 ? "" : "es");
	fprintf(stderr, "  stored       %.1f%% in pages, %llu chained; %llu left at the end\n",
		100 * mean(l->page, l->deferred), (unsigned long long)l->chain,
		(unsigned long long)l->left);
	fprintf(stderr, "  grace periods %llu; mean %.1f us, longest %.1f us\n",
		(unsigned long long)l->gp_done, mean(l->gp_ns_total, l->gp_done) / 1e3,
		l->gp_ns_max / 1e3);
	if (s->kind == URCU_CALL)
		fprintf(stderr, "  waited       %.1f us on average, %.1f us the longest, at most\n",
			mean(l->wait_ns_total, l->page) / 1e3, l->wait_ns_max / 1e3);
	fprintf(stderr,
		"  most pending %llu; most memory for pages %.1f KiB; callers gave way %llu times\n",
		(unsigned long long)l->pending_high, l->bytes_high / 1024.,
		(unsigned long long)l->gave_way);
	if (s->cost.known)
		fprintf(stderr,
			"  CPU          about %.3g ms, liburcu alone about %.3g ms: %.0f and %.0f ns a callback\n",
			l->deferred * s->cost.anyrcu / 1e6, l->deferred * s->cost.liburcu / 1e6,
			s->cost.anyrcu, s->cost.liburcu);
}

static void print(const struct sum *sums, size_t n)
{
	bool known = false;

	if (!n)
		fprintf(stderr, "anyrcu: urcu: nothing was deferred by liburcu's interface\n");
	for (size_t i = 0; i < n; i++) {
		print_sum(&sums[i]);
		known = known || sums[i].cost.known;
	}
	if (known)
		fprintf(stderr,
			"The CPU times are estimates: the callbacks counted, times what one costs, malloc() and free() included, in a "
			"loop of\n" LOOP_OBJECTS
			" that was run just now, with and without anyrcu. How many would have waited in "
			"liburcu's queue, which has no\nbound, cannot be told from this run.\n");
}

static int write_json(const char *path, const struct sum *sums, size_t n)
{
	json_t *all = json_array();
	int err;

	for (size_t i = 0; i < n; i++) {
		const struct sum *s = &sums[i];
		json_t *row = json_pack(
			"{ss ss ss si si sI sI sI sI sI sI sI sI sI sI sI sI sI sI}", "program",
			s->program, "flavour", s->flavour, "way",
			s->kind == URCU_CALL ? "call_rcu" : "defer_rcu", "processes", s->processes,
			"queues", s->queues, "callbacks", (json_int_t)s->l.deferred, "page",
			(json_int_t)s->l.page, "chain", (json_int_t)s->l.chain, "left",
			(json_int_t)s->l.left, "invoked", (json_int_t)s->l.invoked, "pending_high",
			(json_int_t)s->l.pending_high, "page_bytes_high",
			(json_int_t)s->l.bytes_high, "gp_done", (json_int_t)s->l.gp_done,
			"gp_ns_total", (json_int_t)s->l.gp_ns_total, "gp_ns_max",
			(json_int_t)s->l.gp_ns_max, "wait_ns_total", (json_int_t)s->l.wait_ns_total,
			"wait_ns_max", (json_int_t)s->l.wait_ns_max, "gave_way",
			(json_int_t)s->l.gave_way, "wakes", (json_int_t)s->l.wakes);

		if (s->cost.known) {
			json_object_set_new(row, "cpu_ns", json_real(s->cost.anyrcu));
			json_object_set_new(row, "liburcu_cpu_ns", json_real(s->cost.liburcu));
		}
		json_array_append_new(all, row);
	}
	err = json_dump_file(all, path, JSON_INDENT(2));
	json_decref(all);
	return err;
}

static void report(const struct asked *a)
{
	struct sum *sums = calloc(URCU_LINES, sizeof(*sums));
	size_t n;

	if (!sums)
		program_die("the report", strerror(errno));
	n = add_up(a, sums);
	if (a->report)
		print(sums, n);
	if (a->json && write_json(a->json, sums, n) != 0)
		program_die(a->json, "cannot be written");
	free(sums);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct asked *a = state->input;

	switch (key) {
	case REPORT:
		a->report = true;
		return 0;
	case JSON:
		a->json = arg;
		return 0;
	case ARGP_KEY_ARG:
		a->program.argv = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no program to run");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "report", REPORT, NULL, 0,
	  "Say at the end, on standard error, what was deferred and how, and what liburcu would have used",
	  0 },
	{ "json", JSON, "FILE", 0, "Write the same to FILE", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[--] PROGRAM [ARG...]",
	.doc = "Run a program that was built for liburcu, with its call_rcu() and defer_rcu() on anyrcu's pages.\v"
	       "For the flavours memb, mb, qsbr and bp, of liburcu.so.8 and its kin. Exits as the program does; with 125, 126 or 127 where "
	       "it could not be run.",
};

int cmd_urcu(int argc, char **argv)
{
	static struct asked a;
	int status;

	argp_err_exit_status = EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
	program_prepare(&a.program, "libanyrcu-urcu-preload.so",
			PRELOAD_FROM_BINDIR "/libanyrcu-urcu-preload.so");
	if (a.report || a.json)
		make_table(&a);
	status = attend(&a);
	program_over(&a.program);
	if (a.report || a.json)
		report(&a);
	return status;
}
