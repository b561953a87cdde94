/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Atomic operations on integers and pointers, by liburcu's names.
 *
 * Without an order as their last argument, uatomic_cmpxchg(), uatomic_xchg(), uatomic_add_return()
 * and uatomic_sub_return() are full barriers, and the others need not order anything. All that
 * change a value are then sequentially consistent. On x86-64 that is a full barrier, and costs no
 * more than a weaker order; elsewhere it is not a full barrier, so the four have fences around
 * them.
 *
 * In liburcu 0.15 they take an order: uatomic_load(&x, CMM_ACQUIRE); in uatomic_load_mo() the order
 * is required. The orders are those of C11; CMM_SEQ_CST_FENCE is also a full barrier.
 * uatomic_cmpxchg() takes one for success and one for failure.
 */
#ifndef ANYRCU_COMPAT_URCU_UATOMIC_H
#define ANYRCU_COMPAT_URCU_UATOMIC_H

#include <urcu/arch.h>
#include <urcu/system.h>

#define UATOMIC_HAS_ATOMIC_BYTE
#define UATOMIC_HAS_ATOMIC_SHORT
#define UATOMIC_HAS_ATOMIC_INT
#define UATOMIC_HAS_ATOMIC_LLONG

enum cmm_memorder {
	CMM_RELAXED = __ATOMIC_RELAXED,
	CMM_CONSUME = __ATOMIC_CONSUME,
	CMM_ACQUIRE = __ATOMIC_ACQUIRE,
	CMM_RELEASE = __ATOMIC_RELEASE,
	CMM_ACQ_REL = __ATOMIC_ACQ_REL,
	CMM_SEQ_CST = __ATOMIC_SEQ_CST,
	CMM_SEQ_CST_FENCE = 6
};

#if defined(__x86_64__)
#define ANYRCU_UATOMIC_FENCE() cmm_barrier()
#else
#define ANYRCU_UATOMIC_FENCE() cmm_smp_mb()
#endif

#define ANYRCU_UATOMIC_TYPE(addr) __typeof__(*(addr))
#define ANYRCU_UATOMIC_FULL(addr, op)                                                    \
	__extension__({                                                                  \
		ANYRCU_UATOMIC_FENCE();                                                  \
		ANYRCU_UATOMIC_TYPE(addr) anyrcu_was_ = (ANYRCU_UATOMIC_TYPE(addr))(op); \
		ANYRCU_UATOMIC_FENCE();                                                  \
		anyrcu_was_;                                                             \
	})

/*
 * The compiler's order for an order. A load or store that is to be a full barrier needs a fence, on
 * x86-64 too.
 */
#define ANYRCU_UATOMIC_MO(mo) ((mo) == CMM_SEQ_CST_FENCE ? __ATOMIC_SEQ_CST : (int)(mo))
#define ANYRCU_UATOMIC_FENCE_IF(mo, fence) \
	((mo) == CMM_SEQ_CST_FENCE ? (void)__extension__({ fence(); }) : (void)0)
#define ANYRCU_UATOMIC_ORDERED(addr, mo, fence, op)           \
	__extension__({                                       \
		ANYRCU_UATOMIC_FENCE_IF(mo, fence);           \
		ANYRCU_UATOMIC_TYPE(addr) anyrcu_was_ = (op); \
		ANYRCU_UATOMIC_FENCE_IF(mo, fence);           \
		anyrcu_was_;                                  \
	})

#define uatomic_load_mo(addr, mo) \
	ANYRCU_UATOMIC_ORDERED(addr, mo, cmm_smp_mb, __atomic_load_n((addr), ANYRCU_UATOMIC_MO(mo)))
#define uatomic_read_mo(addr, mo) uatomic_load_mo(addr, mo)
#define uatomic_store_mo(addr, v, mo)                                                            \
	__extension__({                                                                          \
		ANYRCU_UATOMIC_FENCE_IF(mo, cmm_smp_mb);                                         \
		__atomic_store_n((addr), (ANYRCU_UATOMIC_TYPE(addr))(v), ANYRCU_UATOMIC_MO(mo)); \
		ANYRCU_UATOMIC_FENCE_IF(mo, cmm_smp_mb);                                         \
	})
#define uatomic_set_mo(addr, v, mo) uatomic_store_mo(addr, v, mo)

#define ANYRCU_UATOMIC_CHANGE(addr, mo, op) \
	ANYRCU_UATOMIC_ORDERED(addr, mo, ANYRCU_UATOMIC_FENCE, op)
#define uatomic_xchg_mo(addr, v, mo)                                                      \
	ANYRCU_UATOMIC_CHANGE(addr, mo,                                                   \
			      __atomic_exchange_n((addr), (ANYRCU_UATOMIC_TYPE(addr))(v), \
						  ANYRCU_UATOMIC_MO(mo)))
#define uatomic_cmpxchg_mo(addr, old, _new, mos, mof)                                            \
	__extension__({                                                                          \
		ANYRCU_UATOMIC_TYPE(addr) anyrcu_old_ = (ANYRCU_UATOMIC_TYPE(addr))(old);        \
		ANYRCU_UATOMIC_FENCE_IF(mos, ANYRCU_UATOMIC_FENCE);                              \
		if (__atomic_compare_exchange_n((addr), &anyrcu_old_,                            \
						(ANYRCU_UATOMIC_TYPE(addr))(_new), 0,            \
						ANYRCU_UATOMIC_MO(mos), ANYRCU_UATOMIC_MO(mof))) \
			ANYRCU_UATOMIC_FENCE_IF(mos, ANYRCU_UATOMIC_FENCE);                      \
		else                                                                             \
			ANYRCU_UATOMIC_FENCE_IF(mof, ANYRCU_UATOMIC_FENCE);                      \
		anyrcu_old_;                                                                     \
	})
#define uatomic_add_return_mo(addr, v, mo) \
	ANYRCU_UATOMIC_CHANGE(addr, mo, __atomic_add_fetch((addr), (v), ANYRCU_UATOMIC_MO(mo)))
#define uatomic_sub_return_mo(addr, v, mo) \
	ANYRCU_UATOMIC_CHANGE(addr, mo, __atomic_sub_fetch((addr), (v), ANYRCU_UATOMIC_MO(mo)))
#define uatomic_and_mo(addr, v, mo)            \
	((void)ANYRCU_UATOMIC_CHANGE(addr, mo, \
				     __atomic_fetch_and((addr), (v), ANYRCU_UATOMIC_MO(mo))))
#define uatomic_or_mo(addr, v, mo)             \
	((void)ANYRCU_UATOMIC_CHANGE(addr, mo, \
				     __atomic_fetch_or((addr), (v), ANYRCU_UATOMIC_MO(mo))))
#define uatomic_add_mo(addr, v, mo)            \
	((void)ANYRCU_UATOMIC_CHANGE(addr, mo, \
				     __atomic_fetch_add((addr), (v), ANYRCU_UATOMIC_MO(mo))))
#define uatomic_sub_mo(addr, v, mo)            \
	((void)ANYRCU_UATOMIC_CHANGE(addr, mo, \
				     __atomic_fetch_sub((addr), (v), ANYRCU_UATOMIC_MO(mo))))
#define uatomic_inc_mo(addr, mo) uatomic_add_mo(addr, 1, mo)
#define uatomic_dec_mo(addr, mo) uatomic_sub_mo(addr, 1, mo)

/* Without an order. */
#define ANYRCU_UATOMIC_SET(addr, v) ((void)CMM_STORE_SHARED(*(addr), (v)))
#define ANYRCU_UATOMIC_READ(addr) CMM_LOAD_SHARED(*(addr))
#define ANYRCU_UATOMIC_XCHG(addr, v)                                                          \
	ANYRCU_UATOMIC_FULL(addr, __atomic_exchange_n((addr), (ANYRCU_UATOMIC_TYPE(addr))(v), \
						      __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_CMPXCHG(addr, old, _new)                                                   \
	ANYRCU_UATOMIC_FULL(addr,                                                                 \
			    __sync_val_compare_and_swap((addr), (ANYRCU_UATOMIC_TYPE(addr))(old), \
							(ANYRCU_UATOMIC_TYPE(addr))(_new)))
#define ANYRCU_UATOMIC_CMPXCHG_1(addr, old, _new, mos) \
	uatomic_cmpxchg_mo(addr, old, _new, mos, CMM_RELAXED)
#define ANYRCU_UATOMIC_ADD_RETURN(addr, v) \
	ANYRCU_UATOMIC_FULL(addr, __atomic_add_fetch((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_SUB_RETURN(addr, v) \
	ANYRCU_UATOMIC_FULL(addr, __atomic_sub_fetch((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_AND(addr, v) ((void)__atomic_fetch_and((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_OR(addr, v) ((void)__atomic_fetch_or((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_ADD(addr, v) ((void)__atomic_fetch_add((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_SUB(addr, v) ((void)__atomic_fetch_sub((addr), (v), __ATOMIC_SEQ_CST))
#define ANYRCU_UATOMIC_INC(addr) ANYRCU_UATOMIC_ADD((addr), 1)
#define ANYRCU_UATOMIC_DEC(addr) ANYRCU_UATOMIC_SUB((addr), 1)

/* Selects by the number of arguments. The last argument is for "...", which must not be empty. */
#define ANYRCU_UATOMIC_BY_2(a, b, which, ...) which
#define ANYRCU_UATOMIC_BY_3(a, b, c, which, ...) which
#define ANYRCU_UATOMIC_BY_5(a, b, c, d, e, which, ...) which
#define ANYRCU_UATOMIC_1(with, without, ...) \
	ANYRCU_UATOMIC_BY_2(__VA_ARGS__, with, without, 0)(__VA_ARGS__)
#define ANYRCU_UATOMIC_2(with, without, ...) \
	ANYRCU_UATOMIC_BY_3(__VA_ARGS__, with, without, 0)(__VA_ARGS__)

#define uatomic_read(...) ANYRCU_UATOMIC_1(uatomic_load_mo, ANYRCU_UATOMIC_READ, __VA_ARGS__)
#define uatomic_load(...) ANYRCU_UATOMIC_1(uatomic_load_mo, ANYRCU_UATOMIC_READ, __VA_ARGS__)
#define uatomic_inc(...) ANYRCU_UATOMIC_1(uatomic_inc_mo, ANYRCU_UATOMIC_INC, __VA_ARGS__)
#define uatomic_dec(...) ANYRCU_UATOMIC_1(uatomic_dec_mo, ANYRCU_UATOMIC_DEC, __VA_ARGS__)
#define uatomic_set(...) ANYRCU_UATOMIC_2(uatomic_store_mo, ANYRCU_UATOMIC_SET, __VA_ARGS__)
#define uatomic_store(...) ANYRCU_UATOMIC_2(uatomic_store_mo, ANYRCU_UATOMIC_SET, __VA_ARGS__)
#define uatomic_xchg(...) ANYRCU_UATOMIC_2(uatomic_xchg_mo, ANYRCU_UATOMIC_XCHG, __VA_ARGS__)
#define uatomic_add_return(...) \
	ANYRCU_UATOMIC_2(uatomic_add_return_mo, ANYRCU_UATOMIC_ADD_RETURN, __VA_ARGS__)
#define uatomic_sub_return(...) \
	ANYRCU_UATOMIC_2(uatomic_sub_return_mo, ANYRCU_UATOMIC_SUB_RETURN, __VA_ARGS__)
#define uatomic_and(...) ANYRCU_UATOMIC_2(uatomic_and_mo, ANYRCU_UATOMIC_AND, __VA_ARGS__)
#define uatomic_or(...) ANYRCU_UATOMIC_2(uatomic_or_mo, ANYRCU_UATOMIC_OR, __VA_ARGS__)
#define uatomic_add(...) ANYRCU_UATOMIC_2(uatomic_add_mo, ANYRCU_UATOMIC_ADD, __VA_ARGS__)
#define uatomic_sub(...) ANYRCU_UATOMIC_2(uatomic_sub_mo, ANYRCU_UATOMIC_SUB, __VA_ARGS__)
#define uatomic_cmpxchg(...)                                                           \
	ANYRCU_UATOMIC_BY_5(__VA_ARGS__, uatomic_cmpxchg_mo, ANYRCU_UATOMIC_CMPXCHG_1, \
			    ANYRCU_UATOMIC_CMPXCHG, 0)                                 \
	(__VA_ARGS__)

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
