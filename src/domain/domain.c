/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Domains: ordered queues of callbacks, each with a worker and a grace-period source of its own.
 *
 *     lanes: open page, full ones behind it; chain --collect--> batch --grace periods--> ready --> callbacks, one by one
 *
 * The store is not that of defer/, which spreads over the CPUs and is drained in any order by any worker. Here a thread stays in one lane,
 * and the lane's pages keep the order: a slot is reserved by fetch_add, as append_shared() in defer/defer.c does it, with the same argument:
 *
 * 1. Storing is done inside a read-side critical section of anyrcu. A page that we have the pointer of is not freed before we are done, so
 *    cmpxchg has no ABA; and when an anyrcu grace period has passed after the page was taken away, no slot of it will be filled any more. A slot
 *    that is still empty then belongs to a thread which is no more (a fork's child).
 * 2. The source's grace period begins after that, so after all that is in the page was stored, and unlinked before.
 * 3. Nothing is in a thread's hands alone at any instruction: the object is the caller's until the store to the slot, the cmpxchg that
 *    opens a page with it, or the cmpxchg on the chain. A handler that interrupts anywhere may do all of it, to any depth.
 *
 * Order. Of two calls of one thread, its handlers' too, the first one's slot is before the second's in a page, or in a page opened before. When
 * no page can be had the chain takes objects, and while anything is in it so do all others. So nothing comes into a page after what is in the
 * chain, but from a caller that looked at the chain before; it is inside a section. A collection that finds the chain in use therefore first
 * waits for an anyrcu grace period, then takes the pages, then the chain: what is in the pages comes before what is in the chain, and what is
 * taken before what is not. One that finds it empty takes the pages alone. The batch is invoked lane by lane from the oldest page to the
 * newest, then the chain, which is a stack, from its bottom.
 *
 * The worker's state that a fork must find whole changes under the lock, whose holder takes no signals, and which fork takes; see port_lock().
 * Before it is invoked an object is taken off (the cursor moves, the chain is unlinked), so whoever takes over goes on behind.
 *
 * Sleeping. The worker announces how it sleeps, fences, and looks once more; a caller has its object in place, fences, and looks at that. One of
 * the two sees the other. A caller that rings says so first, so that the worker does not begin to sleep; others who see that ring
 * too, so it does not matter where the first one stops.
 */
#include <anyrcu/page.h>
#include <defer/defer.h>
#include <domain/domain.h>
#include <pages/pages.h>
#include <port/port.h>

#define WORDS 504
#define AHEAD 32
#define URGENT 64 /* full pages for which the worker does not finish its delay */
#define FORK_PATIENCE UINT64_C(100000000)
#define WAY 50000 /* nanoseconds that a caller sleeps for the worker, times the square of the bounds that are full, */
#define WAY_MAX 100 /* or this */

struct page {
	struct page *next;
	uint64_t born; /* when it was opened */
	uint32_t count; /* words reserved; past WORDS it is full */
	uint32_t width; /* words of a slot: the head, and for the debug mode the function and who deferred it */
	uint32_t cursor;
	uint32_t cpu;
	uintptr_t word[WORDS] __attribute__((aligned(CACHE_LINE)));
};
_Static_assert(sizeof(struct page) <= ANYRCU_PAGE_SIZE, "a page is a page");

enum { AWAKE, TICKING, DEEP, RINGING };

#define LANES 16

struct anyrcu_domain {
	struct lane {
		struct page *open; /* the full ones behind it */
	} __attribute__((aligned(CACHE_LINE))) lane[LANES];

	/* Written by callers for each page. */
	struct anyrcu_head *chain __attribute__((aligned(CACHE_LINE)));
	uint64_t npages; /* open, waiting and being drained */
	uint32_t sealed; /* full ones since the last collection, about */
	uint32_t force;	 /* a barrier waits: no delay */

	/* Constant. */
	struct anyrcu_source source __attribute__((aligned(CACHE_LINE)));
	struct anyrcu_domain_config config;

	/* The worker. */
	struct port_lock lock __attribute__((aligned(CACHE_LINE)));
	uint32_t asleep; /* one of the above */
	uint32_t runs;	 /* there is a worker */
	uint32_t stop;
	uint32_t pause; /* so many want it to rest */
	uint32_t resting;
	uintptr_t worker;

	struct page *batch;
	struct anyrcu_head *batch_chain;
	bool ready; /* the batch has had its grace periods */
	uint32_t begun, ended; /* collections: the last one, and the last one all of which has been invoked */
	uint32_t watchers;

	struct anyrcu_domain_stats stats;
	struct anyrcu_domain *next; /* of all */
};
_Static_assert(sizeof(struct anyrcu_domain) <= ANYRCU_PAGE_SIZE, "a domain is a page");

static struct {
	struct port_lock lock;
	struct anyrcu_domain *first;
} all;

/* ---- storing ---- */

/* The calling thread's. A handler may come in between, and the thread stays where it has put it. */
static inline uint32_t my_lane(void)
{
	static PORT_THREAD_LOCAL uint32_t mine;
	static uint32_t last;

	if (unlikely(!load(&mine)))
		cmpxchg(&mine, 0, fetch_add(&last, 1) % LANES + 1);
	return load(&mine) - 1;
}

static noinline void ring(struct anyrcu_domain *d, bool urgent)
{
	uint32_t how;

	full_fence(); /* pairs with that in sleep(): what there is to do comes before we look how the worker sleeps */
	how = load(&d->asleep);
	if (how == AWAKE || (how == TICKING && !urgent))
		return;
	if (how != RINGING && !cmpxchg(&d->asleep, how, RINGING))
		return;
	count_add(&d->stats.worker_wakes, 1);
	port_wake(&d->asleep);
}

static void fill(struct page *p, uint32_t at, struct anyrcu_head *head, uintptr_t func, uintptr_t caller)
{
	if (p->width > 1) {
		store(&p->word[at + 1], func);
		store(&p->word[at + 2], caller);
	} else {
		store(&head->func, (void (*)(struct anyrcu_head *))func);
	}
	store_release(&p->word[at], (uintptr_t)head); /* "filled": pairs with the worker's acquire */
}

/* Open a page with @head in it in front of @old. False and *@refused: there is none; false: look again. */
static noinline bool open_page(struct anyrcu_domain *d, struct lane *lane, struct page *old, struct anyrcu_head *head, uintptr_t func,
			       uintptr_t caller, bool *refused)
{
	uint64_t n = fetch_add(&d->npages, 1);
	struct page *p = NULL;

	if ((n + 1) * sizeof(*p) <= d->config.page_bytes_max)
		p = page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, 0);
	*refused = !p;
	if (p) {
		p->width = defer_debug ? 3 : 1;
		p->count = p->width;
		p->cpu = port_cpu();
		p->born = port_now();
		p->next = old;
		fill(p, 0, head, func, caller);
		if (cmpxchg(&lane->open, old, p)) {
			count_max(&d->stats.bytes_high, (n + 1) * sizeof(*p));
			if (old)
				fetch_add(&d->sealed, 1);
			return true;
		}
		page_free(p, 0);
	}
	fetch_add(&d->npages, -UINT64_C(1));
	return false;
}

/*
 * A caller that has filled a page while too much is pending makes way for the worker: what is deferred faster than it is invoked has to be
 * slowed down somewhere. Not while the worker waits for readers, as the caller may be one, and nothing is gained.
 */
static void give_way(struct anyrcu_domain *d)
{
	uint64_t full = load(&d->npages) * WORDS / d->config.pending_max;

	if (likely(!full) || !load(&d->ready) || domain_is_worker(d))
		return;
	full = full * full < WAY_MAX ? full * full : WAY_MAX;
	count_add(&d->stats.gave_way, 1);
	port_sleep(full * WAY);
}

/* After a page was opened, outside the section. */
static noinline void opened(struct anyrcu_domain *d, bool first)
{
	uint32_t sealed = load(&d->sealed);

	if (d->config.poll)
		return;
	ring(d, sealed && sealed % URGENT == 0);
	if (!first)
		give_way(d);
}

static noinline void domain_chain_push(struct anyrcu_domain *d, struct anyrcu_head *head, uintptr_t func)
{
	head->func = (void (*)(struct anyrcu_head *))func;
	head->next = load(&d->chain);
	while (!__atomic_compare_exchange_n(&d->chain, &head->next, head, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	if (!d->config.poll)
		ring(d, false);
}

static noinline void lane_append_slow(struct anyrcu_domain *d, struct lane *lane, struct anyrcu_head *head, uintptr_t func,
				 uintptr_t caller)
{
	bool refused = false, done = false;
	struct page *p = NULL;

	if (!func)
		port_bug("deferral of head %p has no function; it comes from %a", (void *)head, (void *)caller);
	anyrcu_read_lock();
	while (!done && !refused && !load_acquire(&d->chain)) {
		p = load_acquire(&lane->open);
		if (p && load(&p->count) + p->width <= WORDS) {
			uint32_t at = fetch_add(&p->count, p->width);

			done = at + p->width <= WORDS;
			if (done)
				fill(p, at, head, func, caller);
			p = NULL;
		} else {
			done = open_page(d, lane, p, head, func, caller, &refused);
			if (done) {
				anyrcu_read_unlock();
				opened(d, !p);
				return;
			}
		}
	}
	anyrcu_read_unlock();
	if (!done)
		domain_chain_push(d, head, func);
}

static inline void lane_append(struct anyrcu_domain *d, struct anyrcu_head *head, uintptr_t func, uintptr_t caller)
{
	struct lane *lane = &d->lane[my_lane()];
	struct page *p;
	uint32_t at;

	if (unlikely(!func || load(&defer_debug)))
		return lane_append_slow(d, lane, head, func, caller);
	anyrcu_read_lock();
	p = load_acquire(&lane->open);
	if (unlikely(load_acquire(&d->chain) || !p || load(&p->count) >= WORDS)) {
		anyrcu_read_unlock();
		return lane_append_slow(d, lane, head, func, caller);
	}
	at = fetch_add(&p->count, 1);
	if (likely(at < WORDS))
		fill(p, at, head, func, caller);
	anyrcu_read_unlock();
	if (unlikely(at >= WORDS))
		lane_append_slow(d, lane, head, func, caller);
}

void domain_call(struct anyrcu_domain *d, struct anyrcu_head *head, void (*func)(struct anyrcu_head *head), uintptr_t caller)
{
	if (unlikely(load(&defer_debug)))
		defer_debug_mark(head, caller);
	lane_append(d, head, (uintptr_t)func, caller);
}

void anyrcu_domain_call(struct anyrcu_domain *domain, struct anyrcu_head *head, void (*func)(struct anyrcu_head *head))
{
	domain_call(domain, head, func, (uintptr_t)__builtin_return_address(0));
}

/* ---- collecting ---- */

static uint32_t used(const struct page *p)
{
	uint32_t n = load_acquire(&p->count);

	return n < WORDS ? n : WORDS / p->width * p->width;
}

static bool anything_open(const struct anyrcu_domain *d)
{
	for (unsigned i = 0; i < LANES; i++)
		if (load(&d->lane[i].open))
			return true;
	return load(&d->chain);
}

/* A lane's newest page is in front; in a batch its oldest is. */
static void batch_pages(struct page *p, struct page **batch)
{
	while (p) {
		struct page *next = p->next;

		p->next = *batch;
		*batch = p;
		p = next;
	}
}

static void batch_chain(struct anyrcu_head *h, struct anyrcu_head **batch)
{
	while (h) {
		struct anyrcu_head *next = h->next;

		h->next = *batch;
		*batch = h;
		h = next;
	}
}

/* Take all there is; see the order above. */
static bool collect(struct anyrcu_domain *d)
{
	bool chained;

	if (!anything_open(d) && !load(&d->force))
		return false;
	xchg(&d->force, 0);
	fetch_add(&d->begun, 1);
	full_fence(); /* pairs with that in domain_barrier_begin() */
	chained = load(&d->chain);
	if (chained)
		anyrcu_synchronize();
	port_lock(&d->lock);
	store(&d->ready, false);
	store(&d->sealed, 0);
	for (unsigned i = LANES; i-- > 0;)
		if (load(&d->lane[i].open))
			batch_pages(xchg(&d->lane[i].open, NULL), &d->batch);
	if (chained)
		batch_chain(xchg(&d->chain, NULL), &d->batch_chain);
	port_unlock(&d->lock);
	return true;
}

static uint64_t count_pages(const struct page *p)
{
	uint64_t n = 0;

	for (; p; p = p->next)
		n += used(p) / p->width;
	return n;
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

/* The batch's grace periods: after the first, nobody appends to its pages any more; the second is for what is in them. */
static void make_ready(struct anyrcu_domain *d)
{
	uint64_t pages, chain = 0;

	anyrcu_synchronize();
	synchronize(d);
	pages = count_pages(d->batch);
	for (struct anyrcu_head *h = d->batch_chain; h; h = h->next)
		chain++;
	count_add(&d->stats.collected_page, pages);
	count_add(&d->stats.collected_chain, chain);
	count_max(&d->stats.pending_high, pages + chain);
	store(&d->ready, true);
}

uint64_t domain_open(struct anyrcu_domain *d)
{
	uint64_t n = 0;

	port_lock(&d->lock); /* who holds it takes pages away, and nobody else does */
	for (unsigned i = 0; i < LANES; i++)
		n += count_pages(load_acquire(&d->lane[i].open));
	if (!d->ready)
		n += count_pages(d->batch);
	port_unlock(&d->lock);
	return n;
}

/* ---- the worker ---- */

static void hook(const struct anyrcu_domain *d, void (*f)(void *arg))
{
	if (f)
		f(d->source.arg);
}

/* Until no fork is under way. The source forgets this thread meanwhile, which the child does not have. */
static noinline void rest(struct anyrcu_domain *d)
{
	uint32_t pause;

	hook(d, d->source.thread_end);
	do {
		store_release(&d->resting, 1);
		while ((pause = load_acquire(&d->pause)))
			port_wait(&d->pause, pause, 0);
		store(&d->resting, 0);
		full_fence(); /* pairs with that in domain_pause(): the next one sees us at work, or we see it */
	} while (load(&d->pause));
	hook(d, d->source.thread_begin);
}

static inline void invoked(struct anyrcu_domain *d)
{
	store(&d->stats.invoked, d->stats.invoked + 1);
	release_fence(); /* the child of a fork sees no callback's work without this and the cursor before it */
}

static void drain_page(struct anyrcu_domain *d, struct page *p)
{
	uint32_t n = used(p), width = p->width;

	for (uint32_t i = p->cursor; i < n && !load(&d->stop); i += width) {
		struct anyrcu_head *head = (struct anyrcu_head *)load_acquire(&p->word[i]);
		void (*func)(struct anyrcu_head *);

		if (unlikely(load(&d->pause)))
			rest(d);
		if (i + AHEAD * width < n)
			__builtin_prefetch((void *)p->word[i + AHEAD * width], 1);
		store(&p->cursor, i + width);
		if (unlikely(!head))
			continue;
		if (width > 1) {
			func = (void (*)(struct anyrcu_head *))p->word[i + 1];
			defer_debug_unmark(head, p->word[i + 1], p->word[i + 2]);
		} else {
			func = head->func;
		}
		invoked(d);
		func(head);
	}
}

static void drain(struct anyrcu_domain *d)
{
	while (d->batch && !load(&d->stop)) {
		struct page *p = d->batch;
		uint64_t ns;

		if (!d->config.pinned)
			port_follow(p->cpu); /* see defer_drain() */
		drain_page(d, p);
		if (p->cursor < used(p))
			return;
		ns = port_now() - p->born;
		count_add(&d->stats.wait_ns_total, ns * (used(p) / p->width));
		count_max(&d->stats.wait_ns_max, ns);
		d->batch = p->next;
		release_fence(); /* before the page is another's: the child of a fork does not find it here */
		page_free(p, 0);
		fetch_add(&d->npages, -UINT64_C(1));
	}
	while (d->batch_chain && !load(&d->stop)) {
		struct anyrcu_head *head = d->batch_chain;

		if (unlikely(load(&d->pause)))
			rest(d);
		store(&d->batch_chain, head->next);
		invoked(d);
		head->func(head);
	}
}

/* Deep: until there is anything at all. Otherwise until the delay is over, or many wait. */
static void sleep(struct anyrcu_domain *d, uint32_t how)
{
	uint64_t ns = d->config.delay_us * 1000;
	bool stay;

	hook(d, d->source.thread_sleeps);
	store(&d->asleep, how);
	full_fence(); /* pairs with that in ring() */
	stay = !load(&d->force) && !load(&d->stop) && !load(&d->pause);
	if (how == DEEP)
		stay = stay && !anything_open(d);
	else
		stay = stay && load(&d->sealed) < URGENT;
	if (stay)
		port_wait(&d->asleep, how, how == DEEP && !d->config.poll ? 0 : ns);
	store(&d->asleep, AWAKE);
	hook(d, d->source.thread_wakes);
}

static void batch_ends(struct anyrcu_domain *d)
{
	store_release(&d->ended, load(&d->begun));
	full_fence(); /* before a look at who watches: who is not seen compares the new number */
	if (load(&d->watchers))
		port_wake(&d->ended);
}

static void work(void *arg)
{
	struct anyrcu_domain *d = arg;

	store(&d->worker, port_self());
	hook(d, d->source.thread_begin);
	while (!load(&d->stop)) {
		if (unlikely(load(&d->pause)))
			rest(d);
		if (!d->batch && !d->batch_chain && !collect(d)) {
			sleep(d, DEEP);
			continue;
		}
		if ((d->batch || d->batch_chain) && !d->ready)
			make_ready(d);
		if (pages_want_refill())
			pages_refill();
		drain(d);
		if (!d->batch && !d->batch_chain)
			batch_ends(d);
		if (!load(&d->stop))
			sleep(d, TICKING);
	}
	hook(d, d->source.thread_end);
	store(&d->worker, 0);
	store_release(&d->runs, 0);
	port_wake(&d->runs);
}

bool domain_runs(const struct anyrcu_domain *d)
{
	return load(&d->runs);
}

bool domain_is_worker(const struct anyrcu_domain *d)
{
	return load(&d->worker) == port_self();
}

int domain_start(struct anyrcu_domain *d, domain_starter_t *starter)
{
	int err;

	if (load(&d->runs) || xchg(&d->runs, 1))
		return 0;
	pages_refill();
	err = starter(work, d, d->config.pinned ? d->config.cpu : -1, 0);
	if (err)
		store(&d->runs, 0);
	return err;
}

/* ---- barrier and end ---- */

/*
 * Collections have numbers. One that begins after this has all that was deferred before: we fence and read the number of the last one, the
 * worker counts, fences, and takes. "force" goes down before it counts, so whoever sees the number finds its own force still up.
 */
uint32_t domain_barrier_begin(struct anyrcu_domain *d)
{
	uint32_t want;

	full_fence();
	want = load(&d->begun) + 1;
	store(&d->force, 1);
	ring(d, true);
	return want;
}

void domain_barrier_end(struct anyrcu_domain *d, uint32_t want)
{
	uint32_t ended;

	fetch_add(&d->watchers, 1);
	while ((int32_t)((ended = load_acquire(&d->ended)) - want) < 0)
		port_wait(&d->ended, ended, 1000000000);
	fetch_add(&d->watchers, -1u);
	full_fence();
}

void anyrcu_domain_barrier(struct anyrcu_domain *d)
{
	gp_must_not_read("anyrcu_domain_barrier()");
	if (domain_is_worker(d))
		port_bug("anyrcu_domain_barrier() inside a callback of the domain");
	domain_barrier_end(d, domain_barrier_begin(d));
}

/* What waits in a stopped domain goes to another. */
static void move(struct anyrcu_domain *d, struct anyrcu_domain *into)
{
	while (d->batch || d->batch_chain || collect(d)) {
		if (!d->ready)
			anyrcu_synchronize(); /* see make_ready() */
		while (d->batch) {
			struct page *p = d->batch;

			for (uint32_t n = used(p); p->cursor < n; p->cursor += p->width) {
				struct anyrcu_head *head = (struct anyrcu_head *)load_acquire(&p->word[p->cursor]);

				if (head && p->width > 1)
					lane_append_slow(into, &into->lane[my_lane()], head, p->word[p->cursor + 1], p->word[p->cursor + 2]);
				else if (head)
					lane_append(into, head, (uintptr_t)head->func, 0);
			}
			d->batch = p->next;
			page_free(p, 0);
		}
		while (d->batch_chain) {
			struct anyrcu_head *head = d->batch_chain;

			d->batch_chain = head->next;
			lane_append(into, head, (uintptr_t)head->func, 0);
		}
	}
}

void domain_unmake(struct anyrcu_domain *d)
{
	struct anyrcu_domain **at = &all.first;

	port_lock(&all.lock);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	port_unlock(&all.lock);
	port_unmap(d, ANYRCU_PAGE_SIZE);
}

void anyrcu_domain_destroy(struct anyrcu_domain *d, struct anyrcu_domain *into)
{
	if (!d)
		return;
	if (!into)
		anyrcu_domain_barrier(d);
	store(&d->stop, 1);
	while (load_acquire(&d->runs)) {
		ring(d, true);
		port_wait(&d->runs, 1, 1000000);
	}
	if (into)
		move(d, into);
	anyrcu_synchronize(); /* whoever deferred last is out of the domain */
	domain_unmake(d);
}

int domain_make(struct anyrcu_domain **out, const struct anyrcu_source *source, const struct anyrcu_domain_config *config)
{
	struct anyrcu_domain_config c = { 0 };
	struct anyrcu_domain *d;

	if (config)
		memcpy(&c, config, config->size < sizeof(c) ? config->size : sizeof(c));
	c.delay_us = c.delay_us ?: DEFER_DELAY_US;
	c.pending_max = c.pending_max ?: DEFER_PENDING_MAX;
	c.page_bytes_max = c.page_bytes_max ?: DEFER_BYTES_MAX;
	if (source->size < offsetof(struct anyrcu_source, thread_begin) || !source->synchronize || c.delay_us > 10000000 ||
	    c.pending_max < 1024 || c.page_bytes_max < 65536 || (c.pinned && (c.cpu < 0 || c.cpu >= PORT_CPUS_MAX)))
		return DOMAIN_EINVAL;
	d = port_map(ANYRCU_PAGE_SIZE, ANYRCU_PAGE_SIZE);
	if (!d)
		return DOMAIN_ENOMEM;
	memcpy(&d->source, source, source->size < sizeof(*source) ? source->size : sizeof(*source));
	d->config = c;
	d->lock.unwatched = true; /* fork takes those of all domains at a time, always in the order of the list */
	port_lock(&all.lock);
	d->next = all.first;
	all.first = d;
	port_unlock(&all.lock);
	*out = d;
	return 0;
}

void anyrcu_domain_stats_get(const struct anyrcu_domain *d, struct anyrcu_domain_stats *out)
{
	const uint64_t *from = (const uint64_t *)&d->stats;
	struct anyrcu_domain_stats s;

	for (size_t i = 0; i < sizeof(s) / sizeof(*from); i++)
		((uint64_t *)&s)[i] = load(&from[i]);
	s.size = out->size;
	s.collected = s.collected_page + s.collected_chain;
	s.bytes = load(&d->npages) * ANYRCU_PAGE_SIZE;
	memcpy(out, &s, s.size < sizeof(s) ? s.size : sizeof(s));
}

/* ---- fork ---- */

bool domain_pause(struct anyrcu_domain *d, uint64_t ns)
{
	uint64_t give_up = port_now() + ns;

	fetch_add(&d->pause, 1);
	full_fence(); /* pairs with that in rest() */
	if (domain_is_worker(d))
		return true;
	while (load(&d->runs) && !load_acquire(&d->resting)) {
		if (ns && (int64_t)(port_now() - give_up) >= 0)
			return false;
		ring(d, true);
		port_sleep(20000);
	}
	return true;
}

void domain_resume(struct anyrcu_domain *d)
{
	fetch_add(&d->pause, -1u);
	port_wake(&d->pause);
}

void domain_fork_prepare(void)
{
	port_lock(&all.lock);
	for (struct anyrcu_domain *d = all.first; d; d = d->next) {
		domain_pause(d, FORK_PATIENCE);
		port_lock(&d->lock);
	}
}

static void fork_done(struct anyrcu_domain *d)
{
	/* In the order in which they were taken, backwards, as each lock keeps the signal mask from before it. */
	if (!d)
		return;
	fork_done(d->next);
	port_unlock(&d->lock);
	domain_resume(d);
}

void domain_fork_parent(void)
{
	fork_done(all.first);
	port_unlock(&all.lock);
}

void domain_fork_child(bool start)
{
	for (struct anyrcu_domain *d = all.first; d; d = d->next) {
		bool ran = d->runs && !domain_is_worker(d);

		d->asleep = AWAKE;
		d->resting = 0;
		if (ran)
			d->runs = d->worker = 0;
	}
	domain_fork_parent();
	for (struct anyrcu_domain *d = all.first; start && d; d = d->next)
		domain_start(d, port_thread_start);
}
