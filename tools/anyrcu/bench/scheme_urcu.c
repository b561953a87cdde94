/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * liburcu as its users have it: the memb flavour, its read side inlined, threads registered,
 * defaults otherwise.
 */
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

#include "bench/loops.h"

struct object {
	struct rcu_head head;
};
_Static_assert(sizeof(struct object) <= OBJECT_MIN, "the head has room in every object");

READ_LOOPS(memb, urcu_memb_read_lock, urcu_memb_read_unlock, nothing)
const struct flavour flavour_urcu_memb = { .name = "liburcu memb",
					   .thread_begin = urcu_memb_register_thread,
					   .thread_end = urcu_memb_unregister_thread,
					   .read_loop = memb_read_loop,
					   .pairs = memb_pairs,
					   .lock = memb_lock,
					   .unlock = memb_unlock,
					   .synchronize = urcu_memb_synchronize_rcu };

READ_LOOPS(qsbr, urcu_qsbr_read_lock, urcu_qsbr_read_unlock, urcu_qsbr_quiescent_state)
const struct flavour flavour_urcu_qsbr = { .name = "liburcu qsbr",
					   .thread_begin = urcu_qsbr_register_thread,
					   .thread_end = urcu_qsbr_unregister_thread,
					   .read_loop = qsbr_read_loop,
					   .pairs = qsbr_pairs,
					   .lock = qsbr_lock,
					   .unlock = qsbr_unlock,
					   .synchronize = urcu_qsbr_synchronize_rcu };

static void free_object(struct rcu_head *head)
{
	free((struct object *)head);
}

ALWAYS_INLINE void call(void *p)
{
	urcu_memb_call_rcu(&((struct object *)p)->head, free_object);
}
DEFER_LOOPS(call)
const struct scheme scheme_urcu_call = { .name = "urcu-call_rcu",
					 .about = "liburcu's call_rcu(), memb flavour",
					 .flavour = &flavour_urcu_memb,
					 .defer_loop = call_defer_loop,
					 .replay_loop = call_replay_loop,
					 .barrier = urcu_memb_barrier };

static void percpu_setup(void)
{
	if (urcu_memb_create_all_cpu_call_rcu_data(0))
		measure_fail("create_all_cpu_call_rcu_data() failed");
}
const struct scheme scheme_urcu_call_percpu = {
	.name = "urcu-call_rcu-percpu",
	.about = "the same after create_all_cpu_call_rcu_data()",
	.flavour = &flavour_urcu_memb,
	.setup = percpu_setup,
	.defer_loop = call_defer_loop,
	.replay_loop = call_replay_loop,
	.barrier = urcu_memb_barrier
};

static void defer_begin(void)
{
	if (urcu_memb_defer_register_thread())
		measure_fail("rcu_defer_register_thread() failed");
}

ALWAYS_INLINE void defer(void *p)
{
	urcu_memb_defer_rcu(free, p);
}
DEFER_LOOPS(defer)
const struct scheme scheme_urcu_defer = { .name = "urcu-defer_rcu",
					  .about = "liburcu's defer_rcu(), memb flavour",
					  .flavour = &flavour_urcu_memb,
					  .thread_begin = defer_begin,
					  .thread_end = urcu_memb_defer_unregister_thread,
					  .defer_loop = defer_defer_loop,
					  .replay_loop = defer_replay_loop,
					  .barrier = urcu_memb_defer_barrier };

static void invoke_object(struct rcu_head *head)
{
	invoke_one(head);
}

static void invoke_defer(void *p)
{
	urcu_memb_call_rcu(p, invoke_object);
}

const struct invoker invoker_urcu = { "liburcu call_rcu", &flavour_urcu_memb, NULL, invoke_defer,
				      urcu_memb_barrier };
