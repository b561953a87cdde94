/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The macros of liburcu's urcu/compiler.h, by the compiler's builtins. */
#ifndef ANYRCU_COMPAT_URCU_COMPILER_H
#define ANYRCU_COMPAT_URCU_COMPILER_H

#include <stddef.h>

#define caa_likely(x) __builtin_expect(!!(x), 1)
#define caa_unlikely(x) __builtin_expect(!!(x), 0)

#define cmm_barrier() __asm__ __volatile__("" ::: "memory")
#define CMM_ACCESS_ONCE(x) (*(volatile __typeof__(x) *)&(x))

#ifndef caa_max
#define caa_max(a, b) ((a) < (b) ? (b) : (a))
#endif
#ifndef caa_min
#define caa_min(a, b) ((b) < (a) ? (b) : (a))
#endif

#define CAA_BITS_PER_LONG (__SIZEOF_LONG__ * 8)
#define CAA_ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* The unused branch makes the compiler compare the types. */
#define caa_container_of(ptr, type, member) \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

/* NULL for NULL. */
#define caa_container_of_check_null(ptr, type, member)                                       \
	__extension__({                                                                      \
		__typeof__(ptr) anyrcu_member_ = (ptr);                                      \
		anyrcu_member_ ? caa_container_of(anyrcu_member_, type, member) : (type *)0; \
	})

#define CAA_BUILD_BUG_ON_ZERO(cond) (sizeof(char[1 - 2 * !!(cond)]) - 1)
#define CAA_BUILD_BUG_ON(cond) ((void)CAA_BUILD_BUG_ON_ZERO(cond))

#define __rcu

#ifdef __cplusplus
#define URCU_FORCE_CAST(type, arg) (reinterpret_cast<type>(arg))
#else
#define URCU_FORCE_CAST(type, arg) ((type)(arg))
#endif

#define caa_is_signed_type(type) ((type)-1 < (type)1)
#define caa_cast_long_keep_sign(v) ((unsigned long)(v))

#define CDS_DEPRECATED(msg) __attribute__((deprecated(msg)))

#if defined(__GNUC__) && !defined(__clang__)
#define URCU_GCC_VERSION (__GNUC__ * 10000 + __GNUC_MINOR__ * 100 + __GNUC_PATCHLEVEL__)
#endif

#endif
