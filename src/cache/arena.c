/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The memory of all caches: one range of addresses, reserved when the first cache is made, so that
 * one comparison distinguishes objects of caches from those of malloc(). Memory is committed in
 * steps and never unmapped: memory that was given back to the system reads as zeroes. So a thread
 * that has stopped anywhere may still read through an old pointer, and then finds that the memory
 * has changed.
 *
 * Free committed units are in a stack, and so are free pages of pointers, of which a unit has 15.
 * Both stacks are lock-free, and their words contain a number that changes with each operation (see
 * arena.h). A thread that stops between taking a unit and using it keeps only that unit from
 * others.
 *
 * Locks: arena_lock, while addresses are reserved and memory is committed. NO_LOCKS allocations use
 * memory that the worker, or an allocation in mode KERNEL, has committed ahead.
 */
#include <anyrcu/page.h>
#include <anyrcu/rcu.h>
#include <cache/arena.h>
#include <gp/gp.h>

#define ARENA_MAX (UINT64_C(64) << 30)
#define ARENA_MIN (UINT64_C(4) << 20)
#define ARENA_PART 8 /* of the address space that the process may have, at most one such part */
#define STEP 32u /* units that are committed at a time */
#define AHEAD 16u /* free units that there should be for NO_LOCKS */
#define INDEX ((UINT64_C(1) << 24) - 1)

struct arena arena;
struct port_lock arena_lock;

static uint64_t free_units, free_magazines; /* stacks; any context */
static uint32_t nfree; /* units in the stack, roughly; any context */

static uint64_t next_tag(uint64_t word)
{
	return (word & ~INDEX) + INDEX + 1;
}

/* ---- magazines ---- */

static struct magazine *magazine_at(uint64_t word)
{
	struct magazine *first = arena_unit_start(&arena.units[(word & INDEX) / UNIT_MAGAZINES]);

	return first + (word & INDEX) % UNIT_MAGAZINES;
}

static uint64_t number_of(const struct magazine *m)
{
	const struct arena_unit *u = arena_unit((uintptr_t)m);

	return (u - arena.units) * UNIT_MAGAZINES +
	       (m - (const struct magazine *)arena_unit_start(u));
}

static uint32_t *link_of(const struct magazine *m)
{
	uint64_t n = number_of(m);

	return &arena.units[n / UNIT_MAGAZINES].magazine_link[n % UNIT_MAGAZINES];
}

void magazine_push(uint64_t *stack, struct magazine *m)
{
	uint64_t old = load(stack), at = number_of(m);

	do
		store(link_of(m), old & INDEX);
	while (!__atomic_compare_exchange_n(stack, &old, next_tag(old) | at, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
}

struct magazine *magazine_pop(uint64_t *stack)
{
	uint64_t old = load_acquire(stack);

	while (old & INDEX) {
		struct magazine *m = magazine_at(old);

		if (__atomic_compare_exchange_n(stack, &old, next_tag(old) | load(link_of(m)), true,
						__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
			return m;
	}
	return NULL;
}

uint64_t magazine_objects(const uint64_t *stack)
{
	uint64_t at = load(stack) & INDEX, n = 0;

	for (int i = 0; at && i < 1 << 24; i++, at = load(link_of(magazine_at(at))))
		n += load(&magazine_at(at)->open.count);
	return n;
}

struct magazine *magazine_alloc(unsigned gfp)
{
	struct magazine *m = magazine_pop(&free_magazines);
	struct arena_unit *u;

	if (!m) {
		u = arena_unit_alloc(gfp);
		if (!u)
			return NULL;
		m = arena_unit_start(u);
		for (unsigned i = 1; i < UNIT_MAGAZINES; i++)
			magazine_push(&free_magazines, m + i);
	}
	store(&m->open.key, 0);
	store(&m->open.count, 0);
	store(&m->open.cap, MAGAZINE_CAP);
	store(&m->next, NULL);
	/* Any values are right here. But memcheck reports the use of what a slab has left. */
	store(&m->nth, 0);
	store(&m->cookie, 0);
	return m;
}

void magazine_free(struct magazine *m)
{
	magazine_push(&free_magazines, m);
}

/* ---- units ---- */

static void unit_push(struct arena_unit *u)
{
	uint64_t old = load(&free_units), at = u - arena.units;

	do
		store(&u->link, old & INDEX);
	while (!__atomic_compare_exchange_n(&free_units, &old, next_tag(old) | at, true,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	__atomic_fetch_add(&nfree, 1, __ATOMIC_RELAXED);
}

static struct arena_unit *unit_pop(void)
{
	uint64_t old = load_acquire(&free_units);

	while (old & INDEX) {
		struct arena_unit *u = &arena.units[old & INDEX];

		if (__atomic_compare_exchange_n(&free_units, &old, next_tag(old) | load(&u->link),
						true, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
			__atomic_fetch_sub(&nfree, 1, __ATOMIC_RELAXED);
			return u;
		}
	}
	return NULL;
}

/* Commit the pages around the bytes from @from to @to; they may be committed already. */
static bool commit_around(void *from, void *to)
{
	uintptr_t begin = (uintptr_t)from & ~(uintptr_t)4095,
		  end = ((uintptr_t)to + 4095) & ~(uintptr_t)4095;

	return port_commit((void *)begin, end - begin);
}

/* Under arena_lock. */
static bool commit(void)
{
	char *start = (char *)arena.base + arena.committed;
	uint32_t n = arena.committed / UNIT_SIZE;

	if (arena.committed + STEP * UNIT_SIZE > arena.size ||
	    !commit_around(&arena.units[n], &arena.units[n + STEP]) ||
	    !commit_around(&arena.owner[n], &arena.owner[n + STEP]) ||
	    !port_commit(start, STEP * UNIT_SIZE))
		return false;
	port_checker_root(start, STEP * UNIT_SIZE, true);
	store_release(&arena.committed, arena.committed + STEP * UNIT_SIZE);
	for (unsigned i = STEP; i-- > 0;)
		unit_push(&arena.units[n + i]);
	return true;
}

/*
 * The tables of units are at the beginning of the range. Each part is committed together with the
 * units that it describes; the part that describes the tables' own units is committed here.
 */
static bool reserve(void)
{
	uint64_t most = port_address_space() / ARENA_PART;
	uintptr_t size = ARENA_MAX;

	while (size > most && size > ARENA_MIN)
		size /= 2;
	for (; size >= ARENA_MIN; size /= 2) {
		size_t units = size / UNIT_SIZE,
		       table = units * (sizeof(struct arena_unit) + sizeof(*arena.owner));
		size_t first = (table + UNIT_SIZE - 1) & ~(uintptr_t)(UNIT_SIZE - 1);
		char *base = port_reserve(size, UNIT_SIZE);

		if (!base)
			continue;
		arena.owner = (struct anyrcu_cache **)(void *)base;
		if (!commit_around(arena.owner, &arena.owner[first / UNIT_SIZE])) {
			port_unmap(base, size);
			continue;
		}
		arena.units = (struct arena_unit *)(void *)&arena.owner[units];
		store(&arena.base, (uintptr_t)base);
		arena.size = size;
		store_release(&arena.committed, first);
		return true;
	}
	return false;
}

bool arena_make(void)
{
	bool made;

	port_lock(&arena_lock);
	made = arena.size || reserve();
	port_unlock(&arena_lock);
	return made;
}

/* To a checker, a unit that is free must not be accessed: objects of a slab that went are there. */
static void tell_checker(const struct arena_unit *u, bool in_use)
{
	if (unlikely(port_memory_checked))
		port_checker_access(arena_unit_start(u), UNIT_SIZE, in_use);
}

struct arena_unit *arena_unit_alloc(unsigned gfp)
{
	struct arena_unit *u = unit_pop();

	if (!u && (gfp & 3) == ANYRCU_GFP_KERNEL) {
		port_lock(&arena_lock);
		while (!(u = unit_pop()) && commit())
			;
		port_unlock(&arena_lock);
	}
	if (u)
		tell_checker(u, true);
	return u;
}

void arena_unit_free(struct arena_unit *u, bool discard)
{
	arena_own(u, NULL);
	tell_checker(u, false);
	if (discard)
		port_discard(arena_unit_start(u), UNIT_SIZE);
	unit_push(u);
}

bool arena_low(void)
{
	return load_acquire(&arena.committed) && load(&nfree) < AHEAD / 2;
}

void arena_refill(void)
{
	if (!arena_low())
		return;
	port_lock(&arena_lock);
	while (load(&nfree) < AHEAD && commit())
		;
	port_unlock(&arena_lock);
}

/*
 * A thread that stopped in a read-side section may still read a magazine that is free by now. After
 * a grace period there is no such thread, and a unit whose magazines are all free becomes a free
 * unit. Magazines that were taken for this wait in a list, where the child of a fork finds them.
 */
static struct magazine *trimmed; /* under cache_lock, as the next */
static anyrcu_gp_t trimmed_cookie;

void arena_trim_begin(void)
{
	struct magazine *m;

	while ((m = magazine_pop(&free_magazines))) {
		m->next = trimmed;
		store(&trimmed, m);
		arena_unit((uintptr_t)m)->nfree++;
	}
	trimmed_cookie = gp_cookie();
}

bool arena_trims(void)
{
	return trimmed;
}

void arena_trim_end(void)
{
	if (!trimmed || !anyrcu_gp_done(trimmed_cookie))
		return;
	while (trimmed) {
		struct magazine *m = trimmed;
		struct arena_unit *u = arena_unit((uintptr_t)m);

		store(&trimmed, m->next);
		if (u->nfree % DROPPED != UNIT_MAGAZINES) {
			u->nfree--;
			magazine_push(&free_magazines, m);
			continue;
		}
		u->nfree += DROPPED;
		if (u->nfree / DROPPED == UNIT_MAGAZINES) {
			u->nfree = 0;
			arena_unit_free(u, true);
		}
	}
}
