/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A queue by liburcu's names and layout: any number of threads may enqueue at once, without
 * waiting; one at a time may dequeue.
 *
 *     head.node -> first -> ... -> last
 *
 * tail.p points to last, or to head.node if the queue is empty.
 *
 * An enqueue puts its node at the tail by one exchange, and only then links the node before it to
 * its own. Between the two the chain has a gap, which other threads see as NULL in a node that is
 * not the last: functions that may wait do so, the others return WOULDBLOCK. The link is stored by
 * a release and loaded by an acquire, so a node is seen complete.
 */
#ifndef ANYRCU_COMPAT_URCU_WFCQUEUE_H
#define ANYRCU_COMPAT_URCU_WFCQUEUE_H

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/uatomic.h>

#define CDS_WFCQ_WOULDBLOCK ((struct cds_wfcq_node *)-1UL)

enum cds_wfcq_ret {
	CDS_WFCQ_RET_WOULDBLOCK = -1,
	CDS_WFCQ_RET_DEST_EMPTY = 0,
	CDS_WFCQ_RET_DEST_NON_EMPTY = 1,
	CDS_WFCQ_RET_SRC_EMPTY = 2,
};

enum cds_wfcq_state {
	CDS_WFCQ_STATE_LAST = 1,
};

struct cds_wfcq_node {
	struct cds_wfcq_node *next;
};

/* Without a lock, and with the lock of cds_wfcq_dequeue_lock(); both begin alike. */
struct __cds_wfcq_head {
	struct cds_wfcq_node node;
};

struct cds_wfcq_head {
	struct cds_wfcq_node node;
	pthread_mutex_t lock;
};

struct cds_wfcq_tail {
	struct cds_wfcq_node *p;
};

/* Functions that do not lock take either head. */
#ifdef __cplusplus
union cds_wfcq_head_ptr_t {
	struct __cds_wfcq_head *_h;
	struct cds_wfcq_head *h;

	cds_wfcq_head_ptr_t() : _h(NULL)
	{
	}
	cds_wfcq_head_ptr_t(struct __cds_wfcq_head *head) : _h(head)
	{
	}
	cds_wfcq_head_ptr_t(struct cds_wfcq_head *head) : h(head)
	{
	}
};

static inline cds_wfcq_head_ptr_t __cds_wfcq_head_cast(struct __cds_wfcq_head *head)
{
	return head;
}

static inline cds_wfcq_head_ptr_t cds_wfcq_head_cast(struct cds_wfcq_head *head)
{
	return head;
}
#else
typedef union {
	struct __cds_wfcq_head *_h;
	struct cds_wfcq_head *h;
} __attribute__((__transparent_union__)) cds_wfcq_head_ptr_t;

static inline struct __cds_wfcq_head *__cds_wfcq_head_cast(struct __cds_wfcq_head *head)
{
	return head;
}

static inline struct cds_wfcq_head *cds_wfcq_head_cast(struct cds_wfcq_head *head)
{
	return head;
}
#endif

static inline void cds_wfcq_node_init(struct cds_wfcq_node *node)
{
	node->next = NULL;
}

static inline void __cds_wfcq_init(struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	cds_wfcq_node_init(&head->node);
	tail->p = &head->node;
}

static inline void cds_wfcq_init(struct cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	int err = pthread_mutex_init(&head->lock, NULL);

	assert(!err);
	(void)err;
	cds_wfcq_node_init(&head->node);
	tail->p = &head->node;
}

static inline void cds_wfcq_destroy(struct cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	int err = pthread_mutex_destroy(&head->lock);

	assert(!err);
	(void)err;
	(void)tail;
}

static inline void cds_wfcq_dequeue_lock(struct cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	int err = pthread_mutex_lock(&head->lock);

	assert(!err);
	(void)err;
	(void)tail;
}

static inline void cds_wfcq_dequeue_unlock(struct cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	int err = pthread_mutex_unlock(&head->lock);

	assert(!err);
	(void)err;
	(void)tail;
}

static inline bool anyrcu_wfcq_empty(struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	/* During an enqueue only one of the two may have changed so far; either suffices. */
	return !__atomic_load_n(&head->node.next, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&tail->p, __ATOMIC_ACQUIRE) == &head->node;
}

static inline bool cds_wfcq_empty(cds_wfcq_head_ptr_t head, struct cds_wfcq_tail *tail)
{
	return anyrcu_wfcq_empty(head._h, tail);
}

/* Append the chain from @first to @last; true if the queue was not empty. */
static inline bool anyrcu_wfcq_append(struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail,
				      struct cds_wfcq_node *first, struct cds_wfcq_node *last)
{
	struct cds_wfcq_node *before = uatomic_xchg(&tail->p, last);

	__atomic_store_n(&before->next, first, __ATOMIC_RELEASE);
	return before != &head->node;
}

static inline bool cds_wfcq_enqueue(cds_wfcq_head_ptr_t head, struct cds_wfcq_tail *tail,
				    struct cds_wfcq_node *node)
{
	return anyrcu_wfcq_append(head._h, tail, node, node);
}

/* One round of a wait for an enqueuer between its two steps. */
static inline void anyrcu_wfcq_wait(int *turns)
{
	if (++*turns < 100)
		caa_cpu_relax();
	else
		(void)poll(NULL, 0, 1); /* let it run */
}

/* The node after @node, which is not the last. */
static inline struct cds_wfcq_node *anyrcu_wfcq_follow(struct cds_wfcq_node *node, bool blocking)
{
	struct cds_wfcq_node *next;
	int turns = 0;

	while (!(next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE))) {
		if (!blocking)
			return CDS_WFCQ_WOULDBLOCK;
		anyrcu_wfcq_wait(&turns);
	}
	return next;
}

static inline struct cds_wfcq_node *anyrcu_wfcq_first(struct __cds_wfcq_head *head,
						      struct cds_wfcq_tail *tail, bool blocking)
{
	return anyrcu_wfcq_empty(head, tail) ? NULL : anyrcu_wfcq_follow(&head->node, blocking);
}

static inline struct cds_wfcq_node *anyrcu_wfcq_next(struct cds_wfcq_tail *tail,
						     struct cds_wfcq_node *node, bool blocking)
{
	struct cds_wfcq_node *next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE);

	if (next)
		return next;
	return __atomic_load_n(&tail->p, __ATOMIC_ACQUIRE) == node ?
		       NULL :
		       anyrcu_wfcq_follow(node, blocking);
}

static inline struct cds_wfcq_node *anyrcu_wfcq_dequeue(struct __cds_wfcq_head *head,
							struct cds_wfcq_tail *tail, int *state,
							bool blocking)
{
	struct cds_wfcq_node *first = anyrcu_wfcq_first(head, tail, blocking), *next, *last = first;

	if (state)
		*state = 0;
	if (!first || first == CDS_WFCQ_WOULDBLOCK)
		return first;
	next = __atomic_load_n(&first->next, __ATOMIC_ACQUIRE);
	if (!next) {
		/*
		 * It seems to be the last one: then the queue becomes empty, unless another thread
		 * has enqueued behind it.
		 */
		__atomic_store_n(&head->node.next, (struct cds_wfcq_node *)NULL, __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(&tail->p, &last, &head->node, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			if (state)
				*state = CDS_WFCQ_STATE_LAST;
			return first;
		}
		next = anyrcu_wfcq_follow(first, blocking);
		if (next == CDS_WFCQ_WOULDBLOCK) {
			__atomic_store_n(&head->node.next, first, __ATOMIC_RELAXED);
			return next;
		}
	}
	__atomic_store_n(&head->node.next, next, __ATOMIC_RELEASE);
	return first;
}

/*
 * Move all nodes of the source to the end of the destination: take the first node from it, then the
 * last; the nodes in between stay linked.
 */
static inline enum cds_wfcq_ret anyrcu_wfcq_splice(struct __cds_wfcq_head *to,
						   struct cds_wfcq_tail *to_tail,
						   struct __cds_wfcq_head *from,
						   struct cds_wfcq_tail *from_tail, bool blocking)
{
	struct cds_wfcq_node *first, *last;
	int turns = 0;

	while (!(first = uatomic_xchg(&from->node.next, NULL))) {
		if (__atomic_load_n(&from_tail->p, __ATOMIC_ACQUIRE) == &from->node)
			return CDS_WFCQ_RET_SRC_EMPTY;
		if (!blocking)
			return CDS_WFCQ_RET_WOULDBLOCK;
		anyrcu_wfcq_wait(&turns);
	}
	last = uatomic_xchg(&from_tail->p, &from->node);
	return anyrcu_wfcq_append(to, to_tail, first, last) ? CDS_WFCQ_RET_DEST_NON_EMPTY :
							      CDS_WFCQ_RET_DEST_EMPTY;
}

static inline struct cds_wfcq_node *__cds_wfcq_first_blocking(cds_wfcq_head_ptr_t head,
							      struct cds_wfcq_tail *tail)
{
	return anyrcu_wfcq_first(head._h, tail, true);
}

static inline struct cds_wfcq_node *__cds_wfcq_first_nonblocking(cds_wfcq_head_ptr_t head,
								 struct cds_wfcq_tail *tail)
{
	return anyrcu_wfcq_first(head._h, tail, false);
}

static inline struct cds_wfcq_node *__cds_wfcq_next_blocking(cds_wfcq_head_ptr_t head,
							     struct cds_wfcq_tail *tail,
							     struct cds_wfcq_node *node)
{
	(void)head;
	return anyrcu_wfcq_next(tail, node, true);
}

static inline struct cds_wfcq_node *__cds_wfcq_next_nonblocking(cds_wfcq_head_ptr_t head,
								struct cds_wfcq_tail *tail,
								struct cds_wfcq_node *node)
{
	(void)head;
	return anyrcu_wfcq_next(tail, node, false);
}

static inline struct cds_wfcq_node *__cds_wfcq_dequeue_with_state_blocking(
	cds_wfcq_head_ptr_t head, struct cds_wfcq_tail *tail, int *state)
{
	return anyrcu_wfcq_dequeue(head._h, tail, state, true);
}

static inline struct cds_wfcq_node *__cds_wfcq_dequeue_with_state_nonblocking(
	cds_wfcq_head_ptr_t head, struct cds_wfcq_tail *tail, int *state)
{
	return anyrcu_wfcq_dequeue(head._h, tail, state, false);
}

static inline struct cds_wfcq_node *__cds_wfcq_dequeue_blocking(cds_wfcq_head_ptr_t head,
								struct cds_wfcq_tail *tail)
{
	return anyrcu_wfcq_dequeue(head._h, tail, NULL, true);
}

static inline struct cds_wfcq_node *__cds_wfcq_dequeue_nonblocking(cds_wfcq_head_ptr_t head,
								   struct cds_wfcq_tail *tail)
{
	return anyrcu_wfcq_dequeue(head._h, tail, NULL, false);
}

static inline enum cds_wfcq_ret __cds_wfcq_splice_blocking(cds_wfcq_head_ptr_t dest_q_head,
							   struct cds_wfcq_tail *dest_q_tail,
							   cds_wfcq_head_ptr_t src_q_head,
							   struct cds_wfcq_tail *src_q_tail)
{
	return anyrcu_wfcq_splice(dest_q_head._h, dest_q_tail, src_q_head._h, src_q_tail, true);
}

static inline enum cds_wfcq_ret __cds_wfcq_splice_nonblocking(cds_wfcq_head_ptr_t dest_q_head,
							      struct cds_wfcq_tail *dest_q_tail,
							      cds_wfcq_head_ptr_t src_q_head,
							      struct cds_wfcq_tail *src_q_tail)
{
	return anyrcu_wfcq_splice(dest_q_head._h, dest_q_tail, src_q_head._h, src_q_tail, false);
}

static inline struct cds_wfcq_node *cds_wfcq_dequeue_with_state_blocking(struct cds_wfcq_head *head,
									 struct cds_wfcq_tail *tail,
									 int *state)
{
	struct cds_wfcq_node *node;

	cds_wfcq_dequeue_lock(head, tail);
	node = anyrcu_wfcq_dequeue((struct __cds_wfcq_head *)head, tail, state, true);
	cds_wfcq_dequeue_unlock(head, tail);
	return node;
}

static inline struct cds_wfcq_node *cds_wfcq_dequeue_blocking(struct cds_wfcq_head *head,
							      struct cds_wfcq_tail *tail)
{
	return cds_wfcq_dequeue_with_state_blocking(head, tail, NULL);
}

static inline enum cds_wfcq_ret cds_wfcq_splice_blocking(struct cds_wfcq_head *dest_q_head,
							 struct cds_wfcq_tail *dest_q_tail,
							 struct cds_wfcq_head *src_q_head,
							 struct cds_wfcq_tail *src_q_tail)
{
	enum cds_wfcq_ret ret;

	cds_wfcq_dequeue_lock(src_q_head, src_q_tail);
	ret = anyrcu_wfcq_splice((struct __cds_wfcq_head *)dest_q_head, dest_q_tail,
				 (struct __cds_wfcq_head *)src_q_head, src_q_tail, true);
	cds_wfcq_dequeue_unlock(src_q_head, src_q_tail);
	return ret;
}

#define __cds_wfcq_for_each_blocking(head, tail, node)                       \
	for ((node) = __cds_wfcq_first_blocking(head, tail); (node) != NULL; \
	     (node) = __cds_wfcq_next_blocking(head, tail, node))
#define __cds_wfcq_for_each_blocking_safe(head, tail, node, n)                        \
	for ((node) = __cds_wfcq_first_blocking(head, tail);                          \
	     (node) != NULL && ((n) = __cds_wfcq_next_blocking(head, tail, node), 1); \
	     (node) = (n))

/* What liburcu has inline with _LGPL_SOURCE. */
#define _cds_wfcq_node_init cds_wfcq_node_init
#define _cds_wfcq_init cds_wfcq_init
#define ___cds_wfcq_init __cds_wfcq_init
#define _cds_wfcq_destroy cds_wfcq_destroy
#define _cds_wfcq_empty cds_wfcq_empty
#define _cds_wfcq_enqueue cds_wfcq_enqueue
#define _cds_wfcq_dequeue_lock cds_wfcq_dequeue_lock
#define _cds_wfcq_dequeue_unlock cds_wfcq_dequeue_unlock
#define _cds_wfcq_dequeue_blocking cds_wfcq_dequeue_blocking
#define _cds_wfcq_dequeue_with_state_blocking cds_wfcq_dequeue_with_state_blocking
#define _cds_wfcq_splice_blocking cds_wfcq_splice_blocking
#define ___cds_wfcq_dequeue_blocking __cds_wfcq_dequeue_blocking
#define ___cds_wfcq_dequeue_with_state_blocking __cds_wfcq_dequeue_with_state_blocking
#define ___cds_wfcq_dequeue_nonblocking __cds_wfcq_dequeue_nonblocking
#define ___cds_wfcq_dequeue_with_state_nonblocking __cds_wfcq_dequeue_with_state_nonblocking
#define ___cds_wfcq_splice_blocking __cds_wfcq_splice_blocking
#define ___cds_wfcq_splice_nonblocking __cds_wfcq_splice_nonblocking
#define ___cds_wfcq_first_blocking __cds_wfcq_first_blocking
#define ___cds_wfcq_first_nonblocking __cds_wfcq_first_nonblocking
#define ___cds_wfcq_next_blocking __cds_wfcq_next_blocking
#define ___cds_wfcq_next_nonblocking __cds_wfcq_next_nonblocking

#endif
