/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The tables of the flavours, and what helpers and deferrals share. */
#define _GNU_SOURCE
#include "internal.h"
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/urcu-signal.h>

__thread bool anyrcu_urcu_online;

#define FLAVOR(f)                                                                                                      \
	{                                                                                                              \
		.read_lock = urcu_##f##_read_lock,                                                                     \
		.read_unlock = urcu_##f##_read_unlock,                                                                 \
		.read_ongoing = urcu_##f##_read_ongoing,                                                               \
		.read_quiescent_state = urcu_##f##_quiescent_state,                                                    \
		.update_call_rcu = urcu_##f##_call_rcu,                                                                \
		.update_synchronize_rcu = urcu_##f##_synchronize_rcu,                                                  \
		.update_defer_rcu = urcu_##f##_defer_rcu,                                                              \
		.thread_offline = urcu_##f##_thread_offline,                                                           \
		.thread_online = urcu_##f##_thread_online,                                                             \
		.register_thread = urcu_##f##_register_thread,                                                         \
		.unregister_thread = urcu_##f##_unregister_thread,                                                     \
		.barrier = urcu_##f##_barrier,                                                                         \
		.register_rculfhash_atfork = urcu_##f##_register_rculfhash_atfork,                                     \
		.unregister_rculfhash_atfork = urcu_##f##_unregister_rculfhash_atfork,                                 \
		.update_start_poll_synchronize_rcu = urcu_##f##_start_poll_synchronize_rcu,                            \
		.update_poll_state_synchronize_rcu = urcu_##f##_poll_state_synchronize_rcu,                            \
	}

const struct rcu_flavor_struct anyrcu_urcu_flavors[] = {
	[ANYRCU_URCU_MEMB] = FLAVOR(memb),     [ANYRCU_URCU_MB] = FLAVOR(mb), [ANYRCU_URCU_SIGNAL] = FLAVOR(signal),
	[ANYRCU_URCU_QSBR] = FLAVOR(qsbr), [ANYRCU_URCU_BP] = FLAVOR(bp),
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

void futex_wait(uint32_t *word, uint32_t was)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, was, NULL, NULL, 0);
}

void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void sleep_on(uint32_t *asleep)
{
	while (load_acquire(asleep))
		futex_wait(asleep, 1);
}

void wake(uint32_t *asleep)
{
	if (load(asleep) && xchg(asleep, 0))
		futex_wake(asleep);
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg, int cpu)
{
	sigset_t all, old;
	pthread_attr_t attr;
	cpu_set_t cpus;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attr);
	if (!sched_getaffinity(getpid(), sizeof(cpus), &cpus))
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!err && cpu >= 0 && cpu < CPU_SETSIZE) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		pthread_setaffinity_np(*thread, sizeof(cpus), &cpus); /* a CPU that there is not is as good as none */
	}
	return err;
}

void broken(const char *what)
{
	dprintf(2, "anyrcu: %s\n", what);
	abort();
}
