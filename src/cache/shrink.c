/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Operations on a whole cache: gathering its free objects from all CPUs, giving slabs back,
 * statistics, destruction, thread exit, and fork.
 *
 * Gathering. Sequences on a queue's CPU change its links, so another thread first makes the links
 * constant:
 *
 *     frozen = 1;
 *     port_rseq_fence();       a sequence that changes links has made its store by now, or starts
 *                              over and sees "frozen"
 *     magazine = open = NULL;
 *     port_rseq_fence();       a sequence that appends or takes has made its store by now, or
 *                              starts over and finds no page
 *     frozen = 0;
 *
 * Meanwhile threads on that CPU use the other set of queues. A queue of that set that has an owner
 * is left out. The gathering thread then owns the pages. They wait for a cookie that is taken after
 * the second fence, and so covers everything that was appended. They wait in a list under
 * cache_lock, where the child of a fork finds them; the lock is not held while they wait.
 *
 * Giving back. When that grace period is over, all objects in gathered pages are free, and no
 * reader can see them (or, in a TYPESAFE cache, their former content). Each object's address gives
 * its slab, and the objects are counted for each slab; no other operation needs such a count. If
 * all objects of a slab are free, they are removed from the pages, and the slab goes back to the
 * arena.
 */
#include <anyrcu/rcu.h>
#include <cache/cache.h>

#define COUNTED UINT32_MAX /* in the word of an object; no link: the end of the arena is none */

struct port_lock cache_lock;
struct anyrcu_cache *cache_all;

static void gather_list(struct anyrcu_cache *c, struct magazine *m, const struct magazine *last)
{
	while (m) {
		struct magazine *next = m == last ? NULL : m->next;

		if (load(&m->open.count)) {
			cache_check(c, m);
			m->next = c->gathered;
			store(&c->gathered, m);
		} else {
			magazine_free(m);
		}
		m = next;
	}
}

static void gather_queue(struct anyrcu_cache *c, struct queue *q)
{
	gather_list(c, q->magazine ?: q->open, q->open);
}

/* Under cache_lock. */
static void freeze(struct anyrcu_cache *c, bool on)
{
	for (uint32_t i = 0; i < c->ncpus; i++)
		store_release(&c->cpus[i].frozen, on);
}

/* Under cache_lock. Task. Returns whether all queues were gathered: none had an owner. */
static bool gather(struct anyrcu_cache *c)
{
	struct magazine *m;
	bool all = true;

	freeze(c, true);
	port_rseq_fence();
	for (uint32_t i = 0; i < c->ncpus; i++) {
		struct cache_cpu *cpu = &c->cpus[i];
		struct queue taken = { load(&cpu->rseq.magazine), load(&cpu->rseq.open) };

		if (!taken.open)
			continue;
		store(&cpu->rseq.magazine, NULL);
		store(&cpu->rseq.open, NULL);
		port_rseq_fence();
		gather_queue(c, &taken);
	}
	for (uint32_t i = 0; i < c->ncpus; i++) {
		struct cache_cpu *cpu = &c->cpus[i];
		struct queue taken;

		if (!cmpxchg(&cpu->owner, 0, port_id())) {
			all = false;
			continue;
		}
		taken = (struct queue){ load(&cpu->shared.magazine), load(&cpu->shared.open) };
		store(&cpu->shared.magazine, NULL);
		store(&cpu->shared.open, NULL);
		store_release(&cpu->owner, 0);
		gather_queue(c, &taken);
	}
	store(&c->sealed, 0);
	freeze(c, false);
	while ((m = magazine_pop(&c->full)))
		gather_list(c, m, m);
	c->gathered_cookie = gp_cookie();
	return all;
}

/* ---- giving back ---- */

/*
 * How many objects of @u must be free for it to be given back; more than there are: it must not be.
 * The caller reads @bump once, so that the answer is the same for all objects of a slab, even if
 * the current slab is used up meanwhile.
 */
static uint32_t needed(const struct anyrcu_cache *c, uint64_t bump, const struct arena_unit *u)
{
	if (u != &arena.units[bump >> 32])
		return c->per_slab;
	return c->ends ? (uint32_t)bump : DROPPED - 1;
}

/* Mark an object while they are counted: it must be found only once. */
static void mark(const struct anyrcu_cache *c, void *p, bool forget)
{
	uint32_t *word = slab_word(c, p);

	if (!forget && load(word) == COUNTED)
		cache_twice(c, p, NULL);
	store(word, forget ? 0 : COUNTED);
}

/* Count the objects of gathered pages in their slabs, or reset the counts if @forget. */
static void count(struct anyrcu_cache *c, bool forget)
{
	for (struct magazine *m = c->gathered; m; m = m->next) {
		for (uint32_t i = 0; i < m->open.count; i++) {
			struct arena_unit *u = arena_unit(m->word[i]);

			u->nfree = forget ? 0 : u->nfree + 1;
			mark(c, (void *)m->word[i], forget);
		}
	}
}

/*
 * Remove the objects of free slabs from @m; a slab is given back with the last of its objects.
 * Returns the bytes given back.
 */
static size_t sift(struct anyrcu_cache *c, uint64_t bump, struct magazine *m)
{
	uint32_t kept = 0;
	size_t bytes = 0;

	for (uint32_t i = 0; i < m->open.count; i++) {
		struct arena_unit *u = arena_unit(m->word[i]);
		uint32_t n = needed(c, bump, u);

		if (u->nfree % DROPPED != n) {
			m->word[kept++] = m->word[i];
			continue;
		}
		u->nfree += DROPPED;
		if (u->nfree / DROPPED != n)
			continue;
		u->nfree = 0;
		arena_unit_free(u, true);
		count_add(&c->carved, -(uint64_t)n);
		count_add(&c->bytes, -(uint64_t)UNIT_SIZE);
		bytes += UNIT_SIZE;
	}
	store(&m->open.count, kept);
	return bytes;
}

/* Move objects from @m to @to, until one of them is full, or empty. */
static void merge(struct magazine *to, struct magazine *m)
{
	uint32_t n = to->open.count, left = m->open.count;

	while (left && n < to->open.cap)
		store(&to->word[n++], m->word[--left]);
	store(&to->open.count, n);
	store(&m->open.count, left);
}

/*
 * If the gathered pages have matured, give free slabs back if @release, and make the rest
 * available. Under cache_lock.
 */
size_t cache_settle(struct anyrcu_cache *c, bool release)
{
	uint64_t bump = load(&c->bump);
	struct magazine *m, *next, *part = NULL;
	size_t bytes = 0;

	if (!c->gathered || !anyrcu_gp_done(c->gathered_cookie))
		return 0;
	port_release(c); /* to the thread that allocates what readers have left */
	for (m = c->gathered; m; m = m->next)
		cache_debug_matured_all(c, m);
	if (release) {
		count(c, false);
		for (m = c->gathered; m; m = m->next)
			bytes += sift(c, bump, m);
		count(c, true);
	}
	for (m = c->gathered; m; m = next) {
		next = m->next;
		store(&c->gathered, next);
		if (part)
			merge(part, m);
		if (!m->open.count) {
			magazine_free(m);
			continue;
		}
		if (part)
			magazine_push(&c->full, part);
		part = m;
	}
	if (part)
		magazine_push(&c->full, part);
	return bytes;
}

static size_t collect(struct anyrcu_cache *c, bool release)
{
	size_t bytes;

	arena_refill();
	port_lock(&cache_lock);
	cache_chain_advance(c);
	gather(c);
	port_unlock(&cache_lock);
	anyrcu_synchronize();
	port_lock(&cache_lock);
	cache_chain_advance(c);
	bytes = cache_settle(c, release);
	arena_trim_end();
	if (bytes) { /* without these objects, magazines are free as well */
		arena_trim_begin();
		store(&cache_todo, true);
	}
	port_unlock(&cache_lock);
	return bytes;
}

size_t anyrcu_cache_shrink(struct anyrcu_cache *c)
{
	return collect(c, true);
}

void cache_collect(struct anyrcu_cache *c)
{
	collect(c, false);
}

void cache_unmake(struct anyrcu_cache *c)
{
	struct anyrcu_cache **at = &cache_all;

	port_lock(&cache_lock);
	while (*at != c)
		at = &(*at)->next;
	store(at, c->next);
	port_unlock(&cache_lock);
	if (port_memory_checked)
		port_checker_pool(c, false);
	port_unmap(c, c->mapped);
}

int anyrcu_cache_destroy(struct anyrcu_cache *c)
{
	struct anyrcu_cache_stats s = { .size = sizeof(s) };

	if (!c)
		return 0;
	store(&c->ends, true);
	/*
	 * Objects in the chain need further grace periods, and pages, of which few may be available
	 * at a time: repeat until several rounds have changed nothing.
	 */
	for (int idle = 0; idle < 4 && load(&c->carved);) {
		uint64_t carved = load(&c->carved), chained = cache_chain_objects(c);

		collect(c, true);
		idle = carved != load(&c->carved) || chained != cache_chain_objects(c) ? 0 :
											 idle + 1;
	}
	if (load(&c->carved)) {
		anyrcu_cache_stats_get(c, &s);
		if (!cache_debug_leaks(c, "it was destroyed"))
			cache_leaked(c, s.objects, "it was destroyed");
		return -CACHE_EBUSY;
	}
	cache_unmake(c);
	return 0;
}

/* ---- statistics ---- */

static uint64_t in_queue(const struct queue *q)
{
	struct magazine *m = load(&q->magazine), *open = load(&q->open);
	uint64_t n = 0;

	for (int i = 0; m && i < 100000; i++, m = m == open ? NULL : load(&m->next))
		n += load(&m->open.count);
	return n + (open && !load(&q->magazine) ? load(&open->open.count) : 0);
}

void anyrcu_cache_stats_get(struct anyrcu_cache *c, struct anyrcu_cache_stats *out)
{
	struct anyrcu_cache_stats s = {
		.size = out->size,
		.bytes = load(&c->bytes),
		.deferred_chain = load(&c->chained),
		.failed = load(&c->failed),
	};
	uint64_t carved = load(&c->carved);

	anyrcu_read_lock(); /* so that no magazine is freed */
	for (uint32_t i = 0; i < c->ncpus; i++)
		s.free += in_queue(&c->cpus[i].rseq) + in_queue(&c->cpus[i].shared);
	s.free += magazine_objects(&c->full) + cache_chain_objects(c);
	for (struct magazine *m = load(&c->gathered); m; m = load(&m->next))
		s.free += load(&m->open.count);
	anyrcu_read_unlock();
	s.objects = carved > s.free ? carved - s.free : 0;
	memcpy(out, &s, s.size < sizeof(s) ? s.size : sizeof(s));
}

/* ---- what the rest of the library calls ---- */

/*
 * Idle. The fast paths leave traces in the queues only. So the worker, which checks once a second
 * while caches are in use, computes a sum over the queues; if the sum has not changed, it gathers
 * all pages and gives back free slabs. The slow paths set "used"; after gathering, the next use
 * begins with a slow path. A thread that claims a queue after gather() has released it sees "used"
 * cleared; if gather() leaves a queue to its owner, "used" stays set, and the worker gathers again
 * a second later (for ever, if that owner has died without exit hooks).
 */
static bool used; /* any context */

void cache_use(void)
{
	if (likely(load(&used)))
		return;
	store(&used, true);
	anyrcu_gp_start();
}

bool cache_want_timer(void)
{
	return load(&used);
}

static uint64_t sum_of(const struct queue *q)
{
	const struct magazine *m = load(&q->magazine), *open = load(&q->open);

	return (uintptr_t)m + (m ? load(&m->open.count) : 0) +
	       3 * ((uintptr_t)open + (open ? load(&open->open.count) : 0));
}

void cache_idle(void)
{
	static uint64_t last;
	uint64_t sum = 0;

	if (!load(&used))
		return;
	port_lock(&cache_lock);
	anyrcu_read_lock(); /* so that no magazine is freed */
	for (struct anyrcu_cache *c = cache_all; c; c = c->next) {
		sum = sum * 31 + load(&c->bump);
		for (uint32_t i = 0; i < c->ncpus; i++)
			sum = sum * 31 + sum_of(&c->cpus[i].rseq) + 5 * sum_of(&c->cpus[i].shared);
	}
	anyrcu_read_unlock();
	if (sum == last) {
		store(&used, false);
		for (struct anyrcu_cache *c = cache_all; c; c = c->next)
			if (load(&c->carved) && !gather(c))
				store(&used, true);
		arena_trim_begin();
		store(&cache_todo, true);
	}
	last = sum;
	port_unlock(&cache_lock);
}

static void disown(uint64_t id, bool all_but)
{
	for (struct anyrcu_cache *c = load(&cache_all); c; c = c->next) {
		for (uint32_t i = 0; i < c->ncpus; i++) {
			uint64_t owner = load(&c->cpus[i].owner);

			if (owner && (owner == id) != all_but)
				store_release(&c->cpus[i].owner, 0);
		}
	}
}

void cache_thread_exit(void)
{
	if (likely(!load(&cache_all)))
		return;
	port_lock(&cache_lock);
	disown(port_id(), false);
	port_unlock(&cache_lock);
}

/*
 * A handler that calls exit() may have interrupted the lock's holder. Leaks that
 * anyrcu_cache_destroy() has reported are not reported again.
 */
void cache_exit(void)
{
	if (!cache_debug || port_lock_held(&cache_lock))
		return;
	port_lock(&cache_lock);
	for (const struct anyrcu_cache *c = cache_all; c; c = c->next)
		if (!load(&c->ends))
			cache_debug_leaks(c, "the process exits");
	port_unlock(&cache_lock);
}

void cache_fork_child(void)
{
	disown(port_survivor, true);
}
