/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * liburcu's older queue, deprecated there: use urcu/wfcqueue.h. Any number of threads may enqueue
 * at once, one at a time may dequeue.
 *
 * The queue always has a node: before the last node is dequeued, a dummy is added behind it. tail
 * points to the link for the next node.
 */
#ifndef ANYRCU_COMPAT_URCU_WFQUEUE_H
#define ANYRCU_COMPAT_URCU_WFQUEUE_H

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <urcu/compiler.h>
#include <urcu/uatomic.h>

#ifndef CDS_WFQ_DEPRECATED
#define CDS_WFQ_DEPRECATED CDS_DEPRECATED("urcu/wfqueue.h is deprecated: use urcu/wfcqueue.h")
#endif

struct cds_wfq_node {
	struct cds_wfq_node *next;
};

struct cds_wfq_queue {
	struct cds_wfq_node *head, **tail;
	struct cds_wfq_node dummy;
	pthread_mutex_t lock;
};

static inline void _cds_wfq_node_init(struct cds_wfq_node *node)
{
	node->next = NULL;
}

static inline void _cds_wfq_init(struct cds_wfq_queue *q)
{
	int err = pthread_mutex_init(&q->lock, NULL);

	assert(!err);
	(void)err;
	_cds_wfq_node_init(&q->dummy);
	q->head = &q->dummy;
	q->tail = &q->dummy.next;
}

static inline void _cds_wfq_destroy(struct cds_wfq_queue *q)
{
	int err = pthread_mutex_destroy(&q->lock);

	assert(!err);
	(void)err;
}

static inline void _cds_wfq_enqueue(struct cds_wfq_queue *q, struct cds_wfq_node *node)
{
	struct cds_wfq_node **link = uatomic_xchg(&q->tail, &node->next);

	__atomic_store_n(link, node, __ATOMIC_RELEASE);
}

static inline struct cds_wfq_node *___cds_wfq_dequeue_blocking(struct cds_wfq_queue *q)
{
	for (;;) {
		struct cds_wfq_node *node = q->head, *next;
		int turns;

		if (__atomic_load_n(&q->tail, __ATOMIC_ACQUIRE) == &node->next) {
			if (node == &q->dummy)
				return NULL;
			_cds_wfq_node_init(&q->dummy); /* the last one: a node must stay */
			_cds_wfq_enqueue(q, &q->dummy);
		}
		for (turns = 0; !(next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE)); turns++) {
			if (turns < 100)
				caa_cpu_relax();
			else
				(void)poll(NULL, 0, 1); /* let the enqueuing thread run */
		}
		q->head = next;
		if (node != &q->dummy)
			return node;
	}
}

static inline struct cds_wfq_node *_cds_wfq_dequeue_blocking(struct cds_wfq_queue *q)
{
	struct cds_wfq_node *node;
	int err = pthread_mutex_lock(&q->lock);

	assert(!err);
	node = ___cds_wfq_dequeue_blocking(q);
	err = pthread_mutex_unlock(&q->lock);
	assert(!err);
	(void)err;
	return node;
}

static inline CDS_WFQ_DEPRECATED void cds_wfq_node_init(struct cds_wfq_node *node)
{
	_cds_wfq_node_init(node);
}

static inline CDS_WFQ_DEPRECATED void cds_wfq_init(struct cds_wfq_queue *q)
{
	_cds_wfq_init(q);
}

static inline CDS_WFQ_DEPRECATED void cds_wfq_destroy(struct cds_wfq_queue *q)
{
	_cds_wfq_destroy(q);
}

static inline CDS_WFQ_DEPRECATED void cds_wfq_enqueue(struct cds_wfq_queue *q,
						      struct cds_wfq_node *node)
{
	_cds_wfq_enqueue(q, node);
}

static inline CDS_WFQ_DEPRECATED struct cds_wfq_node *__cds_wfq_dequeue_blocking(
	struct cds_wfq_queue *q)
{
	return ___cds_wfq_dequeue_blocking(q);
}

static inline CDS_WFQ_DEPRECATED struct cds_wfq_node *cds_wfq_dequeue_blocking(
	struct cds_wfq_queue *q)
{
	return _cds_wfq_dequeue_blocking(q);
}

#endif
