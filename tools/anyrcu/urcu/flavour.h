/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The library that "anyrcu urcu" preloads into a program. It replaces liburcu's deferral,
 * call_rcu() and defer_rcu() and the functions that belong to them, and stores the callbacks in
 * anyrcu's pages. The read side is compiled into the program, so grace periods stay liburcu's: each
 * queue of callbacks (liburcu's struct call_rcu_data) is a domain whose source is the flavour's own
 * synchronize_rcu().
 *
 * The flavours memb, mb, qsbr and bp share one implementation, whose functions take a struct
 * flavour. exports.c gives them liburcu's names. The files:
 *
 *     exports.c       liburcu's names
 *     call.c          queues of callbacks: call_rcu(), create_call_rcu_data() and so on
 *     call_all.c      all queues of a flavour at once: rcu_barrier() and fork()
 *     defer.c         defer_rcu()
 *     flavour.c       the functions of the library beneath, and threads
 *     statistics.c    what --report shows
 *     process.c       start and end of the process, and fork()
 *
 * Threads start where liburcu starts them: the worker of a queue when the queue is made, that of
 * the default queue at the first call_rcu() or get_default_call_rcu_data(), the one that empties
 * the arrays of defer_rcu() at the first registration. A program may enter a sandbox or leave a
 * namespace after that, and expects its threads to have the state that it had when it asked for
 * them. A child of fork() has no thread of ours: the fork handlers that the program calls start the
 * worker, or else the first call does.
 *
 * If no thread can be started, calls try again, with growing pauses, and rcu_barrier() does the
 * worker's work: see domain_restart() and domain_stand_in() in domain/worker.c.
 *
 * The preload shares nothing with a libanyrcu that the program may use as well: the parts of the
 * core that it needs are linked in, and hidden.
 */
#ifndef ANYRCU_TOOL_URCU_FLAVOUR_H
#define ANYRCU_TOOL_URCU_FLAVOUR_H

#include <anyrcu/page.h>
#include <domain/domain.h>
#include <port/process.h>
#include <pthread.h>
#include <store/store.h>

#include "urcu/preload.h"

/* The interface, as liburcu's installed headers have it. */
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};
_Static_assert(sizeof(struct rcu_head) == sizeof(struct anyrcu_head), "a head is a head");

struct urcu_atfork {
	void (*before_fork)(void *priv);
	void (*after_fork_parent)(void *priv);
	void (*after_fork_child)(void *priv);
	void *priv;
};

struct flavour;

struct call_rcu_data {
	struct flavour *flavour;
	struct anyrcu_domain *domain;
	struct call_rcu_data *next;
	pthread_t thread;
	uint32_t begun; /* the thread is known */
	bool asked; /* the program knows it, and may join it */
	bool failed; /* the last attempt to start it; then domain_restart() pauses */
	uint32_t users; /* barriers that wait for it; under the flavour's lock */
	bool ends; /* what waits in it is on its way to another; under the flavour's lock */
	struct urcu_line *line;
	struct anyrcu_domain_stats base; /* what the parent had counted before the fork */
};

/*
 * When to try again to start the thread of defer_rcu(). All zero: the last attempt has not failed.
 * Read and written by any thread at any time: an attempt more or less does no harm.
 */
struct pauses {
	uint64_t until; /* when to try again */
	uint64_t pause; /* the last one, nanoseconds */
};

struct flavour {
	const char *name, *libraries[2];
	bool loaded;
	/* call_rcu_data_free() joins the thread, since 0.14; before that the program may */
	bool joins;
	void (*synchronize)(void);
	void (*register_thread)(void), (*unregister_thread)(void);
	void (*thread_offline)(void), (*thread_online)(void);
	int (*read_ongoing)(void);

	pthread_mutex_t lock; /* over the queues of callbacks, and across a fork */
	bool forks; /* its holder is about to */
	struct call_rcu_data *all, *standard;
	struct call_rcu_data *cpu[PORT_CPUS_MAX];
	bool per_cpu; /* there may be one */
	struct urcu_atfork *atfork;

	pthread_mutex_t defer_lock; /* over the list of what threads defer */
	struct defer_queue *queues;
	uint32_t reaper; /* its state; see defer.c */
	struct pauses reaper_pauses;
	struct urcu_line *line;
	uint64_t defer_gps, defer_gp_ns, defer_gp_max, defer_invoked, defer_high;
};

enum { MEMB, MB, QSBR, BP, FLAVOURS };
extern struct flavour flavours[FLAVOURS];

/* ---- flavour.c ---- */

/* The thread has announced itself to the flavour by rcu_register_thread(). */
extern PORT_THREAD_LOCAL bool flavour_registered[FLAVOURS];

/* Looks up the functions of the flavour's library; false if it is not loaded. */
bool flavour_find(struct flavour *f);
/* The same; ends the program if it is not loaded. */
void flavour_need(struct flavour *f);
/*
 * Around whatever waits: a qsbr thread that waits holds up no grace period. In the other flavours
 * nobody is online. flavour_offline() returns what flavour_online() is given.
 */
bool flavour_offline(struct flavour *f);
void flavour_online(struct flavour *f, bool was);
/* As port_thread_start(), but like liburcu's threads these can be joined. Returns 0 or -errno. */
int flavour_thread_start(void *(*main)(void *), void *arg, int detached);

/* ---- call.c ---- */

extern PORT_THREAD_LOCAL struct call_rcu_data *call_of_thread[FLAVOURS];

/* call_rcu(), from any context. @caller is reported in debug mode. */
void call_defer(struct flavour *f, struct rcu_head *head, void (*func)(struct rcu_head *head),
		uintptr_t caller);
struct call_rcu_data *call_create(struct flavour *f, unsigned long flags, int cpu);
void call_destroy(struct flavour *f, struct call_rcu_data *c);
/* The default queue, with a worker on its way. */
struct call_rcu_data *call_default(struct flavour *f);
/* The queue that the calling thread defers to. */
struct call_rcu_data *call_get(struct flavour *f);
struct call_rcu_data *call_get_cpu(struct flavour *f, int cpu);
int call_set_cpu(struct flavour *f, int cpu, struct call_rcu_data *c);
int call_create_all_cpu(struct flavour *f, unsigned long flags);
void call_free_all_cpu(struct flavour *f);
pthread_t call_thread(struct call_rcu_data *c);
/* Starts a worker if there is none, and waits until it has arrived; false if none can be had. */
bool call_have_worker(struct call_rcu_data *c);

/* ---- call_all.c ---- */

void call_barrier(struct flavour *f);
void call_before_fork(struct flavour *f);
void call_after_fork_parent(struct flavour *f);
void call_after_fork_child(struct flavour *f);
void call_register_atfork(struct flavour *f, struct urcu_atfork *atfork);

/* ---- defer.c ---- */

void defer_call(struct flavour *f, void (*func)(void *arg), void *arg);
int defer_register(struct flavour *f);
void defer_unregister(struct flavour *f);
void defer_barrier(struct flavour *f);
void defer_barrier_thread(struct flavour *f);
/* Once in a process; from then on a thread's queue ends with it. */
void defer_set_up(void);
/* In the child of a fork, where no other thread holds a lock or looks after what is deferred. */
void defer_fork_child(struct flavour *f);

/* ---- statistics.c ---- */

extern struct urcu_table *statistics_table; /* NULL: nobody asked for a report */

void statistics_call(struct call_rcu_data *c);
void statistics_defer(struct flavour *f);

/* ---- process.c ---- */

/* Sets everything up, once. Any context. */
void process_begin(void);

#endif
