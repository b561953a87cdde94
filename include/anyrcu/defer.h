/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferred free and deferred call: what the kernel has as kfree_rcu() and call_rcu().
 *
 * What waits is stored in pages of pointers. Where no page can be had, the forms that take a head chain the object through it
 * and never fail; the headless forms return false; the mightsleep forms wait.
 *
 * A callback runs after a grace period, in a worker or in a thread that reclaims (anyrcu_reclaim(), and without a worker
 * anyrcu_barrier()), outside all read-side critical sections. It may defer again, read and take locks, and call anyrcu_synchronize(),
 * which holds up what waits behind it; anyrcu_barrier() and anyrcu_reclaim() are reported, as they would wait for themselves. It must
 * return or end its thread: longjmp() or an exception out of it is not supported. Callbacks are invoked in no particular order. A
 * NULL function is reported, and ends the program.
 *
 * A worker that is not pinned moves to the CPU on which the objects were deferred, so a thread that a callback starts begins with this
 * one CPU as its affinity, unless its attributes say otherwise. A child that it forks has the affinity that the worker was started with.
 */
#ifndef ANYRCU_DEFER_H
#define ANYRCU_DEFER_H

#include <stdbool.h>
#include <stddef.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_head - room for a deferral inside an object
 *
 * Needs no initialisation. It belongs to the library from the deferral to the callback, and to the caller otherwise.
 */
struct anyrcu_head {
	struct anyrcu_head *next;
	void (*func)(struct anyrcu_head *head);
};

/**
 * anyrcu_call() - call a function on an object after a grace period
 * @head: the head inside the object; must not be deferred already (ANYRCU_DEBUG=1 finds that)
 * @func: what to call
 *
 * Never fails and never waits.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: all that the caller did before happens before the callback, and so do all read-side critical sections that had
 *           begun before the call.
 */
ANYRCU_API void anyrcu_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head));

/* The out-of-line part of anyrcu_free(): @head is @offset bytes into what free() will take. */
ANYRCU_API void anyrcu_free_head(struct anyrcu_head *head, size_t offset);

/**
 * anyrcu_free() - free() an object after a grace period
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @member: the name of the struct anyrcu_head in it, in the first 4,096 bytes
 *
 * Context and ordering: as anyrcu_call().
 */
#ifdef __cplusplus
#define ANYRCU_STATIC_ASSERT static_assert
#else
#define ANYRCU_STATIC_ASSERT _Static_assert
#endif
#define ANYRCU_FREE(function, ptr, member)                                                                             \
	do {                                                                                                           \
		__typeof__(ptr) anyrcu_ptr_ = (ptr);                                                                   \
		ANYRCU_STATIC_ASSERT(__builtin_offsetof(__typeof__(*anyrcu_ptr_), member) < 4096,                      \
				     "the head must lie in the object's first 4096 bytes");                            \
		if (anyrcu_ptr_)                                                                                       \
			function(&anyrcu_ptr_->member, __builtin_offsetof(__typeof__(*anyrcu_ptr_), member));          \
	} while (0)
#define anyrcu_free(ptr, member) ANYRCU_FREE(anyrcu_free_head, ptr, member)

/**
 * anyrcu_raw_call() - as anyrcu_call(), by a caller that knows it may take no lock
 * @head: the head inside the object
 * @func: what to call
 *
 * The same as anyrcu_call(), but under the policy ANYRCU_POLICY_RAW_VARIANTS (anyrcu_init()): there anyrcu_call() may take a lock to
 * get a page, so that callers in raw context must use this one, which gets none.
 *
 * Context and ordering: as anyrcu_call().
 */
ANYRCU_API void anyrcu_raw_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head));

/* The out-of-line part of anyrcu_raw_free(). */
ANYRCU_API void anyrcu_raw_free_head(struct anyrcu_head *head, size_t offset);

/**
 * anyrcu_raw_free() - as anyrcu_free(), by a caller that knows it may take no lock
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @member: the name of the struct anyrcu_head in it, in the first 4,096 bytes
 *
 * To anyrcu_free() what anyrcu_raw_call() is to anyrcu_call().
 *
 * Context and ordering: as anyrcu_call().
 */
#define anyrcu_raw_free(ptr, member) ANYRCU_FREE(anyrcu_raw_free_head, ptr, member)

/**
 * anyrcu_call_headless() - call a function after a grace period, without a head
 * @func: what to call
 * @arg: its argument
 *
 * Context and ordering: as anyrcu_call().
 * Return: false when no page could be had or a bound was reached; then nothing has changed.
 */
ANYRCU_API bool anyrcu_call_headless(void (*func)(void *arg), void *arg) __attribute__((warn_unused_result));

/**
 * anyrcu_free_headless() - free() an object after a grace period, without a head
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 *
 * Context and ordering: as anyrcu_call().
 * Return: false when no page could be had or a bound was reached; then nothing has changed. True for NULL.
 */
ANYRCU_API bool anyrcu_free_headless(void *ptr) __attribute__((warn_unused_result));

/**
 * anyrcu_call_mightsleep() - call a function after a grace period, without a head, from a task
 * @func: what to call
 * @arg: its argument
 *
 * Never fails: it may map memory, lend a hand with what is ready for free() when too much is pending, or wait for a grace period and
 * call @func itself. Inside a read-side critical section it reports the mistake and aborts. In an online thread
 * (anyrcu_thread_online()) it may be a quiescent state.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 * Ordering: as anyrcu_call().
 */
ANYRCU_API void anyrcu_call_mightsleep(void (*func)(void *arg), void *arg);

/**
 * anyrcu_free_mightsleep() - free() an object after a grace period, without a head, from a task
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 *
 * Context and ordering: as anyrcu_call_mightsleep().
 */
ANYRCU_API void anyrcu_free_mightsleep(void *ptr);

/**
 * anyrcu_barrier() - wait until all that was deferred before has been invoked
 *
 * Covers the deferrals of all threads that happen before the call. In a process without a worker it invokes them itself. A thread that
 * is online (anyrcu_thread_online()) counts as quiescent for the length of the call.
 * Inside a read-side critical section or a callback it reports the mistake and aborts, as it would wait for itself.
 *
 * Context: a task that may sleep, outside read-side critical sections and callbacks.
 * Ordering: the callbacks happen before the return.
 */
ANYRCU_API void anyrcu_barrier(void);

/**
 * anyrcu_reclaim() - invoke what is ready
 * @budget: how many callbacks at most; 0 only advances grace periods
 *
 * For programs configured to run no worker: call it from the application's own loop, in a thread that holds no lock which a callback takes.
 * It does not wait for readers, so a thread that is online makes progress by anyrcu_quiescent_state() between calls. Beside workers it
 * lends a hand.
 *
 * Context: a task, outside read-side critical sections and callbacks (reported otherwise, which ends the program).
 * Return: how many callbacks it invoked.
 */
ANYRCU_API size_t anyrcu_reclaim(size_t budget);

ANYRCU_END_DECLS

#endif
