/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_TOP_URCU_FLAVOR_H
#define ANYRCU_COMPAT_TOP_URCU_FLAVOR_H

#include <urcu/flavor.h>

#endif
