/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_STATS_H
#define ANYRCU_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_stats - counts since the process started (in a child of fork(): including the
 * parent's until then)
 * @size: sizeof(struct anyrcu_stats), set by the caller; later versions may add fields at the end
 * @deferred: deferrals accepted: @deferred_page + @deferred_chain + @deferred_inline, including
 *            those in pages that are still open
 * @deferred_page: stored in a page
 * @deferred_chain: chained through the object's head, as no page was available or page_bytes_max
 *                  was reached
 * @deferred_inline: calls of mightsleep functions that waited for a grace period and invoked the
 *                   callback themselves
 * @refused: calls of headless functions that returned false
 * @refused_bound: of these, because of pending_max of struct anyrcu_config, or, in functions
 *                 without a size, of pending_bytes_max
 * @invoked: callbacks invoked, including frees and @deferred_inline
 * @pending: deferred and not yet invoked
 * @pending_high: the most pending deferrals that a collection has seen
 * @pages_percpu: page allocations served by the per-CPU lists
 * @pages_reserve: by the reserve
 * @pages_zone: by the zone
 * @pages_failed_no_locks: NO_LOCKS allocations that returned NULL
 * @pages_failed: other allocations that returned NULL, except for arguments out of range
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
 * @helped: frees by callers of mightsleep functions during floods
 * @readers: reader records in use, including records abandoned by exited threads and not yet
 *           reused
 * @worker_wakes: times that a deferral or a request woke a worker
 * @pending_bytes: bytes of pending objects, as given to the sized functions
 * @pending_bytes_high: the most there were
 * @refused_bytes: of @refused, because of pending_bytes_max
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
	uint64_t pending_bytes;
	uint64_t pending_bytes_high;
	uint64_t refused_bytes;
};

/**
 * anyrcu_stats_get() - read the statistics
 * @out: where to; @out->size bytes are written at most
 *
 * Each count is exact when no operation is in progress. The counts are not read at one instant, and
 * @invoked is updated once for each page.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_stats_get(struct anyrcu_stats *out);

ANYRCU_END_DECLS

#endif
