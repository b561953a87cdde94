// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* port.h in the kernel: CPUs, time, memory, threads, sleeping. */
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <uapi/linux/sched/types.h>

#include <port/append.h>
#include <port/linux/init.h>

unsigned port_cpu(void)
{
	return raw_smp_processor_id() % PORT_CPUS_MAX;
}

unsigned port_cpus(void)
{
	return min_t(unsigned int, nr_cpu_ids, PORT_CPUS_MAX);
}

unsigned port_ncpus(void)
{
	return num_online_cpus();
}

uint64_t port_now(void)
{
	return ktime_get_mono_fast_ns();
}

/* ---- memory ---- */

/* The core keeps what it maps; it is freed with the module. Under the core's lock of pages. */
struct mapping {
	struct list_head link;
	void *p;
};
static LIST_HEAD(mappings);

void *port_map(size_t size, size_t align)
{
	struct mapping *m = align <= PAGE_SIZE ? kmalloc(sizeof(*m), GFP_KERNEL) : NULL;

	if (!m)
		return NULL;
	m->p = vzalloc(size);
	if (!m->p) {
		kfree(m);
		return NULL;
	}
	list_add(&m->link, &mappings);
	return m->p;
}

void port_free(void *p)
{
	kvfree(p);
}

/*
 * kfree_bulk() frees together what is of one slab, and looks for it at a cost that exceeds the gain
 * where neighbours in @p are of different slabs: so it gets neighbours in memory only. It knows no
 * vmalloc()ed memory, of which no two are in one page.
 */
void port_free_bulk(uintptr_t *p, uint32_t n)
{
	for (uint32_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && p[i + run] >> PAGE_SHIFT == p[i] >> PAGE_SHIFT; run++)
			;
		if (run > 1)
			kfree_bulk(run, (void **)&p[i]);
		else
			kvfree((void *)p[i]);
	}
}

/* ---- threads ---- */

/* One of these is 0 for the idle task, which neither drains nor takes locks; hence + 1. */
uint64_t port_id(void)
{
	return (uint64_t)task_pid_nr(current) + 1;
}

uint32_t port_tid(void)
{
	return task_pid_nr(current) + 1;
}

bool port_tid_dead(uint32_t tid)
{
	bool dead;

	rcu_read_lock();
	dead = !pid_task(find_pid_ns((int)tid - 1, &init_pid_ns), PIDTYPE_PID);
	rcu_read_unlock();
	return dead;
}

/* Only a process forks, or ends threads in callbacks. */
bool port_forked_raw(void)
{
	return false;
}

bool port_exiting(void)
{
	return false;
}

void port_thread_exit_arm_task(void)
{
}

int port_cancel_off(void)
{
	return 0;
}

void port_cancel_on(int former)
{
}

/*
 * A thread's code is in the module, so unloading waits for each thread. Ended threads are reaped
 * when another is started.
 */
struct thread {
	struct list_head link;
	struct task_struct *task;
	void *(*main)(void *);
	void *arg;
	bool ended;
};
static LIST_HEAD(threads);
static DEFINE_MUTEX(threads_lock);

static int run(void *arg)
{
	struct thread *t = arg;

	t->main(t->arg);
	smp_store_release(&t->ended, true);
	return 0;
}

static void reap(struct thread *t)
{
	kthread_stop(t->task);
	put_task_struct(t->task);
	list_del(&t->link);
	kfree(t);
}

int port_thread_start(void *(*main)(void *), void *arg, int rt)
{
	struct thread *t, *next;

	mutex_lock(&threads_lock);
	list_for_each_entry_safe(t, next, &threads, link)
		if (smp_load_acquire(&t->ended))
			reap(t);
	mutex_unlock(&threads_lock);
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	t->main = main;
	t->arg = arg;
	t->task = kthread_create(run, t, "anyrcu");
	if (IS_ERR(t->task)) {
		int err = PTR_ERR(t->task);

		kfree(t);
		return err;
	}
	get_task_struct(t->task);
	if (rt)
		sched_set_fifo_low(t->task);
	mutex_lock(&threads_lock);
	list_add(&t->link, &threads);
	mutex_unlock(&threads_lock);
	wake_up_process(t->task);
	return 0;
}

void port_thread_arrives(void)
{
}

void port_thread_begin(int cpu, int rt)
{
}

/* A hint, which is ignored: the thread would move to CPUs that are kept free for other work. */
void port_follow(unsigned cpu)
{
}

/* ---- sleeping ---- */

static struct mutex *mutex_of(struct port_lock *lock)
{
	return (struct mutex *)(void *)lock->mutex;
}

/* A drainer takes it for each page, and lets others run here on kernels without preemption. */
void port_lock(struct port_lock *lock)
{
	cond_resched_tasks_rcu_qs();
	mutex_lock(mutex_of(lock));
}

void port_unlock(struct port_lock *lock)
{
	mutex_unlock(mutex_of(lock));
}

/*
 * All threads sleep in one queue: they are few, and each checks its own condition. A wake-up takes
 * locks, so it is done in an interrupt that the CPU sends to itself, which can be requested even in
 * an NMI. A second request before the first interrupt has begun is merged with the first.
 */
static DECLARE_WAIT_QUEUE_HEAD(sleepers);

static void wake(struct irq_work *work)
{
	wake_up_all(&sleepers);
}
static struct irq_work wake_work = IRQ_WORK_INIT(wake);

static unsigned long timeout_of(uint64_t ns)
{
	return ns ? nsecs_to_jiffies(ns) + 1 : MAX_SCHEDULE_TIMEOUT;
}

void port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	wait_event_idle_timeout(sleepers, READ_ONCE(*word) != value, timeout_of(ns));
}

void port_wake(uint32_t *word)
{
	irq_work_queue(&wake_work);
}

void port_sleep(uint64_t ns)
{
	schedule_timeout_idle(timeout_of(ns));
}

/* ---- beginning and end ---- */

void port_linux_init(void)
{
	smp_store_release(&port_rseq_cpus, port_cpus());
}

void port_linux_exit(void)
{
	struct mapping *m, *next;

	while (!list_empty(&threads))
		reap(list_first_entry(&threads, struct thread, link));
	irq_work_sync(&wake_work);
	list_for_each_entry_safe(m, next, &mappings, link) {
		vfree(m->p);
		kfree(m);
	}
}
