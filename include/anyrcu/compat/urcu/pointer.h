/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Pointers between writers and readers, by liburcu's names.
 *
 * In liburcu a program without _LGPL_SOURCE may pass any expression to rcu_dereference(), as it
 * becomes the argument of a function; so it may here. With _LGPL_SOURCE the argument must be an
 * lvalue, which is then read by one atomic load.
 */
#ifndef ANYRCU_COMPAT_URCU_POINTER_H
#define ANYRCU_COMPAT_URCU_POINTER_H

#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/uatomic.h>

#define _rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define _rcu_set_pointer(p, v)                                        \
	__extension__({                                               \
		__typeof__(*(p)) anyrcu_set_ = (v);                   \
		__atomic_store_n((p), anyrcu_set_, __ATOMIC_RELEASE); \
		anyrcu_set_;                                          \
	})
#define _rcu_assign_pointer(p, v) ((void)_rcu_set_pointer(&(p), v))
#define _rcu_xchg_pointer(p, v)                      \
	__extension__({                              \
		__typeof__(*(p)) anyrcu_xchg_ = (v); \
		uatomic_xchg(p, anyrcu_xchg_);       \
	})
#define _rcu_cmpxchg_pointer(p, old, _new)                                  \
	__extension__({                                                     \
		__typeof__(*(p)) anyrcu_old_ = (old), anyrcu_new_ = (_new); \
		uatomic_cmpxchg(p, anyrcu_old_, anyrcu_new_);               \
	})

/*
 * Hides the value's origin from the compiler, so that it cannot read the pointer's location a
 * second time.
 */
static inline void *rcu_dereference_sym(void *p)
{
	__asm__ __volatile__("" : "+r"(p) : : "memory");
	cmm_smp_read_barrier_depends();
	return p;
}

static inline void *rcu_set_pointer_sym(void **p, void *v)
{
	return _rcu_set_pointer(p, v);
}

static inline void *rcu_xchg_pointer_sym(void **p, void *v)
{
	return _rcu_xchg_pointer(p, v);
}

static inline void *rcu_cmpxchg_pointer_sym(void **p, void *old, void *_new)
{
	return _rcu_cmpxchg_pointer(p, old, _new);
}

#if defined(_LGPL_SOURCE) || defined(URCU_INLINE_SMALL_FUNCTIONS)
#define rcu_dereference _rcu_dereference
#else
#define rcu_dereference(p) ((__typeof__(p))rcu_dereference_sym((void *)(p)))
#endif
#define rcu_set_pointer(p, v) ((void)_rcu_set_pointer(p, v))
#define rcu_assign_pointer(p, v) rcu_set_pointer(&(p), v)
#define rcu_xchg_pointer _rcu_xchg_pointer
#define rcu_cmpxchg_pointer _rcu_cmpxchg_pointer

#endif
