/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A worker on the mock platform: the test runs the thread that was started. */
#ifndef TESTS_UNIT_WORKER_H
#define TESTS_UNIT_WORKER_H

#include <cache/cache.h>
#include <defer/exchange.h>
#include <defer/pipe.h>
#include <defer/worker.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include "unit.h"

#define DELAY (load(&defer_limits.delay_ns))

static struct object object;
static unsigned step;

static inline void no_worker(void)
{
	memset(workers.slot, 0, sizeof(workers.slot));
	memset(workers.state, 0, sizeof(workers.state));
}

/* No work, no worker, and nothing that the worker looks at from time to time. */
static inline int begin(void **state)
{
	anyrcu_barrier();
	anyrcu_synchronize(); /* nobody sleeps until one ends */
	mock.now += 10000 * MS;
	pages_idle();
	pages_trim();
	no_worker();
	memset(&object, 0, sizeof(object));
	step = 0;
	mock.wakes = mock.starts = mock.reports = 0;
	mock.starts_allowed = 0;
	mock.start_unprivileged = false;
	mock.on_wait = mock.on_start = mock.on_fence = NULL;
	mock.on_now = mock.on_unlock = mock.on_wake = mock.on_arrive = NULL;
	return 0;
}

static inline int end(void **state)
{
	mock.starts_allowed = 0;
	mock.on_wait = mock.on_start = mock.on_fence = NULL;
	mock.on_now = mock.on_unlock = mock.on_wake = mock.on_arrive = NULL;
	defer_workers_start(0, 0, NULL, 0);
	no_worker();
	store(&defer_flood, false);
	anyrcu_barrier();
	return 0;
}

static inline void run_thread(void)
{
	mock.thread(mock.thread_arg);
}

/* The worker that runs is of a former generation now. */
static inline void end_worker(void)
{
	defer_workers_start(0, 0, NULL, 0);
}

static inline void start_one(void)
{
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
	assert_int_equal(mock.starts, 1);
	mock.starts = mock.wakes = 0;
}

/* Who sleeps now has not been woken yet. */
static inline void bell_again(void)
{
	store(&workers.bell, workers.bell & ~WORKER_BELL_RUNG);
	mock.wakes = 0;
}

#endif
