/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The lists, with readers and without. */
#include "flavor.h"
#include <urcu/hlist.h>
#include <urcu/list.h>
#include <urcu/rcuhlist.h>
#include <urcu/rculist.h>

struct item {
	int n;
	struct cds_list_head list;
	struct cds_hlist_node hash;
	struct rcu_head rcu;
};

static struct item *make(int n)
{
	struct item *i = (struct item *)calloc(1, sizeof(*i));

	CHECK(i);
	i->n = n;
	return i;
}

static void show(const char *what, struct cds_list_head *head)
{
	struct item *i;

	printf("%s:", what);
	cds_list_for_each_entry(i, head, list) printf(" %d", i->n);
	printf(" |");
	cds_list_for_each_entry_reverse(i, head, list) printf(" %d", i->n);
	printf("\n");
}

static void lists(void)
{
	CDS_LIST_HEAD(a);
#ifdef __cplusplus
	CDS_LIST_HEAD(c); /* liburcu's initialiser is for C alone */
#else
	struct cds_list_head c = CDS_LIST_HEAD_INIT(c);
#endif
	struct cds_list_head b, *at, *after;
	struct item *i, *n, *extra;

	CDS_INIT_LIST_HEAD(&b);
	CHECK(cds_list_empty(&a) && cds_list_empty(&b) && cds_list_empty(&c));
	for (int k = 1; k <= 3; k++) {
		cds_list_add(&make(k)->list, &a);
		cds_list_add_tail(&make(k + 10)->list, &b);
	}
	show("a", &a);
	show("b", &b);
	cds_list_splice(&b, &a);
	show("a and b", &a);
	i = cds_list_first_entry(&a, struct item, list);
	cds_list_move(&i->list, &c);
	show("c", &c);
	extra = make(42);
	i = cds_list_entry(a.next, struct item, list);
	cds_list_replace(&i->list, &extra->list);
	free(i);
	show("replaced", &a);
	cds_list_for_each(at, &a) printf("%d ", cds_list_entry(at, struct item, list)->n);
	cds_list_for_each_prev(at, &a) printf("%d ", cds_list_entry(at, struct item, list)->n);
	printf("\n");
	cds_list_for_each_safe(at, after, &c)
	{
		cds_list_del(at);
		free(cds_list_entry(at, struct item, list));
	}
	CHECK(cds_list_empty(&c));
	i = extra;
	cds_list_for_each_entry_safe_from(i, n, &a, list)
	{
		if (i->n % 2) {
			cds_list_del_init(&i->list);
			CHECK(cds_list_empty(&i->list));
			free(i);
		}
	}
	show("even", &a);
	cds_list_for_each_prev_safe(at, after, &a)
	{
		if (cds_list_entry(at, struct item, list)->n == 2) {
			__cds_list_del(at->prev, at->next);
			free(cds_list_entry(at, struct item, list));
		}
	}
	i = make(7);
	cds_list_replace_init(&extra->list, &i->list);
	CHECK(cds_list_empty(&extra->list));
	free(extra);
	show("last", &a);
	cds_list_for_each_entry_safe(i, n, &a, list)
	{
		cds_list_del(&i->list);
		free(i);
	}
	show("none", &a);
}

static void hash_lists(void)
{
	CDS_HLIST_HEAD(h);
	struct cds_hlist_head other = CDS_HLIST_HEAD_INIT(other);
	struct cds_hlist_node *at, *after;
	struct item *i, *n;

	CDS_INIT_HLIST_HEAD(&h);
	CHECK(!other.next);
	for (int k = 1; k <= 5; k++)
		cds_hlist_add_head(&make(k)->hash, &h);
	cds_hlist_for_each(at, &h) printf("%d ", cds_hlist_entry(at, struct item, hash)->n);
	cds_hlist_for_each_entry(i, at, &h, hash) printf("%d ", i->n);
#ifndef __cplusplus
	cds_hlist_for_each_entry_2(i, &h, hash) printf("%d ", i->n);
	cds_hlist_for_each_entry_safe_2(i, n, &h, hash) printf("%d ", i->n);
#endif
	(void)n;
	printf("\n");
	cds_hlist_for_each_entry_safe(i, at, after, &h, hash)
	{
		if (i->n % 2) {
			cds_hlist_del(&i->hash);
			free(i);
		}
	}
	cds_hlist_for_each_entry(i, at, &h, hash) printf("%d ", i->n);
	printf("\n");
	cds_hlist_for_each_safe(at, after, &h)
	{
		cds_hlist_del(at);
		free(cds_hlist_entry(at, struct item, hash));
	}
	CHECK(!h.next);
}

static CDS_LIST_HEAD(shared);
static CDS_HLIST_HEAD(shared_hash);
static int stop;

static void *reader(void *arg)
{
	long *passes = (long *)arg;

	rcu_register_thread();
	while (!uatomic_read(&stop) || *passes < 100) {
		struct cds_list_head *at;
		struct cds_hlist_node *node;
		struct item *i;
		int n = 0;

		rcu_read_lock();
		cds_list_for_each_rcu(at, &shared) n +=
			cds_list_entry(at, struct item, list)->n > 0;
		cds_list_for_each_entry_rcu(i, &shared, list) CHECK(i->n > 0);
		cds_hlist_for_each_rcu(node, &shared_hash) n +=
			cds_hlist_entry(node, struct item, hash)->n > 0;
		cds_hlist_for_each_entry_rcu(i, node, &shared_hash, hash) CHECK(i->n > 0);
#ifndef __cplusplus
		cds_hlist_for_each_entry_rcu_2(i, &shared_hash, hash) CHECK(i->n > 0);
#endif
		CHECK(n > 0);
		rcu_read_unlock();
		rcu_quiescent_state();
		++*passes;
	}
	rcu_unregister_thread();
	return NULL;
}

static void poison(struct rcu_head *head)
{
	struct item *i = caa_container_of(head, struct item, rcu);

	i->n = -1;
	free(i);
}

static void with_readers(void)
{
	long passes = 0;
	struct item *i, *first = make(1), *n;
	pthread_t t;
	int left = 0;

	cds_list_add_rcu(&first->list, &shared);
	cds_hlist_add_head_rcu(&first->hash, &shared_hash);
	t = thread_start(reader, &passes);
	for (int k = 2; k < 2000; k++) {
		i = make(k);
		if (k % 3)
			cds_list_add_tail_rcu(&i->list, &shared);
		else
			cds_list_add_rcu(&i->list, &shared);
		cds_hlist_add_head_rcu(&i->hash, &shared_hash);
		if (k % 4 == 0) {
			n = make(k + 100000);
			cds_list_replace_rcu(&i->list, &n->list);
			cds_hlist_add_head_rcu(&n->hash, &shared_hash);
			cds_hlist_del_rcu(&i->hash);
			call_rcu(&i->rcu, poison);
			i = n;
		}
		if (k % 50) {
			cds_list_del_rcu(&i->list);
			cds_hlist_del_rcu(&i->hash);
			call_rcu(&i->rcu, poison);
		}
	}
	uatomic_set(&stop, 1);
	thread_join(t);
	rcu_barrier();
	cds_list_for_each_entry(i, &shared, list) left++;
	printf("%s: left %d\n", FLAVOR, left);
}

int main(void)
{
	lists();
	hash_lists();
	with_readers();
	return 0;
}
