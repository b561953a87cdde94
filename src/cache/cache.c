/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The operations of object caches: the fast paths; all else is in magazine.c, slab.c and shrink.c.
 */
#include <cache/cache.h>

void *cache_alloc_rare(struct anyrcu_cache *c, unsigned gfp, void *p, const void *caller)
{
	if ((gfp & ~(unsigned)ANYRCU_GFP_ZERO) > ANYRCU_GFP_NO_LOCKS)
		return NULL;
	if (!p)
		p = cache_alloc_slow(c, gfp, caller);
	if (!p)
		count_add(&c->failed, 1);
	else if (gfp & ANYRCU_GFP_ZERO)
		memset(p, 0, c->object_size);
	return p;
}

void *anyrcu_cache_alloc(struct anyrcu_cache *c, unsigned gfp)
{
	struct cache_cpu *cpus = load(&c->fast);
	void *p = NULL;

	if (likely(cpus && gfp <= ANYRCU_GFP_NO_LOCKS)) {
		p = (void *)port_rseq_pop((struct port_rseq_page **)(void *)&cpus->rseq.magazine);
		if (likely(p))
			return p;
	}
	return cache_alloc_rare(c, gfp, p, __builtin_return_address(0));
}

void anyrcu_cache_free(struct anyrcu_cache *c, void *p)
{
	struct cache_cpu *cpus = load(&c->fast);

	if (unlikely(!cache_owns(c, p))) {
		if (p)
			cache_foreign(c, p, __builtin_return_address(0));
		return;
	}
	if (unlikely(!cpus ||
		     !port_rseq_push((struct port_rseq_page **)(void *)&cpus->rseq.magazine,
				     (uintptr_t)p)))
		cache_free_slow(c, p, __builtin_return_address(0));
}

/* cache_check() tests that @p is an object of the cache when its page is sealed or gathered. */
void anyrcu_cache_free_deferred(struct anyrcu_cache *c, void *p)
{
	struct cache_cpu *cpus = load(&c->fast);

	if (likely(p) &&
	    unlikely(!cpus || !port_rseq_push((struct port_rseq_page **)(void *)&cpus->rseq.open,
					      (uintptr_t)p)))
		cache_defer_slow(c, p, __builtin_return_address(0));
}

/* ---- making ---- */

static bool power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

static size_t round_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* The layout of a slab: as many objects as fit together with their words and records. */
static void lay_out(struct anyrcu_cache *c, size_t size, size_t align)
{
	bool records = cache_debug || port_memory_checked;
	size_t zone = records ? CACHE_ZONE : 0;
	size_t record = records ? sizeof(struct cache_record) : 0;

	c->size = round_up(size + 2 * zone, align);
	c->per_slab = UNIT_SIZE / (c->size + sizeof(uint32_t) + record);
	for (;; c->per_slab--) {
		size_t words =
			round_up(c->per_slab * sizeof(uint32_t), _Alignof(struct cache_record));

		c->records = records ? words : 0;
		c->first = round_up(words + c->per_slab * record + zone, align);
		if (c->first + c->per_slab * c->size <= UNIT_SIZE)
			break;
	}
	c->reciprocal = ((UINT64_C(1) << 32) + c->size - 1) / c->size;
	c->cap = 131072 / c->size;
	c->cap = c->cap < 16 ? 16 : c->cap > MAGAZINE_CAP ? MAGAZINE_CAP : c->cap;
}

int cache_make(struct anyrcu_cache **out, const struct anyrcu_cache_config *config)
{
	size_t align = config->align ?: 16, cpus = port_cpus() > 1 ? port_cpus() : PORT_CPUS_MAX,
	       bytes = 4096;
	struct anyrcu_cache *c;

	if (config->size < sizeof(*config) || !config->name || !config->object_size ||
	    config->object_size > ANYRCU_CACHE_OBJECT_MAX || !power_of_two(align) || align > 4096 ||
	    config->flags & ~(unsigned)ANYRCU_CACHE_TYPESAFE)
		return CACHE_EINVAL;
	while (bytes < sizeof(*c) + cpus * sizeof(*c->cpus))
		bytes *= 2;
	if (!arena_make() || !(c = port_map(bytes, 4096)))
		return CACHE_ENOMEM;
	arena_refill();
	c->cpus = (struct cache_cpu *)(void *)(c + 1);
	c->ncpus = cpus;
	c->mapped = bytes;
	c->name = config->name;
	c->flags = config->flags;
	c->object_size = config->object_size;
	c->bytes_max = config->bytes_max ?: SIZE_MAX;
	c->constructor = config->constructor;
	lay_out(c, config->object_size, align < 16 ? 16 : align);
	c->fast = load_acquire(&port_rseq_cpus) && !c->records ? c->cpus : NULL;
	if (port_memory_checked)
		port_checker_pool(c, true);
	port_lock(&cache_lock);
	c->next = cache_all;
	store_release(&cache_all, c);
	port_unlock(&cache_lock);
	*out = c;
	return 0;
}
