/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_TOP_URCU_POINTER_H
#define ANYRCU_COMPAT_TOP_URCU_POINTER_H

#include <urcu/pointer.h>

#endif
