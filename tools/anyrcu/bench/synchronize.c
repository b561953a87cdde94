/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The bench "synchronize": how long a grace period takes beside threads that have read and sleep,
 * or that read all the time.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/scheme.h"
#include "tool.h"

static const struct flavour *const flavours[] = {
	&flavour_anyrcu,
#ifdef URCU_VERSION
	&flavour_urcu_memb,
#endif
#ifdef CK_VERSION
	&flavour_ck,
#endif
};
#define NFLAVOURS (sizeof(flavours) / sizeof(*flavours))

static const unsigned idle_threads[] = { 1, 10, 100, 1000 };
#define NIDLE (sizeof(idle_threads) / sizeof(*idle_threads))

struct synchronize {
	const struct flavour *flavour;
	unsigned idle, readers, reader_share;
	uint64_t ns; /* for how long */
};

static const struct synchronize *what;
static pthread_barrier_t ready, over;
static uint32_t stop;

static void *idle_thread(void *arg)
{
	if (what->flavour->thread_begin)
		what->flavour->thread_begin();
	what->flavour->lock();
	what->flavour->unlock();
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&over);
	if (what->flavour->thread_end)
		what->flavour->thread_end();
	return NULL;
}

static void *read_thread(void *arg)
{
	static uint64_t value, *published = &value;

	if (what->flavour->thread_begin)
		what->flavour->thread_begin();
	pthread_barrier_wait(&ready);
	what->flavour->read_loop(&(struct reader){
		.published = &published, .share = what->reader_share, .stop = &stop });
	pthread_barrier_wait(&over);
	if (what->flavour->thread_end)
		what->flavour->thread_end();
	return NULL;
}

static void synchronize_body(const void *arg)
{
	unsigned n;
	pthread_attr_t attr;
	uint64_t until;

	what = arg;
	n = what->idle + what->readers;
	pthread_barrier_init(&ready, NULL, n + 1);
	pthread_barrier_init(&over, NULL, n + 1);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (unsigned i = 0; i < n; i++) {
		pthread_t thread;
		int err = pthread_create(&thread, &attr, i < what->idle ? idle_thread : read_thread,
					 NULL);

		if (err)
			measure_fail("pthread_create: %s", strerror(err));
	}
	if (what->flavour->thread_begin)
		what->flavour->thread_begin();
	pthread_barrier_wait(&ready);
	until = now_ns(CLOCK_MONOTONIC) + what->ns;
	for (uint64_t begin = now_ns(CLOCK_MONOTONIC), end; begin < until; begin = end) {
		what->flavour->synchronize();
		end = now_ns(CLOCK_MONOTONIC);
		histogram_add(&run->calls, end - begin);
		run->heartbeat++;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_barrier_wait(&over);
}

static size_t synchronize_rows(const struct options *o)
{
	return NFLAVOURS * (NIDLE + 1);
}

static void synchronize_row_name(const struct options *o, size_t row, char *name, size_t size)
{
	const char *flavour = flavours[row % NFLAVOURS]->name;

	if (row / NFLAVOURS < NIDLE)
		snprintf(name, size, "%s, %u sleeping", flavour, idle_threads[row / NFLAVOURS]);
	else
		snprintf(name, size, "%s, %u reading", flavour, o->readers);
}

static bool synchronize_measure(const struct options *o, size_t row, const char *name,
				double *values)
{
	bool idle = row / NFLAVOURS < NIDLE;
	struct synchronize s = {
		.flavour = flavours[row % NFLAVOURS],
		.idle = idle ? idle_threads[row / NFLAVOURS] : 0,
		.readers = idle ? 0 : o->readers,
		.reader_share = o->reader_share,
		.ns = o->quick ? 10000000 : 500000000,
	};

	if (!measure(&(struct watch){ .bench = "synchronize", .row = name }, synchronize_body, &s))
		return false;
	values[0] = histogram_quantile(&run->calls, 0.5);
	values[1] = histogram_quantile(&run->calls, 0.99);
	values[2] = run->calls.longest;
	return true;
}

static const struct column synchronize_columns[] = {
	{ "p50_ns", "p50", NANOSECONDS, true, false },
	{ "p99_ns", "p99", NANOSECONDS, true, false },
	{ "longest_ns", "longest", NANOSECONDS, false, false },
};

const struct bench bench_synchronize = {
	.name = "synchronize",
	.title = "wait for a grace period",
	.notes =
		"One thread waits again and again, beside threads that have read once and sleep, or that\n"
		"read all the time.",
	.reference = "",
	.columns = synchronize_columns,
	.ncolumns = sizeof(synchronize_columns) / sizeof(*synchronize_columns),
	.processes = 1,
	.rows = synchronize_rows,
	.row_name = synchronize_row_name,
	.measure = synchronize_measure,
};
