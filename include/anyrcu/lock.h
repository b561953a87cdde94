/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks with the meaning of the kernel's, under the three models of anyrcu/context.h:
 *
 *                              none, full                 rt
 *     anyrcu_raw_spinlock_t    spins                      spins
 *     anyrcu_spinlock_t        spins                      sleeps, priority inheritance
 *     anyrcu_rwlock_t          spins                      sleeps, priority inheritance
 *     anyrcu_mutex_t           sleeps                     sleeps, priority inheritance
 *
 * The holder of a spinning lock must not wait. No lock is recursive. The thread that takes a lock
 * must release it. A lock must not be copied or moved while it is held. A lock whose bytes are all
 * zero is unlocked. Locks need no destruction; only mutexes have a destroy function, which tells
 * the validator. A waiter that spins too long (the holder is preempted) yields the CPU, and later
 * sleeps for short times.
 *
 * A lock that a signal handler takes must be taken with that signal blocked everywhere else: the
 * irqsave functions block all signals but those that faults raise.
 *
 * While the validator (anyrcu/lockdep.h) is on, it sees each operation. The initialisation
 * functions are macros, and locks that are initialised by the same use of a macro are of one class;
 * a statically initialised lock has a class of its own.
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
#define ANYRCU_RAW_SPINLOCK_INIT \
	{                        \
		0                \
	}

/**
 * typedef anyrcu_spinlock_t - a spinlock, which sleeps under the model rt
 */
typedef union {
	anyrcu_raw_spinlock_t raw; /* spins */
	uint32_t futex; /* sleeps */
} anyrcu_spinlock_t;
#define ANYRCU_SPINLOCK_INIT \
	{                    \
		{            \
			0    \
		}            \
	}

/**
 * typedef anyrcu_mutex_t - a lock for tasks
 */
typedef struct {
	uint32_t futex;
} anyrcu_mutex_t;
#define ANYRCU_MUTEX_INIT \
	{                 \
		0         \
	}

/**
 * typedef anyrcu_rwlock_t - a lock for one writer or many readers
 *
 * A reader does not overtake a waiting writer, so writers do not starve. In the hard part of a
 * handler that was installed by anyrcu_signal_action() it does, as the interrupted thread may hold
 * the lock as a reader.
 */
typedef struct {
	uint32_t state;
	anyrcu_spinlock_t queue;
} anyrcu_rwlock_t;
#define ANYRCU_RWLOCK_INIT        \
	{                         \
		0,                \
		{                 \
			{         \
				0 \
			}         \
		}                 \
	}

/* The out-of-line parts of the initialisation macros. */
ANYRCU_API void anyrcu_raw_spin_init_class(anyrcu_raw_spinlock_t *lock, const char *name,
					   const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_spin_init_class(anyrcu_spinlock_t *lock, const char *name,
				       const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_mutex_init_class(anyrcu_mutex_t *lock, const char *name,
					const struct anyrcu_lock_class_key *key);
ANYRCU_API void anyrcu_rwlock_init_class(anyrcu_rwlock_t *lock, const char *name,
					 const struct anyrcu_lock_class_key *key);
#define ANYRCU_LOCK_INIT_CLASS(function, lock, name)             \
	do {                                                     \
		static struct anyrcu_lock_class_key anyrcu_key_; \
		function((lock), name, &anyrcu_key_);            \
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
 * Its holder must not wait, nor take a lock that may sleep, which includes anyrcu_spinlock_t.
 * Waiters get the lock in the order of their calls.
 *
 * Context: any; in a signal handler only if all other code takes it with that signal blocked.
 * Ordering: acquire; everything that the last holder did happens before.
 */
ANYRCU_API void anyrcu_raw_spin_lock(anyrcu_raw_spinlock_t *lock);

/**
 * anyrcu_raw_spin_lock_nested() - take a raw spinlock while another one of the same class is held
 * @lock: the lock
 * @subclass: the subclass that the validator distinguishes: 0 to 7
 *
 * Context and ordering: as anyrcu_raw_spin_lock().
 */
ANYRCU_API void anyrcu_raw_spin_lock_nested(anyrcu_raw_spinlock_t *lock, unsigned subclass);

/**
 * anyrcu_raw_spin_trylock() - take a raw spinlock if it is free
 * @lock: the lock
 *
 * Context: any.
 * Return: true if it was taken; false if it is held, or other threads wait for it.
 * Ordering: as anyrcu_raw_spin_lock() if it was taken, otherwise none.
 */
ANYRCU_API bool anyrcu_raw_spin_trylock(anyrcu_raw_spinlock_t *lock)
	__attribute__((warn_unused_result));

/**
 * anyrcu_raw_spin_unlock() - release a raw spinlock
 * @lock: the lock, held by the caller
 *
 * Context: the context that took it.
 * Ordering: release; everything that the caller did happens before what the next holder does.
 */
ANYRCU_API void anyrcu_raw_spin_unlock(anyrcu_raw_spinlock_t *lock);

/**
 * anyrcu_raw_spin_lock_irqsave() - block signals and take a raw spinlock
 * @lock: the lock
 *
 * Blocks all signals but those that faults raise, under every model. Two system calls for each
 * pair. Calls nest.
 *
 * Context: any.
 * Return: the flags for anyrcu_raw_spin_unlock_irqrestore().
 * Ordering: as anyrcu_raw_spin_lock().
 */
ANYRCU_API uint64_t anyrcu_raw_spin_lock_irqsave(anyrcu_raw_spinlock_t *lock)
	__attribute__((warn_unused_result));

/**
 * anyrcu_raw_spin_unlock_irqrestore() - release a raw spinlock and restore the signal mask
 * @lock: the lock
 * @flags: the result of anyrcu_raw_spin_lock_irqsave()
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
 * Under the models none and full as anyrcu_raw_spin_lock(). Under rt waiters sleep, and the holder
 * inherits the priority of the waiters and may wait itself. If a thread takes the lock twice, or
 * waits for a holder that has ended, that is reported, and ends the program. After fork() the child
 * must initialise locks that were held anew.
 *
 * Context: none and full: any, but not with a raw spinlock held or preemption disabled; in a signal
 *          handler only if all other code takes it with that signal blocked. rt: a task that may
 *          sleep, or that holds another such lock.
 * Ordering: acquire; everything that the last holder did happens before.
 */
ANYRCU_API void anyrcu_spin_lock(anyrcu_spinlock_t *lock);

/**
 * anyrcu_spin_lock_nested() - take a spinlock while another one of the same class is held
 * @lock: the lock
 * @subclass: the subclass that the validator distinguishes: 0 to 7
 *
 * Context and ordering: as anyrcu_spin_lock().
 */
ANYRCU_API void anyrcu_spin_lock_nested(anyrcu_spinlock_t *lock, unsigned subclass);

/**
 * anyrcu_spin_trylock() - take a spinlock if it is free
 * @lock: the lock
 *
 * Context: none and full: any. rt: as anyrcu_spin_lock().
 * Return: true if it was taken.
 * Ordering: as anyrcu_spin_lock() if it was taken, otherwise none.
 */
ANYRCU_API bool anyrcu_spin_trylock(anyrcu_spinlock_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_spin_unlock() - release a spinlock
 * @lock: the lock, held by the caller
 *
 * Context: the context that took it.
 * Ordering: release; everything that the caller did happens before what the next holder does.
 */
ANYRCU_API void anyrcu_spin_unlock(anyrcu_spinlock_t *lock);

/**
 * anyrcu_spin_lock_irqsave() - block signals and take a spinlock
 * @lock: the lock
 *
 * Blocks all signals but those that faults raise, under every model. Two system calls for each
 * pair. Calls nest.
 *
 * Context: as anyrcu_spin_lock().
 * Return: the flags for anyrcu_spin_unlock_irqrestore().
 * Ordering: as anyrcu_spin_lock().
 */
ANYRCU_API uint64_t anyrcu_spin_lock_irqsave(anyrcu_spinlock_t *lock)
	__attribute__((warn_unused_result));

/**
 * anyrcu_spin_unlock_irqrestore() - release a spinlock and restore the signal mask
 * @lock: the lock
 * @flags: the result of anyrcu_spin_lock_irqsave()
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
 * anyrcu_mutex_destroy() - tell the validator that a mutex is destroyed
 * @lock: the mutex, not held
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_mutex_destroy(anyrcu_mutex_t *lock);

/**
 * anyrcu_mutex_lock() - take a mutex
 * @lock: the mutex
 *
 * Waiters sleep. Under the model rt the holder inherits the priority of the waiters, and misuse is
 * reported as for anyrcu_spin_lock().
 *
 * Context: a task that may sleep.
 * Ordering: acquire; everything that the last holder did happens before.
 */
ANYRCU_API void anyrcu_mutex_lock(anyrcu_mutex_t *lock);

/**
 * anyrcu_mutex_lock_nested() - take a mutex while another one of the same class is held
 * @lock: the mutex
 * @subclass: the subclass that the validator distinguishes: 0 to 7
 *
 * Context and ordering: as anyrcu_mutex_lock().
 */
ANYRCU_API void anyrcu_mutex_lock_nested(anyrcu_mutex_t *lock, unsigned subclass);

/**
 * anyrcu_mutex_trylock() - take a mutex if it is free
 * @lock: the mutex
 *
 * Context: as anyrcu_mutex_lock().
 * Return: true if it was taken.
 * Ordering: as anyrcu_mutex_lock() if it was taken, otherwise none.
 */
ANYRCU_API bool anyrcu_mutex_trylock(anyrcu_mutex_t *lock) __attribute__((warn_unused_result));

/**
 * anyrcu_mutex_unlock() - release a mutex
 * @lock: the mutex, held by the caller
 *
 * Context: a task.
 * Ordering: release; everything that the caller did happens before what the next holder does.
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
 * Waits while a writer holds the lock or waits for it. A thread that holds it to read must not take
 * it to read again, as a writer may have begun to wait in between (except in the hard part of a
 * handler). Under the model rt a writer inherits the priority of threads that wait for it; readers
 * inherit none.
 *
 * Context: as anyrcu_spin_lock().
 * Ordering: acquire; everything that the last writer did happens before.
 */
ANYRCU_API void anyrcu_rwlock_read_lock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_read_trylock() - take a lock to read if no writer holds it or waits for it
 * @lock: the lock
 *
 * Context: as anyrcu_spin_trylock().
 * Return: true if it was taken.
 * Ordering: as anyrcu_rwlock_read_lock() if it was taken, otherwise none.
 */
ANYRCU_API bool anyrcu_rwlock_read_trylock(anyrcu_rwlock_t *lock)
	__attribute__((warn_unused_result));

/**
 * anyrcu_rwlock_read_unlock() - release a lock that was taken to read
 * @lock: the lock
 *
 * Context: the context that took it.
 * Ordering: release; everything that the caller did happens before what the next writer does.
 */
ANYRCU_API void anyrcu_rwlock_read_unlock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_write_lock() - take a lock to write
 * @lock: the lock
 *
 * Writers get the lock in the order of their calls (under the model rt, of their priority). Readers
 * that come later wait.
 *
 * Context: as anyrcu_spin_lock().
 * Ordering: acquire; everything that the last writer and all earlier readers did happens before.
 */
ANYRCU_API void anyrcu_rwlock_write_lock(anyrcu_rwlock_t *lock);

/**
 * anyrcu_rwlock_write_trylock() - take a lock to write if no thread holds it or waits for it
 * @lock: the lock
 *
 * Context: as anyrcu_spin_trylock().
 * Return: true if it was taken.
 * Ordering: as anyrcu_rwlock_write_lock() if it was taken, otherwise none.
 */
ANYRCU_API bool anyrcu_rwlock_write_trylock(anyrcu_rwlock_t *lock)
	__attribute__((warn_unused_result));

/**
 * anyrcu_rwlock_write_unlock() - release a lock that was taken to write
 * @lock: the lock
 *
 * Context: the context that took it.
 * Ordering: release; everything that the caller did happens before what later holders do.
 */
ANYRCU_API void anyrcu_rwlock_write_unlock(anyrcu_rwlock_t *lock);

ANYRCU_END_DECLS

#endif
