/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferred free and deferred call, like kfree_rcu() and call_rcu() in the kernel.
 *
 * Pending objects are stored in pages of pointers. If no page is available, functions with a head
 * chain the object through its head and never fail; headless functions return false; mightsleep
 * functions wait.
 *
 * A callback runs after a grace period, in a worker or in a thread that reclaims (anyrcu_reclaim(),
 * and without a worker anyrcu_barrier()), outside all read-side critical sections. It may defer
 * again, read, take locks, and call anyrcu_synchronize(), which delays the callbacks behind it. It
 * must not call anyrcu_barrier() or anyrcu_reclaim(), which would wait for themselves: they report
 * the mistake and end the program. It must return or end its thread; longjmp() or an exception out
 * of it is not supported. Callbacks are invoked in no particular order. A NULL function is
 * reported, and ends the program.
 *
 * A worker that is not pinned moves to the CPU on which the objects were deferred. So if a callback
 * starts a thread, that thread begins with this one CPU as its affinity, unless its attributes say
 * otherwise. A child that a callback forks has the affinity that the worker was started with.
 */
#ifndef ANYRCU_DEFER_H
#define ANYRCU_DEFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_head - space for a deferral inside an object
 *
 * Needs no initialisation. It belongs to the library from the deferral to the callback, and to the
 * caller otherwise.
 */
struct anyrcu_head {
	struct anyrcu_head *next;
	void (*func)(struct anyrcu_head *head);
};

/**
 * anyrcu_call() - call a function on an object after a grace period
 * @head: the head inside the object; must not be deferred already (ANYRCU_DEBUG=1 finds that)
 * @func: the function
 *
 * Never fails and never waits.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: all accesses of the caller before the call happen before the callback, and so do all
 *           read-side critical sections that had begun before the call.
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
/* free() runs no destructor. */
#ifdef __cplusplus
#ifdef __clang__
#define ANYRCU_TRIVIAL_DESTRUCTOR(type) __is_trivially_destructible(type)
#else
#define ANYRCU_TRIVIAL_DESTRUCTOR(type) __has_trivial_destructor(type)
#endif
extern "C++" {
namespace anyrcu_inline
{
template <typename T> constexpr bool frees_all(T *, decltype(sizeof(T)))
{
	return ANYRCU_TRIVIAL_DESTRUCTOR(T);
}
template <typename T> constexpr bool frees_all(T *, ...)
{
	return true; /* it is not known of an incomplete type */
}
} // namespace anyrcu_inline
}
#define ANYRCU_NO_DESTRUCTOR(ptr)                                                     \
	static_assert(                                                                \
		::anyrcu_inline::frees_all(static_cast<__typeof__(ptr)>(nullptr), 0), \
		"anyrcu_free() runs no destructor: use anyrcu_call() with a function that deletes the object");
/* In C++ the forms without a head refuse such objects too; a void pointer is taken as it is. */
#define ANYRCU_NO_HEAD(result, function)                                  \
	extern "C++" template <typename T> inline result function(T *ptr) \
	{                                                                 \
		ANYRCU_NO_DESTRUCTOR(ptr)                                 \
		return function(static_cast<void *>(ptr));                \
	}
#define ANYRCU_NO_HEAD_SIZED(result, function)                                          \
	extern "C++" template <typename T> inline result function(T *ptr, size_t bytes) \
	{                                                                               \
		ANYRCU_NO_DESTRUCTOR(ptr)                                               \
		return function(static_cast<void *>(ptr), bytes);                       \
	}
#else
#define ANYRCU_NO_DESTRUCTOR(ptr)
#define ANYRCU_NO_HEAD(result, function)
#define ANYRCU_NO_HEAD_SIZED(result, function)
#endif
#define ANYRCU_FREE(function, ptr, member)                                                        \
	do {                                                                                      \
		__typeof__(ptr) anyrcu_ptr_ = (ptr);                                              \
		ANYRCU_STATIC_ASSERT(__builtin_offsetof(__typeof__(*anyrcu_ptr_), member) < 4096, \
				     "the head must lie in the object's first 4096 bytes");       \
		ANYRCU_NO_DESTRUCTOR(anyrcu_ptr_)                                                 \
		if (anyrcu_ptr_)                                                                  \
			function(&anyrcu_ptr_->member,                                            \
				 __builtin_offsetof(__typeof__(*anyrcu_ptr_), member));           \
	} while (0)
#define anyrcu_free(ptr, member) ANYRCU_FREE(anyrcu_free_head, ptr, member)

/**
 * anyrcu_call_sized() - as anyrcu_call(), and give the memory that waits for the callback
 * @head: the head inside the object
 * @func: the function
 * @bytes: the memory that the callback will free, roughly; 0: not known
 *
 * The sized functions count @bytes as pending until the callback is invoked, so that
 * pending_bytes_max of struct anyrcu_config can bound large objects. They take one or two atomic
 * operations more than the others.
 *
 * Context and ordering: as anyrcu_call().
 */
ANYRCU_API void anyrcu_call_sized(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head),
				  size_t bytes);

/* The out-of-line part of anyrcu_free_sized(). */
ANYRCU_API void anyrcu_free_head_sized(struct anyrcu_head *head, size_t offset, size_t bytes);

/**
 * anyrcu_free_sized() - as anyrcu_free(), and give the size of the object
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @member: the name of the struct anyrcu_head in it, in the first 4,096 bytes
 * @bytes: its size, including memory behind its type; 0: not known
 *
 * It differs from anyrcu_free() as anyrcu_call_sized() does from anyrcu_call().
 *
 * Context and ordering: as anyrcu_call().
 */
#define anyrcu_free_sized(ptr, member, bytes)                \
	do {                                                 \
		size_t anyrcu_bytes_ = (bytes);              \
		ANYRCU_FREE(ANYRCU_FREE_SIZED, ptr, member); \
	} while (0)
#define ANYRCU_FREE_SIZED(head, offset) anyrcu_free_head_sized((head), (offset), anyrcu_bytes_)

/**
 * anyrcu_raw_call() - as anyrcu_call(), for a caller that must not take a lock
 * @head: the head inside the object
 * @func: the function
 *
 * It differs from anyrcu_call() only under the policy ANYRCU_POLICY_RAW_VARIANTS (anyrcu_init()).
 * There anyrcu_call() may take a lock to allocate a page, so callers in raw context must use this
 * function, which allocates none.
 *
 * Context and ordering: as anyrcu_call().
 */
ANYRCU_API void anyrcu_raw_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head));

/* The out-of-line part of anyrcu_raw_free(). */
ANYRCU_API void anyrcu_raw_free_head(struct anyrcu_head *head, size_t offset);

/**
 * anyrcu_raw_free() - as anyrcu_free(), for a caller that must not take a lock
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @member: the name of the struct anyrcu_head in it, in the first 4,096 bytes
 *
 * It differs from anyrcu_free() as anyrcu_raw_call() does from anyrcu_call().
 *
 * Context and ordering: as anyrcu_call().
 */
#define anyrcu_raw_free(ptr, member) ANYRCU_FREE(anyrcu_raw_free_head, ptr, member)

/**
 * anyrcu_call_headless() - call a function after a grace period, without a head
 * @func: the function
 * @arg: its argument
 *
 * Context and ordering: as anyrcu_call().
 * Return: false if no page was available or a bound was reached; then nothing has changed.
 */
ANYRCU_API bool anyrcu_call_headless(void (*func)(void *arg), void *arg)
	__attribute__((warn_unused_result));

/**
 * anyrcu_free_headless() - free() an object after a grace period, without a head
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 *
 * Context and ordering: as anyrcu_call().
 * Return: false if no page was available or a bound was reached; then nothing has changed. True for
 *         NULL.
 */
ANYRCU_API bool anyrcu_free_headless(void *ptr) __attribute__((warn_unused_result));
ANYRCU_NO_HEAD(__attribute__((warn_unused_result)) bool, anyrcu_free_headless)

/* The out-of-line part of anyrcu_free_task(). */
ANYRCU_API void anyrcu_free_task_head(struct anyrcu_head *head, size_t offset);

/**
 * anyrcu_free_task() - free() an object after a grace period, from a task
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @member: the name of the struct anyrcu_head in it, in the first 4,096 bytes
 *
 * As anyrcu_free(), but it also calls free() on an object that was deferred earlier and whose grace
 * period is over. So for each deferred object the calling thread's cache of malloc() gets one free
 * object back. It invokes no callbacks. If threads have no restartable sequences, it does the same
 * as anyrcu_free(). Never fails, and never waits except as free() does, and as pthread_create()
 * does: if no worker could be started, it tries again at intervals.
 *
 * A source file in which all calls are made by tasks may define ANYRCU_TASK_CONTEXT before it
 * includes this header: then anyrcu_free() is anyrcu_free_task(), and anyrcu_free_headless() is
 * anyrcu_free_task_headless().
 *
 * Context: a task, or a signal handler in which free() and pthread_create() may be called.
 * Ordering: as anyrcu_call().
 */
#define anyrcu_free_task(ptr, member) ANYRCU_FREE(anyrcu_free_task_head, ptr, member)

/**
 * anyrcu_free_task_headless() - as anyrcu_free_task(), without a head
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 *
 * Context and ordering: as anyrcu_free_task().
 * Return: as anyrcu_free_headless().
 */
ANYRCU_API bool anyrcu_free_task_headless(void *ptr) __attribute__((warn_unused_result));
ANYRCU_NO_HEAD(__attribute__((warn_unused_result)) bool, anyrcu_free_task_headless)

#ifdef ANYRCU_TASK_CONTEXT
#undef anyrcu_free
#define anyrcu_free(ptr, member) anyrcu_free_task(ptr, member)
#define anyrcu_free_headless(ptr) anyrcu_free_task_headless(ptr)
#endif

/**
 * anyrcu_call_headless_sized() - as anyrcu_call_headless(), with the memory that waits
 * @func: the function
 * @arg: its argument
 * @bytes: as anyrcu_call_sized()
 *
 * Context and ordering: as anyrcu_call(). Return: as anyrcu_call_headless(). Also false if with
 * @bytes more than pending_bytes_max of struct
 *         anyrcu_config would be pending, unless no bytes are pending.
 */
ANYRCU_API bool anyrcu_call_headless_sized(void (*func)(void *arg), void *arg, size_t bytes)
	__attribute__((warn_unused_result));

/**
 * anyrcu_free_headless_sized() - as anyrcu_free_headless(), with the size of the object
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @bytes: its size; 0: not known
 *
 * Context and ordering: as anyrcu_call().
 * Return: as anyrcu_call_headless_sized(). True for NULL.
 */
ANYRCU_API bool anyrcu_free_headless_sized(void *ptr, size_t bytes)
	__attribute__((warn_unused_result));
ANYRCU_NO_HEAD_SIZED(__attribute__((warn_unused_result)) bool, anyrcu_free_headless_sized)

/**
 * anyrcu_call_mightsleep() - call a function after a grace period, without a head, from a task
 * @func: the function
 * @arg: its argument
 *
 * Never fails: it may map memory; if too much is pending, free() some ready objects (it calls no
 * other callbacks); or wait for a grace period and call @func itself. Inside a read-side critical
 * section it reports the mistake and aborts. In an online thread (anyrcu_thread_online()) it may be
 * a quiescent state.
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
ANYRCU_NO_HEAD(void, anyrcu_free_mightsleep)

/**
 * anyrcu_call_mightsleep_sized() - as anyrcu_call_mightsleep(), with the memory that waits
 * @func: the function
 * @arg: its argument
 * @bytes: as anyrcu_call_sized()
 *
 * If more than pending_bytes_max of struct anyrcu_config would be pending, it waits for a grace
 * period and calls @func itself.
 *
 * Context and ordering: as anyrcu_call_mightsleep().
 */
ANYRCU_API void anyrcu_call_mightsleep_sized(void (*func)(void *arg), void *arg, size_t bytes);

/**
 * anyrcu_free_mightsleep_sized() - as anyrcu_free_mightsleep(), with the size of the object
 * @ptr: the object, as malloc() returned it; NULL is allowed and does nothing
 * @bytes: its size; 0: not known
 *
 * Context and ordering: as anyrcu_call_mightsleep_sized().
 */
ANYRCU_API void anyrcu_free_mightsleep_sized(void *ptr, size_t bytes);
ANYRCU_NO_HEAD_SIZED(void, anyrcu_free_mightsleep_sized)

/**
 * anyrcu_barrier() - wait until all callbacks that were deferred before have been invoked
 *
 * Covers the deferrals of all threads that happen before the call. In a process without a worker it
 * invokes the callbacks itself. A thread that is online (anyrcu_thread_online()) counts as
 * quiescent during the call. Inside a read-side critical section or a callback it reports the
 * mistake and aborts, as it would wait for itself.
 *
 * Context: a task that may sleep, outside read-side critical sections and callbacks.
 * Ordering: the callbacks happen before the return.
 */
ANYRCU_API void anyrcu_barrier(void);

/**
 * anyrcu_reclaim() - invoke ready callbacks
 * @budget: how many callbacks at most; 0 only advances grace periods
 *
 * For programs configured to run no worker: call it from the application's own loop, in a thread
 * that holds no lock that a callback takes. It does not wait for readers, so a thread that is
 * online must call anyrcu_quiescent_state() between calls to make progress. If there are workers,
 * it helps them; if there are none, it also does what they do about memory: it makes objects of
 * caches available that were freed when no page was, prepares memory for NO_LOCKS allocations, and
 * once a second gives memory back that was not used in that second.
 *
 * Context: a task, outside read-side critical sections and callbacks (otherwise it reports the
 *          mistake and aborts).
 * Return: how many callbacks it invoked.
 */
ANYRCU_API size_t anyrcu_reclaim(size_t budget);

/**
 * enum anyrcu_reclaim_state - what anyrcu_reclaim() would find
 * @ANYRCU_RECLAIM_NOTHING: nothing is deferred
 * @ANYRCU_RECLAIM_LATER: objects are deferred, and are collected after delay_us of struct
 *                        anyrcu_config
 * @ANYRCU_RECLAIM_READERS: objects wait for readers
 * @ANYRCU_RECLAIM_NOW: there is something to do
 */
enum anyrcu_reclaim_state {
	ANYRCU_RECLAIM_NOTHING,
	ANYRCU_RECLAIM_LATER,
	ANYRCU_RECLAIM_READERS,
	ANYRCU_RECLAIM_NOW,
};

/**
 * anyrcu_reclaim_poll() - when should anyrcu_reclaim() be called?
 * @ns: set to the nanoseconds until then, 0 for NOW; with NOTHING, until this should be asked
 *      again, as memory may be given back, or UINT64_MAX; may be NULL
 *
 * For programs configured to run no worker. An event loop waits for its events, for
 * anyrcu_reclaim_fd() to become readable, and for @ns at most, and then asks again. The call also
 * refills the reserve of pages, and gives unused memory back, if it is time to.
 *
 * Context: a task, outside read-side critical sections.
 */
ANYRCU_API enum anyrcu_reclaim_state anyrcu_reclaim_poll(uint64_t *ns);

/**
 * anyrcu_reclaim_fd() - a descriptor that becomes readable when something is deferred
 *
 * Once anyrcu_reclaim_poll() has returned ANYRCU_RECLAIM_NOTHING, the next deferral from any
 * context makes the descriptor readable, once. Once it has returned ANYRCU_RECLAIM_LATER, the next
 * thing that must not wait for the delay does: many objects, many bytes, or a grace period that is
 * wanted. When it is readable, read 8 bytes from it, which does not block, before you call
 * anyrcu_reclaim_poll() again: a later read would also consume the event of a deferral that came in
 * between. It is an eventfd that belongs to the library: do not close it. A child of fork() must
 * call this function to get its own.
 *
 * Context: task.
 * Return: the descriptor, the same one each time; -errno if none is available.
 */
ANYRCU_API int anyrcu_reclaim_fd(void);

ANYRCU_END_DECLS

#endif
