/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Deferred free by tasks, one for one. See exchange.c. */
#ifndef ANYRCU_DEFER_EXCHANGE_H
#define ANYRCU_DEFER_EXCHANGE_H

#include <port/exchange.h>
#include <port/port.h>

struct exchange_page;
struct exchange_cpu {
	struct port_exchange now;
	/* under exchange_lock: */
	struct exchange_page *first, *last; /* sealed, the oldest first */
	uint64_t seen; /* the state at the worker's last look */
	uint32_t sealed; /* pages in the list; read without the lock */
} __attribute__((aligned(1 << PORT_RSEQ_CPU_SHIFT)));
_Static_assert(sizeof(struct exchange_cpu) == 1 << PORT_RSEQ_CPU_SHIFT, "as sequences find it");

extern struct exchange_cpu *exchange_cpus; /* NULL until exchange_begin(); then constant */
extern struct port_lock exchange_lock;

/*
 * Exchange objects from now on, if there are sequences; @ordinary defers an object in the ordinary
 * way, and may fail. Task.
 */
void exchange_begin(bool (*ordinary)(void *p));

/*
 * The path of exchange_free() when the sequence was refused. *@first: no CPU had pages before, and
 * one has now, even if @p was not stored; the caller wakes the worker, which checks from time to
 * time from then on. Task.
 */
bool exchange_slow(void *p, bool *first);

/*
 * Store @p, an object of malloc(), and free() an object whose grace period is over, if there is
 * one. False: the sequence was refused. Task.
 */
static inline bool exchange_free(void *p)
{
	struct exchange_cpu *cpus = load_acquire(&exchange_cpus);
	uintptr_t taken;

	/* As in store_append_cpu(): no sequence is armed before the area's offset is known. */
	if (unlikely(!cpus))
		return false;
	taken = port_exchange(&cpus->now, (uintptr_t)p);
	if (unlikely(taken == PORT_EXCHANGE_REFUSED))
		return false;
	if (likely(taken))
		port_free((void *)taken);
	return true;
}

/* Is there anything? Any context. */
bool exchange_used(void);
/* Objects that wait, and those that were freed. Exact while no thread exchanges. Any context. */
uint64_t exchange_pending(void);
uint64_t exchange_freed(void);
/*
 * Defer all objects in the ordinary way. False: that failed for some, for want of pages, which they
 * may fill themselves. exchange_free_rest() waits for a grace period and frees these one by one;
 * exchange_free_matured() frees those whose grace period is over, and wants one for the others.
 * Task.
 */
bool exchange_collect(void);
void exchange_free_rest(void);
void exchange_free_matured(void);
/*
 * The worker's regular check. Defers in the ordinary way all objects, if a CPU has exchanged
 * nothing since the last check, and otherwise matured pages that tasks will not take soon. Task.
 */
void exchange_look(void);

#endif
