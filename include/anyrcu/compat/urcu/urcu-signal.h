/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour signal of liburcu's interface. */
#ifndef ANYRCU_COMPAT_URCU_URCU_SIGNAL_H
#define ANYRCU_COMPAT_URCU_URCU_SIGNAL_H

#include <urcu/anyrcu/urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/debug.h>
#include <urcu/defer.h>
#include <urcu/flavor.h>
#include <urcu/pointer.h>

#define ANYRCU_URCU_NAME(x) urcu_signal_##x
#define ANYRCU_URCU_SELF ANYRCU_URCU_SIGNAL
#define ANYRCU_URCU_IS_QSBR 0
#include <urcu/anyrcu/flavor.h>
#undef ANYRCU_URCU_NAME
#undef ANYRCU_URCU_SELF
#undef ANYRCU_URCU_IS_QSBR

#define urcu_signal_flavor anyrcu_urcu_flavors[ANYRCU_URCU_SIGNAL]
#define urcu_signal_dereference rcu_dereference
#define urcu_signal_cmpxchg_pointer rcu_cmpxchg_pointer
#define urcu_signal_xchg_pointer rcu_xchg_pointer
#define urcu_signal_set_pointer rcu_set_pointer

/* What liburcu has inline with _LGPL_SOURCE. */
#define _urcu_signal_read_lock urcu_signal_read_lock
#define _urcu_signal_read_unlock urcu_signal_read_unlock
#define _urcu_signal_read_ongoing urcu_signal_read_ongoing
#define _urcu_signal_quiescent_state urcu_signal_quiescent_state

#endif

#ifdef URCU_API_MAP
#include <urcu/map/urcu-signal.h>
#endif
