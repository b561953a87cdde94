/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The number of pending objects, and flood control: whether more is pending than struct
 * anyrcu_config allows.
 *
 * Any context writes the counters, each by an atomic addition. They are read one by one, so a sum
 * of several may miss changes in between. "invoked" is read first, and the counters of deferrals
 * after that, so that the number of pending objects is never too low.
 */
#include <defer/defer.h>
#include <port/port.h>

static uint64_t deferred_closed(void)
{
	return load(&defer_stats.page) + load(&defer_store.sealed_objects);
}

uint64_t defer_deferred_page(void)
{
	uint64_t n = deferred_closed();

	anyrcu_read_lock(); /* so that the pages we read are not freed */
	n += store_open_objects(&defer_store);
	anyrcu_read_unlock();
	return n;
}

static uint64_t pending(uint64_t in_pages, uint64_t invoked)
{
	int64_t n = in_pages + load(&defer_stats.chain) + load(&defer_stats.inline_) - invoked;

	return n > 0 ? n : 0;
}

uint64_t defer_pending(void)
{
	uint64_t invoked = load_acquire(&defer_stats.invoked);

	return pending(defer_deferred_page(), invoked);
}

uint64_t defer_pending_closed(void)
{
	uint64_t invoked = load_acquire(&defer_stats.invoked);

	return pending(deferred_closed(), invoked);
}

bool defer_flood_begins(uint64_t pending)
{
	bool over = pending > load(&defer_limits.pending_max) ||
		    defer_bytes_pending() > load(&defer_limits.pending_bytes_max);

	if (!over || load(&defer_flood) || xchg(&defer_flood, true))
		return false;
	count_add(&defer_stats.floods, 1);
	port_probe1(flood, pending);
	return true;
}

void defer_flood_check(void)
{
	uint64_t pending = defer_pending();

	count_max(&defer_stats.pending_high, pending);
	if (!defer_flood_begins(pending) && pending < load(&defer_limits.pending_max) / 2 &&
	    defer_bytes_pending() <= load(&defer_limits.pending_bytes_max) / 2 &&
	    load(&defer_flood))
		store(&defer_flood, false);
}

static uint32_t help_wanted(uint64_t pending, uint64_t max)
{
	return pending > max ? (pending - max) / (max / 4) + 1 : 0;
}

uint32_t defer_help_wanted(void)
{
	uint32_t objects = help_wanted(defer_pending(), load(&defer_limits.pending_max)),
		 bytes = help_wanted(defer_bytes_pending(), load(&defer_limits.pending_bytes_max));

	return objects > bytes ? objects : bytes;
}
