/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A hash table for RCU readers, which grows and shrinks by itself.
 *
 * No operation takes a lock: lookups, additions and removals may run at the same time in any
 * contexts, including signal handlers. The table allocates nothing for an element. A deferred call
 * resizes it, so a worker does, or a caller of anyrcu_reclaim() or anyrcu_barrier().
 *
 * An element may be freed, or added again, only once a grace period has passed since its removal:
 *
 *     if (anyrcu_hash_del(table, &object->node))
 *             anyrcu_free(object, rcu);
 *
 * The program computes a hash value of 32 or 64 bits from its keys, whose bits need not be well
 * mixed. Among the elements with one hash value, the program itself finds the one with the right
 * key. Any number of elements may have the same hash value, and the same key.
 */
#ifndef ANYRCU_HASH_H
#define ANYRCU_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <anyrcu/defer.h>
#include <anyrcu/rcu.h>

ANYRCU_BEGIN_DECLS

/**
 * struct anyrcu_hash_node - the links of an element; needs no initialisation
 */
struct anyrcu_hash_node {
	uintptr_t next;
	uint64_t key;
};

/* The part of a table that the inline functions read. Not an interface: see src/data/hash.c. */
struct anyrcu_hash {
	uint32_t order;
	struct anyrcu_hash_node *segment[48];
};

/*
 * Marks in the link of a node: it was removed; it was replaced by the node that the link leads to.
 */
#define ANYRCU_HASH_REMOVED ((uintptr_t)1)
#define ANYRCU_HASH_REPLACED ((uintptr_t)2)
#define ANYRCU_HASH_NODE(link) \
	((struct anyrcu_hash_node *)((link) & ~(ANYRCU_HASH_REMOVED | ANYRCU_HASH_REPLACED)))

/* Elements have odd keys, and are sorted by them. */
static inline uint64_t anyrcu_hash_key(uint64_t hash)
{
	return (hash * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

/* The bucket in which elements with this key begin. In a section. */
static inline struct anyrcu_hash_node *anyrcu_hash_bucket(const struct anyrcu_hash *table,
							  uint64_t key)
{
	uint32_t order = __atomic_load_n(&table->order, __ATOMIC_ACQUIRE);
	uint64_t i = key >> 1 >> (63 - order);
	unsigned zeros;

	if (__builtin_expect(i == 0, 0))
		return table->segment[0];
	zeros = (unsigned)__builtin_ctzll(i);
	return &table->segment[order - zeros][i >> zeros >> 1];
}

/*
 * The link of a node that was found, behind nodes that have replaced it since, so that a walk does
 * not find those as well. In a section.
 */
static inline uintptr_t anyrcu_hash_behind(const struct anyrcu_hash_node *node)
{
	uintptr_t next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE);

	while (next & ANYRCU_HASH_REPLACED)
		next = __atomic_load_n(&ANYRCU_HASH_NODE(next)->next, __ATOMIC_ACQUIRE);
	return next;
}

/*
 * The next element with this key if @same, or else of any key. @next: a node's link. In a section.
 */
static inline struct anyrcu_hash_node *anyrcu_hash_walk(uintptr_t next, uint64_t key, bool same)
{
	for (;;) {
		struct anyrcu_hash_node *n = ANYRCU_HASH_NODE(next);

		if (!n || (same && n->key > key))
			return NULL;
		next = __atomic_load_n(&n->next, __ATOMIC_ACQUIRE);
		if ((same ? n->key == key : n->key & 1) && !(next & ANYRCU_HASH_REMOVED))
			return n;
	}
}

/**
 * anyrcu_hash_create() - make a table
 * @expected: how many elements to make room for; the table does not shrink below that
 *
 * A table takes 4 KiB, and 16 to 32 bytes for each element from the 64th on.
 *
 * Context: a task that may sleep.
 * Return: the table; NULL if there is no memory.
 */
ANYRCU_API struct anyrcu_hash *anyrcu_hash_create(size_t expected);

/**
 * anyrcu_hash_destroy() - destroy a table
 * @table: the table, which no thread uses any more; NULL is allowed and does nothing
 * @func: called on each element that is still in it; may free it; NULL: no call
 *
 * Calls anyrcu_barrier(), as a resize may be in progress.
 *
 * Context: as anyrcu_barrier().
 */
ANYRCU_API void anyrcu_hash_destroy(struct anyrcu_hash *table,
				    void (*func)(struct anyrcu_hash_node *node));

/**
 * anyrcu_hash_add() - add an element
 * @table: the table
 * @node: its links
 * @hash: the hash value of its key
 *
 * Never fails. Elements with the same key may be there already.
 *
 * Context: any.
 * Ordering: a release: readers that find the element see what was written to it.
 */
ANYRCU_API void anyrcu_hash_add(struct anyrcu_hash *table, struct anyrcu_hash_node *node,
				uint64_t hash);

/**
 * anyrcu_hash_add_unique() - add an element, unless there is one with its key
 * @table: the table
 * @node: its links
 * @hash: the hash value of its key
 * @match: does an element with this hash value have @key?
 * @key: given to @match
 *
 * Of several callers with the same key one adds, if all of them use this function.
 *
 * Context: any; in a read-side critical section if the result is used.
 * Return: NULL if @node was added; otherwise the present element.
 */
ANYRCU_API struct anyrcu_hash_node *anyrcu_hash_add_unique(
	struct anyrcu_hash *table, struct anyrcu_hash_node *node, uint64_t hash,
	bool (*match)(const struct anyrcu_hash_node *node, const void *key), const void *key);

/**
 * anyrcu_hash_replace() - replace an element by another one with the same key
 * @table: the table
 * @old: the links of the element that is removed
 * @node: the links of the element that is added
 *
 * A reader finds one of the two, never none and never both.
 *
 * Context: any; in a read-side critical section since @old was found, unless it cannot be freed.
 * Return: false if @old had been removed already; then nothing has changed.
 */
ANYRCU_API bool anyrcu_hash_replace(struct anyrcu_hash *table, struct anyrcu_hash_node *old,
				    struct anyrcu_hash_node *node);

/**
 * anyrcu_hash_del() - remove an element
 * @table: the table
 * @node: its links
 *
 * If several callers remove the same element, one gets true; it then frees the element by a
 * deferred free.
 *
 * Context: any; in a read-side critical section since @node was found, unless it cannot be freed.
 * Return: true if this call has removed it.
 */
ANYRCU_API bool anyrcu_hash_del(struct anyrcu_hash *table, struct anyrcu_hash_node *node);

/**
 * anyrcu_hash_count() - how many elements there are
 * @table: the table
 *
 * Exact while no thread adds or removes.
 *
 * Context: any.
 */
ANYRCU_API size_t anyrcu_hash_count(const struct anyrcu_hash *table);

/**
 * anyrcu_hash_buckets() - how many buckets the table has
 * @table: the table
 *
 * Context: any.
 */
static inline size_t anyrcu_hash_buckets(const struct anyrcu_hash *table)
{
	return (size_t)1 << __atomic_load_n(&table->order, __ATOMIC_RELAXED);
}

/**
 * anyrcu_hash_first() - the first element with a hash value
 * @table: the table
 * @hash: the hash value
 *
 * Context: any, in a read-side critical section.
 * Return: its links; NULL if there is none.
 */
static inline struct anyrcu_hash_node *anyrcu_hash_first(const struct anyrcu_hash *table,
							 uint64_t hash)
{
	uint64_t key = anyrcu_hash_key(hash);
	struct anyrcu_hash_node *bucket = anyrcu_hash_bucket(table, key);

	return anyrcu_hash_walk(__atomic_load_n(&bucket->next, __ATOMIC_ACQUIRE), key, true);
}

/**
 * anyrcu_hash_next() - the next element with the same hash value
 * @node: the links of the element before it
 *
 * Context: any, in the read-side critical section in which @node was found.
 * Return: as anyrcu_hash_first().
 */
static inline struct anyrcu_hash_node *anyrcu_hash_next(const struct anyrcu_hash_node *node)
{
	return anyrcu_hash_walk(anyrcu_hash_behind(node), node->key, true);
}

/* The object of links that may be NULL. Not an interface. */
#define ANYRCU_HASH_ENTRY(links, type, member)                                                   \
	__extension__({                                                                          \
		struct anyrcu_hash_node *anyrcu_links_ = (links);                                \
		anyrcu_links_ ? anyrcu_container_of(anyrcu_links_, type, member) : (type *)NULL; \
	})

/**
 * anyrcu_hash_for_each_possible() - iterate over the elements with a hash value
 * @pos: the variable that points to each of them; NULL after the last
 * @table: the table
 * @hash: the hash value; the body compares the keys
 * @member: the name of the links in an element
 *
 * Context: any, in a read-side critical section.
 */
#define anyrcu_hash_for_each_possible(pos, table, hash, member)                            \
	for ((pos) = ANYRCU_HASH_ENTRY(anyrcu_hash_first(table, hash), __typeof__(*(pos)), \
				       member);                                            \
	     (pos); (pos) = ANYRCU_HASH_ENTRY(anyrcu_hash_next(&(pos)->member),            \
					      __typeof__(*(pos)), member))

/* The element behind a node, of any key. Not an interface. */
static inline struct anyrcu_hash_node *anyrcu_hash_any(const struct anyrcu_hash_node *node)
{
	return anyrcu_hash_walk(anyrcu_hash_behind(node), 0, false);
}

/**
 * anyrcu_hash_for_each() - iterate over all elements
 * @pos: the variable that points to each of them; NULL after the last
 * @table: the table
 * @member: the name of the links in an element
 *
 * An element that stays in the table during the walk is seen once, even if the table is resized.
 *
 * Context: any, in a read-side critical section.
 */
#define anyrcu_hash_for_each(pos, table, member)                                                   \
	for ((pos) = ANYRCU_HASH_ENTRY(anyrcu_hash_any((table)->segment[0]), __typeof__(*(pos)),   \
				       member);                                                    \
	     (pos); (pos) = ANYRCU_HASH_ENTRY(anyrcu_hash_any(&(pos)->member), __typeof__(*(pos)), \
					      member))

ANYRCU_END_DECLS

#endif
