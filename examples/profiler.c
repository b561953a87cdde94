/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A sampling profiler: the handler of SIGPROF counts in a table, and replaces and frees the table
 * when it is full, while another thread reads it.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#define SAMPLES 4 /* of a table; few, so that it is replaced often */
#define TABLES 20

struct table {
	atomic_int used;
	long sample[SAMPLES];
	struct anyrcu_head rcu;
};

static _Atomic(struct table *) current;
static struct table *stock[TABLES]; /* a handler cannot call malloc() */
static atomic_int replaced, stop;
static atomic_long freed;
static volatile long work;

static void reclaim(struct anyrcu_head *head)
{
	free(anyrcu_container_of(head, struct table, rcu));
	atomic_fetch_add(&freed, 1);
}

static void on_tick(int sig)
{
	struct table *t =
		anyrcu_dereference_protected(current, 1); /* the one handler replaces it */
	int i = atomic_load(&t->used);

	(void)sig;
	if (i < SAMPLES) {
		t->sample[i] = work;
		atomic_store(&t->used, i + 1);
	} else if (replaced < TABLES) {
		anyrcu_assign_pointer(current, stock[replaced]);
		atomic_fetch_add(&replaced, 1);
		anyrcu_call(&t->rcu, reclaim);
	}
}

/* Shows what there is, from a thread that the handler does not interrupt. */
static void *viewer(void *arg)
{
	long *most = arg;

	while (!atomic_load(&stop)) {
		struct table *t;

		anyrcu_read_lock();
		t = anyrcu_dereference(current);
		for (int i = 0; i < atomic_load(&t->used); i++)
			if (t->sample[i] > *most)
				*most = t->sample[i];
		anyrcu_read_unlock();
	}
	return NULL;
}

int main(void)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	pthread_t thread;
	sigset_t prof;
	long most = 0;

	for (int i = 0; i < TABLES; i++)
		stock[i] = calloc(1, sizeof(struct table));
	atomic_store(&current, calloc(1, sizeof(struct table)));
	sigemptyset(&prof);
	sigaddset(&prof, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &prof, NULL); /* threads begin with it */
	pthread_create(&thread, NULL, viewer, &most);
	signal(SIGPROF, on_tick);
	pthread_sigmask(SIG_UNBLOCK, &prof, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	while (atomic_load(&replaced) < TABLES)
		work++; /* what is profiled */
	setitimer(ITIMER_PROF, &never, NULL);
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	anyrcu_barrier();
	printf("%d tables replaced in the handler, %ld freed\n", atomic_load(&replaced),
	       atomic_load(&freed));
	free(atomic_load(&current));
	return 0;
}
