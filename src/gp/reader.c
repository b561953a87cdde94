/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Readers: a record for each thread, found at its first section, given back when it ends.
 *
 * Records live in blocks that are mapped once, linked in front of a list and never unmapped, so the engine may walk them at
 * any time without protection. A record's words and who writes them:
 *
 *     tid   0 -> T        the thread T that claims it, by cmpxchg, in any context
 *           T -> T'       a thread of the same number that adopts it: T' is T with the next generation above the number
 *           T -> LEAVING  T itself, when it ends; the engine, by cmpxchg, when it has found T dead
 *           LEAVING -> 0  the same, after it has let go of the record
 *           T -> 0        the child of a fork(), for threads that it does not have
 *     ctr                 T and its signal handlers; see anyrcu/inline/reader.h
 *
 * anyrcu_self, thread-local, points to the record, or to a constant stand-in whose UNREG bit sends the inline fast
 * path here. It is written by the thread and its handlers alone.
 *
 * Attack: a handler comes between a claim and the store to anyrcu_self, and reads. It finds the stand-in, looks for a record with
 * its own tid, and finds and adopts the one just claimed. The interrupted function then sees that anyrcu_self is set already. If the
 * handler comes before the claim it claims one itself; the interrupted function's claim looks for its own tid first, but may have
 * passed that place: then it holds a second record, sees anyrcu_self set, and frees it.
 *
 * Attack: a thread dies without its exit function, by a raw system call or before it could be armed. Its record stays claimed, idle in
 * most cases, and costs one load a grace period. If it died inside a section the engine finds it dead and frees it. A new thread
 * that gets the same number finds the record by that number and adopts it; so no record names a living thread other than its user. If
 * the engine is just about to free the record, as it found the old thread dead, one of the two cmpxchg fails: the adoption changes the generation.
 *
 * Attack: no record can be had, as the system refuses memory. The thread then reads as one of the "crowd", a counter that a grace
 * period waits to see at zero. That is slow and may starve a grace period, but it is right, and it needs no memory.
 */
#include <base/breaks.h>
#include <gp/gp.h>
#include <port/port.h>

#define TID 0x3fffffu /* the kernel's numbers are below 2^22 */
#define GENERATION 0x400000u
#define LEAVING 0x80000000u
#define BLOCK_SIZE 65536

struct reader_block {
	struct reader_block *next;
	unsigned n;
	struct anyrcu_reader r[] __attribute__((aligned(CACHE_LINE)));
};

/* Enough for most processes, and for the first reader before anything is initialised. */
static union {
	struct reader_block block;
	char size[4096];
} first __attribute__((aligned(CACHE_LINE))) = {
	.block = { .n = (4096 - sizeof(struct reader_block)) / sizeof(struct anyrcu_reader) },
};
static struct reader_block *blocks = &first.block;
static uint32_t crowd;

static struct anyrcu_reader unregistered = { .ctr = ANYRCU_READER_UNREG };
PORT_THREAD_LOCAL struct anyrcu_reader *anyrcu_self = &unregistered;
static PORT_THREAD_LOCAL unsigned crowd_nest;

static struct anyrcu_reader *find(uint32_t tid)
{
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next)
		for (unsigned i = 0; i < b->n; i++)
			if ((load(&b->r[i].tid) & (TID | LEAVING)) == tid)
				return &b->r[i];
	return NULL;
}

static struct anyrcu_reader *block_new(uint32_t tid)
{
	struct reader_block *b = port_map(BLOCK_SIZE, 4096);

	if (!b)
		return NULL;
	b->n = (BLOCK_SIZE - sizeof(*b)) / sizeof(b->r[0]);
	b->r[0].tid = tid;
	b->next = load(&blocks);
	while (!__atomic_compare_exchange_n(&blocks, &b->next, b, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return &b->r[0];
}

/* A record that nobody gave back. Only looked for in place of mapping more, as it takes a system call for each. */
static struct anyrcu_reader *claim_dead(uint32_t tid)
{
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next) {
		for (unsigned i = 0; i < b->n; i++) {
			struct anyrcu_reader *r = &b->r[i];
			uint32_t old = load_acquire(&r->tid);

			if (!(old & LEAVING) && port_tid_dead(old & TID) && cmpxchg(&r->tid, old, tid)) {
				store_release(&r->ctr, 0);
				return r;
			}
		}
	}
	return NULL;
}

static struct anyrcu_reader *claim(uint32_t tid)
{
	struct anyrcu_reader *r = find(tid);
	uint32_t old = r ? load(&r->tid) : 0;

	/* From a thread that died with this number, perhaps inside a section; or claimed by whom we interrupted. */
	if (r && (old & (TID | LEAVING)) == tid && cmpxchg(&r->tid, old, (old + GENERATION) & ~LEAVING)) {
		store_release(&r->ctr, 0);
		return r;
	}
	while ((r = find(0)))
		if (breaks_cmpxchg(READER_TORN, &r->tid, 0, tid))
			return r;
	return claim_dead(tid) ?: block_new(tid);
}

static bool reader_register(void)
{
	uint32_t tid = port_tid();
	struct anyrcu_reader *r = breaks(RECORD_REFUSED) ? NULL : claim(tid);

	port_thread_exit_arm();
	if (!r)
		return false;
	if (!cmpxchg(&anyrcu_self, &unregistered, r) && load(&anyrcu_self) != r)
		store_release(&r->tid, 0);
	else if (port_tid() != tid) /* this is the child of a fork() by a handler that came before the claim */
		store(&r->tid, port_tid());
	return true;
}

/*
 * The crowd. The counter goes up before, and down after, this thread's own nesting, so that a handler in between sees itself as not yet, or no
 * longer, covered by it. A handler may also have found a record in the meantime, so that a thread's sections are spread over
 * both: each unlock takes from the record while it has some, and their sum is right.
 */
static void crowd_enter(void)
{
	if (crowd_nest == 0)
		fetch_add(&crowd, 1);
	if (load(&anyrcu_gp.ctr) & ANYRCU_READER_FENCE)
		full_fence(); /* as in anyrcu_reader_enter() */
	compiler_barrier();
	crowd_nest++;
	compiler_barrier();
}

static void crowd_exit(void)
{
	compiler_barrier();
	if (--crowd_nest == 0) {
		compiler_barrier();
		__atomic_fetch_sub(&crowd, 1, __ATOMIC_RELEASE);
	}
}

void anyrcu_reader_enter_slow(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t c = load(&self->ctr);

	if (c & ANYRCU_READER_UNREG) {
		if (crowd_nest == 0 && reader_register())
			anyrcu_reader_enter();
		else
			crowd_enter();
		return;
	}
	if (c == 0) { /* a handler has registered the thread since the inline part looked: this section still needs its number */
		anyrcu_reader_enter();
		return;
	}
	if ((c & ANYRCU_READER_NEST) == ANYRCU_READER_NEST)
		port_bug("anyrcu_read_lock(): nested more than %u deep", ANYRCU_READER_NEST);
	store(&self->ctr, c + 1);
	compiler_barrier();
}

void anyrcu_reader_exit_slow(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t c = load(&self->ctr);

	compiler_barrier();
	if (!(c & ANYRCU_READER_UNREG) && (c & ANYRCU_READER_NEST))
		store_release(&self->ctr, c - 1);
	else if (crowd_nest)
		crowd_exit();
	else
		port_bug("anyrcu_read_unlock() without anyrcu_read_lock()");
}

bool anyrcu_read_lock_held(void)
{
	return (load(&anyrcu_self->ctr) & (ANYRCU_READER_NEST | ANYRCU_READER_QS)) || crowd_nest;
}

bool gp_in_section(void)
{
	return (load(&anyrcu_self->ctr) & ANYRCU_READER_NEST) || crowd_nest;
}

void gp_must_not_read_at(const char *what, const void *ip)
{
	if (gp_hooks.waits)
		gp_hooks.waits(what, ip);
	if (gp_in_section())
		port_bug("%s inside a read-side critical section", what);
}

/*
 * Quiescent-state mode: ctr holds the sequence number last seen and QS, so the inline lock and unlock write nothing. The
 * stores are ordered as a section's begin and end are; one store is both.
 */
static void qs_store(struct anyrcu_reader *self)
{
	uint64_t g = load_acquire(&anyrcu_gp.ctr);

	store_release(&self->ctr, (g & ~ANYRCU_READER_NEST) | ANYRCU_READER_QS);
	if (g & ANYRCU_READER_FENCE)
		full_fence();
	compiler_barrier();
}

void anyrcu_thread_online(void)
{
	if (gp_in_section())
		port_bug("anyrcu_thread_online() inside a read-side critical section");
	if (anyrcu_self == &unregistered && !reader_register())
		port_bug("anyrcu_thread_online(): no memory for the thread's record");
	qs_store(anyrcu_self);
}

void anyrcu_quiescent_state(void)
{
	struct anyrcu_reader *self = anyrcu_self;

	compiler_barrier();
	if (load(&self->ctr) & ANYRCU_READER_QS)
		qs_store(self);
}

void anyrcu_thread_offline(void)
{
	struct anyrcu_reader *self = anyrcu_self;

	compiler_barrier();
	if (load(&self->ctr) & ANYRCU_READER_QS)
		store_release(&self->ctr, 0);
}

bool gp_waits_begin(void)
{
	bool online = load(&anyrcu_self->ctr) & ANYRCU_READER_QS;

	anyrcu_thread_offline();
	return online;
}

void gp_waits_end(bool online)
{
	if (online)
		anyrcu_thread_online();
}

/*
 * A handler that comes before anyrcu_self is reset reads on this record, which is still ours; one that comes after finds no record with its
 * number, claims another, and has this function run again. If it forks, its child has freed this record already, and may have claimed it.
 */
void gp_thread_exit(void)
{
	struct anyrcu_reader *self = anyrcu_self;

	if ((load(&self->ctr) & ANYRCU_READER_NEST) || crowd_nest)
		port_report("thread %u ended inside a read-side critical section", (uint64_t)port_tid());
	if (crowd_nest) {
		crowd_nest = 0;
		compiler_barrier();
		__atomic_fetch_sub(&crowd, 1, __ATOMIC_RELEASE);
	}
	if (self == &unregistered)
		return;
	store(&self->tid, LEAVING);
	compiler_barrier();
	anyrcu_self = &unregistered;
	compiler_barrier();
	if (load(&self->tid) != LEAVING)
		return;
	store_release(&self->ctr, 0);
	cmpxchg(&self->tid, LEAVING, 0);
}

void reader_scan_begin(struct reader_cursor *at)
{
	at->block = load_acquire(&blocks);
	at->i = 0;
}

/*
 * A record that is reading and began before @seq: the difference is taken in the 44 bits that the word has for it, so it may
 * wrap. The acquire pairs with the releases in anyrcu/inline/reader.h.
 */
static bool holds_up(const struct anyrcu_reader *r, uint64_t seq)
{
	uint64_t c = load_acquire(&r->ctr);

	return (c & (ANYRCU_READER_NEST | (breaks(GP_SKIPS_ONLINE) ? 0 : ANYRCU_READER_QS))) &&
	       (int64_t)((c & ~(((uint64_t)1 << ANYRCU_READER_SEQ_SHIFT) - 1)) - (seq << ANYRCU_READER_SEQ_SHIFT)) < 0;
}

struct anyrcu_reader *reader_scan(struct reader_cursor *at, uint64_t seq)
{
	for (; at->block; at->block = at->block->next, at->i = 0)
		for (; at->i < at->block->n; at->i++)
			if (holds_up(&at->block->r[at->i], seq) && !breaks(GP_SKIPS_RECORD))
				return &at->block->r[at->i];
	return NULL;
}

bool reader_crowd_empty(void)
{
	return load_acquire(&crowd) == 0;
}

uint32_t reader_tid(const struct anyrcu_reader *r)
{
	return load(&r->tid) & TID;
}

bool reader_bury(struct anyrcu_reader *r)
{
	uint32_t tid = load_acquire(&r->tid);

	if (tid == 0 || (tid & LEAVING) || !(port_tid_dead(tid & TID) || breaks(GP_BURIES_LIVING)))
		return false;
	/* Dead, and not adopted since: only then may ctr be written. */
	if (!cmpxchg(&r->tid, tid, LEAVING))
		return false;
	if (load(&r->ctr) & ANYRCU_READER_NEST) /* not just online */
		port_report("thread %u ended inside a read-side critical section", (uint64_t)(tid & TID));
	store_release(&r->ctr, 0);
	store_release(&r->tid, 0);
	return true;
}

void reader_sweep(void)
{
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next)
		for (unsigned i = 0; i < b->n; i++)
			reader_bury(&b->r[i]);
}

uint64_t reader_count(void)
{
	uint64_t n = 0;

	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next)
		for (unsigned i = 0; i < b->n; i++)
			n += load(&b->r[i].tid) != 0;
	return n;
}

/*
 * Only the forking thread lives here. What it had claimed, in use or (forking from a handler) just about to be, gets its new
 * number; all else is free.
 */
void reader_fork_child(uint32_t parent_tid)
{
	uint32_t tid = port_tid();

	for (struct reader_block *b = blocks; b; b = b->next) {
		for (unsigned i = 0; i < b->n; i++) {
			struct anyrcu_reader *r = &b->r[i];

			if (r == anyrcu_self || (load(&r->tid) & (TID | LEAVING)) == parent_tid) {
				store(&r->tid, tid);
			} else {
				store(&r->ctr, 0);
				store(&r->tid, 0);
			}
		}
	}
	store(&crowd, crowd_nest ? 1 : 0);
}
