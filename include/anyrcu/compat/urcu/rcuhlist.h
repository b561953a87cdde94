/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The list of urcu/hlist.h with readers: one thread at a time may change it, while any number
 * of threads read in sections.
 */
#ifndef ANYRCU_COMPAT_URCU_RCUHLIST_H
#define ANYRCU_COMPAT_URCU_RCUHLIST_H

#include <urcu/hlist.h>
#include <urcu/pointer.h>

static inline void cds_hlist_add_head_rcu(struct cds_hlist_node *newp, struct cds_hlist_head *head)
{
	newp->prev = (struct cds_hlist_node *)head;
	newp->next = head->next;
	if (newp->next)
		newp->next->prev = newp;
	rcu_assign_pointer(head->next, newp); /* last, when it is complete */
}

/* A reader at @elem continues from it, so its own pointers stay. */
static inline void cds_hlist_del_rcu(struct cds_hlist_node *elem)
{
	if (elem->next)
		elem->next->prev = elem->prev;
	__atomic_store_n(&elem->prev->next, elem->next, __ATOMIC_RELAXED);
}

#define cds_hlist_for_each_rcu(pos, head)                          \
	for ((pos) = rcu_dereference((head)->next); (pos) != NULL; \
	     (pos) = rcu_dereference((pos)->next))
#define cds_hlist_for_each_entry_rcu(entry, pos, head, member)                       \
	for ((pos) = rcu_dereference((head)->next);                                  \
	     (pos) != NULL && ((entry) = ANYRCU_HLIST_ENTRY(pos, entry, member), 1); \
	     (pos) = rcu_dereference((pos)->next))
#define cds_hlist_for_each_entry_rcu_2(entry, head, member)                                   \
	for ((entry) = ANYRCU_HLIST_ENTRY_SAFE(rcu_dereference((head)->next), entry, member); \
	     (entry) != NULL; (entry) = ANYRCU_HLIST_ENTRY_SAFE(                              \
				      rcu_dereference((entry)->member.next), entry, member))

#endif
