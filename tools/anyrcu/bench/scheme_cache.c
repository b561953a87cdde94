/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Objects of caches, one for each multiple of 64 bytes, in place of malloc()'s. What is too large
 * for a cache comes from malloc().
 */
#include <anyrcu/anyrcu.h>
#include <stdio.h>

#include "bench/loops.h"

#define STEP 64

static struct anyrcu_cache *caches[ANYRCU_CACHE_OBJECT_MAX / STEP + 1];

static void setup(void)
{
	static char names[ANYRCU_CACHE_OBJECT_MAX / STEP + 1][16];

	for (size_t i = 1; i < sizeof(caches) / sizeof(*caches); i++) {
		struct anyrcu_cache_config c = { .size = sizeof(c),
						 .name = names[i],
						 .object_size = i * STEP };

		snprintf(names[i], sizeof(names[i]), "size-%zu", i * STEP);
		caches[i] = anyrcu_cache_create(&c);
		if (!caches[i])
			measure_fail("no cache of %zu bytes", i * STEP);
	}
}

/*
 * The first word, which no reader here looks at, is the size: see object_new(). It says which cache
 * the object is of, and that it was in use before. An object is counted as freed when it is in use
 * again, as nothing that this program could count happens to it earlier.
 */
ALWAYS_INLINE void *counted(void *p)
{
	if (__builtin_expect(p && *(size_t *)p, true))
		slot_count_free(my_slot);
	return p;
}

ALWAYS_INLINE struct anyrcu_cache *cache_of(size_t size)
{
	return caches[(size + STEP - 1) / STEP];
}

ALWAYS_INLINE void *from_cache(size_t size)
{
	return size <= ANYRCU_CACHE_OBJECT_MAX ?
		       counted(anyrcu_cache_alloc(cache_of(size), ANYRCU_GFP_KERNEL)) :
		       malloc(size);
}

ALWAYS_INLINE void deferred(void *p)
{
	size_t size = *(size_t *)p;

	if (size <= ANYRCU_CACHE_OBJECT_MAX)
		anyrcu_cache_free_deferred(cache_of(size), p);
	else
		anyrcu_free_mightsleep(p);
}
DEFER_LOOPS_OF(deferred, from_cache)

ALWAYS_INLINE void at_once(void *p)
{
	size_t size = *(size_t *)p;

	if (size <= ANYRCU_CACHE_OBJECT_MAX)
		anyrcu_cache_free(cache_of(size), p);
	else
		free(p);
}
DEFER_LOOPS_OF(at_once, from_cache)

static void release(void *p)
{
	at_once(p);
}

const struct scheme scheme_cache = { .name = "anyrcu-cache",
				     .about = "anyrcu_cache_free_deferred(), of objects of a cache",
				     .flavour = &flavour_anyrcu,
				     .setup = setup,
				     .defer_loop = deferred_defer_loop,
				     .replay_loop = deferred_replay_loop,

				     .barrier = anyrcu_barrier,
				     .release = release };
const struct scheme scheme_cache_immediate = {
	.name = "cache-immediate",
	.about = "anyrcu_cache_free(), at once, safe for no reader",
	.flavour = &flavour_none,
	.setup = setup,
	.defer_loop = at_once_defer_loop,
	.replay_loop = at_once_replay_loop,
	.release = release
};

/* What is too large for anyrcu_alloc() comes from malloc(), as above. */
ALWAYS_INLINE void *from_alloc(size_t size)
{
	return size <= ANYRCU_CACHE_OBJECT_MAX ? counted(anyrcu_alloc(size, ANYRCU_GFP_KERNEL)) :
						 malloc(size);
}

ALWAYS_INLINE void alloc_deferred(void *p)
{
	if (*(size_t *)p <= ANYRCU_CACHE_OBJECT_MAX)
		anyrcu_dealloc_deferred(p);
	else
		anyrcu_free_mightsleep(p);
}
DEFER_LOOPS_OF(alloc_deferred, from_alloc)

static void alloc_release(void *p)
{
	if (*(size_t *)p <= ANYRCU_CACHE_OBJECT_MAX)
		anyrcu_dealloc(p);
	else
		free(p);
}

const struct scheme scheme_alloc = {
	.name = "anyrcu-alloc",
	.about = "anyrcu_alloc(), anyrcu_dealloc_deferred()",
	.flavour = &flavour_anyrcu,
	.defer_loop = alloc_deferred_defer_loop,
	.replay_loop = alloc_deferred_replay_loop,
	.barrier = anyrcu_barrier,
	.release = alloc_release,
};
