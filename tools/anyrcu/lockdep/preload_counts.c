/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Counting. The validator tells which class a lock is of, and what a thread holds is kept where the
 * validator keeps it: an entry's chain is the time since when, its generation the site's number.
 *
 * Counts are added to by atomic adds, from any context, and order nothing. What a process knows of
 * the shared table, known[], is a cache of single words: a site's number beside a part of its hash,
 * written by whoever finds it. The last holder of a lock, by its place in the validator's table, is
 * a single word that the holder writes and waiters read; a reader among several overwrites another.
 *
 * held[] is used as the validator does, see engine.c: an entry is reserved by depth before it is
 * written, and a handler leaves depth as it was. An entry that a handler finds half written has no
 * class. Nothing here waits for a lock but the validator's, with signals blocked, when a lock is
 * new.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <lockdep/engine.h>

#include "lockdep/counts.h"
#include "lockdep/preload_counts.h"
#include "shared.h"

#define KNOWN 16384

static struct counts *counts;
static uint64_t known[KNOWN]; /* a part of the hash << 16 | site + 1 */
static uint64_t *last; /* of each lock: CPU + 1 << 32 | site + 1 */

static uint64_t now(void)
{
	struct timespec t;

	if (likely(counts->ns_per_tick))
		return (unsigned __int128)cpu_clock() * counts->ns_per_tick >> 32;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

static inline void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static void add_time(struct count_times *t, uint64_t begin, uint64_t end)
{
	uint64_t ns = end > begin ? end - begin : 0,
		 max = atomic_load_explicit(&t->max, memory_order_relaxed);
	unsigned i = ns ? 64 - __builtin_clzll(ns) : 0;

	add(&t->total, ns);
	while (ns > max && !atomic_compare_exchange_weak(&t->max, &max, ns))
		;
	atomic_fetch_add_explicit(&t->bucket[i < COUNT_BUCKETS ? i : COUNT_BUCKETS - 1], 1,
				  memory_order_relaxed);
}

/* ---- sites ---- */

static uint64_t hash_place(uint64_t hash, const struct notice_place *p)
{
	return mix(mix(hash, p->module), p->module ? p->offset : p->address);
}

static uint64_t hash_program(uint64_t hash)
{
	for (const char *s = program_invocation_short_name; *s; s++)
		hash = mix(hash, (unsigned char)*s);
	return hash;
}

/* The number + 1 of the site in the shared table; 0: it is full. */
static noinline uint32_t site_enter(const struct key *key, bool reads, const void *ip)
{
	struct notice_place class = place_find(key->id), call = place_find(ip);
	uint64_t hash = hash_program(hash_place(hash_place(reads + 1, &class), &call));

	hash = mix(hash, (unsigned char)*key->type->name) ?: 1;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t at = (hash + i) % COUNT_SITES;
		struct count_site *s = &counts->site[at];
		uint64_t none = 0;

		if (atomic_load(&s->hash) == hash)
			return at + 1;
		if (!atomic_compare_exchange_strong(&s->hash, &none, hash)) {
			if (none == hash)
				return at + 1;
			continue;
		}
		s->reads = reads;
		strncpy(s->type, key->type->name, sizeof(s->type) - 1);
		strncpy(s->program, program_invocation_short_name, sizeof(s->program) - 1);
		s->class = class;
		s->call = call;
		atomic_store(&s->ready, 1);
		return at + 1;
	}
	return 0;
}

static uint32_t site_of(const struct key *key, bool reads, const void *ip)
{
	uint64_t hash = mix(mix((uintptr_t)key->id, (uintptr_t)key->type + reads), (uintptr_t)ip);
	uint32_t site;

	for (uint32_t i = 0; i < 8; i++) {
		uint64_t word = load(&known[(hash + i) % KNOWN]);

		if (likely(word >> 16 == hash >> 16))
			return word & 0xffff;
		if (word)
			continue;
		site = site_enter(key, reads, ip);
		if (site)
			store(&known[(hash + i) % KNOWN], hash >> 16 << 16 | site);
		return site;
	}
	return site_enter(key, reads, ip);
}

static struct count_shard *shard(uint32_t site, const struct thread *t)
{
	return &counts->site[site - 1].shard[(t - tables->thread) % COUNT_SHARDS];
}

/* ---- waits ---- */

static uint64_t hash_frames(void *const *frames, uint32_t n)
{
	uint64_t hash = 1;

	for (uint32_t i = 0; i < n; i++)
		hash = mix(hash, (uintptr_t)frames[i]);
	return hash ?: 1;
}

/* The number + 1 of the caller's stack in the shared table; 0: there is none. */
static uint32_t stack_enter(void)
{
	void *frames[COUNT_FRAMES];
	uint32_t n = port_stack(frames, COUNT_FRAMES);
	uint64_t hash = hash_program(hash_frames(frames, n));

	for (uint32_t i = 0; n && i < 64; i++) {
		uint32_t at = (hash + i) % COUNT_STACKS;
		struct count_stack *s = &counts->stack[at];
		uint64_t none = 0;

		if (!atomic_compare_exchange_strong(&s->hash, &none, hash)) {
			if (none == hash)
				return at + 1;
			continue;
		}
		strncpy(s->program, program_invocation_short_name, sizeof(s->program) - 1);
		for (uint32_t k = 0; k < n; k++)
			s->frame[k] = place_find(frames[k]);
		s->nframes = n;
		atomic_store(&s->ready, 1);
		return at + 1;
	}
	return 0;
}

void count_wait_begin(struct count_wait *w, const volatile void *lock)
{
	struct lock_slot *slot = lock_find((const void *)lock);

	w->begin = now();
	if (slot)
		w->holder = load(&last[slot - tables->lock]);
	if (counts->stacks)
		w->stack = stack_enter();
}

void count_wait_end(struct count_wait *w)
{
	w->end = now();
}

static void blame(uint32_t site, const struct count_wait *w)
{
	uint64_t sites = (uint64_t)site << 32 | w->holder, hash = mix(sites, 1);

	for (uint32_t i = 0; w->holder && i < 64; i++) {
		struct count_blame *b = &counts->blame[(hash + i) % COUNT_BLAMES];
		uint64_t none = 0;

		if (atomic_load(&b->sites) != sites &&
		    !atomic_compare_exchange_strong(&b->sites, &none, sites) && none != sites)
			continue;
		add(&b->times, 1);
		add(&b->total, w->end - w->begin);
		return;
	}
}

static noinline void waited(struct count_shard *s, uint32_t site, const struct count_wait *w)
{
	struct count_stack *stack = w->stack ? &counts->stack[w->stack - 1] : NULL;

	add(&s->contended, 1);
	add_time(&s->wait, w->begin, w->end);
	blame(site, w);
	if (stack) {
		add(&stack->times, 1);
		add(&stack->total, w->end - w->begin);
	}
}

/* ---- acquire and release ---- */

static void hold(struct thread *t, const void *lock, const void *ip, uint32_t site, uint64_t since)
{
	struct held *h = &t->held[t->depth];

	if (t->depth == HELD)
		return;
	t->depth++;
	compiler_barrier();
	h->lock = lock;
	h->ip = ip;
	h->chain = since;
	h->generation = site;
	compiler_barrier();
	h->class = UNVALIDATED;
}

void count_acquired(const volatile void *l, const struct anyrcu_lock_type *type, unsigned how,
		    const void *ip, const struct count_wait *w, bool had)
{
	const void *lock = (const void *)l;
	struct thread *t = lockdep_thread();
	struct lock_slot *slot;
	struct count_shard *s;
	uint32_t site;
	uint64_t here, *who;

	if (unlikely(!t))
		return;
	if (on_own_stack(lock))
		stack_lock(lock, ip, (uintptr_t)__builtin_frame_address(0));
	slot = lockdep_slot(t, lock, type, ip);
	site = likely(slot) ? site_of(&tables->key[load(&slot->key)], READS(how), ip) : 0;
	if (unlikely(!site)) {
		add(&counts->lost, 1);
		return;
	}
	s = shard(site, t);
	if (unlikely(w->begin))
		waited(s, site, w);
	if (!had)
		return;
	add(&s->acquired, 1);
	here = (uint64_t)(sched_getcpu() + 1) << 32;
	who = &last[slot - tables->lock];
	if (unlikely(load(who) && (load(who) ^ here) >> 32))
		add(&s->moved, 1);
	store(who, here | site);
	hold(t, lock, ip, site, w->end ?: now());
}

/* Who has not acquired it, as far as it was seen, has held it for no known time. */
void count_released(const volatile void *lock)
{
	struct thread *t = lockdep_thread();
	uint32_t i;

	if (unlikely(!t))
		return;
	for (i = t->depth; i && t->held[i - 1].lock != (const void *)lock; i--)
		;
	if (unlikely(!i || !t->held[i - 1].class))
		return;
	add_time(&shard(t->held[i - 1].generation, t)->hold, t->held[i - 1].chain, now());
	for (; i < t->depth; i++)
		t->held[i - 1] = t->held[i];
	t->held[t->depth - 1].class = 0;
	compiler_barrier();
	t->depth--;
}

/* ---- the life of a lock, a thread, a process ---- */

void count_init(const volatile void *lock, const struct anyrcu_lock_type *type, const void *ip)
{
	lockdep_forget((const void *)lock, (const char *)lock + 1);
	if (on_own_stack((const void *)lock))
		stack_lock_begins((const void *)lock);
	lockdep_engine.init((const void *)lock, type, NULL, class_of_caller(ip), ip);
}

void count_forget(const void *p, size_t size)
{
	lockdep_forget(p, (const char *)p + size);
}

void counts_unloaded(void)
{
	for (uint32_t i = 0; i < KNOWN; i++)
		store(&known[i], 0);
}

/* That it holds locks is not our business. */
void counts_thread_exit(void)
{
	struct thread *t = lockdep_thread();

	while (t && t->depth) {
		t->held[t->depth - 1].class = 0;
		compiler_barrier();
		t->depth--;
	}
	lockdep_engine.thread_exit(false);
}

bool counts_start(void)
{
	const char *path = getenv(COUNTS_ENV);

	if (!path)
		return false;
	last = port_map(LOCKS * sizeof(*last), 4096);
	counts = last ? shared_map(path, sizeof(*counts), COUNTS_MAGIC, O_NOFOLLOW) : NULL;
	return counts;
}
