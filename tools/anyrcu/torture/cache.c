/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Objects of a cache, and of anyrcu_alloc(), in places that readers look at.
 *
 * Each has a mark, which is its address with a bit that says whether it is live or was freed, and a
 * number, which differs for each use. What is allocated must not be live: it would have been handed
 * out twice. What is freed must be. While a reader is in its section the number must not change. A
 * cache lives for a round, and when it is destroyed, each object must be found.
 */
#include <port/process.h>

#include "torture/torture.h"

#define MARK UINT64_C(0x70a7e00000000000)
#define CACHED_PLACES 16
#define CACHE_BYTES_MAX (4u << 20)
#define IN_HANDS \
	512 /* objects that a thread may have had, which the child of a fork does not have */

enum { OF_CACHE = 1, OF_ANY };

struct cached {
	struct anyrcu_head head;
	_Atomic uint64_t mark, number;
	uint64_t of;
	char rest[];
};

static struct anyrcu_cache *cache;
static struct cached *cached_places[CACHED_PLACES];
static _Atomic uint64_t numbers;

static uint64_t mark_of(const struct cached *p, bool live)
{
	return MARK ^ (uintptr_t)p ^ live;
}

static struct cached *cached_take(enum context context)
{
	bool kernel = context == TASK && !one_in(4), any = one_in(8);
	unsigned gfp = kernel ? ANYRCU_GFP_KERNEL : ANYRCU_GFP_NO_LOCKS;
	struct cached *p =
		any ? anyrcu_alloc(sizeof(*p) + rnd() % 100, gfp) : anyrcu_cache_alloc(cache, gfp);

	if (!p)
		return NULL;
	if (atomic_exchange(&p->mark, mark_of(p, true)) == mark_of(p, true))
		found(&run.twice, "twice: an object of a cache was handed out to two");
	atomic_store_explicit(&p->number, atomic_fetch_add(&numbers, 1) + 1, memory_order_relaxed);
	p->of = any ? OF_ANY : OF_CACHE;
	return p;
}

static void unmark(struct cached *p)
{
	uint64_t mark = mark_of(p, true);

	if (!atomic_compare_exchange_strong(&p->mark, &mark, mark_of(p, false)))
		found(&run.twice, "twice: an object of a cache is not its owner's any more");
}

static void cached_free(struct cached *p)
{
	unmark(p);
	if (p->of == OF_CACHE && one_in(2))
		anyrcu_cache_free(cache, p);
	else
		anyrcu_dealloc(p);
}

static void cached_defer(struct cached *p, enum context context)
{
	unmark(p);
	switch (rnd() % 8) {
	case 0:
		anyrcu_free(p, head);
		return;
	case 1:
		if (anyrcu_free_headless(p))
			return;
		break;
	case 2:
		if (context != TASK)
			break;
		anyrcu_free_mightsleep(p);
		return;
	default:
		if (p->of != OF_CACHE)
			break;
		anyrcu_cache_free_deferred(cache, p);
		return;
	}
	anyrcu_dealloc_deferred(p);
}

void cache_update(enum context context)
{
	struct cached *p = cached_take(context), *old;

	if (!p)
		return;
	if (one_in(8)) { /* nobody has seen it */
		cached_free(p);
		return;
	}
	old = __atomic_exchange_n(&cached_places[rnd() % CACHED_PLACES], p, __ATOMIC_ACQ_REL);
	if (old)
		cached_defer(old, context);
}

static bool is_there(struct cached *p, uint64_t number)
{
	uint64_t mark = atomic_load_explicit(&p->mark, memory_order_relaxed);

	return (mark == mark_of(p, true) || mark == mark_of(p, false)) &&
	       atomic_load_explicit(&p->number, memory_order_relaxed) == number;
}

void cache_look(bool dwell)
{
	struct cached *p;
	uint64_t number;

	anyrcu_read_lock();
	p = anyrcu_dereference(cached_places[rnd() % CACHED_PLACES]);
	if (p) {
		number = atomic_load_explicit(&p->number, memory_order_relaxed);
		for (uint64_t n = rnd() % (dwell && one_in(8) ? 20000 : 64); n; n--) {
			if (!is_there(p, number)) {
				found(&run.early,
				      "early: a reader finds an object of a cache in another use");
				break;
			}
		}
	}
	anyrcu_read_unlock();
}

void cache_give_back(void)
{
	anyrcu_cache_shrink(cache);
}

void cache_begin(void)
{
	const struct anyrcu_cache_config config = { .size = sizeof(config),
						    .name = "tortured",
						    .object_size = sizeof(struct cached),
						    .bytes_max = CACHE_BYTES_MAX };

	if (!cache)
		cache = anyrcu_cache_create(&config);
	if (!cache)
		found(&run.lost, "no cache");
}

static void cache_clear(void)
{
	for (unsigned i = 0; i < CACHED_PLACES; i++) {
		struct cached *p = __atomic_exchange_n(&cached_places[i], NULL, __ATOMIC_ACQ_REL);

		if (p)
			cached_defer(p, TASK);
	}
}

void cache_end(void)
{
	cache_clear();
	faults_refuse(false); /* a destroy gives up what it has no page for */
	if (cache && anyrcu_cache_destroy(cache))
		found(&run.lost, "lost: objects of a cache were not found when it was destroyed");
	faults_refuse(true);
	cache = NULL;
}

/* Threads that are not here had a page of objects each in their hands, at most, and one object. */
void cache_child(unsigned threads)
{
	struct anyrcu_cache_stats s = { .size = sizeof(s) };

	cache_clear();
	anyrcu_cache_shrink(cache);
	anyrcu_cache_stats_get(cache, &s);
	if (s.objects > (uint64_t)threads * IN_HANDS)
		found(&run.lost, "lost: %u objects of a cache in the child of a fork",
		      (unsigned)s.objects);
}
