/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Assertions, which liburcu has here since 0.14. If they are off, the expression is still compiled,
 * but not evaluated.
 */
#ifndef ANYRCU_COMPAT_URCU_ASSERT_H
#define ANYRCU_COMPAT_URCU_ASSERT_H

#include <assert.h>
#include <urcu/config.h>

#define ANYRCU_COMPAT_USED(cond) ((void)sizeof((void)(cond), 0))

#ifdef NDEBUG
#define urcu_posix_assert(cond) ANYRCU_COMPAT_USED(cond)
#else
#define urcu_posix_assert(cond) assert(cond)
#endif

#if defined(DEBUG_RCU) || defined(RCU_DEBUG) || defined(CONFIG_RCU_DEBUG)
#define urcu_assert_debug(cond) urcu_posix_assert(cond)
#else
#define urcu_assert_debug(cond) ANYRCU_COMPAT_USED(cond)
#endif

#endif
