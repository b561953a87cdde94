/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The table of locks, and their classes. It is written under the engine's lock and read without it:
 * a slot gets its key and generation before the lock's address, which is stored last, by a release;
 * a thread that finds the address finds the rest.
 */
#include <lockdep/engine.h>

/* ---- locks and classes ---- */

#define PROBES 64

/* From slot @at on. */
struct lock_slot *lock_find_on(const void *lock, uint32_t at)
{
	for (unsigned i = 0; i < PROBES; i++) {
		struct lock_slot *s = &tables->lock[(at + i) % LOCKS];
		const void *found = load_acquire(&s->lock);

		if (found == lock)
			return s;
		if (!found)
			return NULL;
	}
	return NULL;
}

void lock_forget(const void *lock)
{
	struct lock_slot *s = lock_find(lock);
	uint32_t at;

	if (!s)
		return;
	instance_forget(s);
	store_release(&s->lock, GONE);
	tables->nlocks--;
	/* A search ends at an unused slot: unused entries at the end of a run can be cleared. */
	for (at = s - tables->lock;
	     !tables->lock[(at + 1) % LOCKS].lock && tables->lock[at].lock == GONE;
	     at = (at + LOCKS - 1) % LOCKS)
		store(&tables->lock[at].lock, NULL);
}

void lock_renew(struct lock_slot *s)
{
	instance_forget(s);
	store(&s->generation, ++tables->generation);
}

/*
 * Freed memory has rarely contained a lock. A bit for every 64 bytes of memory says that a lock was
 * seen there; addresses that are far apart share a bit. So a clear bit is reliable, and a set bit
 * costs a search. A word has the bits of a page of 4 KiB.
 */
#define GRAIN 64
#define LOCK_ALIGN 4 /* alignment of locks that are found in freed memory */

static inline uint64_t *near(uintptr_t at)
{
	return &tables->near[at / GRAIN / 64 % NEAR];
}

bool lockdep_near(const void *p)
{
	return tables && (load(near((uintptr_t)p)) | load(near((uintptr_t)p + 64 * GRAIN)));
}

/* The first address from @at on near which there may be a lock, or @end. */
static uintptr_t near_next(uintptr_t at, uintptr_t end)
{
	while (at < end) {
		uint64_t bits = load(near(at)) >> (at / GRAIN % 64);

		if (bits & 1)
			return at;
		at = (at / GRAIN +
		      (bits ? (unsigned)__builtin_ctzll(bits) : 64 - at / GRAIN % 64)) *
		     GRAIN;
	}
	return end;
}

/* For more memory than the bits distinguish it is faster to check all locks. */
#define NEAR_BYTES ((uintptr_t)NEAR * 64 * GRAIN / 2)

static struct lock_slot *slot_within(uint32_t from, uintptr_t p, uintptr_t end)
{
	for (; from < LOCKS; from++) {
		uintptr_t lock = (uintptr_t)load(&tables->lock[from].lock);

		if (lock >= p && lock < end && lock > (uintptr_t)GONE)
			return &tables->lock[from];
	}
	return NULL;
}

const void *lock_within(const void *p, const void *beyond)
{
	uintptr_t end = (uintptr_t)beyond;

	if ((uintptr_t)p >= end)
		return NULL;
	if (unlikely(end - (uintptr_t)p >= NEAR_BYTES)) {
		struct lock_slot *s = slot_within(0, (uintptr_t)p, end);

		return s ? s->lock : NULL;
	}
	for (uintptr_t at = (uintptr_t)p; (at = near_next(at, end)) < end;
	     at = at / GRAIN * GRAIN + GRAIN)
		for (uintptr_t lock = (at + LOCK_ALIGN - 1) / LOCK_ALIGN * LOCK_ALIGN;
		     lock < end && lock / GRAIN == at / GRAIN; lock += LOCK_ALIGN)
			if (lock_find((const void *)lock))
				return (const void *)lock;
	return NULL;
}

void locks_forget(const void *p, const void *beyond)
{
	uintptr_t end = (uintptr_t)beyond, lock;

	if (end - (uintptr_t)p >= NEAR_BYTES) {
		for (struct lock_slot *s = tables->lock - 1;
		     (s = slot_within(s + 1 - tables->lock, (uintptr_t)p, end));)
			lock_forget(s->lock);
		return;
	}
	while ((lock = (uintptr_t)lock_within(p, beyond))) {
		uintptr_t at = lock / GRAIN * GRAIN;

		for (; lock < end && lock < at + GRAIN; lock += LOCK_ALIGN)
			lock_forget((const void *)lock);
		if (at >= (uintptr_t)p && at + GRAIN <= end)
			store(near(at), *near(at) & ~(UINT64_C(1) << (at / GRAIN % 64)));
		p = (const void *)(at + GRAIN);
	}
}

static struct lock_slot *lock_make(const void *lock, uint32_t key)
{
	uint32_t at = mix((uintptr_t)lock, 0) % LOCKS;

	for (unsigned i = 0; i < PROBES; i++) {
		struct lock_slot *s = &tables->lock[(at + i) % LOCKS];

		if (s->lock && s->lock != GONE)
			continue;
		store(&s->key, key);
		store(&s->generation, ++tables->generation);
		tables->nlocks++;
		store(near((uintptr_t)lock),
		      *near((uintptr_t)lock) | UINT64_C(1) << ((uintptr_t)lock / GRAIN % 64));
		store_release(&s->lock, lock);
		return s;
	}
	say_full(1, "locks");
	return NULL;
}

#define SPARE_KEYS 64

/* 0: there is no room. */
static uint32_t key_make(const void *id, const struct anyrcu_lock_type *type, const char *name)
{
	uint32_t at, k;

	/*
	 * For orders of single locks few classes suffice: when most are used, the remaining locks
	 * share one.
	 */
	if (host->by_instance && tables->nkeys >= KEYS - SPARE_KEYS)
		id = name = NULL;
	at = mix((uintptr_t)id, (uintptr_t)type) % ARRAY_SIZE(tables->key_of);
	for (; (k = tables->key_of[at]); at = (at + 1) % ARRAY_SIZE(tables->key_of))
		if (tables->key[k].id == id && tables->key[k].type == type)
			return k;
	if (tables->nkeys == KEYS) {
		say_full(2, "kinds of locks");
		return 0;
	}
	k = tables->nkeys++;
	tables->key[k] = (struct key){ .id = id, .name = name, .type = type };
	tables->key_of[at] = k;
	return k;
}

unsigned class_make(const void *lock, const struct anyrcu_lock_type *type, const char *name,
		    const void *id, unsigned subclass)
{
	struct lock_slot *s = lock_find(lock);
	struct class *c;
	uint32_t k;

	/* the former lock here was destroyed without a call */
	if (s && tables->key[s->key].type != type) {
		lock_forget(lock);
		s = NULL;
	}
	k = s ? s->key : key_make(id, type, name);
	if (!k || (!s && !lock_make(lock, k)))
		return UNVALIDATED;
	if (tables->key[k].class[subclass])
		return tables->key[k].class[subclass];
	if (tables->nclasses == CLASSES) {
		say_full(3, "classes");
		return UNVALIDATED;
	}
	c = &tables->class[tables->nclasses];
	c->key = k;
	c->subclass = subclass;
	store_release(&tables->key[k].class[subclass], tables -> nclasses);
	return tables->nclasses++;
}

void locks_unloaded(const void *p, const void *beyond)
{
	(void)p, (void)beyond;
	for (uint32_t k = 1; k < tables->nkeys; k++) {
		struct key *key = &tables->key[k];

		if (!key->id || key->id == GONE || !lock_find(key->id) || port_in_object(key->id))
			continue;
		lock_forget(key->id);
		/* a later lock there is of another class; this key keeps its place in the table */
		key->id = GONE;
	}
}
