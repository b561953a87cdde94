/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Pages and chains that are ready, and the threads that have taken one. See pipe.h. */
#include <defer/pipe.h>

struct port_lock defer_lock;
struct defer_pipe defer_pipe;

static struct ready *ready_of(unsigned cpu)
{
	return &defer_pipe.ready[cpu % READY];
}

void ready_page(struct store_page *p)
{
	struct ready *r = ready_of(p->cpu);

	p->next = NULL;
	*(r->first ? r->end : &r->first) = p;
	r->end = &p->next;
	store(&defer_pipe.nready, defer_pipe.nready + 1);
}

/* Put a page back to its place, mostly the front: behind older generations. */
static void page_return(struct store_page *p)
{
	struct ready *r = ready_of(p->cpu);
	struct store_page **at = &r->first;

	while (*at && (*at)->gen < p->gen)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	if (!p->next)
		r->end = &p->next;
	store(&defer_pipe.nready, defer_pipe.nready + 1);
}

/*
 * May a thread that invokes no callbacks take @p? It frees what comes before the first callback,
 * and skips slots without an object.
 */
static bool begins_with_free(const struct store_page *p)
{
	return p->open.key == KEY_FREE ||
	       (store_width(p->open.key) > 1 && load(&p->word[p->cursor]) <= KEY_FREE);
}

/*
 * The list whose first page is of the oldest generation; of several, that of this CPU or the next
 * after it. So a drainer seldom has to move, and several drainers spread over the CPUs.
 */
static struct ready *ready_oldest(unsigned cpu, bool only_free)
{
	struct ready *best = NULL;

	for (unsigned i = 0; i < READY; i++) {
		struct ready *r = ready_of(cpu + i);
		struct store_page *p = r->first;

		if (p && (!only_free || begins_with_free(p)) &&
		    (!best || p->gen < best->first->gen))
			best = r;
	}
	return best;
}

static struct store_page *page_acquire(unsigned cpu, bool only_free)
{
	struct ready *r = ready_oldest(cpu, only_free);
	struct store_page *p;

	if (!r)
		return NULL;
	p = r->first;
	r->first = p->next;
	store(&defer_pipe.nready, defer_pipe.nready - 1);
	return p;
}

static struct chain *chain_free(void)
{
	for (unsigned i = 0; i < CHAINS; i++)
		if (!defer_pipe.chains[i].head && !defer_pipe.chains[i].taken)
			return &defer_pipe.chains[i];
	return NULL;
}

bool ready_chain(struct anyrcu_head *head, uint64_t gen)
{
	struct chain *c = chain_free();

	if (!c)
		return false;
	*c = (struct chain){ .head = head, .gen = gen };
	store(&defer_pipe.nready, defer_pipe.nready + 1);
	return true;
}

bool ready_until(uint64_t gen)
{
	for (unsigned i = 0; i < READY; i++)
		if (defer_pipe.ready[i].first && defer_pipe.ready[i].first->gen <= gen)
			return true;
	for (unsigned i = 0; i < CHAINS; i++)
		if (defer_pipe.chains[i].head && !defer_pipe.chains[i].taken &&
		    defer_pipe.chains[i].gen <= gen)
			return true;
	return false;
}

/* ---- drainers ---- */

struct drainer *drainer_of(uint64_t owner)
{
	for (unsigned i = 0; i < DRAINERS; i++)
		if (load(&defer_pipe.drainers[i].owner) == owner)
			return &defer_pipe.drainers[i];
	return NULL;
}

bool defer_in_callback(void)
{
	return drainer_of(port_id()) != NULL;
}

struct store_page *drainer_release(struct drainer *d)
{
	struct store_page *p = d->page;

	if (d->chain) {
		d->chain->head = d->head;
		d->chain->taken = false;
		if (d->head)
			store(&defer_pipe.nready, defer_pipe.nready + 1);
		else
			count_add(&defer_stats.drained_chains, 1);
	} else if (p->cursor < store_used(p)) {
		page_return(p);
		p = NULL;
	} else {
		count_add(&defer_stats.drained_pages, 1);
		count_add(&defer_store.bytes, -(uint64_t)sizeof(*p)); /* see store_page_free() */
	}
	port_probe2(drain, d->gen, d->done);
	__atomic_fetch_add(&defer_stats.invoked, d->done, __ATOMIC_RELEASE);
	store(&d->owner, 0);
	event_signal(&defer_pipe.progress);
	return p;
}

static bool chain_acquire(struct drainer *d)
{
	struct chain *c = NULL;

	for (unsigned i = 0; i < CHAINS; i++)
		if (defer_pipe.chains[i].head && !defer_pipe.chains[i].taken &&
		    (!c || defer_pipe.chains[i].gen < c->gen))
			c = &defer_pipe.chains[i];
	if (!c)
		return false;
	c->taken = true;
	d->chain = c;
	d->head = c->head;
	d->gen = c->gen;
	store(&defer_pipe.nready, defer_pipe.nready - 1);
	return true;
}

struct drainer *drainer_acquire(bool only_free)
{
	struct drainer *d = load(&defer_pipe.pause) ? NULL : drainer_of(0);

	if (!d)
		return NULL;
	d->page = page_acquire(port_cpu(), only_free);
	d->chain = NULL;
	d->done = 0;
	d->paused = 0;
	d->in_barrier = false;
	if (d->page)
		d->gen = d->page->gen;
	if (!d->page && (only_free || !chain_acquire(d)))
		return NULL;
	d->tid = port_tid();
	store(&d->owner, port_id());
	return d;
}

/*
 * The CPU of the page that is to be drained next. Its objects were allocated and deferred on that
 * CPU, and will be allocated there again, so their cache lines, and malloc's lists through them,
 * are in its caches. Draining on another CPU moves each line there and back; measured, that doubles
 * the whole cost of an object.
 */
unsigned ready_cpu(void)
{
	unsigned cpu = port_cpu();
	struct ready *r = ready_oldest(cpu, false);

	return r ? r->first->cpu : cpu;
}
