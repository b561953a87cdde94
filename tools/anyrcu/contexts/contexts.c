/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu contexts: each entry point from each context under each model, and what happened. Each
 * call is made in a process of its own: some of them are mistakes, which may end it, or keep it
 * waiting for itself.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "options.h"
#include "contexts/where.h"

#define PATIENCE_S 60 /* with a call that takes microseconds */
#define FEW_PAGES 65536 /* as few as can be configured, so that they are soon used up */

enum outcome {
	NOTHING,
	DONE,
	PAGE,
	CHAIN,
	REFUSED,
	WAITED,
	GOT,
	NO_PAGE,
	ABORTED,
	HUNG,
	NOT_MET,
	OUTCOMES
};
static const char *const outcome_names[OUTCOMES] = {
	"-",   "done", "page",	  "chain", "refused", "waited",
	"got", "NULL", "aborted", "hung",  "not met",
};

struct object {
	struct anyrcu_head head;
	char payload[48];
};

/* What is called, and what it makes of it. Shared with the process that calls. */
static struct cell {
	struct object *object;
	void *page;
	anyrcu_gp_t gp;
	void *_Atomic pointer;
	enum outcome outcome;
	struct where_reports reports;
} * cell;

static struct anyrcu_stats stats(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s;
}

static void invoked(struct anyrcu_head *head)
{
	free(head);
}

/* ---- the entry points ---- */

static void call_read(void *arg)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
}

static void *published;

static void call_dereference(void *arg)
{
	anyrcu_read_lock();
	cell->object = anyrcu_dereference(published);
	anyrcu_read_unlock();
}

static void call_assign(void *arg)
{
	anyrcu_assign_pointer(published, cell->object);
}

static void call_call(void *arg)
{
	anyrcu_call(&cell->object->head, invoked);
}

static void call_free(void *arg)
{
	anyrcu_free(cell->object, head);
}

static void call_headless(void *arg)
{
	if (!anyrcu_call_headless(free, cell->object))
		cell->outcome = REFUSED;
}

static void call_free_headless(void *arg)
{
	if (!anyrcu_free_headless(cell->object))
		cell->outcome = REFUSED;
}

static void call_mightsleep(void *arg)
{
	anyrcu_call_mightsleep(free, cell->object);
}

static void call_free_mightsleep(void *arg)
{
	anyrcu_free_mightsleep(cell->object);
}

static void call_gp_start(void *arg)
{
	cell->gp = anyrcu_gp_start();
}

static void call_gp_done(void *arg)
{
	anyrcu_gp_done(cell->gp);
}

static void call_synchronize(void *arg)
{
	anyrcu_synchronize();
}

static void call_gp_wait(void *arg)
{
	anyrcu_gp_wait(cell->gp);
}

static void call_barrier(void *arg)
{
	anyrcu_barrier();
}

static void alloc(unsigned gfp)
{
	cell->page = anyrcu_page_alloc(gfp, 0);
	cell->outcome = cell->page ? GOT : NO_PAGE;
}

static void call_no_locks(void *arg)
{
	alloc(ANYRCU_GFP_NO_LOCKS);
}

static void call_nowait(void *arg)
{
	alloc(ANYRCU_GFP_NOWAIT);
}

static void call_kernel(void *arg)
{
	alloc(ANYRCU_GFP_KERNEL);
}

static void call_page_free(void *arg)
{
	anyrcu_page_free(cell->page, 0);
}

/*
 * From which contexts it may be called: always; not where a raw spinlock is; or where it may sleep.
 */
enum allowed { ANYWHERE, NOT_RAW, MAY_SLEEP };

static const struct entry {
	const char *name;
	void (*call)(void *arg);
	enum allowed allowed;
	enum { PLAIN, DEFERS, ALLOCATES, WAITS } sort;
} entries[] = {
	{ "read_lock, read_unlock", call_read, ANYWHERE, PLAIN },
	{ "dereference", call_dereference, ANYWHERE, PLAIN },
	{ "assign_pointer", call_assign, ANYWHERE, PLAIN },
	{ "call", call_call, ANYWHERE, DEFERS },
	{ "free", call_free, ANYWHERE, DEFERS },
	{ "call_headless", call_headless, ANYWHERE, DEFERS },
	{ "free_headless", call_free_headless, ANYWHERE, DEFERS },
	{ "call_mightsleep", call_mightsleep, MAY_SLEEP, DEFERS },
	{ "free_mightsleep", call_free_mightsleep, MAY_SLEEP, DEFERS },
	{ "gp_start", call_gp_start, ANYWHERE, PLAIN },
	{ "gp_done", call_gp_done, ANYWHERE, PLAIN },
	{ "synchronize", call_synchronize, MAY_SLEEP, WAITS },
	{ "gp_wait", call_gp_wait, MAY_SLEEP, WAITS },
	{ "barrier", call_barrier, MAY_SLEEP, WAITS },
	{ "page_alloc NO_LOCKS", call_no_locks, ANYWHERE, ALLOCATES },
	{ "page_alloc NOWAIT", call_nowait, NOT_RAW, ALLOCATES },
	{ "page_alloc KERNEL", call_kernel, MAY_SLEEP, ALLOCATES },
	{ "page_free", call_page_free, ANYWHERE, PLAIN },
};
#define ENTRIES (sizeof(entries) / sizeof(*entries))

/* As the table of contexts says. */
static bool allowed(const struct entry *e, enum where where, int model)
{
	bool rt = !strcmp(model_names[model], "rt"),
	     sleeps = where == IN_TASK || where == IN_THREAD;

	switch (e->allowed) {
	case MAY_SLEEP:
		return sleeps || (rt && where == UNDER_SPINLOCK);
	case NOT_RAW:
		return sleeps || where == UNDER_SPINLOCK;
	default:
		return true;
	}
}

/* ---- one call ---- */

struct asked {
	const struct entry *entry;
	enum where where;
	int model;
	bool scarce; /* no page can be had */
	bool validator;
};

/*
 * Pages that hold what waits are as many as they may be, and so is what is in the open ones; and
 * the reserve is empty.
 */
static void use_up(void)
{
	struct anyrcu_head *head;

	while (stats().deferred_chain == 0) {
		head = malloc(sizeof(*head));
		if (head)
			anyrcu_call(head, invoked);
	}
	while (anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))
		;
}

static void call_and_look(void *arg)
{
	const struct asked *a = arg;
	struct anyrcu_stats before = stats(), after;

	a->entry->call(NULL);
	after = stats();
	if (cell->outcome != NOTHING)
		return;
	if (after.deferred_inline != before.deferred_inline)
		cell->outcome = WAITED;
	else if (after.deferred_chain != before.deferred_chain)
		cell->outcome = CHAIN;
	else if (a->entry->sort == DEFERS)
		cell->outcome = PAGE;
	else
		cell->outcome = a->entry->sort == WAITS ? WAITED : DONE;
}

static void process(const struct asked *a)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	where_begin(a->model, 0, a->scarce ? FEW_PAGES : 0, a->validator ? &cell->reports : NULL);
	/* what the library says as it aborts is seen by its end */
	freopen("/dev/null", "w", stderr);
	cell->object = malloc(sizeof(*cell->object));
	cell->page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);
	cell->gp = anyrcu_gp_start();
	published = cell->object;
	if (a->scarce)
		use_up();
	if (!where_call(a->where, call_and_look, (void *)a))
		cell->outcome = NOT_MET;
	_exit(0);
}

static void run(const struct asked *a)
{
	bool late = false;
	int status;
	pid_t pid;

	memset(cell, 0, sizeof(*cell));
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		process(a);
	status = pid > 0 ? child_wait(pid, PATIENCE_S, &late) : -1;
	if (status < 0) {
		perror("anyrcu: fork");
		exit(1);
	}
	if (WIFSIGNALED(status))
		cell->outcome = late ? HUNG : ABORTED;
	else if (WEXITSTATUS(status))
		exit(1); /* it has said why */
}

/* ---- the matrix ---- */

struct result {
	enum outcome plenty, scarce;
	struct where_reports reports;
	bool allowed, right;
} results[MODELS][ENTRIES][WHERES];

/* A call that is a mistake may end in any way, but the validator must see it. */
static bool is_right(const struct entry *e, const struct result *r)
{
	if (!r->allowed)
		return r->reports.n > 0;
	if (r->reports.n || r->plenty >= ABORTED || r->scarce >= ABORTED)
		return false;
	if (e->sort == DEFERS)
		return r->plenty == PAGE;
	return e->sort != ALLOCATES || r->plenty == GOT;
}

static void fill(int model, size_t i, enum where where)
{
	struct result *r = &results[model][i][where];
	struct asked a = { .entry = &entries[i], .where = where, .model = model };

	run(&a);
	r->plenty = cell->outcome;
	if (a.entry->sort == DEFERS || a.entry->sort == ALLOCATES) {
		a.scarce = true;
		run(&a);
		r->scarce = cell->outcome;
		a.scarce = false;
	}
	a.validator = true;
	run(&a);
	r->reports = cell->reports;
	r->allowed = allowed(a.entry, where, model);
	r->right = is_right(a.entry, r);
}

static void print_cell(const struct result *r, int width)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s%s", outcome_names[r->plenty], r->scarce ? "/" : "",
		 r->scarce ? outcome_names[r->scarce] : "", r->reports.n ? " !" : "",
		 r->right ? "" : " WRONG");
	printf("  %-*s", width, text);
}

static void print_model(int model)
{
	printf("%smodel %s\n\n%-22s", model ? "\n" : "", model_names[model], "");
	for (int w = 0; w < WHERES; w++)
		printf("  %-16s", where_names[w]);
	printf("\n");
	for (size_t i = 0; i < ENTRIES; i++) {
		printf("%-22s", entries[i].name);
		for (int w = 0; w < WHERES; w++)
			print_cell(&results[model][i][w], 16);
		printf("\n");
	}
}

static json_t *cell_json(const struct result *r)
{
	return json_pack("{s:s, s:s*, s:i, s:s*, s:b, s:b}", "outcome", outcome_names[r->plenty],
			 "without_pages", r->scarce ? outcome_names[r->scarce] : NULL, "reports",
			 (int)r->reports.n, "rule", r->reports.n ? r->reports.rule : NULL,
			 "allowed", r->allowed, "right", r->right);
}

static bool print_json(void)
{
	json_t *models = json_object(), *all = json_pack("{s:s, s:s, s:o}", "anyrcu", TOOL_VERSION,
							 "command", "contexts", "models", models);
	bool written;

	for (int m = 0; m < MODELS; m++) {
		json_t *rows = json_object();

		for (size_t i = 0; i < ENTRIES; i++) {
			json_t *row = json_object();

			for (int w = 0; w < WHERES; w++)
				json_object_set_new(row, where_names[w],
						    cell_json(&results[m][i][w]));
			json_object_set_new(rows, entries[i].name, row);
		}
		json_object_set_new(models, model_names[m], rows);
	}
	written = json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && putchar('\n') != EOF &&
		  fflush(stdout) == 0;
	json_decref(all);
	return written;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	switch (key) {
	case 'j':
		*json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_contexts(int argc, char **argv)
{
	static const struct argp_option options[] = { { "json", 'j', NULL, 0, "Print JSON", 0 },
						      { 0 } };
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Call each entry point of the library from each context, under each preemption model, and print what happened.\v"
		"A cell says how the call ended, and behind a slash, how it did where no page could be had. '!': the validator, in "
		"another run, reported the call as a mistake. 'WRONG': it is not as the manual says, and the exit status is 1.",
		NULL,
		NULL,
		NULL
	};
	bool json = false, right = true;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	cell = mmap(NULL, sizeof(*cell), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cell == MAP_FAILED) {
		perror("anyrcu: mmap");
		return 1;
	}
	for (int m = 0; m < MODELS; m++) {
		for (size_t i = 0; i < ENTRIES; i++) {
			for (int w = 0; w < WHERES; w++) {
				fill(m, i, w);
				right &= results[m][i][w].right;
			}
		}
		if (!json)
			print_model(m);
	}
	if (json)
		right &= print_json();
	return right ? 0 : 1;
}
