/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs whose threads hand work to each other and wait, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

static sem_t ping, pong;
static atomic_bool step;

static void await_step(void)
{
	while (!step)
		sched_yield();
}

static struct timespec from_now(long seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	return t;
}

/* ---- semaphores ---- */

THREAD(answers)
{
	for (int i = 0; i < 3; i++) {
		sem_wait(&ping);
		if (i == 0 || !wrong) {
			lock(&a);
			unlock(&a);
		}
		sem_post(&pong);
	}
	return arg;
}

/* A question and its answer, which takes a lock. */
static void baton(void)
{
	pthread_t t;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	pthread_create(&t, NULL, answers, NULL);
	for (int i = 0; i < 3; i++) {
		if (wrong && i == 2)
			lock(&a);
		sem_post(&ping);
		sem_wait(&pong);
		if (wrong && i == 2)
			unlock(&a);
	}
	pthread_join(t, NULL);
}

THREAD(gives_back)
{
	sem_wait(&ping);
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
	sem_post(&pong);
	return arg;
}

/* One takes what another gives back: no order is meant by it, but who waits holds nothing. */
static void given_back_by_other(void)
{
	pthread_t t;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 1);
	sem_wait(&pong);
	pthread_create(&t, NULL, gives_back, NULL);
	sem_post(&ping);
	await_step();
	if (wrong)
		lock(&a);
	sem_wait(&pong);
	if (!wrong)
		lock(&a);
	unlock(&a);
	pthread_join(t, NULL);
}

static sem_t first_sem, second_sem;

THREAD(first_then_second)
{
	sem_wait(&first_sem);
	sem_wait(&second_sem);
	sem_post(&second_sem);
	sem_post(&first_sem);
	return arg;
}

THREAD(second_and_perhaps_first)
{
	sem_wait(&second_sem);
	if (wrong)
		sem_wait(&first_sem);
	if (wrong || sem_trywait(&first_sem) == 0)
		sem_post(&first_sem);
	sem_post(&second_sem);
	return arg;
}

static void tried_semaphore(void)
{
	sem_init(&first_sem, 0, 1);
	sem_init(&second_sem, 0, 1);
	run(first_then_second, NULL);
	run(second_and_perhaps_first, NULL);
}

THREAD(comes_first)
{
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
	sem_post(&ping);
	sem_wait(&pong);
	return arg;
}

/* Each says that it is there before it waits for the other. */
static void rendezvous(void)
{
	pthread_t t;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	pthread_create(&t, NULL, comes_first, NULL);
	await_step();
	if (wrong)
		lock(&a);
	sem_post(&pong);
	sem_wait(&ping);
	if (wrong)
		unlock(&a);
	pthread_join(t, NULL);
}

THREAD(posts_late)
{
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
	sem_post(&ping);
	return arg;
}

/* Who waits with a lock held gives up at last. */
static void timed_event(void)
{
	struct timespec until = from_now(1);
	pthread_t t;

	sem_init(&ping, 0, 0);
	pthread_create(&t, NULL, posts_late, NULL);
	await_step();
	lock(&a);
	if (wrong)
		sem_wait(&ping);
	else
		sem_timedwait(&ping, &until);
	unlock(&a);
	pthread_join(t, NULL);
}

/* ---- conditions ---- */

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int state;

THREAD(changes_state)
{
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
	lock(&b);
	state = 1;
	pthread_cond_broadcast(&changed);
	unlock(&b);
	return arg;
}

static void timed_condition(void)
{
	struct timespec until = from_now(1);
	pthread_t t;

	pthread_create(&t, NULL, changes_state, NULL);
	await_step();
	lock(&a);
	lock(&b);
	while (wrong && !state)
		pthread_cond_wait(&changed, &b);
	while (!wrong && !state && pthread_cond_timedwait(&changed, &b, &until) == 0)
		;
	unlock(&b);
	unlock(&a);
	pthread_join(t, NULL);
}

/* A latch: whoever counts it down has taken a lock before. */
static pthread_cond_t all_done = PTHREAD_COND_INITIALIZER;
static int left = 2;

THREAD(counts_down)
{
	lock(&a);
	unlock(&a);
	step = true;
	if (arg)
		first_sleeps();
	lock(&b);
	if (--left == 0)
		pthread_cond_signal(&all_done);
	unlock(&b);
	return NULL;
}

static void latch(void)
{
	pthread_t t[2];

	pthread_create(&t[0], NULL, counts_down, NULL);
	pthread_join(t[0], NULL);
	step = false;
	pthread_create(&t[1], NULL, counts_down, t);
	await_step();
	if (wrong)
		lock(&a);
	lock(&b);
	while (left)
		pthread_cond_wait(&all_done, &b);
	unlock(&b);
	if (wrong)
		unlock(&a);
	pthread_join(t[1], NULL);
}

/* Threads take turns; the one whose turn it is wakes the next. */
static int turn;

THREAD(takes_turns)
{
	int me = arg != NULL;

	for (int i = 0; i < 3; i++) {
		bool nested = wrong && me && i == 2;

		if (nested) {
			await_step();
			lock(&a);
		}
		lock(&b);
		while (turn != me)
			pthread_cond_wait(&changed, &b);
		unlock(&b);
		if (!nested)
			lock(&a);
		unlock(&a);
		if (!me && i == 2) {
			step = true;
			first_sleeps();
		}
		lock(&b);
		turn = !me;
		pthread_cond_broadcast(&changed);
		unlock(&b);
	}
	return NULL;
}

static void turns(void)
{
	pthread_t t;

	pthread_create(&t, NULL, takes_turns, NULL);
	takes_turns(&a);
	pthread_join(t, NULL);
}

/* A queue with room for one: who puts holds nothing that who takes needs. */
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static int queued;

static void take_out(void)
{
	lock(&b);
	while (!queued)
		pthread_cond_wait(&not_empty, &b);
	queued = 0;
	pthread_cond_signal(&not_full);
	unlock(&b);
}

THREAD(takes_out)
{
	take_out();
	lock(&a);
	unlock(&a);
	step = true;
	while (step)
		sched_yield();
	first_sleeps();
	take_out();
	return arg;
}

static void put_in(void)
{
	lock(&b);
	while (queued)
		pthread_cond_wait(&not_full, &b);
	queued = 1;
	pthread_cond_signal(&not_empty);
	unlock(&b);
}

static void full_queue(void)
{
	pthread_t t;

	pthread_create(&t, NULL, takes_out, NULL);
	put_in();
	await_step();
	put_in();
	if (wrong)
		lock(&a);
	step = false;
	put_in();
	if (wrong)
		unlock(&a);
	pthread_join(t, NULL);
}

/* ---- joins ---- */

THREAD(ends_soon)
{
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
	return arg;
}

static void timed_join(void)
{
	struct timespec until = from_now(2);
	pthread_t t;

	pthread_create(&t, NULL, ends_soon, NULL);
	await_step();
	lock(&a);
	if (wrong)
		pthread_join(t, NULL);
	else if (pthread_timedjoin_np(t, NULL, &until) != 0)
		abort();
	unlock(&a);
}

THREAD(joins)
{
	lock(&b);
	if (!wrong)
		unlock(&b);
	pthread_join(*(pthread_t *)arg, NULL);
	if (wrong)
		unlock(&b);
	return NULL;
}

THREAD(b_before_end)
{
	lock(&b);
	unlock(&b);
	step = true;
	first_sleeps();
	return arg;
}

/* The end of a thread is waited for by another than who started it. */
static void joined_by_other(void)
{
	pthread_t worker;

	pthread_create(&worker, NULL, b_before_end, NULL);
	await_step();
	run(joins, &worker);
}

/* ---- a pool ---- */

struct task {
	void (*f)(void);
	sem_t done;
	struct task *next;
};

static struct task *tasks;
static sem_t ntasks;

THREAD(works)
{
	for (;;) {
		struct task *t;

		sem_wait(&ntasks);
		lock(&b);
		t = tasks;
		if (t)
			tasks = t->next;
		unlock(&b);
		if (!t)
			return arg;
		t->f();
		sem_post(&t->done);
	}
}

static void task(void)
{
	lock(&a);
	unlock(&a);
	step = true;
	first_sleeps();
}

static void submit(struct task *t)
{
	sem_init(&t->done, 0, 0);
	t->f = task;
	lock(&b);
	t->next = tasks;
	tasks = t;
	unlock(&b);
	sem_post(&ntasks);
}

static void pool_task(void)
{
	struct task one;
	pthread_t t;

	sem_init(&ntasks, 0, 0);
	pthread_create(&t, NULL, works, NULL);
	submit(&one);
	await_step();
	if (wrong)
		lock(&a);
	sem_wait(&one.done);
	if (wrong)
		unlock(&a);
	sem_post(&ntasks);
	pthread_join(t, NULL);
}

static const struct kind kinds[] = {
	KIND(baton),	   KIND(given_back_by_other), KIND(tried_semaphore), KIND(rendezvous),
	KIND(timed_event), KIND(timed_condition),     KIND(latch),	     KIND(turns),
	KIND(full_queue),  KIND(timed_join),	      KIND(joined_by_other), KIND(pool_task),
};
KINDS_MAIN(kinds)
