/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * An interface in the style of Open vSwitch's ovs-rcu on anyrcu: threads are readers but where they
 * say that they quiesce, and ovsrcu_postpone() takes any object, never fails, and keeps the order.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the interface ---- */

#define OVSRCU_TYPE(type) _Atomic(type)
#define ovsrcu_get(type, p) anyrcu_dereference(*(p))
#define ovsrcu_set(p, v) anyrcu_assign_pointer(*(p), v)
#define ovsrcu_quiesce_start() anyrcu_thread_offline()
#define ovsrcu_quiesce_end() anyrcu_thread_online()
#define ovsrcu_quiesce() anyrcu_quiescent_state()
#define ovsrcu_postpone(function, arg) postpone((void (*)(void *))(function), arg)

static struct anyrcu_domain *postponed;

static void synchronize(void *arg)
{
	(void)arg;
	anyrcu_synchronize();
}

static void ovsrcu_init(void)
{
	static const struct anyrcu_source source = { .size = sizeof(source),
						     .synchronize = synchronize };

	postponed = anyrcu_domain_create(&source, NULL);
	if (!postponed)
		abort();
}

/* Without memory for the head it waits for readers, of which the caller may be none then. */
static void postpone(void (*function)(void *), void *arg)
{
	anyrcu_domain_call_mightsleep(postponed, function, arg);
}

static void ovsrcu_barrier(void)
{
	ovsrcu_quiesce_start();
	anyrcu_domain_barrier(postponed);
	ovsrcu_quiesce_end();
}

/* ---- a program ---- */

#define UPDATES 5000

struct flow_table {
	long version, check;
};

static OVSRCU_TYPE(struct flow_table *) flows;
static atomic_int stop;
static atomic_long torn;
static long freed, in_order; /* the domain has one worker */

static void free_table(void *p)
{
	struct flow_table *t = p;

	in_order += t->version == freed++;
	t->check = -1;
	free(t);
}

static struct flow_table *table(long version)
{
	struct flow_table *t = malloc(sizeof(*t));

	t->version = t->check = version;
	return t;
}

static void *forward(void *arg)
{
	ovsrcu_quiesce_end();
	while (!atomic_load(&stop)) {
		struct flow_table *t = ovsrcu_get(struct flow_table *, &flows);

		if (t->version != t->check)
			atomic_fetch_add(&torn, 1);
		ovsrcu_quiesce();
	}
	ovsrcu_quiesce_start();
	return arg;
}

int main(void)
{
	pthread_t thread;

	ovsrcu_init();
	ovsrcu_set(&flows, table(0));
	pthread_create(&thread, NULL, forward, NULL);
	ovsrcu_quiesce_end();
	for (long version = 1; version <= UPDATES; version++) {
		struct flow_table *old = ovsrcu_get(struct flow_table *, &flows);

		ovsrcu_set(&flows, table(version));
		ovsrcu_postpone(free_table, old);
		ovsrcu_quiesce();
	}
	ovsrcu_barrier();
	printf("%ld postponed, %ld in order, %ld torn\n", freed, in_order, atomic_load(&torn));
	ovsrcu_quiesce_start();
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	anyrcu_domain_destroy(postponed, NULL);
	free(atomic_load(&flows));
	return 0;
}
