/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of the page allocator, in addition to anyrcu/page.h. */
#ifndef ANYRCU_PAGES_PAGES_H
#define ANYRCU_PAGES_PAGES_H

#include <anyrcu/page.h>
#include <port/port.h>

struct pages_stats {
	uint64_t percpu, reserve, zone; /* allocations, by origin */
	uint64_t failed_no_locks, failed; /* allocations refused */
	uint64_t mapped, mapped_high; /* bytes */
};
extern struct pages_stats pages_stats;

/*
 * As anyrcu_page_alloc() and anyrcu_page_free(), for use by the library; they do not wake the
 * worker that refills, which the callers do where needed.
 */
void *page_alloc(unsigned gfp, unsigned order);
void page_free(void *page, unsigned order);
/*
 * Wakes the thread that refills and trims. Set once, before there is a second thread. Any context.
 */
extern void (*pages_kick)(void);
/*
 * Tells the validator, if it is on, that the program, at @ip, allocates in this mode. Any context.
 */
extern void (*pages_watch)(unsigned gfp, const void *ip);
/* The zone's lock. */
extern struct port_lock pages_lock;

/*
 * Is the reserve below half of its watermark, has an allocation failed, or do pages wait for their
 * return to the zone? Any context.
 */
bool pages_want_refill(void);
/* Adapt the watermark to the demand since the last call, and fill the reserve up to it. Task. */
void pages_refill(void);
/* Give unused pages back to the system, except for an untouched reserve. Task. */
void pages_trim(void);
/*
 * Must a thread check from time to time? It must if a page was used since the last trim, or if the
 * program itself has used NO_LOCKS: that makes no system call and so wakes no thread, and only a
 * timer notices that the reserve runs low. With @promise the caller will check if the answer is
 * true; without it, calls that use pages wake. Task.
 */
bool pages_want_timer(bool promise);
/* Has nothing been allocated since the last call, and something since the last trim? Task. */
bool pages_idle(void);

#endif
