/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The hash table of liburcu-cds, resized under readers. */
#include "flavor.h"
#include <urcu/rculfhash.h>

struct item {
	int key, value;
	struct cds_lfht_node node;
	struct rcu_head rcu;
};

static struct cds_lfht *table;
static int stop;

static unsigned long hash(int key)
{
	return (unsigned long)key * 0x9e3779b97f4a7c15UL;
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct item, node)->key == *(const int *)key;
}

static struct item *make(int key, int value)
{
	struct item *i = (struct item *)calloc(1, sizeof(*i));

	CHECK(i);
	cds_lfht_node_init(&i->node);
	i->key = key;
	i->value = value;
	return i;
}

static void poison(struct rcu_head *head)
{
	struct item *i = caa_container_of(head, struct item, rcu);

	i->key = i->value = -1;
	free(i);
}

static void *reader(void *arg)
{
	long *found = (long *)arg;

	rcu_register_thread();
	while (!uatomic_read(&stop) || *found < 100) {
		for (int key = 0; key < 100; key++) {
			struct cds_lfht_iter iter;
			struct cds_lfht_node *node;

			rcu_read_lock();
			cds_lfht_lookup(table, hash(key), match, &key, &iter);
			node = cds_lfht_iter_get_node(&iter);
			CHECK(node);
			CHECK(caa_container_of(node, struct item, node)->value >= key);
			rcu_read_unlock();
			++*found;
		}
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

int main(void)
{
	long found = 0, before, after;
	unsigned long count;
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	struct item *i;
	pthread_t t;
	int key, n = 0, same = 0, deleted = 0;

	rcu_register_thread();
	table = cds_lfht_new(1, 1, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	CHECK(table);
	for (key = 0; key < 100; key++) {
		rcu_read_lock();
		cds_lfht_add(table, hash(key), &make(key, key)->node);
		rcu_read_unlock();
	}
	t = thread_start(reader, &found);
	for (key = 100; key < 20000; key++) {
		i = make(key, 0);
		rcu_read_lock();
		node = cds_lfht_add_unique(table, hash(key), match, &key, &i->node);
		CHECK(node == &i->node);
		if (key % 2) {
			CHECK(!cds_lfht_del(table, &i->node));
			CHECK(cds_lfht_is_node_deleted(&i->node));
			call_rcu(&i->rcu, poison);
		}
		rcu_read_unlock();
		if (key % 100 == 0) { /* one that the reader looks for */
			int old = key / 100 % 100;

			i = make(old, key);
			rcu_read_lock();
			node = cds_lfht_add_replace(table, hash(old), match, &old, &i->node);
			rcu_read_unlock();
			CHECK(node);
			call_rcu(&caa_container_of(node, struct item, node)->rcu, poison);
		}
		rcu_quiescent_state();
	}
	uatomic_set(&stop, 1);
	rcu_thread_offline();
	thread_join(t);
	rcu_thread_online();

	key = 7;
	rcu_read_lock();
	cds_lfht_add(table, hash(key), &make(key, 1)->node);
	cds_lfht_for_each_entry_duplicate(table, hash(key), match, &key, &iter, i, node) same++;
	cds_lfht_for_each_duplicate(table, hash(key), match, &key, &iter, node) same++;
	cds_lfht_for_each(table, &iter, node) n++;
	cds_lfht_count_nodes(table, &before, &count, &after);
	rcu_read_unlock();
	printf("%s: %d, counted %lu, the same %d\n", FLAVOR, n, count, same);

	rcu_read_lock();
	cds_lfht_for_each_entry(table, &iter, i, node)
	{
		if (!cds_lfht_del(table, cds_lfht_iter_get_node(&iter))) {
			call_rcu(&i->rcu, poison);
			deleted++;
		}
	}
	rcu_read_unlock();
	printf("deleted %d\n", deleted);
	rcu_thread_offline(); /* it waits for who resizes the table, who waits for a grace period */
	printf("destroyed %d\n", cds_lfht_destroy(table, NULL));
	rcu_thread_online();
	/*
	 * By hand, in a table that is not resized by itself: in qsbr, liburcu-cds 0.13 waits for
	 * ever when the two meet.
	 */
	table = cds_lfht_new_flavor(64, 64, 0, 0, &rcu_flavor, NULL);
	CHECK(table);
	cds_lfht_resize(table, 1024);
	cds_lfht_resize(table, 16);
	printf("destroyed %d\n", cds_lfht_destroy(table, NULL));
	rcu_barrier();
	rcu_unregister_thread();
	return 0;
}
