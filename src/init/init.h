/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Inside src/init. */
#ifndef ANYRCU_INIT_INIT_H
#define ANYRCU_INIT_INIT_H

#include <anyrcu/lockdep.h>

/* Turn the validator on, unless one is. False when there is no memory for it. Task. */
bool init_lockdep(void);
/* Report under every model what breaks under rt alone: spinlocks under raw ones. Before init_lockdep(). */
void init_lockdep_raw_nesting(bool report);
void init_lockdep_hook(void (*hook)(const struct anyrcu_lockdep_report *, void *), void *arg);

#endif
