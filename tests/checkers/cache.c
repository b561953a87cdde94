/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Objects of caches under other people's checkers. The program is right, and nothing is reported:
 * threads replace what readers read, without atomics; objects point to what malloc() has returned,
 * and some are pending when the process ends.
 *
 * usage: cache [MISTAKE]	makes one mistake, which the checker must report
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 3
#define ROUNDS 1000

struct object {
	long value, copy;
	char *name; /* in memory of malloc() */
	char text[36];
};

static struct anyrcu_cache *cache;
static struct object *current;
static anyrcu_mutex_t updating = ANYRCU_MUTEX_INIT;

static struct object *object_new(long value)
{
	struct object *o = anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL);

	if (!o)
		abort();
	memset(o, 0, sizeof(*o));
	o->value = o->copy = value;
	return o;
}

static void lookup(void)
{
	struct object *o;

	anyrcu_read_lock();
	o = anyrcu_dereference(current);
	if (o->value != o->copy)
		abort();
	anyrcu_read_unlock();
}

static void *works(void *arg)
{
	long n = (long)arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct object *old, *new = object_new(n * ROUNDS + i);
		char *any = anyrcu_alloc(i % 300 + 1, ANYRCU_GFP_KERNEL);

		lookup();
		anyrcu_mutex_lock(&updating);
		old = anyrcu_dereference_protected(current, 1);
		anyrcu_assign_pointer(current, new);
		anyrcu_mutex_unlock(&updating);
		anyrcu_cache_free_deferred(cache, old);
		anyrcu_cache_free(cache, object_new(i));
		memset(any, i, i % 300 + 1);
		if (i % 3)
			anyrcu_dealloc_deferred(any);
		else
			anyrcu_dealloc(any);
		if (i % 300 == 0)
			anyrcu_cache_shrink(cache);
	}
	return NULL;
}

static void make_mistake(const char *name)
{
	struct object *o = object_new(1);
	char *volatile any = anyrcu_alloc(100, ANYRCU_GFP_KERNEL);
	volatile long sum = 0;

	if (!strcmp(name, "matured")) {
		anyrcu_cache_free_deferred(cache, o);
		anyrcu_cache_shrink(cache);
		sum += o->value;
	} else if (!strcmp(name, "given-back")) { /* all of their slabs */
		static struct object *many[5000];

		for (int i = 0; i < 5000; i++)
			many[i] = object_new(i);
		for (int i = 0; i < 5000; i++)
			anyrcu_cache_free_deferred(cache, many[i]);
		anyrcu_cache_shrink(cache);
		sum += many[2500]->value;
	} else if (!strcmp(name, "freed")) {
		anyrcu_cache_free(cache, o);
		sum += o->value;
	} else if (!strcmp(name, "beyond")) {
		sum += ((volatile char *)o)[sizeof(*o)];
	} else if (!strcmp(name, "before")) {
		sum += ((volatile char *)o)[-1];
	} else if (!strcmp(name, "beyond-any")) {
		sum += any[100];
	} else { /* "pending": it is right until the grace period is over */
		anyrcu_read_lock();
		anyrcu_cache_free_deferred(cache, o);
		sum += o->value;
		anyrcu_read_unlock();
		anyrcu_dealloc_deferred(any);
	}
}

int main(int argc, char **argv)
{
	const struct anyrcu_cache_config config = { .size = sizeof(config),
						    .name = "checked",
						    .object_size = sizeof(struct object) };
	pthread_t t[THREADS];

	cache = anyrcu_cache_create(&config);
	if (!cache)
		return 2;
	anyrcu_assign_pointer(current, object_new(-1));
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, works, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	current->name = strdup("not lost");
	for (int i = 0; i < 100; i++)
		anyrcu_cache_free_deferred(cache, object_new(i));
	make_mistake(argc > 1 ? argv[1] : "pending");
	printf("%ld\n", current->value);
	return 0;
}
