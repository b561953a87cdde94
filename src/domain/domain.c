/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Domains: ordered queues of callbacks, each with a worker and a grace-period source of its own.
 *
 *     store (lanes, chain) --collect--> batch --grace periods--> ready --> callbacks, one by one
 *     append.c                                                             worker.c
 *
 * The batch waits for two grace periods: an anyrcu one, after which its pages are settled (see
 * store.h), and then the source's, which begins after each object in the pages was unlinked and
 * stored.
 */
#include <domain/private.h>
#include <gp/gp.h>
#include <pages/pages.h>

void anyrcu_domain_call(struct anyrcu_domain *domain, struct anyrcu_head *head,
			void (*func)(struct anyrcu_head *head))
{
	domain_call(domain, head, func, (uintptr_t)__builtin_return_address(0));
}

uint64_t domain_open(struct anyrcu_domain *d)
{
	uint64_t n = 0;

	port_lock(&domain_lock); /* whoever holds it takes pages away, and nobody else does */
	for (unsigned i = 0; i < LANES; i++)
		for (const struct store_page *p = load_acquire(&d->lane[i].open[0]); p;
		     p = load(&p->next))
			n += store_objects(p);
	for (const struct store_page *p = d->ready ? NULL : d->batch; p; p = p->next)
		n += store_objects(p);
	port_unlock(&domain_lock);
	return n;
}

/* ---- barrier and end ---- */

/*
 * Collections have numbers. A collection that begins after this contains everything that was
 * deferred before: we fence and read the number of the last collection; the worker increments the
 * number, fences, and takes the pages. The worker clears "force" before it increments the number.
 * So if we have read the new number, our store to "force" comes after that and is not cleared by
 * this collection.
 */
uint32_t domain_barrier_begin(struct anyrcu_domain *d)
{
	uint32_t want;

	full_fence();
	/* acquire: the store to "force" must not become visible before this load */
	want = load_acquire(&d->begun) + 1;
	store(&d->force, 1);
	domain_wake(d, true);
	return want;
}

void domain_barrier_end(struct anyrcu_domain *d, uint32_t want)
{
	for (;;) {
		uint32_t over = event_prepare(&d->over);

		if (domain_has_ended(d, want) && (load(&d->worker) || !load(&d->force)))
			break;
		if (load_acquire(&d->coming) || !domain_stand_in(d, want))
			port_wait(&d->over, over, 1000000000);
	}
	port_acquire(&d->ended);
	full_fence();
}

void anyrcu_domain_barrier(struct anyrcu_domain *d)
{
	bool online;

	gp_may_wait("anyrcu_domain_barrier()");
	if (domain_is_worker(d))
		port_bug("anyrcu_domain_barrier() inside a callback of the domain");
	store_tells(&d->store, STORE_BARRIER, __builtin_return_address(0));
	online = gp_waits_begin(); /* each batch waits for a grace period of anyrcu too */
	domain_barrier_end(d, domain_barrier_begin(d));
	gp_waits_end(online);
}

/*
 * The memory is used only for domains from now on: a thread that was started for this one may still
 * check whether it is wanted.
 */
void domain_unmake(struct anyrcu_domain *d)
{
	struct anyrcu_domain **at = &domains.first;

	store(&d->stop, 1);
	store_tells(&d->store, STORE_GONE, NULL);
	port_lock(&domain_lock);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->next = domains.free;
	domains.free = d;
	port_unlock(&domain_lock);
}

void domain_stop(struct anyrcu_domain *d)
{
	store(&d->stop, 1);
	full_fence(); /* between the store to "stop" and the loads of "worker" */
	for (;;) {
		uint32_t over = event_prepare(&d->over);

		if (!load_acquire(&d->worker))
			break;
		domain_wake(d, true);
		port_wait(&d->over, over, 1000000);
	}
	port_tid_await_death(load(&d->tid));
}

void anyrcu_domain_destroy(struct anyrcu_domain *d, struct anyrcu_domain *into)
{
	bool online;

	if (!d)
		return;
	gp_may_wait("anyrcu_domain_destroy()");
	online = gp_waits_begin();
	if (into)
		store(&d->merger, port_id());
	else
		anyrcu_domain_barrier(d);
	domain_stop(d);
	if (into)
		domain_merge(d, into);
	anyrcu_synchronize(); /* the last caller has left domain_call() */
	domain_unmake(d);
	gp_waits_end(online);
}

/* A new or reused domain, all zero but for "stop" and the words that a late thread uses. */
static struct anyrcu_domain *domain_alloc(void)
{
	struct anyrcu_domain *d;

	port_lock(&domain_lock);
	d = domains.free;
	if (d)
		domains.free = d->next;
	port_unlock(&domain_lock);
	if (!d) {
		d = port_map(ANYRCU_PAGE_SIZE, ANYRCU_PAGE_SIZE);
		if (d)
			d->stop = 1;
		return d;
	}
	for (unsigned round = 0; load_acquire(&d->worker); round++)
		port_yield(round);
	memset(d, 0, offsetof(struct anyrcu_domain, worker));
	d->asleep = AWAKE;
	d->merger = 0;
	d->pause = d->paused = 0;
	d->tid = 0;
	d->coming = false;
	d->batch = NULL;
	d->batch_chain = NULL;
	d->ready = d->wanted = false;
	d->ended = d->begun;
	d->start_at = 0;
	memset(&d->stats, 0, sizeof(d->stats));
	return d;
}

/* A page that is appended to by atomics, so all zero. */
static void *lane_page(bool zero, unsigned context)
{
	return page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, 0);
}

int domain_make(struct anyrcu_domain **out, const struct anyrcu_source *source,
		const struct anyrcu_domain_config *config)
{
	struct anyrcu_domain_config c = { 0 };
	struct anyrcu_domain *d;

	if (config)
		memcpy(&c, config, config->size < sizeof(c) ? config->size : sizeof(c));
	c.delay_us = c.delay_us ?: STORE_DELAY_US;
	c.pending_max = c.pending_max ?: STORE_PENDING_MAX;
	c.page_bytes_max = c.page_bytes_max ?: STORE_BYTES_MAX;
	if (source->size < offsetof(struct anyrcu_source, thread_begin) || !source->synchronize ||
	    c.delay_us > 10000000 || c.pending_max < 1024 || c.page_bytes_max < 65536 ||
	    (c.pinned && (c.cpu < 0 || c.cpu >= PORT_CPUS_MAX)))
		return DOMAIN_EINVAL;
	d = domain_alloc();
	if (!d)
		return DOMAIN_ENOMEM;
	memset(&d->source, 0, sizeof(d->source));
	memcpy(&d->source, source, source->size < sizeof(*source) ? source->size : sizeof(*source));
	d->config = c;
	d->store.place = d->lane;
	d->store.nplaces = LANES;
	d->store.nkinds = 1;
	d->store.page = lane_page;
	d->store.bytes_max = c.page_bytes_max;
	d->start_pause = DOMAIN_PAUSE_MIN;
	store_release(&d->stop, 0);
	port_lock(&domain_lock);
	d->next = domains.first;
	domains.first = d;
	port_unlock(&domain_lock);
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
	s.bytes = load(&d->store.bytes);
	s.bytes_high = load(&d->store.bytes_high);
	memcpy(out, &s, s.size < sizeof(s) ? s.size : sizeof(s));
}
