/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour mb of liburcu's interface. */
#ifndef ANYRCU_COMPAT_URCU_URCU_MB_H
#define ANYRCU_COMPAT_URCU_URCU_MB_H

#include <urcu/anyrcu/urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/debug.h>
#include <urcu/defer.h>
#include <urcu/flavor.h>
#include <urcu/pointer.h>

#define ANYRCU_URCU_NAME(x) urcu_mb_##x
#define ANYRCU_URCU_SELF ANYRCU_URCU_MB
#define ANYRCU_URCU_IS_QSBR 0
#include <urcu/anyrcu/flavor.h>
#undef ANYRCU_URCU_NAME
#undef ANYRCU_URCU_SELF
#undef ANYRCU_URCU_IS_QSBR

#define urcu_mb_flavor anyrcu_urcu_flavors[ANYRCU_URCU_MB]
#define urcu_mb_dereference rcu_dereference
#define urcu_mb_cmpxchg_pointer rcu_cmpxchg_pointer
#define urcu_mb_xchg_pointer rcu_xchg_pointer
#define urcu_mb_set_pointer rcu_set_pointer

/* What liburcu has inline with _LGPL_SOURCE. */
#define _urcu_mb_read_lock urcu_mb_read_lock
#define _urcu_mb_read_unlock urcu_mb_read_unlock
#define _urcu_mb_read_ongoing urcu_mb_read_ongoing
#define _urcu_mb_quiescent_state urcu_mb_quiescent_state

#endif

#ifdef URCU_API_MAP
#include <urcu/map/urcu-mb.h>
#endif
