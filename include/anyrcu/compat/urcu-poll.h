/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_TOP_URCU_POLL_H
#define ANYRCU_COMPAT_TOP_URCU_POLL_H

#include <urcu/urcu-poll.h>

#endif
