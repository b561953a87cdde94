/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks that mean what the kernel's mean, under the three models of anyrcu/context.h:
 *
 *                              none, full                 rt
 *     anyrcu_raw_spinlock_t    spins                      spins
 *     anyrcu_spinlock_t        spins                      sleeps, priority inheritance
 *     anyrcu_rwlock_t          spins                      sleeps, priority inheritance
 *     anyrcu_mutex_t           sleeps                     sleeps, priority inheritance
 *
 * The holder of a lock that spins may not wait. None of them is recursive. Whoever locks is the one to unlock. A lock must not be copied or
 * moved while it is held. All of them are unlocked when all their bytes are zero, and need nothing in the end: only mutexes have a destroy
 * function, which tells the validator. A waiter that has spun for long, as the holder was preempted, gives way to other threads, and at
 * last sleeps for moments.
 *
 * A lock that a handler of a signal takes must be taken with that signal blocked everywhere else: the irqsave forms block all signals but
 * those that faults raise.
 *
 * The validator (anyrcu/lockdep.h) sees each operation while it is on. The initialisation functions are macros, each use of which
 * is a class of locks to it; a lock that is initialised statically is a class of its own.
 */
#ifndef ANYRCU_LOCK_H
#define ANYRCU_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/lockdep.h>

ANYRCU_BEGIN_DECLS

/**
 * typedef anyrcu_raw_spinlock_t - a spinlock that spins under every model
 *
 * Fair: waiters queue.
 */
typedef struct {
	uint64_t word;
} anyrcu_raw_spinlock_t;
#define ANYRCU_RAW_SPINLOCK_INIT { 0 }

/**
 * typedef anyrcu_spinlock_t - a spinlock, which sleeps under the model rt
 */
typedef union {
	anyrcu_raw_spinlock_t raw; /* spins */
	uint32_t futex;		   /* sleeps */
} anyrcu_spinlock_t;
#define ANYRCU_SPINLOCK_INIT { { 0 } }

/**
 * typedef anyrcu_mutex_t - a lock for tasks
 */
typedef struct {
	uint32_t futex;
} anyrcu_mutex_t;
#define ANYRCU_MUTEX_INIT { 0 }

/**
 * typedef anyrcu_rwlock_t - a lock for one writer or many readers
 *
 * A reader does not overtake a writer that waits, so writers do not starve; but in the hard part of a handler that was installed by
 * anyrcu_signal_action() it does, as the thread below may be reading already.
 */
typedef struct {
	uint32_t state;
	anyrcu_spinlock_t queue;
} anyrcu_rwlock_t;
#define ANYRCU_RWLOCK_INIT { 0, { { 0 } } }

/* The out-of-line parts of the initialisation macros. */
ANYRCU_API void anyrcu_raw_spin_init_class(anyrcu_raw_spinlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_spin_init_class(anyrcu_spinlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_mutex_init_class(anyrcu_mutex_t *lock, const char *name, const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_rwlock_init_class(anyrcu_rwlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key);
#define ANYRCU_LOCK_INIT_CLASS(function, lock, name)                                                                   \
	do {                                                                                                           \
		static struct anyrcu_lock_class_key anyrcu_key_;                                                       \
		function((lock), name, &anyrcu_key_);                                                                  \
	} while (0)

/**
 * anyrcu_raw_spin_init() - initialise a raw spinlock, unlocked
 * @lock: the lock
 *
 * Context: any.
 */
#define anyrcu_raw_spin_init(lock) ANYRCU_LOCK_INIT_CLASS(anyrcu_raw_spin_init_class, lock, #lock)

/**
 * anyrcu_raw_spin_lock() - take a raw spinlock
 * @lock: the lock
 *
 * Its holder may not wait, nor take a lock that may sleep, which includes anyrcu_spinlock_t. Waiters get it in the order they came.
 *
 * Context: any; in a handler of a signal only if all others take it with that signal blocked.
 * Ordering: acquire; what the last holder did happens before.
 */
ANYRCU_API void anyrcu_raw_spin_lock(anyrcu_raw_spinlock_t *lock);

/**
 * anyrcu_raw_spin_lock_nested() - take a raw spinlock while another one of the same class is held
 * @lock: the lock
 * @subclass: which, as the validator is to see it: 0 to 7
 *
 * Context and ordering: as anyrcu_raw_spin_lock().
 */
ANYRCU_API void anyrcu_raw_spin_lock_nested(anyrcu_raw_spinlock_t *lock, unsigned subclass);

/**
 * anyrcu_raw_spin_trylock() - take a raw spinlock if it is free
 * @lock: the lock
 *
 * Context: any.
 * Return: true when it was taken. False when it is held, or others wait for it.
 * Ordering: as anyrcu_raw_spin_lock() when it was taken, none otherwise.
 */
ANYRCU_API bool anyrcu_raw_spin_trylock(anyrcu_raw_spinlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_raw_spin_unlock() - release a raw spinlock
 * @lock: the lock, held by the caller
 *
 * Context: that which took it.
 * Ordering: release; all that the caller did happens before what the next holder does.
 */
ANYRCU_API void anyrcu_raw_spin_unlock(anyrcu_raw_spinlock_t *lock);

/**
 * anyrcu_raw_spin_lock_irqsave() - block signals and take a raw spinlock
 * @lock: the lock
 *
 * Blocks all signals but those that faults raise, under every model. Two system calls a pair. Nests, in order.
 *
 * Context: any.
 * Return: what anyrcu_raw_spin_unlock_irqrestore() takes.
 * Ordering: as anyrcu_raw_spin_lock().
 */
ANYRCU_API uint64_t anyrcu_raw_spin_lock_irqsave(anyrcu_raw_spinlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_raw_spin_unlock_irqrestore() - release a raw spinlock and block the signals that were blocked before
 * @lock: the lock
 * @flags: what anyrcu_raw_spin_lock_irqsave() returned
 *
 * Context and ordering: as anyrcu_raw_spin_unlock().
 */
ANYRCU_API void anyrcu_raw_spin_unlock_irqrestore(anyrcu_raw_spinlock_t *lock, uint64_t flags);

/**
 * anyrcu_spin_init() - initialise a spinlock, unlocked
 * @lock: the lock
 *
 * Context: any.
 */
#define anyrcu_spin_init(lock) ANYRCU_LOCK_INIT_CLASS(anyrcu_spin_init_class, lock, #lock)

/**
 * anyrcu_spin_lock() - take a spinlock
 * @lock: the lock
 *
 * Under the models none and full as anyrcu_raw_spin_lock(). Under rt it sleeps while it waits, and its holder inherits the priority of the
 * waiters and may wait itself; a thread that takes it twice, or waits for one whose holder has ended, is reported, which ends the
 * program. After fork() the child must initialise anew what was held.
 *
 * Context: none and full: any but raw spinlock held or preemption disabled, in a handler of a signal only if all others take it with that
 *          signal blocked. rt: a task that may sleep, or another such lock held.
 * Ordering: acquire; what the last holder did happens before.
 */
ANYRCU_API void anyrcu_spin_lock(anyrcu_spinlock_t *lock);

/**
 * anyrcu_spin_lock_nested() - take a spinlock while another one of the same class is held
 * @lock: the lock
 * @subclass: which, as the validator is to see it: 0 to 7
 *
 * Context and ordering: as anyrcu_spin_lock().
 */
ANYRCU_API void anyrcu_spin_lock_nested(anyrcu_spinlock_t *lock, unsigned subclass);

/**
 * anyrcu_spin_trylock() - take a spinlock if it is free
 * @lock: the lock
 *
 * Context: none and full: any. rt: as anyrcu_spin_lock().
 * Return: true when it was taken.
 * Ordering: as anyrcu_spin_lock() when it was taken, none otherwise.
 */
ANYRCU_API bool anyrcu_spin_trylock(anyrcu_spinlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_spin_unlock() - release a spinlock
 * @lock: the lock, held by the caller
 *
 * Context: that which took it.
 * Ordering: release; all that the caller did happens before what the next holder does.
 */
ANYRCU_API void anyrcu_spin_unlock(anyrcu_spinlock_t *lock);

/**
 * anyrcu_spin_lock_irqsave() - block signals and take a spinlock
 * @lock: the lock
 *
 * Blocks all signals but those that faults raise, under every model. Two system calls a pair. Nests, in order.
 *
 * Context: as anyrcu_spin_lock().
 * Return: what anyrcu_spin_unlock_irqrestore() takes.
 * Ordering: as anyrcu_spin_lock().
 */
ANYRCU_API uint64_t anyrcu_spin_lock_irqsave(anyrcu_spinlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_spin_unlock_irqrestore() - release a spinlock and block the signals that were blocked before
 * @lock: the lock
 * @flags: what anyrcu_spin_lock_irqsave() returned
 *
 * Context and ordering: as anyrcu_spin_unlock().
 */
ANYRCU_API void anyrcu_spin_unlock_irqrestore(anyrcu_spinlock_t *lock, uint64_t flags);

/**
 * anyrcu_mutex_init() - initialise a mutex, unlocked
 * @lock: the mutex
 *
 * Context: any.
 */
#define anyrcu_mutex_init(lock) ANYRCU_LOCK_INIT_CLASS(anyrcu_mutex_init_class, lock, #lock)

/**
 * anyrcu_mutex_destroy() - tell the validator that a mutex is no more
 * @lock: the mutex, not held
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_mutex_destroy(anyrcu_mutex_t *lock);

/**
 * anyrcu_mutex_lock() - take a mutex
 * @lock: the mutex
 *
 * Sleeps while it waits. Under the model rt its holder inherits the priority of the waiters, and misuse is reported, as
 * anyrcu_spin_lock() says.
 *
 * Context: a task that may sleep.
 * Ordering: acquire; what the last holder did happens before.
 */
ANYRCU_API void anyrcu_mutex_lock(anyrcu_mutex_t *lock);

/**
 * anyrcu_mutex_lock_nested() - take a mutex while another one of the same class is held
 * @lock: the mutex
 * @subclass: which, as the validator is to see it: 0 to 7
 *
 * Context and ordering: as anyrcu_mutex_lock().
 */
ANYRCU_API void anyrcu_mutex_lock_nested(anyrcu_mutex_t *lock, unsigned subclass);

/**
 * anyrcu_mutex_trylock() - take a mutex if it is free
 * @lock: the mutex
 *
 * Context: as anyrcu_mutex_lock().
 * Return: true when it was taken.
 * Ordering: as anyrcu_mutex_lock() when it was taken, none otherwise.
 */
ANYRCU_API bool anyrcu_mutex_trylock(anyrcu_mutex_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_mutex_unlock() - release a mutex
 * @lock: the mutex, held by the caller
 *
 * Context: a task.
 * Ordering: release; all that the caller did happens before what the next holder does.
 */
ANYRCU_API void anyrcu_mutex_unlock(anyrcu_mutex_t *lock);

/**
 * anyrcu_rwlock_init() - initialise a lock for readers and writers, unlocked
 * @lock: the lock
 *
 * Context: any.
 */
#define anyrcu_rwlock_init(lock) ANYRCU_LOCK_INIT_CLASS(anyrcu_rwlock_init_class, lock, #lock)

/**
 * anyrcu_rwlock_read_lock() - take a lock to read
 * @lock: the lock
 *
 * Waits while a writer holds it or waits for it. A thread that reads may not read again: a writer may have come in between. (It may in
 * the hard part of a handler.) Under the model rt a writer inherits the priority of those that wait for it; readers inherit none.
 *
 * Context: as anyrcu_spin_lock().
 * Ordering: acquire; what the last writer did happens before.
 */
ANYRCU_API void anyrcu_rwlock_read_lock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_read_trylock() - take a lock to read if no writer holds it or waits for it
 * @lock: the lock
 *
 * Context: as anyrcu_spin_trylock().
 * Return: true when it was taken.
 * Ordering: as anyrcu_rwlock_read_lock() when it was taken, none otherwise.
 */
ANYRCU_API bool anyrcu_rwlock_read_trylock(anyrcu_rwlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_rwlock_read_unlock() - release a lock that was taken to read
 * @lock: the lock
 *
 * Context: that which took it.
 * Ordering: release; all that the caller did happens before what the next writer does.
 */
ANYRCU_API void anyrcu_rwlock_read_unlock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_write_lock() - take a lock to write
 * @lock: the lock
 *
 * Writers get it in the order they came (under the model rt, of their priority). Readers that come later wait.
 *
 * Context: as anyrcu_spin_lock().
 * Ordering: acquire; what the last writer and all readers before did happens before.
 */
ANYRCU_API void anyrcu_rwlock_write_lock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_write_trylock() - take a lock to write if nobody holds it or waits for it
 * @lock: the lock
 *
 * Context: as anyrcu_spin_trylock().
 * Return: true when it was taken.
 * Ordering: as anyrcu_rwlock_write_lock() when it was taken, none otherwise.
 */
ANYRCU_API bool anyrcu_rwlock_write_trylock(anyrcu_rwlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_rwlock_write_unlock() - release a lock that was taken to write
 * @lock: the lock
 *
 * Context: that which took it.
 * Ordering: release; all that the caller did happens before what later holders do.
 */
ANYRCU_API void anyrcu_rwlock_write_unlock(anyrcu_rwlock_t *lock);

ANYRCU_END_DECLS

#endif
