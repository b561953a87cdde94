/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Internals of src/lockdep, also for a host that contains the engine. */
#ifndef ANYRCU_LOCKDEP_ENGINE_H
#define ANYRCU_LOCKDEP_ENGINE_H

#include <lockdep/lockdep.h>
#include <port/process.h>

/* Facts beyond these bounds are not validated, which is reported once. */
#define KEYS 8192
#define CLASSES 16384
#define LOCKS (1u << 20)
#define NEAR (1u << 17)
#define EDGES (1u << 17)
#define CHAINS (1u << 18)
#define NODES (1u << 19)
#define ARCS (1u << 19)
#define TRACES 8192
#define TOOK 16
#define EVENTS 4096
#define EVENT_LOCKS 8
#define TRACE_WORDS (1u << 20)
#define THREADS 16384
#define SEGMENTS 8192
#define LIMITS 64
#define FOUND 4096
#define HELD 256
#define ONCE 4
#define KEPT 4
#define GUARDS 36 /* of more, the outermost: a lock that guards is taken before the rest */
#define NESTING 16
#define FRAMES 24

/* Class 0 is none; class 1 is for locks that did not fit: they are held, but not validated. */
#define UNVALIDATED 1

/* The bits of ANYRCU_LOCK_* that mean held to read. */
#define READS(how) ((how) & (ANYRCU_LOCK_READ | ANYRCU_LOCK_RECURSIVE_READ))

struct held {
	const void *lock, *ip;
	uint64_t chain; /* hash of the classes held in this context up to this one */
	union {
		struct {
			uint16_t class; /* 0: not complete */
			uint8_t how;
			uint8_t limit; /* wait type that may still be taken */
			uint32_t generation; /* the lock has another: it was destroyed */
		};
		uint64_t facts; /* all of these */
	};
};

/*
 * An acquisition that was checked, and needs no check if it happens again in the same
 * circumstances: on top of the same chain, outside of handlers; see again.h.
 */
#define CHECKED 16
struct checked {
	_Alignas(64) uint64_t key; /* the lock, its type, and how; 0: none */
	const struct lock_slot *slot;
	uint64_t below; /* chain of the held locks; 0: none */
	uint64_t open; /* unblocked signals */
	uint64_t chain, facts; /* of the entry */
};

/* The saved state of the code that a handler has interrupted. */
struct interrupted {
	uint64_t handles, blocked;
	uint32_t base, preempt;
	uint8_t limit;
};

/* A lock that a thread took lately; see wait.c. */
struct took {
	const void *lock, *ip;
};

/* A lock that a thread took, or holds in a wait. */
struct taken {
	const void *lock, *ip;
	const char *what; /* the wait */
	uint32_t generation, tid;
	uint16_t class;
	bool reads;
};

struct event {
	const void *object;
	uint32_t nheld, ntook; /* how many were stored so far */
	uint32_t caused; /* how often */
	uint32_t waiters; /* of a condition, now */
	bool turnstile; /* see lockdep_passes() */
	uint32_t beyond; /* of a lock that is taken for several: see kept.c */
	const void *mutex; /* of the last waiter */
	uint32_t barrier, threads, arrivals; /* for a barrier; barrier: its number, 0: none */
	struct taken held[EVENT_LOCKS], took[EVENT_LOCKS];
};

/* A thread, written by itself and its handlers alone; see engine.c. */
struct thread {
	uint32_t used, tid;
	uint32_t depth; /* held[] */
	uint32_t base; /* held[] from here on belong to the context */
	/* If any of these is not 0, acquire_again() does not apply. Two words. */
	union {
		struct {
			/*
			 * in the validator's slow part, which no handler interrupts: operations of
			 * functions that it calls are not validated
			 */
			uint32_t busy;
			uint32_t nesting; /* interrupted[] */
			uint32_t preempt;
			uint32_t checking; /* checked[] is being written */
		};
		uint64_t odd[2];
	};
	uint32_t nchecked; /* how often checked[] was written */
	uint32_t lot; /* see acquire_known() */
	uint32_t beyond; /* held, but not in held[] */
	uint32_t unnested;
	uint32_t looks;
	uint64_t blocked; /* signals */
	uint64_t handles; /* signals whose handlers it is in */
	uint8_t limit; /* wait type that the context allows */
	/* took[]: how many ever; how many when its last wait ended; when it last caused an event */
	uint32_t ntook, waited, told;
	const void *came_by; /* the semaphore that it came by in its last wait */
	/*
	 * See meet.c: the pthread_once()s it found done, as generations; and its present segment.
	 */
	uint32_t once[ONCE];
	uint16_t once_chain; /* a hash of them */
	uint32_t segment;
	/* The locks it kept beyond another, and that one, as generations; see kept.c */
	uint32_t nkept;
	struct kept {
		uint32_t lock, beyond;
	} kept[KEPT];
	struct barrier_round passed;
	bool waits_at_barrier;
	const void *end; /* the event of its end */
	const void *blocks; /* the lock waited for without bound, and the stack then; see block.c */
	uint32_t nstack;
	void *stack[FRAMES];
	struct took took[TOOK];
	struct checked checked[CHECKED];
	struct interrupted interrupted[NESTING];
	struct held held[HELD];
};

struct key {
	const void *id; /* NULL: shared by all that did not fit, so it says nothing */
	const char *name;
	const struct anyrcu_lock_type *type;
	uint16_t class[ANYRCU_LOCKDEP_SUBCLASSES]; /* 0: not yet */
};

/*
 * The signals by which a class was used: taken in their handlers, held with them unblocked. Second
 * index: 1 if to read.
 */
enum { USED_IN, HELD_OPEN, USES };
struct class
{
	uint64_t use[USES][2];
	uint32_t trace[USES][2]; /* where that was seen first */
	uint32_t after, before; /* edges from here, and to here; 0: none */
	uint16_t key;
	uint8_t subclass;
};

struct edge {
	uint16_t from, to;
	uint8_t kinds; /* of enum: the kinds that were seen */
	bool alone; /* seen first when the process had one thread */
	uint8_t nguards;
	uint16_t guard[GUARDS]; /* other classes that were held then */
	uint32_t next_after, next_before;
	uint32_t trace;
	uint32_t from_generation, to_generation; /* the locks then */
	const void *from_lock, *to_lock;
};

/*
 * A node: a lock that was held together with others. An arc: one lock was waited for while another
 * was held. See instance.c. Index 0 is none.
 */
struct node {
	const void *lock;
	int64_t number;
	uint32_t after, before; /* arcs */
	/* forwards, backwards: stamp of the last search that visited it */
	uint32_t mark[2];
	uint16_t class;
};

struct arc {
	uint32_t from, to; /* nodes */
	uint32_t next_after, prev_after, next_before, prev_before, same_bucket;
	uint32_t trace;
	uint32_t tid; /* the thread that was seen first */
	uint32_t segment; /* 0: none */
	bool reads; /* @from is held by a reader */
	bool recursive; /* @to is acquired by a recursive reader */
	bool alone;
	uint8_t nguards;
	/* ascending: generations * 2 of the held locks; + 1: held by a reader */
	uint32_t guard[GUARDS];
};

struct lock_slot {
	const void *lock; /* NULL: never used; GONE: not used any more */
	uint32_t key, generation;
};
#define GONE ((const void *)1)

struct tables {
	uint32_t nkeys, nclasses, nedges, nchains, nlocks, ntrace, generation, deepest, full;
	uint32_t thread_hint; /* an index that may be free */
	uint64_t threads_high;
	uint64_t reports;
	struct key key[KEYS];
	uint16_t key_of[2 * KEYS];
	struct class class[CLASSES];
	struct edge edge[EDGES];
	uint64_t chain[CHAINS];
	struct lock_slot lock[LOCKS];
	uint64_t near[NEAR];
	/* instance.c */
	uint32_t nnodes, narcs, free_node, free_arc, node_stamp;
	int64_t first_number, last_number;
	uint32_t node_of[LOCKS]; /* by slot */
	struct node node[NODES];
	struct arc arc[ARCS];
	uint32_t arc_of[ARCS];
	uint32_t list[NODES];
	/* the arc and the edge that are being looked at: too large for a handler's stack */
	struct arc new_arc;
	struct edge new_edge;
	/* wait.c */
	/*
	 * nwaits: waits of threads that held locks, ever; joins: present waits for a thread's end
	 */
	uint32_t nevents, joins, nwaits;
	struct event event[EVENTS];
	struct {
		uint64_t key;
		uint32_t trace;
	} trace_of[TRACES];
	uint32_t here; /* the stack since slow_begin(); 0: it was not asked for yet */
	uintptr_t trace[TRACE_WORDS];
	/* meet.c */
	uint32_t nsegments, barriers, nlimits;
	struct segment {
		struct barrier_round begin, end;
	} segment[SEGMENTS];
	struct limit {
		uint32_t generation, threads;
	} limit[LIMITS];
	uint64_t found[FOUND];
	struct thread thread[THREADS];
	/* the search: breadth first */
	uint32_t stamp, visited[CLASSES];
	struct visit {
		uint16_t class;
		bool weak;
		uint32_t parent, edge;
	} queue[2 * CLASSES];
	/* block.c: the search for a cycle of threads */
	struct blocked {
		struct thread *thread;
		uint32_t parent;
		struct held wants;
	} blocked[THREADS];
	/* the report */
	struct anyrcu_lockdep_report report;
	char text[65536];
	uint32_t length;
	char names[8][128];
};

extern struct tables *tables;
extern const struct lockdep_host *host;

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);

	return x ^ x >> 29;
}

static inline const struct anyrcu_lock_type *type_of(unsigned class)
{
	return tables->key[tables->class[class].key].type;
}

/* Does the process have one thread? */
static inline bool alone(void)
{
	return host->threads && load(host->threads) <= 1;
}

static inline uint8_t inner_of(const struct anyrcu_lock_type *type)
{
	return type->wait_inner ? type->wait_inner : type->wait_outer;
}

/* ---- locks.c: all under the lock ---- */

/* The slot of a lock; NULL if it has none. Also without the engine's lock. */
struct lock_slot *lock_find_on(const void *lock, uint32_t at);
static inline struct lock_slot *lock_find(const void *lock)
{
	uint32_t at = mix((uintptr_t)lock, 0) % LOCKS;
	struct lock_slot *s = &tables->lock[at];

	return likely(load_acquire(&s->lock) == lock) ? s : lock_find_on(lock, at);
}
/* The class of a lock in a subclass, made if needed. */
unsigned class_make(const void *lock, const struct anyrcu_lock_type *type, const char *name,
		    const void *id, unsigned subclass);
void lock_forget(const void *lock);
/* Forget what was learnt of a lock except its class, as if another one of its class were there. */
void lock_renew(struct lock_slot *s);
/* A lock in [@p, @beyond); NULL: there is none. Also without the engine's lock. */
const void *lock_within(const void *p, const void *beyond);
void locks_forget(const void *p, const void *beyond);
/* Forget static locks whose object was unloaded, and their classes; the arguments are unused. */
void locks_unloaded(const void *p, const void *beyond);
/* ---- graph.c: all under the lock ---- */

/* The stack of the caller of slow_begin(). It is unwound once, as that costs more than the rest. */
uint32_t trace_here(void);

/*
 * The stack at the first time that one of these classes was taken at this place with the other
 * held.
 */
uint32_t trace_of(const struct held *p, const struct held *n);

#define CHAIN_PROBES 64
/* Was this chain checked? Also without the lock. */
static inline bool chain_known(uint64_t chain)
{
	for (unsigned i = 0; i < CHAIN_PROBES; i++) {
		uint64_t found = load(&tables->chain[(chain + i) % CHAINS]);

		if (found == chain)
			return true;
		if (!found)
			return false;
	}
	return false;
}

/*
 * @t is about to hold @h, on top of its held locks: check whether that is allowed, and remember it.
 * If it holds @nest it may nest the class.
 */
void chain_check(struct thread *t, struct held *h, const void *nest);
/*
 * Store in queue[] all classes to which strong paths lead, or if @backwards, from which they lead
 * here; nearest first. @weak: the path so far ends in R, or backwards in S. Returns how many.
 */
uint32_t graph_reach(uint16_t class, bool weak, bool backwards);
/* Report the path to index @at of queue[]. */
void graph_say_edges(uint32_t at, bool backwards);

/* ---- uses.c: all under the lock ---- */

/* @n is waited for with @p held: may a handler's lock now wait for a lock that it interrupted? */
void order_check(struct thread *t, struct held *p, struct held *n);
/* The class is taken in handlers of @in, or held with @open unblocked. */
void use_check(struct thread *t, struct held *h, uint64_t in, uint64_t open);
/* Forget all uses in handlers of these signals. */
void uses_forget(uint64_t signals);
/* ---- instance.c: all under the lock ---- */

/* @n is waited for with @p held. */
void instance_depend(struct thread *t, struct held *p, struct held *n);
void instance_forget(const struct lock_slot *s);
/* Was the lock of this entry destroyed? Also without the engine's lock. */
bool instance_stale(const struct held *h);

/* ---- kept.c ---- */

void kept_note(struct thread *t, uint32_t i);
/* Under the lock. */
bool kept_over(struct thread *t, struct held *p, struct held *n);

/* ---- reader.c ---- */

/* Do grace periods wait for the calling thread? */
static inline bool is_reader(void)
{
	return unlikely(host->in_reader) && host->in_reader();
}

/*
 * If they do, reader_begin() returns true, and the thread holds an entry that says so until
 * reader_end().
 */
bool reader_begin(struct thread *t, const void *ip);
void reader_end(struct thread *t);

/* ---- meet.c: all under the lock ---- */
uint32_t common_guard(const struct arc *a, const struct arc *b);
/* Are the guards of @a among those of @b? */
bool guards_within(const struct arc *a, const struct arc *b);
void guards_of(struct thread *t, const struct held *p, struct arc *a);
bool circle_limited(const struct arc *new, const uint32_t *path, uint32_t length);
uint32_t segment_here(struct thread *t);
bool segments_apart(const struct arc *a, const struct arc *b);

/* ---- wait.c ---- */

struct event *event_find(const void *object, bool make);

/* @new is about to be waited for, and some thread waits for the end of one with locks held. */
void wait_check(struct thread *t, const struct took *new);

/* In the child of a fork: other threads do not wait any more. */
void waits_fork(void);

/* ---- thread.c ---- */

extern PORT_THREAD_LOCAL struct thread *thread_self;
struct thread *thread_make(void);

/* The calling thread's state; NULL where nothing is validated. */
static inline struct thread *thread(void)
{
	struct thread *t = thread_self;

	if (unlikely(!t))
		t = thread_make();
	return unlikely(!t || t->busy) ? NULL : t;
}

/* The same, also before lockdep_start(). */
static inline struct thread *lockdep_thread(void)
{
	return tables ? thread() : NULL;
}

/* Enter the slow part. False: new facts cannot be processed here. */
bool slow_begin(struct thread *t);
void slow_end(struct thread *t);
/* Call @what under the lock, also in a thread that has reported its end. */
void thread_forget(void (*what)(const void *, const void *), const void *p, const void *beyond);

/* ---- context.c ---- */

static inline uint8_t least(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

/*
 * CONFIG differs from SPIN only if spinlocks under raw ones are to be reported, and under rt, where
 * it sleeps.
 */
static inline uint8_t wait_type(uint8_t w)
{
	return w == ANYRCU_WAIT_CONFIG && !host->raw_nesting && !(host->rt && host->rt()) ?
		       ANYRCU_WAIT_SPIN :
		       w;
}

/* The topmost complete entry. An unreported handler may have interrupted the writing of another. */
static inline struct held *top(struct thread *t)
{
	uint32_t depth = t->depth;

	while (depth > t->base && unlikely(!t->held[depth - 1].class))
		depth--;
	return depth > t->base ? &t->held[depth - 1] : NULL;
}

/* The wait type that the context and the held locks allow. */
uint8_t context_limit(struct thread *t);
void context_wrong(struct thread *t, struct held *n, uint8_t outer);

/* Signals whose handlers may interrupt now. */
static inline uint64_t signals_open(struct thread *t)
{
	return ~t->blocked & (host->handled ? load(host->handled) : UINT64_MAX);
}

/* ---- held.c ---- */

/* The lock of @h is held with signals @open unblocked, or taken in handlers of @in. */
void held_use(struct thread *t, struct held *h, uint64_t in, uint64_t open);
void held_relink(struct thread *t, uint32_t i);
/* Remove entries of locks that were destroyed, or are held no more, as nothing releases them. */
void held_clean(struct thread *t);
/* The thread does not hold @p any more, as far as is known, and is about to acquire @n, if any. */
void held_over(struct thread *t, struct held *p, struct held *n);
/*
 * As lockdep_acquire(), but for what is remembered, and for readers; and: the thread does not hold
 * held[@i] any more.
 */
void held_acquire(struct thread *t, const void *lock, const struct anyrcu_lock_type *type,
		  unsigned how, unsigned subclass, const void *nest, const void *ip);
void held_remove(struct thread *t, uint32_t i);
/* Remember the acquisition of entry @n. */
void checked_remember(struct thread *t, const struct held *n, const struct lock_slot *slot,
		      const struct anyrcu_lock_type *type);
/* Forget the remembered acquisitions. */
void checked_forget(struct thread *t);
/* The entry of the calling thread for a lock. */
struct held *held_find(struct thread *t, const void *lock);
struct thread *held_by_whom(struct thread *t, const void *lock);
/*
 * The slot of a lock, which is given a class; NULL: there is no room. For a host with statistics.
 */
struct lock_slot *lockdep_slot(struct thread *t, const void *lock,
			       const struct anyrcu_lock_type *type, const void *ip);

/* ---- the operations: see struct lockdep_ops ---- */

void lockdep_init(const void *lock, const struct anyrcu_lock_type *type, const char *name,
		  const struct anyrcu_lock_class_key *key, const void *ip);
void lockdep_destroy(const void *lock, const void *ip);
void lockdep_free(const void *p, size_t size, const void *ip);
void lockdep_acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
		     unsigned subclass, const void *nest, const void *ip);
void lockdep_release(const void *lock, const void *ip);
int lockdep_is_held(const void *lock);
void lockdep_assert_held(const void *lock, bool expected, const void *ip);
void lockdep_might_sleep(const char *what, const void *ip);
void lockdep_might_spin(const char *what, const void *ip);
void lockdep_rcu_wait(const char *what, bool in_section, const void *ip);
void lockdep_gp_wait(const void *ip);
void lockdep_rcu_suspicious(const char *what, const void *ip);
void lockdep_signal_enter(int sig, uint64_t blocked, bool threaded);
void lockdep_signal_exit(uint64_t blocked);
void lockdep_signals_blocked(uint64_t mask);
void lockdep_preempt(int change);
void lockdep_thread_exit(bool in_reader);

/* ---- report.c: all under the lock ---- */

struct scenario;
bool report_begin(enum anyrcu_lockdep_rule rule, uint64_t a, uint64_t b);
/*
 * Is it the first time that this rule is broken here with @a, and with @b? Here are all functions
 * that were called to come here, in however many turns of a recursion.
 */
bool report_cause(enum anyrcu_lockdep_rule rule, uint64_t a, uint64_t b);
void report_end(const struct thread *t);
void say(const char *format, ...);
void say_lock(const struct held *h);
/* The thread takes @n, and @p is held; @but: words between them. */
void say_attempt(const struct thread *t, const struct held *n, const char *but,
		 const struct held *p);
void say_class(unsigned class);
void say_trace(uint32_t trace);
/*
 * One thread holds @p and waits for @n, another holds @n and waits for @next, and so on back to @p.
 */
void say_scenario(unsigned p, unsigned n, unsigned next);
void say_full(unsigned which, const char *what);

#endif
