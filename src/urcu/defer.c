/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * defer_rcu() of the recompiled interface: a ring for each registered thread, as in liburcu, whose
 * rules it keeps. The callbacks of a thread are invoked in order; no two callbacks of defer_rcu()
 * run at the same time; and at most RING are pending: then the thread waits for a grace period and
 * invokes its own callbacks. anyrcu's pages guarantee none of the three, so they are used only for
 * deferrals of threads that are not registered, which liburcu does not allow.
 *
 * A ring is filled by its thread: head, a release. Any thread empties it, under the lock: tail, a
 * release. The thread that empties a ring reads head, waits for a grace period, and invokes the
 * callbacks up to there.
 *
 * The runner empties all rings 10 ms after there was something in one. It must not sleep while a
 * ring is not empty: it stores that it sleeps, waits for a grace period and checks the rings once
 * more. A thread that defers stores head and reads the runner's state in one read-side section.
 * Either the section began before the grace period, which then waits for it, and the runner sees
 * head; or it began later and sees that the runner sleeps. So deferring needs no fence.
 *
 * The first registration starts the runner. If the runner cannot be started, deferrals try again,
 * with growing pauses. Until one succeeds, pending callbacks are invoked by barriers, and by the
 * ring's thread when the ring is full or the thread unregisters.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <anyrcu/defer.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define RING 4096

struct ring {
	struct ring *next;
	/* until: how far the emptying goes */
	uint64_t tail __attribute__((aligned(CAA_CACHE_LINE_SIZE))), until;
	uint64_t head __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	struct {
		void (*fct)(void *p);
		void *p;
	} slot[RING];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the emptying */
/* after the other; never held while a grace period is waited for */
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;
static struct ring *rings; /* added to under list, taken from under both */
enum { RUNS, SLEEPS, NONE };
static uint32_t runner = NONE;
static struct pauses pauses;
static bool strays; /* something was deferred by a thread without a ring */
static __thread struct ring *mine __attribute__((tls_model("initial-exec")));
static __thread bool emptying __attribute__((tls_model("initial-exec")));

static struct ring *first(void)
{
	struct ring *r;

	pthread_mutex_lock(&list);
	r = rings;
	pthread_mutex_unlock(&list);
	return r;
}

/* With the lock held: empty one ring, or all present ones. */
static void empty(struct ring *only)
{
	struct ring *from = only ? only : first();
	bool any = false;

	for (struct ring *r = from; r; r = only ? NULL : r->next) {
		r->until = load_acquire(&r->head);
		any |= r->until != r->tail;
	}
	if (!any)
		return;
	anyrcu_synchronize();
	emptying = true;
	for (struct ring *r = from; r; r = only ? NULL : r->next) {
		checker_acquired(r);
		while (r->tail != r->until) {
			void (*fct)(void *p) = r->slot[r->tail % RING].fct;
			void *p = r->slot[r->tail % RING].p;

			/* first: the child of a fork() must not invoke what runs here */
			store_release(&r->tail, r->tail + 1);
			fct(p);
		}
	}
	emptying = false;
}

static void lock_and_empty(enum anyrcu_urcu_flavor f, struct ring *only)
{
	bool online = rest_begin(f);

	pthread_mutex_lock(&lock);
	empty(only);
	pthread_mutex_unlock(&lock);
	rest_end(online);
}

static bool all_empty(void)
{
	bool yes = true;

	pthread_mutex_lock(&lock);
	for (struct ring *r = first(); r; r = r->next)
		yes &= load_acquire(&r->head) == r->tail;
	pthread_mutex_unlock(&lock);
	return yes;
}

static void *run(void *arg)
{
	static void *kept; /* of this thread, for memcheck */

	store(&kept, checker_thread());
	for (;;) {
		set(&runner, SLEEPS);
		anyrcu_synchronize();
		if (all_empty())
			while (load_acquire(&runner) == SLEEPS)
				futex_wait(&runner, SLEEPS, 0);
		store(&runner, RUNS);
		usleep(10000); /* so that more callbacks share the grace period */
		lock_and_empty(ANYRCU_URCU_MEMB, NULL);
	}
	return arg;
}

/* Set @from, it is to run. True if it was. */
static bool runner_from(uint32_t from)
{
	return __atomic_compare_exchange_n(&runner, &from, RUNS, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static void runner_wake(void)
{
	pthread_t thread;

	if (runner_from(SLEEPS)) {
		futex_wake(&runner);
	} else if (may_try(&pauses) && runner_from(NONE)) {
		if (thread_start(&thread, run, NULL, -1, &pauses))
			pthread_detach(thread);
		else
			store(&runner, NONE);
	}
}

/* The child of a fork() has the rings, but no thread that empties them. */
static void fork_prepare(void)
{
	pthread_mutex_lock(&list);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&list);
}

static void fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	pthread_mutex_init(&list, NULL);
	runner = NONE;
	pauses = (struct pauses){ 0 };
	if (rings)
		runner_wake();
}

/* Called before there is a ring, so that no fork finds a half-done change. */
static void register_fork(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void anyrcu_urcu_defer(enum anyrcu_urcu_flavor f, void (*fct)(void *p), void *p)
{
	struct ring *r = mine;
	uint32_t how;
	uint64_t head;

	if (!r || emptying) {
		bool online = rest_begin(f);

		store(&strays, true);
		anyrcu_call_mightsleep(fct, p);
		rest_end(online);
		return;
	}
	head = r->head;
	if (head - load_acquire(&r->tail) == RING)
		lock_and_empty(f, r);
	anyrcu_read_lock();
	r->slot[head % RING].fct = fct;
	r->slot[head % RING].p = p;
	checker_released(r);
	store_release(&r->head, head + 1);
	how = load(&runner);
	anyrcu_read_unlock();
	if (how != RUNS)
		runner_wake();
}

int anyrcu_urcu_defer_register(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ring *r;

	if (mine)
		return 0;
	if (posix_memalign((void **)&r, CAA_CACHE_LINE_SIZE, sizeof(*r)))
		return -ENOMEM;
	r->head = r->tail = 0;
	pthread_once(&once, register_fork);
	pthread_mutex_lock(&list);
	r->next = rings;
	rings = mine = r;
	pthread_mutex_unlock(&list);
	if (load(&runner) == NONE)
		runner_wake();
	return 0;
}

void anyrcu_urcu_defer_unregister(enum anyrcu_urcu_flavor f)
{
	struct ring *r = mine, **p;
	bool online;

	if (!r)
		return;
	online = rest_begin(f);
	pthread_mutex_lock(&lock);
	empty(r);
	pthread_mutex_lock(&list);
	for (p = &rings; *p != r; p = &(*p)->next)
		;
	*p = r->next;
	pthread_mutex_unlock(&list);
	pthread_mutex_unlock(&lock);
	mine = NULL;
	free(r);
	rest_end(online);
}

void anyrcu_urcu_defer_barrier_thread(enum anyrcu_urcu_flavor f)
{
	if (mine)
		lock_and_empty(f, mine);
}

void anyrcu_urcu_defer_barrier(enum anyrcu_urcu_flavor f)
{
	lock_and_empty(f, NULL);
	if (load(&strays)) {
		bool online = rest_begin(f);

		anyrcu_barrier();
		rest_end(online);
	}
}
