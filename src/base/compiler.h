/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Names for what the compiler offers. No operating system, no state.
 *
 * The atomic operations name their ordering: load_acquire(), store_release(); plain load() and
 * store() are relaxed. xchg(), cmpxchg() and fetch_add() are acquire and release, and sequentially
 * consistent among themselves. Unlike the kernel's, they are not full fences: on aarch64 a later
 * plain load may come before their store. Where that matters there is a full_fence().
 */
#ifndef ANYRCU_BASE_COMPILER_H
#define ANYRCU_BASE_COMPILER_H

#include <anyrcu/inline/reader.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define noinline __attribute__((noinline))
#define CACHE_LINE 64
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define count_add(p, v) ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define full_fence() anyrcu_full_fence()
#if defined(__SANITIZE_THREAD__)
/* only used to order memory that fork() copies, which the sanitizer does not see */
#define release_fence() compiler_barrier()
#else
#define release_fence() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif
#define compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define cmpxchg(p, old, new)                                                                    \
	({                                                                                      \
		__typeof__(*(p)) cmpxchg_old_ = (old);                                          \
		__atomic_compare_exchange_n((p), &cmpxchg_old_, (new), false, __ATOMIC_SEQ_CST, \
					    __ATOMIC_SEQ_CST);                                  \
	})

/* Raise *@p to @v if it is lower. Any context. */
static inline void count_max(uint64_t *p, uint64_t v)
{
	uint64_t old = load(p);

	while (old < v &&
	       !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* The mem* functions that a freestanding C implementation provides. */
void *memset(void *, int, size_t);
void *memcpy(void *, const void *, size_t);

#endif
