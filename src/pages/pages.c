/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The page allocator: per-CPU lists, then a global reserve, then the zone.
 *
 * Lists and reserve are arrays of slots, not linked lists. A slot holds a page or NULL:
 *
 *     alloc:  page = xchg(slot, NULL)            free:  cmpxchg(slot, NULL, page)
 *
 * Safety. Any thread in any context may write a slot, but only by these two operations. An xchg
 * that returns a page takes it from the array atomically, so no other thread can get the page; a
 * cmpxchg that succeeds gives the page away atomically. Neither reads the page, so there is no ABA
 * and nothing to protect. At every instant a page is either in one slot or owned by one caller, so
 * a signal handler that comes between any two instructions, and allocates and frees itself, finds a
 * consistent array. A thread that stops here for a minute owns at most one page. Both operations
 * acquire and release: what the last owner wrote happens before the next owner's use.
 *
 * Bounded: an operation tries each slot at most once. "hint" is the index at which the last
 * operation succeeded, so the common case tries one slot; "held" is the number of pages, so an
 * operation can skip a full or empty array. Both are updated without synchronization, and any value
 * of them is safe: a hint is any number below the length, and an outdated "held" (a thread stopped
 * between slot and count) only makes an allocation fail or a free go elsewhere. If a thread dies
 * there, or does not exist in the child of a fork, "held" stays wrong by one for good, and one slot
 * less is used.
 *
 * "CPU" is an index for locality, not for exclusion: a thread that migrates in between works on
 * another CPU's list, which is correct. The lists change once, from the single list before
 * initialisation to one for each CPU. The only writer holds the zone's lock, and publishes the
 * lists before it publishes their number; so a thread that reads the number also sees the lists. A
 * thread that has read the former list may give a page to it at any later time; the page stays
 * there until a trim, which searches that list too.
 *
 * Pages that find no free slot go to zone_return(), a stack that is only pushed to and taken whole,
 * so it has no ABA either; the next holder of the zone's lock returns them to the zone.
 */
#include <anyrcu/page.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include <port/port.h>

#define ORDERS (ANYRCU_PAGE_ORDER_MAX + 1)
#define RESERVE_0 4096
#define RESERVE_N 32
#define CPU_0 32
#define CPU_N 2

struct slots {
	unsigned hint;
	int held;
};

struct list_cpu {
	struct slots slots[ORDERS];
	void *page_0[CPU_0];
	void *page_n[ORDERS - 1][CPU_N];
} __attribute__((aligned(CACHE_LINE)));

static struct list_cpu first_list, *lists = &first_list;
static unsigned lists_mask; /* their number, a power of two, less one */

static struct {
	struct slots slots[ORDERS];
	void *page_0[RESERVE_0];
	void *page_n[ORDERS - 1][RESERVE_N];
	unsigned want[ORDERS]; /* the watermark; written under the zone's lock */
	bool grown[ORDERS]; /* the order has run low before; under the zone's lock */
	unsigned taken[ORDERS]; /* since the last refill; any context */
	unsigned missed[ORDERS];
	uint32_t used; /* 1: pages were used since the last pages_idle(); any context */
	bool dirty; /* pages were used before that, since the last trim; a task */
	bool direct; /* the program itself has used NO_LOCKS; any context */
	bool watched; /* a thread checks from time to time; a task */
} reserve __attribute__((aligned(CACHE_LINE)));

void (*pages_kick)(void);
void (*pages_watch)(unsigned gfp, const void *ip);

/*
 * The minimum of the watermark. Untouched pages cost address space, and also memory if the program
 * has locked all of its memory. So a process begins with as many pages as the first chunk has room
 * for, and keeps more once the reserve has run low for the first time. The worker is woken when 64
 * pages are full, and refills a reserve that is half empty: the initial reserve lasts twice as long
 * as that.
 */
static unsigned want_min(unsigned order)
{
	if (reserve.grown[order])
		return order == 0 ? PORT_RESERVE_GROWN : order < ANYRCU_PAGE_ORDER_MAX ? 2 : 1;
	return order == 0 ? PORT_RESERVE_FIRST : order <= PORT_RESERVE_ORDERS;
}

static void *slots_pop(struct slots *s, void **slot, unsigned n)
{
	unsigned at = load(&s->hint);

	if (load(&s->held) <= 0)
		return NULL;
	for (unsigned i = 0; i < n; i++, at = at ? at - 1 : n - 1) {
		void *p = load(&slot[at]);

		if (p && (p = xchg(&slot[at], NULL))) {
			store(&s->hint, at);
			__atomic_fetch_sub(&s->held, 1, __ATOMIC_RELAXED);
			return p;
		}
	}
	return NULL;
}

static bool slots_push(struct slots *s, void **slot, unsigned n, void *p)
{
	unsigned at = load(&s->hint);

	if (load(&s->held) >= (int)n)
		return false;
	for (unsigned i = 0; i < n; i++, at = at + 1 < n ? at + 1 : 0) {
		if (!load(&slot[at]) && cmpxchg(&slot[at], NULL, p)) {
			store(&s->hint, at);
			__atomic_fetch_add(&s->held, 1, __ATOMIC_RELAXED);
			return true;
		}
	}
	return false;
}

static struct list_cpu *list_here(void)
{
	unsigned mask = load_acquire(&lists_mask); /* pairs with the release in lists_make() */

	return &load(&lists)[port_cpu() & mask];
}

static void *cpu_pop(struct list_cpu *c, unsigned order)
{
	return order ? slots_pop(&c->slots[order], c->page_n[order - 1], CPU_N) :
		       slots_pop(&c->slots[0], c->page_0, CPU_0);
}

static bool cpu_push(struct list_cpu *c, unsigned order, void *p)
{
	return order ? slots_push(&c->slots[order], c->page_n[order - 1], CPU_N, p) :
		       slots_push(&c->slots[0], c->page_0, CPU_0, p);
}

static void *reserve_pop(unsigned order)
{
	return order ? slots_pop(&reserve.slots[order], reserve.page_n[order - 1], RESERVE_N) :
		       slots_pop(&reserve.slots[0], reserve.page_0, RESERVE_0);
}

static bool reserve_push(unsigned order, void *p)
{
	return order ? slots_push(&reserve.slots[order], reserve.page_n[order - 1], RESERVE_N, p) :
		       slots_push(&reserve.slots[0], reserve.page_0, RESERVE_0, p);
}

/* Every allocation reads this cache line; few write it. */
static bool use(void)
{
	if (load_acquire(&reserve.used))
		return false;
	store(&reserve.used, true);
	return true;
}

void *page_alloc(unsigned gfp, unsigned order)
{
	unsigned mode = gfp & ~(unsigned)ANYRCU_GFP_ZERO;
	uint64_t *origin = &pages_stats.percpu;
	void *p;

	if (mode > ANYRCU_GFP_NO_LOCKS || order >= ORDERS)
		return NULL;
	p = cpu_pop(list_here(), order);
	if (!p && (p = reserve_pop(order))) {
		origin = &pages_stats.reserve;
		__atomic_fetch_add(&reserve.taken[order], 1, __ATOMIC_RELAXED);
	}
	if (!p && mode != ANYRCU_GFP_NO_LOCKS && (p = zone_alloc(order, mode == ANYRCU_GFP_KERNEL)))
		origin = &pages_stats.zone;
	if (!p) {
		__atomic_fetch_add(&reserve.missed[order], 1, __ATOMIC_RELAXED);
		origin = mode == ANYRCU_GFP_NO_LOCKS ? &pages_stats.failed_no_locks :
						       &pages_stats.failed;
		port_probe2(page_refused, mode, order);
	} else {
		use();
	}
	count_add(origin, 1);
	port_acquire(p);
	if (p && (gfp & ANYRCU_GFP_ZERO))
		memset(p, 0, (size_t)ANYRCU_PAGE_SIZE << order);
	return p;
}

/*
 * The program uses pages itself: the thread that refills and trims may be asleep without a
 * time-out; wake it. All calls but NO_LOCKS allocations can do so.
 *
 * The fence pairs with that in pages_want_timer(): it sees "used", or we see "watched" unset.
 */
static void attract(void)
{
	if (use())
		full_fence(); /* see above */
	if (!load(&reserve.watched) && pages_kick)
		pages_kick();
}

void *anyrcu_page_alloc(unsigned gfp, unsigned order)
{
	void *p;

	if (unlikely(pages_watch))
		pages_watch(gfp & ~(unsigned)ANYRCU_GFP_ZERO, __builtin_return_address(0));
	p = page_alloc(gfp, order);
	if (!(gfp & ANYRCU_GFP_NO_LOCKS))
		attract();
	else if (!load(&reserve.direct))
		store(&reserve.direct, true);
	return p;
}

void page_free(void *page, unsigned order)
{
	if (!page)
		return;
	if (order >= ORDERS || ((uintptr_t)page & (((uintptr_t)ANYRCU_PAGE_SIZE << order) - 1)))
		port_bug("anyrcu_page_free(%p, %u): not a page of that order", page,
			 (uint64_t)order);
	port_release(page);
	if (!cpu_push(list_here(), order, page) && !reserve_push(order, page))
		zone_return(page, order);
}

void anyrcu_page_free(void *page, unsigned order)
{
	page_free(page, order);
	attract();
}

/* The reserve is below half of its watermark, or an allocation has failed. Any context. */
static bool low(unsigned order)
{
	return load(&reserve.missed[order]) ||
	       load(&reserve.slots[order].held) * 2 < (int)load(&reserve.want[order]);
}

bool pages_want_refill(void)
{
	for (unsigned order = 0; order < ORDERS; order++)
		if (low(order))
			return true;
	return zone_has_returned();
}

bool pages_want_timer(bool promise)
{
	bool wants = load(&reserve.direct) || load(&reserve.used) || load(&reserve.dirty);

	store(&reserve.watched, wants && promise);
	full_fence(); /* pairs with that in attract() */
	if (!wants && load(&reserve.used)) {
		wants = true;
		store(&reserve.watched, promise);
	}
	return wants;
}

bool pages_idle(void)
{
	if (xchg(&reserve.used, false)) {
		store(&reserve.dirty, true);
		return false;
	}
	return load(&reserve.dirty);
}

/*
 * The new watermark: at least twice the number of pages that were taken since the last call;
 * doubled if an allocation failed, otherwise slowly lowered.
 */
static unsigned watermark(unsigned order)
{
	unsigned taken = xchg(&reserve.taken[order], 0), missed = xchg(&reserve.missed[order], 0);
	unsigned want = load(&reserve.want[order]), max = order ? RESERVE_N : RESERVE_0;

	want = missed ? want * 2 : want - want / 8;
	if (want < taken * 2)
		want = taken * 2;
	if (want < want_min(order))
		want = want_min(order);
	return want < max ? want : max;
}

/* Under the zone's lock. */
static void lists_make(void)
{
	unsigned n = 1;
	size_t size = 4096;
	struct list_cpu *l;

	while (n < port_cpus())
		n *= 2;
	while (size < n * sizeof(*l))
		size *= 2;
	l = n > 1 ? port_map(size, 4096) : NULL;
	if (!l)
		return;
	store_release(&lists, l);
	store_release(&lists_mask, n - 1); /* a thread that sees it sees the lists */
}

/* Under the zone's lock. */
static void refill(unsigned order)
{
	while (load(&reserve.slots[order].held) < (int)load(&reserve.want[order])) {
		void *p = zone_take(order, true);

		if (!p)
			break;
		if (!reserve_push(order, p)) {
			zone_put(p, order);
			break;
		}
	}
}

void pages_refill(void)
{
	port_lock(&pages_lock);
	zone_bring_home();
	if (lists == &first_list)
		lists_make();
	for (unsigned order = 0; order < ORDERS; order++) {
		reserve.grown[order] |= low(order);
		store(&reserve.want[order], watermark(order));
		refill(order);
	}
	port_unlock(&pages_lock);
}

/*
 * A page that was used once is backed by memory, and the reserve does not know which of its pages
 * were used. So all pages return to the zone, chunks without a page in use are unmapped, and the
 * reserve is filled again with untouched pages.
 */
void pages_trim(void)
{
	struct chunk *empty;
	int keep;
	void *p;

	port_lock(&pages_lock);
	store(&reserve.dirty, false);
	for (unsigned order = 0; order < ORDERS; order++) {
		for (unsigned cpu = 0; cpu <= lists_mask; cpu++)
			while ((p = cpu_pop(&lists[cpu], order)))
				zone_put(p, order);
		while ((p = cpu_pop(&first_list, order)))
			zone_put(p, order);
		/* Pages of the largest order are mappings of their own: those to be kept stay. */
		keep = order == ANYRCU_PAGE_ORDER_MAX ? (int)want_min(order) : 0;
		while (load(&reserve.slots[order].held) > keep && (p = reserve_pop(order)))
			zone_put(p, order);
		store(&reserve.want[order], want_min(order));
		store(&reserve.taken[order], 0);
		store(&reserve.missed[order], 0);
	}
	zone_bring_home();
	/* before memory goes back: the system may refuse to give it again */
	for (unsigned order = 0; order < ORDERS; order++)
		refill(order);
	empty = zone_trim();
	/* last, as it takes long, and NO_LOCKS allocations fail until the reserve is filled */
	zone_unmap(empty);
	port_unlock(&pages_lock);
}
