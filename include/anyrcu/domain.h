/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferral for readers that are not anyrcu's: a domain is a queue of callbacks with a grace-period source of its own.
 *
 * A source says how to wait for the readers of some other scheme: liburcu's synchronize_rcu(), an application's epoch counter. The domain brings
 * the rest: pages of pointers, a way on when no page can be had, a worker, and bounds. It invokes callbacks one at a time, in its one worker,
 * and those that a thread has deferred in that thread's order. A callback must return.
 *
 * Beside the source's readers the domain waits for those of anyrcu, which protect a page while it is filled.
 */
#ifndef ANYRCU_DOMAIN_H
#define ANYRCU_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <anyrcu/defer.h>
#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_source - how to wait for the readers of a scheme
 * @size: sizeof(struct anyrcu_source), so that later versions may add fields
 * @synchronize: returns when every reader that had begun before the call has ended. May sleep, and may be called by several domains at
 *               once. It has to order as a grace period does: all that the caller did before is seen by each reader that it does not wait
 *               for, and all that the readers did is seen by the caller afterwards. Called by workers alone
 * @thread_begin: a worker starts, and may read from here on: what a reader's thread needs, such as registration; may be NULL
 * @thread_end: the worker ends, or pauses for a fork; may be NULL
 * @thread_sleeps: the worker is going to wait for something else than readers, and must hold up none of the scheme's grace periods
 *                 meanwhile; may be NULL
 * @thread_wakes: it has waited; may be NULL
 * @arg: given to each of them
 */
struct anyrcu_source {
	size_t size;
	void (*synchronize)(void *arg);
	void (*thread_begin)(void *arg);
	void (*thread_end)(void *arg);
	void (*thread_sleeps)(void *arg);
	void (*thread_wakes)(void *arg);
	void *arg;
};

/**
 * struct anyrcu_domain_config - what can be set for a domain; zero means the default, in every field but @size
 * @size: sizeof(struct anyrcu_domain_config)
 * @pinned: the worker runs on @cpu alone; by default it goes where objects are deferred
 * @cpu: a CPU number
 * @poll: anyrcu_domain_call() makes no system call to wake the worker, which looks every @delay_us instead: for real-time callers
 * @delay_us: how long the worker waits after a batch before it takes the next, microseconds, unless many wait: 1 to 10,000,000; 10,000 by default
 * @pending_max: deferrals pending past which the caller that fills a page sleeps, so that the worker gets the CPU: for 50 microseconds, four times
 *               as long at twice as many, and so on to 5 milliseconds; not while the worker waits for readers. At least 1024; 131,072 by
 *               default; UINT64_MAX: never
 * @page_bytes_max: bytes that the domain's pages may take: at least 65,536; 64 MiB by default. While they do, objects are chained
 */
struct anyrcu_domain_config {
	size_t size;
	bool pinned;
	int cpu;
	bool poll;
	uint64_t delay_us;
	uint64_t pending_max;
	uint64_t page_bytes_max;
};

/**
 * struct anyrcu_domain_stats - counts since the domain was made
 * @size: sizeof(struct anyrcu_domain_stats), set by the caller; later versions may add fields at the end
 * @collected: deferrals that the worker has taken up: @collected_page + @collected_chain
 * @collected_page: of these, stored in pages
 * @collected_chain: chained through the object's head, as no page could be had
 * @invoked: callbacks invoked
 * @pending_high: most that were pending when the worker took them up
 * @bytes: bytes in pages now
 * @bytes_high: most bytes there were
 * @gp_done: calls of the source's synchronize
 * @gp_ns_total: sum of their durations, nanoseconds
 * @gp_ns_max: the longest
 * @wait_ns_total: sum over the objects of pages, of the time from the opening of the page to the end of its callbacks, nanoseconds: no
 *                 object has waited for longer than that
 * @wait_ns_max: the longest
 * @gave_way: times that a caller slept as there was too much pending
 * @worker_wakes: times that a deferral or a request woke the worker
 */
struct anyrcu_domain_stats {
	size_t size;
	uint64_t collected;
	uint64_t collected_page;
	uint64_t collected_chain;
	uint64_t invoked;
	uint64_t pending_high;
	uint64_t bytes;
	uint64_t bytes_high;
	uint64_t gp_done;
	uint64_t gp_ns_total;
	uint64_t gp_ns_max;
	uint64_t wait_ns_total;
	uint64_t wait_ns_max;
	uint64_t gave_way;
	uint64_t worker_wakes;
};

struct anyrcu_domain;

/**
 * anyrcu_domain_create() - make a domain, and start its worker
 * @source: how to wait for readers; copied
 * @config: NULL for the defaults
 *
 * Context: a task that may sleep.
 * Return: the domain; NULL, and errno set: EINVAL when a field is out of range, ENOMEM without memory, EAGAIN when the worker could not be
 *         started.
 */
ANYRCU_API struct anyrcu_domain *anyrcu_domain_create(const struct anyrcu_source *source,
						      const struct anyrcu_domain_config *config);

/**
 * anyrcu_domain_call() - call a function on an object after a grace period of the domain's source
 * @domain: the domain
 * @head: the head inside the object; must not be deferred already (ANYRCU_DEBUG=1 finds that)
 * @func: what to call
 *
 * Never fails, and waits for nobody, but see @pending_max of struct anyrcu_domain_config.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: as anyrcu_call(), with the source's readers; and the callbacks of one thread are invoked in the order of its calls.
 */
ANYRCU_API void anyrcu_domain_call(struct anyrcu_domain *domain, struct anyrcu_head *head,
				   void (*func)(struct anyrcu_head *head));

/**
 * anyrcu_domain_barrier() - wait until all that was deferred to a domain before has been invoked
 * @domain: the domain
 *
 * Context: a task that may sleep, where its waiting holds up no reader of the source, and not one of the domain's callbacks, which is
 *          reported and ends the program.
 * Ordering: the callbacks happen before the return.
 */
ANYRCU_API void anyrcu_domain_barrier(struct anyrcu_domain *domain);

/**
 * anyrcu_domain_destroy() - end a domain
 * @domain: the domain, to which nobody defers any more; NULL is allowed and does nothing
 * @into: the domain that what still waits goes to, in its order, for the same source; NULL: it is waited for and invoked
 *
 * Context: as anyrcu_domain_barrier().
 */
ANYRCU_API void anyrcu_domain_destroy(struct anyrcu_domain *domain, struct anyrcu_domain *into);

/**
 * anyrcu_domain_stats_get() - read a domain's statistics
 * @domain: the domain
 * @out: where to; @out->size bytes are written at most
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_domain_stats_get(const struct anyrcu_domain *domain, struct anyrcu_domain_stats *out);

ANYRCU_END_DECLS

#endif
