/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A correct program for liburcu, recompiled: the default helper and one of the program's own,
 * barriers, defer_rcu(), and a list that is read while it changes. Callbacks use what the deferring
 * thread and readers used, and the program uses what callbacks counted. With "race" it looks at
 * that count without a barrier.
 */
#define _LGPL_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <urcu.h>
#include <urcu/rculist.h>

#define ROUNDS 200

struct node {
	int value;
	struct cds_list_head list;
	struct rcu_head rcu;
};

static CDS_LIST_HEAD(nodes);
static struct node *current;
static long freed, deferred;

static void free_node(struct rcu_head *head)
{
	struct node *n = caa_container_of(head, struct node, rcu);

	freed++;
	n->value = -1;
	free(n);
}

static void free_value(void *p)
{
	deferred++;
	*(int *)p = -1;
	free(p);
}

static struct node *new_node(int value)
{
	struct node *n = malloc(sizeof(*n));

	n->value = value;
	return n;
}

static void *reader(void *arg)
{
	long sum = 0;
	struct node *n;

	rcu_register_thread();
	for (int i = 0; i < 20 * ROUNDS; i++) {
		rcu_read_lock();
		n = rcu_dereference(current);
		sum += n ? n->value : 0;
		cds_list_for_each_entry_rcu(n, &nodes, list)
		{
			sum += n->value;
		}
		rcu_read_unlock();
	}
	rcu_unregister_thread();
	*(long *)arg = sum;
	return NULL;
}

/* By one helper alone, as callbacks of two may run at the same time. */
static void update(int round)
{
	struct node *n = new_node(round), *old = rcu_xchg_pointer(&current, n);
	int *value = malloc(sizeof(*value));

	if (old)
		call_rcu(&old->rcu, free_node);
	n = new_node(round);
	cds_list_add_rcu(&n->list, &nodes);
	if (round % 50 >= 3) {
		n = cds_list_entry(nodes.prev, struct node, list);
		cds_list_del_rcu(&n->list);
		call_rcu(&n->rcu, free_node);
	}
	*value = round;
	defer_rcu(free_value, value);
	if (round % 50 == 0) {
		usleep(50000); /* the thread of defer_rcu() is at it */
		rcu_barrier();
		rcu_defer_barrier();
		freed++;
		deferred++;
	}
}

int main(int argc, char **argv)
{
	pthread_t thread, helper;
	struct call_rcu_data *own;
	struct node *n, *next;
	long sum;

	(void)argv;
	rcu_register_thread();
	rcu_defer_register_thread();
	pthread_create(&thread, NULL, reader, &sum);
	for (int i = 0; i < ROUNDS; i++)
		update(i);
	rcu_barrier();
	own = create_call_rcu_data(0, -1);
	set_thread_call_rcu_data(own);
	for (int i = 0; i < ROUNDS; i++)
		update(i);
	pthread_join(thread, NULL);
	if (argc > 1) {
		call_rcu(&current->rcu, free_node);
		current = NULL;
		usleep(200000);
		freed++; /* which races */
	}
	set_thread_call_rcu_data(NULL);
	helper = get_call_rcu_thread(own);
	call_rcu_data_free(own);
	pthread_join(helper, NULL); /* or memcheck might still find its thread */
	freed++;
	cds_list_for_each_entry_safe(n, next, &nodes, list)
	{
		free(n);
	}
	free(current);
	rcu_defer_barrier();
	rcu_defer_unregister_thread();
	rcu_unregister_thread();
	return 0;
}
