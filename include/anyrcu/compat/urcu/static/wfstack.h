/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_WFSTACK_H
#define ANYRCU_COMPAT_URCU_STATIC_WFSTACK_H

#include <urcu/wfstack.h>

#endif
