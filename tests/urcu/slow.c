/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Preloaded before liburcu: in the flavour qsbr, grace periods that a thread waits for which is not
 * registered take 20 ms longer. liburcu's thread that empties the queues of defer_rcu() is one. It
 * holds their lock meanwhile, so other threads come to wait for the lock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <unistd.h>

void urcu_qsbr_register_thread(void);
void urcu_qsbr_synchronize_rcu(void);

static __thread bool registered;

void urcu_qsbr_register_thread(void)
{
	registered = true;
	((void (*)(void))dlsym(RTLD_NEXT, "urcu_qsbr_register_thread"))();
}

void urcu_qsbr_synchronize_rcu(void)
{
	if (!registered)
		usleep(20000);
	((void (*)(void))dlsym(RTLD_NEXT, "urcu_qsbr_synchronize_rcu"))();
}
