// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Where deferrals get pages under each policy, with all lists empty that an allocation without a
 * lock could be served from: the module's, and the kernel's own per-CPU lists. Whether it was right
 * to allocate there is lockdep's to say, which has to be in the kernel, and reports once in a boot.
 * Run only by name, one in a boot: only=policy_raw.
 *
 * Under policies other than nolocks a page may also come from the reserve, which the worker fills
 * meanwhile. With drain=1 the test takes these away again and again, so that nearly all pages of
 * the deferrals are the kernel's.
 *
 * The kernel takes pages for its lists in ever larger batches, so after the last page that the test
 * holds there may be more in a list than the deferrals need; init.sh bounds the lists below that.
 */
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>

#include "test.h"

#define OBJECTS 160000 /* some 318 pages */
#define OBJECTS_DRAINED 300000
#define DRAIN 256 /* deferrals; a page has room for 503 */
#define KERNEL_PAGES 4000
#define OWN_PAGES 30000 /* as many are held at most; the worker may bring as many as there are */

static struct objects objects;

/* Pages, linked through their first words. */
static void *hold(void *held, void *page)
{
	*(void **)page = held;
	return page;
}

static void *hold_kernel_pages(void)
{
	void *held = NULL, *p;

	for (int i = 0; i < KERNEL_PAGES; i++)
		if ((p = (void *)__get_free_page(GFP_KERNEL)))
			held = hold(held, p);
	return held;
}

static unsigned int own_pages;

static void *hold_own_pages(void *held)
{
	void *p;

	while (own_pages < OWN_PAGES && (p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))) {
		held = hold(held, p);
		own_pages++;
	}
	return held;
}

static bool measure(char *note, void (*within)(void))
{
	void *kernel_pages, *p;
	struct anyrcu_linux_stats before, after;
	bool good;

	if (objects_make(&objects, drain ? OBJECTS_DRAINED : OBJECTS))
		return false;
	migrate_disable(); /* the lists are the CPU's */
	kernel_pages = hold_kernel_pages();
	anyrcu_barrier();
	anyrcu_linux_stats_get(&before);
	within();
	anyrcu_linux_stats_get(&after);
	migrate_enable();
	while ((p = kernel_pages)) {
		kernel_pages = *(void **)p;
		free_page((unsigned long)p);
	}
	good = objects_settle(&objects);
	snprintf(note, NOTE, "%llu of %u in pages", objects.n - (after.chain - before.chain),
		 objects.n);
	objects_free(&objects);
	return good;
}

static void give_back(void *held)
{
	void *p;

	while ((p = held)) {
		held = *(void **)p;
		anyrcu_page_free(p, 0);
	}
}

static void defer_without_own_pages(void (*defer)(struct rcu_head *head, rcu_callback_t func))
{
	struct object *object;
	void *held;

	own_pages = 0;
	held = hold_own_pages(NULL);
	for (unsigned int i = 1; (object = objects_take(&objects)); i++) {
		defer(&object->head, object_invoked);
		if (drain && i % DRAIN == 0)
			held = hold_own_pages(held);
	}
	give_back(held);
}

static void within_task(void)
{
	defer_without_own_pages(anyrcu_call);
}

static void within_spinlock(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	defer_without_own_pages(anyrcu_call);
	spin_unlock(&lock);
}

static void within_raw(void (*defer)(struct rcu_head *head, rcu_callback_t func))
{
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	defer_without_own_pages(defer);
	raw_spin_unlock_irqrestore(&lock, flags);
}

static void within_raw_call(void)
{
	within_raw(anyrcu_call);
}

static void within_raw_raw_call(void)
{
	within_raw(anyrcu_raw_call);
}

static void in_hard_irq(struct irq_work *work)
{
	defer_without_own_pages(anyrcu_call);
}

static void within_irq(void)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(in_hard_irq);

	irq_work_queue(&work);
	irq_work_sync(&work);
}

bool test_policy_task(char *note)
{
	return measure(note, within_task);
}

bool test_policy_spinlock(char *note)
{
	return measure(note, within_spinlock);
}

bool test_policy_raw(char *note)
{
	return measure(note, within_raw_call);
}

/* By the form that is for callers in raw context. */
bool test_policy_variant(char *note)
{
	return measure(note, within_raw_raw_call);
}

bool test_policy_irq(char *note)
{
	return measure(note, within_irq);
}

#ifdef CONFIG_X86
static void within_nmi(void)
{
	if (!nmi_begin(within_task))
		return;
	nmi_call(raw_smp_processor_id());
	nmi_end();
}

bool test_policy_nmi(char *note)
{
	return measure(note, within_nmi);
}
#endif
