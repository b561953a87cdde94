/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The memory of all caches: one range of addresses, in units of 64 KiB. */
#ifndef ANYRCU_CACHE_ARENA_H
#define ANYRCU_CACHE_ARENA_H

#include <port/process.h>
#include <port/magazine.h>

#define UNIT_SIZE 65536u
#define UNIT_MAGAZINES 15u
#define MAGAZINE_CAP 503u

struct anyrcu_cache;

/*
 * A shrink counts the free objects (or magazines) of a unit in "nfree". If all are free, it removes
 * each of them and adds DROPPED for it; with the last one the unit is given back.
 */
#define DROPPED 65536u

/* The description of a unit, outside of the unit. */
struct arena_unit {
	uint32_t link; /* the next one below it in a stack */
	uint32_t nfree; /* see DROPPED; under cache_lock */
	uint32_t magazine_link[UNIT_MAGAZINES]; /* links of its magazines in their stacks */
};

/*
 * A page of pointers to objects. "next", "cookie" and "nth" are used by the queue that it is in,
 * see queue.c.
 */
struct magazine {
	struct port_rseq_page open;
	struct magazine *next;
	uint64_t cookie;
	uint32_t nth;
	uintptr_t word[504] __attribute__((aligned(PORT_RSEQ_WORDS)));
	/*
	 * Padding, so that the counts of two magazines that are used together differ in the lower
	 * 12 bits of their addresses: otherwise the CPU treats a load of one as dependent on a
	 * pending store to the other, 3 ns an object.
	 */
	char apart[192];
};
_Static_assert(sizeof(struct magazine) * UNIT_MAGAZINES <= UNIT_SIZE, "so many in a unit");
_Static_assert(offsetof(struct magazine, word) == PORT_RSEQ_WORDS, "where the sequence stores");

/*
 * "committed" grows under arena_lock; all else is constant from the first cache on. Read committed
 * with acquire before the others.
 */
extern struct arena {
	uintptr_t base;
	uintptr_t committed; /* bytes from base on that may be touched */
	struct anyrcu_cache **owner; /* for each unit: its slab's cache, or NULL; any context */
	struct arena_unit *units;
	uintptr_t size;
} arena;

/* The cache whose slab contains @p; NULL: none. Any context. */
static inline struct anyrcu_cache *arena_owner(const void *p)
{
	uintptr_t committed = load_acquire(&arena.committed),
		  offset = (uintptr_t)p - load(&arena.base);

	return likely(offset < committed) ? load(&arena.owner[offset / UNIT_SIZE]) : NULL;
}

/* The unit of an address that is committed. */
static inline struct arena_unit *arena_unit(uintptr_t p)
{
	return &arena.units[(p - arena.base) / UNIT_SIZE];
}

static inline void arena_own(const struct arena_unit *u, struct anyrcu_cache *c)
{
	store_release(&arena.owner[u - arena.units], c);
}

static inline void *arena_unit_start(const struct arena_unit *u)
{
	return (char *)arena.base + (uintptr_t)(u - arena.units) * UNIT_SIZE;
}

/* Reserve the addresses, unless that is done. Task. */
bool arena_make(void);
/*
 * A unit with undefined content; with ANYRCU_GFP_KERNEL memory may be committed for it. NULL: none
 * is available. Any context.
 */
struct arena_unit *arena_unit_alloc(unsigned gfp);
/* @discard: its memory goes back to the system first, by a system call. */
void arena_unit_free(struct arena_unit *unit, bool discard);
/* An empty page of pointers. As above. */
struct magazine *magazine_alloc(unsigned gfp);
void magazine_free(struct magazine *m);

/*
 * A stack of magazines. The word holds the number of the topmost magazine and, in the upper bits, a
 * count of changes, so that the cmpxchg of a thread that stopped in between fails: 40 bits do not
 * wrap in the life of a process. A thread may read the link of a magazine that is in no stack any
 * more; its cmpxchg then fails, and the link is not used. The memory of magazines is never
 * unmapped. Any context.
 */
void magazine_push(uint64_t *stack, struct magazine *m);
struct magazine *magazine_pop(uint64_t *stack);
/* The number of objects in it, roughly. */
uint64_t magazine_objects(const uint64_t *stack);

/* Does arena_refill() have something to do? Any context. */
bool arena_low(void);
/* Commit some memory ahead, for callers that may not do so. Task. */
void arena_refill(void);
/* Give the memory of free magazines back, once a grace period is over. Under cache_lock. Task. */
void arena_trim_begin(void);
void arena_trim_end(void);
bool arena_trims(void); /* it has begun, and not ended */

extern struct port_lock arena_lock;

#endif
