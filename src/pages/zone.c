/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A buddy allocator over chunks, each aligned to 2 MiB and no larger than that, so that masking a
 * page's address gives its chunk. The first page of a chunk is its header; an allocation of order 9
 * (2 MiB) is a mapping of its own. The first chunk has 1 MiB, which has room for the reserve that a
 * process begins with; all others have 2 MiB.
 *
 * Safety: every function runs under the zone's lock, except those that only use "returned"; so
 * nothing else here is concurrent. NO_LOCKS allocations never take the lock, and its holder takes
 * no signals but those that a fault raises.
 */
#include <anyrcu/page.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include <port/process.h>

struct pages_stats pages_stats;
struct port_lock pages_lock;

/*
 * Pages that found no free slot: a stack that any context pushes to, and that is taken whole under
 * the lock. A page here holds the link and its order in its first words.
 */
static struct returned {
	struct returned *next;
	unsigned order;
} * returned;

#define CHUNK_ORDER ANYRCU_PAGE_ORDER_MAX
#define CHUNK_ORDER_FIRST 8
#define CHUNK_PAGES (1u << CHUNK_ORDER)
#define CHUNK_SIZE ((size_t)ANYRCU_PAGE_SIZE << CHUNK_ORDER)

/* state[i]: page i begins a free block, or a block in use, of an order; or it is inside a block. */
enum { INSIDE = 0, FREE = 0x40, USED = 0x80 };

struct chunk {
	struct chunk *next;
	unsigned order; /* its size */
	unsigned pages_free;
	unsigned blocks[CHUNK_ORDER]; /* free ones, by order */
	uint8_t state[CHUNK_PAGES];
};

static struct chunk *chunks;

static void *map(size_t size)
{
	void *p = port_map(size, CHUNK_SIZE);

	if (p) {
		port_checker_root(p, size, true);
		count_add(&pages_stats.mapped, size);
		count_max(&pages_stats.mapped_high, load(&pages_stats.mapped));
	}
	return p;
}

static void unmap(void *p, size_t size)
{
	port_checker_root(p, size, false);
	port_unmap(p, size);
	count_add(&pages_stats.mapped, -(uint64_t)size);
}

static void block_free(struct chunk *c, unsigned i, unsigned order)
{
	c->state[i] = FREE | order;
	c->blocks[order]++;
}

static void block_unfree(struct chunk *c, unsigned i, unsigned order)
{
	c->state[i] = INSIDE;
	c->blocks[order]--;
}

static size_t chunk_size(const struct chunk *c)
{
	return (size_t)ANYRCU_PAGE_SIZE << c->order;
}

static bool chunk_unused(const struct chunk *c)
{
	return c->pages_free == (1u << c->order) - 1;
}

static struct chunk *chunk_new(unsigned order)
{
	struct chunk *c = map((size_t)ANYRCU_PAGE_SIZE << order);

	if (!c)
		return NULL;
	c->order = order;
	/* All but page 0: blocks of 1, 2, 4 ... pages, the last of half the chunk. */
	for (unsigned i = 0; i < order; i++)
		block_free(c, 1u << i, i);
	c->state[0] = USED;
	c->pages_free = (1u << order) - 1;
	c->next = chunks;
	chunks = c;
	return c;
}

static void *chunk_take(struct chunk *c, unsigned order)
{
	unsigned have = order, i;

	while (have < c->order && !c->blocks[have])
		have++;
	if (have >= c->order)
		return NULL;
	for (i = 0; c->state[i] != (FREE | have); i += 1u << have)
		;
	block_unfree(c, i, have);
	while (have > order) {
		have--;
		block_free(c, i + (1u << have), have);
	}
	c->state[i] = USED | order;
	c->pages_free -= 1u << order;
	return (char *)c + (size_t)i * ANYRCU_PAGE_SIZE;
}

void *zone_take(unsigned order, bool may_map)
{
	struct chunk *c;

	if (order == CHUNK_ORDER)
		return may_map ? map(CHUNK_SIZE) : NULL;
	for (c = chunks; c; c = c->next) {
		void *p = chunk_take(c, order);

		if (p)
			return p;
	}
	if (!may_map)
		return NULL;
	c = chunk_new(chunks || order >= CHUNK_ORDER_FIRST ? CHUNK_ORDER : CHUNK_ORDER_FIRST);
	return c ? chunk_take(c, order) : NULL;
}

void zone_put(void *page, unsigned order)
{
	struct chunk *c = (struct chunk *)((uintptr_t)page & ~(CHUNK_SIZE - 1));
	unsigned i = ((uintptr_t)page & (CHUNK_SIZE - 1)) / ANYRCU_PAGE_SIZE;

	if (order == CHUNK_ORDER) {
		unmap(page, CHUNK_SIZE);
		return;
	}
	if (c->state[i] != (USED | order))
		port_bug("page %p of order %u freed, but no page of that order is in use there",
			 page, (uint64_t)order);
	c->pages_free += 1u << order;
	/* The largest block's buddy has the header in it, which is in use. */
	while (c->state[i ^ (1u << order)] == (FREE | order)) {
		block_unfree(c, i ^ (1u << order), order);
		c->state[i] = INSIDE;
		i &= ~(1u << order);
		order++;
	}
	block_free(c, i, order);
}

void zone_bring_home(void)
{
	struct returned *r = load(&returned) ? xchg(&returned, NULL) : NULL;

	while (r) {
		struct returned *next = r->next;

		zone_put(r, r->order);
		r = next;
	}
}

void zone_return(void *page, unsigned order)
{
	struct returned *r = page;

	r->order = order;
	r->next = load(&returned);
	while (!__atomic_compare_exchange_n(&returned, &r->next, r, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
}

bool zone_has_returned(void)
{
	return load(&returned) != NULL;
}

void *zone_alloc(unsigned order, bool may_map)
{
	void *p;

	port_lock(&pages_lock);
	zone_bring_home();
	p = zone_take(order, may_map);
	port_unlock(&pages_lock);
	return p;
}

struct chunk *zone_trim(void)
{
	struct chunk **link = &chunks, *out = NULL;

	while (*link) {
		struct chunk *c = *link;

		if (chunk_unused(c)) {
			*link = c->next;
			c->next = out;
			out = c;
		} else {
			link = &c->next;
		}
	}
	return out;
}

void zone_unmap(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		unmap(c, chunk_size(c));
		c = next;
	}
}
