/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Between the module's own files. */
#ifndef ANYRCU_KERNEL_MODULE_H
#define ANYRCU_KERNEL_MODULE_H

#include <base/compiler.h>

/* Give all pages back: nothing is deferred any more. Task. */
void zone_close(void);

/* The shrinker; 0, or -errno. Task. */
int shrink_start(void);
void shrink_stop(void);
extern uint64_t shrinks; /* how often it has acted */

/* The counts in debugfs. Task. */
void stats_start(void);
void stats_stop(void);

#endif
