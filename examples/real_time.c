/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A real-time control loop without workers. Each millisecond it publishes a new state, from a pool
 * of its own, defers the old one, and invokes a few callbacks, which give states back to the pool.
 * It allocates nothing, and waits for nobody: not for the thread that displays states, either.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define PERIOD_NS 1000000
#define PUBLISHED 500
#define STATES 64 /* more than the periods that a grace period takes, usually */

ANYRCU_WORKERS_AT_START(-1);

struct state {
	double position, speed;
	double sum; /* of both: the display sees whether they belong together */
	struct state *next; /* in the pool */
	struct anyrcu_head rcu;
};

static struct state states[STATES], *current, *pool; /* the loop alone uses the pool */
static long back;
static atomic_int stop;

static void give_back(struct anyrcu_head *head)
{
	struct state *s = anyrcu_container_of(head, struct state, rcu);

	s->sum = -1;
	s->next = pool;
	pool = s;
	back++;
}

static void control(struct state *next, const struct state *now)
{
	next->speed = now->speed + 0.01 * (1000 - now->position);
	next->position = now->position + 0.001 * next->speed;
	next->sum = next->position + next->speed;
}

/*
 * Returns whether there was a state to publish: there is none while a reader holds all of them up.
 */
static bool cycle(void)
{
	struct state *next = pool, *old = current;

	if (!next)
		return false;
	pool = next->next;
	control(next, old);
	anyrcu_assign_pointer(current, next);
	anyrcu_call(&old->rcu, give_back);
	return true;
}

static void *loop(void *arg)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	for (int published = 0; published < PUBLISHED;) {
		published += cycle();
		anyrcu_reclaim(4); /* four callbacks at most; it does not wait for readers */
		at.tv_nsec += PERIOD_NS;
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	}
	return arg;
}

static void *display(void *arg)
{
	long *torn = arg;

	while (!atomic_load(&stop)) {
		const struct state *s;

		anyrcu_read_lock();
		s = anyrcu_dereference(current);
		*torn += s->sum != s->position + s->speed;
		anyrcu_read_unlock();
	}
	return NULL;
}

/* At a real-time priority, if that is permitted. A real program calls mlockall(), too. */
static int start(pthread_t *thread)
{
	struct sched_param priority = { .sched_priority = 10 };
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &priority);
	err = pthread_create(thread, &attr, loop, NULL);
	pthread_attr_destroy(&attr);
	return err ? pthread_create(thread, NULL, loop, NULL) : 0;
}

int main(void)
{
	/* What is deferred waits for more until it is this old, in microseconds. */
	struct anyrcu_config config = { .size = sizeof(config), .workers = -1, .delay_us = 1000 };
	pthread_t control_loop, shows;
	long torn = 0;

	for (int i = 1; i < STATES; i++) {
		states[i].next = pool;
		pool = &states[i];
	}
	current = &states[0];
	if (anyrcu_init(&config) || pthread_create(&shows, NULL, display, &torn) ||
	    start(&control_loop))
		return 1;
	pthread_join(control_loop, NULL);
	atomic_store(&stop, 1);
	pthread_join(shows, NULL);
	anyrcu_barrier();
	printf("%d states published, %ld back in the pool, %ld torn\n", PUBLISHED, back, torn);
	return 0;
}
