/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/list.h>, <anyrcu/hlist.h>, and the helpers for pointers of <anyrcu/rcu.h>. */
#define ANYRCU_LIST_DEBUG
#include "test.h"

struct item {
	long value;
	struct anyrcu_list_head links;
	struct anyrcu_hlist_node node;
	struct anyrcu_head rcu;
};

static struct anyrcu_list_head list = ANYRCU_LIST_INIT(list);
static struct anyrcu_hlist_head hlist;

static struct item *item(long value)
{
	struct item *i = calloc(1, sizeof(*i));

	CHECK(i);
	i->value = value;
	return i;
}

/* The values of a list as a number: 1, 2, 3 are 123. From the front, and back. */
static long digits(struct anyrcu_list_head *l)
{
	long forward = 0, back = 0, power = 1;
	struct item *i;

	anyrcu_read_lock();
	anyrcu_list_for_each(i, l, links) forward = forward * 10 + i->value;
	anyrcu_read_unlock();
	for (struct anyrcu_list_head *e = l->prev; e != l; e = e->prev, power *= 10)
		back += power * anyrcu_container_of(e, struct item, links)->value;
	CHECK(forward == back);
	return forward;
}

static long hdigits(void)
{
	long n = 0;
	struct item *i;

	anyrcu_read_lock();
	anyrcu_hlist_for_each(i, &hlist, node) n = n * 10 + i->value;
	anyrcu_read_unlock();
	return n;
}

static void list_updates(void)
{
	struct anyrcu_list_head other;
	struct item *a = item(1), *b = item(2), *c = item(3), *d = item(4), *i, *then;

	anyrcu_list_init(&other);
	CHECK(anyrcu_list_empty(&list) && digits(&list) == 0);
	CHECK(!anyrcu_list_first_or_null(&list, struct item, links));
	anyrcu_list_add(&b->links, &list);
	anyrcu_list_add_tail(&c->links, &list);
	anyrcu_list_add(&a->links, &list);
	CHECK(!anyrcu_list_empty(&list) && digits(&list) == 123);
	CHECK(anyrcu_list_first_or_null(&list, struct item, links) == a);
	CHECK(anyrcu_list_next_or_null(&list, &a->links, struct item, links) == b);
	CHECK(!anyrcu_list_next_or_null(&list, &c->links, struct item, links));
	anyrcu_list_replace(&b->links, &d->links);
	CHECK(digits(&list) == 143);
	CHECK(b->links.next == &c->links); /* a reader at it finds its way on */
	anyrcu_list_del(&d->links);
	CHECK(digits(&list) == 13 && d->links.next == &c->links);
	anyrcu_synchronize();
	anyrcu_list_add(&b->links, &other);
	anyrcu_list_add_tail(&d->links, &other);
	anyrcu_list_splice(&other, &list, anyrcu_synchronize);
	CHECK(anyrcu_list_empty(&other) && digits(&list) == 2413);
	anyrcu_list_splice(&other, &list, anyrcu_synchronize);
	CHECK(digits(&list) == 2413);
	anyrcu_list_del(&a->links);
	anyrcu_synchronize();
	anyrcu_list_add(&a->links, &other);
	anyrcu_list_splice_tail(&other, &list, anyrcu_synchronize);
	CHECK(anyrcu_list_empty(&other) && digits(&list) == 2431);
	i = d;
	anyrcu_list_for_each_continue(i, &list, links) CHECK(i == c || i == a);
	anyrcu_list_for_each_safe(i, then, &list, links)
	{
		anyrcu_list_del(&i->links);
		free(i);
	}
	CHECK(anyrcu_list_empty(&list));
}

static void hlist_updates(void)
{
	struct item *a = item(1), *b = item(2), *c = item(3), *d = item(4), *i;
	struct anyrcu_hlist_node *then;

	CHECK(anyrcu_hlist_empty(&hlist) && hdigits() == 0 && anyrcu_hlist_unhashed(&a->node));
	anyrcu_hlist_del_init(&a->node);
	anyrcu_hlist_add_head(&b->node, &hlist);
	anyrcu_hlist_add_before(&a->node, &b->node);
	anyrcu_hlist_add_behind(&c->node, &b->node);
	CHECK(!anyrcu_hlist_empty(&hlist) && hdigits() == 123 && !anyrcu_hlist_unhashed(&a->node));
	anyrcu_hlist_replace(&b->node, &d->node);
	CHECK(hdigits() == 143 && b->node.next == &c->node);
	anyrcu_hlist_del(&d->node);
	CHECK(hdigits() == 13 && d->node.next == &c->node);
	anyrcu_hlist_del_init(&c->node);
	CHECK(hdigits() == 1 && anyrcu_hlist_unhashed(&c->node));
	anyrcu_synchronize();
	anyrcu_hlist_add_behind(&c->node, &a->node);
	CHECK(hdigits() == 13);
	anyrcu_hlist_for_each_safe(i, then, &hlist, node)
	{
		anyrcu_hlist_del(&i->node);
		free(i);
	}
	CHECK(anyrcu_hlist_empty(&hlist));
	free(b);
	free(d);
}

/* An updater keeps WIDTH items in both lists; one that is freed has another value. */
#define WIDTH 8
static _Atomic int stop;
static _Atomic long rounds;

static void *reads(void *arg)
{
	while (!atomic_load(&stop)) {
		long n = 0, last = -1;
		struct item *i;

		anyrcu_read_lock();
		anyrcu_list_for_each(i, &list, links)
		{
			CHECK(i->value >= 0);
			n++;
		}
		anyrcu_hlist_for_each(i, &hlist, node)
		{
			CHECK(i->value >= 0 && i->value != last);
			last = i->value;
		}
		anyrcu_read_unlock();
		CHECK(n >= WIDTH - 1); /* one at most is out at a time */
		atomic_fetch_add(&rounds, 1);
	}
	return NULL;
}

static void reclaim(struct anyrcu_head *head)
{
	struct item *i = anyrcu_container_of(head, struct item, rcu);

	i->value = -1;
	free(i);
}

static void readers_beside_an_updater(void)
{
	pthread_t t[2];
	struct item *i, *then;

	for (long v = 0; v < WIDTH; v++) {
		i = item(v);
		anyrcu_list_add_tail(&i->links, &list);
		anyrcu_hlist_add_head(&i->node, &hlist);
	}
	for (int k = 0; k < 2; k++)
		t[k] = thread_start(reads, NULL);
	for (long v = WIDTH; v < SCALED(200000) || atomic_load(&rounds) < 100; v++) {
		struct item *old = anyrcu_container_of(list.next, struct item, links);

		i = item(v);
		if (v % 3) {
			anyrcu_list_del(&old->links);
			anyrcu_list_add_tail(&i->links, &list);
			anyrcu_hlist_del(&old->node);
			anyrcu_hlist_add_head(&i->node, &hlist);
		} else {
			anyrcu_list_replace(&old->links, &i->links);
			anyrcu_hlist_replace(&old->node, &i->node);
		}
		anyrcu_call(&old->rcu, reclaim);
	}
	atomic_store(&stop, 1);
	for (int k = 0; k < 2; k++)
		thread_join(t[k]);
	anyrcu_list_for_each_safe(i, then, &list, links) free(i);
	anyrcu_barrier();
}

static void removed_twice(void)
{
	struct item *i = item(1);

	anyrcu_list_add(&i->links, &list);
	anyrcu_list_del(&i->links);
	anyrcu_list_del(&i->links);
}

static void added_twice(void)
{
	struct item *i = item(1);

	anyrcu_list_add(&i->links, &list);
	anyrcu_list_add(&i->links, &list);
}

static void corrupt(void)
{
	struct item *i = item(1), *k = item(2);

	anyrcu_list_add(&i->links, &list);
	anyrcu_list_add(&k->links, &list);
	memset(k, 0, sizeof(*k));
	anyrcu_list_del(&i->links);
}

static void hlist_removed_twice(void)
{
	struct item *i = item(1);

	anyrcu_hlist_add_head(&i->node, &hlist);
	anyrcu_hlist_del(&i->node);
	anyrcu_hlist_del(&i->node);
}

static struct item *published;

/* Of updaters that exchange, each gets another object. */
static void *exchanges(void *arg)
{
	for (int n = 0; n < SCALED(100000); n++) {
		struct item *old = anyrcu_xchg_pointer(published, item(n));

		anyrcu_call(&old->rcu, reclaim);
	}
	return NULL;
}

static void pointer_helpers(void)
{
	_Atomic(struct item *) atomic = NULL;
	struct item *a = item(1), *b = item(2);
	pthread_t t[2];

	CHECK(!anyrcu_access_pointer(published) && !anyrcu_access_pointer(atomic));
	CHECK(!anyrcu_xchg_pointer(published, a) && !anyrcu_xchg_pointer(atomic, a));
	CHECK(anyrcu_access_pointer(published) == a && anyrcu_access_pointer(atomic) == a);
	CHECK(anyrcu_replace_pointer(published, b, 1) == a &&
	      anyrcu_replace_pointer(atomic, b, 1) == a);
	CHECK(anyrcu_container_of(&b->rcu, struct item, rcu) == b);
	for (int k = 0; k < 2; k++)
		t[k] = thread_start(exchanges, NULL);
	for (int k = 0; k < 2; k++)
		thread_join(t[k]);
	anyrcu_barrier();
	free(published);
	free(a);
}

static const struct test_case cases[] = {
	CASE(list_updates),
	CASE(hlist_updates),
	CASE(readers_beside_an_updater),
	CASE(removed_twice, .sig = SIGABRT, .says = { "list element", "removed twice" }),
	CASE(added_twice, .sig = SIGABRT, .says = { "added twice" }),
	CASE(corrupt, .sig = SIGABRT, .says = { "corrupt list" }),
	CASE(hlist_removed_twice, .sig = SIGABRT, .says = { "removed twice" }),
	CASE(pointer_helpers),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
