/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks. An acquisition is told before it waits, so that a deadlock is reported before it happens, and taken back when there was none.
 * A release is told before it happens, as the lock may be freed right after. What is tried, with a time-out or without, cannot wait for ever,
 * so it is told once it has been had.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "lockdep.h"

/*
 * A handler of a program may take a mutex, if its signal is blocked wherever that is held: so it may where CONFIG is allowed, though not where
 * one may only spin. Who holds it may sleep.
 */
static const struct anyrcu_lock_type mutex_type = { "mutex", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };
static const struct anyrcu_lock_type rwlock_type = { "rwlock", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };
static const struct anyrcu_lock_type spin_type = { "spinlock", ANYRCU_WAIT_SPIN, ANYRCU_WAIT_SPIN };

static inline void acquire(const volatile void *lock, const struct anyrcu_lock_type *type, unsigned how, const void *ip)
{
	lockdep_engine.acquire((const void *)lock, type, how, 0, NULL, ip);
}

static inline void release(const volatile void *lock, const void *ip)
{
	lockdep_engine.release((const void *)lock, ip);
}

/* ---- mutexes ---- */

/* Mutexes are told apart by the low bits of their kind, which libc cannot change: it is in PTHREAD_MUTEX_INITIALIZER. */
static inline int kind_of(const pthread_mutex_t *m)
{
	return load(&m->__data.__kind) & 3;
}

/*
 * Does the caller own this mutex of a kind that knows it? Then locking it is no acquisition: a recursive one counts,
 * an error-checking one says EDEADLK.
 */
static inline bool owns(const pthread_mutex_t *m)
{
	int kind = kind_of(m);

	return unlikely(kind == PTHREAD_MUTEX_RECURSIVE || kind == PTHREAD_MUTEX_ERRORCHECK) &&
	       (uint32_t)load(&m->__data.__owner) == me.tid;
}

/* Is unlocking it, or waiting on a condition variable with it, no release, as the caller has locked it more than once? */
static inline bool nested(const pthread_mutex_t *m)
{
	return unlikely(kind_of(m) == PTHREAD_MUTEX_RECURSIVE) && m->__data.__count > 1 &&
	       (uint32_t)load(&m->__data.__owner) == me.tid;
}

/* The owner of a robust mutex has died: it is had all the same. */
static inline bool had(int error)
{
	return likely(error == 0) || error == EOWNERDEAD;
}

/* The child of a fork makes locks anew that were held at the fork: nobody else is there to miss them. */
static void init_lock(const volatile void *lock, const struct anyrcu_lock_type *type, const void *ip)
{
	if (unlikely(in_forked_child) && lockdep_engine.is_held((const void *)lock))
		release(lock, ip);
	lockdep_engine.init((const void *)lock, type, NULL, class_of_caller(ip), ip);
}

EXPORT int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	if (watched())
		init_lock(m, &mutex_type, CALLER);
	return real.pthread_mutex_init(m, attr);
}

EXPORT int pthread_mutex_destroy(pthread_mutex_t *m)
{
	if (watched())
		lockdep_engine.destroy(m, CALLER);
	return real.pthread_mutex_destroy(m);
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
	int error;

	if (unlikely(!watched()) || owns(m))
		return real.pthread_mutex_lock(m);
	acquire(m, &mutex_type, ANYRCU_LOCK_WRITE, CALLER);
	error = real.pthread_mutex_lock(m);
	if (unlikely(!had(error)))
		release(m, CALLER);
	return error;
}

#define try_mutex(m, try)                                                                                              \
	({                                                                                                             \
		bool new_ = watched() && !owns(m);                                                                     \
		int error_ = (try);                                                                                    \
		if (new_ && had(error_))                                                                               \
			acquire(m, &mutex_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);                          \
		error_;                                                                                                \
	})

EXPORT int pthread_mutex_trylock(pthread_mutex_t *m)
{
	return try_mutex(m, real.pthread_mutex_trylock(m));
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	return try_mutex(m, real.pthread_mutex_timedlock(m, until));
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
	return try_mutex(m, real.pthread_mutex_clocklock(m, clock, until));
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (likely(watched()) && !nested(m))
		release(m, CALLER);
	return real.pthread_mutex_unlock(m);
}

/* ---- waiting ---- */

static inline void might_sleep(const char *what, const void *ip)
{
	lockdep_engine.might_sleep(what, ip);
}

/* The mutex is released for the time of the wait, and acquired again however that ends: by cancellation too. */
struct wait {
	const void *mutex; /* NULL: none is released */
	const void *ip;
};

static void end_wait(struct wait *w)
{
	if (w->mutex)
		acquire(w->mutex, &mutex_type, ANYRCU_LOCK_WRITE, w->ip);
}

static struct wait begin_wait(pthread_mutex_t *m, const char *what, const void *ip)
{
	struct wait w = { .ip = ip };

	if (!watched())
		return w;
	if (!nested(m)) {
		w.mutex = m;
		release(m, ip);
	}
	might_sleep(what, ip);
	return w;
}

#define wait_with(m, what, call)                                                                                       \
	__attribute__((cleanup(end_wait), unused)) struct wait w = begin_wait(m, what, CALLER);                        \
	return call

EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	wait_with(m, "pthread_cond_wait", real.pthread_cond_wait(c, m));
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
	wait_with(m, "pthread_cond_timedwait", real.pthread_cond_timedwait(c, m, until));
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
	wait_with(m, "pthread_cond_clockwait", real.pthread_cond_clockwait(c, m, clock, until));
}

#define sleep_in(what, call)                                                                                           \
	({                                                                                                             \
		if (watched())                                                                                         \
			might_sleep(what, CALLER);                                                                     \
		call;                                                                                                  \
	})

EXPORT int pthread_barrier_wait(pthread_barrier_t *b)
{
	return sleep_in("pthread_barrier_wait", real.pthread_barrier_wait(b));
}

EXPORT int pthread_join(pthread_t thread, void **result)
{
	return sleep_in("pthread_join", real.pthread_join(thread, result));
}

EXPORT int sem_wait(sem_t *s)
{
	return sleep_in("sem_wait", real.sem_wait(s));
}

EXPORT int sem_timedwait(sem_t *s, const struct timespec *until)
{
	return sleep_in("sem_timedwait", real.sem_timedwait(s, until));
}

EXPORT int sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *until)
{
	return sleep_in("sem_clockwait", real.sem_clockwait(s, clock, until));
}

/* ---- read-write locks ---- */

/* Unless it was asked to prefer writers, glibc lets a reader in while others read, whoever waits. */
static unsigned how_to_read(const pthread_rwlock_t *l)
{
	return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP ? ANYRCU_LOCK_READ
										: ANYRCU_LOCK_RECURSIVE_READ;
}

EXPORT int pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *attr)
{
	if (watched())
		init_lock(l, &rwlock_type, CALLER);
	return real.pthread_rwlock_init(l, attr);
}

EXPORT int pthread_rwlock_destroy(pthread_rwlock_t *l)
{
	if (watched())
		lockdep_engine.destroy(l, CALLER);
	return real.pthread_rwlock_destroy(l);
}

#define lock_rwlock(l, how, lock)                                                                                      \
	({                                                                                                             \
		bool told_ = watched();                                                                                \
		int error_;                                                                                            \
		if (told_)                                                                                             \
			acquire(l, &rwlock_type, how, CALLER);                                                         \
		error_ = (lock);                                                                                       \
		if (told_ && error_)                                                                                   \
			release(l, CALLER);                                                                            \
		error_;                                                                                                \
	})

#define try_rwlock(l, how, try)                                                                                        \
	({                                                                                                             \
		bool told_ = watched();                                                                                \
		int error_ = (try);                                                                                    \
		if (told_ && !error_)                                                                                  \
			acquire(l, &rwlock_type, (how) | ANYRCU_LOCK_TRY, CALLER);                                     \
		error_;                                                                                                \
	})

EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
	return lock_rwlock(l, how_to_read(l), real.pthread_rwlock_rdlock(l));
}

EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
	return lock_rwlock(l, ANYRCU_LOCK_WRITE, real.pthread_rwlock_wrlock(l));
}

EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t *l)
{
	return try_rwlock(l, how_to_read(l), real.pthread_rwlock_tryrdlock(l));
}

EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t *l)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, real.pthread_rwlock_trywrlock(l));
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *until)
{
	return try_rwlock(l, how_to_read(l), real.pthread_rwlock_timedrdlock(l, until));
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *until)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, real.pthread_rwlock_timedwrlock(l, until));
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until)
{
	return try_rwlock(l, how_to_read(l), real.pthread_rwlock_clockrdlock(l, clock, until));
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until)
{
	return try_rwlock(l, ANYRCU_LOCK_WRITE, real.pthread_rwlock_clockwrlock(l, clock, until));
}

EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	if (watched())
		release(l, CALLER);
	return real.pthread_rwlock_unlock(l);
}

/* ---- spinlocks ---- */

EXPORT int pthread_spin_init(pthread_spinlock_t *l, int shared)
{
	if (watched())
		init_lock(l, &spin_type, CALLER);
	return real.pthread_spin_init(l, shared);
}

EXPORT int pthread_spin_destroy(pthread_spinlock_t *l)
{
	if (watched())
		lockdep_engine.destroy((const void *)l, CALLER);
	return real.pthread_spin_destroy(l);
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *l)
{
	if (watched())
		acquire(l, &spin_type, ANYRCU_LOCK_WRITE, CALLER);
	return real.pthread_spin_lock(l);
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t *l)
{
	bool told = watched();
	int error = real.pthread_spin_trylock(l);

	if (told && !error)
		acquire(l, &spin_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return error;
}

EXPORT int pthread_spin_unlock(pthread_spinlock_t *l)
{
	if (watched())
		release(l, CALLER);
	return real.pthread_spin_unlock(l);
}

/* ---- C11: in glibc a mtx_t is a mutex, and what is called here does not come by the functions above ---- */

_Static_assert(sizeof(mtx_t) <= sizeof(pthread_mutex_t), "what is read of a mtx_t is in it");

static inline pthread_mutex_t *mutex_in(mtx_t *m)
{
	return (pthread_mutex_t *)m;
}

EXPORT int mtx_init(mtx_t *m, int type)
{
	if (watched())
		init_lock(m, &mutex_type, CALLER);
	return real.mtx_init(m, type);
}

EXPORT void mtx_destroy(mtx_t *m)
{
	if (watched())
		lockdep_engine.destroy(m, CALLER);
	real.mtx_destroy(m);
}

EXPORT int mtx_lock(mtx_t *m)
{
	int result;

	if (!watched() || owns(mutex_in(m)))
		return real.mtx_lock(m);
	acquire(m, &mutex_type, ANYRCU_LOCK_WRITE, CALLER);
	result = real.mtx_lock(m);
	if (result != thrd_success)
		release(m, CALLER);
	return result;
}

#define try_mtx(m, try)                                                                                                \
	({                                                                                                             \
		bool new_ = watched() && !owns(mutex_in(m));                                                           \
		int result_ = (try);                                                                                   \
		if (new_ && result_ == thrd_success)                                                                   \
			acquire(m, &mutex_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);                          \
		result_;                                                                                               \
	})

EXPORT int mtx_trylock(mtx_t *m)
{
	return try_mtx(m, real.mtx_trylock(m));
}

EXPORT int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict until)
{
	return try_mtx(m, real.mtx_timedlock(m, until));
}

EXPORT int mtx_unlock(mtx_t *m)
{
	if (watched() && !nested(mutex_in(m)))
		release(m, CALLER);
	return real.mtx_unlock(m);
}

EXPORT int cnd_wait(cnd_t *c, mtx_t *m)
{
	wait_with(mutex_in(m), "cnd_wait", real.cnd_wait(c, m));
}

EXPORT int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until)
{
	wait_with(mutex_in(m), "cnd_timedwait", real.cnd_timedwait(c, m, until));
}

EXPORT int thrd_join(thrd_t thread, int *result)
{
	return sleep_in("thrd_join", real.thrd_join(thread, result));
}
