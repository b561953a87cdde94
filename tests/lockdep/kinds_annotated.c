/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that tell of their own locks, waits and pools, in pairs; see kinds.h. Not
 * linked with the library.
 */
#define _GNU_SOURCE
#include "kinds.h"

#include <anyrcu/annotate.h>
#include <linux/futex.h>
#include <sys/syscall.h>

/* ---- a lock of the program's own ---- */

struct own {
	int taken;
};

static const struct anyrcu_lock_type own_type = { "own lock", ANYRCU_WAIT_SLEEP,
						  ANYRCU_WAIT_SLEEP };
static struct own a, b;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

static bool own_try(struct own *l)
{
	return !__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE);
}

static void own_lock(struct own *l)
{
	anyrcu_annotate_acquire(l, &own_type, ANYRCU_LOCK_WRITE);
	while (!own_try(l))
		syscall(SYS_futex, &l->taken, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static void own_unlock(struct own *l)
{
	anyrcu_annotate_release(l);
	__atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
	syscall(SYS_futex, &l->taken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

THREAD(own_in_order)
{
	struct own *first = arg ? &b : &a, *second = arg ? &a : &b;

	own_lock(first);
	own_lock(second);
	own_unlock(second);
	own_unlock(first);
	return NULL;
}

static void own_locks(void)
{
	run(own_in_order, NULL);
	run(own_in_order, wrong ? &a : NULL);
}

THREAD(own_around_mutex)
{
	own_lock(&a);
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	own_unlock(&a);
	return arg;
}

THREAD(mutex_around_own)
{
	pthread_mutex_lock(&m);
	if (wrong)
		own_lock(&a);
	else if (own_try(&a))
		anyrcu_annotate_acquire(&a, &own_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY);
	own_unlock(&a);
	pthread_mutex_unlock(&m);
	return arg;
}

static void own_and_mutex(void)
{
	run(own_around_mutex, NULL);
	run(mutex_around_own, NULL);
}

/* ---- a pool ---- */

static struct object {
	pthread_mutex_t m;
	struct object *next;
} arena[2], *pool;

static struct object *object_get(void)
{
	struct object *o = pool;

	pool = o->next;
	o->m = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	return o;
}

static void object_put(struct object *o)
{
	if (!wrong)
		anyrcu_annotate_free(o, sizeof(*o));
	o->next = pool;
	pool = o;
}

/* What is first out of the pool is the outer one. */
THREAD(two_of_pool)
{
	struct object *outer = object_get(), *inner = object_get();

	pthread_mutex_lock(&outer->m);
	pthread_mutex_lock(&inner->m);
	pthread_mutex_unlock(&inner->m);
	pthread_mutex_unlock(&outer->m);
	object_put(outer);
	object_put(inner);
	return arg;
}

/* The wrong one is only so as far as can be known without the word of the pool. */
static void own_pool(void)
{
	object_put(&arena[0]);
	object_put(&arena[1]);
	run(two_of_pool, NULL);
	run(two_of_pool, NULL);
}

/* ---- an event, and an assertion ---- */

static int event;

THREAD(takes_and_wakes)
{
	own_lock(&a);
	own_unlock(&a);
	anyrcu_annotate_wake(&event);
	__atomic_store_n(&event, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &event, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	return arg;
}

static void own_event(void)
{
	run(takes_and_wakes, NULL);
	own_lock(wrong ? &a : &b);
	anyrcu_annotate_wait_begin(&event, "own_event");
	while (!__atomic_load_n(&event, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &event, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	anyrcu_annotate_wait_end(&event);
	own_unlock(wrong ? &a : &b);
}

static void own_assertion(void)
{
	if (!wrong)
		pthread_mutex_lock(&m);
	anyrcu_annotate_assert_held(&m);
	if (!wrong)
		pthread_mutex_unlock(&m);
}

static const struct kind kinds[] = {
	KIND(own_locks), KIND(own_and_mutex), KIND(own_pool), KIND(own_event), KIND(own_assertion),
};
KINDS_MAIN(kinds)
