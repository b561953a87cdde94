/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks. An acquisition is told before it waits, so that a deadlock is reported before it happens,
 * and taken back when there was none. A release is told before it happens, as the lock may be freed
 * right after. What is tried, with a time-out or without, cannot wait for ever, so it is told once
 * it has been had.
 */
#define _GNU_SOURCE
#include <time.h>

#include <lockdep/again.h>

#include "lockdep/preload_locks.h"

/*
 * A handler of a program may take a mutex, if its signal is blocked wherever that is held: so it
 * may where CONFIG is allowed, though not where one may only spin. Who holds it may sleep.
 */
const struct anyrcu_lock_type mutex_type = { "mutex", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };

void lock_acquire(const volatile void *lock, const struct anyrcu_lock_type *type, unsigned how,
		  const void *ip)
{
	loader_over();
	if (unlikely(me.fork_held)) {
		fork_handler_locks();
		if (me.watch != WATCHED)
			return;
	}
	if (on_own_stack((const void *)lock))
		stack_lock((const void *)lock, ip, (uintptr_t)__builtin_frame_address(0));
	lockdep_engine.acquire((const void *)lock, type, how, 0, NULL, ip);
}

void lock_release(const volatile void *lock, const void *ip)
{
	lockdep_engine.release((const void *)lock, ip);
}

/*
 * What lock_acquire() does beside can be left out. Who is watched has its state. Whether it is a
 * reader is not asked here, as a call in the middle would cost all others a frame.
 */
static inline bool again_applies(const void *lock)
{
	return me.watch == WATCHED && !me.loads && !on_own_stack(lock) && !host->in_reader;
}

static inline uint64_t handlers_open(const struct thread *t)
{
	return ~t->blocked & load(&handled);
}

/* ---- mutexes ---- */

/*
 * Mutexes are told apart by the low bits of their kind, which libc cannot change: it is in
 * PTHREAD_MUTEX_INITIALIZER.
 */
static inline int kind_of(const pthread_mutex_t *m)
{
	return load(&m->__data.__kind) & 3;
}

/*
 * Does the caller own this mutex of a kind that knows it? Then locking it is no acquisition: a
 * recursive one counts, an error-checking one says EDEADLK.
 */
static inline bool owns(const pthread_mutex_t *m)
{
	int kind = kind_of(m);

	return unlikely(kind == PTHREAD_MUTEX_RECURSIVE || kind == PTHREAD_MUTEX_ERRORCHECK) &&
	       (uint32_t)load(&m->__data.__owner) == me.tid;
}

/*
 * Is unlocking it, or waiting on a condition variable with it, no release, as the caller has locked
 * it more than once?
 */
bool mutex_nested(const pthread_mutex_t *m)
{
	return unlikely(kind_of(m) == PTHREAD_MUTEX_RECURSIVE) && m->__data.__count > 1 &&
	       (uint32_t)load(&m->__data.__owner) == me.tid;
}

/*
 * The child of a fork makes locks anew that were held at the fork: nobody else is there to miss
 * them.
 */
void lock_init(const volatile void *lock, const struct anyrcu_lock_type *type, const void *ip)
{
	if (!watched()) {
		if (counted())
			count_init(lock, type, ip);
		return;
	}
	if (unlikely(in_forked_child) && lockdep_engine.is_held((const void *)lock))
		lock_release(lock, ip);
	if (on_own_stack((const void *)lock))
		stack_lock_begins((const void *)lock);
	lockdep_engine.init((const void *)lock, type, NULL, class_of_caller(ip), ip);
}

void lock_destroy(const volatile void *lock, const void *ip)
{
	if (watched())
		lockdep_engine.destroy((const void *)lock, ip);
	else if (counted())
		count_forget((const void *)lock, 1);
}

/*
 * Who waits for a lock with another held waits for a short time at first, until which it is rarely
 * had. Only then it is looked whether it would wait for ever, which takes a stack.
 */
struct timespec lock_soon(void)
{
	enum { SHORT = 20000000 };
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += SHORT;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/*
 * A copy of a mutex that was initialised has the same bytes as one that is new. So a plain one gets
 * a mark: its address, in words that glibc uses in robust ones alone. They are inverted, so that a
 * collector of garbage does not take it for a reference.
 */
static uintptr_t *mark_of(pthread_mutex_t *m)
{
	return (uintptr_t *)((char *)m + sizeof(*m) - sizeof(uintptr_t));
}

static void mark(pthread_mutex_t *m)
{
	if (load(&m->__data.__kind) == PTHREAD_MUTEX_TIMED_NP && sizeof(long) == 8)
		store(mark_of(m), ~(uintptr_t)m);
}

/* Memory that was moved by realloc() has the mark of where nothing is any more. */
static inline void check_mark(pthread_mutex_t *m, const void *ip)
{
	uintptr_t mark = load(mark_of(m));

	if (unlikely(mark && mark != ~(uintptr_t)m) && sizeof(long) == 8 &&
	    lockdep_known((const void *)~mark))
		lockdep_misuse(m, "locks a copy of a mutex that was initialised elsewhere", ip);
}

EXPORT int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	int shared = 0, error;

	if (attr)
		pthread_mutexattr_getpshared(attr, &shared);
	if (shared && watched())
		shared_forget(m);
	lock_init(m, &mutex_type, CALLER);
	error = real.pthread_mutex_init(m, attr);
	if (!error && watched())
		mark(m);
	return error;
}

/*
 * What glibc may have as the kind of one that was initialised: the type, robust, a protocol,
 * shared, elision allowed or not.
 */
#define KINDS (3 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200)

static inline bool is_mutex(const pthread_mutex_t *m)
{
	return likely(!(load(&m->__data.__kind) & ~KINDS));
}

static inline void check_kind(const pthread_mutex_t *m, const void *ip)
{
	if (!is_mutex(m))
		lockdep_misuse(m, "locks a mutex that was destroyed or never initialised", ip);
}

/*
 * The only thread of a child waits for what another thread of its parent held at the fork, and
 * nobody here will release. Its acquisition was told, and is taken back to see whether it holds it
 * itself.
 */
static void check_left_locked(const pthread_mutex_t *m, const void *ip)
{
	enum { SHARED = 0x80 };
	bool own;

	lock_release(m, ip);
	own = lockdep_engine.is_held(m);
	lock_acquire(m, &mutex_type, ANYRCU_LOCK_WRITE, ip);
	if (load(&threads) == 1 && load(&m->__data.__lock) && !(load(&m->__data.__kind) & SHARED) &&
	    !own)
		lockdep_misuse(
			m,
			"of a child waits for a mutex that another thread of its parent held at the fork",
			ip);
}

EXPORT int pthread_mutex_destroy(pthread_mutex_t *m)
{
	lock_destroy(m, CALLER);
	return real.pthread_mutex_destroy(m);
}

static noinline int wait_for_mutex(pthread_mutex_t *m)
{
	struct timespec until;
	int error;

	if (!lockdep_holds_more())
		return real.pthread_mutex_lock(m);
	until = lock_soon();
	error = real.pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &until);
	/* one that inherits priority may not know the clock */
	if (error != ETIMEDOUT && error != EINVAL)
		return error;
	lockdep_blocks(m);
	error = real.pthread_mutex_lock(m);
	lockdep_goes_on();
	return error;
}

static noinline int not_had(pthread_mutex_t *m, int error, const void *ip)
{
	if (error == EBUSY && unlikely(in_forked_child))
		check_left_locked(m, ip);
	if (error == EBUSY)
		error = wait_for_mutex(m);
	if (unlikely(!had(error)))
		lock_release(m, ip);
	return error;
}

/*
 * One that is free is had by trying as by locking, with the same errors. C11's is the same thing,
 * see below.
 */
static int lock_mutex(pthread_mutex_t *m, const void *ip)
{
	int error;

	if (unlikely(!watched())) {
		if (!counted() || owns(m))
			return real.pthread_mutex_lock(m);
		return count_lock(m, &mutex_type, ANYRCU_LOCK_WRITE, ip,
				  real.pthread_mutex_trylock(m), real.pthread_mutex_lock(m));
	}
	if (unlikely(load(&m->__data.__kind) != PTHREAD_MUTEX_TIMED_NP)) {
		if (owns(m))
			return real.pthread_mutex_lock(m);
		check_kind(m, ip);
	} else {
		check_mark(m, ip);
	}
	lock_acquire(m, &mutex_type, ANYRCU_LOCK_WRITE, ip);
	error = real.pthread_mutex_trylock(m);
	return likely(!error) ? 0 : not_had(m, error, ip);
}

/* @waits: for a bounded time. */
#define try_mutex(m, ip, waits, try)                                                           \
	({                                                                                     \
		bool new_ = watched_or_counted() && !owns(m);                                  \
		int error_;                                                                    \
		if (new_ && counted())                                                         \
			error_ = count_try(m, &mutex_type, ANYRCU_LOCK_WRITE, ip, waits,       \
					   real.pthread_mutex_trylock(m), try);                \
		else                                                                           \
			error_ = (try);                                                        \
		if (new_ && !counted() && had(error_))                                         \
			lock_acquire(m, &mutex_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, ip); \
		error_;                                                                        \
	})

static noinline int lock_known(pthread_mutex_t *m, const void *ip)
{
	int error;

	if (unlikely(me.fork_held || (load(mark_of(m)) && load(mark_of(m)) != ~(uintptr_t)m)) ||
	    !acquire_known(thread_self, m, &mutex_type, ANYRCU_LOCK_WRITE, ip))
		return lock_mutex(m, ip);
	error = real.pthread_mutex_trylock(m);
	return likely(!error) ? 0 : not_had(m, error, ip);
}

/* First of all what is most common: a plain one that is locked again, and free. */
EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
	int error;

	if (unlikely(!again_applies(m) || load(&m->__data.__kind) != PTHREAD_MUTEX_TIMED_NP))
		return lock_mutex(m, CALLER);
	if (!acquire_again(thread_self, m, &mutex_type, ANYRCU_LOCK_WRITE, CALLER,
			   handlers_open(thread_self)))
		return lock_known(m, CALLER);
	error = real.pthread_mutex_trylock(m);
	return likely(!error) ? 0 : not_had(m, error, CALLER);
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *m)
{
	return try_mutex(m, CALLER, false, real.pthread_mutex_trylock(m));
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	return try_mutex(m, CALLER, true, real.pthread_mutex_timedlock(m, until));
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock,
				   const struct timespec *until)
{
	return try_mutex(m, CALLER, true, real.pthread_mutex_clocklock(m, clock, until));
}

static inline void unlock_mutex(pthread_mutex_t *m, const void *ip)
{
	if (likely(load(&m->__data.__kind) == PTHREAD_MUTEX_TIMED_NP) ||
	    (is_mutex(m) && !mutex_nested(m)))
		lock_released(m, ip);
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (unlikely(me.watch != WATCHED || thread_self->busy ||
		     load(&m->__data.__kind) != PTHREAD_MUTEX_TIMED_NP ||
		     !release_topmost(thread_self, m)))
		unlock_mutex(m, CALLER);
	return real.pthread_mutex_unlock(m);
}

/*
 * ---- C11: in glibc a mtx_t is a mutex, and what is called here does not come by the functions
 * above ----
 */

_Static_assert(sizeof(mtx_t) <= sizeof(pthread_mutex_t), "what is read of a mtx_t is in it");

static inline pthread_mutex_t *mutex_in(mtx_t *m)
{
	return (pthread_mutex_t *)m;
}

/* As libc says it. */
static int c11_result(int error)
{
	return error == 0	  ? thrd_success :
	       error == ENOMEM	  ? thrd_nomem :
	       error == ETIMEDOUT ? thrd_timedout :
	       error == EBUSY	  ? thrd_busy :
				    thrd_error;
}

EXPORT int mtx_init(mtx_t *m, int type)
{
	lock_init(m, &mutex_type, CALLER);
	return real.mtx_init(m, type);
}

EXPORT void mtx_destroy(mtx_t *m)
{
	lock_destroy(m, CALLER);
	real.mtx_destroy(m);
}

EXPORT int mtx_lock(mtx_t *m)
{
	return c11_result(lock_mutex(mutex_in(m), CALLER));
}

EXPORT int mtx_trylock(mtx_t *m)
{
	return c11_result(
		try_mutex(mutex_in(m), CALLER, false, real.pthread_mutex_trylock(mutex_in(m))));
}

EXPORT int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict until)
{
	return c11_result(try_mutex(mutex_in(m), CALLER, true,
				    real.pthread_mutex_timedlock(mutex_in(m), until)));
}

EXPORT int mtx_unlock(mtx_t *m)
{
	unlock_mutex(mutex_in(m), CALLER);
	return c11_result(real.pthread_mutex_unlock(mutex_in(m)));
}
