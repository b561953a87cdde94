/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Actual deadlocks: threads that wait for each other's locks. The host tells the validator that a
 * thread is about to wait without bound for the lock that it has reported last (lockdep_blocks()),
 * and when the wait is over (lockdep_goes_on()).
 *
 * A thread's "blocks" is written by the thread: set under the engine's lock, after the thread's
 * stack was stored; cleared without the lock. So the last thread of a cycle that blocks finds all
 * others. held[] of other threads may change meanwhile, so a cycle is verified. While it is in
 * here, the caller holds the lock for which the last thread of the cycle waits, so that thread
 * cannot continue. Therefore that thread keeps the lock for which the last but one waits, which
 * cannot continue either; and so on back to the caller. Each thread is checked after it is known
 * that its successor cannot continue.
 *
 * The lock that a thread waits for is its topmost entry, and is not held. A thread in a handler is
 * never part of a cycle that another thread finds, as the interrupted code may have been about to
 * wait.
 */
#include <lockdep/engine.h>

static bool conflicts(unsigned wanted, unsigned held)
{
	return !READS(wanted) || !READS(held);
}

/* What @t waits for; NULL: nothing. */
static struct held *wanted(struct thread *t)
{
	uint32_t depth = load(&t->depth);
	const void *lock = load_acquire(&t->blocks);
	struct held *h = depth && depth <= HELD ? &t->held[depth - 1] : NULL;

	return lock && h && load(&h->lock) == lock ? h : NULL;
}

/* Does @t hold the lock of @h in a way that makes @h wait? */
static bool holds(struct thread *t, bool caller, const struct held *h)
{
	uint32_t n = load(&t->depth);

	if (n > HELD || (!caller && load(&t->nesting)))
		return false;
	if (load(&t->blocks) && n)
		n--;
	for (uint32_t i = 0; i < n; i++) {
		struct held *mine = &t->held[i];

		if (load(&mine->lock) == h->lock && load(&mine->class) && !instance_stale(mine) &&
		    conflicts(h->how, mine->how) && !(caller && i + 1 == t->base))
			return true;
	}
	return false;
}

static bool stands_still(uint32_t at, struct thread *t)
{
	for (; at; at = tables->blocked[at].parent) {
		struct blocked *b = &tables->blocked[at], *before = &tables->blocked[b->parent];
		struct held *h = wanted(b->thread);

		if (!h || h->lock != b->wants.lock)
			return false;
		if (!holds(b->thread, b->thread == t, &before->wants))
			return false;
	}
	return true;
}

static void say_blocked(const struct blocked *b, const struct thread *holder)
{
	say("thread %u waits for:\n", (uint64_t)b->thread->tid);
	say_lock(&b->wants);
	if (holder == b->thread)
		say("which it holds itself. Its stack:\n");
	else
		say("which thread %u holds. Stack of thread %u:\n", (uint64_t)holder->tid,
		    (uint64_t)b->thread->tid);
	for (uint32_t i = 0; i < b->thread->nstack; i++)
		say("       %a\n", b->thread->stack[i]);
}

static void deadlock(struct thread *t, uint32_t at)
{
	const struct thread *holder = t;

	if (!report_begin(ANYRCU_LOCKDEP_DEADLOCK, (uintptr_t)tables->blocked[0].wants.lock,
			  t->tid))
		return;
	for (;; at = tables->blocked[at].parent) {
		say_blocked(&tables->blocked[at], holder);
		holder = tables->blocked[at].thread;
		if (!at)
			break;
	}
	say("\n *** DEADLOCK ***\n\n");
	report_end(t);
}

static bool reached(struct thread *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (tables->blocked[i].thread == t)
			return true;
	return false;
}

/* Search the threads that the caller waits for, breadth first. */
static void look(struct thread *t)
{
	uint32_t n = 0, high = load(&tables->threads_high);
	struct held *h = wanted(t);

	if (!h)
		return;
	tables->blocked[n++] = (struct blocked){ .thread = t, .wants = *h };
	for (uint32_t at = 0; at < n; at++) {
		const struct held wants = tables->blocked[at].wants;

		if (holds(t, true, &wants) && stands_still(at, t)) {
			deadlock(t, at);
			return;
		}
		for (uint32_t i = 0; i < high; i++) {
			struct thread *other = &tables->thread[i];

			if (!load(&other->used) || !(h = wanted(other)) || reached(other, n) ||
			    !holds(other, false, &wants))
				continue;
			tables->blocked[n++] = (struct blocked){ other, at, *h };
		}
	}
}

bool lockdep_holds_more(void)
{
	struct thread *t = lockdep_thread();

	return t && t->depth > 1;
}

void lockdep_blocks(const void *lock)
{
	struct thread *t = lockdep_thread();

	if (!t)
		return;
	t->nstack = port_stack(t->stack, FRAMES);
	if (!slow_begin(t))
		return;
	store_release(&t->blocks, lock);
	look(t);
	slow_end(t);
}

void lockdep_goes_on(void)
{
	struct thread *t = lockdep_thread();

	if (t)
		store_release(&t->blocks, (const void *)NULL);
}
