/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A library of a program that was built for liburcu, which uses all of it in its constructor,
 * before that of whatever was preloaded or linked later, and in its destructor, after main() and
 * the handlers of atexit().
 */
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "early.h"

long early_called, early_deferred;
static pthread_key_t key;
static struct rcu_head heads[EARLY], late;

static void called(struct rcu_head *head)
{
	__atomic_fetch_add(&early_called, 1, __ATOMIC_SEQ_CST);
}

static void deferred(void *arg)
{
	__atomic_fetch_add(&early_deferred, 1, __ATOMIC_SEQ_CST);
}

int early_key_kept(void)
{
	return pthread_getspecific(key) == &key;
}

__attribute__((constructor)) static void begins(void)
{
	if (pthread_key_create(&key, NULL) || pthread_setspecific(key, &key))
		abort();
	rcu_register_thread();
	if (rcu_defer_register_thread())
		abort();
	for (int i = 0; i < EARLY; i++) {
		defer_rcu(deferred, NULL);
		call_rcu(&heads[i], called);
	}
	rcu_unregister_thread();
}

/* What liburcu asks of a library: it waits for its own callbacks before it goes. */
__attribute__((destructor)) static void ends(void)
{
	long before = __atomic_load_n(&early_called, __ATOMIC_SEQ_CST);

	call_rcu(&late, called);
	rcu_barrier();
	if (__atomic_load_n(&early_called, __ATOMIC_SEQ_CST) <= before) {
		fprintf(stderr, "early.c: rcu_barrier() in a destructor does not wait\n");
		_exit(1);
	}
}
