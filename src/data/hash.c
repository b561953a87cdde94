/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The hash table: one list of all elements, in the order of their keys, and pointers into it.
 *
 *     order 2:  bucket 00      01        10        11        a bucket is a node with an even key,
 *                |    ______/   ________/  _______/          elements have odd ones
 *                v   v         v          v
 *     list:     [0]-a-b-[0x4..]-c-[0x8..]-d-e-[0xc..]-f
 *
 * With 2^order buckets, the bucket of a key is its upper bits. If the number of buckets doubles,
 * the old buckets stay, with new ones in between, so resizing moves no element, and the list never
 * changes its order: a walk misses no element, and readers need not know of the resize. The nodes
 * that order k adds are in segment[k], 2^(k-1) of them; those up to order 6 are in the table's
 * page.
 *
 * The list is that of Harris, with Michael's find(). A node is removed by one cmpxchg that sets the
 * lowest bit of its own link, which never changes afterwards. The next operation that passes
 * unlinks the node from the node before it, by a cmpxchg that fails if the latter was removed, or
 * got another successor, in between. A replacement sets that bit, a second bit and the new node's
 * address in one cmpxchg.
 *
 * Who writes: any context writes links, by cmpxchg; keys are written before a node is published.
 * Order: the cmpxchg that publishes a node is a release, each load of a link an acquire.
 *
 * Why it may be called from any context: there are no intermediate states. If an operation is
 * interrupted between two instructions, either it has not changed a link yet, and its cmpxchg fails
 * if the handler has changed that link, or it has changed the link, and the list is consistent. A
 * failure means that another change has succeeded (lock-free).
 *
 * Why a removed node may be freed after a grace period: all walks and updates are in read-side
 * sections, so no thread reads a freed node, and no address is reused while a thread compares with
 * it (no ABA). anyrcu_hash_del() returns only after it has itself searched past the node's place:
 * then no node of the list leads to the removed one. A node that was removed earlier may still lead
 * to it, but readers that begin now do not reach such nodes.
 *
 * One deferred call at a time resizes; "resizing" is set meanwhile. To grow, it puts the new
 * buckets into the list, then publishes order, by a release that anyrcu_hash_bucket() acquires. To
 * shrink, it publishes order; a grace period later no operation begins at the removed order's
 * buckets any more, and they are removed like elements; another grace period later they are freed.
 *
 * If another thread forks while a resize has begun, or in the middle of such a call, the child does
 * not continue the resize: its table keeps its size. So anyrcu_hash_destroy() must distinguish an
 * abandoned resize from one in progress. A resizing call that defers the next one increments
 * "stages" after that. A barrier waits for the calls that were counted before it began, and for the
 * one that runs: that call either ends the resize, or has incremented "stages" when the barrier
 * ends.
 *
 * The buckets of an unfinished resize are in segment[order + 1]: they are stored there before they
 * are put into the list, and removed from there before they are freed.
 */
#include <anyrcu/hash.h>
#include <base/compiler.h>
#include <pages/pages.h>
#include <port/process.h>

#define ORDER_MIN 6
#define ORDER_MAX 40
#define SHARDS 16
#define SHRINK 8 /* shrink when there are so many buckets for each element */

struct table {
	struct anyrcu_hash hash; /* first: callers have a pointer to it */
	uint32_t order_min;
	uint32_t resizing;
	uint32_t stages; /* deferred by resizing calls; one may run before it is counted */
	struct anyrcu_head rcu;

	/* Elements added less those removed, by threads that share them. */
	struct shard {
		int64_t n;
	} shard[SHARDS] __attribute__((aligned(CACHE_LINE)));
	struct anyrcu_hash_node first[1 << ORDER_MIN];
};
_Static_assert(sizeof(struct table) <= ANYRCU_PAGE_SIZE, "a table is a page");

static struct table *table_of(struct anyrcu_hash *hash)
{
	return (struct table *)hash;
}

/* ---- the list ---- */

struct place {
	struct anyrcu_hash_node *prev;
	uintptr_t next; /* what prev->next was; never marked */
};

/*
 * Find the place where @key begins, or ends if @past, from @bucket on, and unlink removed nodes
 * before it. In a section.
 */
static struct place find(struct anyrcu_hash_node *bucket, uint64_t key, bool past)
{
	struct place at = { bucket, load_acquire(&bucket->next) };

	for (;;) {
		struct anyrcu_hash_node *n = ANYRCU_HASH_NODE(at.next);
		uintptr_t next;

		if (!n)
			return at;
		next = load_acquire(&n->next);
		if (next & ANYRCU_HASH_REMOVED) {
			next = (uintptr_t)ANYRCU_HASH_NODE(next);
			if (cmpxchg(&at.prev->next, at.next, next))
				at.next = next;
			else
				at = (struct place){ bucket, load_acquire(&bucket->next) };
			continue;
		}
		if (n->key > key || (n->key == key && !past))
			return at;
		at = (struct place){ n, next };
	}
}

static bool insert(struct place at, struct anyrcu_hash_node *node)
{
	store(&node->next, at.next);
	return cmpxchg(&at.prev->next, at.next, (uintptr_t)node);
}

/* Remove @node, and put @in in its place unless that is NULL. False: it was removed already. */
static bool take_out(struct anyrcu_hash_node *bucket, struct anyrcu_hash_node *node,
		     struct anyrcu_hash_node *in)
{
	uintptr_t next = load_acquire(&node->next), marked;

	do {
		if (next & ANYRCU_HASH_REMOVED)
			return false;
		if (in)
			store(&in->next, next);
		marked = in ? (uintptr_t)in | ANYRCU_HASH_REPLACED : next;
		marked |= ANYRCU_HASH_REMOVED;
	} while (!__atomic_compare_exchange_n(&node->next, &next, marked, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_ACQUIRE));
	find(bucket, node->key, true);
	return true;
}

/* ---- resizing ---- */

static size_t count(const struct table *t)
{
	int64_t n = 0;

	for (unsigned i = 0; i < SHARDS; i++)
		n += load(&t->shard[i].n);
	return n > 0 ? n : 0;
}

static bool too_small(const struct table *t)
{
	return load(&t->hash.order) < ORDER_MAX && count(t) > anyrcu_hash_buckets(&t->hash);
}

static bool too_large(const struct table *t)
{
	return load(&t->hash.order) > t->order_min &&
	       count(t) < anyrcu_hash_buckets(&t->hash) / SHRINK;
}

static size_t segment_size(uint32_t order)
{
	return sizeof(struct anyrcu_hash_node) << (order - 1);
}

/* The page order of a segment; above ANYRCU_PAGE_ORDER_MAX: it is mapped. */
static unsigned segment_pages(uint32_t order)
{
	unsigned pages = 0;

	while ((size_t)ANYRCU_PAGE_SIZE << pages < segment_size(order))
		pages++;
	return pages;
}

static struct anyrcu_hash_node *segment_alloc(uint32_t order)
{
	if (segment_pages(order) > ANYRCU_PAGE_ORDER_MAX)
		return port_map(segment_size(order), ANYRCU_PAGE_SIZE);
	return page_alloc(ANYRCU_GFP_KERNEL, segment_pages(order));
}

static void segment_free(struct anyrcu_hash_node *segment, uint32_t order)
{
	if (segment_pages(order) > ANYRCU_PAGE_ORDER_MAX)
		port_unmap(segment, segment_size(order));
	else
		page_free(segment, segment_pages(order));
}

/* Put the buckets of the next order into the list. */
static bool grow(struct table *t)
{
	uint32_t order = load(&t->hash.order) + 1;
	struct anyrcu_hash_node *segment = t->hash.segment[order];

	if (order > ORDER_MIN)
		segment = segment_alloc(order);
	if (!segment)
		return false;
	t->hash.segment[order] = segment;
	for (uint64_t i = 0; i < UINT64_C(1) << (order - 1); i++) {
		struct anyrcu_hash_node *n = &segment[i];

		n->key = (2 * i + 1) << (64 - order);
		anyrcu_read_lock();
		while (!insert(find(anyrcu_hash_bucket(&t->hash, n->key), n->key, false), n))
			;
		anyrcu_read_unlock();
	}
	store_release(&t->hash.order, order);
	return true;
}

static void resize(struct anyrcu_head *head);

/* The last action of a resizing call: defer the next one. */
static void go_on_later(struct table *t, void (*func)(struct anyrcu_head *head))
{
	anyrcu_call(&t->rcu, func);
	/*
	 * pairs with the acquire in anyrcu_hash_destroy(): its barrier waits for the call that was
	 * deferred
	 */
	__atomic_fetch_add(&t->stages, 1, __ATOMIC_RELEASE);
}

static struct table *table_of_head(struct anyrcu_head *head)
{
	return anyrcu_container_of(head, struct table, rcu);
}

/* Two grace periods after order was published. */
static void shrink_free(struct anyrcu_head *head)
{
	struct table *t = table_of_head(head);
	uint32_t order = load(&t->hash.order) + 1;
	struct anyrcu_hash_node *segment = t->hash.segment[order];

	store(&t->hash.segment[order], NULL);
	segment_free(segment, order);
	resize(head);
}

/* One grace period after order was published. */
static void shrink_unlink(struct anyrcu_head *head)
{
	struct table *t = table_of_head(head);
	uint32_t order = load(&t->hash.order) + 1;

	for (uint64_t i = 0; i < UINT64_C(1) << (order - 1); i++) {
		struct anyrcu_hash_node *n = &t->hash.segment[order][i];

		anyrcu_read_lock();
		take_out(anyrcu_hash_bucket(&t->hash, n->key), n, NULL);
		anyrcu_read_unlock();
	}
	go_on_later(t, shrink_free);
}

static void resize(struct anyrcu_head *head)
{
	struct table *t = table_of_head(head);

	for (;;) {
		bool grown = true;

		while (grown && too_small(t))
			grown = grow(t);
		if (too_large(t)) {
			store_release(&t->hash.order, load(&t->hash.order) - 1);
			go_on_later(t, shrink_unlink);
			return;
		}
		store_release(&t->resizing, 0);
		full_fence(); /* pairs with that in counted(): one of the two sees the other */
		if (!grown || !(too_small(t) || too_large(t)) || !cmpxchg(&t->resizing, 0, 1))
			return;
	}
}

/*
 * An element was added or removed. Check at intervals whether to resize; the smaller the table, the
 * more often.
 */
static void counted(struct table *t, int64_t change)
{
	struct shard *s = &t->shard[((uintptr_t)anyrcu_self >> 6) % SHARDS];
	int64_t n = fetch_add(&s->n, change);
	size_t period = anyrcu_hash_buckets(&t->hash) / (2 * SHARDS);

	if (n & ((period < 64 ? period : 64) - 1))
		return;
	full_fence(); /* pairs with that in resize() */
	if (!load(&t->resizing) && (change > 0 ? too_small(t) : too_large(t)) &&
	    cmpxchg(&t->resizing, 0, 1))
		anyrcu_call(&t->rcu, resize);
}

/* ---- the interface ---- */

struct anyrcu_hash *anyrcu_hash_create(size_t expected)
{
	struct table *t = page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, 0);

	if (!t)
		return NULL;
	t->hash.segment[0] = t->first;
	for (uint32_t order = 1; order <= ORDER_MIN; order++)
		t->hash.segment[order] = &t->first[1 << (order - 1)];
	while (t->hash.order < ORDER_MIN ||
	       (t->hash.order < ORDER_MAX && anyrcu_hash_buckets(&t->hash) < expected)) {
		if (!grow(t)) {
			anyrcu_hash_destroy(&t->hash, NULL);
			return NULL;
		}
	}
	t->order_min = t->hash.order;
	return &t->hash;
}

void anyrcu_hash_destroy(struct anyrcu_hash *hash, void (*func)(struct anyrcu_hash_node *node))
{
	struct anyrcu_hash_node *n, *next;
	struct table *t = table_of(hash);
	uint32_t stages;

	if (!t)
		return;
	do {
		stages = load_acquire(&t->stages);
		anyrcu_barrier(); /* also for a call that has cleared "resizing" and still checks */
	} while (load_acquire(&t->resizing) && load(&t->stages) != stages);
	for (n = func ? anyrcu_hash_any(hash->segment[0]) : NULL; n; n = next) {
		next = anyrcu_hash_any(n);
		func(n);
	}
	for (uint32_t order = ORDER_MIN + 1; hash->segment[order]; order++)
		segment_free(hash->segment[order], order);
	page_free(t, 0);
}

void anyrcu_hash_add(struct anyrcu_hash *hash, struct anyrcu_hash_node *node, uint64_t value)
{
	anyrcu_hash_add_unique(hash, node, value, NULL, NULL);
}

/*
 * Elements are always added where the elements with their key begin. So if another element with the
 * key was added since we checked them, that place has changed, and we check again.
 */
struct anyrcu_hash_node *anyrcu_hash_add_unique(
	struct anyrcu_hash *hash, struct anyrcu_hash_node *node, uint64_t value,
	bool (*match)(const struct anyrcu_hash_node *node, const void *key), const void *key)
{
	struct anyrcu_hash_node *there;
	struct place at;

	node->key = anyrcu_hash_key(value);
	anyrcu_read_lock();
	do {
		at = find(anyrcu_hash_bucket(hash, node->key), node->key, false);
		there = match ? anyrcu_hash_walk(at.next, node->key, true) : NULL;
		while (there && !match(there, key))
			there = anyrcu_hash_next(there);
	} while (!there && !insert(at, node));
	if (!there)
		counted(table_of(hash), 1);
	anyrcu_read_unlock();
	return there;
}

bool anyrcu_hash_replace(struct anyrcu_hash *hash, struct anyrcu_hash_node *old,
			 struct anyrcu_hash_node *node)
{
	bool done;

	node->key = old->key;
	anyrcu_read_lock();
	done = take_out(anyrcu_hash_bucket(hash, old->key), old, node);
	anyrcu_read_unlock();
	return done;
}

bool anyrcu_hash_del(struct anyrcu_hash *hash, struct anyrcu_hash_node *node)
{
	bool done;

	anyrcu_read_lock();
	done = take_out(anyrcu_hash_bucket(hash, node->key), node, NULL);
	if (done)
		counted(table_of(hash), -1);
	anyrcu_read_unlock();
	return done;
}

size_t anyrcu_hash_count(const struct anyrcu_hash *hash)
{
	return count((const struct table *)hash);
}
