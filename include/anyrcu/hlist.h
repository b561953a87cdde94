/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Lists with a head of one pointer, for RCU readers, with the semantics of the Linux kernel's
 * hlist: for the buckets of hash tables.
 *
 * What anyrcu/list.h says about readers, updaters and -DANYRCU_LIST_DEBUG holds here too.
 */
#ifndef ANYRCU_HLIST_H
#define ANYRCU_HLIST_H

#include <anyrcu/list.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_hlist_node - the links of an element
 *
 * Zero: it is in no list (anyrcu_hlist_unhashed()).
 */
struct anyrcu_hlist_node {
	struct anyrcu_hlist_node *next, **pprev;
};

/**
 * struct anyrcu_hlist_head - a list; zero: an empty one
 */
struct anyrcu_hlist_head {
	struct anyrcu_hlist_node *first;
};

/**
 * anyrcu_hlist_empty() - is a list empty?
 * @list: the list
 *
 * In a reader, the result may be outdated at once.
 */
static inline bool anyrcu_hlist_empty(const struct anyrcu_hlist_head *list)
{
	return !anyrcu_access_pointer(list->first);
}

/**
 * anyrcu_hlist_unhashed() - is an element in no list?
 * @element: its links, which must be zero at first; anyrcu_hlist_del_init() sets them to zero
 */
static inline bool anyrcu_hlist_unhashed(const struct anyrcu_hlist_node *element)
{
	return !element->pprev;
}

/* Publish @added where *@where is. Not an interface. */
static inline void anyrcu_hlist_link(struct anyrcu_hlist_node *added,
				     struct anyrcu_hlist_node **where)
{
	struct anyrcu_hlist_node *next = *where;

	ANYRCU_LIST_CHECK(!next || next->pprev == where, "added to a corrupt list", added);
	ANYRCU_LIST_CHECK(next != added, "added twice", added);
	added->pprev = where;
	anyrcu_assign_pointer(added->next, next);
	anyrcu_assign_pointer(*where, added);
	if (next)
		next->pprev = &added->next;
}

/**
 * anyrcu_hlist_add_head() - add an element at the front
 * @added: its links
 * @list: the list
 *
 * Context: any, updaters excluded. Ordering: a release, as anyrcu_assign_pointer().
 */
static inline void anyrcu_hlist_add_head(struct anyrcu_hlist_node *added,
					 struct anyrcu_hlist_head *list)
{
	anyrcu_hlist_link(added, &list->first);
}

/**
 * anyrcu_hlist_add_before() - add an element before another
 * @added: its links
 * @element: the links of the other element
 *
 * Context and ordering: as anyrcu_hlist_add_head().
 */
static inline void anyrcu_hlist_add_before(struct anyrcu_hlist_node *added,
					   struct anyrcu_hlist_node *element)
{
	anyrcu_hlist_link(added, element->pprev);
}

/**
 * anyrcu_hlist_add_behind() - add an element behind another
 * @added: its links
 * @element: the links of the other element
 *
 * Context and ordering: as anyrcu_hlist_add_head().
 */
static inline void anyrcu_hlist_add_behind(struct anyrcu_hlist_node *added,
					   struct anyrcu_hlist_node *element)
{
	anyrcu_hlist_link(added, &element->next);
}

/* Unlink @element, without marking its own links. Not an interface. */
static inline void anyrcu_hlist_unlink(struct anyrcu_hlist_node *element)
{
	struct anyrcu_hlist_node *next = element->next, **pprev = element->pprev;

	ANYRCU_LIST_CHECK((uintptr_t)pprev != ANYRCU_LIST_POISON, "removed twice", element);
	ANYRCU_LIST_CHECK(*pprev == element && (!next || next->pprev == &element->next),
			  "removed from a corrupt list", element);
	anyrcu_assign_pointer(*pprev, next);
	if (next)
		next->pprev = pprev;
}

/**
 * anyrcu_hlist_del() - remove an element
 * @element: its links; the forward link stays for readers, the other one is poisoned
 *
 * Context: any, updaters excluded.
 */
static inline void anyrcu_hlist_del(struct anyrcu_hlist_node *element)
{
	anyrcu_hlist_unlink(element);
	element->pprev = (struct anyrcu_hlist_node **)ANYRCU_LIST_POISON;
}

/**
 * anyrcu_hlist_del_init() - remove an element, if it is in a list, and mark it as removed
 * @element: its links; anyrcu_hlist_unhashed() is true for it from now on
 *
 * Context: any, updaters excluded.
 */
static inline void anyrcu_hlist_del_init(struct anyrcu_hlist_node *element)
{
	if (anyrcu_hlist_unhashed(element))
		return;
	anyrcu_hlist_unlink(element);
	element->pprev = NULL;
}

/**
 * anyrcu_hlist_replace() - replace an element by another one
 * @old: the links of the element that is removed; its forward link stays for readers
 * @added: the links of the element that is added
 *
 * Context and ordering: as anyrcu_hlist_add_head().
 */
static inline void anyrcu_hlist_replace(struct anyrcu_hlist_node *old,
					struct anyrcu_hlist_node *added)
{
	struct anyrcu_hlist_node *next = old->next;

	ANYRCU_LIST_CHECK((uintptr_t)old->pprev != ANYRCU_LIST_POISON, "replaced when removed",
			  old);
	added->pprev = old->pprev;
	anyrcu_assign_pointer(added->next, next);
	anyrcu_assign_pointer(*added->pprev, added);
	if (next)
		next->pprev = &added->next;
	old->pprev = (struct anyrcu_hlist_node **)ANYRCU_LIST_POISON;
}

/* The element of links that may be NULL. Not an interface. */
#define ANYRCU_HLIST_ENTRY(links, type, member)                                                  \
	__extension__({                                                                          \
		struct anyrcu_hlist_node *anyrcu_links_ = (links);                               \
		anyrcu_links_ ? anyrcu_container_of(anyrcu_links_, type, member) : (type *)NULL; \
	})

/**
 * anyrcu_hlist_for_each() - iterate over a list, as a reader
 * @pos: the variable that points to each element; NULL after the last
 * @list: the list
 * @member: the name of the links in an element
 *
 * Context: any, in a read-side critical section.
 */
#define anyrcu_hlist_for_each(pos, list, member)                                               \
	for ((pos) = ANYRCU_HLIST_ENTRY(anyrcu_dereference((list)->first), __typeof__(*(pos)), \
					member);                                               \
	     (pos); (pos) = ANYRCU_HLIST_ENTRY(anyrcu_dereference((pos)->member.next),         \
					       __typeof__(*(pos)), member))

/**
 * anyrcu_hlist_for_each_safe() - iterate over a list, as its updater
 * @pos: the variable that points to each element, which may be removed, and freed
 * @then: a variable of type struct anyrcu_hlist_node *, for the links of the next element
 * @list: the list
 * @member: the name of the links in an element
 *
 * Context: any, updaters excluded.
 */
#define anyrcu_hlist_for_each_safe(pos, then, list, member)                         \
	for ((pos) = ANYRCU_HLIST_ENTRY((list)->first, __typeof__(*(pos)), member); \
	     (pos) && ((then) = (pos)->member.next, 1);                             \
	     (pos) = ANYRCU_HLIST_ENTRY(then, __typeof__(*(pos)), member))

ANYRCU_END_DECLS

#endif
