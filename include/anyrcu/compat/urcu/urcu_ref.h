/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_URCU_REF_H
#define ANYRCU_COMPAT_URCU_URCU_REF_H

#include <urcu/ref.h>

#endif
