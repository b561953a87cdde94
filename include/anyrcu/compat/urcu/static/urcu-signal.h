/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_URCU_SIGNAL_H
#define ANYRCU_COMPAT_URCU_STATIC_URCU_SIGNAL_H

#include <urcu/urcu-signal.h>

#endif
