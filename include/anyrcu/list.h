/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Doubly linked lists for RCU readers, with the semantics of the Linux kernel's rculist.h.
 *
 * Readers walk forward without locks, in read-side critical sections, concurrently with one updater
 * at a time: updaters exclude each other by a lock of the program. If an element is removed or
 * replaced while a reader is at it, the reader can continue from it. So an element may be freed, or
 * added again, only once a grace period has passed since its removal: anyrcu_free(), anyrcu_call(),
 * anyrcu_synchronize().
 *
 * In programs that are compiled with -DANYRCU_LIST_DEBUG, updates check the links that they are
 * about to change; a corrupt list, or an element that is removed twice, is reported and ends the
 * program.
 */
#ifndef ANYRCU_LIST_H
#define ANYRCU_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <anyrcu/rcu.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_list_head - a list, or the links of an element in it
 *
 * A list is initialised by anyrcu_list_init() or by ANYRCU_LIST_INIT(); an element by being added.
 */
struct anyrcu_list_head {
	struct anyrcu_list_head *next, *prev;
};

#define ANYRCU_LIST_INIT(name)   \
	{                        \
		&(name), &(name) \
	}

/* The back link of a removed element: not a valid address, so that its use is a fault. */
#define ANYRCU_LIST_POISON ((uintptr_t)0xdead000000000122)

/* The out-of-line part of the checks: @what is wrong at @element. */
ANYRCU_API void anyrcu_list_corrupt(const char *what, const void *element)
	__attribute__((noreturn));

#ifdef ANYRCU_LIST_DEBUG
#define ANYRCU_LIST_CHECK(ok, what, element) ((ok) ? (void)0 : anyrcu_list_corrupt(what, element))
#else
#define ANYRCU_LIST_CHECK(ok, what, element) ((void)0)
#endif

/**
 * anyrcu_list_init() - initialise an empty list, which no reader can see yet
 * @list: the list
 */
static inline void anyrcu_list_init(struct anyrcu_list_head *list)
{
	anyrcu_assign_pointer(list->next, list);
	list->prev = list;
}

/* Publish @added between two elements that follow each other. Not an interface. */
static inline void anyrcu_list_link(struct anyrcu_list_head *added, struct anyrcu_list_head *prev,
				    struct anyrcu_list_head *next)
{
	ANYRCU_LIST_CHECK(prev->next == next && next->prev == prev, "added to a corrupt list",
			  added);
	ANYRCU_LIST_CHECK(added != prev && added != next, "added twice", added);
	added->prev = prev;
	anyrcu_assign_pointer(added->next, next);
	anyrcu_assign_pointer(prev->next, added);
	next->prev = added;
}

/**
 * anyrcu_list_add() - add an element at the front
 * @added: the links of the element
 * @list: the list, or an element of it, behind which it is added
 *
 * Context: any, updaters excluded. Ordering: a release, as anyrcu_assign_pointer().
 */
static inline void anyrcu_list_add(struct anyrcu_list_head *added, struct anyrcu_list_head *list)
{
	anyrcu_list_link(added, list, list->next);
}

/**
 * anyrcu_list_add_tail() - add an element at the end
 * @added: the links of the element
 * @list: the list, or an element of it, before which it is added
 *
 * Context and ordering: as anyrcu_list_add().
 */
static inline void anyrcu_list_add_tail(struct anyrcu_list_head *added,
					struct anyrcu_list_head *list)
{
	anyrcu_list_link(added, list->prev, list);
}

/**
 * anyrcu_list_del() - remove an element
 * @element: its links; the forward link stays for readers, the other one is poisoned
 *
 * Context: any, updaters excluded.
 */
static inline void anyrcu_list_del(struct anyrcu_list_head *element)
{
	struct anyrcu_list_head *prev = element->prev, *next = element->next;

	ANYRCU_LIST_CHECK((uintptr_t)prev != ANYRCU_LIST_POISON, "removed twice", element);
	ANYRCU_LIST_CHECK(prev->next == element && next->prev == element,
			  "removed from a corrupt list", element);
	next->prev = prev;
	anyrcu_assign_pointer(prev->next, next);
	element->prev = (struct anyrcu_list_head *)ANYRCU_LIST_POISON;
}

/**
 * anyrcu_list_replace() - replace an element by another one
 * @old: the links of the element that is removed; its forward link stays for readers
 * @added: the links of the element that is added
 *
 * Context and ordering: as anyrcu_list_add().
 */
static inline void anyrcu_list_replace(struct anyrcu_list_head *old, struct anyrcu_list_head *added)
{
	struct anyrcu_list_head *prev = old->prev, *next = old->next;

	ANYRCU_LIST_CHECK((uintptr_t)prev != ANYRCU_LIST_POISON, "replaced when removed", old);
	added->prev = prev;
	anyrcu_assign_pointer(added->next, next);
	anyrcu_assign_pointer(prev->next, added);
	next->prev = added;
	old->prev = (struct anyrcu_list_head *)ANYRCU_LIST_POISON;
}

/**
 * anyrcu_list_empty() - is a list empty?
 * @list: the list
 *
 * In a reader, the result may be outdated at once.
 */
static inline bool anyrcu_list_empty(const struct anyrcu_list_head *list)
{
	return anyrcu_access_pointer(list->next) == list;
}

/* Move all of @list in between two elements. Not an interface. */
static inline void anyrcu_list_splice_between(struct anyrcu_list_head *list,
					      struct anyrcu_list_head *prev,
					      struct anyrcu_list_head *next, void (*sync)(void))
{
	struct anyrcu_list_head *first = list->next, *last = list->prev;

	if (first == list)
		return;
	anyrcu_list_init(list);
	/* A reader that is walking @list would not find its end any more. */
	sync();
	anyrcu_assign_pointer(last->next, next);
	anyrcu_assign_pointer(prev->next, first);
	first->prev = prev;
	next->prev = last;
}

/**
 * anyrcu_list_splice() - move all elements of a list to the front of another
 * @list: the list that becomes empty
 * @into: the other one
 * @sync: waits for readers of @list: anyrcu_synchronize(), or an empty function if it has none
 *
 * Context: that of @sync, updaters of both excluded.
 */
static inline void anyrcu_list_splice(struct anyrcu_list_head *list, struct anyrcu_list_head *into,
				      void (*sync)(void))
{
	anyrcu_list_splice_between(list, into, into->next, sync);
}

/**
 * anyrcu_list_splice_tail() - move all elements of a list to the end of another
 * @list: the list that becomes empty
 * @into: the other one
 * @sync: as of anyrcu_list_splice()
 */
static inline void anyrcu_list_splice_tail(struct anyrcu_list_head *list,
					   struct anyrcu_list_head *into, void (*sync)(void))
{
	anyrcu_list_splice_between(list, into->prev, into, sync);
}

/**
 * anyrcu_list_entry() - the element that links belong to
 * @links: a published pointer to them, which is read as by anyrcu_dereference()
 * @type: the element's type
 * @member: the name of the links in it
 */
#define anyrcu_list_entry(links, type, member) \
	anyrcu_container_of(anyrcu_dereference(links), type, member)

/**
 * anyrcu_list_first_or_null() - the first element, for readers
 * @list: the list
 * @type: the elements' type
 * @member: the name of the links in them
 *
 * Context: any, in a read-side critical section. Return: NULL if there is none.
 */
#define anyrcu_list_first_or_null(list, type, member) \
	anyrcu_list_next_or_null(list, list, type, member)

/**
 * anyrcu_list_next_or_null() - the element behind another, for readers
 * @list: the list
 * @links: the links of the other, or the list
 * @type: the elements' type
 * @member: the name of the links in them
 *
 * Context: any, in a read-side critical section. Return: NULL if there is none.
 */
#define anyrcu_list_next_or_null(list, links, type, member)                                     \
	__extension__({                                                                         \
		struct anyrcu_list_head *anyrcu_list_ = (list);                                 \
		struct anyrcu_list_head *anyrcu_next_ = anyrcu_dereference((links)->next);      \
		anyrcu_next_ == anyrcu_list_ ? (type *)NULL :                                   \
					       anyrcu_container_of(anyrcu_next_, type, member); \
	})

/**
 * anyrcu_list_for_each() - iterate over a list, as a reader
 * @pos: the variable that points to each element
 * @list: the list
 * @member: the name of the links in an element
 *
 * Context: any, in a read-side critical section.
 */
#define anyrcu_list_for_each(pos, list, member)                                   \
	for ((pos) = anyrcu_list_entry((list)->next, __typeof__(*(pos)), member); \
	     &(pos)->member != (list);                                            \
	     (pos) = anyrcu_list_entry((pos)->member.next, __typeof__(*(pos)), member))

/**
 * anyrcu_list_for_each_continue() - continue after an element, as a reader
 * @pos: the variable that points to the element, and then to each one after it
 * @list: the list
 * @member: the name of the links in an element
 *
 * Context: any, in the read-side critical section in which the element was found.
 */
#define anyrcu_list_for_each_continue(pos, list, member)                                \
	for ((pos) = anyrcu_list_entry((pos)->member.next, __typeof__(*(pos)), member); \
	     &(pos)->member != (list);                                                  \
	     (pos) = anyrcu_list_entry((pos)->member.next, __typeof__(*(pos)), member))

/**
 * anyrcu_list_for_each_safe() - iterate over a list, as its updater
 * @pos: the variable that points to each element, which may be removed, and freed
 * @then: another variable of its type, for the next element
 * @list: the list
 * @member: the name of the links in an element
 *
 * Context: any, updaters excluded.
 */
#define anyrcu_list_for_each_safe(pos, then, list, member)                                \
	for ((pos) = anyrcu_container_of((list)->next, __typeof__(*(pos)), member),       \
	    (then) = anyrcu_container_of((pos)->member.next, __typeof__(*(pos)), member); \
	     &(pos)->member != (list); (pos) = (then),                                    \
	    (then) = anyrcu_container_of((pos)->member.next, __typeof__(*(pos)), member))

ANYRCU_END_DECLS

#endif
