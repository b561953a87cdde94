/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The ring of urcu/list.h with readers: one thread at a time may change it, while any number
 * of threads read in sections.
 */
#ifndef ANYRCU_COMPAT_URCU_RCULIST_H
#define ANYRCU_COMPAT_URCU_RCULIST_H

#include <urcu/list.h>
#include <urcu/pointer.h>

/* Readers follow next alone: it is stored last, when the element is complete. */
static inline void anyrcu_list_link_rcu(struct cds_list_head *prev, struct cds_list_head *elem,
					struct cds_list_head *next)
{
	elem->prev = prev;
	elem->next = next;
	rcu_assign_pointer(prev->next, elem);
	next->prev = elem;
}

static inline void cds_list_add_rcu(struct cds_list_head *newp, struct cds_list_head *head)
{
	anyrcu_list_link_rcu(head, newp, head->next);
}

static inline void cds_list_add_tail_rcu(struct cds_list_head *newp, struct cds_list_head *head)
{
	anyrcu_list_link_rcu(head->prev, newp, head);
}

static inline void cds_list_replace_rcu(struct cds_list_head *old, struct cds_list_head *_new)
{
	anyrcu_list_link_rcu(old->prev, _new, old->next);
}

/* A reader at @elem continues from it, so its own pointers stay. */
static inline void cds_list_del_rcu(struct cds_list_head *elem)
{
	elem->next->prev = elem->prev;
	__atomic_store_n(&elem->prev->next, elem->next, __ATOMIC_RELAXED);
}

#define cds_list_for_each_rcu(pos, head)                             \
	for ((pos) = rcu_dereference((head)->next); (pos) != (head); \
	     (pos) = rcu_dereference((pos)->next))
#define cds_list_for_each_entry_rcu(pos, head, member)                              \
	for ((pos) = ANYRCU_LIST_ENTRY(rcu_dereference((head)->next), pos, member); \
	     &(pos)->member != (head);                                              \
	     (pos) = ANYRCU_LIST_ENTRY(rcu_dereference((pos)->member.next), pos, member))

#endif
