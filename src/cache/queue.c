/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The life of a magazine, which is a page of pointers to free objects.
 *
 * Each CPU has a queue of pages:
 *
 *     magazine ──► sealed ──► sealed ──► open          full: a stack of pages for all CPUs
 *     allocation   each with the cookie  deferred
 *     takes from   of a grace period     frees go here
 *
 * - Allocation takes the last pointer of the magazine. If the magazine is empty and the grace
 *   period of the page behind it is over, that page becomes the magazine: one store, and no work
 *   for its objects. The allocating thread polls the cookie itself; no other thread is needed.
 * - A deferred free appends to the open page. A full open page is sealed: it gets a cookie, and a
 *   new page behind it, which already contains the object, becomes the open page, by one store.
 * - An immediate free appends to the magazine. A full magazine goes to "full", and a new magazine
 *   with the object takes its place.
 * - If no page is matured (its grace period over), allocation takes a page from "full", or carves
 *   objects from a slab. The emptied page becomes free.
 *
 * Which thread changes what. There are two sets of queues. The links and pages of the first set are
 * changed only by restartable sequences on their own CPU. A sequence checks everything that it
 * relies on and then makes one store that commits, so sequences exclude each other. A thread that
 * stops or dies before that store has changed nothing that another thread uses: its earlier stores
 * are beyond the count of a page, or in a page that is not linked yet, or in the link and the
 * cookie of the open page, which are read only after the page is sealed, and which the thread that
 * seals it writes again. The second set is for threads and systems without sequences. A thread
 * claims a queue by a cmpxchg on its owner, and does the same stores in the same order. No thread
 * ever waits for an owner: if a queue has one, the thread takes the queue of another CPU, and if
 * all have (a handler on a machine with one CPU), an allocation carves an object from a slab and a
 * free uses the chain. The exit of a thread, and the child of a fork, release queues whose owners
 * no longer exist: as each step has one store that commits, such a queue is consistent.
 *
 * A page that a thread has taken is in no queue. If a handler ends the thread there, or the thread
 * does not exist in the child of a fork, at most the objects of that one page stay unused.
 *
 * Reading a page that another queue uses by now is harmless, as pages of pointers are never
 * unmapped; the sequence compares what was read once more, link by link from the queue on. A
 * comparison alone cannot detect that a page went away and came back (ABA):
 *
 * - the open page, if full: its cookie was taken after it was seen to be full. If it had gone away
 *   and come back, a grace period would have passed, as its objects were waiting for one. But the
 *   slow paths are in a read-side section, so none passes.
 * - the page behind the magazine: its cookie is compared too, and a page never has the same cookie
 *   twice, as it is sealed again only after the former cookie's grace period is over.
 * - the magazine: its count and the page behind it are compared too, and the change relies on
 *   nothing else.
 *
 * Deferring never fails: if no page is available, an object goes to the chain, a stack that is
 * linked by words in the slab, one for each object. These words are outside the objects, as readers
 * may use the object itself until the grace period is over. See slab.c.
 *
 * Why an object is not allocated too early: it was unlinked before it was appended (program order,
 * or the release of the commit); after that, the page was seen to be full (acquire); and after
 * that, the cookie was taken (its full fence). For pages that are taken away from another CPU see
 * shrink.c.
 */
#include <anyrcu/rcu.h>
#include <cache/queue.h>

static bool view_shared(struct anyrcu_cache *c, struct queue_view *v)
{
	uint32_t n = c->ncpus, cpu = port_cpu();

	v->rseq = false;
	for (uint32_t i = 0; i < n; i++) {
		v->c = &c->cpus[(cpu + i) % n];
		v->q = &v->c->shared;
		if (!load(&v->c->owner) && !load(&v->c->frozen) &&
		    cmpxchg(&v->c->owner, 0, port_id())) {
			if (!load(&v->c->frozen))
				return true;
			store_release(&v->c->owner, 0);
		}
	}
	return false;
}

bool queue_view(struct anyrcu_cache *c, struct queue_view *v, bool sequences)
{
	bool may = sequences && load_acquire(&port_rseq_cpus) && !c->records;
	int cpu = may ? port_rseq_cpu() : -1;

	if (cpu < 0 || load(&c->cpus[cpu].frozen))
		return view_shared(c, v);
	*v = (struct queue_view){ &c->cpus[cpu].rseq, &c->cpus[cpu], cpu, true };
	return true;
}

void queue_view_end(struct queue_view *v)
{
	if (!v->rseq)
		store_release(&v->c->owner, 0);
}

static uint64_t *word_of(struct magazine *const *p)
{
	return (uint64_t *)(void *)p;
}

/* Count and capacity, as one word. */
static uint64_t *fill_of(struct magazine *m)
{
	return (uint64_t *)(void *)&m->open.count;
}

static uint64_t filled(const struct anyrcu_cache *c, uint32_t count)
{
	return count | (uint64_t)c->cap << 32;
}

bool magazine_full(struct magazine *m)
{
	return load_acquire(&m->open.count) >= load(&m->open.cap);
}

struct magazine *magazine_make(struct anyrcu_cache *c, unsigned gfp, void *p)
{
	struct magazine *m = magazine_alloc(gfp);

	if (!m)
		return NULL;
	store(&m->open.cap, c->cap);
	if (p) {
		store(&m->word[0], (uintptr_t)p);
		store(&m->open.count, 1);
	}
	return m;
}

void *queue_pop(struct anyrcu_cache *c, struct queue_view *v)
{
	struct magazine *m = load(&v->q->magazine);
	uint32_t n = m ? load(&m->open.count) : 0;
	uintptr_t p;

	if (v->rseq)
		return (void *)port_rseq_pop(
			(struct port_rseq_page **)(void *)&c->cpus[0].rseq.magazine);
	if (n == 0)
		return NULL;
	p = load(&m->word[n - 1]);
	store_release(&m->open.count, n - 1);
	return (void *)p;
}

bool queue_append(struct anyrcu_cache *c, struct queue_view *v, bool open, void *p)
{
	struct magazine *m = load(open ? &v->q->open : &v->q->magazine);
	struct queue *q = &c->cpus[0].rseq;

	if (v->rseq)
		return port_rseq_push((struct port_rseq_page **)(void *)(open ? &q->open :
										&q->magazine),
				      (uintptr_t)p);
	if (!m || magazine_full(m))
		return false;
	store(&m->word[m->open.count], (uintptr_t)p);
	store_release(&m->open.count, m->open.count + 1);
	return true;
}

static void is(struct port_change *change, const uint64_t *p, uint64_t value)
{
	change->is[change->n].p = p;
	change->is[change->n++].value = value;
}

static bool change(struct queue_view *v, struct port_change *change)
{
	uint64_t unused[2];

	for (int i = 0; i < 2; i++)
		if (!change->early[i].p)
			change->early[i].p = &unused[i];
	if (v->rseq)
		return port_rseq_change(change);
	for (uint32_t i = 0; i < change->n; i++)
		if (load(change->is[i].p) != change->is[i].value)
			return false;
	for (int i = 0; i < 2; i++)
		store(change->early[i].p, change->early[i].value);
	store_release(change->last.p, change->last.value);
	return true;
}

/* The state that a change starts from. */
static struct port_change from(struct queue_view *v, struct magazine *m, struct magazine *open)
{
	struct port_change ch = { .cpu = v->cpu };

	is(&ch, &v->c->frozen, 0);
	is(&ch, word_of(&v->q->magazine), (uintptr_t)m);
	is(&ch, word_of(&v->q->open), (uintptr_t)open);
	return ch;
}

bool queue_complete(struct anyrcu_cache *c, struct queue_view *v, unsigned gfp)
{
	struct magazine *m = load(&v->q->magazine), *open = load(&v->q->open), *x;
	struct port_change ch = from(v, m, open);

	if (open && m)
		return true;
	x = magazine_make(c, gfp, NULL);
	if (!x)
		return false;
	store(&x->next, open);
	ch.last.p = word_of(open ? &v->q->magazine : &v->q->open);
	ch.last.value = (uintptr_t)x;
	if (!change(v, &ch))
		magazine_free(x);
	return true;
}

/* A hint: any value of it is safe. */
static void sealed_add(struct anyrcu_cache *c, int n)
{
	__atomic_fetch_add(&c->sealed, n, __ATOMIC_RELAXED);
}

bool queue_seal(struct anyrcu_cache *c, struct queue_view *v, struct magazine *m,
		struct magazine *open, struct magazine *x)
{
	struct port_change ch = from(v, m, open);

	cache_check(c, open);
	store(&x->nth, load(&open->nth) + 1);
	is(&ch, fill_of(open), filled(c, c->cap));
	ch.early[0].p = word_of(&open->next);
	ch.early[0].value = (uintptr_t)x;
	ch.early[1].p = &open->cookie;
	ch.early[1].value = gp_cookie_quiet();
	ch.last.p = word_of(&v->q->open);
	ch.last.value = (uintptr_t)x;
	if (!change(v, &ch))
		return false;
	sealed_add(c, 1);
	return true;
}

bool queue_replace(struct anyrcu_cache *c, struct queue_view *v, struct magazine *m, uint32_t count,
		   struct magazine *x)
{
	struct magazine *open = load(&v->q->open), *behind = load(&m->next);
	struct port_change ch = from(v, m, open);

	is(&ch, fill_of(m), filled(c, count));
	is(&ch, word_of(&m->next), (uintptr_t)behind);
	store(&x->next, behind);
	ch.last.p = word_of(&v->q->magazine);
	ch.last.value = (uintptr_t)x;
	return change(v, &ch);
}

/* The page behind the magazine, if its grace period is over. */
static struct magazine *matured(struct queue_view *v, struct magazine *m, uint64_t *cookie)
{
	struct magazine *n = load(&m->next);

	if (!n || n == load(&v->q->open))
		return NULL;
	*cookie = load(&n->cookie);
	return anyrcu_gp_done(*cookie) ? n : NULL;
}

bool queue_advance(struct anyrcu_cache *c, struct queue_view *v)
{
	struct magazine *m = load(&v->q->magazine), *open = load(&v->q->open), *n;
	struct port_change ch = from(v, m, open);
	uint64_t cookie;

	if (!m || !open || !(n = matured(v, m, &cookie)) || n == open)
		return false;
	is(&ch, fill_of(m), filled(c, 0));
	is(&ch, word_of(&m->next), (uintptr_t)n);
	is(&ch, &n->cookie, cookie);
	ch.last.p = word_of(&v->q->magazine);
	ch.last.value = (uintptr_t)n;
	port_release(c); /* to the thread that allocates what readers have left */
	cache_debug_matured_all(c, n);
	if (!change(v, &ch))
		return false;
	sealed_add(c, -1);
	magazine_free(m);
	return true;
}

bool queue_share(struct anyrcu_cache *c, struct queue_view *v)
{
	struct magazine *m = load(&v->q->magazine), *open = load(&v->q->open), *n;
	struct port_change ch = from(v, m, open);
	uint64_t cookie;

	if (!m || !open || !(n = matured(v, m, &cookie)) || n == open)
		return false;
	is(&ch, word_of(&m->next), (uintptr_t)n);
	is(&ch, &n->cookie, cookie);
	ch.last.p = word_of(&m->next);
	ch.last.value = (uintptr_t)load(&n->next);
	port_release(c); /* to the thread that allocates what readers have left */
	cache_debug_matured_all(c, n);
	if (!change(v, &ch))
		return false;
	sealed_add(c, -1);
	magazine_push(&c->full, n);
	return true;
}

uint32_t queue_waiting(struct queue_view *v)
{
	struct magazine *m = load(&v->q->magazine), *open = load(&v->q->open);
	struct magazine *n = m ? load(&m->next) : NULL;

	return n && open && n != open ? load(&open->nth) - load(&n->nth) : 0;
}
