/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_WFQUEUE_H
#define ANYRCU_COMPAT_URCU_STATIC_WFQUEUE_H

#include <urcu/wfqueue.h>

#endif
