/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What workers do about memory between two checks of what is deferred, and where there are none,
 * anyrcu_reclaim() and anyrcu_reclaim_poll().
 */
#include <cache/cache.h>
#include <defer/defer.h>
#include <pages/pages.h>
#include <port/port.h>

#define LINGER UINT64_C(1000000000) /* ns between two checks of what may be given back */
#define AGAIN UINT64_C(100000000) /* ns until work is tried again that lacked memory */

/* When each was done last, in port_now() time. Any task: one check more or less does no harm. */
static uint64_t worked, trimmed;

/* Give back memory that was not used between two checks. */
static void trim(uint64_t now)
{
	if ((int64_t)(now - load(&trimmed) - LINGER) < 0)
		return;
	store(&trimmed, now);
	cache_idle();
	if (pages_idle()) {
		pages_trim();
		gp_sweep();
	}
}

void defer_work_on_memory(void)
{
	uint64_t now = port_now();

	store(&worked, now);
	if (pages_want_refill())
		pages_refill();
	if (cache_wants())
		cache_work();
	trim(now);
}

static uint64_t left(uint64_t since, uint64_t ns)
{
	int64_t n = since + ns - port_now();

	return n > 0 ? n : 0;
}

uint64_t defer_memory_due(bool promise)
{
	bool timer = pages_want_timer(promise) || cache_want_timer();

	if (pages_want_refill() || cache_wants())
		return left(load(&worked), AGAIN);
	return timer ? left(load(&trimmed), LINGER) : UINT64_MAX;
}
