/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Slabs, from which objects are carved, and the chain.
 *
 * A slab is a unit of the arena: a word for each object, and the objects.
 *
 *     [ word 0 | word 1 | ... ]  [ object 0 ][ object 1 ] ...
 *
 * Objects of a slab are carved in order. "bump" holds the number of the slab and the next object in
 * one word, which is changed by cmpxchg: the thread that changes it from i to i + n exclusively
 * owns the objects from i to i + n - 1. The claim depends on nothing but that word, so changes in
 * between do not matter. When all objects of a slab are carved, a new slab becomes the current one
 * by a cmpxchg of the same word.
 *
 * The chain. If no page of pointers is available for an object, it is pushed to a stack, linked by
 * the words: 32 bits, the object's offset in the arena in units of 16 bytes; 0 is the end. The
 * words are not part of the objects, so readers do not see them change. The stack is pushed to by
 * cmpxchg and taken whole by xchg, so it has no ABA. A task takes it, waits for a grace period, and
 * puts the objects into pages. (Objects of immediate frees wait with the others: this path is rare,
 * and need not be fast.) What is taken is kept where the child of a fork finds it, and processed
 * under cache_lock.
 */
#include <anyrcu/rcu.h>
#include <cache/cache.h>

#define BUMP(unit, i) ((uint64_t)(unit) << 32 | (i))
#define CARVE_MIN 16u

static void *object_at(const struct anyrcu_cache *c, uint32_t unit, uint32_t i)
{
	return (char *)arena.base + (uintptr_t)unit * UNIT_SIZE + c->first + i * c->size;
}

/* Make a new slab the current one, in place of the used-up one. */
static bool slab_new(struct anyrcu_cache *c, uint64_t old, unsigned gfp)
{
	uint64_t bytes = fetch_add(&c->bytes, UNIT_SIZE);
	struct arena_unit *u =
		bytes && bytes + UNIT_SIZE > c->bytes_max ? NULL : arena_unit_alloc(gfp);

	if (!u) {
		count_add(&c->bytes, -(uint64_t)UNIT_SIZE);
		return false;
	}
	cache_debug_slab(c, arena_unit_start(u));
	arena_own(u, c);
	if (!cmpxchg(&c->bump, old, BUMP(u - arena.units, 0))) {
		arena_unit_free(u, false);
		count_add(&c->bytes, -(uint64_t)UNIT_SIZE);
	}
	return true;
}

/* Claim up to @n objects; returns how many, and the first one in *@unit and *@at. */
static uint32_t claim(struct anyrcu_cache *c, uint32_t n, uint32_t *unit, uint32_t *at,
		      unsigned gfp)
{
	uint64_t old = load(&c->bump);

	for (;;) {
		uint32_t i = (uint32_t)old, left = old ? c->per_slab - i : 0;

		if (left == 0) {
			if (!slab_new(c, old, gfp))
				return 0;
			old = load(&c->bump);
			continue;
		}
		n = n < left ? n : left;
		if (__atomic_compare_exchange_n(&c->bump, &old, old + n, false, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED)) {
			count_add(&c->carved, n);
			*unit = old >> 32;
			*at = i;
			return n;
		}
	}
}

bool slab_carve(struct anyrcu_cache *c, struct magazine *m, unsigned gfp)
{
	uint64_t n = load(&c->carved);
	uint32_t unit, at, got;

	n = n < CARVE_MIN ? CARVE_MIN : n;
	got = claim(c, n < c->cap ? n : c->cap, &unit, &at, gfp);
	/* The first of them on top. */
	for (uint32_t i = 0; i < got; i++) {
		void *p = object_at(c, unit, at + got - 1 - i);

		store(&m->word[i], (uintptr_t)p);
		if (c->constructor)
			c->constructor(p);
		cache_debug_matured(c, p);
	}
	store(&m->open.count, got);
	return got;
}

void *slab_carve_one(struct anyrcu_cache *c, unsigned gfp)
{
	uint32_t unit, at;
	void *p;

	if (!claim(c, 1, &unit, &at, gfp))
		return NULL;
	p = object_at(c, unit, at);
	if (c->constructor)
		c->constructor(p);
	cache_debug_matured(c, p);
	return p;
}

/* ---- the chain ---- */

uint32_t cache_todo;

static void *chained(uint32_t link)
{
	return (char *)arena.base + (uintptr_t)link * 16;
}

void cache_chain(struct anyrcu_cache *c, void *p)
{
	uint32_t *word = slab_word(c, p), old = load(&c->chain),
		 link = ((uintptr_t)p - arena.base) / 16;

	count_add(&c->chained, 1);
	do
		store(word, old);
	while (!__atomic_compare_exchange_n(&c->chain, &old, link, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	full_fence(); /* pairs with that in cache_work(): one of the two sees the other */
	if (!load(&cache_todo) && !xchg(&cache_todo, true))
		anyrcu_gp_start(); /* wakes the worker */
}

static uint64_t objects(const struct anyrcu_cache *c, uint32_t link)
{
	uint64_t n = 0;

	for (; link && n < UINT32_MAX; link = load(slab_word(c, chained(link))))
		n++;
	return n;
}

uint64_t cache_chain_objects(const struct anyrcu_cache *c)
{
	return objects(c, load(&c->chain)) + objects(c, load(&c->chain_waiting));
}

/* Under cache_lock. */
static void unchain(struct anyrcu_cache *c)
{
	while (c->chain_waiting) {
		struct magazine *m = magazine_alloc(ANYRCU_GFP_NO_LOCKS);
		uint32_t n = 0, link = c->chain_waiting;

		if (!m)
			return;
		store(&m->open.cap, c->cap);
		for (; link && n < c->cap; link = load(slab_word(c, chained(link))))
			store(&m->word[n++], (uintptr_t)chained(link));
		store(&m->open.count, n);
		for (uint32_t i = 0; i < n; i++)
			store(slab_word(c, (void *)m->word[i]), 0);
		cache_debug_matured_all(c, m);
		store(&c->chain_waiting, link);
		magazine_push(&c->full, m);
	}
}

void cache_chain_advance(struct anyrcu_cache *c)
{
	if (c->chain_waiting && anyrcu_gp_done(c->chain_cookie)) {
		port_release(c);
		unchain(c);
	}
	if (!c->chain_waiting && load(&c->chain)) {
		store(&c->chain_waiting, xchg(&c->chain, 0));
		c->chain_cookie = gp_cookie();
	}
}
