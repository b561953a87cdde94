/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The slow paths of a cache's operations: the fast path has found no room in the current CPU's
 * pages, or no object. See queue.c for the queue of a CPU, and for why it is safe.
 */
#include <anyrcu/rcu.h>
#include <cache/queue.h>

#define TRIES 8
/* With so many sealed pages of a CPU, or of all, an allocation drives grace periods, if it may. */
#define WAITING_DRIVE 2
#define WAITING_ALL 4
#define WAITING_SHARE 3 /* with so many sealed pages of a CPU, its matured pages are for all CPUs */
/* At most so many at once, as grace periods wait for this section; more than one, to catch up. */
#define SHARES 4
#define WAITING_WAKE 32 /* the worker is woken each time that so many more pages wait */

/* ---- deferred free ---- */

static bool defer(struct anyrcu_cache *c, struct queue_view *v, void *p, uint32_t *wait)
{
	for (int i = 0; i < TRIES; i++) {
		struct magazine *m, *open, *x;

		if (queue_append(c, v, true, p))
			return true;
		m = load(&v->q->magazine);
		open = load(&v->q->open);
		if (!m || !open) {
			if (!queue_complete(c, v, ANYRCU_GFP_NO_LOCKS))
				return false;
			continue;
		}
		if (!magazine_full(open))
			continue;
		x = magazine_make(c, ANYRCU_GFP_NO_LOCKS, p);
		if (!x)
			return false;
		if (queue_seal(c, v, m, open, x)) {
			for (int n = 0; n < SHARES && queue_waiting(v) >= WAITING_SHARE; n++)
				if (!queue_share(c, v))
					break;
			*wait = queue_waiting(v);
			return true;
		}
		magazine_free(x);
	}
	return false;
}

void cache_defer_slow(struct anyrcu_cache *c, void *p, const void *caller)
{
	uint32_t wait = 0;
	struct queue_view v;
	bool done = false;

	if (!cache_owns(c, p))
		cache_foreign(c, p, caller);
	cache_debug_free(c, p, caller);
	port_release(c);

	anyrcu_read_lock();
	for (int sequences = 1; sequences >= 0 && !done; sequences--) {
		if (queue_view(c, &v, sequences)) {
			done = defer(c, &v, p, &wait);
			queue_view_end(&v);
		}
	}
	anyrcu_read_unlock();
	if (!done)
		cache_chain(c, p);
	cache_use();
	if (wait && wait % WAITING_WAKE == 0)
		anyrcu_gp_start();
}

/* ---- immediate free ---- */

static bool give(struct anyrcu_cache *c, struct queue_view *v, void *p)
{
	for (int i = 0; i < TRIES; i++) {
		struct magazine *m, *x;

		if (queue_append(c, v, false, p))
			return true;
		m = load(&v->q->magazine);
		if (!m || !load(&v->q->open)) {
			if (!queue_complete(c, v, ANYRCU_GFP_NO_LOCKS))
				return false;
			continue;
		}
		if (!magazine_full(m))
			continue;
		x = magazine_make(c, ANYRCU_GFP_NO_LOCKS, p);
		if (!x)
			return false;
		if (queue_replace(c, v, m, c->cap, x)) {
			magazine_push(&c->full, m);
			return true;
		}
		magazine_free(x);
	}
	return false;
}

void cache_free_slow(struct anyrcu_cache *c, void *p, const void *caller)
{
	struct queue_view v;
	bool done = false;

	cache_debug_free(c, p, caller);
	cache_debug_matured(c, p);
	port_release(c);

	anyrcu_read_lock();
	for (int sequences = 1; sequences >= 0 && !done; sequences--) {
		if (queue_view(c, &v, sequences)) {
			done = give(c, &v, p);
			queue_view_end(&v);
		}
	}
	anyrcu_read_unlock();
	if (!done)
		cache_chain(c, p);
}

/* ---- allocation ---- */

/* From the queue alone, which advances if its magazine is empty. */
static void *pop_advancing(struct anyrcu_cache *c, struct queue_view *v)
{
	for (int i = 0; i < TRIES; i++) {
		void *p = queue_pop(c, v);
		struct magazine *m, *open, *x;

		if (p)
			return p;
		m = load(&v->q->magazine);
		open = load(&v->q->open);
		if (!m || !open)
			return NULL;
		if (load(&m->open.count) || queue_advance(c, v))
			continue;
		if (load(&m->next) != open || !magazine_full(open))
			return NULL;
		x = magazine_make(c, ANYRCU_GFP_NO_LOCKS, NULL);
		if (!x)
			return NULL;
		if (!queue_seal(c, v, m, open, x))
			magazine_free(x);
	}
	return NULL;
}

/* Make @x the magazine, if the present one is empty. */
static bool install(struct anyrcu_cache *c, struct queue_view *v, struct magazine *x)
{
	struct magazine *m;

	for (int i = 0; i < 2; i++)
		if (!queue_complete(c, v, ANYRCU_GFP_NO_LOCKS))
			return false;
	m = load(&v->q->magazine);
	if (!m || load(&m->open.count) || !queue_replace(c, v, m, 0, x))
		return false;
	magazine_free(m);
	return true;
}

/* From all CPUs' matured pages, or from a slab. */
static void *refill(struct anyrcu_cache *c, struct queue_view *v, unsigned gfp)
{
	struct magazine *x = magazine_pop(&c->full);
	uint32_t n;
	void *p;

	if (!x) {
		x = magazine_make(c, gfp, NULL);
		if (x && !slab_carve(c, x, gfp)) {
			magazine_free(x);
			x = NULL;
		}
	}
	if (!x)
		return slab_carve_one(c, gfp);
	n = load(&x->open.count) - 1;
	p = (void *)load(&x->word[n]);
	store(&x->open.count, n);
	if (v && install(c, v, x))
		return p;
	if (n)
		magazine_push(&c->full, x);
	else
		magazine_free(x);
	return p;
}

static void *from_queue(struct anyrcu_cache *c, uint32_t *wait)
{
	struct queue_view v;
	void *p;

	if (!queue_view(c, &v, true))
		return NULL;
	p = pop_advancing(c, &v);
	*wait = p ? 0 : queue_waiting(&v);
	queue_view_end(&v);
	return p;
}

static void *alloc(struct anyrcu_cache *c, unsigned gfp)
{
	uint32_t wait = 0;
	struct queue_view v;
	bool have;
	void *p;

	anyrcu_read_lock();
	p = from_queue(c, &wait);
	/* A task drives a grace period, if enough pages of its CPU, or of all, wait for one. */
	if (!p && gfp == ANYRCU_GFP_KERNEL &&
	    (wait >= WAITING_DRIVE || load(&c->sealed) >= WAITING_ALL)) {
		anyrcu_read_unlock();
		gp_cookie();
		gp_step();
		gp_step();
		anyrcu_read_lock();
		p = from_queue(c, &wait);
	}
	if (!p) {
		have = queue_view(c, &v, true);
		p = refill(c, have ? &v : NULL, gfp);
		if (have)
			queue_view_end(&v);
	}
	anyrcu_read_unlock();
	return p;
}

void *cache_alloc_slow(struct anyrcu_cache *c, unsigned gfp, const void *caller)
{
	void *p = alloc(c, gfp & 3);

	/*
	 * The bound is reached, or there is no memory: collect free objects of other CPUs, and
	 * deferred ones. Not in a thread that is online, where waiting would end its section.
	 */
	if (!p && (gfp & 3) == ANYRCU_GFP_KERNEL && !anyrcu_read_lock_held()) {
		cache_collect(c);
		p = alloc(c, ANYRCU_GFP_KERNEL);
	}
	port_acquire(c);
	cache_debug_alloc(c, p, caller);
	return p;
}
