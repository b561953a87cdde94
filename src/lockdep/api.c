/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The validator's public functions. */
#include <lockdep/lockdep.h>

const struct lockdep_ops *lockdep_ops;
uint32_t anyrcu_lockdep_watching;

#define CALLER __builtin_return_address(0)

void anyrcu_lockdep_init(const void *lock, const struct anyrcu_lock_type *type, const char *name,
			 const struct anyrcu_lock_class_key *key)
{
	lockdep(init, lock, type, name, key, CALLER);
}

void anyrcu_lockdep_destroy(const void *lock)
{
	lockdep(destroy, lock, CALLER);
}

void anyrcu_lockdep_free(const void *p, size_t size)
{
	lockdep(free, p, size, CALLER);
}

void anyrcu_lockdep_acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
			    unsigned subclass, const void *nest)
{
	lockdep(acquire, lock, type, how, subclass, nest, CALLER);
}

void anyrcu_lockdep_release(const void *lock)
{
	lockdep(release, lock, CALLER);
}

int anyrcu_lockdep_is_held(const void *lock)
{
	const struct lockdep_ops *ops = load_acquire(&lockdep_ops);

	return ops ? ops->is_held(lock) : -1;
}

void anyrcu_lockdep_assert_held(const void *lock)
{
	lockdep(assert_held, lock, true, CALLER);
}

void anyrcu_lockdep_assert_not_held(const void *lock)
{
	lockdep(assert_held, lock, false, CALLER);
}

void anyrcu_might_sleep(void)
{
	lockdep(might_sleep, NULL, CALLER);
}

void anyrcu_lockdep_suspicious(const char *what)
{
	lockdep(rcu_suspicious, what, CALLER);
}

uint64_t anyrcu_lockdep_reports(void)
{
	const struct lockdep_ops *ops = load_acquire(&lockdep_ops);

	return ops ? ops->reports() : 0;
}
