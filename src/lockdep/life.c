/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The life of a lock: it is initialised, destroyed, or freed with its memory. */
#include <lockdep/engine.h>

static void held_wrong(struct thread *t, enum anyrcu_lockdep_rule rule, struct held *h,
		       const char *what, const void *ip)
{
	if (!report_begin(rule, h->class, (uintptr_t)ip))
		return;
	say("thread %u %s a lock that it holds, at %a:\n", (uint64_t)t->tid, what, ip);
	say_lock(h);
	report_end(t);
}

static void held_by_other(struct thread *t, enum anyrcu_lockdep_rule rule, const void *lock,
			  const char *what, const void *ip)
{
	struct thread *holder = held_by_whom(t, lock);
	struct held h = { .lock = lock, .ip = ip };

	if (!holder || !report_begin(rule, (uintptr_t)lock, (uintptr_t)ip))
		return;
	say("thread %u %s a lock that thread %u holds, at %a:\n", (uint64_t)t->tid, what,
	    (uint64_t)holder->tid, ip);
	say_lock(&h);
	report_end(t);
}

void lockdep_init(const void *lock, const struct anyrcu_lock_type *type, const char *name,
		  const struct anyrcu_lock_class_key *key, const void *ip)
{
	struct thread *t = thread();
	struct held *h;

	if (!t || !slow_begin(t))
		return;
	if ((h = held_find(t, lock)))
		held_wrong(t, ANYRCU_LOCKDEP_REINIT, h, "initialises", ip);
	else if (host->by_instance && lock_find(lock))
		held_by_other(t, ANYRCU_LOCKDEP_REINIT, lock, "initialises", ip);
	lock_forget(lock);
	class_make(lock, type, name, key ? (const void *)key : ip, 0);
	slow_end(t);
}

void lockdep_destroy(const void *lock, const void *ip)
{
	struct thread *t = thread();
	struct held *h;

	if (!t || (!held_find(t, lock) && !lock_find(lock)) || !slow_begin(t))
		return;
	if ((h = held_find(t, lock)))
		held_wrong(t, ANYRCU_LOCKDEP_FREED, h, "destroys", ip);
	else if (host->by_instance)
		held_by_other(t, ANYRCU_LOCKDEP_FREED, lock, "destroys", ip);
	lock_forget(lock);
	slow_end(t);
}

void lockdep_free(const void *p, size_t size, const void *ip)
{
	struct thread *t = thread();

	if (!t || likely(!lock_within(p, (const char *)p + size)))
		return;
	for (uint32_t i = 0; i < t->depth; i++) {
		struct held *h = &t->held[i];

		if (unlikely((uintptr_t)h->lock - (uintptr_t)p < size) && h->class &&
		    slow_begin(t)) {
			held_wrong(t, ANYRCU_LOCKDEP_FREED, h, "frees memory with", ip);
			slow_end(t);
		}
	}
	if (slow_begin(t)) {
		if (host->by_instance)
			held_by_other(t, ANYRCU_LOCKDEP_FREED,
				      lock_within(p, (const char *)p + size), "frees memory with",
				      ip);
		locks_forget(p, (const char *)p + size);
		slow_end(t);
	}
}

void lockdep_forget(const void *p, const void *beyond)
{
	if (tables && lock_within(p, beyond))
		thread_forget(locks_forget, p, beyond);
}

void lockdep_unloaded(void)
{
	thread_forget(locks_unloaded, NULL, NULL);
}
