/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A buddy allocator over chunks of 2 MiB (order 9), each aligned to its size, so that a page finds its chunk by masking. The
 * first page of a chunk is its header; an allocation of order 9 is a mapping of its own.
 *
 * Safety: every function runs under the zone's lock, which no signal handler takes; nothing here is concurrent.
 */
#include <anyrcu/page.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include <port/port.h>

#define CHUNK_ORDER ANYRCU_PAGE_ORDER_MAX
#define CHUNK_PAGES (1u << CHUNK_ORDER)
#define CHUNK_SIZE ((size_t)ANYRCU_PAGE_SIZE << CHUNK_ORDER)

/* state[i]: page i begins a free block, or a block in use, of an order; or it is inside a block. */
enum { INSIDE = 0, FREE = 0x40, USED = 0x80 };

struct chunk {
	struct chunk *next;
	unsigned pages_free;
	unsigned blocks[CHUNK_ORDER]; /* free ones, by order */
	uint8_t state[CHUNK_PAGES];
};

static struct chunk *chunks;

static void *map(size_t size)
{
	void *p = port_map(size, CHUNK_SIZE);

	if (p) {
		count_add(&pages_stats.mapped, size);
		count_max(&pages_stats.mapped_high, load(&pages_stats.mapped));
	}
	return p;
}

static void unmap(void *p, size_t size)
{
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

static struct chunk *chunk_new(void)
{
	struct chunk *c = map(CHUNK_SIZE);

	if (!c)
		return NULL;
	/* All but page 0: blocks of 1, 2, 4 ... 256 pages. */
	for (unsigned order = 0; order < CHUNK_ORDER; order++)
		block_free(c, 1u << order, order);
	c->state[0] = USED;
	c->pages_free = CHUNK_PAGES - 1;
	c->next = chunks;
	chunks = c;
	return c;
}

static void *chunk_take(struct chunk *c, unsigned order)
{
	unsigned have = order, i;

	while (have < CHUNK_ORDER && !c->blocks[have])
		have++;
	if (have == CHUNK_ORDER)
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
	c = may_map ? chunk_new() : NULL;
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
		port_bug("page %p of order %u freed, but no page of that order is in use there", page, (uint64_t)order);
	c->pages_free += 1u << order;
	while (order < CHUNK_ORDER - 1 && c->state[i ^ (1u << order)] == (FREE | order)) {
		block_unfree(c, i ^ (1u << order), order);
		c->state[i] = INSIDE;
		i &= ~(1u << order);
		order++;
	}
	block_free(c, i, order);
}

struct chunk *zone_trim(void)
{
	struct chunk **link = &chunks, *out = NULL;

	while (*link) {
		struct chunk *c = *link;

		if (c->pages_free == CHUNK_PAGES - 1) {
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

		unmap(c, CHUNK_SIZE);
		c = next;
	}
}
