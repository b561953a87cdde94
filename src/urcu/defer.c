/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * defer_rcu() of the recompiled interface: a ring for each registered thread, as it is in liburcu, whose rules it keeps. What a thread has
 * deferred is invoked in order, nothing of this sort at the same time as anything else of it, and no more than RING waits: then
 * the thread waits for a grace period and invokes its own. anyrcu's pages promise none of the three, so only what a thread that is not
 * registered defers, which liburcu does not allow, goes there.
 *
 * A ring is filled by its thread: head, a release. It is emptied under the lock, by anybody: tail, a release. Whoever empties reads head, waits for a
 * grace period, and invokes up to there.
 *
 * The runner empties all rings 10 ms after there was something. It must not sleep while there is: it sets "asleep", waits for a grace period and
 * looks at the rings once more. Who defers stores head and reads "asleep" in one read-side section: either that began before the grace
 * period, which then waits for it, and the runner sees head; or it began later and sees "asleep". So deferring takes no fence.
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
	uint64_t tail __attribute__((aligned(CAA_CACHE_LINE_SIZE))), until; /* until: how far the emptying goes */
	uint64_t head __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	struct {
		void (*fct)(void *p);
		void *p;
	} slot[RING];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the emptying */
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER; /* after the other; never held while a grace period is waited for */
static struct ring *rings; /* added to under list, taken from under both */
static bool runs;	   /* the runner; under list */
static uint32_t asleep;
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

/* With the lock held: empty one ring, or all that there are now. */
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
		while (r->tail != r->until) {
			void (*fct)(void *p) = r->slot[r->tail % RING].fct;
			void *p = r->slot[r->tail % RING].p;

			store_release(&r->tail, r->tail + 1); /* first: the child of a fork() does not invoke what is under way here */
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
	(void)arg;
	for (;;) {
		set(&asleep, 1);
		anyrcu_synchronize();
		if (all_empty())
			sleep_on(&asleep);
		store(&asleep, 0);
		usleep(10000); /* so that there is something worth a grace period */
		lock_and_empty(ANYRCU_URCU_MEMB, NULL);
	}
	return NULL;
}

/* The child of a fork() has the rings, and nobody who empties them. */
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
	pthread_t runner;

	pthread_mutex_init(&lock, NULL);
	pthread_mutex_init(&list, NULL);
	asleep = 0;
	runs = rings && !thread_start(&runner, run, NULL, -1);
}

__attribute__((constructor(103))) static void start(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void anyrcu_urcu_defer(enum anyrcu_urcu_flavor f, void (*fct)(void *p), void *p)
{
	struct ring *r = mine;
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
	store_release(&r->head, head + 1);
	wake(&asleep);
	anyrcu_read_unlock();
}

int anyrcu_urcu_defer_register(void)
{
	struct ring *r;
	pthread_t runner;
	int err = 0;

	if (mine)
		return 0;
	if (posix_memalign((void **)&r, CAA_CACHE_LINE_SIZE, sizeof(*r)))
		return -ENOMEM;
	r->head = r->tail = 0;
	pthread_mutex_lock(&list);
	if (!runs)
		err = thread_start(&runner, run, NULL, -1);
	runs = !err;
	if (!err) {
		r->next = rings;
		rings = mine = r;
	}
	pthread_mutex_unlock(&list);
	if (err)
		free(r);
	return -err;
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
