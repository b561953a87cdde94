/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Readers and grace periods.
 *
 * A grace period ends once every reader that was reading when it began has finished. An object that
 * was unlinked before a grace period began is seen by no reader after the grace period has ended,
 * and may then be freed.
 */
#ifndef ANYRCU_RCU_H
#define ANYRCU_RCU_H

#include <stdbool.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/inline/pointer.h>
#include <anyrcu/inline/reader.h>
#include <anyrcu/lockdep.h>

/*
 * fork() may be called in any thread and any handler. In a child of vfork(), functions for any
 * context may be called, also by handlers, as libanyrcu's vfork() replaces libc's; but not if the
 * library was loaded by dlopen(), and not in children of clone() with CLONE_VM and without
 * CLONE_THREAD. In a child of _Fork() the same functions may be called. The first call that waits
 * there initialises the library for the child, without workers, or ends the program with a message
 * if a thread of the parent held a lock of the library.
 */

ANYRCU_BEGIN_DECLS

/**
 * typedef anyrcu_gp_t - a cookie that names the end of a grace period
 *
 * Compare cookies with anyrcu_gp_done() only: their order wraps.
 */
typedef uint64_t anyrcu_gp_t;

/**
 * anyrcu_read_lock() - begin a read-side critical section
 *
 * Objects that the section reaches through anyrcu_dereference() are not freed before the matching
 * anyrcu_read_unlock(). Sections nest up to 65,535 deep; one more is reported and aborts. A thread
 * needs no registration; its first section registers it. A thread that ends inside a section is
 * reported, and the section ends with it.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: no access of the section is seen to happen before its beginning.
 */
static inline void anyrcu_read_lock(void)
{
	anyrcu_reader_enter();
}

/**
 * anyrcu_read_unlock() - end a read-side critical section
 *
 * Without a matching anyrcu_read_lock() it reports the mistake and aborts, except in a thread that
 * is online.
 *
 * Context: any, in the context that began the section.
 * Ordering: the whole section happens before the end of a grace period that waited for it.
 */
static inline void anyrcu_read_unlock(void)
{
	anyrcu_reader_exit();
}

/**
 * anyrcu_read_lock_held() - is the caller inside a read-side critical section?
 *
 * Context: any.
 * Return: true inside a section, and always in a thread that is online (anyrcu_thread_online()).
 */
ANYRCU_API bool anyrcu_read_lock_held(void);

/**
 * anyrcu_synchronize() - wait for a grace period
 *
 * Returns once every read-side critical section that had begun before the call has ended.
 * Concurrent callers share one grace period. Inside a section it reports the mistake and aborts, as
 * it would wait for itself. A thread that is online (anyrcu_thread_online()) counts as quiescent
 * during the call; as its sections write nothing, this mistake is not detected there.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 * Ordering: a full barrier before and after; all sections that begin after the call see all
 *           accesses before it.
 */
ANYRCU_API void anyrcu_synchronize(void);

/**
 * anyrcu_gp_start() - request a grace period, without waiting
 *
 * Context: any. Return: a cookie for anyrcu_gp_done() and anyrcu_gp_wait(). The worker drives the
 * grace period; in
 *         a process configured to have no worker, anyrcu_reclaim(), anyrcu_synchronize() and
 *         anyrcu_gp_wait() do.
 * Ordering: a full barrier: the grace period covers what was unlinked before the call.
 */
ANYRCU_API anyrcu_gp_t anyrcu_gp_start(void);

/**
 * anyrcu_gp_done() - has the grace period of a cookie ended?
 * @gp: a cookie from anyrcu_gp_start()
 *
 * Context: any.
 * Return: true once it has ended; stays true.
 * Ordering: when true, all sections that the grace period waited for happen before the return.
 */
ANYRCU_API bool anyrcu_gp_done(anyrcu_gp_t gp);

/**
 * anyrcu_gp_wait() - wait until the grace period of a cookie has ended
 * @gp: a cookie from anyrcu_gp_start()
 *
 * Context, mistakes and ordering: as anyrcu_synchronize().
 */
ANYRCU_API void anyrcu_gp_wait(anyrcu_gp_t gp);

/**
 * anyrcu_thread_online() - enter quiescent-state mode
 *
 * From here to anyrcu_thread_offline() the whole thread counts as one reader, which is quiescent
 * only when it calls anyrcu_quiescent_state(); anyrcu_read_lock() and anyrcu_read_unlock() then
 * write nothing. This mode is for threads that read all the time. The thread must call
 * anyrcu_quiescent_state() often, and go offline before it blocks for long. In a thread that is
 * online already the call is a quiescent state.
 *
 * Context: task, outside read-side critical sections (otherwise it reports the mistake and aborts).
 */
ANYRCU_API void anyrcu_thread_online(void);

/**
 * anyrcu_quiescent_state() - tell that an online thread holds no references now
 *
 * In a thread that is not online it does nothing.
 *
 * Context: task, never a signal handler (which may have interrupted a reader).
 * Ordering: all reads before the call happen before the end of a grace period that waited for it.
 */
ANYRCU_API void anyrcu_quiescent_state(void);

/**
 * anyrcu_thread_offline() - leave quiescent-state mode
 *
 * In a thread that is not online it does nothing. A thread may end while online.
 *
 * Context: task, never a signal handler.
 */
ANYRCU_API void anyrcu_thread_offline(void);

/**
 * anyrcu_dereference() - read a pointer that anyrcu_assign_pointer() publishes
 * @p: the pointer variable, an lvalue: a plain pointer, an _Atomic one in C, or a std::atomic one
 * in C++
 *
 * In code compiled with -DANYRCU_LOCKDEP it is anyrcu_dereference_check(p, 0), which costs a load
 * and a branch more.
 *
 * Context: any, inside a read-side critical section.
 * Ordering: loads through the pointer see what was written to the object before it was published.
 */
#ifdef ANYRCU_LOCKDEP
#define anyrcu_dereference(p) anyrcu_dereference_check(p, 0)
#else
#define anyrcu_dereference(p) ANYRCU_LOAD_ACQUIRE(p)
#endif

/* If the validator is on, report unless @ok. */
#define ANYRCU_SUSPICIOUS(ok, what)                                                           \
	((void)(__builtin_expect(__atomic_load_n(&anyrcu_lockdep_watching, __ATOMIC_RELAXED), \
				 0) &&                                                        \
		!(ok) && (anyrcu_lockdep_suspicious(what), 0)))

/**
 * anyrcu_dereference_check() - read a pointer in a section, or where @cond says that it is
 * otherwise protected
 * @p: the pointer variable, an lvalue
 * @cond: a condition under which no section is needed, such as "the update lock is held"; evaluated
 * if the validator is on
 *
 * The validator (anyrcu/lockdep.h) reports the use if neither holds.
 */
#define anyrcu_dereference_check(p, cond)                                                     \
	(ANYRCU_SUSPICIOUS((cond) || anyrcu_read_lock_held(),                                 \
			   "anyrcu_dereference_check(" #p ", " #cond ") without protection"), \
	 ANYRCU_LOAD_ACQUIRE(p))

/**
 * anyrcu_dereference_protected() - read a pointer that no other thread can change now
 * @p: the pointer variable, an lvalue
 * @cond: the reason, such as "the update lock is held"; evaluated if the validator is on, which
 * reports the use if it does not hold
 */
#define anyrcu_dereference_protected(p, cond)                                                     \
	(ANYRCU_SUSPICIOUS(cond,                                                                  \
			   "anyrcu_dereference_protected(" #p ", " #cond ") without protection"), \
	 ANYRCU_LOAD_RELAXED(p))

/**
 * anyrcu_assign_pointer() - publish an object to readers
 * @p: the pointer variable, as of anyrcu_dereference()
 * @v: the new value
 *
 * Context: any.
 * Ordering: a release: readers that get @v by anyrcu_dereference() see what was written before.
 */
#define anyrcu_assign_pointer(p, v) ANYRCU_STORE_RELEASE(p, v)

/**
 * anyrcu_access_pointer() - read a published pointer for its value alone
 * @p: the pointer variable, as of anyrcu_dereference()
 *
 * For comparisons, such as with NULL. The result must not be dereferenced.
 *
 * Context: any, in a read-side critical section or not. Ordering: none.
 */
#define anyrcu_access_pointer(p) ANYRCU_LOAD_RELAXED(p)

/**
 * anyrcu_xchg_pointer() - publish an object in place of another one, and return that one
 * @p: the pointer variable, as of anyrcu_dereference()
 * @v: the new value
 *
 * Concurrent updaters each get a different object, so no object is freed twice.
 *
 * Context: any.
 * Return: the former value.
 * Ordering: a release for @v, an acquire for the returned object.
 */
#define anyrcu_xchg_pointer(p, v) ANYRCU_EXCHANGE(p, v)

/**
 * anyrcu_replace_pointer() - as anyrcu_xchg_pointer(), by an updater that excludes the others
 * @p: the pointer variable, as of anyrcu_dereference()
 * @v: the new value
 * @cond: the reason, such as "the update lock is held"; evaluated if the validator is on, which
 * reports the use if it does not hold
 *
 * Context and ordering: as anyrcu_xchg_pointer().
 */
#define anyrcu_replace_pointer(p, v, cond)                                       \
	(ANYRCU_SUSPICIOUS(cond, "anyrcu_replace_pointer(" #p ", " #v ", " #cond \
				 ") without protection"),                        \
	 ANYRCU_EXCHANGE(p, v))

/**
 * anyrcu_container_of() - the object that a member belongs to
 * @ptr: a pointer to the member, such as the head that a callback is given
 * @type: the object's type
 * @member: the member's name
 */
#define anyrcu_container_of(ptr, type, member)                         \
	((type *)(void *)((char *)(1 ? (ptr) : &((type *)0)->member) - \
			  __builtin_offsetof(type, member)))

ANYRCU_END_DECLS

#endif
