/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Inside src/defer, and what the layer above uses of it beside anyrcu/defer.h. */
#ifndef ANYRCU_DEFER_DEFER_H
#define ANYRCU_DEFER_DEFER_H

#include <anyrcu/config.h>
#include <anyrcu/defer.h>
#include <gp/gp.h>
#include <port/posix/rseq.h>

/*
 * A page of pointers. Its key says what its words are:
 *
 *     a function   one word each: the argument
 *     KEY_FREE     one word each: what free() takes
 *     KEY_MIXED    two words each: the function, or KEY_FREE, and its argument
 *     KEY_DEBUG    four words each: as KEY_MIXED, then the head or NULL, and the address that deferred it
 */
enum { KEY_FREE = 1, KEY_MIXED, KEY_DEBUG };

#define DEFER_WORDS 504

struct defer_page {
	struct port_rseq_page open; /* key, count, cap */
	struct defer_page *next;
	uint64_t gen;	  /* the collection that took it; under defer.lock */
	uint32_t cursor;  /* next word to invoke; the drainer */
	uint32_t counted; /* words already in the statistics; under defer.lock */
	uint32_t cpu;	  /* whose page it was */
	bool shared;	  /* appended to by atomics, so some words may be empty */
	bool settled;	  /* no word of it will be filled any more; under defer.lock */
	uintptr_t word[DEFER_WORDS] __attribute__((aligned(PORT_RSEQ_WORDS)));
};
_Static_assert(sizeof(struct defer_page) == 4096, "a page of pointers is a page");
_Static_assert(offsetof(struct defer_page, word) == PORT_RSEQ_WORDS, "where the sequence stores");

static inline uint32_t defer_width(uintptr_t key)
{
	return key == KEY_MIXED ? 2 : key == KEY_DEBUG ? 4 : 1;
}

/* The words of a page that are in use, or will be. */
static inline uint32_t defer_used(const struct defer_page *p)
{
	uint32_t n = load_acquire(&p->open.count), cap = p->open.cap, w = defer_width(p->open.key);

	return n < cap ? n : (cap + w - 1) / w * w;
}

enum { UNIFORM, MIXED, KINDS };

/* The pages that are open on a CPU, each in front of the full ones behind it; NULL when there is none. */
struct defer_cpu {
	struct defer_page *rseq[KINDS];	  /* appended to by port_rseq_append() */
	struct defer_page *shared[KINDS]; /* by atomics */
} __attribute__((aligned(1 << PORT_RSEQ_CPU_SHIFT)));
extern struct defer_cpu defer_cpus[PORT_CPUS_MAX];
extern uint32_t defer_ncpus; /* CPUs below which there have been pages; any context, only grows */

/* What has no page: a stack through the heads, pushed to by anyone, taken whole by a collection. */
extern struct anyrcu_head *defer_chain;

struct defer_stats {
	uint64_t page, chain, inline_; /* deferred; page: those collected */
	uint64_t refused, refused_bound;
	uint64_t invoked, helped;
	uint64_t pending_high;
	uint64_t bytes, bytes_high; /* in pages */
	uint64_t batches, drained_pages, drained_chains;
	uint64_t floods, wakes;
};
extern struct defer_stats defer_stats;

/* The defaults of struct anyrcu_config. */
enum { DEFER_DELAY_US = 10000, DEFER_PENDING_MAX = 131072, DEFER_BYTES_MAX = 64 << 20 };

/* Set by anyrcu_init(), read from any context; each on its own. */
struct defer_limits {
	uint64_t delay_ns, pending_max, bytes_max;
};
extern struct defer_limits defer_limits;

/* As enum anyrcu_policy; set by anyrcu_init(), read from any context. */
extern uint32_t defer_policy;

/* Deferrals that have been accepted, and those that wait. Any context. */
uint64_t defer_deferred_page(void);
uint64_t defer_pending(void);
/* The same without what is in the open pages, which takes a look at each CPU. Any context. */
uint64_t defer_pending_closed(void);
/* More is pending than should be: flood control begins, if it has not. Any context. */
bool defer_flood_begins(uint64_t pending);

/* ---- debug.c ---- */

extern bool defer_debug; /* constant after initialisation */
/* Mark the head as pending, or report that it is already and end the program. Any context. */
void defer_debug_mark(struct anyrcu_head *head, uintptr_t caller);
/* Check and take away the mark; ends the program when the head was overwritten. */
void defer_debug_unmark(struct anyrcu_head *head, uintptr_t func, uintptr_t caller);

/* ---- drain.c: the pipeline; see there ---- */

/* Move collections on as far as they go without waiting. Task. */
void defer_advance(void);
/*
 * Invoke what is ready, at most @budget. ONLY_FREE: only what is for free(). FOLLOW: on the CPU where it was deferred. Task. Returns how
 * many.
 */
enum { DEFER_ONLY_FREE = 1, DEFER_FOLLOW = 2 };
size_t defer_drain(size_t budget, unsigned how);
/* Nothing has been deferred that is not invoked yet, as far as the caller can know. Task. */
bool defer_empty(void);
/* Is the calling thread inside a callback? */
bool defer_in_callback(void);
/* Is there a collection that waits for its grace period, and which? Task. */
bool defer_waiting(anyrcu_gp_t *cookie);
/* When the open pages must be collected, port_now() time; the delay starts now. */
uint64_t defer_due(void);
void defer_delay_starts(void);
/* Is there anything to do but to wait for that? Looks without the lock. Task. */
bool defer_moving(void);
extern uint32_t defer_sealed;	      /* full pages not collected yet, or fewer: counted when in place, 0 before a collection */
extern uint64_t defer_sealed_objects; /* and what is in them; may lag behind the pages, in either direction */
extern bool defer_flood;      /* more is pending than should be */
/* How many workers more than there are the backlog of a flood calls for: one for each quarter of the bound beyond it. Task. */
uint32_t defer_help_wanted(void);
#define DEFER_SEALED_WAKE 64

/* ---- worker.c ---- */

/* Start @n workers in place of those there are. Task. 0 or -errno. */
int defer_workers_start(unsigned n, int rt, const int *cpus, size_t ncpus);
unsigned defer_workers(void);
/*
 * There is something to do, since before the call: wake a worker if all sleep deep, or, if @urgent, one that would wake by itself later.
 * Any context.
 */
void defer_wake(bool urgent);

/* ---- for the layer above ---- */

/* The calling thread ends, perhaps inside a callback. */
void defer_thread_exit(void);
void defer_fork_prepare(void);
void defer_fork_parent(void);
void defer_fork_child(void);
void worker_fork_child(void);
void worker_thread_exit(void);

#endif
