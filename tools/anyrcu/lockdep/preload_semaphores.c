/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Semaphores, and what else counts like one.
 *
 * One that has the value 1 at first is taken for a lock, until somebody posts it who has not waited
 * for it: then it stands for events, as all others do. One that has a few at first stands for
 * events too, and beside that, as long as it is posted by those who have waited for it, limits how
 * many threads go on. What the only thread of a process posts is a part of what it has at first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sem.h>

#include "lockdep/preload_counters.h"

const struct anyrcu_lock_type semaphore_type = { "semaphore", ANYRCU_WAIT_CONFIG,
						 ANYRCU_WAIT_SLEEP };

const struct anyrcu_lock_type limit_type = { "semaphore", ANYRCU_WAIT_INV, ANYRCU_WAIT_SLEEP };
#define LIMIT_MAX 16
#define CHECKED_POSTS 1

static bool holds(const void *c)
{
	return !me.handlers && lockdep_engine.is_held(c) == 1;
}

static void forget_lock(const void *c)
{
	if (lockdep_known(c) && holds(c))
		lockdep_engine.release(c, NULL);
	lockdep_forget(c, (const char *)c + 1);
}

void counter_forget(const void *c)
{
	lockdep_event_forget(c, false);
	forget_lock(c);
}

void counter_is(const void *c, unsigned value, bool shared, const void *ip)
{
	counter_forget(c);
	if (value == 1)
		lockdep_engine.init(c, &semaphore_type, NULL, class_of_caller(ip), ip);
	if (value > 1 && value <= LIMIT_MAX && !shared) {
		lockdep_engine.init(c, &limit_type, NULL, class_of_caller(ip), ip);
		lockdep_limit(c, value);
	}
}

/*
 * Who has it and waits again waits for somebody else, or has given it back in a way that was not
 * seen.
 */
static bool is_lock(const void *c)
{
	if (!lockdep_known(c) || lockdep_is_limited(c))
		return false;
	if (!holds(c) || lockdep_keeps(c)) {
		lockdep_takes(c);
		return true;
	}
	forget_lock(c);
	return false;
}

/* One of those that it lets in. */
static void enter_limit(const void *c, const void *ip)
{
	if (!me.handlers && lockdep_is_limited(c) && lockdep_engine.is_held(c) != 1)
		lockdep_engine.acquire(c, &limit_type, ANYRCU_LOCK_READ | ANYRCU_LOCK_TRY, 0, NULL,
				       ip);
}

bool counter_wait(const void *c, const char *what, const void *ip)
{
	bool lock = is_lock(c);

	loader_over();
	lockdep_engine.might_sleep(what, ip);
	if (lock)
		lockdep_engine.acquire(c, &semaphore_type, ANYRCU_LOCK_WRITE, 0, NULL, ip);
	else
		lockdep_wait_begin(c, what, ip);
	return lock;
}

void counter_waited(const void *c, bool lock, bool had, const void *ip)
{
	if (lock && !had)
		lockdep_engine.release(c, ip);
	else if (!lock)
		lockdep_wait_end();
	if (had && !lock)
		lockdep_came_by(c);
	if (had)
		enter_limit(c, ip);
}

void counter_had(const void *c, const void *ip)
{
	if (is_lock(c))
		lockdep_engine.acquire(c, &semaphore_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, 0,
				       NULL, ip);
	else
		enter_limit(c, ip);
}

void counter_post(const void *c, unsigned value, const void *ip)
{
	bool limited = lockdep_is_limited(c);

	if (lockdep_known(c) && holds(c)) {
		lockdep_engine.release(c, ip);
		if (!limited)
			return;
	} else if (load(&threads) == 1 && !me.handlers && value && value <= LIMIT_MAX + 1) {
		counter_is(c, value, false, ip);
		return;
	} else if (lockdep_known(c)) {
		if (!limited && !me.handlers && lockdep_given_back(c))
			return;
		lockdep_forget(c, (const char *)c + 1);
	}
	if (!me.handlers && (limited || !lockdep_passes(c)))
		lockdep_event(c, true, CHECKED_POSTS);
}

/* ---- of POSIX ---- */

/* As glibc has it since 2.21. */
static bool shared(const sem_t *s)
{
	struct {
		uint64_t value;
		int shared;
	} now;

	_Static_assert(sizeof(now) <= sizeof(*s), "what is read of a sem_t is in it");
	memcpy(&now, s, sizeof(now));
	return sizeof(long) < 8 || now.shared;
}

EXPORT int sem_init(sem_t *s, int shared, unsigned value)
{
	if (watched())
		counter_is(s, value, shared, CALLER);
	return real.sem_init(s, shared, value);
}

/* One that begins as 1, or is 1 now, may be a lock. */
EXPORT sem_t *sem_open(const char *name, int flags, ...)
{
	mode_t mode = 0;
	unsigned first = 0;
	va_list args;
	sem_t *s;
	int value;

	va_start(args, flags);
	if (flags & O_CREAT) {
		mode = va_arg(args, mode_t);
		first = va_arg(args, unsigned);
	}
	va_end(args);
	watched();
	s = real.sem_open(name, flags, mode, first);
	if (s != SEM_FAILED && watched() && !lockdep_known(s) && sem_getvalue(s, &value) == 0 &&
	    value == 1)
		counter_is(s, 1, true, CALLER);
	return s;
}

EXPORT int sem_destroy(sem_t *s)
{
	if (watched())
		counter_forget(s);
	return real.sem_destroy(s);
}

EXPORT int sem_post(sem_t *s)
{
	int value = -1;

	if (!watched())
		return real.sem_post(s);
	if (load(&threads) == 1 && !shared(s))
		sem_getvalue(s, &value);
	counter_post(s, value + 1, CALLER);
	return real.sem_post(s);
}

EXPORT int sem_wait(sem_t *s)
{
	bool told = watched(), lock = told && counter_wait(s, "sem_wait", CALLER);
	int result = real.sem_wait(s), error = errno;

	if (told) {
		counter_waited(s, lock, result == 0, CALLER);
		errno = error;
	}
	return result;
}

#define try_sem(s, try)                         \
	({                                      \
		int result_ = (try);            \
		if (result_ == 0 && watched())  \
			counter_had(s, CALLER); \
		result_;                        \
	})

#define try_sem_until(s, what, try)                               \
	({                                                        \
		if (watched() && !me.handlers)                    \
			lockdep_engine.might_sleep(what, CALLER); \
		try_sem(s, try);                                  \
	})

EXPORT int sem_trywait(sem_t *s)
{
	return try_sem(s, real.sem_trywait(s));
}

EXPORT int sem_timedwait(sem_t *s, const struct timespec *until)
{
	return try_sem_until(s, "sem_timedwait", real.sem_timedwait(s, until));
}

EXPORT int sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *until)
{
	return try_sem_until(s, "sem_clockwait", real.sem_clockwait(s, clock, until));
}

/* ---- of System V ---- */

static const void *counter_of(int set, unsigned short number)
{
	return object_named(OBJECT_SYSTEM_V, set, number);
}

/* Several at once, or by several, are no locks. */
static bool is_step(const struct sembuf *op, size_t n)
{
	return n == 1 && readable(op) && (op->sem_op == 1 || op->sem_op == -1);
}

static void forget_all(int set, const struct sembuf *op, size_t n)
{
	for (size_t i = 0; i < n && readable(&op[i]); i++)
		forget_lock(counter_of(set, op[i].sem_num));
}

static int step(int set, struct sembuf *op, size_t n, const struct timespec *time, const void *ip)
{
	const void *c = counter_of(set, op->sem_num);
	bool bounded = time || op->sem_flg & IPC_NOWAIT, lock = false;
	int result, error;

	if (op->sem_op > 0)
		counter_post(c, 0, ip);
	else if (!bounded)
		lock = counter_wait(c, "semop", ip);
	result = real.semtimedop(set, op, n, time);
	error = errno;
	if (op->sem_op < 0 && !bounded)
		counter_waited(c, lock, result == 0, ip);
	else if (op->sem_op < 0 && result == 0)
		counter_had(c, ip);
	errno = error;
	return result;
}

static int do_semop(int set, struct sembuf *op, size_t n, const struct timespec *time,
		    const void *ip)
{
	if (!watched())
		return real.semtimedop(set, op, n, time);
	if (is_step(op, n))
		return step(set, op, n, time, ip);
	forget_all(set, op, n);
	return real.semtimedop(set, op, n, time);
}

EXPORT int semop(int set, struct sembuf *op, size_t n)
{
	return do_semop(set, op, n, NULL, CALLER);
}

EXPORT int semtimedop(int set, struct sembuf *op, size_t n, const struct timespec *time)
{
	return do_semop(set, op, n, time, CALLER);
}

union semun {
	int value;
	struct semid_ds *set;
	unsigned short *values;
};

EXPORT int semctl(int set, int number, int command, ...)
{
	union semun arg;
	va_list args;
	int result;

	va_start(args, command);
	arg = va_arg(args, union semun);
	va_end(args);
	watched();
	result = real.semctl(set, number, command, arg);
	if (result >= 0 && command == SETVAL && watched())
		counter_is(counter_of(set, number), arg.value, true, CALLER);
	return result;
}
