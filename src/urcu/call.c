/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * call_rcu() of the recompiled interface: anyrcu does the waiting, and helper threads, liburcu's call_rcu_data, run the callbacks.
 *
 *      call_rcu()             anyrcu                          helper
 *      ──────────             ──────                          ──────
 *      head: func, helper     a page of pointers
 *      ──────────────────────►  ... grace period ...
 *      any context               its worker: arrive() ───────► ready queue ──► func(head), one after the other
 *            │                                                     ▲
 *            └ no page ──► late ──► second ────────────────────────┘
 *                            one grace period each, by the helper's own head
 *
 * While an object waits in a page, its head holds the function and, in the place of next, the helper, marked. A program may rely on
 * callbacks of one helper never running at the same time, and on their thread. Their order is not kept.
 *
 * Where no page can be had the object goes to the helper's late queue, by an exchange and a store, which any context may do. "turning"
 * says that the helper's own head is deferred, which never fails. When that comes back, second goes to ready and late to second, so each object
 * has a grace period of its own that began after it was put there:
 *
 *     pushed to late ... [late -> second, then defer the head] ... grace period ... [second -> ready]
 *
 * Who pushes to late after it was found empty sees turning clear and defers the head anew: both sides have an exchange between their store and
 * their look.
 *
 * The life of a helper. The default one is for ever. call_rcu() looks one up by CPU and stores it in the page within one read-side section, so
 * that when set_cpu_call_rcu_data() and a grace period have passed, all that will ever name the helper is in anyrcu's hands. Its thread is
 * told to stop, waits for that by anyrcu_barrier(), runs what has arrived, and is the last to know the helper.
 *
 * Around fork() the helpers pause between callbacks, and locks are held so that none is in the hands of a thread that the child does not have. The
 * child has no helpers but the default one, to which goes what the others had; what still waits in pages may name the others, so
 * these stay, as "gone".
 *
 * Locks, tasks only, in this order: barrier, lock. Neither is held while a callback runs or is waited for, but barrier in
 * anyrcu_urcu_barrier(), which is not allowed in callbacks, and both while helpers pause for a fork.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anyrcu/defer.h>

struct queue {
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
};

struct call_rcu_data {
	struct queue ready __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	uint32_t asleep __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	bool gone, stop, pause, paused;
	uint32_t started; /* 1: its thread is being made, 2: made */
	uint32_t turning; /* 1: head is deferred */
	struct queue late, second;
	struct anyrcu_head head;
	struct rcu_head mark; /* of a barrier */
	pthread_t thread;
	int cpu;
	enum anyrcu_urcu_flavor f;
	struct call_rcu_data *next; /* in the flavour's list, or NULL */
};

struct flavor {
	pthread_mutex_t barrier, lock;
	struct call_rcu_data *helpers, *gone; /* the default one is the last of the first list */
	struct call_rcu_data **cpu;	      /* by CPU; NULL until one is set */
	uint32_t marks;			      /* of a barrier, which have not been reached */
	struct urcu_atfork *atfork;
	unsigned atforks;
};

static struct call_rcu_data defaults[ANYRCU_URCU_FLAVORS];
static struct flavor flavors[ANYRCU_URCU_FLAVORS];
static __thread struct call_rcu_data *chosen[ANYRCU_URCU_FLAVORS] __attribute__((tls_model("initial-exec")));
static __thread struct call_rcu_data *running __attribute__((tls_model("initial-exec"))); /* whose thread this is */
static int ncpus;
static bool debug;

static void queue_init(struct queue *q)
{
	__cds_wfcq_init(&q->head, &q->tail);
}

static bool queue_empty(struct queue *q)
{
	return cds_wfcq_empty(&q->head, &q->tail);
}

static void push(struct queue *q, struct rcu_head *head)
{
	cds_wfcq_node_init(&head->next);
	cds_wfcq_enqueue(&q->head, &q->tail, &head->next);
}

static void move(struct queue *to, struct queue *from)
{
	__cds_wfcq_splice_blocking(&to->head, &to->tail, &from->head, &from->tail);
}

static void helper_init(struct call_rcu_data *c, enum anyrcu_urcu_flavor f, int cpu)
{
	queue_init(&c->ready);
	queue_init(&c->late);
	queue_init(&c->second);
	c->f = f;
	c->cpu = cpu;
}

/* Before the constructors of programs and of libraries that are linked with this one. */
__attribute__((constructor(103))) static void start(void)
{
	const char *s = getenv("ANYRCU_DEBUG");
	long n = sysconf(_SC_NPROCESSORS_CONF);

	debug = s && !strcmp(s, "1");
	ncpus = n > 0 ? (int)n : 1;
	for (unsigned f = 0; f < ANYRCU_URCU_FLAVORS; f++) {
		pthread_mutex_init(&flavors[f].barrier, NULL);
		pthread_mutex_init(&flavors[f].lock, NULL);
		helper_init(&defaults[f], f, -1);
		flavors[f].helpers = &defaults[f];
	}
}

/* There is work for a helper. */
static void notify(struct call_rcu_data *c)
{
	anyrcu_full_fence(); /* pairs with that in helper(): it sees the work, or we see it asleep */
	wake(&c->asleep);
}

/* ---- the helper's thread ---- */

/* Invoke what is ready. True if there was something. */
static bool run(struct call_rcu_data *c)
{
	struct queue q;
	struct cds_wfcq_node *node, *next;

	if (queue_empty(&c->ready))
		return false;
	queue_init(&q);
	move(&q, &c->ready);
	for (node = __cds_wfcq_first_blocking(&q.head, &q.tail); node; node = next) {
		struct rcu_head *head = caa_container_of(node, struct rcu_head, next);

		next = __cds_wfcq_next_blocking(&q.head, &q.tail, node); /* the callback frees it */
		head->func(head);
	}
	return true;
}

static void pause_here(struct call_rcu_data *c)
{
	store_release(&c->paused, true);
	while (load_acquire(&c->pause))
		usleep(1000);
	store_release(&c->paused, false);
}

static void finish(struct call_rcu_data *c)
{
	struct flavor *f = &flavors[c->f];
	struct call_rcu_data **p;
	bool turning;

	do {
		turning = load_acquire(&c->turning);
		anyrcu_barrier(); /* all that names the helper arrives, but what is late, which turns first; and a turn that is at its end ends */
		run(c);
	} while (turning || load_acquire(&c->turning));
	pthread_mutex_lock(&f->lock);
	for (p = &f->helpers; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	pthread_mutex_unlock(&f->lock);
	while (run(c)) /* no barrier finds it any more, so no mark comes */
		;
	free(c);
}

static void *helper(void *arg)
{
	struct call_rcu_data *c = arg;

	running = c;
	for (;;) {
		if (load_acquire(&c->pause))
			pause_here(c);
		if (run(c))
			continue;
		if (load_acquire(&c->stop))
			break;
		set(&c->asleep, 1); /* a full fence before the looks; pairs with that in notify() */
		if (!queue_empty(&c->ready) || load(&c->stop) || load(&c->pause))
			store(&c->asleep, 0);
		else
			sleep_on(&c->asleep);
	}
	finish(c);
	return NULL;
}

/* The default helper is started by its first callback, or by who asks for it. There is no going on without it, nor is there in liburcu. */
static void starts(struct call_rcu_data *c)
{
	uint32_t no = 0;

	if (load_acquire(&c->started) || !__atomic_compare_exchange_n(&c->started, &no, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	if (thread_start(&c->thread, helper, c, c->cpu))
		broken("call_rcu()'s helper thread could not be started");
	store_release(&c->started, 2);
}

/* ---- the way of an object ---- */

static struct call_rcu_data *heir(struct call_rcu_data *c)
{
	return load_acquire(&c->gone) ? &defaults[c->f] : c;
}

static struct cds_wfcq_node *marked(struct call_rcu_data *c)
{
	return (struct cds_wfcq_node *)((uintptr_t)c | 1);
}

/* Is it one that is put into heads? A look is not worth waiting for who forks. */
static bool known(struct cds_wfcq_node *mark)
{
	bool found = false;

	for (unsigned f = 0; f < ANYRCU_URCU_FLAVORS && !found; f++) {
		if (pthread_mutex_trylock(&flavors[f].lock))
			return true;
		for (struct call_rcu_data *c = flavors[f].helpers; c; c = c->next)
			found |= mark == marked(c);
		for (struct call_rcu_data *c = flavors[f].gone; c; c = c->next)
			found |= mark == marked(c);
		pthread_mutex_unlock(&flavors[f].lock);
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
	starts(c);
	push(&c->ready, head);
	notify(c);
}

static void turn(struct anyrcu_head *head)
{
	struct call_rcu_data *c = caa_container_of(head, struct call_rcu_data, head), *to = heir(c);

	if (!queue_empty(&c->second)) {
		move(&to->ready, &c->second);
		starts(to);
		notify(to);
	}
	move(&c->second, &c->late);
	if (queue_empty(&c->second)) {
		/* By exchanges on both sides: the one that comes second in their order sees what was before the first. */
		xchg(&c->turning, 0);
		if (queue_empty(&c->late) || xchg(&c->turning, 1))
			return;
	}
	anyrcu_call(&c->head, turn);
}

static void later(struct call_rcu_data *c, struct rcu_head *head)
{
	push(&c->late, head);
	if (!xchg(&c->turning, 1))
		anyrcu_call(&c->head, turn);
}

void anyrcu_urcu_call(enum anyrcu_urcu_flavor f, struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	struct call_rcu_data *c;

	anyrcu_read_lock();
	c = chosen[f];
	if (!c) {
		struct call_rcu_data **cpu = load_acquire(&flavors[f].cpu);
		int here = cpu ? sched_getcpu() : -1;

		c = here >= 0 && here < ncpus ? load_acquire(&cpu[here]) : NULL;
	}
	if (!c)
		c = &defaults[f];
	if (debug && ((uintptr_t)head->next.next & 1) && head->func == func && head->next.next == marked(c))
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

	if (__atomic_fetch_sub(&flavors[c->f].marks, 1, __ATOMIC_SEQ_CST) == 1)
		futex_wake(&flavors[c->f].marks);
}

void anyrcu_urcu_barrier(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &flavors[which];
	uint32_t left;
	bool online;

	if (running)
		broken("rcu_barrier() in a callback, which waits for itself");
	online = rest_begin(which);
	anyrcu_barrier();
	pthread_mutex_lock(&f->barrier);
	pthread_mutex_lock(&f->lock);
	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		if (load_acquire(&c->turning)) { /* as seldom as there is no page */
			pthread_mutex_unlock(&f->lock);
			anyrcu_barrier();
			anyrcu_barrier();
			pthread_mutex_lock(&f->lock);
			break;
		}
	for (struct call_rcu_data *c = f->helpers; c; c = c->next) {
		if (!load_acquire(&c->started))
			continue; /* nothing has ever come to it */
		__atomic_fetch_add(&f->marks, 1, __ATOMIC_RELAXED);
		c->mark.func = marker;
		push(&c->ready, &c->mark);
		notify(c);
	}
	pthread_mutex_unlock(&f->lock);
	while ((left = load_acquire(&f->marks)))
		futex_wait(&f->marks, left);
	pthread_mutex_unlock(&f->barrier);
	rest_end(online);
}

/* ---- helpers ---- */

struct call_rcu_data *anyrcu_urcu_create(enum anyrcu_urcu_flavor which, unsigned long flags, int cpu)
{
	struct flavor *f = &flavors[which];
	struct call_rcu_data *c;

	(void)flags;
	if (posix_memalign((void **)&c, CAA_CACHE_LINE_SIZE, sizeof(*c)))
		return NULL;
	memset(c, 0, sizeof(*c));
	helper_init(c, which, cpu);
	c->started = 2;
	if (thread_start(&c->thread, helper, c, cpu)) {
		free(c);
		return NULL;
	}
	pthread_mutex_lock(&f->lock);
	c->next = f->helpers;
	f->helpers = c;
	pthread_mutex_unlock(&f->lock);
	return c;
}

void anyrcu_urcu_free(enum anyrcu_urcu_flavor f, struct call_rcu_data *c)
{
	bool online;
	pthread_t thread;

	if (!c || c == &defaults[f] || load(&c->gone))
		return;
	online = rest_begin(f);
	thread = c->thread;
	pthread_mutex_lock(&flavors[f].lock); /* which it takes before it frees what is touched here */
	store_release(&c->stop, true);
	notify(c);
	pthread_mutex_unlock(&flavors[f].lock);
	/* It waits for a grace period: in a section, where liburcu allows this too, let it end by itself. */
	if (anyrcu_read_lock_held())
		pthread_detach(thread);
	else
		pthread_join(thread, NULL);
	rest_end(online);
}

pthread_t anyrcu_urcu_thread(struct call_rcu_data *c)
{
	return c->thread;
}

struct call_rcu_data *anyrcu_urcu_get_default(enum anyrcu_urcu_flavor f)
{
	struct call_rcu_data *c = &defaults[f];

	starts(c);
	while (load_acquire(&c->started) != 2) /* another thread is at it */
		sched_yield();
	return c;
}

struct call_rcu_data *anyrcu_urcu_get_cpu(enum anyrcu_urcu_flavor f, int cpu)
{
	struct call_rcu_data **cpus = load_acquire(&flavors[f].cpu);

	return cpus && cpu >= 0 && cpu < ncpus ? load_acquire(&cpus[cpu]) : NULL;
}

struct call_rcu_data *anyrcu_urcu_get_thread(enum anyrcu_urcu_flavor f)
{
	return chosen[f];
}

struct call_rcu_data *anyrcu_urcu_get(enum anyrcu_urcu_flavor f)
{
	struct call_rcu_data *c = chosen[f];

	if (!c && load(&flavors[f].cpu))
		c = anyrcu_urcu_get_cpu(f, sched_getcpu());
	return c ? c : anyrcu_urcu_get_default(f);
}

void anyrcu_urcu_set_thread(enum anyrcu_urcu_flavor f, struct call_rcu_data *c)
{
	chosen[f] = c;
}

int anyrcu_urcu_set_cpu(enum anyrcu_urcu_flavor which, int cpu, struct call_rcu_data *c)
{
	struct flavor *f = &flavors[which];
	int err = 0;

	pthread_mutex_lock(&f->lock);
	if (!f->cpu)
		store_release(&f->cpu, calloc((size_t)ncpus, sizeof(*f->cpu)));
	if (cpu < 0 || cpu >= ncpus)
		err = EINVAL;
	else if (!f->cpu)
		err = ENOMEM;
	else if (c && f->cpu[cpu])
		err = EEXIST;
	else
		store_release(&f->cpu[cpu], c);
	pthread_mutex_unlock(&f->lock);
	if (err)
		errno = err;
	return -err;
}

int anyrcu_urcu_create_all(enum anyrcu_urcu_flavor f, unsigned long flags)
{
	for (int cpu = 0; cpu < ncpus; cpu++) {
		struct call_rcu_data *c;
		int err;

		if (anyrcu_urcu_get_cpu(f, cpu))
			continue;
		c = anyrcu_urcu_create(f, flags, cpu);
		err = c ? anyrcu_urcu_set_cpu(f, cpu, c) : -ENOMEM;
		if (err) {
			anyrcu_urcu_free(f, c);
			if (err != -EEXIST) /* another thread was there first: just as well */
				return err;
		}
	}
	return 0;
}

void anyrcu_urcu_free_all(enum anyrcu_urcu_flavor f)
{
	struct call_rcu_data **cpus = load_acquire(&flavors[f].cpu), **old;

	if (!cpus)
		return;
	old = calloc((size_t)ncpus, sizeof(*old));
	if (!old)
		return;
	for (int cpu = 0; cpu < ncpus; cpu++) {
		old[cpu] = cpus[cpu];
		anyrcu_urcu_set_cpu(f, cpu, NULL);
	}
	anyrcu_urcu_synchronize(f); /* who has looked one up has stored it */
	for (int cpu = 0; cpu < ncpus; cpu++)
		anyrcu_urcu_free(f, old[cpu]);
	free(old);
}

/* ---- fork() ---- */

void anyrcu_urcu_register_atfork(enum anyrcu_urcu_flavor f, struct urcu_atfork *atfork)
{
	pthread_mutex_lock(&flavors[f].lock);
	if (flavors[f].atforks++ == 0)
		flavors[f].atfork = atfork;
	pthread_mutex_unlock(&flavors[f].lock);
}

void anyrcu_urcu_unregister_atfork(enum anyrcu_urcu_flavor f, struct urcu_atfork *atfork)
{
	(void)atfork;
	pthread_mutex_lock(&flavors[f].lock);
	if (--flavors[f].atforks == 0)
		flavors[f].atfork = NULL;
	pthread_mutex_unlock(&flavors[f].lock);
}

void anyrcu_urcu_before_fork(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &flavors[which];

	pthread_mutex_lock(&f->barrier);
	pthread_mutex_lock(&f->lock);
	if (f->atfork)
		f->atfork->before_fork(f->atfork->priv);
	for (struct call_rcu_data *c = f->helpers; c; c = c->next) {
		store_release(&c->pause, true);
		notify(c);
	}
	/* One that ends waits for the lock, and does nothing else meanwhile; one in a callback that forks is this thread. */
	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		while (load_acquire(&c->started) && c != running && !load_acquire(&c->paused) && !load(&c->stop))
			usleep(1000);
}

void anyrcu_urcu_after_fork_parent(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &flavors[which];

	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		store_release(&c->pause, false);
	if (f->atfork)
		f->atfork->after_fork_parent(f->atfork->priv);
	pthread_mutex_unlock(&f->lock);
	pthread_mutex_unlock(&f->barrier);
}

void anyrcu_urcu_after_fork_child(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &flavors[which];
	struct call_rcu_data *heir = &defaults[which], *c, *next;

	for (c = f->helpers; c; c = next) {
		next = c->next;
		c->asleep = 0;
		c->pause = c->paused = false;
		c->started = 0;
		if (c == heir)
			continue;
		move(&heir->ready, &c->ready);
		store_release(&c->gone, true);
		c->next = f->gone;
		f->gone = c;
	}
	f->helpers = heir;
	chosen[which] = NULL;
	for (int cpu = 0; f->cpu && cpu < ncpus; cpu++)
		f->cpu[cpu] = NULL;
	if (!queue_empty(&heir->ready))
		starts(heir);
	if (f->atfork)
		f->atfork->after_fork_child(f->atfork->priv);
	pthread_mutex_unlock(&f->lock);
	pthread_mutex_unlock(&f->barrier);
}
