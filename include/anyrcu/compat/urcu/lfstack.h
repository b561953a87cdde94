/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A stack by liburcu's names and layout: push and pop by compare-and-exchange of the top.
 *
 * A pop reads a node that another pop may take meanwhile, and which must therefore neither be freed
 * nor come back to the top. So pops must exclude each other, by the stack's lock or the caller's,
 * or be in a read-side section, and nodes may be reused only after a grace period.
 */
#ifndef ANYRCU_COMPAT_URCU_LFSTACK_H
#define ANYRCU_COMPAT_URCU_LFSTACK_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <urcu/compiler.h>
#include <urcu/uatomic.h>

struct cds_lfs_node {
	struct cds_lfs_node *next;
};

struct cds_lfs_head {
	struct cds_lfs_node node;
};

/* Without a lock, and with the lock of cds_lfs_pop_lock(); both begin alike. */
struct __cds_lfs_stack {
	struct cds_lfs_head *head;
};

struct cds_lfs_stack {
	struct cds_lfs_head *head;
	pthread_mutex_t lock;
};

/* Functions that do not lock take either stack. */
#ifdef __cplusplus
union cds_lfs_stack_ptr_t {
	struct __cds_lfs_stack *_s;
	struct cds_lfs_stack *s;

	cds_lfs_stack_ptr_t() : _s(NULL)
	{
	}
	cds_lfs_stack_ptr_t(struct __cds_lfs_stack *stack) : _s(stack)
	{
	}
	cds_lfs_stack_ptr_t(struct cds_lfs_stack *stack) : s(stack)
	{
	}
};
#else
typedef union {
	struct __cds_lfs_stack *_s;
	struct cds_lfs_stack *s;
} __attribute__((__transparent_union__)) cds_lfs_stack_ptr_t;
#endif

static inline void cds_lfs_node_init(struct cds_lfs_node *node)
{
	(void)node;
}

static inline void __cds_lfs_init(struct __cds_lfs_stack *s)
{
	s->head = NULL;
}

static inline void cds_lfs_init(struct cds_lfs_stack *s)
{
	int err = pthread_mutex_init(&s->lock, NULL);

	assert(!err);
	(void)err;
	s->head = NULL;
}

static inline void cds_lfs_destroy(struct cds_lfs_stack *s)
{
	int err = pthread_mutex_destroy(&s->lock);

	assert(!err);
	(void)err;
}

static inline void cds_lfs_pop_lock(struct cds_lfs_stack *s)
{
	int err = pthread_mutex_lock(&s->lock);

	assert(!err);
	(void)err;
}

static inline void cds_lfs_pop_unlock(struct cds_lfs_stack *s)
{
	int err = pthread_mutex_unlock(&s->lock);

	assert(!err);
	(void)err;
}

static inline bool cds_lfs_empty(cds_lfs_stack_ptr_t s)
{
	return !__atomic_load_n(&s._s->head, __ATOMIC_ACQUIRE);
}

/* Returns false if the stack was empty. */
static inline bool cds_lfs_push(cds_lfs_stack_ptr_t s, struct cds_lfs_node *node)
{
	struct cds_lfs_head *top = __atomic_load_n(&s._s->head, __ATOMIC_RELAXED);

	do {
		node->next = (struct cds_lfs_node *)top;
	} while (!__atomic_compare_exchange_n(&s._s->head, &top, (struct cds_lfs_head *)node, true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return top != NULL;
}

static inline struct cds_lfs_node *anyrcu_lfs_pop(struct __cds_lfs_stack *s)
{
	struct cds_lfs_head *top = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);

	while (top && !__atomic_compare_exchange_n(&s->head, &top,
						   (struct cds_lfs_head *)__atomic_load_n(
							   &top->node.next, __ATOMIC_RELAXED),
						   true, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
		;
	return (struct cds_lfs_node *)top;
}

static inline struct cds_lfs_node *__cds_lfs_pop(cds_lfs_stack_ptr_t s)
{
	return anyrcu_lfs_pop(s._s);
}

static inline struct cds_lfs_head *__cds_lfs_pop_all(cds_lfs_stack_ptr_t s)
{
	return uatomic_xchg(&s._s->head, NULL);
}

static inline struct cds_lfs_node *cds_lfs_pop_blocking(struct cds_lfs_stack *s)
{
	struct cds_lfs_node *node;

	cds_lfs_pop_lock(s);
	node = anyrcu_lfs_pop((struct __cds_lfs_stack *)s);
	cds_lfs_pop_unlock(s);
	return node;
}

static inline struct cds_lfs_head *cds_lfs_pop_all_blocking(struct cds_lfs_stack *s)
{
	struct cds_lfs_head *head;

	cds_lfs_pop_lock(s);
	head = uatomic_xchg(&s->head, NULL);
	cds_lfs_pop_unlock(s);
	return head;
}

/* Iterate over the result of __cds_lfs_pop_all(), which may be NULL. */
#define cds_lfs_for_each(__head, __node)                                   \
	for ((__node) = (struct cds_lfs_node *)(__head); (__node) != NULL; \
	     (__node) = (__node)->next)
#define cds_lfs_for_each_safe(__head, __node, __n)       \
	for ((__node) = (struct cds_lfs_node *)(__head); \
	     (__node) != NULL && ((__n) = (__node)->next, 1); (__node) = (__n))

/* What liburcu has inline with _LGPL_SOURCE. */
#define _cds_lfs_node_init cds_lfs_node_init
#define _cds_lfs_init cds_lfs_init
#define _cds_lfs_destroy cds_lfs_destroy
#define ___cds_lfs_init __cds_lfs_init
#define _cds_lfs_empty cds_lfs_empty
#define _cds_lfs_push cds_lfs_push
#define _cds_lfs_pop_blocking cds_lfs_pop_blocking
#define _cds_lfs_pop_all_blocking cds_lfs_pop_all_blocking
#define _cds_lfs_pop_lock cds_lfs_pop_lock
#define _cds_lfs_pop_unlock cds_lfs_pop_unlock
#define ___cds_lfs_pop __cds_lfs_pop
#define ___cds_lfs_pop_all __cds_lfs_pop_all

#endif
