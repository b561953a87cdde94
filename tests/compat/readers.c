/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Readers of a published object, which a writer replaces and poisons. */
#include "flavor.h"

struct config {
	int version, same;
};

static struct config *current;
static int stop;

static void *reader(void *arg)
{
	unsigned long *reads = (unsigned long *)arg;

	rcu_register_thread();
	while (!CMM_LOAD_SHARED(stop) || *reads < 1000) {
		struct config *c;

		rcu_read_lock();
		rcu_read_lock();
		CHECK(rcu_read_ongoing());
		c = rcu_dereference(current);
		CHECK(c->version > 0);
		CHECK(c->same == c->version);
		rcu_read_unlock();
		CHECK(c->same == c->version);
		rcu_read_unlock();
		++*reads;
		rcu_quiescent_state();
		if (*reads % 1000 == 0) {
			rcu_thread_offline();
			caa_cpu_relax();
			rcu_thread_online();
		}
	}
	rcu_unregister_thread();
	return NULL;
}

static struct config *make(int version)
{
	struct config *c = (struct config *)malloc(sizeof(*c));

	CHECK(c);
	c->version = c->same = version;
	return c;
}

static void poison(struct config *c)
{
	c->version = -1;
	c->same = -2;
	free(c);
}

int main(void)
{
	unsigned long reads[2] = { 0, 0 };
	pthread_t t[2];
	struct config *old;

#ifndef FLAVOR_QSBR
	rcu_init();
#endif
	rcu_assign_pointer(current, make(1));
	for (int i = 0; i < 2; i++)
		t[i] = thread_start(reader, &reads[i]);
	for (int i = 2; i < 200; i++) {
		old = rcu_xchg_pointer(&current, make(i));
		CHECK(old->version == i - 1);
		synchronize_rcu();
		poison(old);
	}
	old = current;
	CHECK(rcu_cmpxchg_pointer(&current, (struct config *)NULL, old) == old);
	CHECK(rcu_cmpxchg_pointer(&current, old, make(500)) == old);
	synchronize_rcu();
	poison(old);
	old = current;
	rcu_set_pointer(&current, make(501));
	synchronize_rcu();
	poison(old);
	uatomic_set(&stop, 1);
	for (int i = 0; i < 2; i++)
		thread_join(t[i]);

	rcu_register_thread();
	rcu_read_lock();
	printf("%s: version %d\n", FLAVOR, rcu_dereference(current)->version);
	rcu_read_unlock();
	printf("reading %d\n", !!rcu_read_ongoing());
	rcu_thread_offline();
	printf("offline, reading %d\n", !!rcu_read_ongoing());
	rcu_thread_online();
	/* A thread that is online in qsbr may wait: it counts as quiescent meanwhile. */
	old = current;
	rcu_assign_pointer(current, NULL);
	synchronize_rcu();
	poison(old);
	rcu_unregister_thread();
	printf("done\n");
	return 0;
}
