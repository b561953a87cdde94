/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_STATS_H
#define ANYRCU_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_stats - counts since the process started (in a child of fork(): including the parent's until then)
 * @size: sizeof(struct anyrcu_stats), set by the caller; later versions may add fields at the end
 * @deferred: deferrals accepted: @deferred_page + @deferred_chain + @deferred_inline. Those in a page which is still open
 *            are included
 * @deferred_page: stored in a page
 * @deferred_chain: chained through the object's head, as no page could be had or page_bytes_max was reached
 * @deferred_inline: mightsleep forms that waited for a grace period and invoked the callback themselves
 * @refused: headless forms that returned false
 * @refused_bound: of these, because of @pending_max
 * @invoked: callbacks invoked, frees and @deferred_inline included
 * @pending: deferred and not yet invoked
 * @pending_high: most pending that the worker has seen when it looked
 * @pages_percpu: page allocations served by the per-CPU lists
 * @pages_reserve: by the reserve
 * @pages_zone: by the zone
 * @pages_failed_no_locks: NO_LOCKS allocations that returned NULL
 * @pages_failed: other allocations that returned NULL, but for arguments out of range
 * @pages_mapped: bytes the zone has mapped now
 * @pages_mapped_high: most bytes it had mapped
 * @defer_bytes: bytes in pages of pointers now
 * @defer_bytes_high: most bytes there were
 * @gp_started: grace periods started
 * @gp_done: grace periods ended
 * @gp_ns_total: sum of their durations, nanoseconds
 * @gp_ns_max: the longest
 * @stalls: stall reports
 * @batches: collections of pages and chains for a grace period
 * @drained_pages: pages drained
 * @drained_chains: chains drained
 * @floods: times that flood control began
 * @helped: callbacks invoked by callers of mightsleep forms that lent a hand
 * @readers: reader records in use, of threads that ended without giving theirs back too, until it is used again
 * @worker_wakes: times that a deferral or a request woke a worker
 */
struct anyrcu_stats {
	size_t size;
	uint64_t deferred;
	uint64_t deferred_page;
	uint64_t deferred_chain;
	uint64_t deferred_inline;
	uint64_t refused;
	uint64_t refused_bound;
	uint64_t invoked;
	uint64_t pending;
	uint64_t pending_high;
	uint64_t pages_percpu;
	uint64_t pages_reserve;
	uint64_t pages_zone;
	uint64_t pages_failed_no_locks;
	uint64_t pages_failed;
	uint64_t pages_mapped;
	uint64_t pages_mapped_high;
	uint64_t defer_bytes;
	uint64_t defer_bytes_high;
	uint64_t gp_started;
	uint64_t gp_done;
	uint64_t gp_ns_total;
	uint64_t gp_ns_max;
	uint64_t stalls;
	uint64_t batches;
	uint64_t drained_pages;
	uint64_t drained_chains;
	uint64_t floods;
	uint64_t helped;
	uint64_t readers;
	uint64_t worker_wakes;
};

/**
 * anyrcu_stats_get() - read the statistics
 * @out: where to; @out->size bytes are written at most
 *
 * Each count becomes exact when nothing is under way; they are not read at one instant, and @invoked follows a page at a time.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_stats_get(struct anyrcu_stats *out);

ANYRCU_END_DECLS

#endif
