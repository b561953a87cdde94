/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The fast path for most acquisitions and releases: an acquisition that was checked before, and the
 * release of the lock that was acquired last. Inline, for hosts that know the type of their locks.
 */
#ifndef ANYRCU_LOCKDEP_AGAIN_H
#define ANYRCU_LOCKDEP_AGAIN_H

#include <lockdep/engine.h>

static inline void took(struct thread *t, const void *lock, const void *ip)
{
	struct took *new = &t->took[t->ntook++ % TOOK];

	new->lock = lock;
	new->ip = ip;
	if (unlikely(load(&tables->joins)))
		wait_check(t, new);
}

/*
 * An entry is reserved by depth before it is written. Its class makes it complete, and is stored
 * last, with all of facts.
 */
static inline void push(struct thread *t, const struct held *n)
{
	struct held *h = &t->held[t->depth];

	t->depth++;
	compiler_barrier();
	h->lock = n->lock;
	h->ip = n->ip;
	h->chain = n->chain;
	compiler_barrier();
	store(&h->facts, n->facts);
}

/*
 * A thread remembers some acquisitions for which is_old() found nothing new. is_old() finds nothing
 * new again for the same lock (its slot and generation), type and how, on top of the same chain, if
 * no further signals are unblocked. Nothing else that it depends on changes. The host reports
 * preemption and handlers, and then this path is not used. A class only ever gains uses with
 * unblocked signals. Whether the process has one thread is part of the chain of the bottom entry,
 * so everything remembered is forgotten when the process gets its second thread (see
 * lockdep_not_alone()). For hosts that do not report signal masks, nothing is remembered.
 *
 * A handler may come at any instruction, and remember other acquisitions. "checking" keeps it from
 * writing while the interrupted code writes; interrupted code that only reads finds nchecked
 * changed.
 */
static inline struct checked *checked_place(struct thread *t, const void *lock)
{
	return &t->checked[((uintptr_t)lock >> 3 ^ (uintptr_t)lock >> 7) % CHECKED];
}

/* Together with the lock, the key identifies the type and how exactly. */
static inline uint64_t checked_key(const void *lock, const struct anyrcu_lock_type *type,
				   unsigned how)
{
	return (uintptr_t)lock ^ ((uintptr_t)type | (uint64_t)how << 56);
}

/*
 * As lockdep_acquire() for orders of single locks; @open: the unblocked signals. False: the
 * acquisition is not remembered, and nothing was done. Readers of RCU must not call it.
 */
static inline __attribute__((always_inline)) bool acquire_again(struct thread *t, const void *lock,
								const struct anyrcu_lock_type *type,
								unsigned how, const void *ip,
								uint64_t open)
{
	const struct checked *c = checked_place(t, lock);
	uint32_t version = t->nchecked, depth = t->depth;
	struct held *h = &t->held[depth];
	struct held n = { .lock = lock, .ip = ip };

	compiler_barrier();
	if (c->key != checked_key(lock, type, how) || (open & ~c->open))
		return false;
	n.chain = c->chain;
	n.facts = c->facts;
	if (load(&c->slot->lock) != lock || load(&c->slot->generation) != n.generation)
		return false;
	if (depth ? h[-1].chain != c->below || !h[-1].class : c->below != 0)
		return false;
	compiler_barrier();
	if ((t->odd[0] | t->odd[1] | (version ^ t->nchecked)) || depth >= 16)
		return false;
	push(t, &n);
	if (!(how & ANYRCU_LOCK_TRY))
		took(t, lock, ip);
	return true;
}

/* The wait type that is still allowed with a lock of @type held on top of @below. */
static inline uint8_t limit_with(struct thread *t, const struct held *below,
				 const struct anyrcu_lock_type *type)
{
	return least(below ? below->limit : t->limit,
		     wait_type(inner_of(type)) ?: ANYRCU_WAIT_SLEEP);
}

/*
 * Chains of different contexts differ, and those of a process before and after its second thread.
 */
static inline uint64_t chain_with(struct thread *t, const struct held *below, unsigned class,
				  uint32_t generation, unsigned how)
{
	uint64_t mine = (host->by_instance ? (uint64_t)generation << 32 : class) | (uint64_t)how
											   << 16;

	return below ? mix(below->chain, mine) :
		       mix(t->handles << 8 ^ (t->limit | (alone() ? 128 : 0)) ^
				   (uint64_t)t->once_chain << 40,
			   mine);
}

/*
 * Would validate() neither report nor learn anything? If the host does not report masks, validate()
 * is called in any case, as it looks up the mask at intervals.
 */
static inline bool is_old(struct thread *t, const struct held *below, unsigned class,
			  uint64_t chain, unsigned how, uint8_t outer)
{
	const struct class *c = &tables->class[class];
	bool reads = READS(how) != 0, tries = how & ANYRCU_LOCK_TRY;
	uint8_t allowed = below ? below->limit : t->limit;

	if (!host->masks_told || t->preempt || (!tries && outer > allowed))
		return false;
	if ((signals_open(t) & ~load(&c->use[HELD_OPEN][reads])) |
	    (tries ? 0 : t->handles & ~load(&c->use[USED_IN][reads])))
		return false;
	return (!below && host->by_instance) || chain_known(chain);
}

/* Those of an entry whose class has this number, put together without a detour by memory. */
static inline uint64_t facts_of(uint64_t number, unsigned how, uint8_t limit, uint32_t generation)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ?
		       number | (uint64_t)how << 16 | (uint64_t)limit << 24 |
			       (uint64_t)generation << 32 :
		       number << 48 | (uint64_t)how << 40 | (uint64_t)limit << 32 | generation;
}

/*
 * As acquire_again(), if is_old() finds nothing new, for an acquisition that is not remembered. It
 * reads what held_acquire() reads, and as that does, so a handler in between does no more harm;
 * what only others need is left out. If something else is remembered already, it is rarely
 * replaced, as a lock that is one of many would push out those that are taken all the time; and by
 * lot, as otherwise it might be always the same one of a loop.
 */
static inline __attribute__((always_inline)) bool acquire_known(struct thread *t, const void *lock,
								const struct anyrcu_lock_type *type,
								unsigned how, const void *ip)
{
	const struct lock_slot *slot = lock_find(lock);
	uint32_t depth = t->depth, generation;
	const struct held *below = NULL;
	struct held n = { .lock = lock, .ip = ip };
	const struct key *key;
	unsigned class;

	if (unlikely(!slot || (t->odd[0] | t->odd[1]) || depth >= 16))
		return false;
	if (depth && unlikely(!(below = &t->held[depth - 1])->class))
		return false;
	key = &tables->key[load(&slot->key)];
	class = load_acquire(&key->class[0]);
	if (unlikely(key->type != type || class <= UNVALIDATED))
		return false;
	generation = load(&slot->generation);
	n.facts = facts_of(class, how, limit_with(t, below, type), generation);
	n.chain = chain_with(t, below, class, generation, how);
	if (unlikely(!is_old(t, below, class, n.chain, how, wait_type(type->wait_outer))))
		return false;
	push(t, &n);
	if (!(how & ANYRCU_LOCK_TRY))
		took(t, lock, ip);
	t->lot = t->lot * 1664525 + 1013904223;
	if (unlikely(t->lot < UINT32_MAX / 32 || !checked_place(t, lock)->key))
		checked_remember(t, &t->held[depth], slot, type);
	return true;
}

/* As lockdep_release(). False: the lock is not the topmost, and nothing was done. */
static inline __attribute__((always_inline)) bool release_topmost(struct thread *t,
								  const void *lock)
{
	uint32_t depth = t->depth;

	if (unlikely(depth <= t->base || t->held[depth - 1].lock != lock))
		return false;
	t->held[depth - 1].class = 0;
	compiler_barrier();
	t->depth = depth - 1;
	return true;
}

#endif
