/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Domains: the thread that collects from a domain's store, waits for its readers, and invokes. */
#include <domain/private.h>
#include <gp/gp.h>
#include <pages/pages.h>

#define AHEAD 32 /* slots that are prefetched ahead of the callback; see drain.c */
#define PAUSE_MAX UINT64_C(1000000000)

/*
 * Of how many domains the calling thread is the worker: a callback's barrier may make it stand in
 * for that of a second domain.
 */
static PORT_THREAD_LOCAL uint32_t serves;

static void batch_chain(struct anyrcu_head *h, struct anyrcu_head **batch)
{
	while (h) {
		struct anyrcu_head *next = h->next;

		h->next = *batch;
		*batch = h;
		h = next;
	}
}

/* Take all pages, and the chain; append.c explains the order. */
static bool collect(struct anyrcu_domain *d)
{
	bool chained;

	if (!store_any(&d->store) && !load(&d->force))
		return false;
	xchg(&d->force, 0);
	fetch_add(&d->begun, 1);
	full_fence(); /* pairs with that in domain_barrier_begin() */
	chained = load(&d->store.chain);
	if (chained)
		anyrcu_synchronize();
	port_lock(&domain_lock);
	store(&d->ready, false);
	store_collect(&d->store, true, &d->batch);
	if (chained)
		batch_chain(store_chain_collect(&d->store), &d->batch_chain);
	port_acquire(&d->store.chain);
	port_unlock(&domain_lock);
	return true;
}

static void synchronize(struct anyrcu_domain *d)
{
	uint64_t ns = port_now();

	d->source.synchronize(d->source.arg);
	ns = port_now() - ns;
	count_add(&d->stats.gp_done, 1);
	count_add(&d->stats.gp_ns_total, ns);
	count_max(&d->stats.gp_ns_max, ns);
}

/*
 * The batch's grace periods: after the first, no thread appends to its pages any more; the second
 * is for the objects in them.
 */
static void make_ready(struct anyrcu_domain *d)
{
	uint64_t pages = 0, chain = 0;

	anyrcu_synchronize();
	synchronize(d);
	for (const struct store_page *p = d->batch; p; p = p->next)
		pages += store_objects(p);
	for (struct anyrcu_head *h = d->batch_chain; h; h = h->next)
		chain++;
	count_add(&d->stats.collected_page, pages);
	count_add(&d->stats.collected_chain, chain);
	count_max(&d->stats.pending_high, pages + chain);
	store(&d->ready, true);
}

/* ---- the worker ---- */

static void hook(const struct anyrcu_domain *d, void (*f)(void *arg))
{
	if (f)
		f(d->source.arg);
}

static bool pauses(const struct anyrcu_domain *d)
{
	return load(&d->pause) || load(&domains.pause);
}

/* Sleep until no fork is in progress. */
static noinline void sleep_paused(struct anyrcu_domain *d)
{
	uint32_t pause;

	do {
		store_release(&d->paused, 1);
		while ((pause = load_acquire(&d->pause)))
			port_wait(&d->pause, pause, 0);
		while (load_acquire(&domains.pause))
			port_wait(&domains.pause, 1, 0);
		store(&d->paused, 0);
		/*
		 * pairs with those in domain_pause() and domain_fork_paused(): the next one sees us
		 * running, or we see its "pause"
		 */
		full_fence();
	} while (pauses(d));
}

/*
 * While it is paused, a worker is unregistered from the source (thread_end), as the child does not
 * have it. A thread that stands in belongs to the program, which may still need its registration,
 * so it only sleeps (thread_sleeps).
 */
static void pause_worker(struct anyrcu_domain *d)
{
	hook(d, d->stands_in ? d->source.thread_sleeps : d->source.thread_end);
	sleep_paused(d);
	hook(d, d->stands_in ? d->source.thread_wakes : d->source.thread_begin);
}

static inline void invoked(struct anyrcu_domain *d)
{
	store(&d->stats.invoked, d->stats.invoked + 1);
	/* the child of a fork sees no callback's stores without this and the cursor */
	release_fence();
}

static void invoke(struct anyrcu_domain *d, struct anyrcu_head *head,
		   void (*func)(struct anyrcu_head *))
{
	invoked(d);
	if (d->source.invoke)
		d->source.invoke(head, func, d->source.arg);
	else
		func(head);
}

static void drain_page(struct anyrcu_domain *d, struct store_page *p)
{
	uint32_t n = store_used(p), width = store_width(p->open.key);

	for (uint32_t i = p->cursor; i < n && !load(&d->stop); i += width) {
		uintptr_t word = load_acquire(&p->word[i]);
		struct anyrcu_head *head = (struct anyrcu_head *)word;
		void (*func)(struct anyrcu_head *);

		if (unlikely(pauses(d)))
			pause_worker(d);
		if (i + AHEAD * width < n)
			__builtin_prefetch((void *)p->word[i + AHEAD * width], 1);
		store(&p->cursor, i + width);
		if (unlikely(!word))
			continue;
		if (unlikely(p->open.key == KEY_WIDE)) {
			head = (struct anyrcu_head *)p->word[i + 1];
			func = (void (*)(struct anyrcu_head *))word;
			store_debug_unmark(head, word, p->word[i + 3]);
		} else {
			func = head->func;
		}
		invoke(d, head, func);
	}
}

static void drain(struct anyrcu_domain *d)
{
	while (d->batch && !load(&d->stop)) {
		struct store_page *p = d->batch;
		uint64_t ns;

		if (!d->config.pinned && !d->stands_in)
			port_follow(p->cpu); /* see defer_drain() */
		drain_page(d, p);
		if (p->cursor < store_used(p))
			return;
		ns = port_now() - p->born;
		count_add(&d->stats.wait_ns_total, ns * store_objects(p));
		count_max(&d->stats.wait_ns_max, ns);
		d->batch = p->next;
		/* before the page is reused: the child of a fork must not find it here */
		release_fence();
		store_page_free(&d->store, p);
	}
	while (d->batch_chain && !load(&d->stop)) {
		struct anyrcu_head *head = d->batch_chain;

		if (unlikely(pauses(d)))
			pause_worker(d);
		store(&d->batch_chain, head->next);
		invoke(d, head, head->func);
	}
}

/* Sleep. DEEP: until there is anything at all. TICKING: until the delay is over, or many wait. */
static void idle(struct anyrcu_domain *d, uint32_t how)
{
	uint64_t ns = d->config.delay_us * 1000;
	bool stay;

	hook(d, d->source.thread_sleeps);
	store(&d->asleep, how);
	full_fence(); /* pairs with that in domain_wake() */
	stay = !load(&d->force) && !load(&d->stop) && !pauses(d);
	if (how == DEEP)
		stay = stay && !store_any(&d->store);
	else
		stay = stay && !store_has_backlog(&d->store);
	if (stay)
		port_wait(&d->asleep, how, how == DEEP && !d->config.poll ? 0 : ns);
	store(&d->asleep, AWAKE);
	hook(d, d->source.thread_wakes);
}

static void batch_ends(struct anyrcu_domain *d)
{
	port_release(&d->ended);
	store_release(&d->ended, load(&d->begun));
	event_signal(&d->over);
}

/* Collect, wait for the grace periods, and invoke. False: there was nothing. */
static bool work_once(struct anyrcu_domain *d)
{
	if (unlikely(pauses(d)))
		pause_worker(d);
	if (!d->batch && !d->batch_chain && !collect(d))
		return false;
	if ((d->batch || d->batch_chain) && !d->ready)
		make_ready(d);
	if (pages_want_refill())
		pages_refill();
	store_tells(&d->store, STORE_INVOKES, __builtin_return_address(0));
	drain(d);
	store_tells(&d->store, STORE_INVOKED, NULL);
	if (!d->batch && !d->batch_chain)
		batch_ends(d);
	return true;
}

static bool claim(struct anyrcu_domain *d, bool stands_in)
{
	if (load(&d->worker) || !cmpxchg(&d->worker, 0, port_id()))
		return false;
	d->stands_in = stands_in;
	serves++;
	full_fence(); /* between the change of "worker" and the loads of "stop" */
	return true;
}

/* Stop being the worker. The last accesses that need the domain to exist. */
static void leave(struct anyrcu_domain *d)
{
	serves--;
	d->stands_in = false;
	store_release(&d->worker, 0);
	event_signal(&d->over);
}

/* A waiter for the thread reads "coming", and then whether there is a worker. */
static void none_comes(struct anyrcu_domain *d)
{
	store_release(&d->coming, false);
	event_signal(&d->over);
}

static void arrived(struct anyrcu_domain *d)
{
	port_thread_arrives();
	none_comes(d);
}

/*
 * The domain that a thread was started for may have been destroyed meanwhile, and its memory may
 * belong to another domain, perhaps one that is still being made. domain_start() sets "wanted" once
 * everything that the worker uses is initialised. So a late thread either serves the new domain as
 * well as its own thread would, or does nothing with it.
 */
static bool is_wanted(const struct anyrcu_domain *d)
{
	return load_acquire(&d->wanted) && !load(&d->stop);
}

/*
 * Become the worker. False: there is one, or none is wanted. A thread that finds after its claim
 * that no worker is wanted may have kept another thread from claiming, so its caller checks again:
 * "wanted" is set before another thread tries, and we fence between the store to "worker" and that
 * check.
 */
static bool begins(struct anyrcu_domain *d)
{
	if (!is_wanted(d) || !claim(d, false))
		return false;
	if (is_wanted(d))
		return true;
	leave(d);
	full_fence();
	return false;
}

static void *work(void *arg)
{
	struct anyrcu_domain *d = arg;

	while (!begins(d)) {
		if (!is_wanted(d) || load(&d->worker)) {
			arrived(d);
			return NULL;
		}
	}
	store(&d->tid, port_tid());
	arrived(d);
	port_thread_begin(d->config.pinned ? d->config.cpu : -1, 0);
	/*
	 * A thread that found no worker may be forking, and its child gets the source's locks as
	 * they are then. So thread_begin waits for the end of the fork. The fence in claim(),
	 * between the store to "worker" and these loads, pairs with those in domain_pause() and
	 * domain_fork_paused().
	 */
	if (unlikely(pauses(d)))
		sleep_paused(d);
	hook(d, d->source.thread_begin);
	while (!load(&d->stop)) {
		uint32_t how = work_once(d) ? TICKING : DEEP;

		if (!load(&d->stop))
			idle(d, how);
	}
	hook(d, d->source.thread_end);
	leave(d);
	return NULL;
}

bool domain_has_ended(const struct anyrcu_domain *d, uint32_t collection)
{
	return (int32_t)(load_acquire(&d->ended) - collection) >= 0;
}

/*
 * If no thread can be started, a barrier's caller does the worker's work: it becomes the worker,
 * collects and invokes until its collection @want has ended and no other barrier asks for one, and
 * then stops being the worker. It leaves no batch behind.
 *
 * Another barrier that begins meanwhile sets "force", fences (in domain_wake()) and reads "worker".
 * We stop being the worker, fence, and read "force". One of the two sees the other: either our
 * caller calls this function again, or the other barrier finds no worker and stands in itself.
 * False: there is a worker.
 */
bool domain_stand_in(struct anyrcu_domain *d, uint32_t want)
{
	int cancel;

	if (load(&d->worker) || !claim(d, true))
		return false;
	cancel = port_cancel_off();
	port_thread_exit_arm_task();
	hook(d, d->source.thread_wakes);
	while (!load(&d->stop) && (load(&d->force) || !domain_has_ended(d, want)))
		work_once(d);
	hook(d, d->source.thread_sleeps);
	leave(d);
	full_fence(); /* between the store to "worker" and the caller's load of "force" */
	port_cancel_on(cancel);
	return true;
}

int domain_restart(struct anyrcu_domain *d)
{
	uint64_t now = port_now(), at = load(&d->start_at), pause = load(&d->start_pause);
	int err;

	if (load(&d->worker) || load(&d->stop) || (int64_t)(now - at) < 0 ||
	    !cmpxchg(&d->start_at, at, now + pause))
		return 0;
	store(&d->coming, true);
	err = d->starter(work, d, 0);
	store(&d->start_pause, !err		     ? DOMAIN_PAUSE_MIN :
			       pause * 2 < PAUSE_MAX ? pause * 2 :
						       PAUSE_MAX);
	if (err) {
		none_comes(d);
		store(&domains.failing, true);
	}
	return err;
}

int domain_start(struct anyrcu_domain *d, domain_starter_t *starter)
{
	if (load(&d->worker) || (int64_t)(port_now() - load(&d->start_at)) < 0)
		return 0;
	pages_refill();
	d->starter = starter;
	store_release(&d->wanted, true);
	return domain_restart(d);
}

/* If the domain is destroyed meanwhile, the thread that is started for it ends. */
void domain_retry(void)
{
	struct anyrcu_domain *without = NULL;

	if (likely(!load(&domains.failing)) || serves)
		return;
	store(&domains.failing, false);
	port_lock(&domain_lock);
	for (struct anyrcu_domain *d = domains.first; d; d = d->next) {
		/* acquire: the starter was stored before */
		if (!load_acquire(&d->wanted) || load(&d->worker))
			continue;
		store(&domains.failing, true);
		if (!without || load(&d->start_at) < load(&without->start_at))
			without = d;
	}
	port_unlock(&domain_lock);
	if (without)
		domain_restart(without);
}

static struct anyrcu_domain *served(void)
{
	struct anyrcu_domain *d;

	port_lock(&domain_lock);
	for (d = domains.first; d && !domain_is_worker(d); d = d->next)
		;
	port_unlock(&domain_lock);
	return d;
}

/* A callback has ended the worker: start another one, or the next barrier does its work. */
void domain_thread_exit(void)
{
	struct anyrcu_domain *d;

	while (serves && (d = served())) {
		store_tells(&d->store, STORE_INVOKED, NULL);
		leave(d);
		store(&d->start_at, 0);
		if (load(&d->wanted))
			domain_restart(d);
	}
}

void domain_wake_all(void)
{
	port_lock(&domain_lock);
	for (struct anyrcu_domain *d = domains.first; d; d = d->next)
		domain_wake(d, true);
	port_unlock(&domain_lock);
}

/* A head in the chain is not marked (store/debug.c), nor is one from before debug mode. */
static void append_unmarked(struct anyrcu_domain *d, struct anyrcu_head *head)
{
	uintptr_t func = (uintptr_t)head->func;

	if (load(&store_debug))
		store_debug_mark(head, 0);
	domain_append(d, head, func, 0);
}

static void pause_merger(struct anyrcu_domain *d)
{
	if (unlikely(pauses(d)))
		sleep_paused(d);
}

/*
 * The pending objects of a stopped domain move to another. The caller does it as the domain's
 * worker, so that a fork waits until it pauses between two objects.
 */
void domain_merge(struct anyrcu_domain *d, struct anyrcu_domain *into)
{
	for (unsigned round = 0; !claim(d, true); round++)
		port_yield(round);
	while (d->batch || d->batch_chain || collect(d)) {
		if (!d->ready)
			anyrcu_synchronize(); /* see make_ready() */
		port_release(&into->store.chain);
		while (d->batch) {
			struct store_page *p = d->batch;
			uint32_t width = store_width(p->open.key);

			for (uint32_t n = store_used(p); p->cursor < n; p->cursor += width) {
				uintptr_t *slot = &p->word[p->cursor], word = load_acquire(slot);

				pause_merger(d);
				if (word && p->open.key == KEY_WIDE)
					domain_append(into, (struct anyrcu_head *)slot[1], word,
						      slot[3]);
				else if (word)
					append_unmarked(into, (struct anyrcu_head *)word);
			}
			d->batch = p->next;
			store_page_free(&d->store, p);
		}
		while (d->batch_chain) {
			struct anyrcu_head *head = d->batch_chain;

			pause_merger(d);
			d->batch_chain = head->next;
			append_unmarked(into, head);
		}
	}
	leave(d);
}
