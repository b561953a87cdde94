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
	uint64_t now;
	uint64_t maps_allowed; /* so many mappings, then refusals */
	bool tid_dead; /* what port_tid_dead() says */
	void (*on_fence)(void); /* "in another thread", in the middle of a fence */
	void (*on_wait)(void); /* in place of sleeping */

	/* counted */
	bool cancel_off; /* whether the thread cannot be cancelled now */
	uint64_t fences, maps, mapped, frees, waits, wakes, reports;
	char last_report[256];
} mock;

/* Run @f(@arg): true if it ended in port_bug(). */
bool mock_bug(void (*f)(void *), void *arg);

#endif
