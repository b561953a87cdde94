/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The general allocator: a cache for each of 36 sizes, 16 bytes apart up to 128, and four sizes for
 * each doubling above.
 *
 * The caches are all made at once, by the first allocation that may map memory, or by the worker
 * after an allocation has failed because there were none. No lock is held meanwhile: each cache is
 * published by a cmpxchg, and if two threads make one, the second destroys its own.
 */
#include <cache/cache.h>

#define CLASSES 36

static struct anyrcu_cache *classes[CLASSES];
/* A caller that must not make them needs one; set by any context. Some CPUs exchange no bytes. */
static uint32_t wanted;

/* The smallest class with room for @size, 1 to ANYRCU_CACHE_OBJECT_MAX. */
static inline unsigned class_of(size_t size)
{
	size_t last = size - 1;
	unsigned power;

	if (size <= 128)
		return last / 16;
	power = 63 - __builtin_clzl(last); /* 7 for 129 to 256 */
	return 8 + (power - 7) * 4 + (last >> (power - 2)) % 4;
}

static size_t size_of(unsigned class)
{
	return class < 8 ? 16 * (class + 1) : (size_t)(5 + class % 4) << (5 + (class - 8) / 4);
}

/* Returns whether all are there. */
static bool make(void)
{
	bool all = true;

	for (unsigned i = 0; i < CLASSES; i++) {
		const struct anyrcu_cache_config config = { .size = sizeof(config),
							    .name = "of anyrcu_alloc()",
							    .object_size = size_of(i) };
		struct anyrcu_cache *c;

		if (load(&classes[i]))
			continue;
		if (cache_make(&c, &config))
			all = false;
		else if (!cmpxchg(&classes[i], NULL, c))
			cache_unmake(c);
	}
	return all;
}

bool alloc_wants(void)
{
	return load(&wanted);
}

static noinline void *alloc_first(size_t size, unsigned gfp, const void *caller)
{
	struct anyrcu_cache *c;
	void *p;

	size += !size;
	if (size > ANYRCU_CACHE_OBJECT_MAX)
		return NULL;
	c = load_acquire(&classes[class_of(size)]);
	if (!c && (gfp & ~(unsigned)ANYRCU_GFP_ZERO) == ANYRCU_GFP_KERNEL)
		make();
	else if (!c && !load(&wanted) && !xchg(&wanted, true))
		anyrcu_gp_start(); /* wakes the worker */
	c = load_acquire(&classes[class_of(size)]);
	if (!c)
		return NULL;
	p = cache_alloc_rare(c, gfp, NULL, caller);
	cache_debug_size(c, p, size);
	return p;
}

void alloc_work(void)
{
	if (alloc_wants() && make())
		store(&wanted, false);
}

void *anyrcu_alloc(size_t size, unsigned gfp)
{
	struct anyrcu_cache *c;

	if (unlikely(size - 1 >= ANYRCU_CACHE_OBJECT_MAX))
		return alloc_first(size, gfp, __builtin_return_address(0));
	c = load_acquire(&classes[class_of(size)]);
	return likely(c && load(&c->fast)) ? anyrcu_cache_alloc(c, gfp) :
					     alloc_first(size, gfp, __builtin_return_address(0));
}

static noinline struct anyrcu_cache *owner_of(const void *p, const void *caller)
{
	struct anyrcu_cache *c = arena_owner(p);

	if (!c)
		cache_foreign(NULL, p, caller);
	return c;
}

/* @c: the cache that @p is expected to belong to. */
static void dealloc(struct anyrcu_cache *c, void *p, const void *caller)
{
	if (likely(load(&c->fast)))
		anyrcu_cache_free(c, p);
	else if (cache_owns(c, p))
		cache_free_slow(c, p, caller);
	else
		cache_foreign(c, p, caller);
}

void anyrcu_dealloc(void *p)
{
	const void *caller = __builtin_return_address(0);

	if (p)
		dealloc(owner_of(p, caller), p, caller);
}

void anyrcu_dealloc_sized(void *p, size_t size)
{
	const void *caller = __builtin_return_address(0);
	struct anyrcu_cache *c;

	if (!p)
		return;
	if (size > ANYRCU_CACHE_OBJECT_MAX)
		port_bug("%p was freed with a size of %u, which no object has", p, (uint64_t)size);
	c = load_acquire(&classes[class_of(size ?: 1)]);
	dealloc(c ?: owner_of(p, caller), p, caller);
}

void anyrcu_dealloc_deferred(void *p)
{
	if (p && !cache_defers(p, __builtin_return_address(0)))
		cache_foreign(NULL, p, __builtin_return_address(0));
}

bool cache_wants(void)
{
	return load(&cache_todo) || arena_low() || alloc_wants();
}

void cache_work(void)
{
	size_t released = 0;

	alloc_work();
	if (likely(!load(&cache_all)))
		return;
	arena_refill();
	store(&cache_todo, false);
	full_fence(); /* pairs with that in cache_chain(): one of the two sees the other */
	port_lock(&cache_lock);
	for (struct anyrcu_cache *c = cache_all; c; c = c->next) {
		cache_chain_advance(c);
		released += cache_settle(c, true);
		if (c->chain_waiting || c->gathered)
			store(&cache_todo, true);
	}
	arena_trim_end();
	if (released)
		arena_trim_begin();
	if (arena_trims())
		store(&cache_todo, true);
	port_unlock(&cache_lock);
}
