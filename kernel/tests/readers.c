// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Nothing is invoked early: readers look at objects whose callbacks poison them. */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "test.h"

#define LIVING 0x600dull
#define DEAD 0xdeadull
#define UPDATES 20000

struct read {
	u64 word;
	struct rcu_head head;
};
static struct read __rcu *current_read;
static atomic64_t looks;
static atomic_t early, invoked;

static void poison(struct rcu_head *head)
{
	struct read *r = container_of(head, struct read, head);

	WRITE_ONCE(r->word, DEAD);
	atomic_inc(&invoked);
	kfree(r);
}

static int reader(void *unused)
{
	while (!kthread_should_stop()) {
		struct read *r;

		rcu_read_lock();
		r = rcu_dereference(current_read);
		for (int i = 0; i < 20; i++) {
			if (READ_ONCE(r->word) != LIVING)
				atomic_inc(&early);
			udelay(2);
		}
		rcu_read_unlock();
		atomic64_inc(&looks);
		cond_resched();
	}
	return 0;
}

static struct read *fresh(void)
{
	struct read *r = kmalloc(sizeof(*r), GFP_KERNEL | __GFP_NOFAIL);

	r->word = LIVING;
	return r;
}

bool test_readers(char *note)
{
	struct task_struct *task[2];

	atomic_set(&early, 0);
	atomic_set(&invoked, 0);
	RCU_INIT_POINTER(current_read, fresh());
	for (int i = 0; i < 2; i++) {
		task[i] = kthread_run(reader, NULL, "anyrcu-reader");
		if (IS_ERR(task[i]))
			return false;
	}
	for (int i = 0; i < UPDATES; i++) {
		struct read *old = rcu_replace_pointer(current_read, fresh(), true);

		anyrcu_call(&old->head, poison);
		if (i % 100 == 0)
			usleep_range(100, 1000);
	}
	for (int i = 0; i < 2; i++)
		kthread_stop(task[i]);
	anyrcu_barrier();
	kfree(rcu_dereference_protected(current_read, true));
	snprintf(note, NOTE, "%d invoked, %lld looks, %d early", atomic_read(&invoked),
		 atomic64_read(&looks), atomic_read(&early));
	return !atomic_read(&early) && atomic_read(&invoked) == UPDATES && atomic64_read(&looks);
}
