/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Threads of a fuzzed sequence of calls, none of which is one: the platform's functions, wrapped
 * here, say who is running, what time it is and who is dead, and anyrcu_self is changed with them.
 * So each run of a sequence is the same, and a wait for a reader is where the others leave their
 * sections.
 *
 * Of each thread it is known when it began to read, as the number of a call.
 */
#ifndef TESTS_FUZZ_THREADS_H
#define TESTS_FUZZ_THREADS_H

#include <anyrcu/anyrcu.h>
#include <port/process.h>

#include "fuzz.h"

#define THREADS 4
#define MS UINT64_C(1000000)

extern struct thread {
	struct anyrcu_reader *self;
	uint32_t tid; /* 0: has not begun */
	unsigned nest;
	bool online;
	uint64_t since; /* when it began to read; 0: it does not */
} thread[THREADS];
extern unsigned me;
extern struct anyrcu_reader *nobody; /* anyrcu_self of a thread that has not read */
extern uint64_t now; /* the number of the call */
extern uint64_t clock_ns;

void threads_begin(void);
void threads_end(void);

void run(unsigned i);
void lock(void);
void unlock(void);
void leave_sections(void);

#define THREAD_STEPS 8
/*
 * Something that concerns threads alone, by the number @step below THREAD_STEPS: sections, online,
 * another thread, the end of one as @flags say.
 */
void thread_step(unsigned step, uint8_t flags, struct input *in);

static inline bool online(void)
{
	return thread[me].online;
}

/* Does a section go on that began before @when? */
bool read_since_before(uint64_t when);
/*
 * No section may go on that began before @when, but the caller's, which reads anew if it is online.
 */
void has_waited(uint64_t when);

#endif
