/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From the store to the callbacks:
 *
 *     store --collect--> waiting --grace period--> ready --drain--> callbacks
 *     store.c            collect.c                 ready.c          drain.c
 *
 * collect   takes pages (the full ones; all of them when the delay has passed or a barrier asks)
 *           and the chain out of the store, calls port_rseq_fence() so that sequences append
 *           nothing more, and takes a cookie after that. The collected pages and chain are a
 *           generation: each page has its number, and generations become ready in order.
 * waiting   is one generation. When its cookie is done, its settled pages and its chain are ready.
 *           Pages filled by atomics are then settled (see store.h); they wait once more, with the
 *           next generation, for objects that were stored while they settled.
 * drain     takes a page at a time, to invoke its callbacks outside the lock.
 *
 * All of this state is under defer_lock, which only tasks take, and never across a callback. A page
 * or chain that a drainer has taken is recorded in the drainer's slot in defer_pipe.drainers, where
 * barriers and the child of a fork find it. The drainer advances the cursor (or unlinks from the
 * chain) before it invokes, so a thread that takes over continues behind it: nothing is invoked
 * twice.
 *
 * The files call each other downwards only: barrier.c, drain.c, collect.c, ready.c, pending.c,
 * store. What fork() needs is in fork.c.
 */
#ifndef ANYRCU_DEFER_PIPE_H
#define ANYRCU_DEFER_PIPE_H

#include <defer/defer.h>
#include <port/event.h>
#include <port/port.h>

#define DRAINERS 64
#define CHAINS 8
#define READY 16

struct chain {
	struct anyrcu_head *head;
	uint64_t gen;
	bool taken; /* by a drainer, which gives back the rest when its budget ends */
};

/*
 * What a thread has taken: a page or a chain. Claimed and freed under the lock; its owner writes
 * head, done, paused and in_barrier.
 */
struct drainer {
	uint64_t owner; /* its port_id(); 0: free */
	uint32_t tid;
	struct store_page *page;
	struct chain *chain;
	struct anyrcu_head *head; /* the rest of the chain */
	uint64_t gen;
	uint64_t done; /* callbacks invoked */
	uint32_t paused; /* between callbacks, until no fork is in progress */
	bool in_barrier; /* its callback has called anyrcu_barrier() */
} __attribute__((aligned(CACHE_LINE)));

struct defer_pipe {
	uint32_t forks; /* the port_forks for which the state below is right */
	uint64_t gen; /* of the last collection */
	bool force; /* the next collection takes the open pages too; a hint without the lock */
	uint64_t due; /* collections after this time do so too; read without the lock */

	bool waits; /* there is a generation that waits (a hint without the lock): */
	anyrcu_gp_t cookie;
	struct store_page *waiting;
	struct anyrcu_head *waiting_chain;

	/* pages of the former generation, settled now: they join the next wait */
	struct store_page *unsettled;

	struct ready {
		struct store_page *first, **end;
	} ready[READY]; /* by the CPU that filled the page; in each, older generations first */
	struct chain chains[CHAINS];
	struct drainer drainers[DRAINERS];
	uint32_t nready; /* ready pages and chains; a hint without the lock */

	uint32_t progress; /* an event: something was drained */

	uint32_t pause; /* a fork is in progress; written under the lock */
};
extern struct defer_pipe defer_pipe;

/* ---- fork.c ---- */

/* In the child of a fork, under the lock, by the first thread that takes it. */
void defer_adopt(void);

static inline void lock_pipe(void)
{
	port_lock(&defer_lock);
	if (port_forked_since(defer_pipe.forks))
		defer_adopt();
}

static inline void unlock_pipe(void)
{
	port_unlock(&defer_lock);
}

/* ---- ready.c; under the lock ---- */

/* A page, or the chain of generation @gen, has had its grace periods. */
void ready_page(struct store_page *p);
bool ready_chain(struct anyrcu_head *head, uint64_t gen); /* false: no slot is free now */
/* The CPU of the page that is to be drained next, or the caller's. */
unsigned ready_cpu(void);
/* Is there anything of generation @gen, or of an older one? */
bool ready_until(uint64_t gen);

/* The drainer of this owner (0: a free one), or NULL. Any thread, without the lock. */
struct drainer *drainer_of(uint64_t owner);
/* Take the oldest page or chain. NULL: there is none, or a fork is in progress. */
struct drainer *drainer_acquire(bool only_free);
/* Give back the rest. Returns the page if it is drained, for the caller to free. */
struct store_page *drainer_release(struct drainer *d);

#endif
