/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Object caches: memory for objects of one size, with a deferred free that costs no work per
 * object. A page of pointers whose grace period is over becomes the magazine that allocation takes
 * from.
 */
#ifndef ANYRCU_CACHE_H
#define ANYRCU_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/page.h>

ANYRCU_BEGIN_DECLS

struct anyrcu_cache;

#define ANYRCU_CACHE_OBJECT_MAX 16384 /* bytes of the largest object of a cache */

/**
 * enum - flags of a cache
 * @ANYRCU_CACHE_TYPESAFE: anyrcu_cache_free() may be called while readers still see the object.
 *                         They may then see it become another object of this cache, but the
 *                         memory is not used for anything else until a grace period has passed;
 *                         the kernel calls this SLAB_TYPESAFE_BY_RCU
 */
enum { ANYRCU_CACHE_TYPESAFE = 1 };

/**
 * struct anyrcu_cache_config - the properties of a cache
 * @size: sizeof(struct anyrcu_cache_config)
 * @name: for reports; must stay valid as long as the cache
 * @object_size: bytes, 1 to ANYRCU_CACHE_OBJECT_MAX
 * @align: of the objects, a power of two up to 4096; 0: 16
 * @flags: ANYRCU_CACHE_TYPESAFE or 0
 * @bytes_max: how much memory slabs may take; 0: no bound. One slab (64 KiB) is always available
 * @constructor: called on each object when its memory comes from the system, not at each
 *               allocation, in the context in which anyrcu_cache_alloc() is called, and in a
 *               read-side critical section: it must not wait for a grace period, nor be left by a
 *               jump or an exception. NULL: none
 */
struct anyrcu_cache_config {
	size_t size;
	const char *name;
	size_t object_size, align;
	unsigned flags;
	size_t bytes_max;
	void (*constructor)(void *object);
};

/**
 * anyrcu_cache_create() - make a cache
 * @config: its properties
 *
 * Context: a task.
 * Return: the cache, or NULL with errno set: EINVAL for a field that is out of range, ENOMEM.
 */
ANYRCU_API struct anyrcu_cache *anyrcu_cache_create(const struct anyrcu_cache_config *config);

/**
 * anyrcu_cache_destroy() - destroy a cache
 * @cache: the cache, which no thread uses any more; NULL is allowed and does nothing
 *
 * Waits for a grace period. The memory of freed objects is given back to the system. Objects that
 * were not freed are reported; then their memory stays, and the cache cannot be used again.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 * Return: 0, or -EBUSY if there are objects that were not freed.
 */
ANYRCU_API int anyrcu_cache_destroy(struct anyrcu_cache *cache);

/**
 * anyrcu_cache_alloc() - allocate an object
 * @cache: the cache
 * @gfp: as for anyrcu_page_alloc(). ANYRCU_GFP_NO_LOCKS takes no lock and makes no system call, and
 *       ANYRCU_GFP_NOWAIT is the same here
 *
 * Context: any with ANYRCU_GFP_NO_LOCKS; a task that may sleep with ANYRCU_GFP_KERNEL.
 * Ordering: as malloc().
 * Return: the object, with undefined content unless the cache has a constructor or @gfp has
 *         ANYRCU_GFP_ZERO; NULL if there is no memory, the bound of the cache is reached, or @gfp
 *         is out of range. With ANYRCU_GFP_KERNEL it waits for a grace period before it fails,
 *         except in a read-side critical section and in a thread that is online.
 */
ANYRCU_API void *anyrcu_cache_alloc(struct anyrcu_cache *cache, unsigned gfp)
	__attribute__((warn_unused_result));

/**
 * anyrcu_cache_free() - free an object at once
 * @cache: the cache that it came from
 * @object: the object, or NULL, which does nothing. No reader may see it, unless the cache is
 *          TYPESAFE
 *
 * An object that is not one of this cache is reported, and ends the program.
 *
 * Context: any. Ordering: as free().
 */
ANYRCU_API void anyrcu_cache_free(struct anyrcu_cache *cache, void *object);

/**
 * anyrcu_cache_free_deferred() - free an object after a grace period
 * @cache: the cache that it came from
 * @object: the object, or NULL, which does nothing. New readers must not find it any more
 *
 * Never fails and never waits. The object's memory is not written before the grace period is over.
 * An object that is not one of this cache is reported, and ends the program, at the latest before
 * objects that were deferred with it are allocated again.
 *
 * Context: any, including a signal handler that interrupted this library.
 * Ordering: all read-side critical sections that had begun before the call happen before the
 *           object is allocated again.
 */
ANYRCU_API void anyrcu_cache_free_deferred(struct anyrcu_cache *cache, void *object);

/**
 * anyrcu_cache_shrink() - give unused memory back to the system
 * @cache: the cache
 *
 * Waits for a grace period.
 *
 * Context: a task that may sleep, outside read-side critical sections.
 * Return: how many bytes were given back.
 */
ANYRCU_API size_t anyrcu_cache_shrink(struct anyrcu_cache *cache);

/**
 * struct anyrcu_cache_stats - statistics of a cache
 * @size: sizeof(struct anyrcu_cache_stats), set by the caller
 * @bytes: memory of its slabs
 * @objects: allocated objects, roughly, as they are counted while other threads run
 * @free: free objects, including those that wait for a grace period
 * @deferred_chain: deferrals for which no page of pointers was available, since the cache was made
 * @failed: allocations that returned NULL, since the cache was made
 */
struct anyrcu_cache_stats {
	size_t size;
	uint64_t bytes, objects, free, deferred_chain, failed;
};

/**
 * anyrcu_cache_stats_get() - read the statistics of a cache
 * @cache: the cache
 * @stats: @stats->size bytes are written at most
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_cache_stats_get(struct anyrcu_cache *cache,
				       struct anyrcu_cache_stats *stats);

/**
 * anyrcu_alloc() - allocate memory of any size up to ANYRCU_CACHE_OBJECT_MAX
 * @size: bytes; 0 counts as 1
 * @gfp: as for anyrcu_cache_alloc()
 *
 * The memory comes from caches of 36 sizes, which the first call with ANYRCU_GFP_KERNEL makes.
 * Calls in other modes before that fail, and the worker then makes the caches; the first such call
 * wakes it, by a system call.
 *
 * Context and ordering: as anyrcu_cache_alloc().
 * Return: memory aligned to 16 bytes; NULL as anyrcu_cache_alloc(), and if @size is too large.
 */
ANYRCU_API void *anyrcu_alloc(size_t size, unsigned gfp)
	__attribute__((malloc, alloc_size(1), warn_unused_result));

/**
 * anyrcu_dealloc() - free memory of anyrcu_alloc() or anyrcu_cache_alloc() at once
 * @ptr: the memory, or NULL, which does nothing
 *
 * Any other pointer is reported, and ends the program.
 *
 * Context and ordering: as anyrcu_cache_free().
 */
ANYRCU_API void anyrcu_dealloc(void *ptr);

/**
 * anyrcu_dealloc_sized() - free memory of anyrcu_alloc() at once
 * @ptr: the memory, or NULL, which does nothing
 * @size: its size at allocation; a size of another class is reported, and ends the program
 *
 * Context and ordering: as anyrcu_cache_free().
 */
ANYRCU_API void anyrcu_dealloc_sized(void *ptr, size_t size);

/**
 * anyrcu_dealloc_deferred() - free memory of anyrcu_alloc() or anyrcu_cache_alloc() after a grace
 * period
 * @ptr: the memory, or NULL, which does nothing
 *
 * Never fails and never waits. Any other pointer is reported, and ends the program. anyrcu_free(),
 * anyrcu_free_headless() and anyrcu_free_mightsleep() do the same for such memory.
 *
 * Context and ordering: as anyrcu_cache_free_deferred().
 */
ANYRCU_API void anyrcu_dealloc_deferred(void *ptr);

ANYRCU_END_DECLS

#endif
