// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What was done to each instruction, and the report of it. See interrupt.c. */
#include "interrupt_trace.h"
#include <stdio.h>
#include <string.h>

struct results *results;

bool is_outside(int i)
{
	return !(insns[i].is & (IN_LIBRARY | IN_OP));
}

void mark(int i, uint8_t what)
{
	results->what[path][op][i] |= what;
	results->any[path][i] |= what;
}

/*
 * What was done to an instruction, in all operations on a path; where each is interrupted @once, on
 * the paths that come last what was done on the others counts, too. (What lies outside has another
 * number on each path.)
 */
static uint8_t done_to(int p, int i)
{
	uint8_t what = results->any[p][i];

	for (int q = 0; q < FENCE && once && p >= FENCE && !is_outside(i); q++)
		what |= results->any[q][i];
	return what;
}

bool has_been(int i, uint8_t what)
{
	if (once && path >= FENCE && is_outside(i))
		return true;
	return (once ? done_to(path, i) : results->what[path][op][i]) & what;
}

static int count(int p, int o, unsigned is, uint8_t what)
{
	int n = 0;

	for (int i = 0; i < INSNS_MAX; i++)
		n += (is ? (insns[i].is & is) == is : !insns[i].is) &&
		     (results->what[p][o][i] & what) == what;
	return n;
}
/* EXECUTED, INTERRUPTED or both, by any operation on any path. */
static uint8_t seen(int i)
{
	uint8_t what = 0;

	for (int p = 0; p < PATHS; p++)
		for (int o = 0; o < OPS; o++)
			what |= results->what[p][o][i];
	return what;
}

/*
 * Has a call for tasks executed it on a path, and no such call was interrupted there in each way?
 * What a call executes by chance, as it took so long, need not be met in the same call again; and
 * where it comes only after an interruption, or several, a handler that forks need not have come.
 */
static bool missed(int p, int o, int i)
{
	uint8_t what = done_to(p, i),
		all = INTERRUPTED | (paths[p].forks && what & PLAIN ? FORKED : 0);

	return (results->what[p][o][i] & EXECUTED) && (what & all) != all;
}

static bool tasks_complete(void)
{
	for (int p = 0; p < PATHS; p++)
		for (int o = TASKS; o < OPS; o++)
			for (int i = 0; i < ninsns; i++)
				if (missed(p, o, i))
					return false;
	return true;
}

bool complete(void)
{
	if (tasks)
		return tasks_complete();
	code_excuses_renew();
	for (int i = 0; i < ninsns; i++)
		if ((insns[i].is & REACHABLE) && !(seen(i) & INTERRUPTED) &&
		    ((seen(i) & EXECUTED) || !code_excuse(i)))
			return false;
	return true;
}

static void report_rounds(void)
{
	for (int p = 0; p < PATHS; p++)
		printf("%s: %ld scenarios, %ld rounds, %ld interruptions, %ld forks in handlers\n",
		       paths[p].name, results->scenarios[p], results->rounds[p],
		       results->interruptions[p], results->forks[p]);
}

/* Where @once, each instruction counts for the first call in whose course it was interrupted. */
static bool report_tasks(void)
{
	int reachable = 0, executed = 0, interrupted = 0;

	printf("%-24s", "interrupted/executed, of");
	for (int p = 0; p < PATHS; p++)
		printf("%10s%9s", paths[p].name, "forks");
	printf("\n");
	for (int o = TASKS; o < OPS; o++) {
		printf("%-24s", op_name[o]);
		for (int p = 0; p < PATHS; p++) {
			int of = 0, is = 0, forks = 0;

			for (int i = 0; i < INSNS_MAX; i++) {
				uint8_t what = results->what[p][o][i];

				of += (what & EXECUTED) != 0;
				is += (what & INTERRUPTED) != 0;
				forks += (what & FORKED) != 0;
			}
			printf("%6d/%-5d%7d", is, of, forks);
		}
		printf("\n");
	}
	for (int p = 0; p < PATHS; p++)
		for (int o = TASKS; o < OPS; o++)
			for (int i = 0; i < ninsns; i++) {
				uint8_t what = results->what[p][o][i];

				if (missed(p, o, i))
					printf("%s, %s: not %s: %#lx %s: %s\n", paths[p].name,
					       op_name[o],
					       what & INTERRUPTED ? "by a handler that forks" :
								    "interrupted",
					       insns[i].addr - insns[0].addr, insns[i].function,
					       insns[i].text);
			}
	for (int i = 0; i < ninsns; i++) {
		uint8_t what = seen(i);

		if (!(what & EXECUTED) && !(insns[i].is & IN_TASK))
			continue;
		reachable++;
		executed += (what & EXECUTED) != 0;
		interrupted += (what & INTERRUPTED) != 0;
	}
	printf("%d instructions can be reached by calls for tasks; %d were executed, %d interrupted\n",
	       reachable, executed, interrupted);
	report_rounds();
	return tasks_complete();
}

/*
 * Has every instruction that was seen to be executed been interrupted, and has every reachable one
 * been executed?
 */
static bool report_any_context(void)
{
	bool all = true;
	int reachable = 0, covered = 0, excused = 0;

	code_excuses_renew();
	printf("%-24s", "interrupted/executed");
	for (int p = 0; p < PATHS; p++)
		printf("%16s", paths[p].name);
	printf("\n");
	for (int o = 0; o < TASKS; o++) {
		printf("%-24s", op_name[o]);
		for (int p = 0; p < PATHS; p++) {
			int is = count(p, o, IN_LIBRARY, INTERRUPTED) +
				 count(p, o, IN_OP, INTERRUPTED);
			int of = count(p, o, IN_LIBRARY, EXECUTED) + count(p, o, IN_OP, EXECUTED);

			printf("%7d/%-4d +%3d", is, of, count(p, o, 0, INTERRUPTED));
			all &= is == of;
		}
		printf("\n");
	}
	for (int i = 0; i < ninsns; i++) {
		const char *excuse;
		uint8_t what = seen(i);

		if (!(insns[i].is & REACHABLE))
			continue;
		reachable++;
		if (what & INTERRUPTED) {
			covered++;
			continue;
		}
		excuse = what & EXECUTED ? NULL : code_excuse(i);
		excused += excuse != NULL;
		all &= excuse != NULL;
		if (!excuse || strcmp(excuse, "padding"))
			printf("%s %#lx %s: %s: %s\n",
			       what & EXECUTED ? "not interrupted:" : "not executed:",
			       insns[i].addr - insns[0].addr, insns[i].function, insns[i].text,
			       excuse ?: "FOR NO REASON KNOWN");
	}
	printf("%d instructions can be reached; %d were interrupted, %d are excused\n", reachable,
	       covered, excused);
	report_rounds();
	return all;
}

bool report(void)
{
	return tasks ? report_tasks() : report_any_context();
}
