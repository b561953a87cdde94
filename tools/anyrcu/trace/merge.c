/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Events in the order of their stamps, and in each chunk in the order of their places (pool.h says
 * why that is an order that happened); addresses become objects.
 */
#include <stdlib.h>

#include "trace/merge.h"

struct cursor {
	const struct pool_event *at;
	const struct pool_event *end;
	uint64_t stamp; /* of *at, no less than those before it */
};

/* By linear probing; at most half full. An address of 0 is an empty place. */
struct objects {
	struct place {
		uint64_t address;
		uint32_t process;
		uint32_t object;
	} * places;
	size_t mask;
	size_t used;
};

static size_t home(const struct objects *o, uint64_t address, uint32_t process)
{
	uint64_t x = ((address >> 4) + ((uint64_t)process << 44)) * 0x9e3779b97f4a7c15;

	return (x ^ x >> 32) & o->mask;
}

/* Where it is, or would be. */
static struct place *find(const struct objects *o, uint64_t address, uint32_t process)
{
	size_t i = home(o, address, process);

	while (o->places[i].address &&
	       (o->places[i].address != address || o->places[i].process != process))
		i = (i + 1) & o->mask;
	return &o->places[i];
}

/* Make room for one more. */
static bool grow(struct objects *o)
{
	struct objects larger = { .mask = o->places ? o->mask * 2 + 1 : 1023, .used = o->used };

	if (o->places && o->used < o->mask / 2)
		return true;
	larger.places = calloc(larger.mask + 1, sizeof(*larger.places));
	if (!larger.places)
		return false;
	for (size_t i = 0; o->places && i <= o->mask; i++)
		if (o->places[i].address)
			*find(&larger, o->places[i].address, o->places[i].process) = o->places[i];
	free(o->places);
	*o = larger;
	return true;
}

/* Those behind it that would not be found past the hole move up. */
static void erase(struct objects *o, struct place *place)
{
	size_t hole = place - o->places;

	for (size_t i = (hole + 1) & o->mask; o->places[i].address; i = (i + 1) & o->mask) {
		size_t from = home(o, o->places[i].address, o->places[i].process);

		if (((i - from) & o->mask) < ((i - hole) & o->mask))
			continue;
		o->places[hole] = o->places[i];
		hole = i;
	}
	o->places[hole].address = 0;
	o->used--;
}

/* Go to the first event at or after c->at that is whole and says something. */
static bool settle(struct cursor *c, uint64_t end)
{
	for (; c->at < c->end; c->at++) {
		uint64_t stamp = atomic_load_explicit(&c->at->stamp, memory_order_acquire);

		if (!stamp || !c->at->address)
			continue;
		if (stamp > c->stamp)
			c->stamp = stamp;
		return c->stamp <= end;
	}
	return false;
}

static bool before(const struct cursor *a, const struct cursor *b)
{
	return a->stamp < b->stamp || (a->stamp == b->stamp && a->at < b->at);
}

/* A heap with the earliest at the top. */
static void sift_down(struct cursor *heap, size_t n, size_t i)
{
	struct cursor moving = heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < n && before(&heap[child + 1], &heap[child]))
			child++;
		if (child >= n || !before(&heap[child], &moving))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moving;
}

static struct cursor *open_chunks(const struct merge *m, uint64_t end, size_t *n)
{
	struct cursor *heap = malloc((m->nchunks + POOL_CHUNKS) * sizeof(*heap));

	*n = 0;
	if (!heap)
		return NULL;
	for (size_t i = 0; i < m->nchunks + POOL_CHUNKS; i++) {
		size_t in_pool = i - m->nchunks;
		struct cursor c;

		if (i >= m->nchunks &&
		    atomic_load(&m->pool->unused[in_pool / 64]) >> in_pool % 64 & 1)
			continue;
		c.at = i < m->nchunks ? m->chunks[i] : m->pool->chunk[in_pool];
		c.end = c.at + POOL_CHUNK_EVENTS;
		c.stamp = 0;
		if (settle(&c, end))
			heap[(*n)++] = c;
	}
	for (size_t i = *n / 2; i-- > 0;)
		sift_down(heap, *n, i);
	return heap;
}

/*
 * Numbers as the pool has them, which go to programs that may come to record nothing, to those in
 * the trace.
 */
struct numbers {
	uint32_t nthreads;
	uint32_t nprocesses;
	uint32_t next;
	uint32_t *threads; /* 1 more; 0: none yet */
	bool *processes;
};

static uint32_t number(struct merge *m, struct numbers *n, const struct pool_event *e)
{
	if (!n->threads[e->thread])
		n->threads[e->thread] = ++n->next;
	if (!n->processes[e->process]) {
		n->processes[e->process] = true;
		m->nprocesses++;
	}
	return n->threads[e->thread] - 1;
}

static bool write_event(struct merge *m, struct numbers *n, struct objects *o,
			const struct pool_event *e)
{
	struct place *place;

	/* The program could write to the pool, so do not rely on it. */
	if (e->thread >= n->nthreads || e->process >= n->nprocesses)
		return true;
	if (!grow(o))
		return false;
	place = find(o, e->address, e->process);
	if (e->size == POOL_FREE) {
		if (!place->address) {
			m->unknown_frees++;
			return true;
		}
		trace_write_free(m->writer, number(m, n, e), place->object);
		erase(o, place);
		return true;
	}
	if (m->writer->nobjects == UINT32_MAX) {
		m->too_many = true;
		return true;
	}
	if (place->address) {
		m->missed_frees++;
		trace_write_free(m->writer, number(m, n, e), place->object);
	} else {
		o->used++;
	}
	m->allocated_bytes += e->size;
	*place = (struct place){ e->address, e->process,
				 trace_write_alloc(m->writer, number(m, n, e), e->size) };
	return true;
}

static bool write_events(struct merge *m, struct numbers *n, struct objects *o)
{
	uint64_t end = atomic_load(&m->pool->end);
	size_t nheap;
	struct cursor *heap = open_chunks(m, end, &nheap);
	double total = (double)nheap * POOL_CHUNK_EVENTS;
	bool ok = heap;

	for (uint64_t done = 0; ok && nheap && !m->too_many; done++) {
		if (done % (1 << 20) == (1 << 20) - 1)
			m->progress(done / total);
		ok = write_event(m, n, o, heap->at);
		heap->at++;
		if (!settle(heap, end))
			heap[0] = heap[--nheap];
		sift_down(heap, nheap, 0);
	}
	free(heap);
	return ok;
}

bool merge(struct merge *m)
{
	struct numbers n = {
		.nthreads = atomic_load(&m->pool->threads),
		.nprocesses = atomic_load(&m->pool->processes) + 1,
	};
	struct objects o = { 0 };
	bool ok;

	n.threads = calloc(n.nthreads + 1, sizeof(*n.threads));
	n.processes = calloc(n.nprocesses, sizeof(*n.processes));
	ok = n.threads && n.processes && write_events(m, &n, &o);
	free(n.threads);
	free(n.processes);
	free(o.places);
	return ok;
}
