/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * An application that has readers of its own making, told apart by an epoch counter, and gives
 * anyrcu what they leave behind: the counter is the grace-period source of a domain.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define READERS 3
#define UPDATES 10000

/* A reader says in which epoch it began; 0: it does not read. */
static atomic_ulong epoch = 1, reads_in[READERS];

static void enter(int reader)
{
	atomic_store(&reads_in[reader], atomic_load(&epoch));
	/* before what it reads; pairs with that in wait_for_readers() */
	atomic_thread_fence(memory_order_seq_cst);
}

static void leave(int reader)
{
	atomic_store_explicit(&reads_in[reader], 0, memory_order_release);
}

/* The source: who reads in an epoch before the new one may see what was replaced before now. */
static void wait_for_readers(void *arg)
{
	unsigned long now;

	atomic_thread_fence(memory_order_seq_cst);
	now = atomic_fetch_add(&epoch, 1) + 1;
	for (int i = 0; i < READERS; i++) {
		unsigned long in;

		while ((in = atomic_load(&reads_in[i])) && in < now)
			sched_yield();
	}
	(void)arg;
}

struct config {
	struct anyrcu_head head;
	long version, twice;
};

static _Atomic(struct config *) current;
static atomic_int stop;
static long freed;

static void free_config(struct anyrcu_head *head)
{
	struct config *c = (struct config *)head;

	c->version = c->twice = -1; /* a reader that still sees it notices */
	free(c);
	freed++; /* there is one worker */
}

static void *reader(void *arg)
{
	int me = (int)(size_t)arg;

	while (!atomic_load(&stop)) {
		struct config *c;

		enter(me);
		c = atomic_load_explicit(&current, memory_order_acquire);
		if (c->version < 0 || c->twice != 2 * c->version)
			abort();
		leave(me);
	}
	return NULL;
}

static struct config *make(long version)
{
	struct config *c = malloc(sizeof(*c));

	c->version = version;
	c->twice = 2 * version;
	return c;
}

int main(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = wait_for_readers };
	struct anyrcu_domain *domain = anyrcu_domain_create(&source, NULL);
	pthread_t thread[READERS];

	if (!domain)
		return 1;
	atomic_store(&current, make(0));
	for (int i = 0; i < READERS; i++)
		pthread_create(&thread[i], NULL, reader, (void *)(size_t)i);
	for (long version = 1; version <= UPDATES; version++) {
		struct config *old = atomic_exchange(&current, make(version));

		anyrcu_domain_call(domain, &old->head, free_config);
	}
	anyrcu_domain_barrier(domain);
	printf("%ld of %d freed\n", freed, UPDATES);
	atomic_store(&stop, 1);
	for (int i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	anyrcu_domain_destroy(domain, NULL);
	free(atomic_load(&current));
	return 0;
}
