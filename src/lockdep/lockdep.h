/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The validator as those see it whose locks it watches, and whoever hosts it.
 *
 * It is part of the library, and once more of what "anyrcu lockdep" preloads. As a process needs one that sees everything, all go by a table: the
 * preloaded one hands its own to the library, if the program uses that.
 */
#ifndef ANYRCU_LOCKDEP_LOCKDEP_H
#define ANYRCU_LOCKDEP_LOCKDEP_H

#include <anyrcu/lockdep.h>
#include <base/compiler.h>

/* @ip: where in the program. All: any context. */
struct lockdep_ops {
	size_t size;
	void (*init)(const void *lock, const struct anyrcu_lock_type *type, const char *name, const struct anyrcu_lock_class_key *key,
		     const void *ip);
	void (*destroy)(const void *lock, const void *ip);
	void (*free)(const void *p, size_t size, const void *ip);
	void (*acquire)(const void *lock, const struct anyrcu_lock_type *type, unsigned how, unsigned subclass, const void *nest,
			const void *ip);
	void (*release)(const void *lock, const void *ip);
	int (*is_held)(const void *lock);
	void (*assert_held)(const void *lock, bool held, const void *ip);
	/* @what: the function that may sleep, or NULL */
	void (*might_sleep)(const char *what, const void *ip);
	/* A spinlock (wait type CONFIG) may be taken in here, whether it is this time or not. */
	void (*might_spin)(const char *what, const void *ip);
	/* What waits for a grace period: not in a reader, and where it may sleep. */
	void (*rcu_wait)(const char *what, const void *ip);
	void (*rcu_suspicious)(const char *what, const void *ip);

	/*
	 * A handler of @sig begins, during which @blocked are blocked; @threaded: it is one that would be a thread's under rt. Or a thread does
	 * under rt what a handler does otherwise: @sig is 0. It ends; @blocked are blocked then.
	 */
	void (*signal_enter)(int sig, uint64_t blocked, bool threaded);
	void (*signal_exit)(uint64_t blocked);
	/* From here on the caller has these signals blocked. */
	void (*signals_blocked)(uint64_t mask);
	/* Preemption is disabled, +1, or enabled, -1. */
	void (*preempt)(int change);
	void (*thread_exit)(bool in_reader);

	uint64_t (*reports)(void);
};

/* The validator in use; NULL while it is off. Once set it stays, but for a preloaded one that takes over. */
extern const struct lockdep_ops *lockdep_ops;

/* Call @op with its arguments if the validator is on. */
#define lockdep(op, ...)                                                                                               \
	do {                                                                                                           \
		const struct lockdep_ops *lockdep_ops_ = load_acquire(&lockdep_ops);                                   \
		if (unlikely(lockdep_ops_))                                                                            \
			lockdep_ops_->op(__VA_ARGS__);                                                                 \
	} while (0)

/* ---- the host's side ---- */

struct lockdep_host {
	/* A finding. No lock of the program is waited for in it. Any context, all signals blocked, one at a time. */
	void (*emit)(const struct anyrcu_lockdep_report *report);
	/* Is the caller in a read-side critical section? NULL: there is no such thing. */
	bool (*in_reader)(void);
	/* Under the model rt a holder of spinlocks may sleep. NULL: it never is. */
	bool (*rt)(void);
	/* Report spinlocks under raw ones, as rt would have it, under every model. */
	bool raw_nesting;
	/* Two locks of a class may be nested, in one order. Otherwise that takes a subclass. */
	bool by_instance;
	/* The host tells of each change of a signal mask. Otherwise the validator looks for itself now and then. */
	bool masks_told;
};

struct lockdep_stats {
	uint32_t classes, edges, chains, locks, threads, deepest;
	uint64_t reports;
};

extern const struct lockdep_ops lockdep_engine;

/* Get ready. False when there is no memory. Once, before lockdep_engine is used. Task. */
bool lockdep_start(const struct lockdep_host *host);
/* Around fork(). Task. */
void lockdep_fork_prepare(void);
void lockdep_fork_parent(void);
void lockdep_fork_child(void);
void lockdep_stats_get(struct lockdep_stats *out);

#endif
