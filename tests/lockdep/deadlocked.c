/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Programs that deadlock, and such that wait for long with a lock held, and do not. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER,
		       c = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static mtx_t one, two;
static atomic_int ready;

/* Until all have their first lock. */
static void meet(int n)
{
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < n)
		sched_yield();
}

static void in_threads(int n, void *(*const f[])(void *))
{
	pthread_t t[3];

	for (int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, f[i], NULL);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- these do ---- */

#define pair_of(name, n, first, second)        \
	static void *name(void *arg)           \
	{                                      \
		pthread_mutex_lock(&first);    \
		meet(n);                       \
		pthread_mutex_lock(&second);   \
		pthread_mutex_unlock(&second); \
		pthread_mutex_unlock(&first);  \
		return arg;                    \
	}

pair_of(a_then_b, 2, a, b) pair_of(b_then_a, 2, b, a) pair_of(a_b_3, 3, a, b)
	pair_of(b_c_3, 3, b, c) pair_of(c_a_3, 3, c, a)

		static void abba(void)
{
	in_threads(2, (void *(*const[])(void *)){ a_then_b, b_then_a });
}

static void ring(void)
{
	in_threads(3, (void *(*const[])(void *)){ a_b_3, b_c_3, c_a_3 });
}

static void self(void)
{
	pthread_mutex_lock(&a);
	pthread_mutex_lock(&a);
}

static void upgrade(void)
{
	pthread_rwlock_rdlock(&table);
	pthread_rwlock_wrlock(&table);
}

static void *reads(void *arg)
{
	pthread_rwlock_rdlock(&table);
	meet(2);
	pthread_mutex_lock(&a);
	pthread_mutex_unlock(&a);
	pthread_rwlock_unlock(&table);
	return arg;
}

static void *writes(void *arg)
{
	pthread_mutex_lock(&a);
	meet(2);
	pthread_rwlock_wrlock(&table);
	pthread_rwlock_unlock(&table);
	pthread_mutex_unlock(&a);
	return arg;
}

static void rwlock(void)
{
	in_threads(2, (void *(*const[])(void *)){ reads, writes });
}

static void *one_then_two(void *arg)
{
	mtx_lock(&one);
	meet(2);
	mtx_lock(&two);
	return arg;
}

static void *two_then_one(void *arg)
{
	mtx_lock(&two);
	meet(2);
	mtx_lock(&one);
	return arg;
}

static void c11(void)
{
	mtx_init(&one, mtx_plain);
	mtx_init(&two, mtx_plain);
	in_threads(2, (void *(*const[])(void *)){ one_then_two, two_then_one });
}

/* ---- these do not ---- */

static void *holds_c(void *arg)
{
	pthread_mutex_lock(&c);
	meet(3);
	usleep(200000);
	pthread_mutex_unlock(&c);
	return arg;
}

/* One waits for another, which waits for a third, which works. */
static void chain(void)
{
	in_threads(3, (void *(*const[])(void *)){ a_b_3, b_c_3, holds_c });
}

static void *b_then_a_in_vain(void *arg)
{
	struct timespec until;

	pthread_mutex_lock(&b);
	meet(2);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 200000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (pthread_mutex_timedlock(&a, &until) == 0)
		pthread_mutex_unlock(&a);
	pthread_mutex_unlock(&b);
	return arg;
}

static void timed(void)
{
	in_threads(2, (void *(*const[])(void *)){ a_then_b, b_then_a_in_vain });
}

static void *reads_too(void *arg)
{
	pthread_mutex_lock(&a);
	meet(2);
	usleep(100000);
	pthread_rwlock_rdlock(&table);
	pthread_rwlock_unlock(&table);
	pthread_mutex_unlock(&a);
	return arg;
}

static void readers(void)
{
	in_threads(2, (void *(*const[])(void *)){ reads, reads_too });
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} programs[] = {
		{ "abba", abba },	{ "ring", ring },     { "self", self },
		{ "upgrade", upgrade }, { "rwlock", rwlock }, { "c11", c11 },
		{ "chain", chain },	{ "timed", timed },   { "readers", readers },
	};

	for (size_t i = 0; argc == 2 && i < sizeof(programs) / sizeof(*programs); i++) {
		if (strcmp(argv[1], programs[i].name))
			continue;
		programs[i].run();
		puts("done");
		return 0;
	}
	return 98;
}
