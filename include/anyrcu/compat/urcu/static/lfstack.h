/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_LFSTACK_H
#define ANYRCU_COMPAT_URCU_STATIC_LFSTACK_H

#include <urcu/lfstack.h>

#endif
