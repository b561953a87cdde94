/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The system call futex(), which Linux always has; so the names of liburcu's fallbacks for other
 * systems mean it too.
 */
#ifndef ANYRCU_COMPAT_URCU_FUTEX_H
#define ANYRCU_COMPAT_URCU_FUTEX_H

#include <errno.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>
#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/config.h>
#include <urcu/syscall-compat.h>

#define CONFIG_RCU_HAVE_FUTEX 1
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

/* Strict C's headers declare neither of these; those of C++ always do. */
struct timespec;
#ifndef __cplusplus
extern long syscall(long number, ...);
#endif

static inline int futex(int32_t *uaddr, int op, int32_t val, const struct timespec *timeout,
			int32_t *uaddr2, int32_t val3)
{
	return (int)syscall(SYS_futex, uaddr, op, val, timeout, uaddr2, val3);
}

#define futex_async futex
#define futex_noasync futex
#define compat_futex_async futex
#define compat_futex_noasync futex

#endif
