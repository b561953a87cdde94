/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of readers and grace periods, in addition to anyrcu/rcu.h. */
#ifndef ANYRCU_GP_GP_H
#define ANYRCU_GP_GP_H

#include <anyrcu/config.h>
#include <anyrcu/rcu.h>
#include <port/process.h>

#define GP_FIRST ((uint64_t)-1000) /* near the wrap, so that each program passes it soon */
/* A number as readers have it: see ANYRCU_READER_SEQ_SHIFT. */
#define GP_WORD(seq) (((seq) << ANYRCU_READER_SEQ_SHIFT) | 1)

struct gp_stats {
	uint64_t started, done, ns_total, ns_max, stalls;
};
extern struct gp_stats gp_stats;

/* Set once, before there is a second thread, or under no use; constant afterwards. */
struct gp_hooks {
	void (*kick)(void); /* a thread should drive grace periods; any context */
	uint64_t (*pending)(void); /* deferrals that wait; any context */
	/* a caller has checked whether a grace period has ended, and it has not; any context */
	void (*polled)(void);
	void (*task)(void); /* a task is about to wait for a grace period, or to reclaim */
	/*
	 * For the validator, if it is on: the caller, at @ip, must be a task and in no section.
	 * @waits: it may wait for a grace period.
	 */
	void (*waits)(const char *what, bool waits, const void *ip);
};
extern struct gp_hooks gp_hooks;
extern struct port_lock gp_lock; /* for the configuration of stalls and reminders */

/* Configure stall reports and reminders; defaults are filled in in @c. Task, any time. */
void gp_configure(const struct anyrcu_config *c);
/* Call it once port_fence_all_works is known; readers may then need no fences. Task. */
void gp_init(void);

/* As anyrcu_gp_start(), but wakes no thread: the caller drives it. Any context. */
anyrcu_gp_t gp_cookie(void);
/*
 * The same, but does not request a grace period: it ends with a later one that another call
 * requests. Any context.
 */
anyrcu_gp_t gp_cookie_quiet(void);
/*
 * gp_newest(): the last grace period that was requested. gp_wanted(): has it not ended yet? Any
 * context.
 */
anyrcu_gp_t gp_newest(void);
bool gp_wanted(void);
/* Advance the grace period as far as possible without waiting, unless another thread does. Task. */
void gp_step(void);
/* Wait a moment, unless @cookie's grace period has ended: @round counts from 0. Task. */
void gp_pause(anyrcu_gp_t cookie, unsigned round);
/*
 * Free the records of threads that ended without freeing them, now, or when the present driver ends
 * its step. A system call for each record. Task.
 */
void gp_sweep(void);
/*
 * Call the program's reminder hook for the readers that delay the grace period, if it is time to.
 * Task, no locks held.
 */
void gp_remind(void);
/*
 * The same, and report a reader that has delayed the grace period for too long, if there is one; it
 * may wait for that reader to get its stack. Task, no locks held.
 */
void gp_stall_check(void);

/*
 * A waiting thread does not read: in quiescent-state mode it goes offline while it waits. The
 * result is the argument of gp_waits_end(). Task.
 */
bool gp_waits_begin(void);
void gp_waits_end(bool online);

/* Is the caller inside a read-side critical section? Any context. */
bool gp_in_section(void);
/*
 * End the program if the caller is in a section, where @what must not be called. @waits: @what may
 * wait for a grace period.
 */
void gp_must_not_read_at(const char *what, bool waits, const void *ip);
#define gp_must_not_read(what) gp_must_not_read_at((what), false, __builtin_return_address(0))
#define gp_may_wait(what) gp_must_not_read_at((what), true, __builtin_return_address(0))

/* The calling thread ends. Its handlers may still run, and read. */
void gp_thread_exit(void);

void gp_fork_prepare(void);
void gp_fork_child(void);

/* ---- between reader.c and gp.c ---- */

/* The position of a scan over all records. */
struct reader_cursor {
	struct reader_block *block;
	unsigned i;
};
void reader_scan_begin(struct reader_cursor *at);
/*
 * The first record, from the cursor on, of a reader that began before @seq; NULL if there is none
 * left. Called by the driver.
 */
struct anyrcu_reader *reader_scan(struct reader_cursor *at, uint64_t seq);
/*
 * If the record's thread has ended without freeing it, free the record, and return true. Called by
 * the driver.
 */
bool reader_bury(struct anyrcu_reader *r);
/* Tell a checker that what readers did before their sections' ends happens before what follows. */
void readers_acquire(void);
void reader_sweep(void); /* reader_bury() for all records; called by the driver */
uint32_t reader_tid(const struct anyrcu_reader *r);
/*
 * A value that stays the same as long as the reader is in one section, or online without passing a
 * quiescent state. Called by the driver.
 */
uint64_t reader_section(const struct anyrcu_reader *r);
uint64_t reader_count(void);
void reader_fork_child(uint32_t parent_tid);

#endif
