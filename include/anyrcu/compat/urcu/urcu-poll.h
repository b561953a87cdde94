/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Polling for grace periods, which liburcu has since 0.14. The functions are declared by a
 * flavour's header.
 */
#ifndef ANYRCU_COMPAT_URCU_URCU_POLL_H
#define ANYRCU_COMPAT_URCU_URCU_POLL_H

#include <stdbool.h>

struct urcu_gp_poll_state {
	unsigned long grace_period_id;
};

#endif
