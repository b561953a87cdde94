/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Between interrupt.c, which plays the scenarios, interrupt_trace.c, which traces the copies that
 * are interrupted, and interrupt_report.c, which has what was done to each instruction.
 */
#ifndef INTERRUPT_TRACE_H
#define INTERRUPT_TRACE_H

#include "interrupt.h"
#include <sys/ptrace.h>
#include <sys/user.h>

/* FENCE: for a cache as the one before. A hash table does the same on all of them. */
enum { RSEQ, FENCE = 2, PATHS = 4, HITS_MAX = 20 };
extern const struct path {
	const char *name, *env[3];
	bool forks; /* handlers fork, too */
} paths[PATHS];

extern bool thorough;
extern bool tasks; /* calls for tasks are interrupted, and not those for any context */
extern bool once; /* each of their instructions in one of the calls that execute it */

/* The scenario that is played: where it is in the tables. */
extern int path;
extern enum op op;
extern const struct state *state;

/* ---- interrupt_report.c ---- */

/* FORKED: by a handler that forks. PLAIN: executed though nothing had been interrupted before. */
enum { EXECUTED = 1, INTERRUPTED = 2, FORKED = 4, PLAIN = 8 };

extern struct results {
	uint8_t what[PATHS][OPS][INSNS_MAX];
	uint8_t any[PATHS][INSNS_MAX]; /* by any operation */
	long rounds[PATHS], interruptions[PATHS], scenarios[PATHS], forks[PATHS];
	bool wrong;
} * results;

bool is_outside(int i);
/* In the scenario that is played @what was done to instruction @i. */
void mark(int i, uint8_t what);
/* Was it done to this instruction, in this operation, or in any if that is enough? */
bool has_been(int i, uint8_t what);
/* Is nothing left to be done, in any scenario? */
bool complete(void);
/* Print the results; returns whether they are complete. */
bool report(void);

/* ---- interrupt_trace.c ---- */

/* Where to interrupt: at one instruction, or in a storm at all that are of a sort. */
struct plan {
	int at; /* -1: in a storm */
	unsigned sort;
	int most; /* times in a storm, if not 0 */
	bool fills; /* the handler fills pages */
	bool forks; /* it forks, in a signal that the library never holds off: see blocks() */
	bool explore;
};

/* Of a scenario. Shared memory, which a fork need not copy, and a write after it neither. */
extern struct tables {
	bool planted[INSNS_MAX];
	bool known[INSNS_MAX]; /* executed without interruption */
	bool hidden[INSNS_MAX]; /* planted, but not while other threads run */
	int hits[HITS_MAX]; /* where the copy was interrupted */
	int nhits;
} * tables;

_Noreturn void fail(const char *what);
void unplant(int i);
/* Plant breakpoints, or take them away: in one write for each page of code that changes. */
void plant_all(bool (*wanted)(int));
bool is_unseen(int i);
bool is_wanted(int i);
bool forks_wanted(int i);
struct user_regs_struct regs_get(void);
void rip_set(uintptr_t rip);
int wait_for(pid_t pid);
void copy_start(void);
void copy_kill(void);
/* Until the copy stops, or ends; its status. go(): on, with signal @sig, or 0. */
int copy_wait(void);
void go(enum __ptrace_request how, int sig);
/* One round. Returns whether there is to be another. */
bool play(const struct plan *p);

#endif
