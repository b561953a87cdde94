/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The page allocator: per-CPU lists before a global reserve before the zone.
 *
 * Lists and reserve are arrays of slots, not linked lists. A slot holds a page or NULL:
 *
 *     alloc:  page = xchg(slot, NULL)            free:  cmpxchg(slot, NULL, page)
 *
 * Safety. A slot is written by any thread in any context, by these two operations alone. An xchg that returns a page has
 * taken it from the array in that instant, and nobody else can have it; a cmpxchg that succeeds has given it away in that
 * instant. Neither reads the page, so there is no ABA and nothing to protect; and as a page is at any instant either in one
 * slot or in one caller's hands, a signal handler that comes between any two instructions and allocates and frees
 * itself finds a whole array. A thread that stops here for a minute has at most one page in its hands. Both operations
 * acquire and release: what the last owner wrote happens before the next one's use.
 *
 * Bounded: an operation looks at each slot once. "hint" says where the last one succeeded and makes the common case one
 * slot; "held" lets it not look at all. Both are written without care by everyone and are right when wrong: a hint is any
 * number below the length, and a "held" that is behind (a thread stopped between slot and count) makes an
 * allocation say no or a free go elsewhere. A thread that dies there, or is not in the child of a fork, leaves it behind by one for good:
 * a slot less in use.
 *
 * "CPU" is an index for locality, not for exclusion: a thread that migrates in between works on another CPU's list, which is right.
 *
 * Pages that find no slot go to "returned", a stack that is only pushed to and taken whole, so it has no ABA either; whoever next
 * holds the zone's lock brings them home. A page there holds the link and its order in its first words.
 */
#include <anyrcu/page.h>
#include <base/breaks.h>
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

static struct list_cpu cpus[PORT_CPUS_MAX];

static struct {
	struct slots slots[ORDERS];
	void *page_0[RESERVE_0];
	void *page_n[ORDERS - 1][RESERVE_N];
	unsigned want[ORDERS];	/* the watermark; written under the zone's lock */
	unsigned taken[ORDERS]; /* since the last refill; any context */
	unsigned missed[ORDERS];
	bool used;    /* allocated from or freed to, since pages_idle() looked; any context */
	bool dirty;   /* and before that, since the last trim; a task */
	bool direct;  /* the program itself has used NO_LOCKS; any context */
	bool watched; /* somebody looks in from time to time; a task */
} reserve __attribute__((aligned(CACHE_LINE)));

struct returned {
	struct returned *next;
	unsigned order;
};
static struct returned *returned;

static struct port_lock zone_lock;
struct pages_stats pages_stats;
void (*pages_kick)(void);
void (*pages_watch)(unsigned gfp, const void *ip);

/* Pages that nobody has touched cost address space only: this much is always in the reserve. */
static unsigned want_min(unsigned order)
{
	return order == 0 ? 1024 : order < ANYRCU_PAGE_ORDER_MAX ? 2 : 1;
}

static void *slots_pop(struct slots *s, void **slot, unsigned n)
{
	unsigned at = load(&s->hint);

	if (load(&s->held) <= 0)
		return NULL;
	for (unsigned i = 0; i < n; i++, at = at ? at - 1 : n - 1) {
		void *p = load(&slot[at]);

		if (p && (p = breaks_xchg(SLOT_TORN, &slot[at], NULL))) {
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

bool pages_lock_is_zone(const struct port_lock *lock)
{
	return lock == &zone_lock;
}

/* Under the zone's lock. */
static void returned_home(void)
{
	struct returned *r = load(&returned) ? xchg(&returned, NULL) : NULL;

	while (r) {
		struct returned *next = r->next;

		zone_put(r, r->order);
		r = next;
	}
}

static void *zone_alloc(unsigned order, bool may_map)
{
	void *p;

	port_lock(&zone_lock);
	returned_home();
	p = zone_take(order, may_map);
	port_unlock(&zone_lock);
	return p;
}

/* Every allocation reads this line; few write it. */
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

	if (mode > ANYRCU_GFP_NO_LOCKS || order >= ORDERS || breaks(PAGE_REFUSED))
		return NULL;
	p = cpu_pop(&cpus[port_cpu()], order);
	if (!p && (p = reserve_pop(order))) {
		origin = &pages_stats.reserve;
		__atomic_fetch_add(&reserve.taken[order], 1, __ATOMIC_RELAXED);
	}
	if (!p && (mode != ANYRCU_GFP_NO_LOCKS || breaks(NO_LOCKS_LOCKS)) && (p = zone_alloc(order, mode == ANYRCU_GFP_KERNEL)))
		origin = &pages_stats.zone;
	if (!p) {
		__atomic_fetch_add(&reserve.missed[order], 1, __ATOMIC_RELAXED);
		origin = mode == ANYRCU_GFP_NO_LOCKS ? &pages_stats.failed_no_locks : &pages_stats.failed;
		port_probe2(page_refused, mode, order);
	} else {
		use();
	}
	count_add(origin, 1);
	if (p && (gfp & ANYRCU_GFP_ZERO))
		memset(p, 0, (size_t)ANYRCU_PAGE_SIZE << order);
	return p;
}

/* The program uses pages itself: whoever refills and trims may sleep without a time-out, and is to look. All but NO_LOCKS can wake. */
static void attract(void)
{
	if (use())
		full_fence(); /* pairs with that in pages_want_timer(): it sees "used", or we see that it does not watch */
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

static void returned_push(void *page, unsigned order)
{
	struct returned *r = page;

	r->order = order;
	r->next = load(&returned);
	while (!__atomic_compare_exchange_n(&returned, &r->next, r, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

void page_free(void *page, unsigned order)
{
	if (!page)
		return;
	if (order >= ORDERS || ((uintptr_t)page & (((uintptr_t)ANYRCU_PAGE_SIZE << order) - 1)))
		port_bug("anyrcu_page_free(%p, %u): not a page of that order", page, (uint64_t)order);
	if (!cpu_push(&cpus[port_cpu()], order, page) && !reserve_push(order, page))
		returned_push(page, order);
}

void anyrcu_page_free(void *page, unsigned order)
{
	page_free(page, order);
	attract();
}

bool pages_want_refill(void)
{
	for (unsigned order = 0; order < ORDERS; order++)
		if (load(&reserve.missed[order]) || load(&reserve.slots[order].held) * 2 < (int)load(&reserve.want[order]))
			return true;
	return load(&returned) != NULL;
}

bool pages_want_timer(void)
{
	bool wants = load(&reserve.direct) || load(&reserve.used) || load(&reserve.dirty);

	store(&reserve.watched, wants);
	full_fence(); /* pairs with that in attract() */
	if (!wants && load(&reserve.used))
		store(&reserve.watched, wants = true);
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

/* Twice what was taken since the last time, at once when something was missed, else slowly down again. */
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
	port_lock(&zone_lock);
	returned_home();
	for (unsigned order = 0; order < ORDERS; order++) {
		store(&reserve.want[order], watermark(order));
		refill(order);
	}
	port_unlock(&zone_lock);
}

/*
 * A page that was used once is backed by memory, and the reserve does not know which of its pages were. So all go home,
 * chunks with nothing in use are unmapped, and the reserve is filled again with fresh ones.
 */
void pages_trim(void)
{
	struct chunk *empty;
	void *p;

	port_lock(&zone_lock);
	store(&reserve.dirty, false);
	for (unsigned order = 0; order < ORDERS; order++) {
		for (unsigned cpu = 0; cpu < PORT_CPUS_MAX; cpu++)
			while ((p = cpu_pop(&cpus[cpu], order)))
				zone_put(p, order);
		while ((p = reserve_pop(order)))
			zone_put(p, order);
		store(&reserve.want[order], want_min(order));
		store(&reserve.taken[order], 0);
		store(&reserve.missed[order], 0);
	}
	returned_home();
	empty = zone_trim();
	for (unsigned order = 0; order < ORDERS; order++)
		refill(order);
	zone_unmap(empty); /* last: until the reserve is filled again NO_LOCKS allocations are refused */
	port_unlock(&zone_lock);
}

void pages_fork_prepare(void)
{
	port_lock(&zone_lock);
}

void pages_fork_done(void)
{
	port_unlock(&zone_lock);
}
