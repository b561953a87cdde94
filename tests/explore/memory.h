/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the explorer's threads (sim.c) and its memory (memory.c) have of each other. */
#ifndef TESTS_EXPLORE_MEMORY_H
#define TESTS_EXPLORE_MEMORY_H

#include "sim.h"

/* ---- sim.c ---- */

extern int sim_current; /* the thread that runs; -1: none does yet */
extern bool sim_tracing;

static inline bool sim_off(void)
{
	return sim_current < 0 || sim_quiet;
}

bool sim_live(int thread);
bool sim_own(uintptr_t addr); /* in the running thread's stack, or one of its own variables */
void sim_accesses(uintptr_t addr, enum sim_access access); /* see sim_stop_after() */
void sim_signal(void); /* a handler may come here */

/* ---- memory.c ---- */

void memory_begin(unsigned old_values); /* one load in so many sees one, if not 0 */
void memory_thread_begins(int thread, int by); /* @by: -1: no thread has started it */
void memory_thread_is_joined(int thread); /* by the running thread */
void memory_is_copied(void); /* in the child of a fork, which knows what anybody had stored */

#endif
