/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs in C in the styles of many, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <errno.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

static void mutex_of_type(pthread_mutex_t *m, int type)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
}

/* ---- mutexes of other types ---- */

/* It is told when it has the lock already, and goes on. */
THREAD(asks_the_mutex)
{
	pthread_mutex_t *m = arg;

	lock(m);
	if (lock(m) != EDEADLK)
		abort();
	unlock(m);
	return NULL;
}

THREAD(unlocks)
{
	unlock(arg);
	return NULL;
}

static void error_checking(void)
{
	static pthread_mutex_t m;

	mutex_of_type(&m, PTHREAD_MUTEX_ERRORCHECK);
	run(asks_the_mutex, &m);
	lock(&m);
	if (wrong)
		run(unlocks, &m);
	unlock(&m);
}

/* A monitor calls itself with the lock held, and another. */
static pthread_mutex_t monitor;

THREAD(monitor_then_a)
{
	lock(&monitor);
	in_order(&a, &monitor);
	unlock(&monitor);
	return arg;
}

THREAD(a_then_monitor)
{
	if (!wrong)
		lock(&monitor);
	in_order(&a, &monitor);
	if (!wrong)
		unlock(&monitor);
	return arg;
}

static void recursive_monitor(void)
{
	mutex_of_type(&monitor, PTHREAD_MUTEX_RECURSIVE);
	run(monitor_then_a, NULL);
	run(a_then_monitor, NULL);
}

THREAD(b_then_a_for_a_while)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	lock(&b);
	if (wrong)
		lock(&a);
	if (wrong || pthread_mutex_timedlock(&a, &until) == 0)
		unlock(&a);
	unlock(&b);
	return arg;
}

static void timed_back_off(void)
{
	run(a_then_b, NULL);
	run(b_then_a_for_a_while, NULL);
}

/* ---- read-write locks ---- */

static pthread_rwlock_t tree_lock = PTHREAD_RWLOCK_INITIALIZER;

THREAD(reads_a_then_b)
{
	pthread_rwlock_rdlock(&tree_lock);
	in_order(&a, &b);
	pthread_rwlock_unlock(&tree_lock);
	return arg;
}

THREAD(changes_b_then_a)
{
	if (wrong)
		pthread_rwlock_rdlock(&tree_lock);
	else
		pthread_rwlock_wrlock(&tree_lock);
	in_order(&b, &a);
	pthread_rwlock_unlock(&tree_lock);
	return arg;
}

/* What readers lock, a writer may lock in any order. */
static void read_write_gate(void)
{
	run(reads_a_then_b, NULL);
	run(changes_b_then_a, NULL);
}

THREAD(reads_twice)
{
	pthread_rwlock_rdlock(arg);
	pthread_rwlock_rdlock(arg);
	pthread_rwlock_unlock(arg);
	pthread_rwlock_unlock(arg);
	return NULL;
}

/* A writer that waits in between stops the second, if writers come first. */
static void reader_in_reader(void)
{
	static pthread_rwlock_t l;
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	if (wrong)
		pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l, &attr);
	run(reads_twice, &l);
}

static pthread_rwlock_t cache = PTHREAD_RWLOCK_INITIALIZER;

THREAD(fills_the_cache)
{
	lock(&a);
	pthread_rwlock_wrlock(&cache);
	pthread_rwlock_unlock(&cache);
	unlock(&a);
	return arg;
}

THREAD(looks_up)
{
	pthread_rwlock_rdlock(&cache);
	if (!wrong)
		pthread_rwlock_unlock(&cache);
	lock(&a);
	unlock(&a);
	if (wrong)
		pthread_rwlock_unlock(&cache);
	return arg;
}

static void reader_waits_for_writer(void)
{
	run(fills_the_cache, NULL);
	run(looks_up, NULL);
}

/* ---- semaphores ---- */

static sem_t empty, full;

THREAD(consumes)
{
	for (int i = 0; i < 4; i++) {
		sem_wait(&full);
		lock(&a);
		unlock(&a);
		sem_post(&empty);
	}
	return arg;
}

/* A room is waited for before the mutex that the consumer takes to make some. */
THREAD(produces)
{
	for (int i = 0; i < 4; i++) {
		if (wrong && i < 2)
			lock(&a);
		sem_wait(&empty);
		if (!wrong || i >= 2)
			lock(&a);
		unlock(&a);
		sem_post(&full);
	}
	return arg;
}

static void bounded_buffer(void)
{
	pthread_t t;

	sem_init(&empty, 0, 2);
	sem_init(&full, 0, 0);
	pthread_create(&t, NULL, consumes, NULL);
	run(produces, NULL);
	pthread_join(t, NULL);
}

enum { PHILOSOPHERS = 5 };
static pthread_mutex_t fork_of[PHILOSOPHERS];
static sem_t room;

THREAD(eats)
{
	long i = (long)arg;

	sem_wait(&room);
	in_order(&fork_of[i], &fork_of[(i + 1) % PHILOSOPHERS]);
	sem_post(&room);
	return NULL;
}

/* There is room for all but one, so one of them can always go on. */
static void room_for_four(void)
{
	sem_init(&room, 0, wrong ? PHILOSOPHERS : PHILOSOPHERS - 1);
	for (long i = 0; i < PHILOSOPHERS; i++)
		pthread_mutex_init(&fork_of[i], NULL);
	for (long i = 0; i < PHILOSOPHERS; i++)
		run(eats, (void *)i);
}

/* ---- threads that do not meet ---- */

static pthread_barrier_t phase;
static sem_t first_done;

THREAD(first_phase)
{
	in_order(&a, &b);
	if (wrong)
		sem_post(&first_done);
	pthread_barrier_wait(&phase);
	return arg;
}

THREAD(second_phase)
{
	if (wrong)
		sem_wait(&first_done);
	else
		pthread_barrier_wait(&phase);
	in_order(&b, &a);
	if (wrong)
		pthread_barrier_wait(&phase);
	return arg;
}

/* What is done before a barrier is over when what comes behind it begins. */
static void phases(void)
{
	pthread_t t[2];

	sem_init(&first_done, 0, 0);
	pthread_barrier_init(&phase, NULL, 2);
	pthread_create(&t[0], NULL, first_phase, NULL);
	pthread_create(&t[1], NULL, second_phase, NULL);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
}

static pthread_once_t once_control = PTHREAD_ONCE_INIT;

static void in_other_order(void)
{
	in_order(&b, &a);
}

THREAD(uses_what_is_done_once)
{
	if (!wrong || arg)
		pthread_once(&once_control, in_other_order);
	in_order(&a, &b);
	return NULL;
}

static void done_once(void)
{
	run(uses_what_is_done_once, &once_control);
	run(uses_what_is_done_once, NULL);
}

/* ---- C11 ---- */

static mtx_t first, second;
static once_flag once = ONCE_FLAG_INIT;

static void make_c11(void)
{
	mtx_init(&first, mtx_plain);
	mtx_init(&second, mtx_timed);
}

static int c11_in_order(void *arg)
{
	mtx_t *m = arg, *other = m == &first ? &second : &first;

	call_once(&once, make_c11);
	mtx_lock(m);
	mtx_lock(other);
	mtx_unlock(other);
	mtx_unlock(m);
	return 0;
}

static void c11_threads(void)
{
	thrd_t t;

	thrd_create(&t, c11_in_order, &first);
	thrd_join(t, NULL);
	thrd_create(&t, c11_in_order, wrong ? &second : &first);
	thrd_join(t, NULL);
}

static bool past;

static void tss_lock(void *m)
{
	mtx_lock(m);
	mtx_unlock(m);
	__atomic_store_n(&past, true, __ATOMIC_RELEASE);
}

static tss_t tss;

static int uses_tss(void *m)
{
	tss_set(tss, m);
	return 0;
}

/* The destructor of a thread takes what is held while that is joined. */
static void c11_destructor(void)
{
	thrd_t t;

	call_once(&once, make_c11);
	tss_create(&tss, tss_lock);
	thrd_create(&t, uses_tss, &first);
	while (!__atomic_load_n(&past, __ATOMIC_ACQUIRE))
		thrd_yield();
	mtx_lock(&first);
	if (!wrong)
		mtx_unlock(&first);
	thrd_join(t, NULL);
	if (wrong)
		mtx_unlock(&first);
}

/* ---- memory that is used again ---- */

struct object {
	pthread_mutex_t m;
	struct object *next;
};

static struct object *pool;

static struct object *object_get(void)
{
	struct object *o = pool;

	if (o)
		pool = o->next;
	else
		o = malloc(sizeof(*o));
	if (!wrong)
		pthread_mutex_init(&o->m, NULL);
	return o;
}

static void object_put(struct object *o)
{
	o->next = pool;
	pool = o;
}

THREAD(two_of_pool)
{
	struct object *outer = object_get(), *inner = object_get();

	if (wrong) {
		static bool made;

		if (!made) {
			pthread_mutex_init(&outer->m, NULL);
			pthread_mutex_init(&inner->m, NULL);
			made = true;
		}
	}
	in_order(&outer->m, &inner->m);
	object_put(outer);
	object_put(inner);
	return arg;
}

/* The first that comes out of the pool is the outer one, and goes in first. */
static void pool_of_objects(void)
{
	run(two_of_pool, NULL);
	run(two_of_pool, NULL);
}

static const struct kind kinds[] = {
	KIND(error_checking),  KIND(recursive_monitor), KIND(timed_back_off),
	KIND(read_write_gate), KIND(reader_in_reader),	KIND(reader_waits_for_writer),
	KIND(bounded_buffer),  KIND(room_for_four),	KIND(phases),
	KIND(done_once),       KIND(c11_threads),	KIND(c11_destructor),
	KIND(pool_of_objects),
};
KINDS_MAIN(kinds)
