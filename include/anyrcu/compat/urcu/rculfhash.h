/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The hash table of liburcu-cds, declared as it is there; it is not part of anyrcu. It reads,
 * defers and waits through the flavour with which it is created. Link with -lurcu-cds.
 */
#ifndef ANYRCU_COMPAT_URCU_RCULFHASH_H
#define ANYRCU_COMPAT_URCU_RCULFHASH_H

#include <pthread.h>
#include <stdint.h>
#include <urcu/compiler.h>
#include <urcu/config.h>
#include <urcu/flavor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cds_lfht;

struct cds_lfht_node {
	struct cds_lfht_node *next;
	unsigned long reverse_hash;
} __attribute__((aligned(8)));

struct cds_lfht_iter {
	struct cds_lfht_node *node, *next;
#ifdef CONFIG_CDS_LFHT_ITER_DEBUG
	struct cds_lfht *lfht;
#endif
};

typedef int (*cds_lfht_match_fct)(struct cds_lfht_node *node, const void *key);

enum {
	CDS_LFHT_AUTO_RESIZE = 1,
	CDS_LFHT_ACCOUNTING = 2,
};

/* How a table's buckets are stored; NULL: the library chooses. */
struct cds_lfht_mm_type {
	struct cds_lfht *(*alloc_cds_lfht)(unsigned long min_nr_alloc_buckets,
					   unsigned long max_nr_buckets);
	void (*alloc_bucket_table)(struct cds_lfht *ht, unsigned long order);
	void (*free_bucket_table)(struct cds_lfht *ht, unsigned long order);
	struct cds_lfht_node *(*bucket_at)(struct cds_lfht *ht, unsigned long index);
};

extern const struct cds_lfht_mm_type cds_lfht_mm_order, cds_lfht_mm_chunk, cds_lfht_mm_mmap;

struct cds_lfht *_cds_lfht_new(unsigned long init_size, unsigned long min_nr_alloc_buckets,
			       unsigned long max_nr_buckets, int flags,
			       const struct cds_lfht_mm_type *mm,
			       const struct rcu_flavor_struct *flavor, pthread_attr_t *attr);

/*
 * The allocator of a table, since liburcu-cds 0.15, like the functions that take it. All members
 * must be set.
 */
struct cds_lfht_alloc {
	void *(*malloc)(void *state, size_t size);
	void *(*calloc)(void *state, size_t nmemb, size_t size);
	void *(*realloc)(void *state, void *ptr, size_t size);
	void *(*aligned_alloc)(void *state, size_t alignment, size_t size);
	void (*free)(void *state, void *ptr);
	void *state;
};

struct cds_lfht *_cds_lfht_new_with_alloc(unsigned long init_size,
					  unsigned long min_nr_alloc_buckets,
					  unsigned long max_nr_buckets, int flags,
					  const struct cds_lfht_mm_type *mm,
					  const struct rcu_flavor_struct *flavor,
					  const struct cds_lfht_alloc *alloc, pthread_attr_t *attr);

int cds_lfht_destroy(struct cds_lfht *ht, pthread_attr_t **attr);
void cds_lfht_count_nodes(struct cds_lfht *ht, long *split_count_before, unsigned long *count,
			  long *split_count_after);
void cds_lfht_resize(struct cds_lfht *ht, unsigned long new_size);

void cds_lfht_lookup(struct cds_lfht *ht, unsigned long hash, cds_lfht_match_fct match,
		     const void *key, struct cds_lfht_iter *iter);
void cds_lfht_next_duplicate(struct cds_lfht *ht, cds_lfht_match_fct match, const void *key,
			     struct cds_lfht_iter *iter);
void cds_lfht_first(struct cds_lfht *ht, struct cds_lfht_iter *iter);
void cds_lfht_next(struct cds_lfht *ht, struct cds_lfht_iter *iter);

void cds_lfht_add(struct cds_lfht *ht, unsigned long hash, struct cds_lfht_node *node);
struct cds_lfht_node *cds_lfht_add_unique(struct cds_lfht *ht, unsigned long hash,
					  cds_lfht_match_fct match, const void *key,
					  struct cds_lfht_node *node);
struct cds_lfht_node *cds_lfht_add_replace(struct cds_lfht *ht, unsigned long hash,
					   cds_lfht_match_fct match, const void *key,
					   struct cds_lfht_node *node);
int cds_lfht_replace(struct cds_lfht *ht, struct cds_lfht_iter *old_iter, unsigned long hash,
		     cds_lfht_match_fct match, const void *key, struct cds_lfht_node *new_node);
int cds_lfht_del(struct cds_lfht *ht, struct cds_lfht_node *node);
int cds_lfht_is_node_deleted(const struct cds_lfht_node *node);

static inline void cds_lfht_node_init(struct cds_lfht_node *node)
{
	(void)node;
}

static inline struct cds_lfht_node *cds_lfht_iter_get_node(const struct cds_lfht_iter *iter)
{
	return iter->node;
}

static inline struct cds_lfht *cds_lfht_new_flavor(unsigned long init_size,
						   unsigned long min_nr_alloc_buckets,
						   unsigned long max_nr_buckets, int flags,
						   const struct rcu_flavor_struct *flavor,
						   pthread_attr_t *attr)
{
	return _cds_lfht_new(init_size, min_nr_alloc_buckets, max_nr_buckets, flags, NULL, flavor,
			     attr);
}

/* @alloc: NULL for the default. */
static inline struct cds_lfht *cds_lfht_new_with_flavor_alloc(
	unsigned long init_size, unsigned long min_nr_alloc_buckets, unsigned long max_nr_buckets,
	int flags, const struct rcu_flavor_struct *flavor, const struct cds_lfht_alloc *alloc,
	pthread_attr_t *attr)
{
	return _cds_lfht_new_with_alloc(init_size, min_nr_alloc_buckets, max_nr_buckets, flags,
					NULL, flavor, alloc, attr);
}

/* With the flavour that rcu_flavor means at the place of use. */
#define cds_lfht_new(init_size, min_nr_alloc_buckets, max_nr_buckets, flags, attr)               \
	cds_lfht_new_flavor(init_size, min_nr_alloc_buckets, max_nr_buckets, flags, &rcu_flavor, \
			    attr)

#define cds_lfht_entry(ptr, type, member) caa_container_of_check_null(ptr, type, member)
#define ANYRCU_LFHT_ENTRY(iter, pos, member) \
	cds_lfht_entry(cds_lfht_iter_get_node(iter), __typeof__(*(pos)), member)

/* After the last one, the variable is NULL. */
#define cds_lfht_for_each(ht, iter, node)                                               \
	for (cds_lfht_first(ht, iter); ((node) = cds_lfht_iter_get_node(iter)) != NULL; \
	     cds_lfht_next(ht, iter))
#define cds_lfht_for_each_duplicate(ht, hash, match, key, iter, node) \
	for (cds_lfht_lookup(ht, hash, match, key, iter);             \
	     ((node) = cds_lfht_iter_get_node(iter)) != NULL;         \
	     cds_lfht_next_duplicate(ht, match, key, iter))
#define cds_lfht_for_each_entry(ht, iter, pos, member)                                         \
	for (cds_lfht_first(ht, iter); ((pos) = ANYRCU_LFHT_ENTRY(iter, pos, member)) != NULL; \
	     cds_lfht_next(ht, iter))
#define cds_lfht_for_each_entry_duplicate(ht, hash, match, key, iter, pos, member) \
	for (cds_lfht_lookup(ht, hash, match, key, iter);                          \
	     ((pos) = ANYRCU_LFHT_ENTRY(iter, pos, member)) != NULL;               \
	     cds_lfht_next_duplicate(ht, match, key, iter))

#ifdef __cplusplus
}
#endif

#endif
