/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Inside src/lockdep. */
#ifndef ANYRCU_LOCKDEP_ENGINE_H
#define ANYRCU_LOCKDEP_ENGINE_H

#include <lockdep/lockdep.h>
#include <port/port.h>

/* Bounds. What goes beyond is not validated, and that is said once. Memory that is not used is not touched. */
#define KEYS 8192
#define CLASSES 16384
#define LOCKS (1u << 20)
#define NEAR (1u << 17)
#define EDGES (1u << 17)
#define CHAINS (1u << 18)
#define PAIRS (1u << 16)
#define TRACE_WORDS (1u << 20)
#define THREADS 16384
#define FOUND 4096
#define HELD 48
#define NESTING 16
#define FRAMES 24

/* Class 0 is none; class 1 stands for what had no room: it is held, and nothing else. */
#define UNVALIDATED 1

/* How a lock is held: what of enum ANYRCU_LOCK_* says READ. */
#define READS(how) ((how) & (ANYRCU_LOCK_READ | ANYRCU_LOCK_RECURSIVE_READ))

struct held {
	const void *lock, *ip, *nest;
	uint64_t chain; /* hash of the classes held in this context up to this one */
	uint16_t class; /* 0: not complete */
	uint8_t how;
	uint8_t limit; /* wait type that may still be taken */
};

/* What a handler has interrupted. */
struct interrupted {
	uint64_t handles, blocked;
	uint32_t base, preempt;
	uint8_t limit;
};

/*
 * A thread, written by itself and its handlers alone; see engine.c.
 */
struct thread {
	uint32_t used, tid;
	uint32_t busy;	  /* in the validator's slow part, which no handler interrupts: what it calls is not validated */
	uint32_t depth;	  /* held[] */
	uint32_t base;	  /* held[] from here on belong to the context */
	uint32_t beyond;  /* held, but not in held[] */
	uint32_t nesting; /* interrupted[] */
	uint32_t unnested;
	uint32_t preempt;
	uint32_t looks;
	uint64_t blocked; /* signals */
	uint64_t handles; /* signals whose handlers it is in */
	uint8_t limit;	  /* wait type that the context allows */
	struct interrupted interrupted[NESTING];
	struct held held[HELD];
};

struct key {
	const void *id;
	const char *name;
	const struct anyrcu_lock_type *type;
	uint16_t class[ANYRCU_LOCKDEP_SUBCLASSES]; /* 0: not yet */
};

/* By which signals a class was used: written by handlers of, held with. Index: 1 when it is read. */
enum { USED_IN, HELD_OPEN, USES };
struct class {
	uint64_t use[USES][2];
	uint32_t trace[USES][2]; /* where that was seen first */
	uint32_t after, before;	 /* edges from here, and to here; 0: none */
	uint16_t key;
	uint8_t subclass;
};

struct edge {
	uint16_t from, to;
	uint8_t kinds; /* of enum: so it was seen */
	uint32_t next_after, next_before;
	uint32_t trace;
};

struct lock_slot {
	const void *lock; /* NULL: never used; GONE: was */
	uint32_t key, generation;
};
#define GONE ((const void *)1)

struct pair {
	uint32_t first, second; /* generations */
};

struct tables {
	uint32_t nkeys, nclasses, nedges, nchains, nlocks, npairs, ntrace, generation, deepest, full;
	uint32_t thread_hint; /* where one is free, perhaps */
	uint64_t threads_high;
	uint64_t reports;
	struct key key[KEYS];
	uint16_t key_of[2 * KEYS];
	struct class class[CLASSES];
	struct edge edge[EDGES];
	uint64_t chain[CHAINS];
	struct lock_slot lock[LOCKS];
	uint64_t near[NEAR];
	struct pair pair[PAIRS];
	uintptr_t trace[TRACE_WORDS];
	uint64_t found[FOUND];
	struct thread thread[THREADS];
	/* the search: breadth first */
	uint32_t stamp, visited[CLASSES];
	struct visit {
		uint16_t class;
		bool weak;
		uint32_t parent, edge;
	} queue[2 * CLASSES];
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

static inline uint8_t inner_of(const struct anyrcu_lock_type *type)
{
	return type->wait_inner ? type->wait_inner : type->wait_outer;
}

/* ---- graph.c: all under the lock ---- */

/* The slot of a lock; NULL when it has none. Also without the lock. */
struct lock_slot *lock_find(const void *lock);
/* The class of a lock in a subclass, made if need be. */
unsigned class_make(const void *lock, const struct anyrcu_lock_type *type, const char *name, const void *id, unsigned subclass);
void lock_forget(const void *lock);
/* A lock in [@p, @beyond); NULL: there is none. Also without the lock. */
const void *lock_within(const void *p, const void *beyond);
void locks_forget(const void *p, const void *beyond);
bool chain_known(uint64_t chain); /* also without the lock */
/* @t is about to hold @h, on top of what it holds: look whether that may be, and remember it. */
void chain_check(struct thread *t, struct held *h);
/* The class is used in handlers of @in, or held with @open open. */
void use_check(struct thread *t, struct held *h, uint64_t in, uint64_t open);
uint32_t trace_here(void);

/* ---- report.c: all under the lock ---- */

struct scenario;
bool report_begin(enum anyrcu_lockdep_rule rule, uint64_t a, uint64_t b);
void report_end(const struct thread *t);
void say(const char *format, ...);
void say_lock(const struct held *h);
void say_class(unsigned class);
void say_trace(uint32_t trace);
void say_full(unsigned which, const char *what);

#endif
