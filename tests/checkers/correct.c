/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A correct program for other people's checkers, which must report nothing. Each object is written
 * without atomics before it is published, read without them in a section, and written again by its
 * callback; what orders these is the library alone.
 *
 * usage: correct [race | leak]	makes one mistake, which the checker must still report
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS 3
#define ROUNDS 300

struct object {
	long value;
	struct anyrcu_head head; /* not first, so that pages hold pointers into the object */
	long copies[4];
};

static struct object *current;
static anyrcu_mutex_t updating = ANYRCU_MUTEX_INIT;
static anyrcu_spinlock_t counting = ANYRCU_SPINLOCK_INIT;
static anyrcu_raw_spinlock_t counting_raw = ANYRCU_RAW_SPINLOCK_INIT;
static anyrcu_rwlock_t table = ANYRCU_RWLOCK_INIT;
static long counted, counted_raw, table_version;
static long invoked;
static struct anyrcu_domain *domain;

static struct object *object_new(long value)
{
	struct object *o = malloc(sizeof(*o));

	o->value = value;
	for (int i = 0; i < 4; i++)
		o->copies[i] = value;
	return o;
}

static struct object *object_of(struct anyrcu_head *head)
{
	return (struct object *)((char *)head - offsetof(struct object, head));
}

static void finish(void *arg)
{
	struct object *o = arg;

	if (o->copies[0] == o->value)
		__atomic_fetch_add(&invoked, 1, __ATOMIC_RELAXED); /* not only one worker invokes */
	memset(o->copies, 0, sizeof(o->copies));
	free(o);
}

static void finish_head(struct anyrcu_head *head)
{
	finish(object_of(head));
}

static void defer(struct object *o, unsigned how)
{
	switch (how % 7) {
	case 0:
		anyrcu_call(&o->head, finish_head);
		break;
	case 1:
		anyrcu_free(o, head);
		break;
	case 2:
		if (!anyrcu_call_headless(finish, o))
			anyrcu_call(&o->head, finish_head);
		break;
	case 3:
		if (!anyrcu_free_headless(o))
			anyrcu_free(o, head);
		break;
	case 4:
		anyrcu_call_mightsleep(finish, o);
		break;
	case 5:
		anyrcu_domain_call(domain, &o->head, finish_head);
		break;
	default:
		anyrcu_synchronize();
		memset(o, 0, sizeof(*o));
		free(o);
	}
}

static void lookup(void)
{
	struct object *o;

	anyrcu_read_lock();
	o = anyrcu_dereference(current);
	for (int i = 0; i < 4; i++)
		if (o->copies[i] != o->value)
			abort();
	anyrcu_read_unlock();
}

static void *works(void *arg)
{
	long n = (long)arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct object *old;
		anyrcu_gp_t gp;

		lookup();
		anyrcu_mutex_lock(&updating);
		old = anyrcu_dereference_protected(current, 1);
		anyrcu_assign_pointer(current, object_new(n * ROUNDS + i));
		anyrcu_mutex_unlock(&updating);
		defer(old, i);

		anyrcu_spin_lock(&counting);
		counted++;
		anyrcu_spin_unlock(&counting);
		anyrcu_raw_spin_lock(&counting_raw);
		counted_raw++;
		anyrcu_raw_spin_unlock(&counting_raw);
		anyrcu_rwlock_read_lock(&table);
		n += table_version & 0;
		anyrcu_rwlock_read_unlock(&table);
		anyrcu_rwlock_write_lock(&table);
		table_version++;
		anyrcu_rwlock_write_unlock(&table);

		if (i % 50 == 0) {
			long *page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);

			memset(page, i, 4096);
			anyrcu_page_free(page, 0);
			gp = anyrcu_gp_start();
			while (!anyrcu_gp_done(gp))
				anyrcu_gp_wait(gp);
		}
	}
	return NULL;
}

/* The domain's readers are anyrcu's too. */
static void synchronize(void *arg)
{
	anyrcu_synchronize();
}

static void *thread_online(void *arg)
{
	anyrcu_thread_online();
	for (int i = 0; i < ROUNDS; i++) {
		lookup();
		anyrcu_quiescent_state();
	}
	anyrcu_thread_offline();
	return NULL;
}

/* Nothing orders the callback's access and the one that follows it. */
static long raced;
static int has_raced;

static void races(void *arg)
{
	raced++;
	__atomic_store_n(&has_raced, 1, __ATOMIC_RELAXED);
}

static void race(void)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	anyrcu_call_mightsleep(races, NULL);
	while (!__atomic_load_n(&has_raced, __ATOMIC_RELAXED))
		nanosleep(&ms, NULL);
	raced++;
}

int main(int argc, char **argv)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	const char *mistake = argc > 1 ? argv[1] : "";
	pthread_t t[THREADS + 1];

	domain = anyrcu_domain_create(&source, NULL);
	if (!domain)
		return 2;
	anyrcu_assign_pointer(current, object_new(-1));
	pthread_create(&t[THREADS], NULL, thread_online, NULL);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, works, (void *)i);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(t[i], NULL);
	anyrcu_domain_destroy(domain, NULL);
	anyrcu_barrier();
	/* These are pending when the process ends. */
	anyrcu_read_lock();
	for (int i = 0; i < 100; i++)
		defer(object_new(i), i % 4);
	anyrcu_read_unlock();
	if (!strcmp(mistake, "leak"))
		current = NULL;
	if (!strcmp(mistake, "race"))
		race();
	printf("%ld\n", __atomic_load_n(&invoked, __ATOMIC_RELAXED));
	return 0;
}
