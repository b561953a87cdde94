// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * load=1: threads defer without end, until the module is removed, which must wait for all of it.
 * They also call the kernel's own functions, which anyrcu_hook.ko may redirect meanwhile.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "test.h"

#define THREADS 2

struct item {
	struct rcu_head head;
	u64 words[6];
};

static struct task_struct *task[THREADS], *destroyer;
static atomic_t deferred, invoked;
/* Before 6.12 nothing waits for what kfree_rcu() has taken from a cache. */
static struct kmem_cache *cache;

static void item_free(struct rcu_head *head)
{
	kfree(container_of(head, struct item, head));
	atomic_inc(&invoked);
}

static int deferring(void *unused)
{
	for (unsigned int i = 0; !kthread_should_stop(); i++) {
		struct item *item = kmalloc(sizeof(*item), GFP_KERNEL);

		if (i % 4 == 1)
			defer_by_kernel(cache, i % 256 == 1 ? 0 : 1 + i / 4 % 3);
		if (item && i % 4 == 0) {
			anyrcu_free(item, head);
		} else if (item) {
			atomic_inc(&deferred);
			anyrcu_call(&item->head, item_free);
		}
		cond_resched_tasks_rcu_qs(); /* ftrace waits until each task has come by one */
	}
	return 0;
}

static struct rcu_head slow_head;
static atomic_t slow_pending;

static void slow_callback(struct rcu_head *head)
{
	msleep(1000);
	atomic_set(&slow_pending, 0);
}

/*
 * Destroying a cache waits for the object that was deferred; redirected, also for a slow callback
 * if slow=1, so the hook is removed during this wait.
 */
static int destroying(void *unused)
{
	while (!kthread_should_stop()) {
		struct kmem_cache *c = cache_for_kernel("anyrcu_test_short");

		if (slow && !atomic_xchg(&slow_pending, 1))
			anyrcu_call(&slow_head, slow_callback);
		if (c)
			defer_by_kernel(c, 2);
		cache_for_kernel_destroy(c);
	}
	return 0;
}

int load_start(void)
{
	if (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)) {
		cache = cache_for_kernel("anyrcu_test");
		if (!cache)
			return -ENOMEM;
	}
	for (int i = 0; i < THREADS; i++) {
		task[i] = kthread_run(deferring, NULL, "anyrcu-load");
		if (IS_ERR(task[i])) {
			while (i--)
				kthread_stop(task[i]);
			cache_for_kernel_destroy(cache);
			return -ENOMEM;
		}
	}
	if (cache)
		destroyer = kthread_run(destroying, NULL, "anyrcu-load");
	return 0;
}

void load_stop(void)
{
	for (int i = 0; i < THREADS; i++)
		kthread_stop(task[i]);
	if (!IS_ERR_OR_NULL(destroyer))
		kthread_stop(destroyer);
	anyrcu_barrier(); /* the rule: item_free() is in this module */
	cache_for_kernel_destroy(cache);
	pr_info("load: %s, %d deferred, %d invoked\n",
		atomic_read(&deferred) == atomic_read(&invoked) ? "complete" : "INCOMPLETE",
		atomic_read(&deferred), atomic_read(&invoked));
}
