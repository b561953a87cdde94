/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The loops that are measured. A scheme's file instantiates them with its operations, which the
 * compiler inlines: all the difference between two schemes is then that of the operations.
 */
#ifndef ANYRCU_TOOL_LOOPS_H
#define ANYRCU_TOOL_LOOPS_H

#include <stdlib.h>

#include "bench/scheme.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void *object_new(size_t size, void *(*alloc)(size_t))
{
	uint64_t *p = alloc(size);

	if (__builtin_expect(!p, 0))
		measure_fail("out of memory: an object of %zu bytes", size);
	*(volatile uint64_t *)p = size;
	return p;
}

ALWAYS_INLINE void defer_one(struct worker *w, void *object, void (*defer)(void *), bool timed)
{
	__atomic_store_n(&w->slot->deferred, w->slot->deferred + 1, __ATOMIC_RELAXED);
	if (timed) {
		uint64_t begin = now_ns(CLOCK_MONOTONIC);

		defer(object);
		histogram_add(w->timed, now_ns(CLOCK_MONOTONIC) - begin);
	} else {
		defer(object);
	}
}

ALWAYS_INLINE void defer_loop(struct worker *w, void *(*alloc)(size_t), void (*defer)(void *),
			      bool timed)
{
	for (uint64_t i = 0; i < w->objects && !__atomic_load_n(&run->stop, __ATOMIC_RELAXED); i++)
		defer_one(w, object_new(w->size, alloc), defer, timed);
}

/*
 * The object whose number is at @at, which another thread is to allocate. That comes first in the
 * trace, so nobody waits for ever.
 */
static inline void *wait_for_object(struct worker *w, void **at)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC);
	void *object;

	while (!(object = __atomic_load_n(at, __ATOMIC_ACQUIRE)))
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	w->waited_ns += now_ns(CLOCK_MONOTONIC) - begin;
	return object;
}

ALWAYS_INLINE void replay_loop(struct worker *w, void *(*alloc)(size_t), void (*defer)(void *),
			       bool timed)
{
	for (size_t i = 0; i < w->nevents; i++) {
		const struct trace_event *e = &w->events[i];
		void **at = &w->object[e->object], *object;

		if (!e->is_free) {
			__atomic_store_n(at, object_new(e->size, alloc), __ATOMIC_RELEASE);
			continue;
		}
		object = __atomic_load_n(at, __ATOMIC_ACQUIRE);
		if (__builtin_expect(!object, 0))
			object = wait_for_object(w, at);
		*at = NULL;
		defer_one(w, object, defer, timed);
	}
}

/*
 * DEFER_LOOPS(x) makes x_defer_loop() and x_replay_loop() of x(); DEFER_LOOPS_OF(x, alloc) of x()
 * and what allocates in place of malloc().
 */
#define DEFER_LOOPS(op) DEFER_LOOPS_OF(op, malloc)
#define DEFER_LOOPS_OF(op, alloc)                         \
	static void op##_defer_loop(struct worker *w)     \
	{                                                 \
		if (w->timed)                             \
			defer_loop(w, alloc, op, true);   \
		else                                      \
			defer_loop(w, alloc, op, false);  \
	}                                                 \
	static void op##_replay_loop(struct worker *w)    \
	{                                                 \
		if (w->timed)                             \
			replay_loop(w, alloc, op, true);  \
		else                                      \
			replay_loop(w, alloc, op, false); \
	}

ALWAYS_INLINE void invoke_one(void *object)
{
	if (run->invoked == 0)
		invoking.begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
	if (invoking.frees)
		free(object);
	else
		*(volatile uint64_t *)object = 0;
	if (++run->invoked == invoking.depth)
		invoking.end_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
}

#define READS_IN_A_ROW 64

/*
 * Short sections one after the other; with a share below 100, in the first part of each millisecond
 * only.
 */
ALWAYS_INLINE void read_loop(struct reader *r, void (*lock)(void), void (*unlock)(void),
			     void (*quiescent)(void))
{
	while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
		uint64_t begin = now_ns(CLOCK_MONOTONIC), ns;

		do {
			for (int i = 0; i < READS_IN_A_ROW; i++) {
				lock();
				(void)*(volatile uint64_t *)__atomic_load_n(r->published,
									    __ATOMIC_ACQUIRE);
				unlock();
			}
			quiescent();
			ns = now_ns(CLOCK_MONOTONIC) - begin;
		} while (ns < r->share * UINT64_C(10000));
		if (r->share < 100)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 - r->share * 10000 },
				  NULL);
	}
}

ALWAYS_INLINE void pairs(uint64_t n, void (*lock)(void), void (*unlock)(void),
			 void (*quiescent)(void))
{
	for (uint64_t i = 0; i < n; i += READS_IN_A_ROW) {
		for (int j = 0; j < READS_IN_A_ROW; j++) {
			lock();
			__asm__ volatile("" ::: "memory");
			unlock();
		}
		quiescent();
	}
}

ALWAYS_INLINE void nothing(void)
{
}

/*
 * READ_LOOPS(x, lock, unlock, quiescent) makes x_read_loop(), x_pairs(), x_lock() and x_unlock().
 */
#define READ_LOOPS(x, lock_op, unlock_op, quiescent_op)         \
	static void x##_read_loop(struct reader *r)             \
	{                                                       \
		read_loop(r, lock_op, unlock_op, quiescent_op); \
	}                                                       \
	static void x##_pairs(uint64_t n)                       \
	{                                                       \
		pairs(n, lock_op, unlock_op, quiescent_op);     \
	}                                                       \
	static void x##_lock(void)                              \
	{                                                       \
		lock_op();                                      \
	}                                                       \
	static void x##_unlock(void)                            \
	{                                                       \
		unlock_op();                                    \
	}

#endif
