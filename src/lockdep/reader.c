/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * RCU in the orders of locks. Whoever waits for a grace period waits for all readers, as a writer
 * waits for the readers of a lock: if it holds a lock that a reader takes, both may wait for ever.
 * So all read-side critical sections are one lock here, which readers hold to read, and which
 * whoever waits acquires to write and releases at once.
 *
 * A section begins and ends without a call, so the host is asked at each acquisition whether the
 * caller is in one, or online, which is the same to whoever waits. If so, the thread holds an entry
 * for the length of the acquisition, beneath the lock that it acquires. It is never waited for: to
 * begin a section is to try. So orders lead from it, and to it from nothing but waits for grace
 * periods.
 *
 * The kernel does the same for SRCU since 6.4 (lock_sync()).
 */
#include <lockdep/engine.h>

static const char readers; /* its address is the lock */
static const struct anyrcu_lock_type sections = { "read-side critical sections", ANYRCU_WAIT_INV,
						  0 };

static void name(struct thread *t)
{
	if (likely(lock_find(&readers)) || !slow_begin(t))
		return;
	class_make(&readers, &sections, "RCU", &readers, 0);
	slow_end(t);
}

bool reader_begin(struct thread *t, const void *ip)
{
	if (likely(!is_reader()) || t->depth + 1 >= HELD)
		return false;
	name(t);
	held_acquire(t, &readers, &sections, ANYRCU_LOCK_RECURSIVE_READ | ANYRCU_LOCK_TRY, 0, NULL,
		     ip);
	return true;
}

/* The entry may have moved down meanwhile: see held_clean(). */
void reader_end(struct thread *t)
{
	uint32_t i = t->depth;

	while (i > t->base && t->held[i - 1].lock != &readers)
		i--;
	if (i > t->base)
		held_remove(t, i - 1);
}

void lockdep_gp_wait(const void *ip)
{
	struct thread *t = thread();

	if (!t)
		return;
	name(t);
	held_acquire(t, &readers, &sections, ANYRCU_LOCK_WRITE, 0, NULL, ip);
	lockdep_release(&readers, ip);
}
