/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The interface of the validator for the layers whose locks it watches, and for its host.
 *
 * The validator is part of the library, and also of the object that "anyrcu lockdep" preloads. A
 * process must have a single one that sees everything, so all callers use a table: the preloaded
 * object gives its table to the library, if the program uses that.
 */
#ifndef ANYRCU_LOCKDEP_LOCKDEP_H
#define ANYRCU_LOCKDEP_LOCKDEP_H

#include <anyrcu/lockdep.h>
#include <base/compiler.h>

/* @ip: the calling code's address in the program. All functions: any context. */
struct lockdep_ops {
	size_t size;
	void (*init)(const void *lock, const struct anyrcu_lock_type *type, const char *name,
		     const struct anyrcu_lock_class_key *key, const void *ip);
	void (*destroy)(const void *lock, const void *ip);
	void (*free)(const void *p, size_t size, const void *ip);
	void (*acquire)(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
			unsigned subclass, const void *nest, const void *ip);
	void (*release)(const void *lock, const void *ip);
	int (*is_held)(const void *lock);
	void (*assert_held)(const void *lock, bool held, const void *ip);
	/* @what: the function that may sleep, or NULL */
	void (*might_sleep)(const char *what, const void *ip);
	/* The function may take a spinlock (wait type CONFIG), whether or not this call does. */
	void (*might_spin)(const char *what, const void *ip);
	/*
	 * The function may sleep, and must not be called in a read-side critical section;
	 * @in_section: it is.
	 */
	void (*rcu_wait)(const char *what, bool in_section, const void *ip);
	/* The function may wait for a grace period, and so for all readers. */
	void (*gp_wait)(const void *ip);
	void (*rcu_suspicious)(const char *what, const void *ip);

	/*
	 * signal_enter(): a handler of @sig begins, with @blocked blocked; @threaded: under rt it
	 * would run in a thread. Or, if @sig is 0, a thread runs under rt what is a handler under
	 * other models. signal_exit(): it ends; @blocked are blocked from then on.
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

/*
 * The validator in use; NULL while it is off. Once set it stays, unless a preloaded one takes over.
 */
extern const struct lockdep_ops *lockdep_ops;

/* Call @op with its arguments if the validator is on. */
#define lockdep(op, ...)                                                             \
	do {                                                                         \
		const struct lockdep_ops *lockdep_ops_ = load_acquire(&lockdep_ops); \
		if (unlikely(lockdep_ops_))                                          \
			lockdep_ops_->op(__VA_ARGS__);                               \
	} while (0)

/*
 * Of the object that "anyrcu lockdep" preloads, if there is one: it calls @attach with its table,
 * and asks @in_reader whether grace periods wait for the caller. So a library is found that a
 * plug-in brings, too. Task.
 */
__attribute__((weak)) void anyrcu_lockdep_preloaded(void (*attach)(const struct lockdep_ops *ops),
						    bool (*in_reader)(void));

/* ---- the host's side ---- */

struct lockdep_order {
	struct lockdep_ordered {
		const void *lock;
		const struct anyrcu_lock_type *type;
	} held[8], to;
	uint32_t nheld;
	bool reads; /* the first is held by a reader */
	bool recursive; /* a recursive reader waits */
	const void *ip; /* where in the program */
};

struct lockdep_host {
	/*
	 * A finding. It must not wait for a lock of the program. Any context, all signals blocked,
	 * one call at a time.
	 */
	void (*emit)(const struct anyrcu_lockdep_report *report);
	/*
	 * Give a place in the present report a number, by which the reader of the text can look it
	 * up. UINT32_MAX, or no such function: the text names the place. Otherwise the text
	 * contains "\033", the number, and "a" for the place with its file or "n" for its name
	 * alone. Called as emit().
	 */
	uint32_t (*mark)(const void *address);
	/*
	 * Do grace periods wait for the caller, as it is in a read-side critical section, or
	 * online? NULL: there are none.
	 */
	bool (*in_reader)(void);
	/* Is the model rt, under which a holder of spinlocks may sleep? NULL: never. */
	bool (*rt)(void);
	/* Report spinlocks under raw ones, which are wrong under rt, under every model. */
	bool raw_nesting;
	/*
	 * Orders are those of single locks: two locks of a class may be nested, in one order
	 * (otherwise nesting requires a subclass), and orders that an outer lock guards form no
	 * cycle. See instance.c.
	 */
	bool by_instance;
	/*
	 * A thread waits for a lock with others held, the first of which was not held at such a
	 * wait before. Does another process that shares the locks take them in an order that forms
	 * a cycle with this one? Returns the place of that order, for the report; NULL: no, or not
	 * known, or no such function. Called as emit().
	 */
	const void *(*shared)(const struct lockdep_order *order);
	/*
	 * The type of locks that one thread may take for several, and another give back; NULL:
	 * there is none. See kept.c.
	 */
	const struct anyrcu_lock_type *for_several;
	/* Threads of the process; NULL: not known. */
	const uint32_t *threads;
	/* Signals whose handlers may interrupt; NULL: all. */
	const uint64_t *handled;
	/*
	 * Returns the identity of the class of a lock that was not initialised by a call and is
	 * first taken at @ip. NULL, or no such function: @ip itself. Any context.
	 */
	const void *(*site)(const void *ip);
	/*
	 * The host reports each change of a signal mask. Otherwise the validator asks the system at
	 * intervals.
	 */
	bool masks_told;
};

struct lockdep_stats {
	uint32_t classes, edges, chains, locks, threads, deepest;
	uint64_t reports;
};

extern const struct lockdep_ops lockdep_engine;

/* Initialise. False if there is no memory. Once, before lockdep_engine is used. Task. */
bool lockdep_start(const struct lockdep_host *host);
/* Around fork(), and the lock that it takes. Task. */
extern struct port_lock lockdep_lock;
void lockdep_fork_prepare(void);
void lockdep_fork_parent(void);
void lockdep_fork_child(void);
/* Forget the locks in [@p, @beyond), without a report. Any context. */
void lockdep_forget(const void *p, const void *beyond);
/*
 * May there be a lock in the page of 4 KiB where @p is, or in the next one? It costs less than to
 * ask an allocator for the size of an object. Any context.
 */
bool lockdep_near(const void *p);
/* A loaded object was unloaded: forget static locks outside of loaded objects. Any context. */
void lockdep_unloaded(void);
/* Register the calling thread; false if there is no room for it. Any context. */
bool lockdep_known_thread(void);
/* The calling thread, the only one, is about to create another. Task. */
void lockdep_not_alone(void);
/* Called in a handler that is left by a jump: as signal_exit, but its locks stay held. */
void lockdep_signal_jump(uint64_t blocked);
/* These signals have other handlers now: forget what the former ones did. Any context. */
void lockdep_handlers_changed(uint64_t signals);

/*
 * ---- waits for something other than a lock; see wait.c. Any context. For orders of single locks
 * ----
 */

/*
 * Does the calling thread hold a lock other than the one that was reported last as about to be
 * taken? If not, its wait for that one cannot be part of a deadlock of locks.
 */
bool lockdep_holds_more(void);
/* It waits for that lock without bound from now on; report a deadlock. And: the wait is over. */
void lockdep_blocks(const void *lock);
void lockdep_goes_on(void);
/*
 * The number of locks that the calling thread holds. And: it holds only the first @n from now on.
 */
uint32_t lockdep_held_count(void);
void lockdep_held_drop(uint32_t n);
/* Does the calling thread hold a lock that this context took, or do grace periods wait for it? */
bool lockdep_holds(void);
/*
 * The calling thread is about to wait for @object, without bound, in the function @what that is
 * called at @ip. _end(): its wait is over.
 */
void lockdep_wait_begin(const void *object, const char *what, const void *ip);
void lockdep_wait_end(void);
/* What it waited for was this semaphore, and it came by. */
void lockdep_came_by(const void *object);
/*
 * The calling thread causes the event @object. @remembered: the event also ends later waits. Only
 * the first @times times are checked: a thread that causes an event repeatedly may have taken locks
 * in between for other reasons.
 */
void lockdep_event(const void *object, bool remembered, unsigned times);
/*
 * Is this semaphore, which the calling thread posts, a turnstile: did ever a thread post it that
 * had just waited for it, and taken no lock since? Then it is no event for anybody.
 */
bool lockdep_passes(const void *object);
/*
 * Has the calling thread taken locks since it last caused an event, at last one inside another? If
 * it ends now, others that have not joined it cannot know that it is past these locks.
 */
bool lockdep_tells_nobody(void);
/* It is about to wait for condition @c, which releases @mutex. And: the wait is over. */
void lockdep_condition_begin(const void *c, const void *mutex, const void *ip);
void lockdep_condition_end(const void *c);
/*
 * Facts that exclude threads from being in arcs at the same time; see meet.c. @once was found done.
 * At most @threads threads hold @lock, each as a reader. A barrier of @threads threads is made; the
 * calling thread arrives at it, and leaves it.
 */
struct barrier_round {
	uint32_t barrier, n; /* 0: none */
};
void lockdep_once_done(const void *once);
void lockdep_limit(const void *lock, uint32_t threads);
bool lockdep_is_limited(const void *lock);
void lockdep_barrier_begins(const void *b, unsigned threads);
struct barrier_round lockdep_barrier_arrives(const void *b);
void lockdep_barrier_leaves(struct barrier_round round);
/*
 * Of a lock that one thread takes for several, and another gives back; see kept.c.
 * lockdep_takes(): the calling thread is about to take it. lockdep_keeps(): does the calling thread
 * hold it as far as is known, while another may have given it back unseen? Then from here on it
 * counts as not held. lockdep_given_back(): does the calling thread, which releases it, give it
 * back in place of the one that took it?
 */
void lockdep_takes(const void *lock);
bool lockdep_keeps(const void *lock);
bool lockdep_given_back(const void *lock);
/* Forget the event; with @if_caused only if it was caused already. */
void lockdep_event_forget(const void *object, bool if_caused);
/* The event of the calling thread's end. */
void lockdep_thread_end_is(const void *object);
void lockdep_joins(int change);
/* The calling thread holds no lock of @type any more. */
void lockdep_leave(const struct anyrcu_lock_type *type);
bool lockdep_known(const void *lock);
/* Functions that share state which a handler may find half changed. In static storage. */
struct lockdep_unsafe {
	const char *name;
	uint64_t in, open; /* signals: called in their handlers, and with them unblocked */
};
void lockdep_unsafe(struct lockdep_unsafe *u, const void *ip);
/* What the calling thread does with @lock is undefined; @what describes it. */
void lockdep_misuse(const void *lock, const char *what, const void *ip);

void lockdep_stats_get(struct lockdep_stats *out);

#endif
