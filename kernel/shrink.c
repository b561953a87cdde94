// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The shrinker: when memory is short, what is deferred is not left to wait for more, and pages that
 * are in no use are given back.
 *
 * Reclaim may have been entered by anybody who allocates, the module's own refill under its lock
 * included. So a shrinker does neither itself: it counts, and has a work item do it, which nobody
 * in reclaim waits for.
 */
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#include <defer/defer.h>
#include <pages/pages.h>

#include "module.h"

uint64_t shrinks;

/* Bytes of pages that wait for nothing to be stored in them, after the last trim. */
static uint64_t kept;

static uint64_t unused_bytes(void)
{
	uint64_t mapped = load(&pages_stats.mapped), stored = load(&defer_store.bytes);

	return mapped > stored ? mapped - stored : 0;
}

static void shrink(struct work_struct *work)
{
	anyrcu_barrier();
	pages_trim();
	store(&kept, unused_bytes());
	store(&shrinks, shrinks + 1);
}
static DECLARE_WORK(shrink_work, shrink);

/* Objects, and pages; neither is counted that will be there afterwards as it is now. */
static unsigned long shrink_count(struct shrinker *s, struct shrink_control *control)
{
	uint64_t now = unused_bytes(), then = load(&kept);

	return defer_pending() + (now > then ? (now - then) / PAGE_SIZE : 0) ?: SHRINK_EMPTY;
}

static unsigned long shrink_scan(struct shrinker *s, struct shrink_control *control)
{
	queue_work(system_unbound_wq, &shrink_work);
	return control->nr_to_scan;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
static struct shrinker *shrinker;

int shrink_start(void)
{
	shrinker = shrinker_alloc(0, "anyrcu");
	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = shrink_count;
	shrinker->scan_objects = shrink_scan;
	store(&kept, unused_bytes());
	shrinker_register(shrinker);
	return 0;
}

static void unregister(void)
{
	shrinker_free(shrinker);
}
#else
static struct shrinker shrinker = {
	.count_objects = shrink_count,
	.scan_objects = shrink_scan,
	.seeks = DEFAULT_SEEKS,
};

int shrink_start(void)
{
	store(&kept, unused_bytes());
	return register_shrinker(&shrinker, "anyrcu");
}

static void unregister(void)
{
	unregister_shrinker(&shrinker);
}
#endif

void shrink_stop(void)
{
	unregister();
	cancel_work_sync(&shrink_work);
}
