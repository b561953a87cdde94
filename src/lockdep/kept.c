/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks that a thread takes for several, as the host says by their type: the first of some readers
 * waits for a semaphore, and the last gives it back, each with the lock of their number held. So
 * the first keeps the semaphore beyond that lock, and takes that lock again with the semaphore
 * held. This is no order: who then waits for the semaphore with that lock held would be a first
 * one, and as long as the number is not 0 there is none.
 *
 * Whether the thread still has it after that only the number says, so the validator takes it for
 * over. If later the semaphore comes back from a thread that holds that lock, that was the last
 * one.
 */
#include <lockdep/engine.h>

static uint32_t generation_of(const void *lock)
{
	const struct lock_slot *s = lock_find(lock);

	return s ? load(&s->generation) : 0;
}

/* 0: it was not kept beyond another lock. */
static uint32_t kept_beyond(const struct thread *t, uint32_t generation)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (t->kept[i].lock == generation)
			return t->kept[i].beyond;
	return 0;
}

/* The lock of held[@i] is about to be released; those above were taken with it held. */
void kept_note(struct thread *t, uint32_t i)
{
	uint32_t beyond = t->held[i].generation;

	for (i++; host->for_several && i < t->depth; i++) {
		const struct held *h = &t->held[i];

		if (h->class <= UNVALIDATED || type_of(h->class) != host->for_several ||
		    instance_stale(h) || kept_beyond(t, h->generation))
			continue;
		t->kept[t->nkept++ % KEPT] = (struct kept){ h->generation, beyond };
	}
}

/* Does @n only say that @p was kept beyond it? Then @p is held no longer, as far as is known. */
bool kept_over(struct thread *t, struct held *p, struct held *n)
{
	struct event *e;

	if (!t->nkept || kept_beyond(t, p->generation) != n->generation || !n->generation)
		return false;
	e = event_find(p->lock, true);
	e->beyond = n->generation;
	held_over(t, p, n);
	return true;
}

void lockdep_takes(const void *lock)
{
	struct thread *t = lockdep_thread();
	uint32_t generation = t && t->nkept ? generation_of(lock) : 0;

	for (unsigned i = 0; generation && i < KEPT; i++)
		if (t->kept[i].lock == generation)
			t->kept[i] = (struct kept){ 0 };
	if (generation)
		held_clean(t);
}

bool lockdep_keeps(const void *lock)
{
	struct thread *t = lockdep_thread();
	struct held *h = t && t->nkept ? held_find(t, lock) : NULL;

	if (!h || !kept_beyond(t, h->generation))
		return false;
	held_over(t, h, NULL);
	return true;
}

static bool holds_generation(const struct thread *t, uint32_t generation)
{
	for (uint32_t i = t->base; generation && i < t->depth; i++)
		if (t->held[i].generation == generation)
			return true;
	return false;
}

bool lockdep_given_back(const void *lock)
{
	struct thread *t = lockdep_thread();
	const struct event *e = t && t->depth > t->base ? event_find(lock, false) : NULL;
	bool given;

	if (!e || !slow_begin(t))
		return false;
	e = event_find(lock, false);
	given = e && holds_generation(t, e->beyond);
	slow_end(t);
	if (given)
		held_clean(t);
	return given;
}
