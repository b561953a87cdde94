/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Readers and grace periods.
 *
 * A grace period is a span of time that waits for every reader which was there when it began. What was
 * unlinked before it began can be seen by no reader after it ended, and may be freed.
 */
#ifndef ANYRCU_RCU_H
#define ANYRCU_RCU_H

#include <stdbool.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/inline/reader.h>
#include <anyrcu/lockdep.h>

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
 * What the section reaches through anyrcu_dereference() is not freed before the matching anyrcu_read_unlock().
 * Sections nest, up to 65,535 deep; one more is reported and aborts. A thread needs no registration; its first section registers
 * it. A thread that ends inside a section is reported, and the section ends with it.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: nothing of the section is seen to happen before its begin.
 */
static inline void anyrcu_read_lock(void)
{
	anyrcu_reader_enter();
}

/**
 * anyrcu_read_unlock() - end a read-side critical section
 *
 * Without a matching anyrcu_read_lock() it reports the mistake and aborts, but for a thread that is online.
 *
 * Context: any, in the context that began the section.
 * Ordering: all of the section happens before a grace period which waited for it ends.
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
 * Returns once every read-side critical section that had begun before the call has ended. Callers at the same time
 * share one grace period. Inside a section it reports the mistake and aborts, as it would wait for itself. A thread that is
 * online (anyrcu_thread_online()) counts as quiescent for the length of the call; as its sections write nothing, this mistake is
 * not seen there.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 * Ordering: a full barrier before and after; all accesses before it are seen by all sections that begin after it.
 */
ANYRCU_API void anyrcu_synchronize(void);

/**
 * anyrcu_gp_start() - ask for a grace period, without waiting
 *
 * Context: any.
 * Return: a cookie for anyrcu_gp_done() and anyrcu_gp_wait(). The worker drives the grace period; in a process configured
 *         to have no worker, anyrcu_reclaim(), anyrcu_synchronize() and anyrcu_gp_wait() do.
 * Ordering: a full barrier: what was unlinked before the call is covered by the grace period.
 */
ANYRCU_API anyrcu_gp_t anyrcu_gp_start(void);

/**
 * anyrcu_gp_done() - has the grace period of a cookie ended?
 * @gp: a cookie from anyrcu_gp_start()
 *
 * Context: any.
 * Return: true once it has; stays true.
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
 * From here to anyrcu_thread_offline() the whole thread counts as one reader, which lets go only where it calls
 * anyrcu_quiescent_state(): anyrcu_read_lock() and anyrcu_read_unlock() then write nothing. For a thread that reads all the
 * time. It must call anyrcu_quiescent_state() often, and go offline before it blocks for long. In a thread that is online already it is a
 * quiescent state.
 *
 * Context: task, outside read-side critical sections (reported otherwise, which ends the program).
 */
ANYRCU_API void anyrcu_thread_online(void);

/**
 * anyrcu_quiescent_state() - an online thread holds no reference now
 *
 * In a thread that is not online it does nothing.
 *
 * Context: task, never a signal handler (which may have interrupted a reader).
 * Ordering: all reads before the call happen before the end of a grace period that the call lets end.
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
 * @p: the pointer variable, an lvalue
 *
 * In what is compiled with -DANYRCU_LOCKDEP it is anyrcu_dereference_check(p, 0), which costs a load and a branch more.
 *
 * Context: any, inside a read-side critical section.
 * Ordering: what was written to the object before it was published is seen through the pointer.
 */
#ifdef ANYRCU_LOCKDEP
#define anyrcu_dereference(p) anyrcu_dereference_check(p, 0)
#else
#define anyrcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#endif

/* Reports unless @ok, if the validator is on. */
#define ANYRCU_SUSPICIOUS(ok, what)                                                                                    \
	((void)(__builtin_expect(__atomic_load_n(&anyrcu_lockdep_watching, __ATOMIC_RELAXED), 0) && !(ok) && (anyrcu_lockdep_suspicious(what), 0)))

/**
 * anyrcu_dereference_check() - read a pointer in a section, or where @cond says that it is otherwise protected
 * @p: the pointer variable, an lvalue
 * @cond: a condition under which no section is needed, such as "the update lock is held"; evaluated if the validator is on
 *
 * The validator (anyrcu/lockdep.h) reports the use where neither holds.
 */
#define anyrcu_dereference_check(p, cond)                                                                              \
	(ANYRCU_SUSPICIOUS((cond) || anyrcu_read_lock_held(), "anyrcu_dereference_check(" #p ", " #cond ") without protection"), \
	 __atomic_load_n(&(p), __ATOMIC_ACQUIRE))

/**
 * anyrcu_dereference_protected() - read a pointer that nobody else can change now
 * @p: the pointer variable, an lvalue
 * @cond: why: such as "the update lock is held"; evaluated if the validator is on, which reports the use where it does not hold
 */
#define anyrcu_dereference_protected(p, cond)                                                                          \
	(ANYRCU_SUSPICIOUS(cond, "anyrcu_dereference_protected(" #p ", " #cond ") without protection"),                 \
	 __atomic_load_n(&(p), __ATOMIC_RELAXED))

/**
 * anyrcu_assign_pointer() - publish an object to readers
 * @p: the pointer variable, an lvalue
 * @v: the new value
 *
 * Context: any.
 * Ordering: a release: what was written before is seen by who reads @v through anyrcu_dereference().
 */
#define anyrcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

ANYRCU_END_DECLS

#endif
