// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * All at once, for seconds=: tasks, softirq, interrupts and NMIs replace what readers read and
 * defer what was there, while a CPU goes and comes back, pages are refused, and readers and
 * updaters stall. Nothing may be lost, invoked twice, or invoked while a reader looks at it.
 *
 * An item is free, in use (just allocated, published, or pending), and free again when its callback
 * is invoked. "word" is odd while it is not free, and grows at both changes, so a reader that finds
 * it even or changed was not waited for.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "test.h"

#define ITEMS 16384
#define SLOTS 64
#define EACH 10

struct item {
	struct rcu_head head;
	atomic_t word, pending;
};

static struct item *items;
static struct item __rcu *slots[SLOTS];
static atomic_t next, early, doubled;
static atomic64_t deferred, refused, looks;

/* The first free one of a few that nobody looked at for the longest time. Any context. */
static struct item *item_alloc(void)
{
	for (int i = 0; i < 8; i++) {
		struct item *item = &items[(unsigned int)atomic_inc_return(&next) % ITEMS];
		int word = atomic_read(&item->word);

		if (!(word & 1) && atomic_cmpxchg(&item->word, word, word + 1) == word)
			return item;
	}
	return NULL;
}

static void free_item(void *p)
{
	struct item *item = p;

	if (atomic_xchg(&item->pending, 0) != 1)
		atomic_inc(&doubled);
	atomic_inc(&item->word);
}

static void free_head(struct rcu_head *head)
{
	free_item(container_of(head, struct item, head));
}

static void defer(struct item *item, bool headless)
{
	atomic_set(&item->pending, 1);
	atomic64_inc(&deferred);
	if (headless) {
		if (anyrcu_call_headless(free_item, item))
			return;
		atomic64_inc(&refused);
	}
	anyrcu_call(&item->head, free_head);
}

/* Any context. */
static void update(void)
{
	struct item *item = item_alloc(), *old;
	unsigned int n;

	if (!item)
		return;
	n = atomic_read(&item->word) / 2 + (item - items);
	old = unrcu_pointer(xchg(&slots[n % SLOTS], RCU_INITIALIZER(item)));
	if (old)
		defer(old, n % 3 == 0);
}

static void update_some(void)
{
	for (int i = 0; i < EACH; i++)
		update();
}

/* ---- the contexts ---- */

static int updater(void *unused)
{
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long flags;

	for (unsigned int i = 0; !kthread_should_stop(); i++) {
		update();
		local_bh_disable();
		update();
		local_bh_enable();
		raw_spin_lock_irqsave(&lock, flags);
		update_some();
		if (i % 256 == 0)
			udelay(300); /* it stalls */
		raw_spin_unlock_irqrestore(&lock, flags);
		if (i % 64 == 0)
			usleep_range(100, 1000);
		cond_resched();
	}
	return 0;
}

static int reader(void *unused)
{
	for (unsigned int i = 0; !kthread_should_stop(); i++) {
		struct item *item;
		int word;

		rcu_read_lock();
		item = rcu_dereference(slots[i % SLOTS]);
		word = item ? atomic_read(&item->word) : 0;
		for (int n = 0; item && n < (i % 1024 ? 4 : 400); n++) {
			if (!(word & 1) || atomic_read(&item->word) != word)
				atomic_inc(&early);
			udelay(2);
		}
		rcu_read_unlock();
		atomic64_inc(&looks);
		cond_resched();
	}
	return 0;
}

static int refuser(void *unused)
{
	while (!kthread_should_stop()) {
		parameter_set("page_bytes_max", "0");
		usleep_range(500, 2000);
		parameter_set("page_bytes_max", "67108864");
		usleep_range(500, 2000);
	}
	return 0;
}

static unsigned int hotplugs; /* by the thread below alone */

static int hotplug(void *unused)
{
	while (!kthread_should_stop()) {
		if (num_online_cpus() > 1 && !remove_cpu(1)) {
			msleep(20);
			add_cpu(1);
			hotplugs++;
		}
		msleep(200);
	}
	return 0;
}

static unsigned int nmis; /* by the thread below alone */

static int interrupter(void *unused)
{
	unsigned int cpu;

	while (!kthread_should_stop()) {
		cpus_read_lock();
		for_each_online_cpu(cpu) {
			nmi_call(cpu);
			nmis++;
		}
		cpus_read_unlock();
		usleep_range(20, 200);
	}
	return 0;
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	update_some();
	hrtimer_forward_now(timer, ns_to_ktime(300000));
	return HRTIMER_RESTART;
}

static void in_tasklet(struct tasklet_struct *unused)
{
	update_some();
}

/* ---- the test ---- */

static unsigned int left_over(void)
{
	unsigned int lost = 0;

	anyrcu_barrier();
	for (int i = 0; i < SLOTS; i++) {
		struct item *item = rcu_dereference_protected(slots[i], true);

		RCU_INIT_POINTER(slots[i], NULL);
		if (item)
			defer(item, false);
	}
	anyrcu_barrier();
	for (int i = 0; i < ITEMS; i++)
		lost += atomic_read(&items[i].word) & 1;
	return lost;
}

bool test_torture(char *note)
{
	static int (*const threads[])(void *) = { updater, updater, reader,	reader,
						  refuser, hotplug, interrupter };
	struct task_struct *task[ARRAY_SIZE(threads)];
	struct tasklet_struct tasklet;
	struct hrtimer timer;
	unsigned int n = 0, lost;

	items = vzalloc(array_size(ITEMS, sizeof(*items)));
	if (!items || !nmi_begin(update_some))
		return false;
	tasklet_setup(&tasklet, in_tasklet);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
#else
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	timer.function = tick;
#endif
	hrtimer_start(&timer, ns_to_ktime(300000), HRTIMER_MODE_REL_HARD);
	for (; n < ARRAY_SIZE(threads); n++) {
		task[n] = kthread_run(threads[n], NULL, "anyrcu-torture");
		if (IS_ERR(task[n]))
			break;
	}
	for (unsigned int i = 0; n == ARRAY_SIZE(threads) && i < seconds * 100; i++) {
		tasklet_schedule(&tasklet);
		msleep(10);
	}
	for (unsigned int i = 0; i < n; i++)
		kthread_stop(task[i]);
	hrtimer_cancel(&timer);
	tasklet_kill(&tasklet);
	nmi_end();
	lost = left_over();
	vfree(items);
	snprintf(note, NOTE,
		 "%llu deferred, %llu refused, %llu looks, %u NMIs, %u CPUs; %u lost, %d twice, "
		 "%d early",
		 atomic64_read(&deferred), atomic64_read(&refused), atomic64_read(&looks), nmis,
		 hotplugs, lost, atomic_read(&doubled), atomic_read(&early));
	return n == ARRAY_SIZE(threads) && !lost && !atomic_read(&doubled) &&
	       !atomic_read(&early) && atomic64_read(&deferred) && atomic64_read(&refused) &&
	       atomic64_read(&looks) && nmis && (hotplugs || num_possible_cpus() == 1);
}
