/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* defer_rcu(): order, and its barriers. */
#include "flavor.h"

static long next_expected[3], out_of_order, called;

struct item {
	long thread, number;
};

static void in_order(void *p)
{
	struct item *i = (struct item *)p;

	if (next_expected[i->thread]++ != i->number)
		out_of_order++;
	called++; /* without atomics: never two at once */
	free(i);
}

static void defer(long thread, long number)
{
	struct item *i = (struct item *)malloc(sizeof(*i));

	CHECK(i);
	i->thread = thread;
	i->number = number;
	defer_rcu(in_order, i);
}

static void *deferrer(void *arg)
{
	long me = *(long *)arg;

	rcu_register_thread();
	/*
	 * in qsbr two threads that are online and find their queues full wait for each other, in
	 * liburcu
	 */
	rcu_thread_offline();
	CHECK(!rcu_defer_register_thread());
	for (long i = 0; i < 20000; i++) /* more than a queue of either library holds */
		defer(me, i);
	rcu_defer_unregister_thread();
	CHECK(next_expected[me] == 20000);
	rcu_unregister_thread();
	return NULL;
}

int main(void)
{
	long number[2] = { 1, 2 };
	pthread_t t[2];

	rcu_register_thread();
	CHECK(!rcu_defer_register_thread());
	printf("%s\n", FLAVOR);
	for (long i = 0; i < 10; i++)
		defer(0, i);
	rcu_defer_barrier_thread();
	printf("mine: %ld\n", called);
	rcu_thread_offline();
	for (int i = 0; i < 2; i++)
		t[i] = thread_start(deferrer, &number[i]);
	for (int i = 0; i < 2; i++)
		thread_join(t[i]);
	for (long i = 10; i < 100; i++)
		defer(0, i);
	rcu_defer_barrier();
	printf("all: %ld\n", called);
	defer(0, 100);
	for (int i = 0; i < 10000 && CMM_LOAD_SHARED(called) < 40101; i++)
		usleep(1000);
	printf("by itself: %ld\n", called);
	defer(0, 101);
	rcu_defer_unregister_thread();
	printf("at the end: %ld, out of order %ld\n", called, out_of_order);
	rcu_unregister_thread();
	return 0;
}
