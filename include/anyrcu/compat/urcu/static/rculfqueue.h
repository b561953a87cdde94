/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_RCULFQUEUE_H
#define ANYRCU_COMPAT_URCU_STATIC_RCULFQUEUE_H

#include <urcu/rculfqueue.h>

#endif
