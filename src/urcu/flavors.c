/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The tables of the flavours, and functions that helpers and deferrals share. */
#define _GNU_SOURCE
#include "internal.h"
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/urcu-signal.h>

/* Constants of the kernel's interface, whose headers may be missing where libc's are present. */
#ifndef FUTEX_WAIT_PRIVATE
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
#endif

#define NS_PER_S UINT64_C(1000000000)

__thread bool anyrcu_urcu_online;

#define FLAVOR(f)                                                                                 \
	{                                                                                         \
		.read_lock = urcu_##f##_read_lock, .read_unlock = urcu_##f##_read_unlock,         \
		.read_ongoing = urcu_##f##_read_ongoing,                                          \
		.read_quiescent_state = urcu_##f##_quiescent_state,                               \
		.update_call_rcu = urcu_##f##_call_rcu,                                           \
		.update_synchronize_rcu = urcu_##f##_synchronize_rcu,                             \
		.update_defer_rcu = urcu_##f##_defer_rcu,                                         \
		.thread_offline = urcu_##f##_thread_offline,                                      \
		.thread_online = urcu_##f##_thread_online,                                        \
		.register_thread = urcu_##f##_register_thread,                                    \
		.unregister_thread = urcu_##f##_unregister_thread, .barrier = urcu_##f##_barrier, \
		.register_rculfhash_atfork = urcu_##f##_register_rculfhash_atfork,                \
		.unregister_rculfhash_atfork = urcu_##f##_unregister_rculfhash_atfork,            \
		.update_start_poll_synchronize_rcu = urcu_##f##_start_poll_synchronize_rcu,       \
		.update_poll_state_synchronize_rcu = urcu_##f##_poll_state_synchronize_rcu,       \
	}

const struct rcu_flavor_struct anyrcu_urcu_flavors[] = {
	[ANYRCU_URCU_MEMB] = FLAVOR(memb),     [ANYRCU_URCU_MB] = FLAVOR(mb),
	[ANYRCU_URCU_SIGNAL] = FLAVOR(signal), [ANYRCU_URCU_QSBR] = FLAVOR(qsbr),
	[ANYRCU_URCU_BP] = FLAVOR(bp),
};

bool rest_begin(enum anyrcu_urcu_flavor f)
{
	bool online = f == ANYRCU_URCU_QSBR && anyrcu_urcu_online;

	if (online)
		urcu_qsbr_thread_offline();
	return online;
}

void rest_end(bool online)
{
	if (online)
		urcu_qsbr_thread_online();
}

void anyrcu_urcu_synchronize(enum anyrcu_urcu_flavor f)
{
	bool online = rest_begin(f);

	anyrcu_synchronize();
	rest_end(online);
}

void futex_wait(uint32_t *word, uint32_t was, uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, was, ns ? &t : NULL, NULL, 0);
}

void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void sleep_on(uint32_t *asleep)
{
	while (load_acquire(asleep))
		futex_wait(asleep, 1, 0);
}

void wake(uint32_t *asleep)
{
	if (load(asleep) && xchg(asleep, 0))
		futex_wake(asleep);
}

/* ---- threads ---- */

#define PAUSE_MIN UINT64_C(10000000)
#define PAUSE_MAX NS_PER_S

/*
 * The stack size: the program's code runs here, so it is as large as libc makes it without a
 * resource limit, whatever the limit is.
 */
#define STACK (2u << 20)

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

bool may_try(const struct pauses *p)
{
	uint64_t until = load(&p->until);

	return !until || (int64_t)(now() - until) >= 0;
}

static void tried(struct pauses *p, int err)
{
	static uint32_t said;
	uint64_t pause = load(&p->pause) ? load(&p->pause) * 2 : PAUSE_MIN;

	if (pause > PAUSE_MAX)
		pause = PAUSE_MAX;
	store(&p->pause, err ? pause : 0);
	store(&p->until, err ? now() + pause : 0);
	if (err && !xchg(&said, 1))
		dprintf(2,
			"anyrcu: no thread could be started for call_rcu() or defer_rcu(): error %d; it is tried again, and the "
			"barriers invoke pending callbacks themselves meanwhile\n",
			err);
}

static int create(pthread_t *thread, pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t block, old;
	int err;

	sigfillset(&block);
	/* Signals of faults must reach the program's handler. */
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&block, faults[i]);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	err = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

bool thread_start(pthread_t *thread, void *(*run)(void *), void *arg, int cpu,
		  struct pauses *pauses)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	bool known = !sched_getaffinity(getpid(), sizeof(cpus), &cpus);
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
#if defined(__GLIBC__)
	if (known)
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	known = false;
#endif
	err = create(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	tried(pauses, err);
	if (!err && known)
		pthread_setaffinity_np(*thread, sizeof(cpus), &cpus);
	if (!err && cpu >= 0 && cpu < CPU_SETSIZE) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		/* a CPU that does not exist counts as none */
		pthread_setaffinity_np(*thread, sizeof(cpus), &cpus);
	}
	return !err;
}

void broken(const char *what)
{
	dprintf(2, "anyrcu: %s\n", what);
	abort();
}
