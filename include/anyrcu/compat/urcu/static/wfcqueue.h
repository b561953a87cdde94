/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_STATIC_WFCQUEUE_H
#define ANYRCU_COMPAT_URCU_STATIC_WFCQUEUE_H

#include <urcu/wfcqueue.h>

#endif
