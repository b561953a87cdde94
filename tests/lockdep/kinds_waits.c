/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that wait with locks held, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <poll.h>
#include <semaphore.h>

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int state;
static sem_t up;
static int flag; /* so far, of the other thread */

static void set(void)
{
	__atomic_store_n(&flag, 1, __ATOMIC_RELEASE);
}

static void wait_for_flag(void)
{
	while (!__atomic_load_n(&flag, __ATOMIC_ACQUIRE))
		sched_yield();
}

THREAD(waits_with_a)
{
	if (wrong)
		lock(&a);
	lock(&b);
	set();
	while (!state)
		pthread_cond_wait(&cond, &b);
	unlock(&b);
	if (wrong)
		unlock(&a);
	return arg;
}

THREAD(signals_after_a)
{
	lock(&a);
	unlock(&a);
	sem_post(&up);
	wait_for_flag();
	lock(&b);
	state = 1;
	pthread_cond_signal(&cond);
	unlock(&b);
	return arg;
}

THREAD(takes_a)
{
	lock(&a);
	unlock(&a);
	set();
	return arg;
}

static void join(void)
{
	pthread_t t;

	pthread_create(&t, NULL, takes_a, NULL);
	wait_for_flag();
	lock(wrong ? &a : &b);
	pthread_join(t, NULL);
	unlock(wrong ? &a : &b);
}

THREAD(semaphore_then_b)
{
	sem_wait(&up);
	lock(&b);
	unlock(&b);
	sem_post(&up);
	return arg;
}

THREAD(b_then_semaphore)
{
	if (wrong)
		lock(&b);
	sem_wait(&up);
	sem_post(&up);
	if (wrong)
		unlock(&b);
	return arg;
}

static void semaphore_as_lock(void)
{
	sem_init(&up, 0, 1);
	run(semaphore_then_b, NULL);
	run(b_then_semaphore, NULL);
}

THREAD(posts)
{
	if (wrong) {
		lock(&a);
		unlock(&a);
	}
	sem_post(&up);
	set();
	return arg;
}

static void semaphore_as_event(void)
{
	pthread_t t;

	sem_init(&up, 0, 0);
	pthread_create(&t, NULL, posts, NULL);
	wait_for_flag();
	lock(&a);
	sem_wait(&up);
	unlock(&a);
	pthread_join(t, NULL);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_with_a(void)
{
	lock(&a);
	unlock(&a);
}

THREAD(once_alone)
{
	pthread_once(&once, init_with_a);
	return arg;
}

THREAD(once_with_a)
{
	lock(wrong ? &a : &b);
	pthread_once(&once, init_with_a);
	unlock(wrong ? &a : &b);
	return arg;
}

static void once_under_lock(void)
{
	run(once_alone, NULL);
	run(once_with_a, NULL);
}

static pthread_barrier_t barrier;

THREAD(at_barrier)
{
	lock(&a);
	unlock(&a);
	set();
	pthread_barrier_wait(&barrier);
	return arg;
}

THREAD(holds_at_barrier)
{
	wait_for_flag();
	if (wrong)
		lock(&a);
	pthread_barrier_wait(&barrier);
	if (wrong)
		unlock(&a);
	return arg;
}

static void at_a_barrier(void)
{
	pthread_t t;

	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&t, NULL, at_barrier, NULL);
	run(holds_at_barrier, NULL);
	pthread_join(t, NULL);
}

/* Writes to the stream come to a function of ours, which takes a. */
static ssize_t write_with_a(void *cookie, const char *p, size_t n)
{
	(void)cookie, (void)p;
	lock(&a);
	unlock(&a);
	return n;
}

static FILE *stream;

THREAD(write_stream)
{
	fputs("x\n", stream);
	fflush(stream);
	return arg;
}

THREAD(write_stream_with_a)
{
	lock(wrong ? &a : &b);
	flockfile(stream);
	funlockfile(stream);
	unlock(wrong ? &a : &b);
	return arg;
}

static void stream_under_lock(void)
{
	stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_with_a });
	run(write_stream, NULL);
	run(write_stream_with_a, NULL);
}

static void condition_with_lock(void)
{
	pthread_t waiter, signaller;

	pthread_create(&signaller, NULL, signals_after_a, NULL);
	sem_wait(&up);
	pthread_create(&waiter, NULL, waits_with_a, NULL);
	pthread_join(waiter, NULL);
	pthread_join(signaller, NULL);
}

static const struct kind kinds[] = {
	KIND(condition_with_lock), KIND(join),
	KIND(semaphore_as_lock),   KIND(semaphore_as_event),
	KIND(once_under_lock),	   KIND(at_a_barrier),
	KIND(stream_under_lock),
};
KINDS_MAIN(kinds)
