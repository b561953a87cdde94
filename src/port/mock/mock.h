/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A platform for unit tests of the core: one thread, a clock that stands still, and refusals on
 * demand. What a test sets and what it can count.
 */
#ifndef ANYRCU_PORT_MOCK_MOCK_H
#define ANYRCU_PORT_MOCK_MOCK_H

#include <base/compiler.h>

extern struct mock {
	/* set by the test */
	unsigned cpu;
	uint64_t id; /* of the thread that runs */
	uint64_t now;
	uint64_t maps_allowed; /* so many mappings, then refusals */
	bool tid_dead; /* what port_tid_dead() says */
	void (*on_fence)(void); /* "in another thread", in the middle of a fence */
	void (*on_wait)(void); /* in place of sleeping */
	void (*on_wake)(void); /* a wake, before it is counted */
	bool foreign; /* a child of vfork() */
	unsigned starts_allowed; /* so many threads can be started, then -EAGAIN */
	bool start_unprivileged; /* threads start, but not as real-time threads: -EPERM */
	void (*on_start)(void); /* "in another thread", in the middle of a start */
	void (*on_map)(void); /* the same, in the middle of a mapping */
	void (*on_lock)(void); /* the same, before a lock is taken */
	void (*on_unlock)(void); /* the same, after one is released */
	void (*on_now)(void); /* the same, before the clock is read */
	void (*on_arrive)(void); /* the same, after a thread has arrived */
	void (*on_free)(void *p); /* in place of free() */
	int rseq_cpu; /* on which sequences run; -1: there are none */
	bool exchange_refused; /* each sequence is interrupted */

	/* counted */
	bool cancel_off; /* whether the thread cannot be cancelled now */
	uint64_t fences, maps, mapped, frees, waits, wakes, reports, starts, arrivals, exchanges;
	uint64_t follows, followed; /* how often the thread moved to another's CPU, and which */
	uint64_t wait_ns; /* the time-out of the last sleep */
	char last_report[256];
	/* of the last thread that was started: it runs when the test calls this; */
	void *(*thread)(void *);
	void *thread_arg;
	int rt, thread_cpu, thread_rt; /* as the starter wants it, and as the thread does */
} mock;

/* Run @f(@arg): true if it ended in port_bug(). */
bool mock_bug(void (*f)(void *), void *arg);

#endif
