/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Internals of src/domain: the representation of a domain.
 *
 * The worker. "worker" names the thread that is the worker, from the cmpxchg by which it becomes
 * the worker to the store by which it stops being it. Starting a thread is only a request for a
 * worker: when the thread runs, it claims the place, or ends if the place is taken. A thread that
 * begins to run after its domain was destroyed finds "stop" set, or the next domain in the same
 * memory (which is never unmapped), and works for that. So it does not matter when a thread begins
 * to run, nor if the child of a fork in a handler starts threads and the interrupted call then
 * starts another.
 *
 * State that a fork must find consistent changes under the lock, which fork takes. The exception is
 * the batch that the worker is invoking: each object is taken off before it is invoked (the cursor
 * moves, or the chain is unlinked), so a thread that takes over continues behind it. The child of a
 * fork makes the worker's place of each domain free, unless its own thread holds it; see
 * domain_fork_child().
 *
 * Sleeping. The worker stores how it sleeps in "asleep", fences, and checks for work once more; a
 * caller stores its object, fences, and reads "asleep". One of the two sees the other. A caller
 * that wakes the worker first sets "asleep" to RINGING, so that the worker does not begin to sleep;
 * other callers that see RINGING wake it too, so it does not matter where the first one stops.
 *
 * The files call each other downwards only: domain.c, worker.c, append.c, store. What fork() needs
 * is in fork.c, which calls worker.c.
 */
#ifndef ANYRCU_DOMAIN_PRIVATE_H
#define ANYRCU_DOMAIN_PRIVATE_H

#include <anyrcu/page.h>
#include <domain/domain.h>
#include <port/event.h>
#include <port/process.h>
#include <store/store.h>

enum { AWAKE, TICKING, DEEP, RINGING };

#define LANES 16

struct anyrcu_domain {
	struct store_place lane[LANES];
	struct store store;
	uint32_t force; /* a barrier waits: no delay */

	/* Constant. */
	struct anyrcu_source source __attribute__((aligned(CACHE_LINE)));
	struct anyrcu_domain_config config;

	/* The worker. */
	/* port_id() of the worker, or of a barrier's caller that stands in for it; 0: none */
	uint64_t worker __attribute__((aligned(CACHE_LINE)));
	uint32_t asleep; /* one of the above */
	bool stands_in; /* the worker is a barrier's caller; only that caller writes it */
	uint32_t tid; /* of the last thread that was started for the domain and became the worker */
	bool coming; /* a thread was started and does not run yet; a hint */
	uint32_t stop;
	uint64_t merger; /* port_id() of the task that moves its objects to another domain, or 0 */
	uint32_t pause; /* how many callers want the worker to pause */
	uint32_t paused;

	struct store_page *batch;
	struct anyrcu_head *batch_chain;
	bool ready; /* the batch has had its grace periods */
	/* collections: the last one, and the last one that is completely invoked */
	uint32_t begun, ended;
	/* an event: the above has changed, or there is no worker any more */
	uint32_t over;

	/*
	 * To start a worker: how, whether there shall be one, when to try next, and how long to
	 * pause then.
	 */
	domain_starter_t *starter;
	bool wanted;
	uint64_t start_at, start_pause;

	struct anyrcu_domain_stats stats;
	struct anyrcu_domain *next; /* of all, or of those that are free */
};
_Static_assert(sizeof(struct anyrcu_domain) <= ANYRCU_PAGE_SIZE, "a domain is a page");

/*
 * Under the lock, except "pause". Each change of a list is one store, so that the lists are
 * consistent at every instruction.
 */
struct domains {
	struct anyrcu_domain *first, *free;
	uint32_t pause; /* a fork is in progress */
	bool failing; /* a domain has no worker, as none could be started; any context */
};
extern struct domains domains;

/* ---- append.c ---- */

/* Wake the worker if it sleeps deep, or, if @urgent, before its delay is over. Any context. */
void domain_wake(struct anyrcu_domain *d, bool urgent);
/* Defer; as domain_call(), without the debug mode's mark. */
void domain_append(struct anyrcu_domain *d, struct anyrcu_head *head, uintptr_t func,
		   uintptr_t caller);

/* ---- worker.c ---- */

/* Defer in @into the pending objects of the stopped domain @d. Task. */
void domain_merge(struct anyrcu_domain *d, struct anyrcu_domain *into);
/*
 * Do the worker's work in the calling thread until collection @want has ended, if there is no
 * worker. False: there is one. Task.
 */
bool domain_stand_in(struct anyrcu_domain *d, uint32_t want);
/* Is that collection completely invoked? */
bool domain_has_ended(const struct anyrcu_domain *d, uint32_t collection);
/* Start a thread that becomes the worker, if there is none and it is time to. 0 or -errno. Task. */
int domain_restart(struct anyrcu_domain *d);
/* ns between two starts of a worker; doubles with each failure */
#define DOMAIN_PAUSE_MIN UINT64_C(1000000)

#endif
