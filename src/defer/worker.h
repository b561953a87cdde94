/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The workers' state; see worker.c. */
#ifndef ANYRCU_DEFER_WORKER_H
#define ANYRCU_DEFER_WORKER_H

#include <defer/defer.h>

/*
 * A slot's word: the worker's port_id(), in higher bits its generation, and whether it is a helper
 * in a flood. 0: free.
 */
#define WORKER_ID(word) ((word) & ((UINT64_C(1) << 40) - 1))
#define WORKER_GENERATIONS 0x7fffffu
#define WORKER_GENERATION(word) ((uint32_t)((word) >> 40) & WORKER_GENERATIONS)
#define WORKER_HELPS (UINT64_C(1) << 63)

/*
 * AWAKE: will check the collections again soon. BUSY: invokes callbacks, so it may not check soon.
 * TICKING: asleep until pages are due. DEEP: asleep until it is woken.
 */
enum state { GONE, BUSY, AWAKE, TICKING, DEEP };

struct workers {
	uint32_t generation; /* workers of older generations end */
	uint32_t wanted;
	int rt, ncpus, cpus[ANYRCU_WORKERS_MAX];

	/* when to try to start another thread, and how long to wait before the next try */
	uint64_t start_at, pause;
	bool failing; /* the last worker could not be started, */
	uint32_t told; /* and that was reported, or returned to the program */

	uint32_t bell; /* a number, and: */
#define WORKER_BELL_OPEN 1u
#define WORKER_BELL_RUNG 2u
	uint8_t state[ANYRCU_WORKERS_MAX] __attribute__((aligned(CACHE_LINE)));
	struct {
		uint64_t word;
		uint32_t tid; /* of the last worker that was here */
	} slot[ANYRCU_WORKERS_MAX];
};
extern struct workers workers;

/*
 * The least time between two starts, so that the first thread has arrived by then; doubles with
 * each failure.
 */
#define WORKER_PAUSE_MIN UINT64_C(1000000)

/* Start the workers that are missing, and report once that none can be started. Task. */
void defer_workers_start_missing(void);

#endif
