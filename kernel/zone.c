// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pages/zone.h in the kernel: the zone is alloc_pages(), which needs no lock of ours. The lock that
 * the core takes around refilling and trimming keeps these two apart.
 */
#include <linux/gfp.h>
#include <linux/llist.h>
#include <linux/mm.h>

#include <anyrcu/page.h>
#include <pages/pages.h>
#include <pages/zone.h>

#include "module.h"

struct pages_stats pages_stats;
struct port_lock pages_lock;

/* A page that found no slot: pushed by any context, taken whole under the lock. */
struct returned {
	struct llist_node link;
	unsigned order;
};
static LLIST_HEAD(returned);

static bool closed; /* the module goes: the reserve is not to be filled again; a task */

static void *take(unsigned order, gfp_t gfp)
{
	void *p = (void *)__get_free_pages(gfp | __GFP_NOWARN, order);

	if (p) {
		count_add(&pages_stats.mapped, PAGE_SIZE << order);
		count_max(&pages_stats.mapped_high, load(&pages_stats.mapped));
	}
	return p;
}

/* Without @may_map the caller may hold a spinlock, though no raw one. */
void *zone_alloc(unsigned order, bool may_map)
{
	return take(order, may_map ? GFP_KERNEL : GFP_NOWAIT);
}

void *zone_take(unsigned order, bool may_map)
{
	return closed ? NULL : take(order, may_map ? GFP_KERNEL | __GFP_NORETRY : GFP_NOWAIT);
}

void zone_put(void *page, unsigned order)
{
	free_pages((unsigned long)page, order);
	count_add(&pages_stats.mapped, -(uint64_t)(PAGE_SIZE << order));
}

void zone_return(void *page, unsigned order)
{
	struct returned *r = page;

	r->order = order;
	llist_add(&r->link, &returned);
}

bool zone_has_returned(void)
{
	return !llist_empty(&returned);
}

void zone_bring_home(void)
{
	struct returned *r, *next;

	llist_for_each_entry_safe(r, next, llist_del_all(&returned), link)
		zone_put(r, r->order);
}

struct chunk *zone_trim(void)
{
	return NULL;
}

void zone_unmap(struct chunk *c)
{
}

void zone_close(void)
{
	store(&closed, true);
	pages_trim();
	WARN(pages_stats.mapped, "anyrcu: %llu bytes of pages are not given back",
	     pages_stats.mapped);
}
