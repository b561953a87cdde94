/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The store of deferred objects: pages of pointers that any context appends to, and that a
 * collector takes away. The store has no global state. Its clients, src/defer and src/domain,
 * decide when pages are collected, which grace periods they wait for, and which threads invoke the
 * callbacks.
 *
 *     places                                            collector (one at a time)
 *     ┌───────────┐ append  ┌───────────┐
 *     │ open page │◄─────── │ any       │               store_collect(): each place's pages
 *     │  ↓ next   │         │ context   │               and the chain, by xchg
 *     │ full page │         └─────┬─────┘                 │
 *     │  ↓ next   │               │ no page               ▼
 *     │ full page │               ▼                     a list of pages, a chain
 *     └───────────┘             chain
 *
 * A place has one open page, with the full ("sealed") pages behind it. A client chooses what its
 * places are. src/defer has one for each CPU and kind of page, as it keeps no order. src/domain has
 * lanes; a thread always uses the same lane, so its objects stay in order.
 *
 * There are two ways to append to an open page:
 *
 * 1. store_append_cpu(): a restartable sequence, no atomic operation and no fence. See
 *    <port/append.h>. The sequence reads the page's pointer without protection. That is safe
 *    because a collector that took pages away calls port_rseq_fence() before it continues: a
 *    sequence that had read the pointer has committed by then, or starts over and does not find the
 *    page.
 *
 * 2. store_append(): reserve a slot by fetch_add on the count, then store to it, the word that says
 *    "filled" last. The caller is in a read-side critical section from before it reads the page's
 *    pointer until the slot is filled. So when a grace period has passed after the page was taken
 *    away, no slot of it will be filled any more: the page is settled. A thread may stop for a
 *    minute between reserving and filling; the grace period waits for it. An empty slot of a
 *    settled page was reserved by a thread that no longer exists (it ended, or this is a fork's
 *    child). Objects that were stored while the page settled need another grace period, which
 *    begins after that.
 *
 * A full page is replaced by store_open(): the new page holds the object and links to the full page
 * before one cmpxchg on the place makes it the open page. At every instruction the object belongs
 * to the caller or is in the page, and no full page is unlinked in between, so a thread may stop or
 * die anywhere. The caller is in a read-side critical section, so a page whose pointer it has read
 * is neither freed nor reused: the cmpxchg has no ABA.
 *
 * If no page is available, store_chain_push() links the object through its own head: one cmpxchg
 * to push; the collector takes the whole chain by xchg, so there is no ABA.
 *
 * Re-entrancy: a signal handler may defer between any two instructions, to any depth. It appends to
 * the open page or opens a page itself. Then the interrupted sequence starts over, the interrupted
 * fetch_add has a slot of its own, and the interrupted cmpxchg fails and its caller tries again. No
 * handler waits for the code that it interrupted.
 *
 * The count of a page that is appended to by atomics exceeds the cap by at most one slot for each
 * thread and handler that tries at the same time, so it cannot wrap.
 */
#ifndef ANYRCU_STORE_STORE_H
#define ANYRCU_STORE_STORE_H

#include <anyrcu/defer.h>
#include <base/compiler.h>
#include <base/test_point.h>
#include <port/append.h>

/*
 * A page's key says what its slots are:
 *
 *     a function   one word: the argument
 *     KEY_FREE     one word: the argument of free()
 *     KEY_HEAD     one word: a head that holds its function
 *     KEY_MIXED    two words: the function, or KEY_FREE, and its argument
 *     KEY_WIDE     five words: as KEY_MIXED, then the head or NULL, the address that deferred it
 *                  (without a head: where the object begins, for memcheck), and the object's bytes
 *
 * The first word of a slot is not 0 once the slot is filled.
 */
enum { KEY_FREE = 1, KEY_MIXED, KEY_WIDE, KEY_HEAD };

#define STORE_WORDS 504

struct store_page {
	struct port_rseq_page open; /* key, count, cap */
	struct store_page *next;
	uint64_t gen; /* the client's: the number of the collection that took the page */
	uint64_t born; /* port_now() when it was opened */
	uint32_t cursor; /* the next word to invoke; written by the invoking thread */
	uint32_t counted; /* words that store_count() has counted; the collector */
	uint32_t cpu; /* the CPU on which it was opened */
	bool shared; /* appended to by atomics, so some slots may be empty */
	bool settled; /* no slot of it will be filled any more; the collector */
	uintptr_t word[STORE_WORDS] __attribute__((aligned(PORT_RSEQ_WORDS)));
};
_Static_assert(sizeof(struct store_page) == 4096, "a page of pointers is a page");
_Static_assert(offsetof(struct store_page, word) == PORT_RSEQ_WORDS, "where the sequence stores");

/* A deferred object. A slot holds as many of the first five words as the page's key says. */
struct store_object {
	uintptr_t func, arg, head, caller;
	uint64_t bytes; /* as the caller gave it; 0: not given */
	unsigned context; /* for the client's source of pages */
	/* Set by store_open() if it sealed a page: how many full pages wait to be collected. */
	uint32_t sealed;
};

/* Up to this many kinds of pages are open at a time in one place. */
#define STORE_KINDS 8

struct store_place {
	struct store_page *open[STORE_KINDS];
} __attribute__((aligned(1 << PORT_RSEQ_CPU_SHIFT)));

struct store {
	/* Constant: the table of places, and the kinds that are in use. */
	struct store_place *place;
	uint32_t nkinds;
	/*
	 * The source of pages. @zero: all words must be 0. @context: that of the object. NULL: no
	 * page is available. Any context.
	 */
	void *(*page)(bool zero, unsigned context);
	uint64_t bytes_max; /* bound for all pages; set by the client, read from any context */

	uint32_t nplaces; /* places below this may have pages; any context, only grows */
	uint32_t sealed; /* full pages since the last collection; counted when in place */
	uint64_t sealed_objects; /* objects in them; may be too low or too high for a moment */
	/* of all pages; added before the page exists, so never too low */
	uint64_t bytes, bytes_high;

	struct anyrcu_head *chain __attribute__((aligned(CACHE_LINE))); /* any context; see above */
};

/*
 * For the validator, if it is on: what the calling thread does with the callbacks of a store. It
 * invokes some; it has; it waits for all that there are; the store is gone. @ip: the caller of the
 * library.
 */
enum store_event { STORE_INVOKES, STORE_INVOKED, STORE_BARRIER, STORE_GONE };
extern void (*store_watch)(const struct store *s, enum store_event event, const void *ip);

static inline void store_tells(const struct store *s, enum store_event event, const void *ip)
{
	if (unlikely(load(&store_watch)))
		store_watch(s, event, ip);
}

static inline uint32_t store_width(uintptr_t key)
{
	return key == KEY_MIXED ? 2 : key == KEY_WIDE ? 5 : 1;
}

/* The words of a page that are reserved, filled or not. */
static inline uint32_t store_used(const struct store_page *p)
{
	uint32_t n = load_acquire(&p->open.count), cap = p->open.cap, w = store_width(p->open.key);

	return n < cap ? n : (cap + w - 1) / w * w;
}

static inline uint64_t store_objects(const struct store_page *p)
{
	return store_used(p) / store_width(p->open.key);
}

static inline bool store_page_full(const struct store_page *p)
{
	return !p || load(&p->open.count) >= p->open.cap;
}

static inline void store_fill(struct store_page *p, uint32_t at, uintptr_t key,
			      const struct store_object *o)
{
	bool pair = key == KEY_MIXED || key == KEY_WIDE;

	if (key == KEY_WIDE) {
		store(&p->word[at + 2], o->head);
		store(&p->word[at + 3], o->caller);
		store(&p->word[at + 4], o->bytes);
	}
	if (pair)
		store(&p->word[at + 1], o->arg);
	/* The word that says "filled" comes last: pairs with the acquire of the invoking thread. */
	store_release(&p->word[at], pair ? o->func : o->arg);
}

enum store_result {
	STORE_DONE, /* appended */
	STORE_OPENED, /* appended, in a new page */
	STORE_FULL, /* there is no open page, or it is full: open one */
	STORE_OTHER, /* the open page has another key */
	STORE_AGAIN, /* another page was opened there, or a sequence was interrupted: try again */
	STORE_REFUSED, /* no page is available, the bound is reached, or a sequence cannot run */
};

/*
 * Append by atomics to the page @open, which the caller read from its place. In a read-side
 * critical section that began before the read.
 */
static inline enum store_result store_append(struct store_page *open, uintptr_t key,
					     const struct store_object *o)
{
	uint32_t at;

	test_point(LOADED);
	if (unlikely(store_page_full(open)))
		return STORE_FULL;
	if (unlikely(open->open.key != key))
		return STORE_OTHER;
	at = fetch_add(&open->open.count, store_width(key));
	test_point(FILL);
	if (unlikely(at >= open->open.cap))
		return STORE_FULL;
	store_fill(open, at, key, o);
	return STORE_DONE;
}

#define STORE_TRIES 8

/*
 * Append @a, and @b where the key has two words, to the page of this kind that is open in the
 * calling CPU's place, by a restartable sequence. Any context.
 */
static inline enum store_result store_append_cpu(struct store_place *place, unsigned kind,
						 uintptr_t key, uintptr_t a, uintptr_t b,
						 uint32_t width)
{
	struct port_rseq_page **pages = (struct port_rseq_page **)(void *)&place->open[kind];

	/*
	 * Arming a sequence before the offset of the thread's rseq area is known would overwrite
	 * other memory.
	 */
	if (unlikely(!load_acquire(&port_rseq_cpus)))
		return STORE_REFUSED;
	for (int i = 0; i < STORE_TRIES; i++) {
		switch (port_rseq_append(pages, key, a, b, width)) {
		case PORT_RSEQ_DONE:
			return STORE_DONE;
		case PORT_RSEQ_REFUSE:
			return STORE_FULL;
		case PORT_RSEQ_OTHER:
			return STORE_OTHER;
		case PORT_RSEQ_ABORT:
			break;
		}
	}
	return STORE_AGAIN;
}

/* The place @n will be used: collections include it from now on. Any context. */
void store_place_used(struct store *s, uint32_t n);

/*
 * Make a page that contains @o the open one of *@where, in place of the full page @old, or of NULL.
 * In a read-side critical section that began before @old was read. @shared: the page is appended to
 * by atomics. OPENED, AGAIN or REFUSED. Any context.
 */
enum store_result store_open(struct store *s, struct store_page **where, struct store_page *old,
			     uintptr_t key, bool shared, unsigned cpu, struct store_object *o);
/*
 * Append to the open page of *@where by atomics, or open one if there is none or it is full. In a
 * read-side critical section. DONE, OTHER, or as store_open(). Any context.
 */
enum store_result store_append_or_open(struct store *s, struct store_page **where, uintptr_t key,
				       unsigned cpu, struct store_object *o);

/* Free a collected page that is empty. Any context. */
void store_page_free(struct store *s, struct store_page *p);

/* Link the object through its head, whose function is set. Any context. */
void store_chain_push(struct store *s, struct anyrcu_head *head);

/*
 * ---- The collector: one at a time, by a lock of the client's ----
 *
 * Take pages away: all of them, or, without @all, the full ones behind the open ones. The pages are
 * put in front of *@list: place 0 first, and in each place older pages before newer ones. Pages
 * that were open may still be appended to: by sequences until port_rseq_fence(), by atomics until a
 * grace period has passed. Every page that was counted as sealed before is taken.
 *
 * Returns how many pages were sealed.
 */
uint32_t store_collect(struct store *s, bool all, struct store_page **list);
/* Take the chain: the newest first. */
struct anyrcu_head *store_chain_collect(struct store *s);
/* How many objects were added to a page since the last call. */
uint64_t store_count(struct store_page *p);
/* Is there an open page, or a chain? Any context. */
bool store_any(const struct store *s);
/* Objects in the open pages, roughly. In a read-side critical section, or as the collector. */
uint64_t store_open_objects(const struct store *s);

#define STORE_BACKLOG 64
/*
 * So many full pages are collected without waiting for the client's delay: STORE_BACKLOG, or a
 * quarter of all that there may be, as otherwise they could be used up within the delay.
 */
static inline uint32_t store_backlog(const struct store *s)
{
	uint64_t quarter = load(&s->bytes_max) / (4 * sizeof(struct store_page));

	return quarter < STORE_BACKLOG ? (uint32_t)quarter ?: 1 : STORE_BACKLOG;
}

static inline bool store_has_backlog(const struct store *s)
{
	return load(&s->sealed) >= store_backlog(s);
}

/* Is a backlog complete with the page that was sealed for @o, or another one? */
static inline bool store_completed_backlog(const struct store *s, const struct store_object *o)
{
	return o->sealed && o->sealed % store_backlog(s) == 0;
}

/* The defaults of the clients' configurations. */
enum { STORE_DELAY_US = 10000, STORE_PENDING_MAX = 131072, STORE_BYTES_MAX = 64 << 20 };

/* ---- debug.c: marks on heads, if ANYRCU_DEBUG=1 ---- */

extern bool store_debug; /* constant after initialisation */
/* Mark the head as pending; if it is pending already, end the program. Any context. */
void store_debug_mark(struct anyrcu_head *head, uintptr_t caller);
/* Check and remove the mark; end the program if the head was overwritten. */
void store_debug_unmark(struct anyrcu_head *head, uintptr_t func, uintptr_t caller);

#endif
