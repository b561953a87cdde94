// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Deferral from a task, from softirq, under spinlocks, and in hard interrupts. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irq_work.h>
#include <linux/spinlock.h>
#include <linux/version.h>

#include "test.h"

#define MANY 20000
#define ROUNDS 100
#define EACH 50 /* deferrals in one interrupt */

static struct objects objects;
static atomic_t wrong_context;

static bool begin(unsigned int n)
{
	atomic_set(&wrong_context, 0);
	return !objects_make(&objects, n);
}

static bool end(char *note)
{
	bool good = objects_settle(&objects) && !atomic_read(&wrong_context);

	snprintf(note, NOTE, "%d objects", atomic_read(&objects.invoked));
	objects_free(&objects);
	return good;
}

bool test_task(char *note)
{
	if (!begin(MANY))
		return false;
	while (objects_defer(&objects))
		;
	return end(note);
}

static void defer_some(void)
{
	for (int i = 0; i < EACH; i++)
		objects_defer(&objects);
}

static void in_softirq_tasklet(struct tasklet_struct *t)
{
	atomic_add(!in_serving_softirq(), &wrong_context);
	defer_some();
}

bool test_softirq(char *note)
{
	struct tasklet_struct tasklet;

	if (!begin(ROUNDS * EACH))
		return false;
	tasklet_setup(&tasklet, in_softirq_tasklet);
	for (int i = 0; i < ROUNDS; i++) {
		tasklet_schedule(&tasklet);
		while (atomic_read(&objects.taken) < (i + 1) * EACH)
			usleep_range(10, 100);
	}
	tasklet_kill(&tasklet);
	return end(note);
}

bool test_spinlock(char *note)
{
	static DEFINE_SPINLOCK(lock);

	if (!begin(MANY))
		return false;
	for (int i = 0; i < MANY / EACH; i++) {
		spin_lock(&lock);
		defer_some();
		spin_unlock(&lock);
	}
	return end(note);
}

bool test_raw_spinlock(char *note)
{
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long flags;

	if (!begin(MANY))
		return false;
	for (int i = 0; i < MANY / EACH; i++) {
		raw_spin_lock_irqsave(&lock, flags);
		defer_some();
		raw_spin_unlock_irqrestore(&lock, flags);
	}
	return end(note);
}

static struct {
	struct hrtimer timer;
	struct completion done;
	int rounds;
} ticking;

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	atomic_add(!in_hardirq(), &wrong_context);
	defer_some();
	if (--ticking.rounds == 0) {
		complete(&ticking.done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ns_to_ktime(200000));
	return HRTIMER_RESTART;
}

/* The timer interrupts a task that defers as well. */
bool test_hard_timer(char *note)
{
	if (!begin(2 * ROUNDS * EACH))
		return false;
	init_completion(&ticking.done);
	ticking.rounds = ROUNDS;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&ticking.timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
#else
	hrtimer_init(&ticking.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	ticking.timer.function = tick;
#endif
	hrtimer_start(&ticking.timer, ns_to_ktime(200000), HRTIMER_MODE_REL_HARD);
	for (int i = 0; i < ROUNDS * EACH; i++) {
		objects_defer(&objects);
		if (i % EACH == 0)
			udelay(50);
	}
	wait_for_completion(&ticking.done);
	hrtimer_cancel(&ticking.timer);
	return end(note);
}

static void in_irq_work(struct irq_work *work)
{
	atomic_add(!in_hardirq(), &wrong_context);
	defer_some();
}

bool test_hard_irq_work(char *note)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(in_irq_work);

	if (!begin(ROUNDS * EACH))
		return false;
	for (int i = 0; i < ROUNDS; i++) {
		irq_work_queue(&work);
		irq_work_sync(&work);
	}
	return end(note);
}

static struct completion irq_handled;

static irqreturn_t irq_hard(int irq, void *unused)
{
	atomic_add(!in_hardirq(), &wrong_context);
	defer_some();
	return IRQ_WAKE_THREAD;
}

static irqreturn_t irq_thread(int irq, void *unused)
{
	atomic_add(!in_task(), &wrong_context);
	defer_some();
	complete(&irq_handled);
	return IRQ_HANDLED;
}

static unsigned int threaded_irq;

static void raise_irq(struct irq_work *work)
{
	generic_handle_irq(threaded_irq);
}

/* An interrupt that only this test raises: its handler defers, and so does its thread. */
bool test_threaded_irq(char *note)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(raise_irq);
	int irq = irq_alloc_desc(NUMA_NO_NODE);

	if (irq < 0)
		return false;
	threaded_irq = irq;
	irq_set_chip_and_handler(irq, &dummy_irq_chip, handle_simple_irq);
	irq_clear_status_flags(irq, IRQ_NOREQUEST);
	init_completion(&irq_handled);
	if (request_threaded_irq(irq, irq_hard, irq_thread, IRQF_NO_THREAD, "anyrcu_test", NULL)) {
		irq_free_desc(irq);
		return false;
	}
	if (begin(2 * ROUNDS * EACH)) {
		for (int i = 0; i < ROUNDS; i++) {
			irq_work_queue(&work);
			wait_for_completion(&irq_handled);
		}
		irq_work_sync(&work);
	}
	free_irq(irq, NULL);
	irq_free_desc(irq);
	return end(note) && atomic_read(&objects.taken) == 2 * ROUNDS * EACH;
}
