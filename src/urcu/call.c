/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * call_rcu() of the recompiled interface: anyrcu waits for grace periods, and helper threads,
 * liburcu's call_rcu_data, run the callbacks.
 *
 *      call_rcu()             anyrcu                          helper
 *      ──────────             ──────                          ──────
 *      head: func, helper     a page of pointers
 *      ──────────────────────►  ... grace period ...
 *      any context               its worker: arrive() ───────► ready queue ──► func(head), one
 *            │                                                     ▲           after the other
 *            └ no page ──► late ──► second ────────────────────────┘
 *                            one grace period each, by the helper's own head
 *
 * While an object waits in a page, its head holds the function and, in the place of next, the
 * helper's address with a mark. A program may rely on callbacks of one helper never running at the
 * same time, and on their thread. Their order is not kept.
 *
 * If no page is available, the object goes to the helper's late queue, by an exchange and a store,
 * which any context may do. "advancing" says that the helper's own head is deferred, which never
 * fails. When that head's callback runs, second moves to ready and late to second, so each object
 * has a grace period of its own that began after it was put there:
 *
 *     pushed to late ... [late -> second, then defer the head] ... grace period ...
 *     [second -> ready]
 *
 * A caller that pushes to late after late was found empty sees advancing clear and defers the head
 * again: both sides have an exchange between their store and their load.
 *
 * The life of a helper. The default helper exists for ever. call_rcu() looks a helper up by CPU and
 * stores it in the page within one read-side section. So once set_cpu_call_rcu_data() was called
 * and a grace period has passed, all objects that will ever name the helper are stored in anyrcu.
 * Then the helper's thread is told to stop. It waits for those objects by anyrcu_barrier(), runs
 * the callbacks that have arrived, and leaves the helper to the thread that told it to stop; or, if
 * that thread must not wait, frees the helper. anyrcu_urcu_free() explains whether the thread is
 * joined, detached, or left to a program that joins it.
 *
 * If no thread can be started, create_call_rcu_data() fails. Only the default helper is made
 * without a request, and may be without a thread. "state" says which thread may run its callbacks.
 * It changes from NONE to BUSY only by cmpxchg; the thread that made it BUSY changes it back, or to
 * RUNS. That is a thread that starts the helper's thread, or a barrier's caller, which invokes the
 * ready callbacks in its place. Two threads never run callbacks at the same time. Locks that the
 * barrier's caller holds cannot be needed by the callbacks, as it would wait for the callbacks
 * anyway. If there is no barrier either, the helper's own head is deferred repeatedly, as for late
 * objects above, until a thread can be started:
 *
 *     arrive:                          push; fence; state NONE? -> start, or defer the head
 *     thread that leaves BUSY for NONE:      fence; something ready? -> the same
 *
 * Around fork() the helpers pause between callbacks, and the forking thread holds the locks, so
 * that no thread that the child does not have holds one. The child has only the default helper,
 * which gets the callbacks of the others; objects that still wait in pages may name the others, so
 * these are kept, as "gone".
 *
 * Locks, tasks only, in this order: barrier, lock. Neither is held while a callback runs or a
 * thread waits for one, with two exceptions: barrier in anyrcu_urcu_barrier(), which is not allowed
 * in callbacks, and both while helpers pause for a fork.
 */
#define _GNU_SOURCE
#include "call.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anyrcu/defer.h>
#include <urcu/urcu-qsbr.h>

struct call_rcu_data helper_defaults[ANYRCU_URCU_FLAVORS];
#define QUEUE(q)                         \
	{                                \
		.tail.p = &(q).head.node \
	}
#define DEFAULT(which)                                              \
	[which] = { .ready = QUEUE(helper_defaults[which].ready),   \
		    .late = QUEUE(helper_defaults[which].late),     \
		    .second = QUEUE(helper_defaults[which].second), \
		    .cpu = -1,                                      \
		    .f = which }
struct call_rcu_data helper_defaults[] = {
	DEFAULT(ANYRCU_URCU_MEMB), DEFAULT(ANYRCU_URCU_MB), DEFAULT(ANYRCU_URCU_SIGNAL),
	DEFAULT(ANYRCU_URCU_QSBR), DEFAULT(ANYRCU_URCU_BP),
};
#define FLAVOR(which)                                     \
	[which] = { .barrier = PTHREAD_MUTEX_INITIALIZER, \
		    .lock = PTHREAD_MUTEX_INITIALIZER,    \
		    .helpers = &helper_defaults[which] }
struct flavor call_flavors[] = {
	FLAVOR(ANYRCU_URCU_MEMB), FLAVOR(ANYRCU_URCU_MB), FLAVOR(ANYRCU_URCU_SIGNAL),
	FLAVOR(ANYRCU_URCU_QSBR), FLAVOR(ANYRCU_URCU_BP),
};
__thread struct call_rcu_data *helper_chosen[ANYRCU_URCU_FLAVORS]
	__attribute__((tls_model("initial-exec")));
/* whose thread this is */
__thread struct call_rcu_data *helper_running __attribute__((tls_model("initial-exec")));
__thread bool helper_stands_in __attribute__((tls_model("initial-exec"))); /* for running's */
static bool debug; /* until the constructor says so nothing is checked */

__attribute__((constructor(103))) static void start(void)
{
	const char *s = secure_getenv("ANYRCU_DEBUG");

	debug = s && !strcmp(s, "1");
}

/* There is something for a helper to do. */
void helper_notify(struct call_rcu_data *c)
{
	/* pairs with that in helper_main(): it sees our object, or we see it asleep */
	anyrcu_full_fence();
	wake(&c->asleep);
}

/* ---- the helper's thread ---- */

/*
 * In qsbr a helper's callbacks run online, and so are readers. The helper delays no grace period
 * for longer than one callback takes.
 */
static void invoke(struct call_rcu_data *c, struct rcu_head *head)
{
	if (c->f == ANYRCU_URCU_QSBR) {
		urcu_qsbr_thread_online();
		head->func(head);
		urcu_qsbr_thread_offline();
	} else {
		head->func(head);
	}
}

/* Invoke the ready callbacks. True if there were any. */
static bool run(struct call_rcu_data *c)
{
	struct queue q;
	struct cds_wfcq_node *node, *next;

	if (queue_empty(&c->ready))
		return false;
	queue_init(&q);
	queue_move(&q, &c->ready);
	checker_acquired(c);
	for (node = __cds_wfcq_first_blocking(&q.head, &q.tail); node; node = next) {
		struct rcu_head *head = caa_container_of(node, struct rcu_head, next);

		next = __cds_wfcq_next_blocking(&q.head, &q.tail, node); /* the callback frees it */
		invoke(c, head);
	}
	checker_released(c); /* to the thread that invokes the next ones */
	return true;
}

/*
 * From here to unpark() this thread has taken nothing of the helper, so another thread may
 * fork. The forking thread stores "pause", fences and loads "paused"; unpark() stores "paused",
 * fences and loads "pause": one of the two sees the other.
 */
static void park(struct call_rcu_data *c)
{
	store_release(&c->paused, true);
}

static void unpark(struct call_rcu_data *c)
{
	for (;;) {
		while (load_acquire(&c->pause))
			usleep(1000);
		set(&c->paused, false);
		if (!load_acquire(&c->pause))
			return;
		park(c);
	}
}

static void finish(struct call_rcu_data *c)
{
	struct flavor *f = &call_flavors[c->f];
	struct call_rcu_data **p;
	bool advancing;

	do {
		advancing = load_acquire(&c->advancing);
		park(c);
		/*
		 * wait until all objects that name the helper have arrived (late ones advance
		 * first), and an advance() that is ending has ended
		 */
		anyrcu_barrier();
		unpark(c);
		run(c);
	} while (advancing || load_acquire(&c->advancing));
	park(c); /* the forking thread has the lock */
	pthread_mutex_lock(&f->lock);
	for (p = &f->helpers; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	pthread_mutex_unlock(&f->lock);
	while (run(c)) /* no barrier finds the helper any more, so no mark comes */
		;
	if (!c->alone) {
		checker_released(&c->ended);
		store_release(&c->ended, 1);
		/*
		 * it may be freed by now: then no thread sleeps there, or one that checks once more
		 */
		futex_wake(&c->ended);
		return;
	}
	if (!c->asked)
		pthread_detach(pthread_self());
	free(c);
}

void *helper_main(void *arg)
{
	struct call_rcu_data *c = arg;

	helper_running = c;
	store(&c->kept, checker_thread());
	for (;;) {
		if (load_acquire(&c->pause)) {
			park(c);
			unpark(c);
		}
		if (run(c))
			continue;
		if (load_acquire(&c->stop))
			break;
		/* with a full fence before the checks; pairs with that in helper_notify() */
		set(&c->asleep, 1);
		if (!queue_empty(&c->ready) || load(&c->stop) || load(&c->pause))
			store(&c->asleep, 0);
		else
			sleep_on(&c->asleep);
	}
	finish(c);
	return NULL;
}

static void advance(struct anyrcu_head *head);

/* Have advance() come after a grace period. Any context. */
static void advance_later(struct call_rcu_data *c)
{
	if (!xchg(&c->advancing, 1))
		anyrcu_call(&c->head, advance);
}

static bool claim(struct call_rcu_data *c)
{
	uint32_t none = NONE;

	return load(&c->state) == NONE &&
	       __atomic_compare_exchange_n(&c->state, &none, BUSY, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/*
 * Leave BUSY without a thread. Callers that made something ready meanwhile found it BUSY, and rely
 * on us.
 */
static void release(struct call_rcu_data *c)
{
	set(&c->state, NONE); /* and a fence; pairs with that in made_ready() */
	if (!queue_empty(&c->ready))
		advance_later(c);
}

/* The default helper is started by its first callback, or by a caller that asks for it. */
void helper_starts(struct call_rcu_data *c)
{
	if (!may_try(&c->pauses) || !claim(c))
		return;
	if (thread_start(&c->thread, helper_main, c, c->cpu, &c->pauses))
		store_release(&c->state, RUNS);
	else
		release(c);
}

/* There is something ready for a helper: wake it, or start it, or advance until one starts. */
void helper_made_ready(struct call_rcu_data *c)
{
	/*
	 * pairs with those in release(), which sees it, or we see NONE; and in helper(), which
	 * sees it, or we see it asleep
	 */
	anyrcu_full_fence();
	if (load(&c->state) == NONE)
		helper_starts(c);
	if (load(&c->state) == NONE)
		advance_later(c);
	wake(&c->asleep);
}

/*
 * Do the work of a helper that has no thread. False: there is nothing ready, or another thread does
 * the work. Task.
 */
static bool stand_in(struct call_rcu_data *c)
{
	struct call_rcu_data *was = helper_running;
	int cancel;

	if (queue_empty(&c->ready) || !claim(c))
		return false;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	helper_running = c;
	helper_stands_in = true;
	while (run(c))
		;
	helper_stands_in = false;
	helper_running = was;
	release(c);
	pthread_setcancelstate(cancel, NULL);
	return true;
}

/* ---- the path of an object ---- */

static struct call_rcu_data *heir(struct call_rcu_data *c)
{
	return load_acquire(&c->gone) ? &helper_defaults[c->f] : c;
}

static struct cds_wfcq_node *marked(struct call_rcu_data *c)
{
	return (struct cds_wfcq_node *)((uintptr_t)c | 1);
}

/* Is it one that is put into heads? A look is not worth waiting for a fork. */
static bool known(struct cds_wfcq_node *mark)
{
	bool found = false;

	for (unsigned f = 0; f < ANYRCU_URCU_FLAVORS && !found; f++) {
		if (pthread_mutex_trylock(&call_flavors[f].lock))
			return true;
		for (struct call_rcu_data *c = call_flavors[f].helpers; c; c = c->next)
			found |= mark == marked(c);
		for (struct call_rcu_data *c = call_flavors[f].gone; c; c = c->next)
			found |= mark == marked(c);
		pthread_mutex_unlock(&call_flavors[f].lock);
	}
	return found;
}

/* In a worker of anyrcu: the grace period of @arg, a head, is over. */
static void arrive(void *arg)
{
	struct rcu_head *head = arg;
	struct call_rcu_data *c;

	if (debug && !known(head->next.next))
		broken("a head was overwritten, freed or deferred again while it waited for call_rcu()'s grace period");
	c = heir((struct call_rcu_data *)((uintptr_t)head->next.next & ~(uintptr_t)1));
	head->next.next = NULL;
	checker_released(c);
	queue_push(&c->ready, head);
	helper_made_ready(c);
}

static void advance(struct anyrcu_head *head)
{
	struct call_rcu_data *c = caa_container_of(head, struct call_rcu_data, head), *to = heir(c);

	checker_released(to);
	queue_move(&to->ready, &c->second);
	queue_move(&c->second, &c->late);
	if (queue_empty(&c->second)) {
		/*
		 * Both sides use exchanges: the second one in their order sees the stores before
		 * the first one.
		 */
		xchg(&c->advancing, 0);
		if (!queue_empty(&c->late))
			advance_later(c);
	} else {
		anyrcu_call(&c->head, advance);
	}
	if (!queue_empty(&to->ready))
		helper_made_ready(to);
}

static void later(struct call_rcu_data *c, struct rcu_head *head)
{
	checker_released(heir(c));
	queue_push(&c->late, head);
	advance_later(c);
}

void anyrcu_urcu_call(enum anyrcu_urcu_flavor f, struct rcu_head *head,
		      void (*func)(struct rcu_head *head))
{
	struct call_rcu_data *c;

	anyrcu_read_lock();
	c = helper_chosen[f];
	if (!c) {
		struct cpus *cpus = load_acquire(&call_flavors[f].cpus);
		int here = cpus ? sched_getcpu() : -1;

		c = here >= 0 && here < cpus->n ? load_acquire(&cpus->helper[here]) : NULL;
	}
	if (!c)
		c = &helper_defaults[f];
	if (debug && ((uintptr_t)head->next.next & 1) && head->func == func &&
	    head->next.next == marked(c))
		broken("call_rcu() of a head that is deferred already");
	head->func = func;
	head->next.next = marked(c);
	if (!anyrcu_call_headless(arrive, head))
		later(c, head);
	anyrcu_read_unlock();
}

static void marker(struct rcu_head *head)
{
	struct call_rcu_data *c = caa_container_of(head, struct call_rcu_data, mark);

	checker_released(&call_flavors[c->f].marks);
	if (__atomic_fetch_sub(&call_flavors[c->f].marks, 1, __ATOMIC_SEQ_CST) == 1)
		futex_wake(&call_flavors[c->f].marks);
}

void anyrcu_urcu_barrier(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &call_flavors[which];
	uint32_t left;
	bool online;

	if (helper_running)
		broken("rcu_barrier() in a callback, which waits for itself");
	online = rest_begin(which);
	anyrcu_barrier();
	pthread_mutex_lock(&f->barrier);
	pthread_mutex_lock(&f->lock);
	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		if (load_acquire(&c->advancing)) { /* as seldom as there is no page */
			pthread_mutex_unlock(&f->lock);
			anyrcu_barrier();
			anyrcu_barrier();
			pthread_mutex_lock(&f->lock);
			break;
		}
	for (struct call_rcu_data *c = f->helpers; c; c = c->next) {
		if (load_acquire(&c->state) == NONE && queue_empty(&c->ready))
			continue;
		__atomic_fetch_add(&f->marks, 1, __ATOMIC_RELAXED);
		c->mark.func = marker;
		queue_push(&c->ready, &c->mark);
		helper_made_ready(c);
	}
	pthread_mutex_unlock(&f->lock);
	/* The thread that has the default helper BUSY may give it back without notice. */
	while ((left = load_acquire(&f->marks)))
		if (!stand_in(&helper_defaults[which]))
			futex_wait(&f->marks, left,
				   load(&helper_defaults[which].state) == RUNS ? 0 : 10000000);
	checker_acquired(&f->marks);
	pthread_mutex_unlock(&f->barrier);
	rest_end(online);
}
