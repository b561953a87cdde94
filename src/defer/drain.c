/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From the open pages to the callbacks:
 *
 *     open pages, chain --collect--> waiting --grace period--> ready --drain--> callbacks
 *
 * collect   takes pages (the full ones; all of them when the delay has passed or a barrier asks) and the chain away from the CPUs,
 *           calls port_rseq_fence() so that nothing more is appended by sequences, and takes a cookie after that. It is
 *           a generation: each page carries its number, and generations become ready in their order.
 * waiting   is one generation. When its cookie is done, its settled pages and its chain are ready. Pages filled by atomics are then
 *           settled, as every section that could still have filled one has ended; they join the next generation's wait, for what was
 *           stored while they settled.
 * drain     takes a page at a time, to invoke what is in it outside the lock.
 *
 * All of this state is under pipe.lock, which tasks take, never across a callback. What a drainer has taken is in its slot in
 * pipe.drainers, so that a barrier sees it and the child of a fork finds it. The drainer advances the cursor (or unlinks from the
 * chain) before it invokes, so whoever takes over goes on behind: nothing is invoked twice.
 *
 * fork(): prepare asks drainers to pause between two callbacks, and waits for them a bounded time, as a callback may itself wait for
 * what the forking thread has. Then it takes the locks, outer first; whoever holds one takes no signals, so a handler that forks has not
 * interrupted a holder, and finds the state whole. The child finds in the slots of threads that it does not have what
 * they had taken, and makes it ready again. A callback that was still running goes on in the parent only.
 */
#include <anyrcu/page.h>
#include <base/breaks.h>
#include <defer/defer.h>
#include <pages/pages.h>
#include <port/port.h>

#define DRAINERS 64
#define CHAINS 8
#define READY 16
#define AHEAD 32 /* words that are prefetched ahead of the callback: measured, flat from 12 to 40, and deep is better where memory is busy */
#define FORK_PATIENCE UINT64_C(100000000)

struct chain {
	struct anyrcu_head *head;
	uint64_t gen;
	bool taken; /* by a drainer, which gives back what its budget leaves */
};

/* What a thread has taken: a page or a chain. Claimed and freed under the lock; head, done and resting: its owner. */
struct drainer {
	uintptr_t owner; /* 0: free */
	struct defer_page *page;
	struct chain *chain;
	struct anyrcu_head *head; /* the rest of the chain */
	uint64_t gen;
	uint64_t done;	  /* callbacks invoked */
	uint32_t resting; /* between callbacks, until no fork is under way */
} __attribute__((aligned(CACHE_LINE)));

static struct {
	struct port_lock lock;
	uint64_t gen; /* of the last collection */
	bool force;   /* the next collection takes the open pages too; read without the lock as a hint */
	uint64_t due; /* so does one after this time; read without the lock */

	bool waits; /* there is a generation that waits (read without the lock as a hint): */
	anyrcu_gp_t cookie;
	struct defer_page *waiting;
	struct anyrcu_head *waiting_chain;

	struct defer_page *unsettled; /* of the generation before, settled now: join the next wait */

	struct ready {
		struct defer_page *first, **end;
	} ready[READY]; /* by the CPU that filled the page; in each, older generations first */
	struct chain chains[CHAINS];
	struct drainer drainers[DRAINERS];
	uint32_t nready; /* pages and chains; read without the lock as a hint */

	uint32_t progress; /* changes when something was drained */
	uint32_t watchers;

	uint32_t pause; /* a fork is under way; written under the lock */
} pipe;

bool defer_flood;

/* ---- counting ---- */

static uint64_t objects(const struct defer_page *p)
{
	return defer_used(p) / defer_width(p->open.key);
}

static uint64_t deferred_closed(void)
{
	return load(&defer_stats.page) + load(&defer_sealed_objects);
}

uint64_t defer_deferred_page(void)
{
	uint64_t n = deferred_closed();

	anyrcu_read_lock(); /* so that the pages we look at stay pages */
	for (uint32_t cpu = 0; cpu < load(&defer_ncpus); cpu++) {
		for (unsigned i = 0; i < 2 * KINDS; i++) {
			struct defer_cpu *c = &defer_cpus[cpu];
			struct defer_page *p = load_acquire(i < KINDS ? &c->rseq[i] : &c->shared[i - KINDS]);

			n += p ? objects(p) : 0;
		}
	}
	anyrcu_read_unlock();
	return n;
}

static uint64_t pending(uint64_t in_pages, uint64_t invoked)
{
	int64_t n = in_pages + load(&defer_stats.chain) + load(&defer_stats.inline_) - invoked;

	return n > 0 ? n : 0;
}

uint64_t defer_pending(void)
{
	uint64_t invoked = load_acquire(&defer_stats.invoked);

	return pending(defer_deferred_page(), invoked);
}

uint64_t defer_pending_closed(void)
{
	uint64_t invoked = load_acquire(&defer_stats.invoked);

	return pending(deferred_closed(), invoked);
}

bool defer_flood_begins(uint64_t pending)
{
	if (pending <= load(&defer_limits.pending_max) || load(&defer_flood) || xchg(&defer_flood, true))
		return false;
	count_add(&defer_stats.floods, 1);
	port_probe1(flood, pending);
	return true;
}

/* What has come into a page since it was counted last. Under the lock. */
static void count_page(struct defer_page *p)
{
	uint32_t used = defer_used(p);

	count_add(&defer_stats.page, (used - p->counted) / defer_width(p->open.key));
	p->counted = used;
}

/* ---- collect ---- */

static void flood_check(void)
{
	uint64_t pending = defer_pending();

	count_max(&defer_stats.pending_high, pending);
	if (!defer_flood_begins(pending) && pending < load(&defer_limits.pending_max) / 2 && load(&defer_flood))
		store(&defer_flood, false);
}

uint32_t defer_help_wanted(void)
{
	uint64_t pending = defer_pending(), max = load(&defer_limits.pending_max);

	return pending > max ? (pending - max) / (max / 4) + 1 : 0;
}

/* Move what is taken from one CPU's place in front of *list. The first page was open if @open. */
static void take(struct defer_page *p, bool open, struct defer_page **list)
{
	while (p) {
		struct defer_page *next = p->next;

		p->gen = pipe.gen;
		if (!open) {
			count_add(&defer_sealed_objects, -objects(p));
			count_page(p);
		}
		open = false;
		p->next = *list;
		*list = p;
		p = next;
	}
}

/*
 * From one place: everything, or what is behind the open page. Only the holder of the lock takes pages away, so the open page
 * stays one while we read it.
 */
static void take_from(struct defer_page **where, bool all, struct defer_page **list)
{
	struct defer_page *p = load_acquire(where);

	if (p && all)
		take(breaks(COLLECT_LEAVES_OPEN) ? p : breaks_xchg(COLLECT_OPEN_TORN, where, NULL), true, list);
	else if (p && load(&p->next))
		take(xchg(&p->next, NULL), false, list);
}

static void collect(bool all)
{
	struct defer_page *list = NULL;
	uint32_t sealed = xchg(&defer_sealed, 0); /* whoever is counted has its page in place, and it is taken now */

	pipe.gen++;
	for (uint32_t cpu = 0; cpu < load(&defer_ncpus); cpu++) {
		for (unsigned kind = 0; kind < KINDS; kind++) {
			take_from(&defer_cpus[cpu].rseq[kind], all, &list);
			take_from(&defer_cpus[cpu].shared[kind], all, &list);
		}
	}
	pipe.waiting_chain = load(&defer_chain) ? breaks_xchg(COLLECT_CHAIN_TORN, &defer_chain, NULL) : NULL;
	if (list && !breaks(COLLECT_NO_RSEQ_FENCE))
		port_rseq_fence();
	/* From here nothing is appended by sequences: the open ones can be counted, and the cookie covers all that is in them. */
	for (struct defer_page *p = list; p; p = p->next)
		count_page(p);
	if (all) {
		store(&pipe.force, false);
		store(&pipe.due, port_now() + load(&defer_limits.delay_ns));
	}
	flood_check();
	while (pipe.unsettled) { /* in front, as the older generation */
		struct defer_page *p = pipe.unsettled;

		pipe.unsettled = p->next;
		p->next = list;
		list = p;
	}
	pipe.waiting = list;
	store(&pipe.waits, list || pipe.waiting_chain);
	if (!pipe.waits)
		return;
	pipe.cookie = gp_cookie();
	count_add(&defer_stats.batches, 1);
	port_probe2(collect, pipe.gen, sealed);
}

/* ---- ready ---- */

static struct ready *ready_of(unsigned cpu)
{
	return &pipe.ready[cpu % READY];
}

static void ready_append(struct defer_page *p)
{
	struct ready *r = ready_of(p->cpu);

	if (breaks(DRAIN_DROPS_PAGE))
		return;
	p->next = NULL;
	*(r->first ? r->end : &r->first) = p;
	r->end = &p->next;
	store(&pipe.nready, pipe.nready + 1);
}

/* Back to its place, mostly the front: behind the older generations. */
static void ready_give_back(struct defer_page *p)
{
	struct ready *r = ready_of(p->cpu);
	struct defer_page **at = &r->first;

	while (*at && (*at)->gen < p->gen)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	if (!p->next)
		r->end = &p->next;
	store(&pipe.nready, pipe.nready + 1);
}

/* Of the oldest generation, and there of this CPU if there is one: a drainer seldom has to move, and several share out the CPUs. */
static struct defer_page *ready_take(unsigned cpu, bool only_free)
{
	struct ready *best = NULL;
	struct defer_page *p;

	for (unsigned i = 0; i < READY; i++) {
		struct ready *r = ready_of(cpu + i);

		p = r->first;
		if (p && !(only_free && p->open.key != KEY_FREE) && (!best || p->gen < best->first->gen))
			best = r;
	}
	if (!best)
		return NULL;
	p = best->first;
	best->first = p->next;
	store(&pipe.nready, pipe.nready - 1);
	return p;
}

/* The generation that waits has had its grace period. With all places for chains taken it has to wait for a drainer. */
static void make_ready(void)
{
	struct chain *c = pipe.chains;

	while (c < pipe.chains + CHAINS && (c->head || c->taken))
		c++;
	if (pipe.waiting_chain && c == pipe.chains + CHAINS)
		return;
	if (pipe.waiting_chain) {
		*c = (struct chain){ .head = pipe.waiting_chain, .gen = pipe.gen };
		pipe.waiting_chain = NULL;
		store(&pipe.nready, pipe.nready + 1);
	}
	while (pipe.waiting) {
		struct defer_page *p = pipe.waiting;

		pipe.waiting = p->next;
		if (p->settled || breaks(SETTLE_ONCE)) {
			ready_append(p);
		} else {
			p->settled = true;
			count_page(p);
			p->next = pipe.unsettled;
			pipe.unsettled = p;
		}
	}
	store(&pipe.waits, false);
}

/* ---- drainers ---- */

static struct drainer *drainer_of(uintptr_t owner)
{
	for (unsigned i = 0; i < DRAINERS; i++)
		if (load(&pipe.drainers[i].owner) == owner)
			return &pipe.drainers[i];
	return NULL;
}

bool defer_in_callback(void)
{
	return drainer_of(port_self()) != NULL;
}

/* Under the lock. Returns the page if it is drained, for the caller to free. */
static struct defer_page *give_back(struct drainer *d)
{
	struct defer_page *p = d->page;

	if (p && breaks(DRAIN_DOUBLES_PAGE))
		p->cursor = 0;
	if (d->chain) {
		d->chain->head = d->head;
		d->chain->taken = false;
		if (d->head)
			store(&pipe.nready, pipe.nready + 1);
		else
			count_add(&defer_stats.drained_chains, 1);
	} else if (p->cursor < defer_used(p)) {
		ready_give_back(p);
		p = NULL;
	} else {
		count_add(&defer_stats.drained_pages, 1);
		count_add(&defer_stats.bytes, -(uint64_t)sizeof(*p));
	}
	port_probe2(drain, d->gen, d->done);
	__atomic_fetch_add(&defer_stats.invoked, d->done, __ATOMIC_RELEASE);
	store(&d->owner, 0);
	__atomic_fetch_add(&pipe.progress, 1, __ATOMIC_SEQ_CST);
	full_fence(); /* before a look at who watches: who is not seen compares the new progress; without it one sleeps a millisecond */
	if (load(&pipe.watchers))
		port_wake(&pipe.progress);
	return p;
}

static bool chain_take(struct drainer *d)
{
	struct chain *c = NULL;

	for (unsigned i = 0; i < CHAINS; i++)
		if (pipe.chains[i].head && !pipe.chains[i].taken && (!c || pipe.chains[i].gen < c->gen))
			c = &pipe.chains[i];
	if (!c)
		return false;
	c->taken = true;
	d->chain = c;
	d->head = c->head;
	d->gen = c->gen;
	store(&pipe.nready, pipe.nready - 1);
	return true;
}

/* Under the lock. */
static struct drainer *grab(bool only_free)
{
	struct drainer *d = load(&pipe.pause) ? NULL : drainer_of(0);

	if (!d)
		return NULL;
	d->page = ready_take(port_cpu(), only_free);
	d->chain = NULL;
	d->done = 0;
	d->resting = 0;
	if (d->page)
		d->gen = d->page->gen;
	if (!d->page && (only_free || !chain_take(d)))
		return NULL;
	store(&d->owner, port_self());
	return d;
}

/* Give back what is left of @d, unless NULL, and take the next, if @more. */
static struct drainer *turn(struct drainer *d, bool more, bool only_free)
{
	struct defer_page *drained = NULL;

	if (!d && (!more || !load(&pipe.nready)))
		return NULL;
	port_lock(&pipe.lock);
	if (d)
		drained = give_back(d);
	d = more ? grab(only_free) : NULL;
	port_unlock(&pipe.lock);
	page_free(drained, 0);
	return d;
}

static noinline void rest(struct drainer *d)
{
	do {
		store_release(&d->resting, 1);
		while (load_acquire(&pipe.pause))
			port_wait(&pipe.pause, 1, 0);
		store(&d->resting, 0);
		full_fence(); /* pairs with that in all_rest(): the next fork sees us at work, or we see it */
	} while (load(&pipe.pause));
}

static inline void invoke(uintptr_t func, uintptr_t arg)
{
	if (func == KEY_FREE)
		port_free((void *)arg);
	else
		((void (*)(void *))func)((void *)arg);
}

/*
 * The cursor goes first: the release keeps it before what the callback does, so that the child of a fork sees no callback's work
 * without it.
 */
static inline void advance_cursor(struct drainer *d, struct defer_page *p, uint32_t to)
{
	store(&p->cursor, to);
	store(&d->done, d->done + 1);
	release_fence();
}

/* malloc() keeps an object's size in the words before it. */
static inline void prefetch(uintptr_t func, uintptr_t arg)
{
	__builtin_prefetch((void *)arg, 1);
	if (func == KEY_FREE)
		__builtin_prefetch((void *)(arg - sizeof(size_t)), 1);
}

static void drain_uniform(struct drainer *d, struct defer_page *p, size_t budget)
{
	uint32_t used = defer_used(p);
	uintptr_t func = p->open.key;

	for (uint32_t i = p->cursor; i < used && d->done < budget; i++) {
		uintptr_t arg = load_acquire(&p->word[i]);

		if (unlikely(load(&pipe.pause)))
			rest(d);
		if (i + AHEAD < used)
			prefetch(func, load(&p->word[i + AHEAD]));
		if (likely(arg || !p->shared)) {
			if (!breaks(DRAIN_CURSOR_LATE))
				advance_cursor(d, p, i + 1);
			breaks_stop(INVOKE);
			invoke(func, arg);
			if (breaks(DRAIN_CURSOR_LATE))
				advance_cursor(d, p, i + 1);
		} else {
			store(&p->cursor, i + 1);
		}
	}
}

static void drain_mixed(struct drainer *d, struct defer_page *p, size_t budget)
{
	uint32_t used = defer_used(p), width = defer_width(p->open.key);

	for (uint32_t i = p->cursor; i < used && d->done < budget; i += width) {
		uintptr_t func = load_acquire(&p->word[i]), arg = load(&p->word[i + 1]);

		if (unlikely(load(&pipe.pause)))
			rest(d);
		if (i + AHEAD * width < used)
			prefetch(load(&p->word[i + AHEAD * width]), load(&p->word[i + AHEAD * width + 1]));
		if (!func) {
			store(&p->cursor, i + width);
			continue;
		}
		if (p->open.key == KEY_DEBUG && p->word[i + 2])
			defer_debug_unmark((struct anyrcu_head *)p->word[i + 2], func, p->word[i + 3]);
		advance_cursor(d, p, i + width);
		invoke(func, arg);
	}
}

static void drain_chain(struct drainer *d, size_t budget)
{
	while (d->head && d->done < budget) {
		struct anyrcu_head *head = d->head;
		uintptr_t func = (uintptr_t)head->func;

		if (unlikely(load(&pipe.pause)))
			rest(d);
		store(&d->head, head->next);
		store(&d->done, d->done + 1);
		release_fence();
		if (func <= 4096)
			port_free((char *)head - (func - KEY_FREE));
		else
			head->func(head);
	}
}

size_t defer_drain(size_t budget, unsigned how)
{
	int cancel = port_cancel_off();
	struct drainer *d = NULL;
	size_t n = 0;

	port_thread_exit_arm(); /* a callback may end the thread, which need not have been a reader yet */
	while ((d = turn(d, n < budget, how & DEFER_ONLY_FREE))) {
		/*
		 * Objects were made and deferred on this page's CPU, and will be made again there: their lines, and malloc's lists through
		 * them, are in its caches. Draining on another CPU pulls each of them over and back; measured, that doubles the whole cost
		 * of an object.
		 */
		if (d->page && (how & DEFER_FOLLOW))
			port_follow(d->page->cpu);
		if (!d->page)
			drain_chain(d, budget - n);
		else if (defer_width(d->page->open.key) == 1)
			drain_uniform(d, d->page, budget - n);
		else
			drain_mixed(d, d->page, budget - n);
		n += d->done;
	}
	port_cancel_on(cancel);
	return n;
}

/* A callback may end its thread: what is left of the page is for others. */
void defer_thread_exit(void)
{
	struct defer_page *drained = NULL;
	struct drainer *d = drainer_of(port_self());

	if (!d)
		return;
	port_lock(&pipe.lock);
	if (breaks(DRAIN_EXIT_DROPS))
		store(&d->owner, 0);
	else
		drained = give_back(d);
	port_unlock(&pipe.lock);
	page_free(drained, 0);
}

/* ---- moving on ---- */

static bool anything_open(void)
{
	if (load(&defer_chain))
		return true;
	for (uint32_t cpu = 0; cpu < load(&defer_ncpus); cpu++)
		for (unsigned kind = 0; kind < KINDS; kind++)
			if (load(&defer_cpus[cpu].rseq[kind]) || load(&defer_cpus[cpu].shared[kind]))
				return true;
	return false;
}

/*
 * Must the open pages be collected? When full ones are collected anyway, already after half of the delay: then a busy worker is always
 * woken by the caller that fills a page, which makes way for it at once, and not by its timer in the middle of a caller's time slice,
 * behind which it would queue while pages pile up.
 */
static bool due(bool backlog)
{
	uint64_t early = backlog ? load(&defer_limits.delay_ns) / 2 : 0;

	return (int64_t)(port_now() + early - load(&pipe.due)) >= 0 && anything_open();
}

/* Returns whether there is a new generation. */
static bool advance(void)
{
	bool collected = false;

	if (load(&pipe.waits))
		gp_step();
	port_lock(&pipe.lock);
	if (pipe.waits && anyrcu_gp_done(pipe.cookie))
		make_ready();
	if (!pipe.waits) {
		bool backlog = load(&defer_sealed) >= DEFER_SEALED_WAKE, all = pipe.force || due(backlog);

		if (all || backlog || pipe.unsettled)
			collect(all);
		collected = pipe.waits;
	} else if (load(&defer_sealed) >= DEFER_SEALED_WAKE) {
		flood_check(); /* a reader that stalls is when a flood comes, and nothing is collected */
	}
	port_unlock(&pipe.lock);
	return collected;
}

/* With no reader in the way a grace period takes one step: what was just collected is then ready at once. */
void defer_advance(void)
{
	if (advance())
		advance();
}

bool defer_waiting(anyrcu_gp_t *cookie)
{
	bool waits;

	port_lock(&pipe.lock);
	*cookie = pipe.cookie;
	waits = pipe.waits && !anyrcu_gp_done(pipe.cookie);
	port_unlock(&pipe.lock);
	return waits;
}

bool defer_empty(void)
{
	bool empty;

	port_lock(&pipe.lock);
	empty = !pipe.waits && !pipe.unsettled && !pipe.nready && !pipe.force && !anything_open();
	port_unlock(&pipe.lock);
	return empty;
}

bool defer_moving(void)
{
	return load(&pipe.force) || load(&pipe.waits) || load(&pipe.nready);
}

uint64_t defer_due(void)
{
	return load(&pipe.due);
}

void defer_delay_starts(void)
{
	port_lock(&pipe.lock);
	store(&pipe.due, port_now() + load(&defer_limits.delay_ns));
	port_unlock(&pipe.lock);
}

/*
 * Has all of generation @gen been invoked, and of those before? In each place the first one is the oldest. Under the lock.
 */
static bool all_invoked(uint64_t gen)
{
	if (pipe.gen < gen || (pipe.waits && (pipe.gen == gen || (pipe.waiting && pipe.waiting->gen <= gen))))
		return false;
	if (pipe.unsettled && pipe.unsettled->gen <= gen)
		return false;
	for (unsigned i = 0; i < READY; i++)
		if (pipe.ready[i].first && pipe.ready[i].first->gen <= gen)
			return false;
	for (unsigned i = 0; i < CHAINS; i++)
		if (pipe.chains[i].head && pipe.chains[i].gen <= gen)
			return false;
	for (unsigned i = 0; i < DRAINERS; i++)
		if (pipe.drainers[i].owner && pipe.drainers[i].gen <= gen && !breaks(BARRIER_SKIPS_DRAINERS))
			return false;
	return true;
}

void anyrcu_barrier(void)
{
	bool done, online;
	uint64_t gen;

	gp_must_not_read("anyrcu_barrier()");
	if (defer_in_callback())
		port_bug("anyrcu_barrier() inside a callback");
	online = gp_waits_begin();
	full_fence();
	port_lock(&pipe.lock);
	gen = pipe.gen + !breaks(BARRIER_EARLY);
	store(&pipe.force, true);
	port_unlock(&pipe.lock);
	defer_wake(true);
	for (unsigned round = 0;; round++) {
		uint32_t progress = load_acquire(&pipe.progress);
		anyrcu_gp_t cookie;

		defer_advance();
		if (!defer_workers())
			defer_drain(SIZE_MAX, 0);
		port_lock(&pipe.lock);
		done = all_invoked(gen);
		port_unlock(&pipe.lock);
		if (done)
			break;
		if (defer_waiting(&cookie)) {
			gp_pause(cookie, round);
			gp_stall_check();
		} else {
			__atomic_fetch_add(&pipe.watchers, 1, __ATOMIC_SEQ_CST);
			port_wait(&pipe.progress, progress, 1000000);
			__atomic_fetch_sub(&pipe.watchers, 1, __ATOMIC_SEQ_CST);
		}
	}
	gp_waits_end(online);
	full_fence();
}

size_t anyrcu_reclaim(size_t budget)
{
	size_t n;

	gp_must_not_read("anyrcu_reclaim()");
	if (defer_in_callback())
		port_bug("anyrcu_reclaim() inside a callback");
	if (gp_wanted())
		gp_step();
	defer_advance();
	n = defer_drain(budget, 0);
	defer_advance();
	if (pages_want_refill())
		pages_refill();
	return n;
}

/* ---- fork ---- */

/* Under the lock. Another fork may have come to its end while we waited without it, so "pause" is set again each time. */
static bool all_rest(void)
{
	store(&pipe.pause, 1);
	full_fence(); /* pairs with that in rest() */
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &pipe.drainers[i];

		if (d->owner && d->owner != port_self() && !load_acquire(&d->resting) && !breaks(FORK_NO_REST))
			return false;
	}
	return true;
}

void defer_fork_prepare(void)
{
	uint64_t give_up = port_now() + FORK_PATIENCE;

	port_lock(&pipe.lock);
	while (!all_rest() && (int64_t)(port_now() - give_up) < 0) {
		port_unlock(&pipe.lock);
		port_sleep(20000);
		port_lock(&pipe.lock);
	}
}

void defer_fork_parent(void)
{
	store(&pipe.pause, 0);
	port_wake(&pipe.pause);
	port_unlock(&pipe.lock);
}

/* A thread that is no more may have sealed a page and not counted what is in it. */
static void count_sealed_anew(void)
{
	uint64_t n = 0;

	for (uint32_t cpu = 0; cpu < load(&defer_ncpus); cpu++) {
		for (unsigned i = 0; i < 2 * KINDS; i++) {
			struct defer_cpu *c = &defer_cpus[cpu];
			struct defer_page *p = load_acquire(i < KINDS ? &c->rseq[i] : &c->shared[i - KINDS]);

			while (p && (p = load(&p->next)))
				n += objects(p);
		}
	}
	store(&defer_sealed_objects, n);
}

/* What threads that are no more had taken is given back here, before there can be another with the same port_self(). */
void defer_fork_child(void)
{
	store(&pipe.watchers, 0);
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &pipe.drainers[i];

		if (d->owner && d->owner != port_self() && breaks(FORK_DROPS_TAKEN))
			store(&d->owner, 0);
		else if (d->owner && d->owner != port_self())
			page_free(give_back(d), 0);
	}
	count_sealed_anew();
	defer_fork_parent();
}
