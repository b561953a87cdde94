/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a scene of the explorer sets and counts on its platform. */
#ifndef TESTS_EXPLORE_PLATFORM_H
#define TESTS_EXPLORE_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

extern struct platform {
	/* set by the scene */
	uint64_t maps_allowed; /* so many mappings, then refusals */
	int threads_refused; /* so many threads are not to be had */
	bool refuse_fences; /* membarrier does nothing: a negative control */
	uint64_t wake_stops; /* the next port_wake() takes so long until it wakes */
	bool bug_ends; /* port_bug() is a way to end */
	void (*on_free)(void *); /* in place of free() */

	/* counted */
	uint64_t waits, wakes, started, reports;
} platform;

#endif
