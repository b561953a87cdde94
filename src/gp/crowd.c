/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The crowd: readers whose threads have no record, mostly because the system refused memory for it.
 * They are counted in one word, and a grace period waits until it has seen the count at zero.
 *
 * The low half of "crowd" is the number of threads that read in the crowd; the high half is the
 * number of forks that led to this process, plus 1. Any thread changes the word, in any context, by
 * atomic operations; the child of a fork by a store. crowd_nest and crowd_in are written by the
 * thread and its handlers alone. A thread counts as counted while its crowd_in equals the high half
 * of the word. So in the child of a fork only the forking thread is counted, if it reads.
 *
 * To be counted, a thread adds to the word and then stores in crowd_in the number of forks that it
 * found there. It increments the nesting before that: a handler in between, which sees that the
 * thread is not counted, counts it for both. It decrements the nesting before it removes itself
 * from the count. If a thread finds that its handler has counted it meanwhile, it takes its own
 * addition back. An addition made in another process is not taken back, as the child of a fork has
 * a word of its own. A handler may also have obtained a record in between, so that the thread's
 * sections are spread over the record and the crowd: each unlock takes from the record as long as
 * that has a nesting, so the sum is correct.
 */
#include <gp/crowd.h>

#define FORK (UINT64_C(1) << 32)
static uint64_t crowd = FORK;

PORT_THREAD_LOCAL uint32_t crowd_nest;
static PORT_THREAD_LOCAL uint32_t crowd_in;

static void crowd_leave(uint32_t in)
{
	uint64_t c = load(&crowd);

	while (in && c / FORK == in &&
	       !__atomic_compare_exchange_n(&crowd, &c, c - 1, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

void crowd_enter(void)
{
	uint32_t in, now;

	crowd_nest++;
	compiler_barrier();
	while ((in = load(&crowd_in)) != load(&crowd) / FORK) {
		now = fetch_add(&crowd, 1) / FORK;
		if (!cmpxchg(&crowd_in, in, now))
			crowd_leave(now);
	}
}

void crowd_exit(void)
{
	compiler_barrier();
	port_release(&crowd);
	if (--crowd_nest == 0) {
		compiler_barrier();
		crowd_leave(xchg(&crowd_in, 0));
	}
}

void crowd_exit_all(void)
{
	crowd_nest = 1;
	crowd_exit();
}

bool crowd_empty(void)
{
	return load_acquire(&crowd) % FORK == 0;
}

void crowd_acquire(void)
{
	port_acquire(&crowd);
}

void crowd_fork_child(void)
{
	store(&crowd, (load(&crowd) / FORK + 1) * FORK + (crowd_nest ? 1 : 0));
	store(&crowd_in, crowd_nest ? load(&crowd) / FORK : 0);
}
