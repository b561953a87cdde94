/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A measurement is made in a process of its own. The process that started it watches: it samples
 * what waits and the memory, says how far it is, and ends one that makes no progress. The two share
 * struct run.
 */
#ifndef ANYRCU_TOOL_MEASURE_H
#define ANYRCU_TOOL_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* threads that defer or free; --threads, --readers and workers together stay far below */
#define SLOTS 4096
#define TENTHS 10

/*
 * What one thread has deferred, and what it has freed, by free() or in a callback. Written by that
 * thread alone, so that counting is as cheap for each scheme; what waits is the difference of the
 * sums.
 */
struct slot {
	uint64_t deferred, freed;
} __attribute__((aligned(64)));

/* Exact below 64, then 64 buckets for each power of two. */
struct histogram {
	uint64_t longest;
	uint64_t bucket[59 * 64];
};

struct run {
	/* Written by the measurement: */
	uint32_t started; /* the load runs: sample it */
	uint32_t freed; /* and all that it deferred has been freed */
	uint64_t heartbeat; /* progress that no slot shows */
	uint64_t invoked; /* see loops.h */
	uint32_t nslots;
	uint64_t objects; /* the figures below are of so many */
	uint64_t caller_ns, cpu_ns, drain_ns;
	uint64_t rss_start;
	struct histogram calls;
	char error[240]; /* why it failed */

	/* Written by who watches: */
	uint32_t stop; /* the load shall end */
	uint64_t elapsed_ns;
	uint64_t pending_high;
	uint64_t rss_high;
	uint64_t rss[TENTHS];

	struct slot slots[SLOTS];
};
extern struct run *run;

/* The callbacks of the bench "invoke", which all run in one thread; run->invoked counts them. */
struct invoking {
	uint64_t depth;
	bool frees;
	uint64_t begin_ns, end_ns; /* that thread's CPU time at the first, and after the last */
};
extern struct invoking invoking;
extern __thread struct slot *my_slot; /* NULL: none yet */

/* How to watch. */
struct watch {
	const char *bench, *row;
	double seconds; /* stop the load after this time; 0: it ends by itself */
	uint64_t pending_limit; /* and once so much is pending; 0: no limit */
};

/*
 * Call @body in a process of its own, and return when it has ended; what it found is in *run.
 * False: it failed, and that has been said on standard error.
 */
bool measure(const struct watch *watch, void (*body)(const void *arg), const void *arg);

/* How many measurements there will be, for the line that says how far it is. */
void measure_expect(unsigned n);

/* End the measurement that calls it, and say why. */
void measure_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The calling thread's slot, in a measurement. */
struct slot *slot_claim(void);

/* What was deferred is free: by one object more. */
static inline void slot_count_free(struct slot *slot)
{
	__atomic_store_n(&slot->freed, slot->freed + 1, __ATOMIC_RELAXED);
}

static inline uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* Resident memory of a process now. */
uint64_t rss_bytes(int pid);

static inline unsigned histogram_index(uint64_t v)
{
	unsigned e;

	if (v < 64)
		return v;
	e = 63 - __builtin_clzll(v);
	return (e - 5) * 64 + ((v >> (e - 6)) & 63);
}

static inline void histogram_add(struct histogram *h, uint64_t v)
{
	h->bucket[histogram_index(v)]++;
	if (v > h->longest)
		h->longest = v;
}

/* Several threads may merge into one. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that @share of all are not above: 0.5 for the median. NAN when there are none. */
double histogram_quantile(const struct histogram *h, double share);

#endif
