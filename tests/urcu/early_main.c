/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The program of the library early.c: all that it deferred in its constructor comes, and deferral
 * works in handlers of atexit(), after main().
 */
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "early.h"

#define check(condition) ((condition) ? (void)0 : fails(#condition, __LINE__))

static long invoked;
static struct rcu_head after[2];

static _Noreturn void fails(const char *what, int line)
{
	fprintf(stderr, "early_main.c:%d: not %s\n", line, what);
	_exit(1);
}

static void count(struct rcu_head *head)
{
	__atomic_fetch_add(&invoked, 1, __ATOMIC_SEQ_CST);
}

static void after_main(void)
{
	call_rcu(&after[0], count);
	rcu_barrier();
	check(__atomic_load_n(&invoked, __ATOMIC_SEQ_CST) == 1);
	call_rcu(&after[1], count); /* nobody waits for it */
}

static void *ends(void *arg)
{
	rcu_register_thread();
	if (rcu_defer_register_thread())
		abort();
	rcu_unregister_thread();
	return arg;
}

int main(void)
{
	pthread_t t;

	check(early_key_kept());
	rcu_barrier();
	rcu_defer_barrier();
	check(early_called == EARLY && early_deferred == EARLY);
	check(!pthread_create(&t, NULL, ends, NULL) && !pthread_join(t, NULL));
	check(early_key_kept());
	check(!atexit(after_main));
	return 0;
}
