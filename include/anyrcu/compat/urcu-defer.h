/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_TOP_URCU_DEFER_H
#define ANYRCU_COMPAT_TOP_URCU_DEFER_H

#include <urcu/defer.h>

#endif
