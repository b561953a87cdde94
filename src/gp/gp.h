/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of readers and grace periods, beside anyrcu/rcu.h. */
#ifndef ANYRCU_GP_GP_H
#define ANYRCU_GP_GP_H

#include <anyrcu/config.h>
#include <anyrcu/rcu.h>
#include <base/compiler.h>

struct gp_stats {
	uint64_t started, done, ns_total, ns_max, stalls;
};
extern struct gp_stats gp_stats;

/* Set once, before there is a second thread, or under no use; constant afterwards. */
struct gp_hooks {
	void (*kick)(void);	   /* somebody should drive grace periods; any context */
	uint64_t (*pending)(void); /* deferrals that wait; any context */
	/* For the validator, if it is on: the caller, at @ip, may wait for a grace period. */
	void (*waits)(const char *what, const void *ip);
};
extern struct gp_hooks gp_hooks;

/* Stall reports: configuration, any time. */
void gp_configure(uint64_t stall_ms, void (*hook)(const struct anyrcu_stall *, void *), void *arg);
/* Once port_fence_all_works is known: readers may do without fences. Task. */
void gp_init(void);

/* As anyrcu_gp_start(), but wakes nobody: the caller drives it. Any context. */
anyrcu_gp_t gp_cookie(void);
/* The last grace period that anybody has asked for, and whether it has not ended yet. Any context. */
anyrcu_gp_t gp_newest(void);
bool gp_wanted(void);
/* Move the grace period on as far as it goes without waiting, unless another thread is at it. Task. */
void gp_step(void);
/* Wait a moment, unless @cookie's grace period has ended: @round counts from 0. Task. */
void gp_pause(anyrcu_gp_t cookie, unsigned round);
/* Take back the records that ended threads have kept. A system call for each record. Task. */
void gp_sweep(void);
/* Report the reader that has held up the grace period for too long, if there is one. Task, no locks held. */
void gp_stall_check(void);

/*
 * A thread that waits reads nothing: if it is in quiescent-state mode it goes offline for that time. Returns what gp_waits_end() takes. Task.
 */
bool gp_waits_begin(void);
void gp_waits_end(bool online);

/* Is the caller inside a read-side critical section? Any context. */
bool gp_in_section(void);
/* Ends the program when it is: @what must not be called there. */
void gp_must_not_read_at(const char *what, const void *ip);
#define gp_must_not_read(what) gp_must_not_read_at((what), __builtin_return_address(0))

/* The calling thread ends. Its handlers may still run, and read. */
void gp_thread_exit(void);

void gp_fork_prepare(void);
void gp_fork_child(void);

/* ---- between reader.c and gp.c ---- */

/* The place of a scan over all records. */
struct reader_cursor {
	struct reader_block *block;
	unsigned i;
};
void reader_scan_begin(struct reader_cursor *at);
/* The first record, from the cursor on, of a reader that began before @seq; NULL when there is none left. The driver. */
struct anyrcu_reader *reader_scan(struct reader_cursor *at, uint64_t seq);
/* Readers without a record of their own: must be none at the end of the scan. */
bool reader_crowd_empty(void);
/* A thread that ended inside a section cannot read any more: true if this was one, and its record is free now. The driver. */
bool reader_bury(struct anyrcu_reader *r);
void reader_sweep(void); /* bury all that can be. The driver. */
uint32_t reader_tid(const struct anyrcu_reader *r);
uint64_t reader_count(void);
void reader_fork_child(uint32_t parent_tid);

#endif
