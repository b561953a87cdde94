/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The variables that the files of this layer share, and the source of the store's pages. */
#include <anyrcu/page.h>
#include <context/context.h>
#include <defer/defer.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/port.h>

uint32_t defer_policy = ANYRCU_POLICY_NOLOCKS;
struct defer_stats defer_stats;
struct defer_limits defer_limits = { STORE_DELAY_US * UINT64_C(1000), STORE_PENDING_MAX,
				     DEFER_PENDING_BYTES_MAX };
uint32_t defer_flood;

/*
 * All policies but NOLOCKS allocate in a mode that may take a lock, and make that safe by not
 * allocating in some contexts. ANYRCU_GFP_NOWAIT blocks signals while it holds the lock. So if a
 * policy allows an allocation in a handler, the handler may wait for another thread, but never for
 * the thread that it interrupted.
 */
static noinline void *page_by_policy(bool zero, unsigned context)
{
	unsigned flags = zero ? ANYRCU_GFP_ZERO : 0;
	bool may = true;

	switch (load(&defer_policy)) {
	case ANYRCU_POLICY_PREEMPTIBLE:
		may = context_preemptible() == CONTEXT_YES;
		break;
	case ANYRCU_POLICY_RT_OFF:
		may = !context_rt() && !load(&lockdep_ops);
		break;
	case ANYRCU_POLICY_RAW_VARIANTS:
		may = context != RAW_CONTEXT;
		break;
	default:
		return page_alloc(ANYRCU_GFP_NO_LOCKS | flags, 0);
	}
	if (!may && context != TASK_CONTEXT)
		return NULL;
	lockdep(might_spin, "the allocation of a page by a deferral", __builtin_return_address(0));
	return page_alloc(ANYRCU_GFP_NOWAIT | flags, 0);
}

struct store_place defer_places[PORT_CPUS_MAX];
struct store defer_store = {
	.place = defer_places,
	.nkinds = DEFER_KINDS,
	.page = page_by_policy,
	.bytes_max = STORE_BYTES_MAX,
};
