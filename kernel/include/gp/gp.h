/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the core uses of readers and grace periods: the kernel's own. See ../../gp.c. */
#ifndef ANYRCU_GP_GP_H
#define ANYRCU_GP_GP_H

#include <port/port.h>

typedef uint64_t anyrcu_gp_t;

/* A section that a grace period waits for. Any context in which RCU watches. */
void anyrcu_read_lock(void);
void anyrcu_read_unlock(void);
void anyrcu_synchronize(void);

/* A grace period that begins after what the caller did before; and is it over? Task. */
anyrcu_gp_t gp_cookie(void);
bool anyrcu_gp_done(anyrcu_gp_t cookie);
/* Wait a moment, unless @cookie's grace period has ended. Task. */
void gp_pause(anyrcu_gp_t cookie, unsigned round);
/*
 * @what may wait for a grace period: lockdep complains where it must not be called. And: where it
 * must not be called although it does not wait.
 */
void gp_may_wait(const char *what);
static inline void gp_must_not_read(const char *what)
{
	gp_may_wait(what);
}

/* Grace periods advance by themselves, and their stalls are reported by the kernel. */
static inline void gp_step(void)
{
}

static inline bool gp_wanted(void)
{
	return false;
}

static inline anyrcu_gp_t gp_newest(void)
{
	return 0;
}

static inline void gp_remind(void)
{
}

static inline void gp_stall_check(void)
{
}

static inline void gp_sweep(void)
{
}

static inline bool gp_waits_begin(void)
{
	return false;
}

static inline void gp_waits_end(bool online)
{
	(void)online;
}

#endif
