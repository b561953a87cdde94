/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The validator of locks. It watches one run and reports what could go wrong in another: orders of
 * locks that can deadlock, locks that a signal handler may find held by the code that it
 * interrupted, waiting where that is not allowed, RCU used without protection. The rules and the
 * terms are those of the Linux kernel's lockdep.
 *
 * It is off by default, and then costs a load and a branch for each operation on a lock.
 * ANYRCU_LOCKDEP=1 in the environment turns it on, and so does anyrcu_init(), which should then be
 * called before any lock is held. Reports go to standard error, to the file that ANYRCU_LOCKDEP_LOG
 * names, or to a hook. After a report the program continues.
 *
 * Programs that use other locks are watched by "anyrcu lockdep -- PROGRAM", see anyrcu(1).
 */
#ifndef ANYRCU_LOCKDEP_H
#define ANYRCU_LOCKDEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_lock_class_key - the identity of a class of locks
 *
 * Only its address matters. All locks that were initialised with one key are of one class: the
 * validator assumes that what it sees of one of them holds for all. In static storage.
 */
#define ANYRCU_LOCKDEP_SUBCLASSES 8
struct anyrcu_lock_class_key {
	char subclass[ANYRCU_LOCKDEP_SUBCLASSES];
};

/**
 * enum anyrcu_lock_wait - wait types
 * @ANYRCU_WAIT_INV: not checked
 * @ANYRCU_WAIT_FREE: waits for nothing
 * @ANYRCU_WAIT_SPIN: spins under every model: raw spinlocks
 * @ANYRCU_WAIT_CONFIG: sleeps under the model rt, spins under others: spinlocks
 * @ANYRCU_WAIT_SLEEP: sleeps: mutexes
 */
enum anyrcu_lock_wait {
	ANYRCU_WAIT_INV,
	ANYRCU_WAIT_FREE,
	ANYRCU_WAIT_SPIN,
	ANYRCU_WAIT_CONFIG,
	ANYRCU_WAIT_SLEEP
};

/**
 * struct anyrcu_lock_type - the type of a lock
 * @name: for reports
 * @wait_outer: how a thread waits for it: the context must allow that
 * @wait_inner: how its holder may still wait; 0: as @wait_outer
 */
struct anyrcu_lock_type {
	const char *name;
	uint8_t wait_outer, wait_inner;
};

/*
 * How a lock is acquired. READ: by a reader that waits for waiting writers; RECURSIVE_READ: by one
 * that does not.
 */
enum {
	ANYRCU_LOCK_WRITE = 0,
	ANYRCU_LOCK_READ = 1,
	ANYRCU_LOCK_RECURSIVE_READ = 2,
	ANYRCU_LOCK_TRY = 4
};

/**
 * anyrcu_lockdep_init() - a lock of the program's own type is initialised
 * @lock: its address, which identifies it
 * @type: its type, in static storage
 * @name: for reports, in static storage; NULL: the name of the symbol at its address
 * @key: its class; NULL: that of the call site
 *
 * The locks of anyrcu/lock.h call this and the following functions themselves. If a lock is never
 * initialised, it has a class of its own if it is in static storage; otherwise it is of one class
 * with all others that are first taken at the same place.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_init(const void *lock, const struct anyrcu_lock_type *type,
				    const char *name, const struct anyrcu_lock_class_key *key);

/**
 * anyrcu_lockdep_destroy() - a lock is destroyed
 * @lock: its address
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_destroy(const void *lock);

/**
 * anyrcu_lockdep_free() - memory is freed: report locks in it that the caller holds
 * @p: its beginning
 * @size: its size in bytes
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_free(const void *p, size_t size);

/**
 * anyrcu_lockdep_acquire() - a lock is about to be taken; or, with ANYRCU_LOCK_TRY, has been taken
 * without waiting
 * @lock: its address
 * @type: its type, in static storage
 * @how: ANYRCU_LOCK_WRITE, _READ or _RECURSIVE_READ, with _TRY or not
 * @subclass: 0 to 7: the lock's role, if several locks of the class are held
 * @nest: a held lock that makes it safe to take several of this class; or NULL
 *
 * Call it before waiting, so that a deadlock is reported before it happens.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_acquire(const void *lock, const struct anyrcu_lock_type *type,
				       unsigned how, unsigned subclass, const void *nest);

/**
 * anyrcu_lockdep_release() - a lock is about to be released
 * @lock: its address
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_release(const void *lock);

/**
 * anyrcu_lockdep_is_held() - does the caller hold a lock?
 * @lock: its address
 *
 * Context: any.
 * Return: 1 or 0; -1 if that is not known, as the validator is off.
 */
ANYRCU_API int anyrcu_lockdep_is_held(const void *lock);

/**
 * anyrcu_lockdep_assert_held() - report if the caller does not hold a lock
 * @lock: its address
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_assert_held(const void *lock);

/**
 * anyrcu_lockdep_assert_not_held() - report if the caller holds a lock
 * @lock: its address
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_lockdep_assert_not_held(const void *lock);

/**
 * anyrcu_might_sleep() - report if the context does not allow sleeping
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_might_sleep(void);

/* The rules, and their names in reports. */
enum anyrcu_lockdep_rule {
	/* recursive-locking: a lock, or one of its class, is held already */
	ANYRCU_LOCKDEP_RECURSIVE,
	ANYRCU_LOCKDEP_CIRCULAR, /* circular-dependency: the orders of locks form a cycle */
	/* inconsistent-signal-use: a handler takes a lock that is held with its signal unblocked */
	ANYRCU_LOCKDEP_SIGNAL_USE,
	/*
	 * signal-safe-unsafe-order: a lock that a handler takes is held while waiting for a lock
	 * that is held with the handler's signal unblocked
	 */
	ANYRCU_LOCKDEP_SIGNAL_ORDER,
	/* invalid-wait-context: a lock for which the context does not allow waiting */
	ANYRCU_LOCKDEP_WAIT,
	ANYRCU_LOCKDEP_ATOMIC, /* sleep-in-atomic */
	ANYRCU_LOCKDEP_BALANCE, /* bad-unlock-balance: released by a thread that does not hold it */
	ANYRCU_LOCKDEP_EXIT, /* held-at-thread-exit */
	ANYRCU_LOCKDEP_FREED, /* held-lock-freed: freed, or destroyed */
	ANYRCU_LOCKDEP_REINIT, /* held-lock-reinitialised */
	ANYRCU_LOCKDEP_RCU, /* suspicious-rcu-usage */
	ANYRCU_LOCKDEP_NOT_HELD, /* not-held: an assertion */
	ANYRCU_LOCKDEP_HELD, /* held: an assertion */
	/* table-full: from here on, new facts are not validated. Not a mistake of the program */
	ANYRCU_LOCKDEP_FULL,
	/* guarded-inversion: a cycle that a common lock guarded so far; by "anyrcu lockdep" */
	ANYRCU_LOCKDEP_GUARDED,
	/*
	 * wait-for-holder: a thread waits for an event and holds a lock that the thread which
	 * causes the event takes first
	 */
	ANYRCU_LOCKDEP_WAITS,
	/* async-signal-unsafe: a handler calls a function that it may have interrupted */
	ANYRCU_LOCKDEP_UNSAFE,
	ANYRCU_LOCKDEP_MISUSE, /* misuse: a use of a lock that is undefined */
	ANYRCU_LOCKDEP_DEADLOCK, /* deadlock: threads wait for each other's locks */
};

/**
 * struct anyrcu_lockdep_report - a finding
 * @size: sizeof(struct anyrcu_lockdep_report)
 * @rule: the rule that was broken
 * @rule_name: its name
 * @text: the whole report, in lines
 * @nlocks: how many of @locks are valid
 * @locks: the names of the classes involved, the requested one first
 * @nframes: how many of @frames are valid
 * @frames: the stack of the thread that broke the rule: return addresses, innermost first
 */
struct anyrcu_lockdep_report {
	size_t size;
	enum anyrcu_lockdep_rule rule;
	const char *rule_name;
	const char *text;
	uint32_t nlocks;
	const char *locks[8];
	uint32_t nframes;
	void *frames[32];
};

/**
 * anyrcu_lockdep_reports() - how many findings there were so far
 *
 * Context: any.
 */
ANYRCU_API uint64_t anyrcu_lockdep_reports(void);

/* For anyrcu/rcu.h: is the validator on, and the function that is called then. */
extern ANYRCU_DATA uint32_t anyrcu_lockdep_watching;
ANYRCU_API void anyrcu_lockdep_suspicious(const char *what);

/* For the preloaded object: use this validator from now on. */
struct lockdep_ops;
ANYRCU_API void anyrcu_lockdep_attach(const struct lockdep_ops *ops);

ANYRCU_END_DECLS

#endif
