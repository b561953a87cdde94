/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Annotations of events that "anyrcu lockdep" cannot see by itself: locks that a program builds
 * from atomics and futexes, waits for something other than a lock, and memory that goes back to the
 * program's own pools.
 *
 * A program that calls these functions need not be linked with anything. They use weak symbols:
 * each is a load and a branch, unless the program runs under "anyrcu lockdep", or is linked with
 * the library, whose validator then gets the event. In static programs, and in those that clang
 * compiles with -fno-pic, they do nothing, as the linker finds no function.
 */
#ifndef ANYRCU_ANNOTATE_H
#define ANYRCU_ANNOTATE_H

#include <stddef.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/lockdep.h>

ANYRCU_BEGIN_DECLS

#define ANYRCU_WEAK ANYRCU_API __attribute__((weak))

/* Redeclared as weak, for files that include this header. */
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_init) anyrcu_lockdep_init;
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_destroy) anyrcu_lockdep_destroy;
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_free) anyrcu_lockdep_free;
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_acquire) anyrcu_lockdep_acquire;
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_release) anyrcu_lockdep_release;
extern ANYRCU_WEAK __typeof__(anyrcu_lockdep_assert_held) anyrcu_lockdep_assert_held;

/* Only the preloaded object has these. */
extern ANYRCU_WEAK void anyrcu_lockdep_wait_begin(const void *object, const char *what);
extern ANYRCU_WEAK void anyrcu_lockdep_wait_end(const void *object);
extern ANYRCU_WEAK void anyrcu_lockdep_wake(const void *object);

/**
 * anyrcu_annotate_init() - a lock of the program's own making is initialised
 * @lock: its address, which identifies it
 * @type: its type, in static storage
 *
 * A lock that was at this address before counts as another lock. Locks that are initialised by the
 * same call are of one class. May be left out for a lock in static storage.
 *
 * Context: any.
 */
static inline void anyrcu_annotate_init(const void *lock, const struct anyrcu_lock_type *type)
{
	if (anyrcu_lockdep_init)
		anyrcu_lockdep_init(lock, type, NULL, NULL);
}

/**
 * anyrcu_annotate_destroy() - a lock is destroyed
 * @lock: its address
 *
 * Context: any.
 */
static inline void anyrcu_annotate_destroy(const void *lock)
{
	if (anyrcu_lockdep_destroy)
		anyrcu_lockdep_destroy(lock);
}

/**
 * anyrcu_annotate_acquire() - a lock is about to be taken; with ANYRCU_LOCK_TRY, has been taken
 * @lock: its address
 * @type: its type, in static storage
 * @how: ANYRCU_LOCK_WRITE, _READ or _RECURSIVE_READ, with _TRY if it cannot wait for ever
 *
 * Call it before waiting, so that a deadlock is reported before it happens.
 *
 * Context: any.
 */
static inline void anyrcu_annotate_acquire(const void *lock, const struct anyrcu_lock_type *type,
					   unsigned how)
{
	if (anyrcu_lockdep_acquire)
		anyrcu_lockdep_acquire(lock, type, how, 0, NULL);
}

/**
 * anyrcu_annotate_release() - a lock is about to be released
 * @lock: its address
 *
 * Context: any.
 */
static inline void anyrcu_annotate_release(const void *lock)
{
	if (anyrcu_lockdep_release)
		anyrcu_lockdep_release(lock);
}

/**
 * anyrcu_annotate_assert_held() - report if the caller does not hold a lock
 * @lock: its address; also that of a POSIX mutex
 *
 * Context: any.
 */
static inline void anyrcu_annotate_assert_held(const void *lock)
{
	if (anyrcu_lockdep_assert_held)
		anyrcu_lockdep_assert_held(lock);
}

/**
 * anyrcu_annotate_free() - memory goes back to one of the program's pools
 * @p: its beginning
 * @size: its size in bytes
 *
 * All locks in the memory, of any type, are destroyed: later locks there are others. Locks that are
 * still held are reported. free() and munmap() need no annotation.
 *
 * Context: any.
 */
static inline void anyrcu_annotate_free(const void *p, size_t size)
{
	if (anyrcu_lockdep_free)
		anyrcu_lockdep_free(p, size);
}

/**
 * anyrcu_annotate_wait_begin() - the caller is about to wait without bound, and not for a lock
 * @object: an address that identifies the event it waits for
 * @what: the name of the function in which it waits, in static storage
 *
 * It is reported if the caller holds a lock that another thread takes before it calls
 * anyrcu_annotate_wake() for @object.
 *
 * Context: task.
 */
static inline void anyrcu_annotate_wait_begin(const void *object, const char *what)
{
	if (anyrcu_lockdep_wait_begin)
		anyrcu_lockdep_wait_begin(object, what);
}

/**
 * anyrcu_annotate_wait_end() - the wait is over
 * @object: as passed to anyrcu_annotate_wait_begin()
 *
 * Context: task.
 */
static inline void anyrcu_annotate_wait_end(const void *object)
{
	if (anyrcu_lockdep_wait_end)
		anyrcu_lockdep_wait_end(object);
}

/**
 * anyrcu_annotate_wake() - the caller is about to cause the event that others wait for
 * @object: as it is, or will be, passed to anyrcu_annotate_wait_begin()
 *
 * Context: task.
 */
static inline void anyrcu_annotate_wake(const void *object)
{
	if (anyrcu_lockdep_wake)
		anyrcu_lockdep_wake(object);
}

ANYRCU_END_DECLS

#endif
