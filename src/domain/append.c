/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Domains: storing. A domain's queue is a store (see store.h) whose places are lanes: a thread
 * stays in one lane, and the lane's pages keep the order of their slots.
 *
 * Order. Of two calls of one thread (or its handlers), the first one's slot is before the second
 * one's in the same page, or is in an older page. If no page is available, the object goes to the
 * chain, and as long as the chain is not empty, so do all later objects. So no object enters a page
 * after a later object is in the chain, except from a caller that had read the chain as empty
 * before; that caller is inside a read-side section. A collection that finds the chain in use
 * therefore first waits for an anyrcu grace period, then takes the pages, then the chain: objects
 * in pages precede those in the chain, and objects that are taken precede those that are not. A
 * collection that finds the chain empty takes the pages alone. The batch is invoked lane by lane,
 * from the oldest page to the newest, then the chain, which is a stack, from its bottom.
 */
#include <domain/private.h>
#include <gp/gp.h>
#include <pages/pages.h>

#define BACKOFF 50000 /* ns that a caller sleeps, times the square of the bounds that are full, */
#define BACKOFF_MAX 100 /* or times this at most */

struct port_lock domain_lock;
struct domains domains;

bool domain_runs(const struct anyrcu_domain *d)
{
	return load(&d->worker);
}

bool domain_is_worker(const struct anyrcu_domain *d)
{
	return load(&d->worker) == port_id();
}

/*
 * The calling thread's lane. A handler may choose it in between; the thread then keeps that lane.
 */
static inline uint32_t my_lane(void)
{
	static PORT_THREAD_LOCAL uint32_t mine;
	static uint32_t last;

	if (unlikely(!load(&mine)))
		cmpxchg(&mine, 0, fetch_add(&last, 1) % LANES + 1);
	return load(&mine) - 1;
}

noinline void domain_wake(struct anyrcu_domain *d, bool urgent)
{
	uint32_t how;

	/*
	 * Pairs with that in idle(): the object is stored before we check whether the worker
	 * sleeps.
	 */
	full_fence();
	how = load(&d->asleep);
	if (how == AWAKE || (how == TICKING && !urgent))
		return;
	if (how != RINGING && !cmpxchg(&d->asleep, how, RINGING))
		return;
	count_add(&d->stats.worker_wakes, 1);
	port_wake(&d->asleep);
}

/*
 * A caller that has filled a page while too much is pending sleeps for a while, to slow down
 * deferrals that are faster than invocation. It does not while the worker waits for readers, as the
 * caller may be such a reader and sleeping would not help; nor if there is no worker.
 */
static void backoff(struct anyrcu_domain *d)
{
	uint64_t full =
		load(&d->store.bytes) / ANYRCU_PAGE_SIZE * STORE_WORDS / d->config.pending_max;

	if (likely(!full) || !load(&d->ready) || !load(&d->worker) || domain_is_worker(d))
		return;
	full = full * full < BACKOFF_MAX ? full * full : BACKOFF_MAX;
	count_add(&d->stats.gave_way, 1);
	port_sleep(full * BACKOFF);
}

/* After a page was opened, outside the section. */
static noinline void opened(struct anyrcu_domain *d, const struct store_object *o)
{
	if (d->config.poll)
		return;
	domain_wake(d, store_completed_backlog(&d->store, o));
	if (o->sealed)
		backoff(d);
}

static noinline void push_chain(struct anyrcu_domain *d, struct anyrcu_head *head, uintptr_t func)
{
	head->func = (void (*)(struct anyrcu_head *))func;
	store_chain_push(&d->store, head);
	if (!d->config.poll)
		domain_wake(d, false);
}

/*
 * Append to the lane's open page, or open one, as long as the chain is empty. The chain must be
 * read before the page's pointer: a collection takes the pages, then the chain, so in the other
 * order the caller could put an object that comes after those of the chain into a page that is
 * invoked before the chain. In a read-side critical section.
 */
static enum store_result append_lane(struct anyrcu_domain *d, struct store_page **where,
				     uintptr_t key, struct store_object *o)
{
	enum store_result result = STORE_AGAIN;

	while (result == STORE_AGAIN) {
		if (load_acquire(&d->store.chain))
			return STORE_REFUSED;
		result = store_append_or_open(&d->store, where, key, port_cpu(), o);
		/* A page with another key was opened before debug mode was switched on. */
		if (unlikely(result == STORE_OTHER))
			result = store_open(&d->store, where, load_acquire(where), key, true,
					    port_cpu(), o);
	}
	return result;
}

noinline void domain_append(struct anyrcu_domain *d, struct anyrcu_head *head, uintptr_t func,
			    uintptr_t caller)
{
	struct store_object o = { .func = func, .arg = (uintptr_t)head, .head = (uintptr_t)head };
	struct store_page **where = &d->lane[my_lane()].open[0];
	enum store_result result;

	o.caller = caller;
	if (!func)
		port_bug("deferral of head %p has no function; it comes from %a", (void *)head,
			 (void *)caller);
	if (!store_debug)
		store(&head->func, (void (*)(struct anyrcu_head *))func);
	anyrcu_read_lock();
	result = append_lane(d, where, store_debug ? KEY_WIDE : KEY_HEAD, &o);
	anyrcu_read_unlock();
	if (result == STORE_OPENED)
		opened(d, &o);
	else if (result == STORE_REFUSED)
		push_chain(d, head, func);
}

void domain_call(struct anyrcu_domain *d, struct anyrcu_head *head,
		 void (*func)(struct anyrcu_head *head), uintptr_t caller)
{
	struct store_object o = { .arg = (uintptr_t)head };
	enum store_result result = STORE_FULL;

	if (unlikely(load(&store_debug)))
		store_debug_mark(head, caller);
	port_atomic(head, sizeof(*head));
	/* Before the page is found: the collector acquires once it has taken the page. */
	port_release(&d->store.chain);
	if (unlikely(!func || load(&store_debug)))
		return domain_append(d, head, (uintptr_t)func, caller);
	store(&head->func, func);
	anyrcu_read_lock();
	if (likely(!load_acquire(&d->store.chain))) /* before the page: see append_lane() */
		result = store_append(load_acquire(&d->lane[my_lane()].open[0]), KEY_HEAD, &o);
	anyrcu_read_unlock();
	if (unlikely(result != STORE_DONE))
		domain_append(d, head, (uintptr_t)func, caller);
}
