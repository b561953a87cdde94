/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A doubly linked ring with a head, by liburcu's names. One thread at a time may use it. */
#ifndef ANYRCU_COMPAT_URCU_LIST_H
#define ANYRCU_COMPAT_URCU_LIST_H

#include <urcu/compiler.h>

struct cds_list_head {
	struct cds_list_head *next, *prev;
};

#define CDS_LIST_HEAD_INIT(name) \
	{                        \
		&(name), &(name) \
	}
#define CDS_LIST_HEAD(name) struct cds_list_head name = CDS_LIST_HEAD_INIT(name)
#define CDS_INIT_LIST_HEAD(ptr) ((ptr)->next = (ptr)->prev = (ptr))

static inline int cds_list_empty(struct cds_list_head *head)
{
	return head->next == head;
}

/* Put @elem between two neighbours. */
static inline void anyrcu_list_link(struct cds_list_head *prev, struct cds_list_head *elem,
				    struct cds_list_head *next)
{
	elem->prev = prev;
	elem->next = next;
	prev->next = elem;
	next->prev = elem;
}

static inline void cds_list_add(struct cds_list_head *newp, struct cds_list_head *head)
{
	anyrcu_list_link(head, newp, head->next);
}

static inline void cds_list_add_tail(struct cds_list_head *newp, struct cds_list_head *head)
{
	anyrcu_list_link(head->prev, newp, head);
}

static inline void __cds_list_del(struct cds_list_head *prev, struct cds_list_head *next)
{
	prev->next = next;
	next->prev = prev;
}

static inline void cds_list_del(struct cds_list_head *elem)
{
	__cds_list_del(elem->prev, elem->next);
}

static inline void cds_list_del_init(struct cds_list_head *elem)
{
	cds_list_del(elem);
	CDS_INIT_LIST_HEAD(elem);
}

static inline void cds_list_move(struct cds_list_head *elem, struct cds_list_head *head)
{
	cds_list_del(elem);
	cds_list_add(elem, head);
}

static inline void cds_list_replace(struct cds_list_head *old, struct cds_list_head *_new)
{
	anyrcu_list_link(old->prev, _new, old->next);
}

static inline void cds_list_replace_init(struct cds_list_head *old, struct cds_list_head *_new)
{
	if (cds_list_empty(old)) { /* its neighbour is itself */
		CDS_INIT_LIST_HEAD(_new);
	} else {
		cds_list_replace(old, _new);
		CDS_INIT_LIST_HEAD(old);
	}
}

/* The elements of @add come first in @head; @add itself is left as it is. */
static inline void cds_list_splice(struct cds_list_head *add, struct cds_list_head *head)
{
	if (cds_list_empty(add))
		return;
	add->prev->next = head->next;
	head->next->prev = add->prev;
	head->next = add->next;
	add->next->prev = head;
}

#define cds_list_entry(ptr, type, member) caa_container_of(ptr, type, member)
#define cds_list_first_entry(ptr, type, member) cds_list_entry((ptr)->next, type, member)
#define ANYRCU_LIST_ENTRY(ptr, pos, member) cds_list_entry(ptr, __typeof__(*(pos)), member)

#define cds_list_for_each(pos, head) \
	for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)
#define cds_list_for_each_prev(pos, head) \
	for ((pos) = (head)->prev; (pos) != (head); (pos) = (pos)->prev)
#define cds_list_for_each_safe(pos, p, head)                           \
	for ((pos) = (head)->next, (p) = (pos)->next; (pos) != (head); \
	     (pos) = (p), (p) = (pos)->next)
#define cds_list_for_each_prev_safe(pos, p, head)                      \
	for ((pos) = (head)->prev, (p) = (pos)->prev; (pos) != (head); \
	     (pos) = (p), (p) = (pos)->prev)

#define cds_list_for_each_entry(pos, head, member)                                           \
	for ((pos) = ANYRCU_LIST_ENTRY((head)->next, pos, member); &(pos)->member != (head); \
	     (pos) = ANYRCU_LIST_ENTRY((pos)->member.next, pos, member))
#define cds_list_for_each_entry_reverse(pos, head, member)                                   \
	for ((pos) = ANYRCU_LIST_ENTRY((head)->prev, pos, member); &(pos)->member != (head); \
	     (pos) = ANYRCU_LIST_ENTRY((pos)->member.prev, pos, member))
#define cds_list_for_each_entry_safe_from(pos, p, head, member)                                  \
	for ((p) = ANYRCU_LIST_ENTRY((pos)->member.next, pos, member); &(pos)->member != (head); \
	     (pos) = (p), (p) = ANYRCU_LIST_ENTRY((pos)->member.next, pos, member))
#define cds_list_for_each_entry_safe(pos, p, head, member)            \
	for ((pos) = ANYRCU_LIST_ENTRY((head)->next, pos, member),    \
	    (p) = ANYRCU_LIST_ENTRY((pos)->member.next, pos, member); \
	     &(pos)->member != (head);                                \
	     (pos) = (p), (p) = ANYRCU_LIST_ENTRY((pos)->member.next, pos, member))

#endif
