/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour bp of liburcu's interface. */
#ifndef ANYRCU_COMPAT_URCU_URCU_BP_H
#define ANYRCU_COMPAT_URCU_URCU_BP_H

#include <urcu/anyrcu/urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/debug.h>
#include <urcu/defer.h>
#include <urcu/flavor.h>
#include <urcu/pointer.h>

#define ANYRCU_URCU_NAME(x) urcu_bp_##x
#define ANYRCU_URCU_SELF ANYRCU_URCU_BP
#define ANYRCU_URCU_IS_QSBR 0
#include <urcu/anyrcu/flavor.h>
#undef ANYRCU_URCU_NAME
#undef ANYRCU_URCU_SELF
#undef ANYRCU_URCU_IS_QSBR

#define urcu_bp_flavor anyrcu_urcu_flavors[ANYRCU_URCU_BP]
#define urcu_bp_dereference rcu_dereference
#define urcu_bp_cmpxchg_pointer rcu_cmpxchg_pointer
#define urcu_bp_xchg_pointer rcu_xchg_pointer
#define urcu_bp_set_pointer rcu_set_pointer

/* What liburcu has inline with _LGPL_SOURCE. */
#define _urcu_bp_read_lock urcu_bp_read_lock
#define _urcu_bp_read_unlock urcu_bp_read_unlock
#define _urcu_bp_read_ongoing urcu_bp_read_ongoing
#define _urcu_bp_quiescent_state urcu_bp_quiescent_state
#define urcu_bp_dereference_sym rcu_dereference_sym
#define urcu_bp_cmpxchg_pointer_sym rcu_cmpxchg_pointer_sym
#define urcu_bp_xchg_pointer_sym rcu_xchg_pointer_sym
#define urcu_bp_set_pointer_sym rcu_set_pointer_sym

/* Grace periods go on in the child of a fork() by themselves. */
static inline void urcu_bp_before_fork(void)
{
}

static inline void urcu_bp_after_fork_parent(void)
{
}

static inline void urcu_bp_after_fork_child(void)
{
}

#endif

#ifdef URCU_API_MAP
#include <urcu/map/urcu-bp.h>
#endif
