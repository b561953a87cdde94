/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Read-write locks and spinlocks; see preload_locks.c. */
#define _GNU_SOURCE
#include "lockdep/preload_locks.h"

const struct anyrcu_lock_type rwlock_type = { "rwlock", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };
static const struct anyrcu_lock_type spin_type = { "spinlock", ANYRCU_WAIT_SPIN, ANYRCU_WAIT_SPIN };

/* ---- read-write locks ---- */

/*
 * Unless it was asked to prefer writers, glibc lets a reader in while others read, whoever waits.
 */
static unsigned how_to_read(const pthread_rwlock_t *l)
{
	return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP ?
		       ANYRCU_LOCK_READ :
		       ANYRCU_LOCK_RECURSIVE_READ;
}

EXPORT int pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *attr)
{
	int shared = 0;

	if (attr)
		pthread_rwlockattr_getpshared(attr, &shared);
	if (shared && watched())
		shared_forget(l);
	lock_init(l, &rwlock_type, CALLER);
	return real.pthread_rwlock_init(l, attr);
}

EXPORT int pthread_rwlock_destroy(pthread_rwlock_t *l)
{
	lock_destroy(l, CALLER);
	return real.pthread_rwlock_destroy(l);
}

#define try_how(l, how)                                                  \
	((how) == ANYRCU_LOCK_WRITE ? real.pthread_rwlock_trywrlock(l) : \
				      real.pthread_rwlock_tryrdlock(l))
#define lock_how(l, how) \
	((how) == ANYRCU_LOCK_WRITE ? real.pthread_rwlock_wrlock(l) : real.pthread_rwlock_rdlock(l))

static noinline int wait_for_rwlock(pthread_rwlock_t *l, unsigned how)
{
	struct timespec until;
	int error;

	if (!lockdep_holds_more())
		return lock_how(l, how);
	until = lock_soon();
	error = how == ANYRCU_LOCK_WRITE ?
			real.pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &until) :
			real.pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &until);
	if (error != ETIMEDOUT)
		return error;
	lockdep_blocks(l);
	error = lock_how(l, how);
	lockdep_goes_on();
	return error;
}

static int lock_rwlock(pthread_rwlock_t *l, unsigned how, const void *ip)
{
	int error;

	if (unlikely(!watched()))
		return counted() ? count_lock(l, &rwlock_type, how, ip, try_how(l, how),
					      lock_how(l, how)) :
				   lock_how(l, how);
	lock_acquire(l, &rwlock_type, how, ip);
	error = try_how(l, how);
	if (unlikely(error == EBUSY))
		error = wait_for_rwlock(l, how);
	if (unlikely(error))
		lock_release(l, ip);
	return error;
}

#define try_rwlock(l, how, waits, try)                                                  \
	({                                                                              \
		bool told_ = watched();                                                 \
		int error_ = counted() ? count_try(l, &rwlock_type, how, CALLER, waits, \
						   try_how(l, how), try) :              \
					 (try);                                         \
		if (told_ && !error_)                                                   \
			lock_acquire(l, &rwlock_type, (how) | ANYRCU_LOCK_TRY, CALLER); \
		error_;                                                                 \
	})

EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
	return lock_rwlock(l, how_to_read(l), CALLER);
}

EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
	return lock_rwlock(l, ANYRCU_LOCK_WRITE, CALLER);
}

EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t *l)
{
	return try_rwlock(l, how_to_read(l), false, real.pthread_rwlock_tryrdlock(l));
}

EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t *l)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, false, real.pthread_rwlock_trywrlock(l));
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *until)
{
	return try_rwlock(l, how_to_read(l), true, real.pthread_rwlock_timedrdlock(l, until));
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *until)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, true, real.pthread_rwlock_timedwrlock(l, until));
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *l, clockid_t clock,
				      const struct timespec *until)
{
	return try_rwlock(l, how_to_read(l), true,
			  real.pthread_rwlock_clockrdlock(l, clock, until));
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *l, clockid_t clock,
				      const struct timespec *until)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, true,
			  real.pthread_rwlock_clockwrlock(l, clock, until));
}

EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	lock_released(l, CALLER);
	return real.pthread_rwlock_unlock(l);
}

/* ---- spinlocks ---- */

EXPORT int pthread_spin_init(pthread_spinlock_t *l, int shared)
{
	lock_init(l, &spin_type, CALLER);
	return real.pthread_spin_init(l, shared);
}

EXPORT int pthread_spin_destroy(pthread_spinlock_t *l)
{
	lock_destroy(l, CALLER);
	return real.pthread_spin_destroy(l);
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *l)
{
	if (watched())
		lock_acquire(l, &spin_type, ANYRCU_LOCK_WRITE, CALLER);
	else if (counted())
		return count_lock(l, &spin_type, ANYRCU_LOCK_WRITE, CALLER,
				  real.pthread_spin_trylock(l), real.pthread_spin_lock(l));
	return real.pthread_spin_lock(l);
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t *l)
{
	bool told = watched();
	int error = counted() ? count_try(l, &spin_type, ANYRCU_LOCK_WRITE, CALLER, false,
					  real.pthread_spin_trylock(l), 0) :
				real.pthread_spin_trylock(l);

	if (told && !error)
		lock_acquire(l, &spin_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return error;
}

EXPORT int pthread_spin_unlock(pthread_spinlock_t *l)
{
	lock_released(l, CALLER);
	return real.pthread_spin_unlock(l);
}
