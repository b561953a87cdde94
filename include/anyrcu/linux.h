/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu in the Linux kernel: for modules that use anyrcu.ko.
 *
 * Pending objects are stored in pages of pointers. If no page is available, functions that take a
 * struct rcu_head chain the object through it and never fail; headless functions return false;
 * mightsleep functions wait.
 *
 * "Any context" means any in which RCU watches: a task, softirq, a spinlock or raw spinlock held,
 * interrupts off, a hard interrupt, an NMI, even one that interrupted this module.
 *
 * Callbacks are invoked in a kernel thread, preemptible and with interrupts and softirqs on. This
 * differs from call_rcu(), which invokes in softirq: a callback that relies on softirq context,
 * such as one that takes a lock of softirqs by spin_lock(), must disable softirqs itself. A
 * callback may sleep. Callbacks are invoked in no particular order.
 *
 * A module that defers a function of its own must call anyrcu_barrier() before it is unloaded, once
 * it defers no more, as it would call rcu_barrier().
 */
#ifndef ANYRCU_LINUX_H
#define ANYRCU_LINUX_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include <anyrcu/linux-stats.h>

/**
 * anyrcu_call() - call a function on an object after a grace period
 * @head: the head inside the object; must not be deferred already
 * @func: the function
 *
 * Never fails and never waits.
 *
 * Context: any.
 * Ordering: all accesses of the caller before the call happen before the callback, and so do all
 *           read-side critical sections that had begun before the call.
 */
void anyrcu_call(struct rcu_head *head, rcu_callback_t func);

/**
 * anyrcu_raw_call() - anyrcu_call() for a caller with a raw spinlock held or interrupts off
 * @head: as for anyrcu_call()
 * @func: as for anyrcu_call()
 *
 * It differs from anyrcu_call() only under the module's parameter policy=raw_variants, where the
 * other functions allocate as if they may take spinlocks, and this one does not allocate.
 *
 * Context: any.
 */
void anyrcu_raw_call(struct rcu_head *head, rcu_callback_t func);

/* The out-of-line parts of anyrcu_free() and anyrcu_raw_free(). */
void anyrcu_free_head(struct rcu_head *head, size_t offset);
void anyrcu_raw_free_head(struct rcu_head *head, size_t offset);

#define ANYRCU_LINUX_FREE(function, ptr, member)                                                \
	do {                                                                                    \
		typeof(ptr) anyrcu_ptr_ = (ptr);                                                \
                                                                                                \
		BUILD_BUG_ON(offsetof(typeof(*anyrcu_ptr_), member) >= 4096);                   \
		if (anyrcu_ptr_)                                                                \
			function(&anyrcu_ptr_->member, offsetof(typeof(*anyrcu_ptr_), member)); \
	} while (0)

/**
 * anyrcu_free() - kvfree() an object after a grace period
 * @ptr: the object, of kmalloc(), kvmalloc(), vmalloc() or kmem_cache_alloc(), or NULL, which does
 *       nothing
 * @member: the name of the struct rcu_head in it, in the first 4,096 bytes
 *
 * Context and ordering: as anyrcu_call().
 */
#define anyrcu_free(ptr, member) ANYRCU_LINUX_FREE(anyrcu_free_head, ptr, member)

/**
 * anyrcu_raw_free() - anyrcu_free() for a caller with a raw spinlock held or interrupts off
 * @ptr: as for anyrcu_free()
 * @member: as for anyrcu_free()
 */
#define anyrcu_raw_free(ptr, member) ANYRCU_LINUX_FREE(anyrcu_raw_free_head, ptr, member)

/**
 * anyrcu_call_headless() - call a function after a grace period, without a head
 * @func: the function
 * @arg: its argument
 *
 * Context and ordering: as anyrcu_call().
 * Return: false if no page is available or a bound is reached; then nothing has changed.
 */
bool __must_check anyrcu_call_headless(void (*func)(void *arg), void *arg);

/**
 * anyrcu_free_headless() - kvfree() an object that has no head after a grace period
 * @ptr: the object, or NULL
 *
 * Context and ordering: as anyrcu_call(). Return: as anyrcu_call_headless(). True for NULL.
 */
bool __must_check anyrcu_free_headless(void *ptr);

/**
 * anyrcu_call_mightsleep() - call a function after a grace period, without a head; never fails
 * @func: the function
 * @arg: its argument
 *
 * Allocates a page if it must; if that fails, waits for a grace period and calls the function
 * itself.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 */
void anyrcu_call_mightsleep(void (*func)(void *arg), void *arg);

/**
 * anyrcu_free_mightsleep() - kvfree() an object that has no head; never fails
 * @ptr: the object, or NULL
 *
 * Context: as anyrcu_call_mightsleep().
 */
void anyrcu_free_mightsleep(void *ptr);

/**
 * anyrcu_barrier() - wait until all callbacks that were deferred before have been invoked
 *
 * Context: a task that may sleep, outside read-side critical sections and callbacks.
 */
void anyrcu_barrier(void);

/**
 * enum - modes of anyrcu_page_alloc()
 * @ANYRCU_GFP_KERNEL: may sleep
 * @ANYRCU_GFP_NOWAIT: may take spinlocks, does not sleep
 * @ANYRCU_GFP_NO_LOCKS: takes no lock and never waits; uses the module's lists and reserve only
 * @ANYRCU_GFP_ZERO: a flag to add: the pages are filled with zeroes
 */
enum {
	ANYRCU_GFP_KERNEL = 0,
	ANYRCU_GFP_NOWAIT = 1,
	ANYRCU_GFP_NO_LOCKS = 2,
	ANYRCU_GFP_ZERO = 0x100
};

/**
 * anyrcu_page_alloc() - allocate pages
 * @gfp: one of ANYRCU_GFP_KERNEL, _NOWAIT, _NO_LOCKS, with ANYRCU_GFP_ZERO added or not
 * @order: 0 to 9
 *
 * Context: KERNEL: a task that may sleep. NOWAIT: no raw spinlock held, no hard interrupt.
 *          NO_LOCKS: any.
 * Return: 4096 << @order bytes aligned to their size, or NULL.
 */
void *__must_check anyrcu_page_alloc(unsigned int gfp, unsigned int order);

/**
 * anyrcu_page_free() - give pages back
 * @page: from anyrcu_page_alloc(), or NULL, which does nothing
 * @order: the order with which they were allocated
 *
 * Context: any.
 */
void anyrcu_page_free(void *page, unsigned int order);

#endif
