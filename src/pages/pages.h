/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of the page allocator, beside anyrcu/page.h. */
#ifndef ANYRCU_PAGES_PAGES_H
#define ANYRCU_PAGES_PAGES_H

#include <anyrcu/page.h>
#include <port/port.h>

struct pages_stats {
	uint64_t percpu, reserve, zone;	    /* allocations, by origin */
	uint64_t failed_no_locks, failed;   /* allocations refused */
	uint64_t mapped, mapped_high;	    /* bytes */
};
extern struct pages_stats pages_stats;

/* As anyrcu_page_alloc() and anyrcu_page_free(), for use by the library, which wakes the worker that refills itself. */
void *page_alloc(unsigned gfp, unsigned order);
void page_free(void *page, unsigned order);
/* Wakes whoever refills and trims. Set once, before there is a second thread. Any context. */
extern void (*pages_kick)(void);
/* For the validator, if it is on: the program, at @ip, allocates in this mode. Any context. */
extern void (*pages_watch)(unsigned gfp, const void *ip);
/* Is it the zone's lock? */
bool pages_lock_is_zone(const struct port_lock *lock);

/* Is the reserve below its watermark, or are there pages on their way back to the zone? Any context. */
bool pages_want_refill(void);
/* Bring the reserve to its watermark, and the watermark to the demand since the last call. Task. */
void pages_refill(void);
/* Give back to the system all that is not in use, but for an untouched reserve. Task. */
void pages_trim(void);
/*
 * Must somebody look in from time to time? Something has been used since the last trim; or the program itself has used NO_LOCKS, which makes
 * no system call and so wakes nobody: only a timer sees that the reserve runs low. Whoever asks will do so. Task.
 */
bool pages_want_timer(void);
/* Has nothing been allocated since the last call, and something since the last trim? Task. */
bool pages_idle(void);

/* Around fork(): no zone operation in progress in another thread. */
void pages_fork_prepare(void);
void pages_fork_done(void); /* in parent and child */

#endif
