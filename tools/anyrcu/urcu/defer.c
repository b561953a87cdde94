/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Each thread has an array of what it deferred, and empties it itself when it is full, after a
 * grace period: what was allocated by a thread is freed by it. The reaper looks after what has
 * waited for 100 ms. A queue's tail moves before the function is called, under the lock.
 */
#define _GNU_SOURCE
#include <pages/pages.h>
#include <stdlib.h>
#include <string.h>

#include "urcu/flavour.h"

#define REAP 100000000 /* nanoseconds */
#define PAUSE_MIN 10000000u
#define PAUSE_MAX 1000000000u

#define DEFER_SLOTS 4096
enum { DEFER_ORDER = 4 };
struct defer_slot {
	void (*func)(void *arg);
	void *arg;
};
_Static_assert(DEFER_SLOTS * sizeof(struct defer_slot) == ANYRCU_PAGE_SIZE << DEFER_ORDER,
	       "slots fill their pages");

/* What a thread has given to defer_rcu(). */
struct defer_queue {
	struct defer_slot *slots;
	uint64_t head; /* the thread */
	uint64_t until; /* a barrier, under the lock of the flavour's queues */
	uint64_t tail __attribute__((aligned(CACHE_LINE))); /* under the lock */
	pthread_mutex_t lock;
	struct flavour *flavour;
	struct defer_queue *next;
};

enum { NO_REAPER, REAPER_AWAKE, REAPER_ASLEEP };

static PORT_THREAD_LOCAL struct defer_queue *my_queue[FLAVOURS];
static PORT_THREAD_LOCAL bool running; /* what was given to defer_rcu() */

static void defer_synchronize(struct flavour *f)
{
	uint64_t ns = port_now();

	f->synchronize();
	ns = port_now() - ns;
	count_add(&f->defer_gps, 1);
	count_add(&f->defer_gp_ns, ns);
	count_max(&f->defer_gp_max, ns);
}

/* Under the queue's lock, after a grace period that began after @until was the head. */
static void run(struct defer_queue *q, uint64_t until)
{
	uint64_t tail = q->tail, n = 0;

	if ((int64_t)(until - tail) <= 0)
		return;
	count_max(&q->flavour->defer_high, until - tail);
	running = true;
	while ((int64_t)(until - tail) > 0) {
		struct defer_slot s = q->slots[tail % DEFER_SLOTS];

		if (until - tail > 16)
			__builtin_prefetch(q->slots[(tail + 16) % DEFER_SLOTS].arg, 1);
		store_release(&q->tail, ++tail);
		n++;
		s.func(s.arg);
	}
	running = false;
	count_add(&q->flavour->defer_invoked, n);
}

static void flush(struct defer_queue *q)
{
	uint64_t head = load_acquire(&q->head);

	if (head == load(&q->tail))
		return;
	pthread_mutex_lock(&q->lock);
	defer_synchronize(q->flavour);
	run(q, head);
	pthread_mutex_unlock(&q->lock);
	if (statistics_table)
		statistics_defer(q->flavour);
}

void defer_barrier(struct flavour *f)
{
	bool any = false, was = flavour_offline(f);

	pthread_mutex_lock(&f->defer_lock);
	for (struct defer_queue *q = f->queues; q; q = q->next) {
		q->until = load_acquire(&q->head);
		any = any || q->until != load(&q->tail);
	}
	if (any) {
		defer_synchronize(f);
		for (struct defer_queue *q = f->queues; q; q = q->next) {
			pthread_mutex_lock(&q->lock);
			run(q, q->until);
			pthread_mutex_unlock(&q->lock);
		}
	}
	pthread_mutex_unlock(&f->defer_lock);
	flavour_online(f, was);
	if (statistics_table)
		statistics_defer(f);
}

static bool defer_waits(struct flavour *f)
{
	bool waits = false;

	pthread_mutex_lock(&f->defer_lock);
	for (struct defer_queue *q = f->queues; q && !waits; q = q->next)
		waits = load_acquire(&q->head) != load(&q->tail);
	pthread_mutex_unlock(&f->defer_lock);
	return waits;
}

static void *reap(void *arg)
{
	struct flavour *f = arg;

	port_thread_arrives();
	port_thread_begin(-1, 0);
	for (;;) {
		store(&f->reaper, REAPER_ASLEEP);
		/* Pairs with that in defer_call(): we see what it stored, or it sees us asleep. */
		full_fence();
		if (port_fence_all_works)
			port_fence_all(); /* which then has none */
		if (!defer_waits(f))
			port_wait(&f->reaper, REAPER_ASLEEP, 0);
		store(&f->reaper, REAPER_AWAKE);
		port_sleep(REAP);
		defer_barrier(f);
	}
	return NULL;
}

/* An attempt costs some 35 us, and which call it comes from is chance, so there are few. */
static bool may_try(const struct pauses *p)
{
	return likely(!load(&p->until)) || (int64_t)(port_now() - load(&p->until)) >= 0;
}

static void tried(struct pauses *p, bool failed)
{
	uint64_t pause = load(&p->pause) ? load(&p->pause) * 2 : PAUSE_MIN;

	pause = pause < PAUSE_MAX ? pause : PAUSE_MAX;
	store(&p->pause, failed ? pause : 0);
	store(&p->until, failed ? port_now() + pause : 0);
}

static noinline void reaper_wake(struct flavour *f)
{
	static uint32_t told;
	int err;

	if (cmpxchg(&f->reaper, REAPER_ASLEEP, REAPER_AWAKE)) {
		port_wake(&f->reaper);
	} else if (may_try(&f->reaper_pauses) && cmpxchg(&f->reaper, NO_REAPER, REAPER_AWAKE)) {
		err = flavour_thread_start(reap, f, PTHREAD_CREATE_DETACHED);
		if (err)
			store(&f->reaper, NO_REAPER);
		tried(&f->reaper_pauses, err);
		if (err && !xchg(&told, 1))
			port_report(
				"no thread could be started for defer_rcu(): error %d; a thread's functions are called when its queue is "
				"full, and by the barriers",
				(int64_t)-err);
	}
}

static pthread_key_t queue_key;
static bool queue_key_ready;

/* Of a thread that ends without unregistering, too. */
static void queue_end(void *arg)
{
	struct defer_queue *q = arg, **at;
	struct flavour *f = q->flavour;
	bool was;

	flush(q);
	was = flavour_offline(f); /* the holder may be waiting for a grace period */
	pthread_mutex_lock(&f->defer_lock);
	for (at = &f->queues; *at != q; at = &(*at)->next)
		;
	*at = q->next;
	pthread_mutex_unlock(&f->defer_lock);
	flavour_online(f, was);
	my_queue[f - flavours] = NULL;
	pthread_mutex_destroy(&q->lock);
	anyrcu_page_free(q->slots, DEFER_ORDER);
	free(q);
}

/* A thread may have one for each flavour; the key has room for one, and all of them go with it. */
static void defer_thread_ends(void *arg)
{
	for (unsigned i = 0; i < FLAVOURS; i++)
		if (my_queue[i])
			queue_end(my_queue[i]);
}

static noinline struct defer_queue *queue_begin(struct flavour *f)
{
	struct defer_queue *q;
	bool was;

	flavour_need(f);
	if (posix_memalign((void **)&q, CACHE_LINE, sizeof(*q)))
		port_bug("no memory for defer_rcu()");
	memset(q, 0, sizeof(*q));
	q->slots = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, DEFER_ORDER);
	if (!q->slots)
		port_bug("no memory for defer_rcu()");
	pthread_mutex_init(&q->lock, NULL);
	q->flavour = f;
	was = flavour_offline(f);
	pthread_mutex_lock(&f->defer_lock);
	q->next = f->queues;
	f->queues = q;
	pthread_mutex_unlock(&f->defer_lock);
	flavour_online(f, was);
	my_queue[f - flavours] = q;
	if (load_acquire(&queue_key_ready))
		pthread_setspecific(queue_key, q);
	reaper_wake(f);
	return q;
}

void defer_call(struct flavour *f, void (*func)(void *arg), void *arg)
{
	struct defer_queue *q = my_queue[f - flavours];
	uint64_t head;

	if (unlikely(!q) && !running)
		q = queue_begin(f);
	if (unlikely(!q)) { /* in the reaper, which has none, and has the list */
		defer_synchronize(f);
		func(arg);
		return;
	}
	head = q->head;
	if (unlikely(head - load_acquire(&q->tail) >= DEFER_SLOTS)) {
		if (running) { /* one of them defers more than it made room for */
			defer_synchronize(f);
			func(arg);
			return;
		}
		flush(q);
	}
	q->slots[head % DEFER_SLOTS] = (struct defer_slot){ func, arg };
	store_release(&q->head, head + 1);
	if (unlikely(!port_fence_all_works))
		full_fence(); /* pairs with that in reap() */
	compiler_barrier();
	if (unlikely(load(&f->reaper) != REAPER_AWAKE))
		reaper_wake(f);
}

/* The thread need not have announced itself. */
int defer_register(struct flavour *f)
{
	if (!my_queue[f - flavours])
		queue_begin(f);
	return 0;
}

void defer_unregister(struct flavour *f)
{
	if (my_queue[f - flavours])
		queue_end(my_queue[f - flavours]);
}

void defer_barrier_thread(struct flavour *f)
{
	if (my_queue[f - flavours])
		flush(my_queue[f - flavours]);
}

void defer_set_up(void)
{
	if (!pthread_key_create(&queue_key, defer_thread_ends))
		store_release(&queue_key_ready, true);
}

void defer_fork_child(struct flavour *f)
{
	pthread_mutex_init(&f->defer_lock, NULL);
	for (struct defer_queue *q = f->queues; q; q = q->next)
		pthread_mutex_init(&q->lock, NULL);
	f->reaper = NO_REAPER;
	f->reaper_pauses = (struct pauses){ 0 };
	f->line = NULL;
	f->defer_gps = f->defer_gp_ns = f->defer_gp_max = f->defer_invoked = f->defer_high = 0;
}
