/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* As a program built for liburcu is: FLAVOUR is memb, mb, qsbr or bp, and HEADER its header. */
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <stdlib.h>

#include "urcu_loop.h"

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

static void defer(unsigned long n, size_t size)
{
	rcu_register_thread();
	if (rcu_defer_register_thread())
		abort();
	for (unsigned long i = 0; i < n; i++) {
		defer_rcu(free, malloc(size));
		now_and_then(i);
	}
	rcu_thread_offline(); /* its lock may be held by one that waits for us */
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
