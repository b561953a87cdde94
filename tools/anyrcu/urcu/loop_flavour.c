/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* As a program built for liburcu is: FLAVOUR is memb, mb, qsbr or bp, and HEADER its header. */
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <stdlib.h>

#include "urcu/loop.h"

#define GLUE(a, b) a##b
#define NAME(a, b) GLUE(a, b)
#define TEXT(a) #a
#define QUOTED(a) TEXT(a)

static void free_object(struct rcu_head *head)
{
	free(head);
}

/* What any registered thread does from time to time; costs something with qsbr alone. */
static void now_and_then(unsigned long i)
{
	if (i % 1024 == 0)
		rcu_quiescent_state();
}

static void call(unsigned long n, size_t size)
{
	rcu_register_thread();
	for (unsigned long i = 0; i < n; i++) {
		struct rcu_head *object = malloc(size);

		call_rcu(object, free_object);
		now_and_then(i);
	}
	rcu_unregister_thread();
}

/*
 * In the flavour qsbr a thread that is online must not wait for a lock whose holder waits for a
 * grace period. liburcu's defer_rcu() does, when its queue is full while another thread empties it,
 * and so do its registration and its end. This thread reads nothing: it is offline.
 */
static void defer(unsigned long n, size_t size)
{
	rcu_register_thread();
	rcu_thread_offline();
	if (rcu_defer_register_thread())
		abort();
	for (unsigned long i = 0; i < n; i++)
		defer_rcu(free, malloc(size));
	rcu_defer_unregister_thread();
	rcu_thread_online();
	rcu_unregister_thread();
}

static void wait_for_all(void)
{
	rcu_barrier();
}

const struct urcu_loop NAME(urcu_loop_, FLAVOUR) = {
	.name = QUOTED(FLAVOUR),
	.call = call,
	.defer = defer,
	.barrier = wait_for_all,
};
