/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#if defined(RCU_MEMBARRIER)
#include <urcu/map/urcu-memb.h>
#elif defined(RCU_SIGNAL)
#include <urcu/map/urcu-signal.h>
#elif defined(RCU_MB)
#include <urcu/map/urcu-mb.h>
#else
#error "none of RCU_MEMBARRIER, RCU_SIGNAL and RCU_MB is defined"
#endif
