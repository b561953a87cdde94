/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour memb of liburcu's interface. */
#ifndef ANYRCU_COMPAT_URCU_URCU_MEMB_H
#define ANYRCU_COMPAT_URCU_URCU_MEMB_H

#include <urcu/anyrcu/urcu.h>
#include <urcu/call-rcu.h>
#include <urcu/debug.h>
#include <urcu/defer.h>
#include <urcu/flavor.h>
#include <urcu/pointer.h>

#define ANYRCU_URCU_NAME(x) urcu_memb_##x
#define ANYRCU_URCU_SELF ANYRCU_URCU_MEMB
#define ANYRCU_URCU_IS_QSBR 0
#include <urcu/anyrcu/flavor.h>
#undef ANYRCU_URCU_NAME
#undef ANYRCU_URCU_SELF
#undef ANYRCU_URCU_IS_QSBR

#define urcu_memb_flavor anyrcu_urcu_flavors[ANYRCU_URCU_MEMB]
#define urcu_memb_dereference rcu_dereference
#define urcu_memb_cmpxchg_pointer rcu_cmpxchg_pointer
#define urcu_memb_xchg_pointer rcu_xchg_pointer
#define urcu_memb_set_pointer rcu_set_pointer

/* What liburcu has inline with _LGPL_SOURCE. */
#define _urcu_memb_read_lock urcu_memb_read_lock
#define _urcu_memb_read_unlock urcu_memb_read_unlock
#define _urcu_memb_read_ongoing urcu_memb_read_ongoing
#define _urcu_memb_quiescent_state urcu_memb_quiescent_state

#endif

#ifdef URCU_API_MAP
#include <urcu/map/urcu-memb.h>
#endif
