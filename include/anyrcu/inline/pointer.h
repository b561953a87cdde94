/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Loads and stores of published pointers. Not an interface: use anyrcu/rcu.h.
 *
 * The variable may be a plain pointer, or an atomic one: _Atomic in C, std::atomic in C++.
 * Compilers differ in which of these their builtins accept, so an atomic variable is accessed as
 * the plain type that it holds, which has the same representation.
 */
#ifndef ANYRCU_INLINE_POINTER_H
#define ANYRCU_INLINE_POINTER_H

#include <anyrcu/inline/checker.h>

#ifdef __cplusplus
extern "C++" {
namespace anyrcu_inline
{
/*
 * The type that a variable holds. The second parameter prefers the first overload if the variable
 * has load(), as std::atomic does.
 */
template <typename P> auto held(P &p, int) -> decltype(p.load());
template <typename T> struct plain {
	typedef T type;
};
template <typename T> struct plain<const T> {
	typedef T type;
};
template <typename T> struct plain<volatile T> {
	typedef T type;
};
template <typename T> struct plain<const volatile T> {
	typedef T type;
};
template <typename P> typename plain<P>::type held(P &p, long);
template <typename P> struct value {
	typedef typename plain<decltype(held(*static_cast<P *>(nullptr), 0))>::type type;
};

template <typename P> __attribute__((always_inline)) inline typename value<P>::type *at(P &p)
{
	static_assert(sizeof(P) == sizeof(typename value<P>::type),
		      "the variable must be a pointer, or an atomic one");
	ANYRCU_CHECKER_ATOMIC(&p, sizeof(p));
	return reinterpret_cast<typename value<P>::type *>(
		&const_cast<char &>(reinterpret_cast<const volatile char &>(p)));
}

template <typename P>
__attribute__((always_inline)) inline typename value<P>::type load_acquire(P &p)
{
	typename value<P>::type v = __atomic_load_n(at(p), __ATOMIC_ACQUIRE);

	ANYRCU_CHECKER_ACQUIRE(&p);
	return v;
}

template <typename P>
__attribute__((always_inline)) inline typename value<P>::type load_relaxed(P &p)
{
	return __atomic_load_n(at(p), __ATOMIC_RELAXED);
}

template <typename P>
__attribute__((always_inline)) inline void store_release(P &p, typename value<P>::type v)
{
	ANYRCU_CHECKER_RELEASE(&p);
	__atomic_store_n(at(p), v, __ATOMIC_RELEASE);
}

template <typename P>
__attribute__((always_inline)) inline typename value<P>::type exchange(P &p,
								       typename value<P>::type v)
{
	ANYRCU_CHECKER_RELEASE(&p);
	v = __atomic_exchange_n(at(p), v, __ATOMIC_ACQ_REL);
	ANYRCU_CHECKER_ACQUIRE(&p);
	return v;
}
} // namespace anyrcu_inline
}
#define ANYRCU_LOAD_ACQUIRE(p) (::anyrcu_inline::load_acquire(p))
#define ANYRCU_LOAD_RELAXED(p) (::anyrcu_inline::load_relaxed(p))
#define ANYRCU_STORE_RELEASE(p, v) (::anyrcu_inline::store_release((p), (v)))
#define ANYRCU_EXCHANGE(p, v) (::anyrcu_inline::exchange((p), (v)))
#else
/* The type of a comma expression has no qualifiers, _Atomic among them. */
#define ANYRCU_AT(p) ((__typeof__((void)0, (p)) *)&(p))
#ifdef ANYRCU_VALGRIND
#define ANYRCU_LOAD(p, order)                                           \
	__extension__({                                                 \
		__typeof__(ANYRCU_AT(p)) anyrcu_at_ = ANYRCU_AT(p);     \
		__typeof__((void)0, (p)) anyrcu_value_;                 \
		ANYRCU_CHECKER_ATOMIC(anyrcu_at_, sizeof(*anyrcu_at_)); \
		anyrcu_value_ = __atomic_load_n(anyrcu_at_, (order));   \
		ANYRCU_CHECKER_ACQUIRE(anyrcu_at_);                     \
		anyrcu_value_;                                          \
	})
#define ANYRCU_STORE_RELEASE(p, v)                                             \
	__extension__({                                                        \
		__typeof__(ANYRCU_AT(p)) anyrcu_at_ = ANYRCU_AT(p);            \
		__typeof__((void)0, (p)) anyrcu_value_ = (v);                  \
		ANYRCU_CHECKER_ATOMIC(anyrcu_at_, sizeof(*anyrcu_at_));        \
		ANYRCU_CHECKER_RELEASE(anyrcu_at_);                            \
		__atomic_store_n(anyrcu_at_, anyrcu_value_, __ATOMIC_RELEASE); \
	})
#define ANYRCU_EXCHANGE(p, v)                                                                     \
	__extension__({                                                                           \
		__typeof__(ANYRCU_AT(p)) anyrcu_at_ = ANYRCU_AT(p);                               \
		__typeof__((void)0, (p)) anyrcu_value_ = (v);                                     \
		ANYRCU_CHECKER_ATOMIC(anyrcu_at_, sizeof(*anyrcu_at_));                           \
		ANYRCU_CHECKER_RELEASE(anyrcu_at_);                                               \
		anyrcu_value_ = __atomic_exchange_n(anyrcu_at_, anyrcu_value_, __ATOMIC_ACQ_REL); \
		ANYRCU_CHECKER_ACQUIRE(anyrcu_at_);                                               \
		anyrcu_value_;                                                                    \
	})
#else
#define ANYRCU_LOAD(p, order) __atomic_load_n(ANYRCU_AT(p), (order))
#define ANYRCU_STORE_RELEASE(p, v) __atomic_store_n(ANYRCU_AT(p), (v), __ATOMIC_RELEASE)
#define ANYRCU_EXCHANGE(p, v) __atomic_exchange_n(ANYRCU_AT(p), (v), __ATOMIC_ACQ_REL)
#endif
#define ANYRCU_LOAD_ACQUIRE(p) ANYRCU_LOAD(p, __ATOMIC_ACQUIRE)
#define ANYRCU_LOAD_RELAXED(p) ANYRCU_LOAD(p, __ATOMIC_RELAXED)
#endif

#endif
