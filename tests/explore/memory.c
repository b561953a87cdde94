/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The explorer's memory, and the functions that the compiler calls for each access to it.
 *
 * An atomic location has the list of its stores, in the order in which they were executed.
 * Each thread has a view: for each thread, how much of what it did is known. A load may return any
 * store that is not hidden by a newer one in its view, as C11 allows and as aarch64 does. A release
 * store carries the thread's view, and an acquire load takes it over; a full fence joins the view
 * with one that all full fences share; membarrier does that for all threads. Read-modify-writes see
 * the newest store. Loads that take place after a later store of their thread are not explored; for
 * what a section protects the next paragraph stands in.
 *
 * Plain accesses must be ordered by happens-before, which is the view without what fences alone
 * have brought; else it is a race, as in the sanitizer. So a release or acquire that is missing is
 * found where what it protects is accessed, on any machine.
 */
#define _GNU_SOURCE
#include "memory.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define STORES 12 /* of a location that are remembered */
#define READS 3
#define LOCATIONS (1 << 15)

struct sim_clock {
	uint32_t at[SIM_THREADS];
};

static struct clocks {
	struct sim_clock happened, view; /* what this thread knows of */
	struct sim_clock released, shown; /* the same at its last release fence */
	struct sim_clock loaded, seen; /* what an acquire fence would add */
} clocks[SIM_THREADS];

struct store {
	uint64_t value;
	uint32_t thread, at, number;
	struct sim_clock happened, view;
};

static struct location {
	uintptr_t addr;
	uint32_t n; /* stores so far; the last STORES of them are: */
	struct store store[STORES];
	struct {
		uint32_t at, number;
	} read[SIM_THREADS][READS];
	uint8_t nread[SIM_THREADS];
	uint8_t stale[SIM_THREADS]; /* old values read in a row */
	bool plain; /* changed by a plain store since */
	int writer; /* of the last plain store, or -1 */
	uint32_t written, plain_read[SIM_THREADS], atomic_read[SIM_THREADS],
		atomic_written[SIM_THREADS];
} * locations; /* as they are first used, */
static uint16_t *places; /* and a hash table of their numbers and 1, by address */
static int nlocations;
static struct sim_clock fences;
static unsigned staleness;

/* ---- clocks ---- */

static void join(struct sim_clock *to, const struct sim_clock *from)
{
	for (int i = 0; i < SIM_THREADS; i++)
		if (to->at[i] < from->at[i])
			to->at[i] = from->at[i];
}

static uint32_t tick(struct clocks *t)
{
	t->view.at[t - clocks]++;
	return ++t->happened.at[t - clocks];
}

void memory_begin(unsigned old_values)
{
	staleness = old_values;
	locations = mmap(NULL, LOCATIONS * sizeof(*locations), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	places = mmap(NULL, 2 * LOCATIONS * sizeof(*places), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void join_all(int to, int from)
{
	join(&clocks[to].happened, &clocks[from].happened);
	join(&clocks[to].view, &clocks[from].view);
}

void memory_thread_begins(int thread, int by)
{
	if (by >= 0) {
		tick(&clocks[by]);
		join_all(thread, by);
		tick(&clocks[by]);
	}
	tick(&clocks[thread]);
}

void memory_thread_is_joined(int thread)
{
	join_all(sim_current, thread);
}

void memory_is_copied(void)
{
	for (int i = 0; i < SIM_THREADS; i++)
		join_all(sim_current, i);
}

/* ---- locations ---- */

static struct location *location(uintptr_t addr)
{
	unsigned at = (addr * UINT64_C(0x9e3779b97f4a7c15)) >> 48;

	while (places[at]) {
		struct location *l = &locations[places[at] - 1];

		if (l->addr == addr)
			return l;
		at = (at + 1) % (2 * LOCATIONS);
	}
	if (nlocations < LOCATIONS) {
		struct location *l = &locations[nlocations++];

		places[at] = nlocations;
		l->addr = addr;
		l->writer = -1;
		return l;
	}
	sim_fail("too many locations");
}

static struct store *newest(struct location *l)
{
	return &l->store[(l->n - 1) % STORES];
}

/* With a trace each access is written, by address: addr2line tells of which variable. */
static void trace(const char *what, uintptr_t addr, uint64_t value, unsigned number)
{
	Dl_info at;

	if (!sim_tracing)
		return;
	if (dladdr((void *)addr, &at) && at.dli_fbase)
		fprintf(stderr, "%d: %-6s %s+%#lx = %#lx (%u)\n", sim_current, what,
			at.dli_sname ?: "",
			at.dli_sname ? addr - (uintptr_t)at.dli_saddr :
				       addr - (uintptr_t)at.dli_fbase,
			value, number);
	else
		fprintf(stderr, "%d: %-6s %#lx = %#lx (%u)\n", sim_current, what, addr, value,
			number);
}

static struct store *append(struct location *l, uint64_t value, int thread, uint32_t at)
{
	struct store *s = &l->store[l->n % STORES];

	*s = (struct store){ .value = value, .thread = thread, .at = at, .number = l->n };
	l->n++;
	return s;
}

/* What the memory holds was stored by other means: then that is all there is to see. */
static void refresh(struct location *l, uint64_t actual)
{
	if (l->n && !l->plain && newest(l)->value == actual)
		return;
	l->n = 0;
	memset(l->nread, 0, sizeof(l->nread));
	append(l, actual, 0, 0);
	l->plain = false;
}

static bool known(const struct sim_clock *c, int thread, uint32_t at)
{
	return at <= c->at[thread];
}

static void race(const char *what, uintptr_t addr, int with)
{
	if (sim_tracing)
		fprintf(stderr, "race at %#lx from %p\n", addr, __builtin_return_address(0));
	sim_fail("a race: %s at %#lx, with thread %d", what, addr, with);
}

static void check_plain_written(struct location *l, struct clocks *t, const char *what)
{
	if (l->writer >= 0 && l->writer != t - clocks &&
	    !known(&t->happened, l->writer, l->written))
		race(what, l->addr, l->writer);
}

static void check_all(const uint32_t *others, struct location *l, struct clocks *t,
		      const char *what)
{
	for (int i = 0; i < SIM_THREADS; i++)
		if (i != t - clocks && others[i] && !known(&t->happened, i, others[i]))
			race(what, l->addr, i);
}

static bool acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL ||
	       order == __ATOMIC_SEQ_CST || order == __ATOMIC_CONSUME;
}

static bool releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void take_over(struct clocks *t, const struct store *s, int order)
{
	join(&t->loaded, &s->happened);
	join(&t->seen, &s->view);
	if (acquires(order)) {
		join(&t->happened, &s->happened);
		join(&t->view, &s->view);
	}
}

/* The oldest store that the thread may still see. */
static uint32_t oldest(struct location *l, struct clocks *t)
{
	uint32_t first = l->n > STORES ? l->n - STORES : 0;

	for (uint32_t i = l->n; i-- > first;) {
		struct store *s = &l->store[i % STORES];

		if (s->thread == t - clocks || known(&t->view, s->thread, s->at)) {
			first = i;
			break;
		}
	}
	for (int u = 0; u < SIM_THREADS; u++)
		for (int i = 0; i < l->nread[u] && i < READS; i++)
			if (l->read[u][i].number > first &&
			    (u == t - clocks || known(&t->view, u, l->read[u][i].at)))
				first = l->read[u][i].number;
	return first;
}

static void remember_read(struct location *l, struct clocks *t, uint32_t number)
{
	int i = t - clocks, k = l->nread[i] % READS;

	/* Once full, the slots are used in turn, and nread stays between READS and twice that. */
	l->read[i][k].at = t->happened.at[i];
	l->read[i][k].number = number;
	l->nread[i] = l->nread[i] + 1 < 2 * READS ? l->nread[i] + 1 : READS;
}

static uint64_t atomic_load(uintptr_t addr, uint64_t actual, int order)
{
	struct clocks *t = &clocks[sim_current];
	struct location *l = location(addr);
	struct store *s;
	uint32_t first, pick;

	sim_accesses(addr, SIM_READ);
	refresh(l, actual);
	check_plain_written(l, t, "an atomic load");
	tick(t);
	first = oldest(l, t);
	pick = l->n - 1;
	if (staleness && first < pick && l->stale[sim_current] < 4 && sim_random(staleness) == 0) {
		pick = first + sim_random(pick - first + 1);
		l->stale[sim_current] += pick < l->n - 1;
	} else {
		l->stale[sim_current] = 0;
	}
	s = &l->store[pick % STORES];
	take_over(t, s, order);
	remember_read(l, t, pick);
	l->atomic_read[sim_current] = t->happened.at[sim_current];
	tick(t);
	trace(pick < l->n - 1 ? "old" : "load", addr, s->value, pick);
	return s->value;
}

static void atomic_store(uintptr_t addr, uint64_t actual, uint64_t value, int order, bool modifies)
{
	struct clocks *t = &clocks[sim_current];
	struct location *l = location(addr);
	struct sim_clock happened = { { 0 } }, view = { { 0 } };
	struct store *s;

	sim_accesses(addr, SIM_WRITE);
	refresh(l, actual);
	check_plain_written(l, t, "an atomic store");
	check_all(l->plain_read, l, t, "an atomic store");
	tick(t);
	if (modifies)
		take_over(t, newest(l), order);
	/* A release is also seen through what its thread, or any read-modify-write, stores on top:
	 * as in C11 and on aarch64. */
	if (modifies || (newest(l)->thread == (unsigned)sim_current && newest(l)->at)) {
		happened = newest(l)->happened;
		view = newest(l)->view;
	}
	join(&happened, releases(order) ? &t->happened : &t->released);
	join(&view, releases(order) ? &t->view : &t->shown);
	trace(modifies ? "modify" : "store", addr, value, l->n);
	s = append(l, value, sim_current, t->happened.at[sim_current]);
	s->happened = happened;
	s->view = view;
	l->atomic_written[sim_current] = t->happened.at[sim_current];
	if (modifies)
		l->atomic_read[sim_current] = t->happened.at[sim_current];
	tick(t);
}

static void fence(struct clocks *t, int order)
{
	trace("fence", 0, t - clocks, 0);
	tick(t);
	if (acquires(order)) {
		join(&t->happened, &t->loaded);
		join(&t->view, &t->seen);
	}
	if (order == __ATOMIC_SEQ_CST) {
		join(&t->view, &fences);
		fences = t->view;
	}
	if (releases(order)) {
		t->released = t->happened;
		t->shown = t->view;
	}
	tick(t);
}

void sim_fence(void)
{
	if (!sim_off())
		fence(&clocks[sim_current], __ATOMIC_SEQ_CST);
}

void sim_fence_all(void)
{
	if (sim_off())
		return;
	for (int i = 0; i < SIM_THREADS; i++)
		if (sim_live(i))
			fence(&clocks[i], __ATOMIC_SEQ_CST);
	for (int i = 0; i < SIM_THREADS; i++)
		if (sim_live(i))
			fence(&clocks[i], __ATOMIC_SEQ_CST);
}

/* Locks, by their address. */
void sim_acquire(void *lock)
{
	if (!sim_off()) {
		struct location *l = location((uintptr_t)lock);

		refresh(l, 0);
		take_over(&clocks[sim_current], newest(l), __ATOMIC_ACQUIRE);
	}
}

void sim_release(void *lock)
{
	if (!sim_off())
		atomic_store((uintptr_t)lock, 0, 0, __ATOMIC_RELEASE, true);
}

static void plain(uintptr_t addr, bool writes)
{
	struct clocks *t;
	struct location *l;

	if (sim_off())
		return;
	t = &clocks[sim_current];
	sim_signal();
	if (sim_own(addr))
		return;
	trace(writes ? "write" : "read", addr, 0, 0);
	if (sim_random(64) == 0)
		sim_point();
	l = location(addr);
	check_plain_written(l, t, writes ? "a plain store" : "a plain load");
	check_all(l->atomic_written, l, t, writes ? "a plain store" : "a plain load");
	if (!writes) {
		l->plain_read[sim_current] = t->happened.at[sim_current];
		return;
	}
	check_all(l->plain_read, l, t, "a plain store");
	check_all(l->atomic_read, l, t, "a plain store");
	l->writer = sim_current;
	l->written = t->happened.at[sim_current];
	l->plain = true;
}

/* ---- what the compiler calls ---- */

#define PLAIN(n)                                \
	void __tsan_read##n(void *p)            \
	{                                       \
		plain((uintptr_t)p, false);     \
	}                                       \
	void __tsan_write##n(void *p)           \
	{                                       \
		plain((uintptr_t)p, true);      \
	}                                       \
	void __tsan_unaligned_read##n(void *p)  \
	{                                       \
		plain((uintptr_t)p, false);     \
	}                                       \
	void __tsan_unaligned_write##n(void *p) \
	{                                       \
		plain((uintptr_t)p, true);      \
	}
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

static void range(void *p, unsigned long n, bool writes)
{
	for (unsigned long i = 0; i < n; i += 8)
		plain((uintptr_t)p + i, writes);
}

void __tsan_read_range(void *p, unsigned long n)
{
	range(p, n, false);
}

void __tsan_write_range(void *p, unsigned long n)
{
	range(p, n, true);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
}

void __tsan_func_exit(void)
{
}

#define MODIFY(bits, type, name, expression)                               \
	type __tsan_atomic##bits##_##name(type *p, type v, int order)      \
	{                                                                  \
		type old, new;                                             \
		sim_point();                                               \
		old = *p;                                                  \
		new = expression;                                          \
		if (!sim_off() && !sim_own((uintptr_t)p))                  \
			atomic_store((uintptr_t)p, old, new, order, true); \
		*p = new;                                                  \
		return old;                                                \
	}
#define EXCHANGE(bits, type, kind)                                                         \
	int __tsan_atomic##bits##_compare_exchange_##kind(type *p, type *expected, type v, \
							  int order, int failure)          \
	{                                                                                  \
		type old;                                                                  \
		sim_point();                                                               \
		old = *p;                                                                  \
		if (old == *expected) {                                                    \
			if (!sim_off() && !sim_own((uintptr_t)p))                          \
				atomic_store((uintptr_t)p, old, v, order, true);           \
			*p = v;                                                            \
			return 1;                                                          \
		}                                                                          \
		if (!sim_off() && !sim_own((uintptr_t)p)) {                                \
			unsigned former = staleness;                                       \
			staleness = 0;                                                     \
			atomic_load((uintptr_t)p, old, failure);                           \
			staleness = former;                                                \
		}                                                                          \
		*expected = old;                                                           \
		return 0;                                                                  \
	}
#define ATOMIC(bits, type)                                                 \
	type __tsan_atomic##bits##_load(type *p, int order)                \
	{                                                                  \
		sim_point();                                               \
		return sim_off() || sim_own((uintptr_t)p) ?                \
			       *p :                                        \
			       (type)atomic_load((uintptr_t)p, *p, order); \
	}                                                                  \
	void __tsan_atomic##bits##_store(type *p, type v, int order)       \
	{                                                                  \
		sim_point();                                               \
		if (!sim_off() && !sim_own((uintptr_t)p))                  \
			atomic_store((uintptr_t)p, *p, v, order, false);   \
		*p = v;                                                    \
	}                                                                  \
	MODIFY(bits, type, exchange, v)                                    \
	MODIFY(bits, type, fetch_add, old + v)                             \
	MODIFY(bits, type, fetch_sub, old - v)                             \
	MODIFY(bits, type, fetch_and, old &v)                              \
	MODIFY(bits, type, fetch_or, old | v)                              \
	MODIFY(bits, type, fetch_xor, old ^ v)                             \
	EXCHANGE(bits, type, strong)                                       \
	EXCHANGE(bits, type, weak)
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

void __tsan_atomic_thread_fence(int order)
{
	sim_point();
	if (!sim_off())
		fence(&clocks[sim_current], order);
}

void __tsan_atomic_signal_fence(int order)
{
	if (!sim_off())
		sim_signal();
}
