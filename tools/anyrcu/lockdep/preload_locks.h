/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the files about locks have in common; see preload_locks.c. */
#ifndef ANYRCU_PRELOAD_LOCKS_H
#define ANYRCU_PRELOAD_LOCKS_H

#include <time.h>

#include "lockdep/preload_counts.h"

void lock_acquire(const volatile void *lock, const struct anyrcu_lock_type *type, unsigned how,
		  const void *ip);
void lock_release(const volatile void *lock, const void *ip);
void lock_init(const volatile void *lock, const struct anyrcu_lock_type *type, const void *ip);
void lock_destroy(const volatile void *lock, const void *ip);

/* Until when a wait with another lock held is a short one. */
struct timespec lock_soon(void);

static inline void lock_released(const volatile void *lock, const void *ip)
{
	if (likely(watched()))
		lock_release(lock, ip);
	else if (counted())
		count_released(lock);
}

#endif
