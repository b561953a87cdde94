/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Readers without a record of their own; used by reader.c and gp.c. */
#ifndef ANYRCU_GP_CROWD_H
#define ANYRCU_GP_CROWD_H

#include <anyrcu/rcu.h>
#include <port/process.h>

/* How many sections of the calling thread are counted in the crowd. */
extern PORT_THREAD_LOCAL uint32_t crowd_nest;

/*
 * A section begins, ends. The caller must order the section's loads after crowd_enter(). Any
 * context.
 */
void crowd_enter(void);
void crowd_exit(void);
/* All sections of the calling thread end. */
void crowd_exit_all(void);
/* Does no thread read in the crowd? An acquire, as the scan of a record is. Any context. */
bool crowd_empty(void);
/* Tell a checker that what the crowd did before its sections' ends happens before what follows. */
void crowd_acquire(void);
void crowd_fork_child(void);

#endif
