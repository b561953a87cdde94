// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Deferral in NMIs, also in such as interrupt a deferral. */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/version.h>

#include <asm/apic.h>
#include <asm/nmi.h>

#include "test.h"

#define MANY 2000
#define STORM 20000
#define EACH 10

static struct objects objects;
static atomic_t handled;
/* One was sent to this CPU and is not handled yet: two would arrive as one. */
static atomic_t sent[NR_CPUS];

static void (*called)(void);

static int in_nmi_called(unsigned int type, struct pt_regs *regs)
{
	if (!atomic_read(&sent[smp_processor_id()]))
		return NMI_DONE;
	called();
	atomic_set(&sent[smp_processor_id()], 0);
	return NMI_HANDLED;
}

bool nmi_begin(void (*function)(void))
{
	called = function;
	return !register_nmi_handler(NMI_LOCAL, in_nmi_called, 0, "anyrcu_test");
}

void nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "anyrcu_test");
}

static void send(int cpu)
{
	if (atomic_xchg(&sent[cpu], 1))
		return;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
#else
	apic->send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
#endif
}

void nmi_call(unsigned int cpu)
{
	send(cpu);
	while (atomic_read(&sent[cpu]))
		cond_resched();
}

static void defer_some(void)
{
	for (int i = 0; i < EACH; i++)
		objects_defer(&objects);
	atomic_inc(&handled);
}

static bool begin(unsigned int n)
{
	atomic_set(&handled, 0);
	return !objects_make(&objects, n) && nmi_begin(defer_some);
}

static bool end(char *note)
{
	bool good = objects_settle(&objects);

	nmi_end();
	snprintf(note, NOTE, "%d objects, %d NMIs", atomic_read(&objects.invoked),
		 atomic_read(&handled));
	good = good && atomic_read(&handled);
	objects_free(&objects);
	return good;
}

bool test_nmi(char *note)
{
	if (!begin(MANY * EACH))
		return false;
	for (int i = 0; i < MANY; i++) {
		send(get_cpu());
		put_cpu();
	}
	return end(note);
}

static bool stop;

static int deferring(void *unused)
{
	while (!READ_ONCE(stop)) {
		objects_defer(&objects);
		cond_resched();
	}
	while (!kthread_should_stop())
		usleep_range(100, 1000);
	return 0;
}

/* Threads defer on each CPU; each CPU in turn gets NMIs, which defer too. */
bool test_nmi_storm(char *note)
{
	struct task_struct *task[8];
	unsigned int n = 0, cpu;
	int until = 0;

	if (!begin(1000000))
		return false;
	stop = false;
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		task[n] = kthread_create(deferring, NULL, "anyrcu-storm/%u", cpu);
		if (IS_ERR(task[n]))
			break;
		kthread_bind(task[n], cpu);
		wake_up_process(task[n]);
		if (++n == ARRAY_SIZE(task))
			break;
	}
	while (until++ < STORM && atomic_read(&objects.taken) < objects.n / 2) {
		for_each_online_cpu(cpu)
			send(cpu);
		cond_resched();
	}
	cpus_read_unlock();
	WRITE_ONCE(stop, true);
	while (n)
		kthread_stop(task[--n]);
	return end(note);
}
