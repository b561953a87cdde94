/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Atomic operations on whole numbers and pointers, by liburcu's names.
 *
 * uatomic_cmpxchg(), uatomic_xchg(), uatomic_add_return() and uatomic_sub_return() are full barriers, the others order nothing by
 * themselves. All are sequentially consistent here, which on x86-64 is a full barrier and costs no more than less; elsewhere it is not, so that
 * the four have fences around them.
 */
#ifndef ANYRCU_COMPAT_URCU_UATOMIC_H
#define ANYRCU_COMPAT_URCU_UATOMIC_H

#include <urcu/arch.h>
#include <urcu/system.h>

#define UATOMIC_HAS_ATOMIC_BYTE
#define UATOMIC_HAS_ATOMIC_SHORT

#if defined(__x86_64__)
#define ANYRCU_UATOMIC_FENCE() cmm_barrier()
#else
#define ANYRCU_UATOMIC_FENCE() cmm_smp_mb()
#endif

#define ANYRCU_UATOMIC_TYPE(addr) __typeof__(*(addr))
#define ANYRCU_UATOMIC_FULL(addr, op)                                                                                  \
	__extension__({                                                                                                \
		ANYRCU_UATOMIC_FENCE();                                                                                \
		ANYRCU_UATOMIC_TYPE(addr) anyrcu_was_ = (ANYRCU_UATOMIC_TYPE(addr))(op);                               \
		ANYRCU_UATOMIC_FENCE();                                                                                \
		anyrcu_was_;                                                                                           \
	})

#define uatomic_set(addr, v) ((void)CMM_STORE_SHARED(*(addr), (v)))
#define uatomic_read(addr) CMM_LOAD_SHARED(*(addr))

#define uatomic_xchg(addr, v)                                                                                          \
	ANYRCU_UATOMIC_FULL(addr, __atomic_exchange_n((addr), (ANYRCU_UATOMIC_TYPE(addr))(v), __ATOMIC_SEQ_CST))
#define uatomic_cmpxchg(addr, old, _new)                                                                               \
	ANYRCU_UATOMIC_FULL(addr, __sync_val_compare_and_swap((addr), (ANYRCU_UATOMIC_TYPE(addr))(old),                \
							      (ANYRCU_UATOMIC_TYPE(addr))(_new)))
#define uatomic_add_return(addr, v) ANYRCU_UATOMIC_FULL(addr, __atomic_add_fetch((addr), (v), __ATOMIC_SEQ_CST))
#define uatomic_sub_return(addr, v) ANYRCU_UATOMIC_FULL(addr, __atomic_sub_fetch((addr), (v), __ATOMIC_SEQ_CST))

#define uatomic_and(addr, v) ((void)__atomic_fetch_and((addr), (v), __ATOMIC_SEQ_CST))
#define uatomic_or(addr, v) ((void)__atomic_fetch_or((addr), (v), __ATOMIC_SEQ_CST))
#define uatomic_add(addr, v) ((void)__atomic_fetch_add((addr), (v), __ATOMIC_SEQ_CST))
#define uatomic_sub(addr, v) ((void)__atomic_fetch_sub((addr), (v), __ATOMIC_SEQ_CST))
#define uatomic_inc(addr) uatomic_add((addr), 1)
#define uatomic_dec(addr) uatomic_sub((addr), 1)

#define cmm_smp_mb__before_uatomic_and() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_and() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__before_uatomic_or() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_or() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__before_uatomic_add() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_add() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__before_uatomic_sub() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_sub() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__before_uatomic_inc() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_inc() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__before_uatomic_dec() ANYRCU_UATOMIC_FENCE()
#define cmm_smp_mb__after_uatomic_dec() ANYRCU_UATOMIC_FENCE()

#endif
