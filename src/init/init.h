/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Internals of src/init. */
#ifndef ANYRCU_INIT_INIT_H
#define ANYRCU_INIT_INIT_H

#include <anyrcu/lockdep.h>

/* Turn the validator on, unless one is on. False if there is no memory for it. Task. */
bool init_lockdep(void);
/* Let the preloaded validator, if there is one, take over. Once. */
void init_lockdep_preloaded(void);
/*
 * @report: report under every model what is wrong under rt only, that is spinlocks taken under raw
 * ones. Call it before init_lockdep().
 */
void init_lockdep_raw_nesting(bool report);
void init_lockdep_hook(void (*hook)(const struct anyrcu_lockdep_report *, void *), void *arg);

#endif
