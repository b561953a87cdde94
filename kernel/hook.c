// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * anyrcu_hook.ko: while it is loaded, what the running kernel defers by kfree_rcu() and
 * kvfree_rcu(), with a head or without, goes to anyrcu.ko, so that existing code can be measured.
 *
 * All these forms call kvfree_call_rcu(). ftrace lets us change the address at which its call goes
 * on, as livepatch does. Who redirects the frees must redirect kvfree_rcu_barrier() as well, where
 * there is one: kmem_cache_destroy() waits by it for objects of its cache. Ours calls the kernel's
 * and anyrcu_barrier(), so it is redirected before the frees are, and until none is pending.
 *
 * call_rcu() is not redirected: docs/kernel.md says why.
 *
 * Without a head and without a page for the object, we wait and free as the kernel does. We take no
 * lock there, as the caller may be what anyrcu.ko's own allocation of pages has called.
 *
 * The end. A task that was redirected may be anywhere in this module's code when ftrace calls us no
 * more. It adds to "inside" before it may sleep, and subtracts after, so
 *   - when tasks have all slept of their own will or left the kernel (synchronize_rcu_tasks(), and
 *     synchronize_rcu() for interrupts, also of the idle task), all who were redirected have added;
 *   - from then on each CPU's count can only fall, so a sum that is read as 0 is 0 from then on;
 *   - who has subtracted leaves without sleeping: the same wait once more.
 */
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/version.h>

#include <anyrcu/linux.h>

/* Written by the calls below, in any context. */
static DEFINE_PER_CPU(u64, inside);
static DEFINE_PER_CPU(u64, redirected);

static u64 sum(u64 __percpu *count)
{
	u64 n = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		n += READ_ONCE(*per_cpu_ptr(count, cpu));
	return n;
}

static int get_redirected(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%llu\n", sum(&redirected));
}

static const struct kernel_param_ops redirected_ops = { .get = get_redirected };
module_param_cb(redirected, &redirected_ops, NULL, 0444);
MODULE_PARM_DESC(redirected, "how many objects have been deferred here");

static void defer(struct rcu_head *head, void *ptr)
{
	this_cpu_inc(inside);
	this_cpu_inc(redirected);
	if (head) {
		anyrcu_free_head(head, (char *)head - (char *)ptr);
	} else if (!anyrcu_free_headless(ptr)) {
		synchronize_rcu();
		kvfree(ptr);
	}
	this_cpu_dec(inside);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
static void hook_free(struct rcu_head *head, void *ptr)
{
	defer(head, ptr);
}
#else
/* Instead of the object it is told the head's offset, unless there is no head. */
static void hook_free(struct rcu_head *head, rcu_callback_t func)
{
	defer(head, head ? (char *)head - (uintptr_t)func : (char *)func);
}
#endif

/*
 * Lets the call go on at the function in op->private, unless it comes from this module. All such
 * calls are from the code that stays after loading. within_module() would also read where the init
 * code is, which the kernel changes at the end of loading.
 */
static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *op,
			     struct ftrace_regs *fregs)
{
	if (!within_module_core(parent_ip, THIS_MODULE))
		ftrace_get_regs(fregs)->ip = (unsigned long)op->private;
}

/* Nobody can turn these off (PERMANENT), as objects would be freed behind the barrier's back. */
#define HOOK(name, function)                                                \
	static struct ftrace_ops name = {                                   \
		.func = redirect,                                           \
		.private = function,                                        \
		.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | \
			 FTRACE_OPS_FL_PERMANENT,                           \
	}

HOOK(frees, hook_free);

static int hook_start(struct ftrace_ops *ops, void *function)
{
	int err = ftrace_set_filter_ip(ops, (unsigned long)function, 0, 0);

	if (!err)
		err = register_ftrace_function(ops);
	if (err)
		ftrace_set_filter_ip(ops, (unsigned long)function, 1, 0);
	return err;
}

static void hook_stop(struct ftrace_ops *ops, void *function)
{
	unregister_ftrace_function(ops);
	ftrace_set_filter_ip(ops, (unsigned long)function, 1, 0);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static void hook_barrier(void)
{
	this_cpu_inc(inside);
	kvfree_rcu_barrier(); /* from here it is not redirected; no jump, as something follows */
	anyrcu_barrier();
	this_cpu_dec(inside);
}

HOOK(barriers, hook_barrier);

static int barriers_start(void)
{
	return hook_start(&barriers, kvfree_rcu_barrier);
}

static void barriers_stop(void)
{
	hook_stop(&barriers, kvfree_rcu_barrier);
}
#else
static int barriers_start(void)
{
	return 0;
}

static void barriers_stop(void)
{
}
#endif

/* None who was redirected is in our code any more. */
static void wait_outside(void)
{
	synchronize_rcu_tasks();
	synchronize_rcu();
	while (sum(&inside))
		msleep(1);
	synchronize_rcu_tasks();
	synchronize_rcu();
}

static int __init anyrcu_hook_start(void)
{
	int err = barriers_start();

	if (err)
		return err;
	err = hook_start(&frees, kvfree_call_rcu);
	if (err) {
		barriers_stop();
		wait_outside();
	}
	return err;
}

static void __exit anyrcu_hook_stop(void)
{
	hook_stop(&frees, kvfree_call_rcu);
	wait_outside();
	anyrcu_barrier();
	barriers_stop();
	wait_outside();
}

module_init(anyrcu_hook_start);
module_exit(anyrcu_hook_stop);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Redirects the kernel's kfree_rcu() to anyrcu");
MODULE_AUTHOR("The anyrcu project");
