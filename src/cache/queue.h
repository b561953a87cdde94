/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The queue of a CPU: see queue.c. All functions may be called in any context, in a read-side
 * section; those that return false have changed nothing.
 */
#ifndef ANYRCU_CACHE_QUEUE_H
#define ANYRCU_CACHE_QUEUE_H

#include <cache/cache.h>

/* A queue that the caller may change. */
struct queue_view {
	struct queue *q;
	struct cache_cpu *c;
	uint32_t cpu;
	bool rseq;
};

/*
 * Obtain a queue: this CPU's queue for sequences, if @sequences is set and they work, or else a
 * claimed one. False: all are owned.
 */
bool queue_view(struct anyrcu_cache *c, struct queue_view *v, bool sequences);
void queue_view_end(struct queue_view *v);

bool magazine_full(struct magazine *m);
/* A page for @c that is in no queue, with the object @p in it unless NULL; NULL: no memory. */
struct magazine *magazine_make(struct anyrcu_cache *c, unsigned gfp, void *p);

/* The last object of the magazine, or NULL. */
void *queue_pop(struct anyrcu_cache *c, struct queue_view *v);
/* Append @p to the open page, or to the magazine; false if it is full. */
bool queue_append(struct anyrcu_cache *c, struct queue_view *v, bool open, void *p);
/* A queue needs a magazine and an open page: add a missing one. False: there is no memory. */
bool queue_complete(struct anyrcu_cache *c, struct queue_view *v, unsigned gfp);
/* Seal the full open page and put @x in its place. False: it is not full, or try again. */
bool queue_seal(struct anyrcu_cache *c, struct queue_view *v, struct magazine *m,
		struct magazine *open, struct magazine *x);
/* Put @x in place of the magazine @m, which has @count objects. */
bool queue_replace(struct anyrcu_cache *c, struct queue_view *v, struct magazine *m, uint32_t count,
		   struct magazine *x);
/* If the magazine is empty and the page behind it has matured, that becomes the magazine. */
bool queue_advance(struct anyrcu_cache *c, struct queue_view *v);
/*
 * For a CPU that defers more than it allocates: give the page behind the magazine to all CPUs.
 * False: it has not matured.
 */
bool queue_share(struct anyrcu_cache *c, struct queue_view *v);
/* The number of sealed pages in the queue. */
uint32_t queue_waiting(struct queue_view *v);

#endif
