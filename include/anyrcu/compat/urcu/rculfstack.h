/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * liburcu's older stack for readers, deprecated there: use urcu/lfstack.h. Pop inside a read-side
 * section; free after a grace period.
 */
#ifndef ANYRCU_COMPAT_URCU_RCULFSTACK_H
#define ANYRCU_COMPAT_URCU_RCULFSTACK_H

#include <stdbool.h>
#include <urcu/compiler.h>
#include <urcu/pointer.h>

#ifndef CDS_LFS_RCU_DEPRECATED
#define CDS_LFS_RCU_DEPRECATED CDS_DEPRECATED("urcu/rculfstack.h is deprecated: use urcu/lfstack.h")
#endif

struct cds_lfs_node_rcu {
	struct cds_lfs_node_rcu *next;
};

struct cds_lfs_stack_rcu {
	struct cds_lfs_node_rcu *head;
};

static inline void _cds_lfs_node_init_rcu(struct cds_lfs_node_rcu *node)
{
	(void)node;
}

static inline void _cds_lfs_init_rcu(struct cds_lfs_stack_rcu *s)
{
	s->head = NULL;
}

/* Returns 0 if the stack was empty. */
static inline int _cds_lfs_push_rcu(struct cds_lfs_stack_rcu *s, struct cds_lfs_node_rcu *node)
{
	struct cds_lfs_node_rcu *top = __atomic_load_n(&s->head, __ATOMIC_RELAXED);

	do {
		node->next = top;
	} while (!__atomic_compare_exchange_n(&s->head, &top, node, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	return top != NULL;
}

static inline struct cds_lfs_node_rcu *_cds_lfs_pop_rcu(struct cds_lfs_stack_rcu *s)
{
	struct cds_lfs_node_rcu *top = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);

	while (top && !__atomic_compare_exchange_n(&s->head, &top,
						   __atomic_load_n(&top->next, __ATOMIC_RELAXED),
						   true, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
		;
	return top;
}

static inline CDS_LFS_RCU_DEPRECATED void cds_lfs_node_init_rcu(struct cds_lfs_node_rcu *node)
{
	_cds_lfs_node_init_rcu(node);
}

static inline CDS_LFS_RCU_DEPRECATED void cds_lfs_init_rcu(struct cds_lfs_stack_rcu *s)
{
	_cds_lfs_init_rcu(s);
}

static inline CDS_LFS_RCU_DEPRECATED int cds_lfs_push_rcu(struct cds_lfs_stack_rcu *s,
							  struct cds_lfs_node_rcu *node)
{
	return _cds_lfs_push_rcu(s, node);
}

static inline CDS_LFS_RCU_DEPRECATED struct cds_lfs_node_rcu *cds_lfs_pop_rcu(
	struct cds_lfs_stack_rcu *s)
{
	return _cds_lfs_pop_rcu(s);
}

#endif
