/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* anyrcu in the Linux kernel: its statistics. Use anyrcu/linux.h. */
#ifndef ANYRCU_LINUX_STATS_H
#define ANYRCU_LINUX_STATS_H

#include <linux/types.h>

/**
 * struct anyrcu_linux_stats - counts since the module was loaded
 * @page: objects that were deferred in pages
 * @chain: objects that were chained, as no page was available
 * @inlined: objects whose caller waited for the grace period itself
 * @refused: headless deferrals that returned false
 * @invoked: callbacks invoked, and objects freed
 * @pending: pending objects
 * @batches: collections, each with one grace period
 * @drained_pages: pages whose objects have all been invoked
 * @floods: how often flood control began
 * @wakes: how often a deferral has woken a worker
 * @no_locks_failed: NO_LOCKS allocations that failed
 * @page_bytes: bytes of pages that the module has now from the kernel
 * @shrinks: how often objects were invoked and pages given back as memory was short
 */
struct anyrcu_linux_stats {
	u64 page, chain, inlined, refused, invoked, pending;
	u64 batches, drained_pages, floods, wakes;
	u64 no_locks_failed, page_bytes, shrinks;
};

/**
 * anyrcu_linux_stats_get() - read the statistics
 * @out: where to write them
 *
 * debugfs has the same in anyrcu/stats.
 *
 * Context: any.
 */
void anyrcu_linux_stats_get(struct anyrcu_linux_stats *out);

#endif
