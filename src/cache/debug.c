/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * ANYRCU_DEBUG=1: each operation takes the slow path, calls the functions here, and uses the queues
 * with owners, not those of sequences, as an owner may check a page before it passes the page on.
 *
 * A slab of a cache that was made in debug mode:
 *
 *     [ words ][ records ] .. [ zone | object 0 | gap, zone ][ zone | object 1 | gap, zone ] ..
 *
 * The record says where the object was allocated and where it was freed. Only the thread that owns
 * the object writes it: the allocating thread, after it has taken the object from a magazine and
 * before it returns the object, and the freeing thread, before it stores the object in a page. If
 * two threads free the same object, they exchange "freed" one after the other, and the second one
 * finds the first one's place there.
 *
 * The zones are filled with ZONE when the slab is made. The 16 bytes before an object are checked
 * for writes before it, and the gap and the 16 bytes behind it for writes behind it: when the
 * object is freed, when its deferral has matured, and when it is allocated.
 *
 * Free objects that no reader can see are filled with POISON: when they are carved, when they are
 * freed at once, and when the page that they were deferred in has matured. Objects of caches with a
 * constructor, and of TYPESAFE caches, are not filled, as they keep their content. "filled" is set
 * after the pattern is written. If an object no longer has the pattern when its page is gathered or
 * it is allocated, the program wrote to it after the grace period.
 *
 * Where AddressSanitizer or memcheck watches, caches have records and zones too, but no patterns:
 * instead the library tells the checker which bytes may be accessed, and the checker also finds
 * reads. A deferred object may be accessed until its deferral has matured.
 *
 * A handler that interrupts any of this cannot own the object, which the interrupted thread owns.
 * The child of a fork has either the former state or, by the release, the whole pattern.
 */
#include <cache/cache.h>

#define ZONE 0xbb
#define POISON 0x6b
#define SITES 16 /* places of allocation that a report lists, for each cache */

bool cache_debug;

static char *slab_of(const void *p)
{
	return (char *)((uintptr_t)p & ~(uintptr_t)(UNIT_SIZE - 1));
}

static struct cache_record *records_of(const struct anyrcu_cache *c, char *slab)
{
	return (struct cache_record *)(void *)(slab + c->records);
}

static struct cache_record *record_of(const struct anyrcu_cache *c, const void *p)
{
	return records_of(c, slab_of(p)) + cache_index(c, (uintptr_t)p);
}

static bool fills(const struct anyrcu_cache *c)
{
	return !c->constructor && !(c->flags & ANYRCU_CACHE_TYPESAFE);
}

/* ---- reports ---- */

static void report_places(const struct anyrcu_cache *c, const void *p)
{
	const struct cache_record *r = c->records ? record_of(c, p) : NULL;
	const void *allocated = r ? load(&r->allocated) : NULL, *freed = r ? load(&r->freed) : NULL;

	if (allocated)
		port_report("  allocated at %a", allocated);
	if (freed)
		port_report("  freed at %a", freed);
	if (r && !allocated)
		port_report("  which was never allocated");
}

/* @at, in @p's zones, or in @p while that was free, was written to; found when @p was @when. */
static noinline _Noreturn void cache_written(const struct anyrcu_cache *c, const void *p,
					     const void *at, const char *when)
{
	const struct cache_record *r = record_of(c, p);
	uint64_t size = c->object_size - (load(&r->filled) ? 0 : load(&r->slack));
	uint64_t offset = (uintptr_t)at - (uintptr_t)p;

	if (at < p)
		port_report("%u bytes before %p, an object of the cache %s, was written to",
			    -offset, p, c->name);
	else if (offset >= size)
		port_report("%u bytes behind the end of %p, an object of %u bytes of the cache %s, "
			    "was written to",
			    offset - size, p, size, c->name);
	else
		port_report("%p, an object of the cache %s, was written to after it was free, "
			    "%u bytes from its begin",
			    p, c->name, offset);
	report_places(c, p);
	port_bug("  found when it was %s", when);
}

_Noreturn void cache_twice(const struct anyrcu_cache *c, const void *p, const void *caller)
{
	port_report("%p, an object of the cache %s, was freed twice", p, c->name);
	report_places(c, p);
	if (caller)
		port_bug("  freed again at %a", caller);
	port_bug("  found when all free objects were counted; ANYRCU_DEBUG=1 finds it at once");
}

/* Report the object that @p points into, if there is one. */
static void report_object(const struct anyrcu_cache *c, uintptr_t p)
{
	uint32_t i = p % UNIT_SIZE < c->first ? UINT32_MAX : cache_index(c, p);
	uintptr_t object = p - p % UNIT_SIZE + c->first + (uintptr_t)i * c->size;

	if (i >= c->per_slab)
		return;
	port_report("  it points %u bytes into %p, an object of %u bytes of the cache %s",
		    p - object, (void *)object, (uint64_t)c->object_size, c->name);
	report_places(c, (void *)object);
}

_Noreturn void cache_foreign(const struct anyrcu_cache *c, const void *p, const void *caller)
{
	const struct anyrcu_cache *owner = arena_owner(p);

	if (c)
		port_report(
			"%p was freed to the cache %s of objects of %u bytes, and is not an object of it",
			p, c->name, (uint64_t)c->object_size);
	else
		port_report("%p was freed, and is not an object of a cache", p);
	if (owner)
		report_object(owner, (uintptr_t)p);
	if (caller)
		port_bug("  freed to it at %a", caller);
	port_bug("  it was deferred some time ago; ANYRCU_DEBUG=1 finds it at once");
}

/* ---- checks ---- */

void cache_debug_slab(const struct anyrcu_cache *c, void *slab)
{
	char *zone = (char *)slab + c->first - CACHE_ZONE;

	if (likely(!c->records))
		return;
	memset(slab, 0, zone - (char *)slab);
	if (!port_memory_checked) {
		memset(zone, ZONE, (char *)slab + UNIT_SIZE - zone);
		return;
	}
	port_checker_access(zone, (char *)slab + UNIT_SIZE - zone, false);
	for (uint32_t i = 0; !fills(c) && i < c->per_slab; i++)
		port_checker_access((char *)slab + c->first + i * c->size, c->object_size, true);
}

/* The first byte from @at to @end that is not @byte, or NULL. */
static const void *other(const unsigned char *at, const unsigned char *end, unsigned char byte)
{
	for (; at < end; at++)
		if (*at != byte)
			return at;
	return NULL;
}

static void check_object(const struct anyrcu_cache *c, const void *p, const char *when)
{
	const struct cache_record *r = record_of(c, p);
	bool filled = load(&r->filled);
	const unsigned char *begin = p;
	const unsigned char *end = begin + c->object_size - (filled ? 0 : load(&r->slack));
	const void *at;

	if (port_memory_checked)
		return;
	at = other(begin - CACHE_ZONE, begin, ZONE);
	if (!at)
		at = other(end, begin + c->size - CACHE_ZONE, ZONE);
	if (!at && filled)
		at = other(begin, end, POISON);
	if (at)
		cache_written(c, p, at, when);
}

void cache_debug_matured(const struct anyrcu_cache *c, void *p)
{
	struct cache_record *r;

	if (likely(!c->records))
		return;
	check_object(c, p, "met among those whose grace period is over");
	r = record_of(c, p);
	if (load(&r->filled) || !fills(c))
		return;
	if (!port_memory_checked)
		memset(p, POISON, c->object_size);
	else if (load(&r->allocated))
		port_checker_free(c, p, c->object_size);
	store_release(&r->filled, true);
}

void cache_debug_matured_all(const struct anyrcu_cache *c, const struct magazine *m)
{
	for (uint32_t i = 0; unlikely(c->records) && i < m->open.count; i++)
		cache_debug_matured(c, (void *)m->word[i]);
}

void cache_debug_alloc(const struct anyrcu_cache *c, void *p, const void *caller)
{
	struct cache_record *r;

	if (likely(!c->records) || !p)
		return;
	check_object(c, p, "allocated");
	r = record_of(c, p);
	store(&r->filled, false);
	store(&r->slack, 0);
	store(&r->freed, NULL);
	store(&r->allocated, caller);
	if (port_memory_checked && fills(c))
		port_checker_alloc(c, p, c->object_size);
}

void cache_debug_size(const struct anyrcu_cache *c, void *p, size_t size)
{
	size_t slack = c->object_size - size;

	if (likely(!c->records) || !p)
		return;
	if (port_memory_checked)
		port_checker_access((char *)p + size, slack, false);
	else
		memset((char *)p + size, ZONE, slack);
	store(&record_of(c, p)->slack, slack);
}

void cache_debug_free(const struct anyrcu_cache *c, void *p, const void *caller)
{
	struct cache_record *r;
	const void *first;

	if (likely(!c->records))
		return;
	r = record_of(c, p);
	if (!load(&r->allocated))
		cache_foreign(c, p, caller);
	first = xchg(&r->freed, caller);
	if (first) {
		store(&r->freed, first);
		cache_twice(c, p, caller);
	}
	check_object(c, p, "freed");
}

/* ---- leaks ---- */

struct site {
	const void *allocated;
	uint64_t objects;
};

/* Count an object that is not free; if there are too many sites, at the last one. */
static void leak_count(struct site *sites, const void *allocated)
{
	unsigned i = 0;

	while (i < SITES && sites[i].allocated && sites[i].allocated != allocated)
		i++;
	if (i < SITES)
		sites[i].allocated = allocated;
	sites[i].objects++;
}

/* Count all objects of @c that are not free, by site. Returns how many. */
static uint64_t leaks(const struct anyrcu_cache *c, struct site sites[SITES + 1])
{
	uint32_t units = load_acquire(&arena.committed) / UNIT_SIZE;
	uint64_t n = 0;

	for (uint32_t u = 0; u < units; u++) {
		const struct cache_record *r;

		if (load_acquire(&arena.owner[u]) != c)
			continue;
		r = records_of(c, (char *)arena.base + (uintptr_t)u * UNIT_SIZE);
		for (const struct cache_record *end = r + c->per_slab; r < end; r++) {
			if (load(&r->allocated) && !load(&r->freed)) {
				leak_count(sites, load(&r->allocated));
				n++;
			}
		}
	}
	return n;
}

void cache_leaked(const struct anyrcu_cache *c, uint64_t n, const char *before)
{
	port_report("%u objects of the cache %s were not freed before %s; each has %u bytes", n,
		    c->name, before, (uint64_t)c->object_size);
}

uint64_t cache_debug_leaks(const struct anyrcu_cache *c, const char *before)
{
	struct site sites[SITES + 1] = { 0 };
	uint64_t n = c->records ? leaks(c, sites) : 0;

	if (!n)
		return 0;
	cache_leaked(c, n, before);
	for (unsigned i = 0; i < SITES && sites[i].objects; i++)
		port_report("  %u allocated at %a", sites[i].objects, sites[i].allocated);
	if (sites[SITES].objects)
		port_report("  %u allocated elsewhere", sites[SITES].objects);
	return n;
}

/* As cache_owns(), with all constants read once. */
void cache_check(const struct anyrcu_cache *c, const struct magazine *m)
{
	const uintptr_t *word = m->word, *end = word + load(&m->open.count);
	uintptr_t committed = load_acquire(&arena.committed), base = load(&arena.base);
	struct anyrcu_cache *const *owner = arena.owner;
	uint32_t first = c->first, reciprocal = c->reciprocal;

	for (; word < end; word++) {
		uintptr_t p = *word;

		if (unlikely(p - base >= committed || owner[(p - base) / UNIT_SIZE] != c ||
			     ((uint32_t)(p % UNIT_SIZE) - first) * reciprocal >= reciprocal))
			cache_foreign(c, (void *)p, NULL);
	}
}
