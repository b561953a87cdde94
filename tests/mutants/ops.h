/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What scripts/mutants.py puts in place of an atomic operation: the same without order, and the
 * same in two steps. Included before each mutated source; the names on the right are those of
 * base/compiler.h.
 */
#ifndef TESTS_MUTANTS_OPS_H
#define TESTS_MUTANTS_OPS_H

#define relaxed_xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELAXED)
#define relaxed_fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define relaxed_cmpxchg(p, old, new)                                                            \
	({                                                                                      \
		__typeof__(*(p)) relaxed_old_ = (old);                                          \
		__atomic_compare_exchange_n((p), &relaxed_old_, (new), false, __ATOMIC_RELAXED, \
					    __ATOMIC_RELAXED);                                  \
	})

#define torn_xchg(p, v)                                                              \
	({                                                                           \
		__typeof__(*(p)) torn_old_ = __atomic_load_n((p), __ATOMIC_ACQUIRE); \
		__atomic_store_n((p), (v), __ATOMIC_RELEASE);                        \
		torn_old_;                                                           \
	})
#define torn_fetch_add(p, v)                                                         \
	({                                                                           \
		__typeof__(*(p)) torn_old_ = __atomic_load_n((p), __ATOMIC_ACQUIRE); \
		__atomic_store_n((p), torn_old_ + (v), __ATOMIC_RELEASE);            \
		torn_old_;                                                           \
	})
#define torn_fetch_sub(p, v) torn_fetch_add((p), -(v))
#define torn_count_add(p, v) ((void)torn_fetch_add((p), (v)))
#define torn_cmpxchg(p, old, new)                           \
	(__atomic_load_n((p), __ATOMIC_ACQUIRE) == (old) && \
	 (__atomic_store_n((p), (new), __ATOMIC_RELEASE), true))
#define torn_compare_exchange(p, old, new)                                           \
	({                                                                           \
		__typeof__(*(p)) torn_old_ = __atomic_load_n((p), __ATOMIC_ACQUIRE); \
		bool torn_same_ = torn_old_ == *(old);                               \
		if (torn_same_)                                                      \
			__atomic_store_n((p), (new), __ATOMIC_RELEASE);              \
		else                                                                 \
			*(old) = torn_old_;                                          \
		torn_same_;                                                          \
	})

#endif
