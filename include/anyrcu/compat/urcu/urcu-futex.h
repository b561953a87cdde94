/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_URCU_FUTEX_H
#define ANYRCU_COMPAT_URCU_URCU_FUTEX_H

#include <urcu/futex.h>

#endif
