/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A doubly linked list with one pointer as its head, by liburcu's names. Not for concurrent use. */
#ifndef ANYRCU_COMPAT_URCU_HLIST_H
#define ANYRCU_COMPAT_URCU_HLIST_H

#include <stddef.h>
#include <urcu/compiler.h>

struct cds_hlist_head {
	struct cds_hlist_node *next;
};

struct cds_hlist_node {
	/* prev: of the first one, the head, whose only member has the place of next */
	struct cds_hlist_node *next, *prev;
};

#define CDS_HLIST_HEAD_INIT(name) \
	{                         \
		NULL              \
	}
#define CDS_HLIST_HEAD(name) struct cds_hlist_head name = CDS_HLIST_HEAD_INIT(name)

static inline void CDS_INIT_HLIST_HEAD(struct cds_hlist_head *ptr)
{
	ptr->next = NULL;
}

static inline void cds_hlist_add_head(struct cds_hlist_node *newp, struct cds_hlist_head *head)
{
	newp->prev = (struct cds_hlist_node *)head;
	newp->next = head->next;
	if (newp->next)
		newp->next->prev = newp;
	head->next = newp;
}

static inline void cds_hlist_del(struct cds_hlist_node *elem)
{
	elem->prev->next = elem->next;
	if (elem->next)
		elem->next->prev = elem->prev;
}

#define cds_hlist_entry(ptr, type, member) caa_container_of(ptr, type, member)
#define cds_hlist_entry_safe(ptr, type, member)                                    \
	__extension__({                                                            \
		__typeof__(ptr) anyrcu_node_ = (ptr);                              \
		anyrcu_node_ ? cds_hlist_entry(anyrcu_node_, type, member) : NULL; \
	})
#define ANYRCU_HLIST_ENTRY(ptr, entry, member) cds_hlist_entry(ptr, __typeof__(*(entry)), member)
#define ANYRCU_HLIST_ENTRY_SAFE(ptr, entry, member) \
	cds_hlist_entry_safe(ptr, __typeof__(*(entry)), member)

#define cds_hlist_for_each(pos, head) for ((pos) = (head)->next; (pos) != NULL; (pos) = (pos)->next)
#define cds_hlist_for_each_safe(pos, p, head) \
	for ((pos) = (head)->next; (pos) != NULL && ((p) = (pos)->next, 1); (pos) = (p))
#define cds_hlist_for_each_entry(entry, pos, head, member)                           \
	for ((pos) = (head)->next;                                                   \
	     (pos) != NULL && ((entry) = ANYRCU_HLIST_ENTRY(pos, entry, member), 1); \
	     (pos) = (pos)->next)
#define cds_hlist_for_each_entry_safe(entry, pos, p, head, member)                     \
	for ((pos) = (head)->next;                                                     \
	     (pos) != NULL &&                                                          \
	     ((p) = (pos)->next, (entry) = ANYRCU_HLIST_ENTRY(pos, entry, member), 1); \
	     (pos) = (p))
#define cds_hlist_for_each_entry_2(entry, head, member)                                       \
	for ((entry) = ANYRCU_HLIST_ENTRY_SAFE((head)->next, entry, member); (entry) != NULL; \
	     (entry) = ANYRCU_HLIST_ENTRY_SAFE((entry)->member.next, entry, member))
#define cds_hlist_for_each_entry_safe_2(entry, e, head, member)                       \
	for ((entry) = ANYRCU_HLIST_ENTRY_SAFE((head)->next, entry, member);          \
	     (entry) != NULL &&                                                       \
	     ((e) = ANYRCU_HLIST_ENTRY_SAFE((entry)->member.next, entry, member), 1); \
	     (entry) = (e))

#endif
