/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Internals of src/cache, and what the layers above use in addition to anyrcu/cache.h. */
#ifndef ANYRCU_CACHE_INTERNAL_H
#define ANYRCU_CACHE_INTERNAL_H

#include <anyrcu/cache.h>
#include <cache/arena.h>
#include <gp/gp.h>

/*
 * The queue of a CPU: from the magazine that allocation takes from to the page that deferred frees
 * are appended to, linked by "next". See queue.c.
 */
struct queue {
	struct magazine *magazine, *open;
};

struct cache_cpu {
	struct queue rseq; /* changed by sequences on this CPU */
	struct queue shared; /* changed by its owner: */
	uint64_t owner; /* a port_id(), or 0 */
	uint64_t frozen; /* the links of both queues must not change; under cache_lock */
} __attribute__((aligned(1 << PORT_RSEQ_CPU_SHIFT)));

struct anyrcu_cache {
	struct cache_cpu *fast; /* cpus, or NULL where there are no sequences */
	struct cache_cpu *cpus; /* constant, like all fields before "bytes" */
	uint32_t size; /* of an object, with padding for alignment */
	uint32_t object_size; /* as the program sees it */
	uint32_t reciprocal; /* 2^32 / size, rounded up */
	uint32_t first; /* offset of the first object in a slab */
	uint32_t per_slab;
	uint32_t cap; /* of its magazines */
	uint32_t ncpus;
	uint32_t flags;
	uint32_t records; /* offset of a slab's records, struct cache_record; 0: there are none */
	const char *name;
	size_t bytes_max;
	void (*constructor)(void *);

	uint64_t bytes __attribute__((aligned(CACHE_LINE))); /* in slabs */
	uint64_t carved; /* objects that have been carved from slabs */
	uint64_t bump; /* the number of the current slab << 32, and its next object */
	uint64_t full; /* a stack of magazines with objects that may be allocated */
	uint32_t chain; /* a stack of objects for which there was no page: see slab.c */
	uint32_t chain_waiting; /* those of them that wait for chain_cookie; under cache_lock */
	anyrcu_gp_t chain_cookie;
	int32_t sealed; /* sealed pages in the queues of all CPUs, roughly */
	uint64_t chained, failed;
	struct magazine *gathered; /* until gathered_cookie is done; under cache_lock */
	anyrcu_gp_t gathered_cookie;
	bool ends; /* being destroyed: the current slab is given back, too */
	struct anyrcu_cache *next; /* of all caches; under cache_lock */
	size_t mapped; /* bytes of this struct with cpus */
} __attribute__((aligned(CACHE_LINE)));

extern struct port_lock cache_lock;
extern struct anyrcu_cache *cache_all;

/* The number of the object at @p in its slab. */
static inline uint32_t cache_index(const struct anyrcu_cache *c, uintptr_t p)
{
	return (uint64_t)((uint32_t)(p % UNIT_SIZE) - c->first) * c->reciprocal >> 32;
}

/*
 * Does an object of @c begin at @p? A 16-bit number is a multiple of the size exactly if the lower
 * 32 bits of its product with the reciprocal (2^32 / size, rounded up) are less than the
 * reciprocal. An offset below the first object never is. Any context.
 */
static inline bool cache_owns(const struct anyrcu_cache *c, const void *p)
{
	return arena_owner(p) == c &&
	       ((uint32_t)((uintptr_t)p % UNIT_SIZE) - c->first) * c->reciprocal < c->reciprocal;
}

/* ---- cache.c ---- */

enum { CACHE_EINVAL = 1, CACHE_ENOMEM };
#define CACHE_EBUSY 16
/* As anyrcu_cache_create(); returns 0 or one of these. */
int cache_make(struct anyrcu_cache **out, const struct anyrcu_cache_config *config);

/*
 * The rest of anyrcu_cache_alloc(), after the fast path has found @p, or nothing (NULL). Any
 * context.
 */
void *cache_alloc_rare(struct anyrcu_cache *c, unsigned gfp, void *p, const void *caller);
/* Undo cache_make() for a cache that was not used. */
void cache_unmake(struct anyrcu_cache *c);
/*
 * Check that the deferred pointers in @m are objects of @c, before any of them is allocated again;
 * ends the program if not.
 */
void cache_check(const struct anyrcu_cache *c, const struct magazine *m);

/* ---- magazine.c ---- */

/*
 * The slow paths of the operations, if the current CPU's pages have no room, or no object. Any
 * context.
 */
void *cache_alloc_slow(struct anyrcu_cache *c, unsigned gfp, const void *caller);
void cache_free_slow(struct anyrcu_cache *c, void *p, const void *caller);
void cache_defer_slow(struct anyrcu_cache *c, void *p, const void *caller);

/* ---- slab.c ---- */

/* The word in the slab for the object at @p, used by the chain, and by count() in shrink.c. */
static inline uint32_t *slab_word(const struct anyrcu_cache *c, const void *p)
{
	uintptr_t slab = (uintptr_t)p & ~(uintptr_t)(UNIT_SIZE - 1);

	return (uint32_t *)slab + cache_index(c, (uintptr_t)p);
}

/* Fill @m with objects that were never allocated. False: there is no memory. Any context. */
bool slab_carve(struct anyrcu_cache *c, struct magazine *m, unsigned gfp);
void *slab_carve_one(struct anyrcu_cache *c, unsigned gfp);
extern uint32_t
	cache_todo; /* there may be something in one; set by any context, reset by cache_work()
		       before it looks */
/* Store an object for which there is no page. */
void cache_chain(struct anyrcu_cache *c, void *p);
/* Advance the objects of the chain as far as possible without waiting. Under cache_lock. */
void cache_chain_advance(struct anyrcu_cache *c);
/* How many objects are in it, roughly. */
uint64_t cache_chain_objects(const struct anyrcu_cache *c);

/* ---- debug.c; any context unless stated otherwise ---- */

extern bool cache_debug; /* constant after initialisation */

/* The record of an object, if its cache was made in debug mode, or under a memory checker. */
struct cache_record {
	const void *allocated; /* where; NULL: it never was */
	const void *freed; /* NULL: it is allocated, or it never was */
	uint32_t slack; /* bytes at its end that the program has not asked for */
	bool filled; /* with a pattern, as it is free and no reader can see it */
};
#define CACHE_ZONE 16 /* bytes before and behind each object, without padding for alignment */

/*
 * The next six functions do nothing for a cache without records. A slab is new; only the caller can
 * access it.
 */
void cache_debug_slab(const struct anyrcu_cache *c, void *slab);
/* No reader can see the object any more: check it and fill it; or each object of a page. */
void cache_debug_matured(const struct anyrcu_cache *c, void *p);
void cache_debug_matured_all(const struct anyrcu_cache *c, const struct magazine *m);
/*
 * @caller allocates, or frees, @p, unless that is NULL. _size(): the program has asked for @size
 * bytes of the object.
 */
void cache_debug_alloc(const struct anyrcu_cache *c, void *p, const void *caller);
void cache_debug_size(const struct anyrcu_cache *c, void *p, size_t size);
void cache_debug_free(const struct anyrcu_cache *c, void *p, const void *caller);
/*
 * Report that @p, which @caller has freed to @c, is not an object of @c, or was free already, and
 * end the program. @c NULL: freed to no particular cache. @caller NULL: no longer known.
 */
_Noreturn void cache_foreign(const struct anyrcu_cache *c, const void *p, const void *caller);
_Noreturn void cache_twice(const struct anyrcu_cache *c, const void *p, const void *caller);
/*
 * cache_leaked(): report that @n objects are not free. cache_debug_leaks(): report all objects that
 * are recorded as not free, with the places that allocated them; returns how many.
 */
void cache_leaked(const struct anyrcu_cache *c, uint64_t n, const char *before);
uint64_t cache_debug_leaks(const struct anyrcu_cache *c, const char *before);

/* ---- alloc.c ---- */

/* Does alloc_work() have something to do? Any context. alloc_work(): a task. */
bool alloc_wants(void);
void alloc_work(void);

/* ---- shrink.c ---- */

/* Make all deferred objects available. Waits for a grace period. Task. */
void cache_collect(struct anyrcu_cache *c);
/* A cache is in use; wakes the worker, the first time since it was idle. Any context. */
void cache_use(void);
/*
 * cache_want_timer(): is cache_idle() to be called from time to time? cache_idle(): give back
 * unused memory. Task.
 */
bool cache_want_timer(void);
void cache_idle(void);
/*
 * Once the grace period of gathered pages is over, make their objects available, and, if @release,
 * give back free slabs: see shrink.c. Under cache_lock. Returns the bytes given back.
 */
size_t cache_settle(struct anyrcu_cache *c, bool release);
/* Does cache_work() have something to do? Any context. cache_work(): the work that needs a task. */
bool cache_wants(void);
void cache_work(void);
void cache_thread_exit(void);
/* The process exits: in debug mode, report what was not freed. Task. */
void cache_exit(void);
void cache_fork_child(void);

/* Defer the free of @p if it is an object of a cache. False: it is not. Any context. */
static inline bool cache_defers(void *p, const void *caller)
{
	struct anyrcu_cache *c = arena_owner(p);

	if (likely(!c))
		return false;
	if (load(&c->fast))
		anyrcu_cache_free_deferred(c, p);
	else
		cache_defer_slow(c, p, caller);
	return true;
}

#endif
