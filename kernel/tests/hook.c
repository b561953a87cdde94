// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * With anyrcu_hook.ko, what is deferred by the kernel's own kfree_rcu() comes to anyrcu.ko, and is
 * waited for where the kernel waits. Run only by name, with that module: only=hook.
 */
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "test.h"

#define MANY 5000

struct thing {
	char text[100];
	struct rcu_head head;
};

static DEFINE_RAW_SPINLOCK(lock);

struct kmem_cache *cache_for_kernel(const char *name)
{
	return cache_make(name, sizeof(struct thing));
}

static struct thing *thing_alloc(struct kmem_cache *cache)
{
	return cache ? kmem_cache_alloc(cache, GFP_KERNEL) :
		       kmalloc(sizeof(struct thing), GFP_KERNEL);
}

bool defer_by_kernel(struct kmem_cache *cache, unsigned int how)
{
	struct thing *thing;
	unsigned long flags;
	void *p;

	switch (how % 4) {
	case 0:
		thing = kvmalloc(sizeof(*thing) + 2 * PAGE_SIZE, GFP_KERNEL);
		kvfree_rcu(thing, head);
		return thing;
	case 1:
		p = kmalloc(64, GFP_KERNEL);
		kvfree_rcu_mightsleep(p);
		return p;
	case 2:
		thing = thing_alloc(cache);
		kfree_rcu(thing, head);
		return thing;
	default:
		thing = thing_alloc(cache);
		raw_spin_lock_irqsave(&lock, flags);
		kfree_rcu(thing, head);
		raw_spin_unlock_irqrestore(&lock, flags);
		return thing;
	}
}

/* Before 6.12 the kernel did not wait for deferred objects. */
void cache_for_kernel_destroy(struct kmem_cache *cache)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	anyrcu_barrier();
#endif
	kmem_cache_destroy(cache);
}

bool test_hook(char *note)
{
	struct kmem_cache *cache = cache_for_kernel("anyrcu_test");
	struct anyrcu_linux_stats before, after;
	unsigned int deferred = 0;

	if (!cache)
		return false;
	anyrcu_linux_stats_get(&before);
	for (unsigned int i = 0; i < MANY; i++)
		deferred += defer_by_kernel(cache, i);
	cache_for_kernel_destroy(cache);
	anyrcu_barrier();
	anyrcu_linux_stats_get(&after);
	snprintf(note, NOTE, "%u objects, %llu invoked", deferred, after.invoked - before.invoked);
	return deferred && after.invoked - before.invoked >= deferred;
}
