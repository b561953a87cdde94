/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The queues and stacks: what they return, and that nothing is lost between threads. */
#define CDS_WFQ_DEPRECATED
#define CDS_LFS_RCU_DEPRECATED
#include "flavor.h"
#include <urcu/lfstack.h>
#include <urcu/rculfqueue.h>
#include <urcu/rculfstack.h>
#include <urcu/wfcqueue.h>
#include <urcu/wfqueue.h>
#include <urcu/wfstack.h>

#define EACH 20000

struct item {
	int n;
	struct cds_wfcq_node wfcq;
	struct cds_wfq_node wfq;
	struct cds_wfs_node wfs;
	struct cds_lfs_node lfs;
	struct cds_lfq_node_rcu lfq;
	struct cds_lfs_node_rcu lfs_rcu;
	struct rcu_head rcu;
};

static struct item items[2 * EACH + 10];
static long seen[6];

static struct cds_wfcq_head wfcq_head;
static struct cds_wfcq_tail wfcq_tail;
static struct cds_wfq_queue wfq;
static struct cds_lfq_queue_rcu lfq;
static struct cds_lfs_stack_rcu lfs_rcu;

/* liburcu's headers cannot be given these stacks in C++. */
#ifdef __cplusplus
#define STACKS 0
#else
#define STACKS 1
static struct cds_wfs_stack wfs;
static struct cds_lfs_stack lfs;
#endif

static void small_wfcq(void)
{
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail, other_tail;
	struct __cds_wfcq_head other;
	struct cds_wfcq_node *node, *n;
	int state;

	__cds_wfcq_init(&head, &tail);
	__cds_wfcq_init(&other, &other_tail);
	for (int i = 0; i < 5; i++) {
		cds_wfcq_node_init(&items[i].wfcq);
		printf("%d ", cds_wfcq_enqueue(__cds_wfcq_head_cast(&head), &tail, &items[i].wfcq));
	}
	printf("empty %d\n", cds_wfcq_empty(__cds_wfcq_head_cast(&head), &tail));
	__cds_wfcq_for_each_blocking(__cds_wfcq_head_cast(&head), &tail, node)
		printf("%d ", caa_container_of(node, struct item, wfcq)->n);
	node = __cds_wfcq_dequeue_blocking(__cds_wfcq_head_cast(&head), &tail);
	printf("first %d ", caa_container_of(node, struct item, wfcq)->n);
	node = __cds_wfcq_dequeue_with_state_blocking(__cds_wfcq_head_cast(&head), &tail, &state);
	printf("then %d state %d ", caa_container_of(node, struct item, wfcq)->n, state);
	printf("splice %d ", __cds_wfcq_splice_blocking(__cds_wfcq_head_cast(&other), &other_tail,
							__cds_wfcq_head_cast(&head), &tail));
	printf("again %d ", __cds_wfcq_splice_nonblocking(__cds_wfcq_head_cast(&other), &other_tail,
							  __cds_wfcq_head_cast(&head), &tail));
	cds_wfcq_node_init(&items[0].wfcq);
	cds_wfcq_enqueue(__cds_wfcq_head_cast(&head), &tail, &items[0].wfcq);
	printf("behind %d\n", __cds_wfcq_splice_blocking(__cds_wfcq_head_cast(&other), &other_tail,
							 __cds_wfcq_head_cast(&head), &tail));
	__cds_wfcq_for_each_blocking_safe(__cds_wfcq_head_cast(&other), &other_tail, node, n)
		printf("%d ", caa_container_of(node, struct item, wfcq)->n);
	node = __cds_wfcq_first_nonblocking(__cds_wfcq_head_cast(&other), &other_tail);
	CHECK(node == __cds_wfcq_first_blocking(__cds_wfcq_head_cast(&other), &other_tail));
	CHECK(__cds_wfcq_next_nonblocking(__cds_wfcq_head_cast(&other), &other_tail, node) ==
	      __cds_wfcq_next_blocking(__cds_wfcq_head_cast(&other), &other_tail, node));
	while ((node = __cds_wfcq_dequeue_with_state_nonblocking(__cds_wfcq_head_cast(&other),
								 &other_tail, &state)))
		printf("%d:%d ", caa_container_of(node, struct item, wfcq)->n, state);
	CHECK(!__cds_wfcq_dequeue_nonblocking(__cds_wfcq_head_cast(&other), &other_tail));
	printf("empty %d\n", cds_wfcq_empty(__cds_wfcq_head_cast(&other), &other_tail));
}

static void small_stacks(void)
{
#if STACKS
	struct __cds_wfs_stack w;
	struct __cds_lfs_stack l;
	struct cds_wfs_node *node, *n;
	struct cds_wfs_head *all;
	struct cds_lfs_node *lnode, *ln;
	struct cds_lfs_head *lall;
	int state;

	__cds_wfs_init(&w);
	__cds_lfs_init(&l);
	CHECK(!__cds_wfs_pop_blocking(&w) && !__cds_lfs_pop(&l));
	for (int i = 0; i < 5; i++) {
		cds_wfs_node_init(&items[i].wfs);
		cds_lfs_node_init(&items[i].lfs);
		printf("%d%d ", cds_wfs_push(&w, &items[i].wfs), cds_lfs_push(&l, &items[i].lfs));
	}
	printf("empty %d %d\n", cds_wfs_empty(&w), cds_lfs_empty(&l));
	node = __cds_wfs_pop_with_state_blocking(&w, &state);
	printf("%d:%d ", caa_container_of(node, struct item, wfs)->n, state);
	node = __cds_wfs_pop_with_state_nonblocking(&w, &state);
	printf("%d:%d ", caa_container_of(node, struct item, wfs)->n, state);
	node = __cds_wfs_pop_nonblocking(&w);
	printf("%d\n", caa_container_of(node, struct item, wfs)->n);
	all = __cds_wfs_pop_all(&w);
	cds_wfs_for_each_blocking(all, node)
		printf("%d ", caa_container_of(node, struct item, wfs)->n);
	cds_wfs_for_each_blocking_safe(all, node, n)
		printf("%d ", caa_container_of(node, struct item, wfs)->n);
	CHECK(cds_wfs_next_nonblocking(cds_wfs_first(all)) ==
	      cds_wfs_next_blocking(cds_wfs_first(all)));
	CHECK(!__cds_wfs_pop_all(&w) && cds_wfs_empty(&w));
	lnode = __cds_lfs_pop(&l);
	printf("%d | ", caa_container_of(lnode, struct item, lfs)->n);
	lall = __cds_lfs_pop_all(&l);
	cds_lfs_for_each(lall, lnode) printf("%d ", caa_container_of(lnode, struct item, lfs)->n);
	cds_lfs_for_each_safe(lall, lnode, ln)
		printf("%d ", caa_container_of(lnode, struct item, lfs)->n);
	CHECK(!__cds_lfs_pop_all(&l) && cds_lfs_empty(&l));
	printf("\n");
#endif
}

static void *pusher(void *arg)
{
	int from = *(int *)arg;

	rcu_register_thread();
	for (int i = from; i < from + EACH; i++) {
		struct item *item = &items[i];

		cds_wfcq_node_init(&item->wfcq);
		cds_wfcq_enqueue(cds_wfcq_head_cast(&wfcq_head), &wfcq_tail, &item->wfcq);
		cds_wfq_node_init(&item->wfq);
		cds_wfq_enqueue(&wfq, &item->wfq);
#if STACKS
		cds_wfs_node_init(&item->wfs);
		cds_wfs_push(&wfs, &item->wfs);
		cds_lfs_node_init(&item->lfs);
		cds_lfs_push(&lfs, &item->lfs);
#endif
		cds_lfq_node_init_rcu(&item->lfq);
		cds_lfs_node_init_rcu(&item->lfs_rcu);
		rcu_read_lock();
		cds_lfq_enqueue_rcu(&lfq, &item->lfq);
		cds_lfs_push_rcu(&lfs_rcu, &item->lfs_rcu);
		rcu_read_unlock();
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

#define COUNT(which, from, member)                                                                 \
	do {                                                                                       \
		if (from) {                                                                        \
			uatomic_add(&seen[which], caa_container_of(from, struct item, member)->n); \
			got++;                                                                     \
		}                                                                                  \
	} while (0)

static void *popper(void *arg)
{
	int idle = 0;

	rcu_register_thread();
	while (idle < 100) {
		int got = 0;
		struct cds_wfcq_node *a = cds_wfcq_dequeue_blocking(&wfcq_head, &wfcq_tail);
		struct cds_wfq_node *b = cds_wfq_dequeue_blocking(&wfq);
		struct cds_lfq_node_rcu *e;
		struct cds_lfs_node_rcu *f;
#if STACKS
		struct cds_wfs_node *c = cds_wfs_pop_blocking(&wfs);
		struct cds_lfs_node *d = cds_lfs_pop_blocking(&lfs);

		COUNT(2, c, wfs);
		COUNT(3, d, lfs);
#endif
		COUNT(0, a, wfcq);
		COUNT(1, b, wfq);
		rcu_read_lock();
		e = cds_lfq_dequeue_rcu(&lfq);
		f = cds_lfs_pop_rcu(&lfs_rcu);
		COUNT(4, e, lfq);
		COUNT(5, f, lfs_rcu);
		rcu_read_unlock();
		rcu_quiescent_state();
		idle = got || !uatomic_read((int *)arg) ? 0 : idle + 1;
	}
	rcu_unregister_thread();
	return NULL;
}

int main(void)
{
	int from[2] = { 0, EACH }, pushed = 0, state;
	pthread_t push[2], pop[2];
	struct cds_wfcq_head second;
	struct cds_wfcq_tail second_tail;

	for (int i = 0; i < (int)CAA_ARRAY_SIZE(items); i++)
		items[i].n = i;
	small_wfcq();
	small_stacks();
	cds_wfcq_init(&wfcq_head, &wfcq_tail);
	cds_wfcq_init(&second, &second_tail);
	cds_wfq_init(&wfq);
	cds_lfq_init_rcu(&lfq, call_rcu);
	cds_lfs_init_rcu(&lfs_rcu);
#if STACKS
	cds_wfs_init(&wfs);
	cds_lfs_init(&lfs);
#endif
	for (int i = 0; i < 2; i++) {
		push[i] = thread_start(pusher, &from[i]);
		pop[i] = thread_start(popper, &pushed);
	}
	for (int i = 0; i < 2; i++)
		thread_join(push[i]);
	uatomic_set(&pushed, 1);
	for (int i = 0; i < 2; i++)
		thread_join(pop[i]);
	for (int i = 0; i < 6; i++)
		if (STACKS || i < 2 || i > 3)
			printf("%d: %ld\n", i, seen[i]);

	cds_wfcq_node_init(&items[1].wfcq);
	cds_wfcq_enqueue(cds_wfcq_head_cast(&wfcq_head), &wfcq_tail, &items[1].wfcq);
	printf("splice %d, ",
	       cds_wfcq_splice_blocking(&second, &second_tail, &wfcq_head, &wfcq_tail));
	CHECK(cds_wfcq_dequeue_with_state_blocking(&second, &second_tail, &state) ==
	      &items[1].wfcq);
	cds_wfcq_dequeue_lock(&second, &second_tail);
	cds_wfcq_dequeue_unlock(&second, &second_tail);
	cds_wfcq_destroy(&wfcq_head, &wfcq_tail);
	cds_wfcq_destroy(&second, &second_tail);
	cds_wfq_destroy(&wfq);
#if STACKS
	CHECK(!cds_wfs_pop_all_blocking(&wfs) && !cds_lfs_pop_all_blocking(&lfs));
	cds_wfs_pop_lock(&wfs);
	cds_wfs_pop_unlock(&wfs);
	cds_lfs_pop_lock(&lfs);
	cds_lfs_pop_unlock(&lfs);
	CHECK(!cds_wfs_pop_with_state_blocking(&wfs, &state));
	cds_wfs_destroy(&wfs);
	cds_lfs_destroy(&lfs);
#endif
	rcu_register_thread();
	printf("destroyed %d\n", cds_lfq_destroy_rcu(&lfq));
	rcu_unregister_thread();
	rcu_barrier();
	return 0;
}
