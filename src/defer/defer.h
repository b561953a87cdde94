/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Internals of src/defer, and what layers above use of it in addition to anyrcu/defer.h. */
#ifndef ANYRCU_DEFER_DEFER_H
#define ANYRCU_DEFER_DEFER_H

#include <anyrcu/config.h>
#include <anyrcu/defer.h>
#include <gp/gp.h>
#include <store/store.h>

/*
 * The store's places are the CPUs. Each has an open page of each of three kinds, in two sets: one
 * that sequences append to, and one for atomics.
 *
 *     UNIFORM   all words belong to the one function that opened the page
 *     MIXED     deferrals with other functions in between
 *     WIDE      sized deferrals, and the debug mode
 */
enum { UNIFORM, MIXED, WIDE, SHARED, DEFER_KINDS = 2 * SHARED };
extern struct store_place defer_places[PORT_CPUS_MAX];
extern struct store defer_store;

/* The context that the caller of a deferral has declared: see struct store_object. */
enum { ANY_CONTEXT, RAW_CONTEXT, TASK_CONTEXT };

struct defer_stats {
	uint64_t page, chain, inline_; /* deferred; page: collected ones only */
	uint64_t refused, refused_bound, refused_bytes;
	uint64_t invoked, helped;
	uint64_t pending_high, pending_bytes_high;
	uint64_t batches, drained_pages, drained_chains;
	uint64_t floods, wakes;
};
extern struct defer_stats defer_stats;

/* The defaults of struct anyrcu_config. */
enum { DEFER_PENDING_BYTES_MAX = 64 << 20 };

/* Set by anyrcu_init(), read from any context; each on its own. */
struct defer_limits {
	uint64_t delay_ns, pending_max, pending_bytes_max;
};
extern struct defer_limits defer_limits;

/* As enum anyrcu_policy; set by anyrcu_init(), read from any context. */
extern uint32_t defer_policy;

/* Deferrals that were accepted, and those that are pending. Any context. */
uint64_t defer_deferred_page(void);
uint64_t defer_pending(void);
/* The same without the open pages, which would take a look at each CPU. Any context. */
uint64_t defer_pending_closed(void);
/* Begin flood control if too much is pending; true if it begins now. Any context. */
bool defer_flood_begins(uint64_t pending);
/* Begin or end flood control if it is time to. Any context. */
void defer_flood_check(void);
extern uint32_t defer_flood; /* 1: flood control is on */

/* ---- bytes.c; any context ---- */

#define DEFER_OBJECT_BYTES_MAX (UINT64_C(1) << 40) /* larger objects count as this */
uint64_t defer_bytes_pending(void);
/* Read it before storing an object, and pass it when adding the object's bytes. */
uint64_t defer_era(void);
void defer_bytes_add(uint64_t era, uint64_t bytes);
/* Call it once the cursor has been moved past the object. */
void defer_bytes_subtract(uint64_t bytes);
/* In the child of a fork: @bytes are stored; @forks is the number of forks so far. */
void defer_bytes_counted(uint32_t forks, uint64_t bytes);
/*
 * Encode the bytes into the word func of a head in the chain; and decode: returns the bytes, and
 * removes them from *@func.
 */
uintptr_t defer_chain_func(uintptr_t func, uint64_t bytes);
uint64_t defer_chain_bytes(uintptr_t *func);

/* ---- collect.c, drain.c: the pipeline; see pipe.h ---- */

/* Move collections on as far as they go without waiting. Task. */
void defer_advance(void);
/*
 * Invoke at most @budget ready callbacks. ONLY_FREE: only objects for free(). FOLLOW: move to the
 * CPU on which they were deferred. Task. Returns how many were invoked.
 */
enum { DEFER_ONLY_FREE = 1, DEFER_FOLLOW = 2 };
#define DEFER_PORTION 4096 /* so many callbacks between two looks at what else there is to do */
size_t defer_drain(size_t budget, unsigned how);
/* Is every deferral that the caller can know of invoked, or being invoked? Task. */
bool defer_empty(void);
/* Is the calling thread inside a callback? */
bool defer_in_callback(void);
/* Is there a collection that waits for its grace period, and which? Task. */
bool defer_waiting(anyrcu_gp_t *cookie);
/* When the open pages must be collected, in port_now() time; and: start the delay now. */
uint64_t defer_due(void);
void defer_delay_starts(void);
/* Is there a reason not to wait for that: full pages, bytes, or a wanted grace period? Task. */
bool defer_hurries(void);
/* Are there callbacks that a thread can take and invoke? Checks without the lock. Any context. */
bool defer_ready(void);
/* Is there anything to do other than wait for that? Checks without the lock. Task. */
bool defer_moving(void);
/*
 * How many additional workers the backlog of a flood needs: one for each quarter of the bound
 * beyond the bound. Task.
 */
uint32_t defer_help_wanted(void);

/* ---- memory.c; tasks that reclaim ---- */

/*
 * Refill the reserve of pages, do the work of caches that needs a task, and once a second, give
 * what was not used for a second back to the system.
 */
void defer_work_on_memory(void);
/*
 * Nanoseconds until there is something for it to do; UINT64_MAX: nothing, until a caller wakes. If
 * @promise, it will be called then, and callers that use pages need not wake.
 */
uint64_t defer_memory_due(bool promise);

/* ---- worker.c ---- */

/* Start @n workers in place of the present ones. Task. 0 or -errno. */
int defer_workers_start(unsigned n, int rt, const int *cpus, size_t ncpus);
unsigned defer_workers(void);
/*
 * Wait until the workers from before the last defer_workers_start() have ended, and the kernel has
 * removed their threads. A callback may keep one for any time. Task.
 */
void defer_workers_wait(void);
/*
 * Of the last defer_workers_start() some could not be started: wait, but not for long, until the
 * former ones have ended, which makes room for as many, and start them. Task. 0 or -errno.
 */
int defer_workers_start_behind(void);
/* Try again to start workers that could not be started, if it is time to. Task. */
void defer_workers_retry(void);
/* Will a worker drive grace periods soon, and not only after a callback? Any context. */
bool defer_driven(void);
/*
 * Call it after storing something to do. Wakes a worker if all sleep deep, or, if @urgent, also one
 * whose timer would wake it later. Any context.
 */
void defer_wake(bool urgent);
/*
 * For a program that reclaims by itself. While defer_bell_armed is BELL_ANY, the next defer_wake()
 * sets it to BELL_OFF and calls defer_bell; while it is BELL_URGENT, the next urgent one does. Any
 * context.
 */
extern void (*defer_bell)(void);
enum { BELL_OFF, BELL_URGENT, BELL_ANY };
extern uint32_t defer_bell_armed;

/* ---- for the layer above ---- */

/* The calling thread ends, perhaps inside a callback. */
void defer_thread_exit(void);
/*
 * Around fork(). defer_fork_paused() asks all threads that invoke callbacks to pause between two
 * callbacks until defer_fork_done(), and returns whether all have paused. Under defer_lock.
 */
extern struct port_lock defer_lock;
bool defer_fork_paused(void);
void defer_fork_done(void);
/* worker_fork.c; @start: the child is to have workers */
void worker_fork_child(bool start);
void worker_thread_exit(void);

#endif
