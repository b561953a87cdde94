/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What programs tell of themselves: <anyrcu/annotate.h>, and <anyrcu/lockdep.h> where the library
 * is not there. Where it is these stand for its functions, and tell the same validator.
 */
#define _GNU_SOURCE
#include <anyrcu/annotate.h>

#include "lockdep/preload.h"

EXPORT void anyrcu_lockdep_init(const void *lock, const struct anyrcu_lock_type *type,
				const char *name, const struct anyrcu_lock_class_key *key)
{
	if (watched())
		lockdep_engine.init(lock, type, name, key ?: class_of_caller(CALLER), CALLER);
}

EXPORT void anyrcu_lockdep_destroy(const void *lock)
{
	if (watched())
		lockdep_engine.destroy(lock, CALLER);
}

EXPORT void anyrcu_lockdep_free(const void *p, size_t size)
{
	if (watched())
		lockdep_engine.free(p, size, CALLER);
}

EXPORT void anyrcu_lockdep_acquire(const void *lock, const struct anyrcu_lock_type *type,
				   unsigned how, unsigned subclass, const void *nest)
{
	if (!watched())
		return;
	loader_over();
	if (on_own_stack(lock))
		stack_lock(lock, CALLER, (uintptr_t)__builtin_frame_address(0));
	lockdep_engine.acquire(lock, type, how, subclass, nest, CALLER);
}

EXPORT void anyrcu_lockdep_release(const void *lock)
{
	if (watched())
		lockdep_engine.release(lock, CALLER);
}

EXPORT int anyrcu_lockdep_is_held(const void *lock)
{
	return watched() ? lockdep_engine.is_held(lock) : -1;
}

EXPORT void anyrcu_lockdep_assert_held(const void *lock)
{
	if (watched())
		lockdep_engine.assert_held(lock, true, CALLER);
}

EXPORT void anyrcu_lockdep_assert_not_held(const void *lock)
{
	if (watched())
		lockdep_engine.assert_held(lock, false, CALLER);
}

EXPORT void anyrcu_might_sleep(void)
{
	if (watched())
		lockdep_engine.might_sleep(NULL, CALLER);
}

EXPORT uint64_t anyrcu_lockdep_reports(void)
{
	return watched() ? lockdep_engine.reports() : 0;
}

EXPORT void anyrcu_lockdep_wait_begin(const void *object, const char *what)
{
	if (!watched())
		return;
	lockdep_engine.might_sleep(what, CALLER);
	lockdep_wait_begin(object, what, CALLER);
}

EXPORT void anyrcu_lockdep_wait_end(const void *object)
{
	(void)object;
	if (watched())
		lockdep_wait_end();
}

EXPORT void anyrcu_lockdep_wake(const void *object)
{
	if (watched())
		lockdep_event(object, true, 8);
}
