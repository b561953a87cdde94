/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A queue by liburcu's names and layout, after Michael and Scott: enqueue and dequeue inside a
 * read-side section; a node is freed after a grace period.
 *
 * The queue always has a node: before the last node is dequeued, an allocated dummy is added behind
 * it; when the dummy reaches the head it is freed by the queue's call_rcu().
 */
#ifndef ANYRCU_COMPAT_URCU_RCULFQUEUE_H
#define ANYRCU_COMPAT_URCU_RCULFQUEUE_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <urcu/call-rcu.h>
#include <urcu/pointer.h>
#include <urcu/uatomic.h>

struct cds_lfq_node_rcu {
	struct cds_lfq_node_rcu *next;
	int dummy;
};

struct cds_lfq_queue_rcu {
	struct cds_lfq_node_rcu *head, *tail;
	void (*queue_call_rcu)(struct rcu_head *head, void (*func)(struct rcu_head *head));
};

struct cds_lfq_node_rcu_dummy {
	struct cds_lfq_node_rcu parent;
	struct rcu_head head;
	struct cds_lfq_queue_rcu *q;
};

static inline struct cds_lfq_node_rcu *anyrcu_lfq_dummy(struct cds_lfq_queue_rcu *q)
{
	struct cds_lfq_node_rcu_dummy *dummy =
		(struct cds_lfq_node_rcu_dummy *)malloc(sizeof(*dummy));

	if (!dummy)
		abort(); /* the failure cannot be returned */
	dummy->parent.next = NULL;
	dummy->parent.dummy = 1;
	dummy->q = q;
	return &dummy->parent;
}

static inline void anyrcu_lfq_dummy_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct cds_lfq_node_rcu_dummy, head));
}

static inline void cds_lfq_node_init_rcu(struct cds_lfq_node_rcu *node)
{
	node->next = NULL;
	node->dummy = 0;
}

static inline void cds_lfq_init_rcu(struct cds_lfq_queue_rcu *q,
				    void queue_call_rcu(struct rcu_head *head,
							void (*func)(struct rcu_head *head)))
{
	q->head = q->tail = anyrcu_lfq_dummy(q);
	q->queue_call_rcu = queue_call_rcu;
}

/* No thread uses the queue any more. Returns -EPERM if it is not empty. */
static inline int cds_lfq_destroy_rcu(struct cds_lfq_queue_rcu *q)
{
	if (!q->head->dummy || q->head->next)
		return -EPERM;
	free(q->head); /* its first member is the node */
	return 0;
}

/*
 * Link @node behind the last node: the one that tail points to, or, if another enqueue has not
 * moved tail yet, one after it.
 */
static inline void cds_lfq_enqueue_rcu(struct cds_lfq_queue_rcu *q, struct cds_lfq_node_rcu *node)
{
	for (;;) {
		struct cds_lfq_node_rcu *last = __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE);
		struct cds_lfq_node_rcu *behind = uatomic_cmpxchg(&last->next, NULL, node);

		(void)uatomic_cmpxchg(&q->tail, last, behind ? behind : node);
		if (!behind)
			return;
	}
}

/* Returns NULL if the queue is empty. */
static inline struct cds_lfq_node_rcu *cds_lfq_dequeue_rcu(struct cds_lfq_queue_rcu *q)
{
	for (;;) {
		struct cds_lfq_node_rcu *first = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE);
		struct cds_lfq_node_rcu *next = __atomic_load_n(&first->next, __ATOMIC_ACQUIRE);

		if (!next) {
			if (first->dummy)
				return NULL;
			/* the last one: a node must stay */
			cds_lfq_enqueue_rcu(q, anyrcu_lfq_dummy(q));
			continue;
		}
		if (uatomic_cmpxchg(&q->head, first, next) != first)
			continue;
		if (!first->dummy)
			return first;
		q->queue_call_rcu(
			&caa_container_of(first, struct cds_lfq_node_rcu_dummy, parent)->head,
			anyrcu_lfq_dummy_free);
	}
}

/* What liburcu has inline with _LGPL_SOURCE. */
#define _cds_lfq_node_init_rcu cds_lfq_node_init_rcu
#define _cds_lfq_init_rcu cds_lfq_init_rcu
#define _cds_lfq_destroy_rcu cds_lfq_destroy_rcu
#define _cds_lfq_enqueue_rcu cds_lfq_enqueue_rcu
#define _cds_lfq_dequeue_rcu cds_lfq_dequeue_rcu

#endif
