/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Arcs whose threads cannot be in them at the same time; see instance.c.
 *
 * Guards: all locks that were held. Two arcs with a common guard, not held by readers in both,
 * never happen at the same time. Initialisation by pthread_once() is a guard too: it is held by the
 * thread that runs it, and then for good, as by a reader, by each thread that has found it done. A
 * thread remembers the first few of these, and its acquisitions are checked anew after each of
 * them.
 *
 * A semaphore that admits several threads is a guard held by readers. But a cycle of more threads
 * than it admits, in which all arcs have it as a guard, is impossible.
 *
 * Segments: a segment is what a thread does between two barriers. A segment that ended at the n-th
 * round of a barrier is over when another begins that came out of that round, or of a later one. A
 * segment gets a number when an arc is seen in it, if there are barriers: the thread then writes
 * thread.segment under the engine's lock, like all segments, limits and counts of barriers. Locks
 * that a handler takes while its thread waits at a barrier belong to no segment, so no arcs are
 * excluded for them.
 */
#include <lockdep/engine.h>

/* ---- guards ---- */

/*
 * A lock that the threads of both would hold at once, as its generation * 2, + 1 when one reads; 0:
 * there is none.
 */
uint32_t common_guard(const struct arc *a, const struct arc *b)
{
	for (unsigned i = 0, j = 0; i < a->nguards && j < b->nguards;) {
		uint32_t one = a->guard[i], other = b->guard[j];

		if (one / 2 == other / 2 && !(one & other & 1))
			return one;
		if (one / 2 <= other / 2)
			i++;
		if (other / 2 <= one / 2)
			j++;
	}
	return 0;
}

bool guards_within(const struct arc *a, const struct arc *b)
{
	unsigned i = 0;

	for (unsigned j = 0; i < a->nguards && j < b->nguards; j++)
		if (a->guard[i] == b->guard[j])
			i++;
	return i == a->nguards;
}

static void guard_add(struct arc *a, uint32_t generation, bool reads)
{
	uint32_t guard = generation * 2 + reads;
	unsigned i;

	if (a->nguards == GUARDS)
		return;
	for (i = a->nguards++; i && a->guard[i - 1] > guard; i--)
		a->guard[i] = a->guard[i - 1];
	a->guard[i] = guard;
}

void guards_of(struct thread *t, const struct held *p, struct arc *a)
{
	a->nguards = 0;
	guard_add(a, p->generation, READS(p->how));
	for (uint32_t i = t->base; i < t->depth; i++) {
		struct held *h = &t->held[i];

		if (h->generation != p->generation && !instance_stale(h))
			guard_add(a, h->generation, READS(h->how));
	}
	for (unsigned i = 0; i < ONCE; i++)
		if (t->once[i])
			guard_add(a, t->once[i], true);
}

void lockdep_once_done(const void *once)
{
	struct thread *t = lockdep_thread();
	const struct lock_slot *s = t ? lock_find(once) : NULL;
	uint32_t generation = s ? load(&s->generation) : 0;

	for (unsigned i = 0; s && i < ARRAY_SIZE(t->once); i++) {
		if (t->once[i] == generation)
			return;
		if (!t->once[i]) {
			t->once[i] = generation;
			t->once_chain ^= (uint16_t)mix(generation, 2);
			return;
		}
	}
}

/* ---- limits ---- */

void lockdep_limit(const void *lock, uint32_t threads)
{
	struct thread *t = lockdep_thread();
	const struct lock_slot *s = t ? lock_find(lock) : NULL;
	struct limit *l;

	if (!s || !slow_begin(t))
		return;
	l = &tables->limit[tables->nlimits++ % LIMITS];
	l->threads = threads;
	store(&l->generation, s->generation);
	slow_end(t);
}

static uint32_t limit_of(uint32_t generation)
{
	for (unsigned i = 0; i < LIMITS && i < load(&tables->nlimits); i++)
		if (load(&tables->limit[i].generation) == generation)
			return tables->limit[i].threads;
	return 0;
}

bool lockdep_is_limited(const void *lock)
{
	const struct lock_slot *s = tables && load(&tables->nlimits) ? lock_find(lock) : NULL;

	return s && limit_of(load(&s->generation));
}

static bool has_guard(const struct arc *a, uint32_t guard)
{
	unsigned i = 0;

	while (i < a->nguards && a->guard[i] != guard)
		i++;
	return i < a->nguards;
}

/* Has the cycle more arcs than the number of threads that a common guard admits? */
bool circle_limited(const struct arc *new, const uint32_t *path, uint32_t length)
{
	for (unsigned i = 0; tables->nlimits && i < new->nguards; i++) {
		uint32_t threads = new->guard[i] & 1 ? limit_of(new->guard[i] / 2) : 0, k = 1;

		while (k < length && has_guard(&tables->arc[path[k]], new->guard[i]))
			k++;
		if (threads && threads < length && k == length)
			return true;
	}
	return false;
}

/* ---- segments ---- */

void lockdep_barrier_begins(const void *b, unsigned threads)
{
	struct thread *t = lockdep_thread();
	struct event *e;

	if (!t || !slow_begin(t))
		return;
	e = event_find(b, true);
	e->threads = threads;
	e->arrivals = 0;
	e->barrier = ++tables->barriers;
	slow_end(t);
}

struct barrier_round lockdep_barrier_arrives(const void *b)
{
	struct barrier_round round = { 0 };
	struct thread *t = lockdep_thread();
	struct event *e;

	if (!t || !load(&tables->barriers) || !slow_begin(t))
		return round;
	e = event_find(b, false);
	if (e && e->threads) {
		round = (struct barrier_round){ e->barrier, e->arrivals++ / e->threads };
		if (t->segment)
			tables->segment[t->segment].end = round;
	}
	t->segment = 0;
	t->waits_at_barrier = true;
	slow_end(t);
	return round;
}

void lockdep_barrier_leaves(struct barrier_round round)
{
	struct thread *t = lockdep_thread();

	if (!t)
		return;
	t->passed = round;
	compiler_barrier();
	t->waits_at_barrier = false;
}

uint32_t segment_here(struct thread *t)
{
	if (!tables->barriers || t->waits_at_barrier)
		return 0;
	if (!t->segment && tables->nsegments + 1 < SEGMENTS) {
		t->segment = ++tables->nsegments;
		tables->segment[t->segment].begin = t->passed;
	}
	return t->segment;
}

static bool over_before(const struct segment *a, const struct segment *b)
{
	return a->end.barrier && a->end.barrier == b->begin.barrier && a->end.n <= b->begin.n;
}

bool segments_apart(const struct arc *a, const struct arc *b)
{
	const struct segment *s = &tables->segment[a->segment], *o = &tables->segment[b->segment];

	return a->segment && b->segment && (over_before(s, o) || over_before(o, s));
}
