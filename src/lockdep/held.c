/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The locks that a thread holds: acquire and release. engine.c explains how handlers share them. */
#include <lockdep/again.h>

static noinline unsigned class_slow(struct thread *t, const void *lock,
				    const struct anyrcu_lock_type *type, const char *name,
				    const void *id, unsigned subclass)
{
	unsigned class = UNVALIDATED;

	if (slow_begin(t)) {
		class = class_make(lock, type, name, id, subclass);
		slow_end(t);
	}
	return class;
}

/*
 * What the class of a lock goes by that was not initialised by a call. So many have one of their
 * own that there is room for others.
 */
static const void *place_of(const void *lock, const void *ip)
{
	if (port_in_object(lock) && !(host->by_instance && load(&tables->nkeys) > KEYS / 2))
		return lock;
	return (host->site ? host->site(ip) : NULL) ?: ip;
}

struct lock_slot *lockdep_slot(struct thread *t, const void *lock,
			       const struct anyrcu_lock_type *type, const void *ip)
{
	struct lock_slot *slot = lock_find(lock);

	if (likely(slot && tables->key[load(&slot->key)].type == type))
		return slot;
	class_slow(t, lock, type, NULL, place_of(lock, ip), 0);
	return lock_find(lock);
}

static bool use_is_new(const struct held *h, uint64_t in, uint64_t open)
{
	struct class *c = &tables->class[h->class];
	bool reads = READS(h->how);

	return (in & ~load(&c->use[USED_IN][reads])) | (open & ~load(&c->use[HELD_OPEN][reads]));
}

void held_use(struct thread *t, struct held *h, uint64_t in, uint64_t open)
{
	if (likely(!use_is_new(h, in, open)) || !slow_begin(t))
		return;
	use_check(t, h, in, open);
	slow_end(t);
}

static void look_at_mask(struct thread *t)
{
	if (!host->masks_told)
		t->blocked = port_signals_blocked();
}

static void link_up(struct thread *t, struct held *n, struct held *below)
{
	n->limit = n->class == UNVALIDATED ?
			   least(below ? below->limit : t->limit, ANYRCU_WAIT_SLEEP) :
			   limit_with(t, below, type_of(n->class));
	n->chain = chain_with(t, below, n->class, n->generation, n->how);
}

static noinline void validate(struct thread *t, struct held *n, const struct held *below,
			      uint8_t outer, const void *nest)
{
	bool tries = n->how & ANYRCU_LOCK_TRY, use, chain;
	struct class *c = &tables->class[n->class];
	uint64_t in = tries ? 0 : t->handles, open;

	if (unlikely(!tries && outer > context_limit(t)))
		context_wrong(t, n, outer);
	/* look up the mask if the use would be new under the assumed one */
	if (unlikely(++t->looks % 256 == 0 ||
		     (signals_open(t) & ~load(&c->use[HELD_OPEN][READS(n->how) != 0]))))
		look_at_mask(t);
	open = signals_open(t);
	use = use_is_new(n, in, open);
	chain = (below || !host->by_instance) && !chain_known(n->chain);
	if (likely(!use && !chain) || !slow_begin(t))
		return;
	if (use)
		use_check(t, n, in, open);
	if (chain)
		chain_check(t, n, nest);
	slow_end(t);
}

/* The entries from @i on now belong to another context: compute their limits and chains anew. */
void held_relink(struct thread *t, uint32_t i)
{
	for (; i < t->depth; i++) {
		struct held h = t->held[i];

		link_up(t, &h, i > t->base ? &t->held[i - 1] : NULL);
		t->held[i] = h;
	}
}

void held_over(struct thread *t, struct held *p, struct held *n)
{
	p->generation = 0; /* which no lock has */
	held_relink(t, p - t->held);
	if (n)
		link_up(t, n, top(t));
}

/* Move the entries above @i down over it; engine.c explains what a handler in between sees. */
void held_remove(struct thread *t, uint32_t i)
{
	for (i++; i < t->depth; i++) {
		struct held h = t->held[i];

		link_up(t, &h, i - 1 > t->base ? &t->held[i - 2] : NULL);
		t->held[i - 1] = h;
	}
	t->held[t->depth - 1].class = 0;
	compiler_barrier();
	t->depth--;
}

noinline void held_clean(struct thread *t)
{
	for (uint32_t i = t->depth; i-- > t->base;)
		if (t->held[i].class && instance_stale(&t->held[i]))
			held_remove(t, i);
}

void checked_remember(struct thread *t, const struct held *n, const struct lock_slot *slot,
		      const struct anyrcu_lock_type *type)
{
	struct checked *c = checked_place(t, n->lock);
	const struct held *below = n > &t->held[t->base] ? n - 1 : NULL;
	const struct class *known = &tables->class[n->class];

	if (t->checking)
		return;
	t->checking = 1;
	compiler_barrier();
	t->nchecked++;
	*c = (struct checked){ checked_key(n->lock, type, n->how), slot, below ? below->chain : 0,
			       /* a handler may have been installed meanwhile */
			       signals_open(t) & load(&known->use[HELD_OPEN][READS(n->how) != 0]),
			       n->chain, n->facts };
	compiler_barrier();
	t->checking = 0;
}

void checked_forget(struct thread *t)
{
	t->nchecked++;
	for (uint32_t i = 0; i < CHECKED; i++)
		t->checked[i].key = 0;
}

/*
 * The process gets its second thread, which the caller creates, as there is no other thread. If a
 * handler remembers an acquisition in between, it already takes this into account.
 */
void lockdep_not_alone(void)
{
	struct thread *t = lockdep_thread();

	if (t)
		checked_forget(t);
}

/* ---- acquire and release ---- */

void held_acquire(struct thread *t, const void *lock, const struct anyrcu_lock_type *type,
		  unsigned how, unsigned subclass, const void *nest, const void *ip)
{
	struct held *below, n = { .lock = lock, .ip = ip, .how = how };
	struct lock_slot *slot;
	struct key *key;
	uint8_t outer;

	if (unlikely(t->depth >= 16 && t->depth % 16 == 0) && host->by_instance)
		held_clean(t);
	if (unlikely(t->depth == HELD)) {
		t->beyond++;
		if (slow_begin(t)) {
			say_full(0, "what one thread holds");
			slow_end(t);
		}
		return;
	}
	subclass = subclass < ANYRCU_LOCKDEP_SUBCLASSES ? subclass : ANYRCU_LOCKDEP_SUBCLASSES - 1;
	slot = lock_find(lock);
	key = likely(slot) ? &tables->key[load(&slot->key)] : NULL;
	n.class = key && likely(key->type == type) ? load_acquire(&key->class[subclass]) : 0;
	if (unlikely(!n.class)) {
		n.class = class_slow(t, lock, type, NULL, place_of(lock, ip), subclass);
		slot = lock_find(lock);
	}
	n.generation = slot ? load(&slot->generation) : 0;
	below = top(t);
	n.limit = n.class == UNVALIDATED ?
			  least(below ? below->limit : t->limit, ANYRCU_WAIT_SLEEP) :
			  limit_with(t, below, type);
	n.chain = chain_with(t, below, n.class, n.generation, how);
	outer = wait_type(type->wait_outer);
	if (likely(n.class != UNVALIDATED) &&
	    unlikely(!is_old(t, below, n.class, n.chain, how, outer)))
		validate(t, &n, below, outer, nest);
	push(t, &n);
	if (host->by_instance && !(how & ANYRCU_LOCK_TRY))
		took(t, lock, ip);
}

static noinline void acquire_reading(struct thread *t, const void *lock,
				     const struct anyrcu_lock_type *type, unsigned how,
				     unsigned subclass, const void *nest, const void *ip)
{
	bool reads = reader_begin(t, ip);

	held_acquire(t, lock, type, how, subclass, nest, ip);
	if (reads)
		reader_end(t);
}

void lockdep_acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
		     unsigned subclass, const void *nest, const void *ip)
{
	struct thread *t = thread();

	if (unlikely(!t))
		return;
	if (unlikely(is_reader()))
		acquire_reading(t, lock, type, how, subclass, nest, ip);
	else if (unlikely(subclass || nest || !host->by_instance) ||
		 (!acquire_again(t, lock, type, how, ip, signals_open(t)) &&
		  !acquire_known(t, lock, type, how, ip)))
		held_acquire(t, lock, type, how, subclass, nest, ip);
}

/*
 * Another thread that holds the lock. Other threads run meanwhile and change their entries: an
 * entry that is being removed or written may be missed; an entry that is found was there.
 */
struct thread *held_by_whom(struct thread *t, const void *lock)
{
	uint64_t n = load(&tables->threads_high);

	for (uint64_t i = 0; i < n; i++) {
		struct thread *other = &tables->thread[i];

		if (other == t || !load(&other->used))
			continue;
		for (uint32_t k = 0; k < HELD && k < load(&other->depth); k++)
			if (load(&other->held[k].lock) == lock &&
			    load(&other->held[k].class) > UNVALIDATED &&
			    !(host->by_instance && instance_stale(&other->held[k])))
				return other;
	}
	return NULL;
}

static void unheld(struct thread *t, const void *lock, const void *ip)
{
	struct held h = { .lock = lock, .ip = ip };
	struct lock_slot *slot;
	struct thread *holder;

	if (t->beyond) {
		t->beyond--;
		return;
	}
	if (!slow_begin(t))
		return;
	holder = held_by_whom(t, lock);
	if (report_begin(ANYRCU_LOCKDEP_BALANCE, (uintptr_t)lock, (uintptr_t)ip)) {
		say("thread %u is trying to release a lock that it does not hold:\n",
		    (uint64_t)t->tid);
		say_lock(&h);
		if (holder)
			say("thread %u holds it\n", (uint64_t)holder->tid);
		report_end(t);
	}
	/*
	 * From now on the holder's entry stands for a lock that was destroyed, so this is not
	 * reported a second time.
	 */
	if (holder && host->by_instance && (slot = lock_find(lock)))
		lock_renew(slot);
	slow_end(t);
}

static noinline void release_below(struct thread *t, const void *lock, const void *ip)
{
	uint32_t i;

	for (i = t->depth; i > t->base && t->held[i - 1].lock != lock; i--)
		;
	if (unlikely(i == t->base)) {
		unheld(t, lock, ip);
		return;
	}
	kept_note(t, i - 1);
	held_remove(t, i - 1);
}

void lockdep_release(const void *lock, const void *ip)
{
	struct thread *t = thread();

	if (likely(t) && unlikely(!release_topmost(t, lock)))
		release_below(t, lock, ip);
}

struct held *held_find(struct thread *t, const void *lock)
{
	for (uint32_t i = t->depth; i--;)
		if (t->held[i].lock == lock && t->held[i].class &&
		    !(host->by_instance && instance_stale(&t->held[i])))
			return &t->held[i];
	return NULL;
}

int lockdep_is_held(const void *lock)
{
	struct thread *t = thread();

	return t && !t->beyond ? held_find(t, lock) != NULL : -1;
}

void lockdep_assert_held(const void *lock, bool expected, const void *ip)
{
	struct thread *t = thread();

	if (!t || t->beyond || (held_find(t, lock) != NULL) == expected || !slow_begin(t))
		return;
	if (report_begin(expected ? ANYRCU_LOCKDEP_NOT_HELD : ANYRCU_LOCKDEP_HELD, (uintptr_t)lock,
			 (uintptr_t)ip)) {
		struct held h = { .lock = lock, .ip = ip };

		say("thread %u should%s hold, at %a:\n", (uint64_t)t->tid, expected ? "" : " not",
		    ip);
		say_lock(&h);
		report_end(t);
	}
	slow_end(t);
}

uint32_t lockdep_held_count(void)
{
	struct thread *t = lockdep_thread();

	return t ? t->depth : 0;
}

void lockdep_held_drop(uint32_t n)
{
	struct thread *t = lockdep_thread();

	while (t && t->depth > n && t->depth > t->base) {
		t->held[t->depth - 1].class = 0;
		compiler_barrier();
		t->depth--;
	}
}
