// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* load=1: threads defer without end, until the module is removed, which must wait for all of it. */
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "test.h"

#define THREADS 2

struct item {
	struct rcu_head head;
	u64 words[6];
};

static struct task_struct *task[THREADS];
static atomic_t deferred, invoked;

static void item_free(struct rcu_head *head)
{
	kfree(container_of(head, struct item, head));
	atomic_inc(&invoked);
}

static int deferring(void *unused)
{
	for (unsigned int i = 0; !kthread_should_stop(); i++) {
		struct item *item = kmalloc(sizeof(*item), GFP_KERNEL);

		if (item && i % 4 == 0) {
			anyrcu_free(item, head);
		} else if (item) {
			atomic_inc(&deferred);
			anyrcu_call(&item->head, item_free);
		}
		cond_resched();
	}
	return 0;
}

int load_start(void)
{
	for (int i = 0; i < THREADS; i++) {
		task[i] = kthread_run(deferring, NULL, "anyrcu-load");
		if (IS_ERR(task[i])) {
			while (i--)
				kthread_stop(task[i]);
			return -ENOMEM;
		}
	}
	return 0;
}

void load_stop(void)
{
	for (int i = 0; i < THREADS; i++)
		kthread_stop(task[i]);
	anyrcu_barrier(); /* the rule: item_free() is in this module */
	pr_info("load: %s, %d deferred, %d invoked\n",
		atomic_read(&deferred) == atomic_read(&invoked) ? "complete" : "INCOMPLETE",
		atomic_read(&deferred), atomic_read(&invoked));
}
