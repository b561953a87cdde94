/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_RCULFSTACK_H
#define ANYRCU_COMPAT_URCU_STATIC_RCULFSTACK_H

#include <urcu/rculfstack.h>

#endif
