/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Conditions, barriers, and what merely sleeps. */
#define _GNU_SOURCE
#include "lockdep/preload_counts.h"

static inline void might_sleep(const char *what, const void *ip)
{
	lockdep_engine.might_sleep(what, ip);
}

/* ---- conditions ---- */

/*
 * The mutex is released for the time of the wait, and acquired again however that ends: by
 * cancellation too.
 */
struct wait {
	const void *condition;
	const void *mutex; /* NULL: none is released */
	const void *ip;
	const void *counted; /* the mutex, where that is all */
};

static void end_wait(struct wait *w)
{
	static const struct count_wait none;

	if (w->counted)
		count_acquired(w->counted, &mutex_type, ANYRCU_LOCK_WRITE, w->ip, &none, true);
	if (w->counted || !w->ip)
		return;
	lockdep_condition_end(w->condition);
	lockdep_wait_end();
	if (w->mutex)
		lockdep_engine.acquire(w->mutex, &mutex_type, ANYRCU_LOCK_WRITE, 0, NULL, w->ip);
}

static struct wait begin_wait(const void *c, pthread_mutex_t *m, const char *what, bool bounded,
			      const void *ip)
{
	struct wait w = { 0 };

	w.ip = ip;
	if (!watched()) {
		w.ip = counted() ? ip : NULL;
		if (counted() && !mutex_nested(m))
			count_released(w.counted = m);
		return w;
	}
	loader_over();
	w.condition = c;
	lockdep_condition_begin(c, m, ip);
	if (!mutex_nested(m)) {
		w.mutex = m;
		lockdep_engine.release(m, ip);
	} else {
		lockdep_misuse(
			m,
			"waits for a condition with a mutex that it has locked more than once, and nobody else gets",
			ip);
	}
	might_sleep(what, ip);
	if (!bounded)
		lockdep_wait_begin(c, what, ip);
	return w;
}

#define wait_with(c, m, what, bounded, call)                       \
	__attribute__((cleanup(end_wait), unused)) struct wait w = \
		begin_wait(c, m, what, bounded, CALLER);           \
	return call

EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	wait_with(c, m, "pthread_cond_wait", false, real.pthread_cond_wait(c, m));
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
				  const struct timespec *until)
{
	wait_with(c, m, "pthread_cond_timedwait", true, real.pthread_cond_timedwait(c, m, until));
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
				  const struct timespec *until)
{
	wait_with(c, m, "pthread_cond_clockwait", true,
		  real.pthread_cond_clockwait(c, m, clock, until));
}

EXPORT int cnd_wait(cnd_t *c, mtx_t *m)
{
	wait_with(c, (pthread_mutex_t *)m, "cnd_wait", false, real.cnd_wait(c, m));
}

EXPORT int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m,
			 const struct timespec *restrict until)
{
	wait_with(c, (pthread_mutex_t *)m, "cnd_timedwait", true, real.cnd_timedwait(c, m, until));
}

#define event(object, call)                              \
	({                                               \
		if (watched())                           \
			lockdep_event(object, false, 1); \
		call;                                    \
	})

EXPORT int pthread_cond_signal(pthread_cond_t *c)
{
	return event(c, real.pthread_cond_signal(c));
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *c)
{
	return event(c, real.pthread_cond_broadcast(c));
}

EXPORT int cnd_signal(cnd_t *c)
{
	return event(c, real.cnd_signal(c));
}

EXPORT int cnd_broadcast(cnd_t *c)
{
	return event(c, real.cnd_broadcast(c));
}

#define begin_event(object, call)                            \
	({                                                   \
		if (watched())                               \
			lockdep_event_forget(object, false); \
		call;                                        \
	})

EXPORT int pthread_cond_init(pthread_cond_t *restrict c, const pthread_condattr_t *restrict attr)
{
	return begin_event(c, real.pthread_cond_init(c, attr));
}

EXPORT int pthread_cond_destroy(pthread_cond_t *c)
{
	return begin_event(c, real.pthread_cond_destroy(c));
}

/* ---- barriers ---- */

EXPORT int pthread_barrier_init(pthread_barrier_t *restrict b,
				const pthread_barrierattr_t *restrict attr, unsigned n)
{
	if (watched()) {
		lockdep_event_forget(b, false);
		lockdep_barrier_begins(b, n);
	}
	return real.pthread_barrier_init(b, attr, n);
}

EXPORT int pthread_barrier_destroy(pthread_barrier_t *b)
{
	return begin_event(b, real.pthread_barrier_destroy(b));
}

EXPORT int pthread_barrier_wait(pthread_barrier_t *b)
{
	struct barrier_round round;
	bool told = watched();
	int result;

	if (told) {
		loader_over();
		might_sleep("pthread_barrier_wait", CALLER);
		round = lockdep_barrier_arrives(b);
		lockdep_event(b, true, 8);
		lockdep_wait_begin(b, "pthread_barrier_wait", CALLER);
	}
	result = real.pthread_barrier_wait(b);
	if (told) {
		lockdep_barrier_leaves(round);
		lockdep_wait_end();
	}
	return result;
}

/* ---- sleep ---- */

#define sleep_in(what, call)                       \
	({                                         \
		if (watched() && !me.handlers)     \
			might_sleep(what, CALLER); \
		call;                              \
	})

EXPORT unsigned sleep(unsigned seconds)
{
	return sleep_in("sleep", real.sleep(seconds));
}

EXPORT int usleep(useconds_t us)
{
	return sleep_in("usleep", real.usleep(us));
}

EXPORT int nanosleep(const struct timespec *time, struct timespec *left)
{
	return sleep_in("nanosleep", real.nanosleep(time, left));
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
			   struct timespec *left)
{
	return sleep_in("clock_nanosleep", real.clock_nanosleep(clock, flags, time, left));
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return sleep_in("poll", polled(real.poll(fds, n, timeout), fds, n));
}

EXPORT int select(int n, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except,
		  struct timeval *restrict timeout)
{
	return sleep_in("select", selected(real.select(n, in, out, except, timeout), in, n));
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	return sleep_in("epoll_wait", epolled(real.epoll_wait(fd, events, n, timeout)));
}
