/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Readers: each thread has a record, which it claims at its first section and frees when it ends.
 *
 * Records are in blocks that are mapped once, linked to the front of a list and never unmapped, so
 * the engine may walk them at any time without protection. A record has two words.
 *
 * ctr is written by the thread that owns the record and its signal handlers alone; see
 * anyrcu/inline/reader.h. A free record, and that of a dead thread, may have any ctr.
 *
 * owner is the owner's thread number (0: the record is free), with a generation in the upper bits.
 * Every change is one cmpxchg to the next generation:
 *
 *     0 -> T     a thread claims the record, in any context; then it makes ctr zero
 *     T -> T     a thread adopts a record that has its own number: it belonged to a dead thread
 *                with that number, or the code that this handler interrupted has claimed it
 *     D -> T     a thread claims the record of a thread that it has found dead
 *     T -> 0     the thread T itself frees the record when it ends
 *     D -> 0     the engine frees the record of a thread that it has found dead ("burial")
 *
 * In the child of a fork(), where there is one thread, the forking thread's number is replaced by
 * its number there, and all others by 0. As a generation never repeats (42 bits), a cmpxchg
 * succeeds only if the record has not changed since it was read.
 *
 * anyrcu_self, thread-local, points to the record, or to a constant stand-in whose UNREG bit sends
 * the inline fast path here. It is written by the thread and its handlers alone.
 *
 * Attack: a handler comes between a claim and the store to anyrcu_self, and reads. It finds the
 * stand-in, searches for a record with its own number, and finds and adopts the one just claimed.
 * The interrupted function then sees that anyrcu_self is set already. If the handler comes before
 * the claim, it claims a record itself. The interrupted function searches for its own number first,
 * but may have passed that record: then it claims a second record, sees anyrcu_self set, and frees
 * the second one. Making ctr zero does no harm in either case, as the handler's sections have ended
 * when the interrupted function continues.
 *
 * Attack: the handler forks. In the child, the number with which the interrupted function claims
 * belongs to a thread that does not exist there. Before the function uses the claim, it reads its
 * number once more, and starts over if the number has changed. If the fork came after the claim,
 * the child has given the record the new number.
 *
 * Attack: a thread dies without its exit function, by a raw system call or before the function
 * could be armed. Its record stays claimed, mostly not reading, and costs one load a grace period.
 * If the thread died inside a section, the engine finds it dead and frees the record. A new thread
 * that gets the same number finds the record by that number and adopts it; so no record names a
 * living thread other than its user. If the number was reused, and the record adopted, between the
 * engine's check and its cmpxchg, the generation has changed and the cmpxchg fails.
 *
 * Attack: a handler that forks interrupts the engine's burial, or the end of a thread. The only
 * remaining step of either in the child is one cmpxchg, which fails, as the child has changed all
 * owners.
 *
 * Attack: a handler reads in a child of vfork(), which shares this memory and the thread-local
 * variables with its parent, but has another thread number, under which the engine would find it
 * dead. If the parent's thread has a record, the handler uses that. If not, it claims none, and
 * reads in the crowd.
 *
 * Attack: no record is available, as the system refuses memory. The thread then reads in the crowd,
 * a counter that a grace period waits to see at zero: see crowd.c. That is slow and may starve a
 * grace period, but it is correct, and needs no memory.
 */
#include <gp/crowd.h>
#include <gp/gp.h>
#include <port/process.h>

struct gp_hooks gp_hooks;
/* Until gp_init() has found membarrier, readers fence for themselves. */
struct anyrcu_gp_word anyrcu_gp = { GP_WORD(GP_FIRST) | ANYRCU_READER_FENCE };

#define NUMBER UINT64_C(0x3fffff) /* the kernel's thread numbers are below 2^22 */
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
static struct anyrcu_reader unregistered = { .ctr = ANYRCU_READER_UNREG };
PORT_THREAD_LOCAL struct anyrcu_reader *anyrcu_self = &unregistered;

/*
 * Tell a checker of a section's begin and end. The inline parts, which are compiled into the
 * program, do so themselves.
 */
static inline void section_began(void)
{
	port_acquire(&anyrcu_gp.ctr);
}

static inline void section_ends(const struct anyrcu_reader *r)
{
	port_release(&r->ctr);
}

static uint64_t owner_next(uint64_t owner, uint32_t tid)
{
	return ((owner | NUMBER) + 1) | tid;
}

static bool free_record(struct anyrcu_reader *r, uint64_t owner)
{
	return cmpxchg(&r->owner, owner, owner_next(owner, 0));
}

static struct anyrcu_reader *find(uint32_t tid, uint64_t *owner)
{
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next)
		for (unsigned i = 0; i < b->n; i++)
			if (((*owner = load(&b->r[i].owner)) & NUMBER) == tid)
				return &b->r[i];
	return NULL;
}

static struct anyrcu_reader *block_new(uint32_t tid, uint64_t *mine)
{
	struct reader_block *b = port_map(BLOCK_SIZE, 4096);

	if (!b)
		return NULL;
	b->n = (BLOCK_SIZE - sizeof(*b)) / sizeof(b->r[0]);
	b->r[0].owner = *mine = owner_next(0, tid);
	b->next = load(&blocks);
	while (!__atomic_compare_exchange_n(&blocks, &b->next, b, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
	return &b->r[0];
}

/*
 * Claim a record that its dead owner did not free. Tried only before mapping more records, as it
 * takes a system call for each record.
 */
static struct anyrcu_reader *claim_dead(uint32_t tid, uint64_t *mine)
{
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next) {
		for (unsigned i = 0; i < b->n; i++) {
			struct anyrcu_reader *r = &b->r[i];
			uint64_t old = load_acquire(&r->owner);

			*mine = owner_next(old, tid);
			if (port_tid_dead(old & NUMBER) && cmpxchg(&r->owner, old, *mine))
				return r;
		}
	}
	return NULL;
}

static struct anyrcu_reader *claim(uint32_t tid, uint64_t *mine)
{
	uint32_t numbers[] = { tid, 0 };
	struct anyrcu_reader *r;
	uint64_t old;

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		while ((r = find(numbers[i], &old))) {
			*mine = owner_next(old, tid);
			if (cmpxchg(&r->owner, old, *mine))
				return r;
		}
	}
	return claim_dead(tid, mine) ?: block_new(tid, mine);
}

static bool reader_register(void)
{
	struct anyrcu_reader *r;
	uint64_t mine;
	uint32_t tid;

	do {
		tid = port_tid();
		r = port_foreign() ? NULL : claim(tid, &mine);
		port_thread_exit_arm();
		if (!r)
			return false;
	} while (port_tid() != tid &&
		 (free_record(r, mine), true)); /* this is the child of a fork() by a handler */
	/*
	 * for the checker: order the last owner's sections before our stores, which hide that
	 * owner's
	 */
	port_acquire(&r->ctr);
	store_release(&r->ctr, 0);
	if (!cmpxchg(&anyrcu_self, &unregistered, r) && load(&anyrcu_self) != r)
		free_record(r, mine);
	return true;
}

void anyrcu_reader_enter_slow(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t c = load(&self->ctr);

	if (c & ANYRCU_READER_UNREG) {
		if (crowd_nest == 0 && reader_register()) {
			anyrcu_reader_enter();
		} else {
			crowd_enter();
			if (load(&anyrcu_gp.ctr) & ANYRCU_READER_FENCE)
				full_fence(); /* as in anyrcu_reader_enter() */
			compiler_barrier();
		}
		section_began();
		return;
	}
	/*
	 * a handler has registered the thread since the inline part read ctr: this section still
	 * needs its number
	 */
	if (c == 0) {
		anyrcu_reader_enter();
		section_began();
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

void gp_must_not_read_at(const char *what, bool waits, const void *ip)
{
	if (gp_hooks.waits)
		gp_hooks.waits(what, waits, ip);
	if (gp_in_section())
		port_bug("%s inside a read-side critical section", what);
	if (gp_hooks.task)
		gp_hooks.task();
}

/*
 * Quiescent-state mode: ctr holds the sequence number last seen and QS, so the inline lock and
 * unlock write nothing. This store is ordered both as a section's end and as the next section's
 * begin.
 */
static void qs_store(struct anyrcu_reader *self)
{
	uint64_t g = load_acquire(&anyrcu_gp.ctr);

	section_ends(self);
	store_release(&self->ctr, (g & ~ANYRCU_READER_NEST) | ANYRCU_READER_QS);
	if (g & ANYRCU_READER_FENCE)
		full_fence();
	compiler_barrier();
	section_began();
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
	section_ends(self);
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
 * A handler that comes before anyrcu_self is reset uses this record, which is still ours. A handler
 * that comes after that finds and adopts the record, so the cmpxchg here does not free it; the
 * handler has armed the exit function, which runs again.
 */
void gp_thread_exit(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t owner = load(&self->owner);

	if ((load(&self->ctr) & ANYRCU_READER_NEST) || crowd_nest)
		port_report("thread %u ended inside a read-side critical section",
			    (uint64_t)port_tid());
	if (crowd_nest)
		crowd_exit_all();
	if (self == &unregistered)
		return;
	section_ends(self);
	store_release(&self->ctr, 0);
	anyrcu_self = &unregistered;
	compiler_barrier();
	free_record(self, owner);
}

void reader_scan_begin(struct reader_cursor *at)
{
	at->block = load_acquire(&blocks);
	at->i = 0;
}

/*
 * Is the record reading, and did it begin before @seq? The difference is taken in the 44 bits that
 * the word has for the number, so the number may wrap. The acquire pairs with the releases in
 * anyrcu/inline/reader.h.
 *
 * A free record does not read, whatever its ctr is. The owner is loaded after ctr: a reader has
 * claimed the record before it stored ctr, so if the owner is 0 now, the section that we saw has
 * ended. A later section stores ctr after our load, which is the same case as if we had found the
 * record not reading.
 */
static bool holds_up(const struct anyrcu_reader *r, uint64_t seq)
{
	uint64_t c = load_acquire(&r->ctr);

	return (c & (ANYRCU_READER_NEST | ANYRCU_READER_QS)) &&
	       (int64_t)((c & ~(((uint64_t)1 << ANYRCU_READER_SEQ_SHIFT) - 1)) -
			 (seq << ANYRCU_READER_SEQ_SHIFT)) < 0 &&
	       (load(&r->owner) & NUMBER);
}

struct anyrcu_reader *reader_scan(struct reader_cursor *at, uint64_t seq)
{
	for (; at->block; at->block = at->block->next, at->i = 0)
		for (; at->i < at->block->n; at->i++)
			if (holds_up(&at->block->r[at->i], seq))
				return &at->block->r[at->i];
	return NULL;
}

uint32_t reader_tid(const struct anyrcu_reader *r)
{
	return load(&r->owner) & NUMBER;
}

void readers_acquire(void)
{
	if (likely(!port_checked))
		return;
	for (struct reader_block *b = load_acquire(&blocks); b; b = b->next)
		for (unsigned i = 0; i < b->n; i++)
			port_acquire(&b->r[i].ctr);
	crowd_acquire();
}

uint64_t reader_section(const struct anyrcu_reader *r)
{
	return load(&r->ctr) & ~ANYRCU_READER_NEST;
}

bool reader_bury(struct anyrcu_reader *r)
{
	uint64_t owner = load_acquire(&r->owner);
	uint32_t tid = owner & NUMBER;
	bool reads = load(&r->ctr) & ANYRCU_READER_NEST; /* not just online */

	if (!tid || !port_tid_dead(tid) || !free_record(r, owner))
		return false;
	if (reads)
		port_report("thread %u ended inside a read-side critical section", (uint64_t)tid);
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
			n += (load(&b->r[i].owner) & NUMBER) != 0;
	return n;
}

/*
 * Only the forking thread exists in the child. Records that it had claimed, in use or (if a handler
 * forks) about to be used, get its new number; all others become free.
 */
void reader_fork_child(uint32_t parent_tid)
{
	uint32_t tid = port_tid();

	for (struct reader_block *b = blocks; b; b = b->next) {
		for (unsigned i = 0; i < b->n; i++) {
			struct anyrcu_reader *r = &b->r[i];
			uint64_t owner = load(&r->owner);

			if (owner & NUMBER)
				store(&r->owner,
				      owner_next(owner, r == anyrcu_self || (owner & NUMBER) ==
										    parent_tid ?
								tid :
								0));
		}
	}
	crowd_fork_child();
}
