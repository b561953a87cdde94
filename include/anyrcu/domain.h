/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferral for readers of other schemes: a domain is a queue of callbacks with a grace-period
 * source of its own.
 *
 * A source waits for the readers of another scheme: liburcu's synchronize_rcu(), an application's
 * epoch counter. The domain provides the rest: pages of pointers, a fallback if no page is
 * available, a worker, and bounds. Its one worker invokes callbacks one at a time, and the
 * callbacks that one thread has deferred in the order of that thread's calls. A callback must
 * return.
 *
 * In addition to the source's readers the domain waits for readers of anyrcu, as read-side sections
 * protect a page while it is filled.
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
 * struct anyrcu_source - functions to wait for the readers of a scheme
 * @size: sizeof(struct anyrcu_source), so that later versions may add fields
 * @synchronize: returns once every reader that had begun before the call has ended. May sleep, and
 *               may be called by several domains at once. It must order like a grace period: each
 *               reader that it does not wait for sees everything that the caller did before, and
 *               the caller then sees everything that the other readers did. Called by workers, and
 *               by barriers of a domain whose worker could not be started
 * @thread_begin: a worker starts, and may read from here on: do here what a reader's thread needs,
 *                such as registration; may be NULL
 * @thread_end: the worker ends, or pauses for a fork; may be NULL
 * @thread_sleeps: the worker is about to wait for something other than readers, and must not delay
 *                 the scheme's grace periods meanwhile; may be NULL
 * @thread_wakes: that wait is over; may be NULL
 * @arg: passed to each of them
 * @invoke: called in place of each callback, and must call it: func(head); for callbacks that need
 *          a lock held, or a transaction around them; may be NULL
 */
struct anyrcu_source {
	size_t size;
	void (*synchronize)(void *arg);
	void (*thread_begin)(void *arg);
	void (*thread_end)(void *arg);
	void (*thread_sleeps)(void *arg);
	void (*thread_wakes)(void *arg);
	void *arg;
	void (*invoke)(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head), void *arg);
};

/**
 * struct anyrcu_domain_config - configuration of a domain; zero means the default, in every field
 * but @size
 * @size: sizeof(struct anyrcu_domain_config)
 * @pinned: the worker runs on @cpu alone; by default it moves to the CPU where objects are deferred
 * @cpu: a CPU number
 * @poll: anyrcu_domain_call() makes no system call to wake the worker, which checks every @delay_us
 *        instead: for real-time callers
 * @delay_us: how long the worker waits after a batch before it takes the next, microseconds, unless
 *            64 pages are full, or a quarter of all that @page_bytes_max allows: 1 to 10,000,000;
 *            10,000 by default
 * @pending_max: number of pending deferrals past which a caller that fills a page sleeps, so that
 *               the worker gets the CPU: for 50 microseconds, four times as long at twice as many,
 *               and so on, up to 5 milliseconds; not while the worker waits for readers. At least
 *               1024; 131,072 by default; UINT64_MAX: never
 * @page_bytes_max: bytes that the domain's pages may take: at least 65,536; 64 MiB by default. At
 *                  the bound, objects are chained
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
 * @size: sizeof(struct anyrcu_domain_stats), set by the caller; later versions may add fields at
 * the end
 * @collected: deferrals that the worker has collected: @collected_page + @collected_chain
 * @collected_page: of these, stored in pages
 * @collected_chain: chained through the object's head, as no page was available
 * @invoked: callbacks invoked
 * @pending_high: the largest number of deferrals in one collection
 * @bytes: bytes in pages now
 * @bytes_high: most bytes there were
 * @gp_done: calls of the source's synchronize
 * @gp_ns_total: sum of their durations, nanoseconds
 * @gp_ns_max: the longest
 * @wait_ns_total: sum, over the objects in pages, of the time from the opening of the page to the
 *                 end of its callbacks, nanoseconds: an upper bound of the object's own wait
 * @wait_ns_max: the longest
 * @gave_way: times that a caller slept because too much was pending
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
 * Return: the domain; NULL with errno set: EINVAL if a field is out of range, ENOMEM without
 *         memory, EAGAIN if the worker could not be started.
 */
ANYRCU_API struct anyrcu_domain *anyrcu_domain_create(const struct anyrcu_source *source,
						      const struct anyrcu_domain_config *config);

/**
 * anyrcu_domain_call() - call a function on an object after a grace period of the domain's source
 * @domain: the domain
 * @head: the head inside the object; must not be deferred already (ANYRCU_DEBUG=1 finds that)
 * @func: the function
 *
 * Never fails, and never waits, but may sleep: see @pending_max of struct anyrcu_domain_config.
 *
 * Context: any, including a signal handler that interrupted this library. Ordering: as
 * anyrcu_call(), with the source's readers; and the callbacks of one thread are invoked
 *           in the order of its calls.
 */
ANYRCU_API void anyrcu_domain_call(struct anyrcu_domain *domain, struct anyrcu_head *head,
				   void (*func)(struct anyrcu_head *head));

/**
 * anyrcu_domain_call_mightsleep() - the same, for an object without a head
 * @domain: the domain
 * @func: the function
 * @arg: its argument
 *
 * Allocates a head. If there is no memory, it waits until @func has been called. Never fails.
 *
 * Context: as anyrcu_domain_barrier(), and outside read-side critical sections of the source.
 * Ordering: as anyrcu_domain_call(), also with respect to the thread's other callbacks.
 */
ANYRCU_API void anyrcu_domain_call_mightsleep(struct anyrcu_domain *domain, void (*func)(void *arg),
					      void *arg);

/**
 * anyrcu_domain_barrier() - wait until all callbacks deferred to a domain before are invoked
 * @domain: the domain
 *
 * If the domain has no worker (for example in the child of a fork() in which no thread could be
 * started), the caller invokes the callbacks itself, between calls of the source's @thread_wakes
 * and @thread_sleeps. It must then be a thread that is registered with the source, like a worker
 * after @thread_begin.
 *
 * A thread that is online (anyrcu_thread_online()) counts as quiescent during the call.
 *
 * Context: a task that may sleep, whose waiting delays no grace period of the source. In a callback
 *          of the domain the call is reported, and ends the program.
 * Ordering: the callbacks happen before the return.
 */
ANYRCU_API void anyrcu_domain_barrier(struct anyrcu_domain *domain);

/**
 * anyrcu_domain_destroy() - end a domain
 * @domain: the domain, to which no thread defers any more; NULL is allowed and does nothing
 * @into: the domain, with the same source, to which pending deferrals are moved, in order; NULL:
 *        wait until they are invoked
 *
 * A thread that is online counts as quiescent during the call.
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
ANYRCU_API void anyrcu_domain_stats_get(const struct anyrcu_domain *domain,
					struct anyrcu_domain_stats *out);

ANYRCU_END_DECLS

#endif
