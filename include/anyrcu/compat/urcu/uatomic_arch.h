/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_UATOMIC_ARCH_H
#define ANYRCU_COMPAT_URCU_UATOMIC_ARCH_H

#include <urcu/uatomic.h>

#endif
