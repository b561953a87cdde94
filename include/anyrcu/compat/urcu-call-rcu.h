/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_TOP_URCU_CALL_RCU_H
#define ANYRCU_COMPAT_TOP_URCU_CALL_RCU_H

#include <urcu/call-rcu.h>

#endif
