/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavour that RCU_MEMBARRIER, RCU_SIGNAL or RCU_MB names, memb by default. */
#ifndef ANYRCU_COMPAT_URCU_URCU_H
#define ANYRCU_COMPAT_URCU_URCU_H

#if !defined(RCU_MEMBARRIER) && !defined(RCU_SIGNAL) && !defined(RCU_MB)
#define RCU_MEMBARRIER
#endif

#if defined(RCU_MEMBARRIER)
#include <urcu/urcu-memb.h>
#elif defined(RCU_SIGNAL)
#include <urcu/urcu-signal.h>
#else
#include <urcu/urcu-mb.h>
#endif

#endif
