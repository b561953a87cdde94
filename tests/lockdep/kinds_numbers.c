/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs in which a number, kept under a lock, says whether to wait, in pairs; see
 * kinds.h. They are those of textbooks about semaphores.
 */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>
#include <stdatomic.h>

/* ---- a semaphore that one takes for several ---- */

/*
 * The first reader takes the room for all, the last gives it back. Both need the lock of their
 * number, with the room taken.
 */
static sem_t room;
static int readers;

static noinline void reader_enters(int by)
{
	lock(&a);
	readers += by;
	if (by > 0 && readers == 1)
		sem_wait(&room);
	if (by < 0 && readers == 0)
		sem_post(&room);
	unlock(&a);
}

THREAD(reads_in_room)
{
	reader_enters(1);
	reader_enters(-1);
	return arg;
}

THREAD(writes_in_room)
{
	sem_wait(&room);
	if (wrong)
		lock(&a);
	readers = 0;
	if (wrong)
		unlock(&a);
	sem_post(&room);
	return arg;
}

static void light_switch(void)
{
	sem_init(&room, 0, 1);
	run(reads_in_room, NULL);
	run(writes_in_room, NULL);
}

static atomic_int stage;

static void await(int n)
{
	while (stage < n)
		sched_yield();
}

THREAD(reads_second)
{
	await(1);
	reader_enters(1);
	stage = 2;
	await(3);
	reader_enters(-1);
	stage = 4;
	return arg;
}

/* Another thread gives it back than took it; the next time, one does both. */
THREAD(reads_first)
{
	pthread_t t;

	pthread_create(&t, NULL, reads_second, NULL);
	for (int i = 0; i < 2; i++) {
		reader_enters(1);
		if (i == 0) {
			stage = 1;
			await(2);
		}
		reader_enters(-1);
		if (i == 0) {
			stage = 3;
			await(4);
		}
	}
	pthread_join(t, NULL);
	return arg;
}

static void light_switch_of_two(void)
{
	sem_init(&room, 0, 1);
	run(reads_first, NULL);
	run(writes_in_room, NULL);
	run(reads_in_room, NULL);
}

/* Not a number's lock but another one is taken with the room, and the other way around. */
THREAD(reads_with_b)
{
	reader_enters(1);
	lock(&b);
	unlock(&b);
	reader_enters(-1);
	return arg;
}

THREAD(writes_inside_b)
{
	if (wrong)
		lock(&b);
	sem_wait(&room);
	sem_post(&room);
	if (wrong)
		unlock(&b);
	return arg;
}

static void light_switch_and_lock(void)
{
	sem_init(&room, 0, 1);
	run(reads_with_b, NULL);
	run(writes_inside_b, NULL);
}

/* ---- turnstiles ---- */

enum { PARTIES = 3, ROUNDS = 20 };
static sem_t mutex, into, out;
static int inside;

static void pass(sem_t *turnstile)
{
	sem_wait(turnstile);
	sem_post(turnstile);
}

/* One turnstile is open at a time, and the last that arrives turns that around. */
static noinline void arrive(int by, int last, sem_t *close, sem_t *open)
{
	sem_wait(&mutex);
	lock(&b);
	inside += by;
	unlock(&b);
	if (inside == last) {
		sem_wait(close);
		sem_post(open);
	}
	sem_post(&mutex);
	pass(open);
}

THREAD(meets)
{
	for (int i = 0; i < ROUNDS; i++) {
		arrive(1, PARTIES, &out, &into);
		arrive(-1, 0, &into, &out);
	}
	return arg;
}

THREAD(counts_elsewhere)
{
	lock(&b);
	if (wrong)
		sem_wait(&mutex);
	if (wrong)
		sem_post(&mutex);
	unlock(&b);
	return arg;
}

static void turnstiles(void)
{
	pthread_t t[PARTIES];

	sem_init(&mutex, 0, 1);
	sem_init(&into, 0, 0);
	sem_init(&out, 0, 1);
	for (int i = 0; i < PARTIES; i++)
		pthread_create(&t[i], NULL, meets, NULL);
	for (int i = 0; i < PARTIES; i++)
		pthread_join(t[i], NULL);
	run(counts_elsewhere, NULL);
}

/* Who waits at the turnstile holds what is needed to open it. */
THREAD(opens)
{
	lock(&a);
	unlock(&a);
	sem_post(&into);
	return arg;
}

THREAD(goes_in)
{
	if (wrong)
		lock(&a);
	pass(&into);
	if (wrong)
		unlock(&a);
	return arg;
}

static void turnstile_under_lock(void)
{
	sem_init(&into, 0, 0);
	run(opens, NULL);
	run(goes_in, NULL);
}

static const struct kind kinds[] = {
	KIND(light_switch), KIND(light_switch_of_two),	KIND(light_switch_and_lock),
	KIND(turnstiles),   KIND(turnstile_under_lock),
};
KINDS_MAIN(kinds)
