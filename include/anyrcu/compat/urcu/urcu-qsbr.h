/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour qsbr of liburcu's interface. */
#ifndef ANYRCU_COMPAT_URCU_URCU_QSBR_H
#define ANYRCU_COMPAT_URCU_URCU_QSBR_H

#include <urcu/anyrcu/urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/debug.h>
#include <urcu/defer.h>
#include <urcu/flavor.h>
#include <urcu/pointer.h>

#define ANYRCU_URCU_NAME(x) urcu_qsbr_##x
#define ANYRCU_URCU_SELF ANYRCU_URCU_QSBR
#define ANYRCU_URCU_IS_QSBR 1
#include <urcu/anyrcu/flavor.h>
#undef ANYRCU_URCU_NAME
#undef ANYRCU_URCU_SELF
#undef ANYRCU_URCU_IS_QSBR

#define urcu_qsbr_flavor anyrcu_urcu_flavors[ANYRCU_URCU_QSBR]
#define urcu_qsbr_dereference rcu_dereference
#define urcu_qsbr_cmpxchg_pointer rcu_cmpxchg_pointer
#define urcu_qsbr_xchg_pointer rcu_xchg_pointer
#define urcu_qsbr_set_pointer rcu_set_pointer

/* What liburcu has inline with _LGPL_SOURCE. */
#define _urcu_qsbr_read_lock urcu_qsbr_read_lock
#define _urcu_qsbr_read_unlock urcu_qsbr_read_unlock
#define _urcu_qsbr_read_ongoing urcu_qsbr_read_ongoing
#define _urcu_qsbr_quiescent_state urcu_qsbr_quiescent_state
#define _urcu_qsbr_thread_offline urcu_qsbr_thread_offline
#define _urcu_qsbr_thread_online urcu_qsbr_thread_online

#endif

#ifdef URCU_API_MAP
#include <urcu/map/urcu-qsbr.h>
#endif
