/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Objects that one thread allocates and another frees: CPU time of the whole process for each
 * object, by allocator and way to free, medians of interleaved rounds.
 *
 *     cc -O2 -Iinclude bench/handover.c -o handover -Lbuild/src -lanyrcu
 *
 * "malloc, free" is the allocator that the process has: libc's, or one that is preloaded.
 */
#include <anyrcu/anyrcu.h>
#include <anyrcu/cache.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define OBJECTS 2000000
#define ROUNDS 7
#define SIZE 64
#define SLOTS 1024 /* of the ring; a power of two */
#define BATCH 64 /* objects that are handed over at once, so that the ring costs little */

static void *ring[SLOTS];
static _Atomic unsigned long head __attribute__((aligned(64)));
static _Atomic unsigned long tail __attribute__((aligned(64)));
static struct anyrcu_cache *cache;

static void *by_malloc(void)
{
	return malloc(SIZE);
}

static void *by_cache(void)
{
	return anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL);
}

static void *by_alloc(void)
{
	return anyrcu_alloc(SIZE, ANYRCU_GFP_KERNEL);
}

static void deferred(void *p)
{
	anyrcu_cache_free_deferred(cache, p);
}

static void at_once(void *p)
{
	anyrcu_cache_free(cache, p);
}

static void deferred_malloc(void *p)
{
	if (!anyrcu_free_headless(p))
		anyrcu_free_mightsleep(p);
}

static void by_task(void *p)
{
	if (!anyrcu_free_task_headless(p))
		anyrcu_free_mightsleep(p);
}

static const struct way {
	const char *name;
	void *(*alloc)(void);
	void (*free)(void *p);
} ways[] = {
	{ "malloc, free", by_malloc, free },
	{ "malloc, free by task", by_malloc, by_task },
	{ "malloc, deferred", by_malloc, deferred_malloc },
	{ "cache, deferred", by_cache, deferred },
	{ "cache, at once", by_cache, at_once },
	{ "anyrcu_alloc, deferred", by_alloc, anyrcu_dealloc_deferred },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void *consume(void *arg)
{
	const struct way *w = arg;

	for (unsigned long i = 0; i < OBJECTS; i += BATCH) {
		while (atomic_load_explicit(&head, memory_order_acquire) < i + BATCH)
			sched_yield();
		for (unsigned long j = i; j < i + BATCH; j++)
			w->free(ring[j % SLOTS]);
		atomic_store_explicit(&tail, i + BATCH, memory_order_release);
	}
	return NULL;
}

static void produce(const struct way *w)
{
	for (unsigned long i = 0; i < OBJECTS; i += BATCH) {
		while (i + BATCH - atomic_load_explicit(&tail, memory_order_acquire) > SLOTS)
			sched_yield();
		for (unsigned long j = i; j < i + BATCH; j++) {
			long *p = w->alloc();

			if (!p)
				abort();
			*p = (long)j;
			ring[j % SLOTS] = p;
		}
		atomic_store_explicit(&head, i + BATCH, memory_order_release);
	}
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Until all are freed. */
static double measure(const struct way *w)
{
	pthread_t t;
	double begin;

	atomic_store(&head, 0);
	atomic_store(&tail, 0);
	begin = cpu();
	if (pthread_create(&t, NULL, consume, (void *)w))
		abort();
	produce(w);
	pthread_join(t, NULL);
	anyrcu_barrier();
	return (cpu() - begin) / OBJECTS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	const struct anyrcu_cache_config config = { .size = sizeof(config),
						    .name = "handed over",
						    .object_size = SIZE };
	double ns[WAYS][ROUNDS];

	cache = anyrcu_cache_create(&config);
	if (!cache)
		abort();
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < WAYS; i++)
			ns[i][round] = measure(&ways[i]);
	printf("One thread allocates, another frees; %d bytes; CPU time for each of %d objects,\n"
	       "median (least..most) of %d rounds\n\n",
	       SIZE, OBJECTS, ROUNDS);
	for (size_t i = 0; i < WAYS; i++) {
		qsort(ns[i], ROUNDS, sizeof(double), compare);
		printf("%-30s %6.1f ns (%.1f..%.1f) %5.2fx\n", ways[i].name, ns[i][ROUNDS / 2],
		       ns[i][0], ns[i][ROUNDS - 1], ns[i][ROUNDS / 2] / ns[0][ROUNDS / 2]);
	}
	return anyrcu_cache_destroy(cache);
}
