/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A stack by liburcu's names and layout: any number of threads may push at once, without waiting.
 *
 * A push puts its node at the top by one exchange, and only then links it to the node below: until
 * then the link is NULL, and a pop waits or returns WOULDBLOCK. The bottom has a special mark, so
 * NULL has no other meaning. Pops must exclude each other, by the stack's lock or the caller's, as
 * otherwise a node could come back during a pop; or they must be in a read-side section, and nodes
 * may be reused only after a grace period.
 */
#ifndef ANYRCU_COMPAT_URCU_WFSTACK_H
#define ANYRCU_COMPAT_URCU_WFSTACK_H

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <urcu/compiler.h>
#include <urcu/uatomic.h>

#define CDS_WFS_WOULDBLOCK ((struct cds_wfs_node *)-1UL)
#define CDS_WFS_END ((struct cds_wfs_head *)1UL)

enum cds_wfs_state {
	CDS_WFS_STATE_LAST = 1,
};

struct cds_wfs_node {
	struct cds_wfs_node *next;
};

struct cds_wfs_head {
	struct cds_wfs_node node;
};

/* Without a lock, and with the lock of cds_wfs_pop_lock(); both begin alike. */
struct __cds_wfs_stack {
	struct cds_wfs_head *head;
};

struct cds_wfs_stack {
	struct cds_wfs_head *head;
	pthread_mutex_t lock;
};

/* Functions that do not lock take either stack. */
#ifdef __cplusplus
union cds_wfs_stack_ptr_t {
	struct __cds_wfs_stack *_s;
	struct cds_wfs_stack *s;

	cds_wfs_stack_ptr_t() : _s(NULL)
	{
	}
	cds_wfs_stack_ptr_t(struct __cds_wfs_stack *stack) : _s(stack)
	{
	}
	cds_wfs_stack_ptr_t(struct cds_wfs_stack *stack) : s(stack)
	{
	}
};
#else
typedef union {
	struct __cds_wfs_stack *_s;
	struct cds_wfs_stack *s;
} __attribute__((__transparent_union__)) cds_wfs_stack_ptr_t;
#endif

static inline void cds_wfs_node_init(struct cds_wfs_node *node)
{
	node->next = NULL;
}

static inline void __cds_wfs_init(struct __cds_wfs_stack *s)
{
	s->head = CDS_WFS_END;
}

static inline void cds_wfs_init(struct cds_wfs_stack *s)
{
	int err = pthread_mutex_init(&s->lock, NULL);

	assert(!err);
	(void)err;
	s->head = CDS_WFS_END;
}

static inline void cds_wfs_destroy(struct cds_wfs_stack *s)
{
	int err = pthread_mutex_destroy(&s->lock);

	assert(!err);
	(void)err;
}

static inline void cds_wfs_pop_lock(struct cds_wfs_stack *s)
{
	int err = pthread_mutex_lock(&s->lock);

	assert(!err);
	(void)err;
}

static inline void cds_wfs_pop_unlock(struct cds_wfs_stack *s)
{
	int err = pthread_mutex_unlock(&s->lock);

	assert(!err);
	(void)err;
}

static inline bool cds_wfs_empty(cds_wfs_stack_ptr_t u_stack)
{
	return __atomic_load_n(&u_stack._s->head, __ATOMIC_ACQUIRE) == CDS_WFS_END;
}

/* Returns 0 if the stack was empty. */
static inline int cds_wfs_push(cds_wfs_stack_ptr_t u_stack, struct cds_wfs_node *node)
{
	struct cds_wfs_head *below;

	assert(!node->next);
	below = uatomic_xchg(&u_stack._s->head, (struct cds_wfs_head *)node);
	__atomic_store_n(&node->next, (struct cds_wfs_node *)below, __ATOMIC_RELEASE);
	return below != CDS_WFS_END;
}

/* The node below @node, or the mark. */
static inline struct cds_wfs_node *anyrcu_wfs_below(struct cds_wfs_node *node, bool blocking)
{
	struct cds_wfs_node *below;
	int turns = 0;

	while (!(below = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE))) {
		if (!blocking)
			return CDS_WFS_WOULDBLOCK;
		if (++turns < 100)
			caa_cpu_relax();
		else
			(void)poll(NULL, 0, 1); /* let the pushing thread run */
	}
	return below;
}

static inline struct cds_wfs_node *anyrcu_wfs_pop(struct __cds_wfs_stack *s, int *state,
						  bool blocking)
{
	struct cds_wfs_head *top = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);

	if (state)
		*state = 0;
	while (top != CDS_WFS_END) {
		struct cds_wfs_node *node = (struct cds_wfs_node *)top,
				    *below = anyrcu_wfs_below(node, blocking);

		if (below == CDS_WFS_WOULDBLOCK)
			return below;
		if (__atomic_compare_exchange_n(&s->head, &top, (struct cds_wfs_head *)below, false,
						__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
			if (state && (struct cds_wfs_head *)below == CDS_WFS_END)
				*state = CDS_WFS_STATE_LAST;
			return node;
		}
		if (!blocking)
			return CDS_WFS_WOULDBLOCK;
	}
	return NULL;
}

static inline struct cds_wfs_node *__cds_wfs_pop_with_state_blocking(cds_wfs_stack_ptr_t u_stack,
								     int *state)
{
	return anyrcu_wfs_pop(u_stack._s, state, true);
}

static inline struct cds_wfs_node *__cds_wfs_pop_with_state_nonblocking(cds_wfs_stack_ptr_t u_stack,
									int *state)
{
	return anyrcu_wfs_pop(u_stack._s, state, false);
}

static inline struct cds_wfs_node *__cds_wfs_pop_blocking(cds_wfs_stack_ptr_t u_stack)
{
	return anyrcu_wfs_pop(u_stack._s, NULL, true);
}

static inline struct cds_wfs_node *__cds_wfs_pop_nonblocking(cds_wfs_stack_ptr_t u_stack)
{
	return anyrcu_wfs_pop(u_stack._s, NULL, false);
}

static inline struct cds_wfs_head *anyrcu_wfs_pop_all(struct __cds_wfs_stack *s)
{
	struct cds_wfs_head *top = uatomic_xchg(&s->head, CDS_WFS_END);

	return top == CDS_WFS_END ? NULL : top;
}

static inline struct cds_wfs_head *__cds_wfs_pop_all(cds_wfs_stack_ptr_t u_stack)
{
	return anyrcu_wfs_pop_all(u_stack._s);
}

static inline struct cds_wfs_node *cds_wfs_pop_with_state_blocking(struct cds_wfs_stack *s,
								   int *state)
{
	struct cds_wfs_node *node;

	cds_wfs_pop_lock(s);
	node = anyrcu_wfs_pop((struct __cds_wfs_stack *)s, state, true);
	cds_wfs_pop_unlock(s);
	return node;
}

static inline struct cds_wfs_node *cds_wfs_pop_blocking(struct cds_wfs_stack *s)
{
	return cds_wfs_pop_with_state_blocking(s, NULL);
}

static inline struct cds_wfs_head *cds_wfs_pop_all_blocking(struct cds_wfs_stack *s)
{
	struct cds_wfs_head *head;

	cds_wfs_pop_lock(s);
	head = anyrcu_wfs_pop_all((struct __cds_wfs_stack *)s);
	cds_wfs_pop_unlock(s);
	return head;
}

/* Iterate over the result of __cds_wfs_pop_all(), which may be NULL. */
static inline struct cds_wfs_node *cds_wfs_first(struct cds_wfs_head *head)
{
	return head == NULL || head == CDS_WFS_END ? NULL : &head->node;
}

static inline struct cds_wfs_node *anyrcu_wfs_next(struct cds_wfs_node *node, bool blocking)
{
	struct cds_wfs_node *below = anyrcu_wfs_below(node, blocking);

	return (struct cds_wfs_head *)below == CDS_WFS_END ? NULL : below;
}

static inline struct cds_wfs_node *cds_wfs_next_blocking(struct cds_wfs_node *node)
{
	return anyrcu_wfs_next(node, true);
}

static inline struct cds_wfs_node *cds_wfs_next_nonblocking(struct cds_wfs_node *node)
{
	return anyrcu_wfs_next(node, false);
}

#define cds_wfs_for_each_blocking(head, node) \
	for ((node) = cds_wfs_first(head); (node) != NULL; (node) = cds_wfs_next_blocking(node))
#define cds_wfs_for_each_blocking_safe(head, node, n) \
	for ((node) = cds_wfs_first(head);            \
	     (node) != NULL && ((n) = cds_wfs_next_blocking(node), 1); (node) = (n))

/* What liburcu has inline with _LGPL_SOURCE. */
#define _cds_wfs_node_init cds_wfs_node_init
#define _cds_wfs_init cds_wfs_init
#define _cds_wfs_destroy cds_wfs_destroy
#define ___cds_wfs_init __cds_wfs_init
#define _cds_wfs_empty cds_wfs_empty
#define _cds_wfs_push cds_wfs_push
#define _cds_wfs_pop_blocking cds_wfs_pop_blocking
#define _cds_wfs_pop_with_state_blocking cds_wfs_pop_with_state_blocking
#define _cds_wfs_pop_all_blocking cds_wfs_pop_all_blocking
#define _cds_wfs_first cds_wfs_first
#define _cds_wfs_next_blocking cds_wfs_next_blocking
#define _cds_wfs_next_nonblocking cds_wfs_next_nonblocking
#define _cds_wfs_pop_lock cds_wfs_pop_lock
#define _cds_wfs_pop_unlock cds_wfs_pop_unlock
#define ___cds_wfs_pop_blocking __cds_wfs_pop_blocking
#define ___cds_wfs_pop_with_state_blocking __cds_wfs_pop_with_state_blocking
#define ___cds_wfs_pop_nonblocking __cds_wfs_pop_nonblocking
#define ___cds_wfs_pop_with_state_nonblocking __cds_wfs_pop_with_state_nonblocking
#define ___cds_wfs_pop_all __cds_wfs_pop_all

#endif
