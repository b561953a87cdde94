/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Shared by the kinds of locks in src/context. */
#ifndef ANYRCU_CONTEXT_LOCK_H
#define ANYRCU_CONTEXT_LOCK_H

#include <anyrcu/lock.h>
#include <context/context.h>
#include <lockdep/lockdep.h>

#define CALLER __builtin_return_address(0)

/* Tell the validator of an acquisition. */
static inline void acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
			   unsigned subclass, const void *ip)
{
	lockdep(acquire, lock, type, how, subclass, NULL, ip);
}

/* The holder of a lock that spins under this model must not wait. */
static inline void spinning_enter(void)
{
	if (context_model() == MODEL_FULL)
		context_nest++;
	compiler_barrier();
}

static inline void spinning_exit(void)
{
	compiler_barrier();
	if (context_model() == MODEL_FULL)
		context_nest--;
}

/*
 * Round @round of waiting for another thread: spins at first, then yields. If that thread runs, it
 * will be done before the spinning ends; with one CPU it cannot run meanwhile.
 */
void lock_wait_round(unsigned round);

/*
 * The lock inside an anyrcu_spinlock_t, which spins or, under the model rt, sleeps. The validator
 * is not told.
 */
void lock_either(anyrcu_spinlock_t *lock);
bool lock_either_try(anyrcu_spinlock_t *lock);
void lock_either_unlock(anyrcu_spinlock_t *lock);

#endif
