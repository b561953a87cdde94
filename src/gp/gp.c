/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The grace-period engine.
 *
 * Grace periods are numbered, as in FreeBSD's SMR and liburcu's 64-bit QSBR, and there is one at a time:
 *
 *     done <= started <= done + 1        anyrcu_gp.ctr carries started to the readers
 *
 *                 begin s                                     end s
 *     ------------|---------------------------------------------|----------->
 *      started = s; fence in all threads;     no record that reads with
 *                                             a number before s; done = s
 *
 * Why one pass is enough. A reader copies the number it sees, so it is told from those that came after it, however
 * long it takes. Grace period s waits for each record that reads with a number before s. Which readers does it not wait for?
 *  - One that has number s or later: it read anyrcu_gp.ctr after begin s stored it, and so sees what was unlinked.
 *  - One whose record the scan saw at rest: its section ended before (then we have seen all of it: release and acquire), or its store to
 *    ctr came after the fence in all threads, and so did all its loads: it sees what was unlinked.
 * A thread that stops for a minute between reading the number and storing it stores an old number. That only makes it be waited for
 * longer.
 *
 * A cookie is the number of a grace period that begins after the request: started + 1, read after a full fence. If the read
 * gives s - 1, then it came before begin s stored s, so what the caller unlinked before its fence is visible after
 * the fence in begin s, and to all readers that s does not wait for.
 *
 * Without membarrier every reader has a fence of its own between its store to ctr and its loads, and begin s has one between
 * its store and its scan. One of the two then sees the other.
 *
 * Numbers are compared by signed difference and start near their end, so each process wraps them, in 64 bits and in
 * the 44 bits of a record, in its first thousand grace periods.
 *
 * Who writes: started, done, the scan: the driver, a task. needed: any context, by count_max's loop. There is one driver at a time, for
 * steps that do not wait, so the engine is driven by whoever wants progress, and one that stops for a minute outside a step
 * holds up nobody. A handler does not drive: it asks (needed) and looks (done).
 *
 * fork() does not wait for the driver, which therefore need not keep signals out, as the holders of locks do: the child makes whole what a
 * driver that it does not have, or that its handler interrupted, has left half done. Only begin s can be half done: then the number is
 * published and the scan begun again, which does no harm if that had been done, or is done again by the interrupted step.
 */
#include <base/breaks.h>
#include <gp/gp.h>
#include <port/port.h>

#define GP_FIRST ((uint64_t)-1000)
#define GP_WORD(seq) (((seq) << ANYRCU_READER_SEQ_SHIFT) | 1)
#define MS UINT64_C(1000000)

/* Until gp_init() knows better, readers fence for themselves. */
struct anyrcu_gp_word anyrcu_gp = { GP_WORD(GP_FIRST) | ANYRCU_READER_FENCE };

static struct {
	uint64_t started;
	uint64_t done;
	uint64_t needed;
	uint32_t bell; /* changes when done does */
	uint32_t waiters;

	uintptr_t driver;	 /* its port_self(), or 0 */
	struct reader_cursor at; /* of the scan */
	uint64_t began;
	uint64_t look_dead;    /* when to look next whether who holds it up is alive */
	uint64_t report;       /* when to report next; 0: not set yet */
	uint32_t fork_tid; /* of the thread that forks, one at a time */
} gp = { .started = GP_FIRST, .done = GP_FIRST, .needed = GP_FIRST };

static struct stall {
	uint64_t ns;
	void (*hook)(const struct anyrcu_stall *, void *);
	void *arg;
} stall = { .ns = 10000 * MS };

struct gp_stats gp_stats;
struct gp_hooks gp_hooks;

static bool before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

static bool drive(void)
{
	return (!load(&gp.driver) && cmpxchg(&gp.driver, 0, port_self())) || breaks(GP_TWO_DRIVERS);
}

static void drive_soon(void)
{
	while (!drive())
		port_sleep(50000);
}

static void drive_end(void)
{
	store_release(&gp.driver, 0);
}

void gp_configure(uint64_t stall_ms, void (*hook)(const struct anyrcu_stall *, void *), void *arg)
{
	drive_soon();
	store(&stall.ns, stall_ms * MS);
	stall.hook = hook;
	stall.arg = arg;
	drive_end();
}

/* A grace period that fenced only for itself may be under way; new readers, who now do not fence, have its number. */
void gp_init(void)
{
	drive_soon();
	if (port_fence_all_works)
		__atomic_fetch_and(&anyrcu_gp.ctr, ~ANYRCU_READER_FENCE, __ATOMIC_SEQ_CST);
	drive_end();
}

anyrcu_gp_t gp_cookie(void)
{
	uint64_t cookie, needed = load(&gp.needed);

	breaks_stop(COOKIE);
	if (!breaks(GP_COOKIE_NO_FENCE))
		full_fence(); /* pairs with that in begin(): what was unlinked comes before the number is read */
	cookie = load(&gp.started) + !breaks(GP_COOKIE_EARLY);
	while (before(needed, cookie) &&
	       !__atomic_compare_exchange_n(&gp.needed, &needed, cookie, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return cookie;
}

anyrcu_gp_t anyrcu_gp_start(void)
{
	anyrcu_gp_t cookie = gp_cookie();

	if (gp_hooks.kick)
		gp_hooks.kick();
	return cookie;
}

bool anyrcu_gp_done(anyrcu_gp_t cookie)
{
	return !before(load_acquire(&gp.done), cookie);
}

anyrcu_gp_t gp_newest(void)
{
	return load(&gp.needed);
}

bool gp_wanted(void)
{
	return !anyrcu_gp_done(gp_newest());
}

/* All readers that begin from here on have this number. */
static void publish(uint64_t seq)
{
	bool fenced = port_fence_all_works || breaks(READER_NO_FENCE);

	store_release(&anyrcu_gp.ctr, GP_WORD(seq) | (fenced ? 0 : ANYRCU_READER_FENCE));
	/* Pairs with the order of store and loads in each reader; without it a section could be missed and still see the old. */
	full_fence();
	if (port_fence_all_works && !breaks(GP_NO_MEMBARRIER))
		port_fence_all();
	reader_scan_begin(&gp.at);
}

static void begin(void)
{
	uint64_t seq = gp.started + 1;

	store(&gp.began, port_now());
	gp.look_dead = gp.began + 10 * MS;
	gp.report = 0;
	store(&gp.started, seq);
	full_fence(); /* pairs with that in gp_cookie(); without it a cookie could name a grace period that misses its caller */
	publish(seq);
	store(&gp_stats.started, gp_stats.started + 1);
	port_probe1(gp_start, seq);
}

static void end(void)
{
	uint64_t ns = port_now() - gp.began;

	store(&gp_stats.done, gp_stats.done + 1);
	store(&gp_stats.ns_total, gp_stats.ns_total + ns);
	if (ns > gp_stats.ns_max)
		store(&gp_stats.ns_max, ns);
	port_probe2(gp_end, gp.started, ns);
	/* Pairs with the acquire in anyrcu_gp_done(): the sections that were waited for happen before whoever sees this. */
	store_release(&gp.done, gp.started);
	__atomic_fetch_add(&gp.bell, 1, __ATOMIC_SEQ_CST);
	full_fence(); /* before a look at who waits: who is not seen compares the new bell; without it one sleeps until its time is over */
	if (load(&gp.waiters))
		port_wake(&gp.bell);
}

static bool passed(void)
{
	struct anyrcu_reader *r;

	while (!breaks(GP_NO_WAIT) && (r = reader_scan(&gp.at, gp.started))) {
		uint64_t now = port_now();

		if (before(now, gp.look_dead))
			return false;
		gp.look_dead = now + 100 * MS;
		if (!reader_bury(r))
			return false;
	}
	return reader_crowd_empty() || breaks(GP_SKIPS_CROWD);
}

void gp_step(void)
{
	if (!drive())
		return;
	if (gp.started == gp.done && gp_wanted())
		begin();
	if (gp.started != gp.done && passed())
		end();
	drive_end();
}

/*
 * Readers are mostly done in less than it takes to sleep; those that are not should cost little. The bell is read before done is, so
 * an end in between changes what port_wait() compares; "waiters" goes up before both, so an end after them wakes.
 */
void gp_pause(anyrcu_gp_t cookie, unsigned round)
{
	uint64_t ns = 10000;
	uint32_t bell;

	if (round < 64) {
		for (unsigned i = 0; i < 16; i++)
			port_relax();
		return;
	}
	ns <<= round - 64 < 7 ? round - 64 : 7; /* at most 1.28 ms */
	__atomic_fetch_add(&gp.waiters, 1, __ATOMIC_SEQ_CST);
	bell = load_acquire(&gp.bell);
	if (!anyrcu_gp_done(cookie))
		port_wait(&gp.bell, bell, ns);
	__atomic_fetch_sub(&gp.waiters, 1, __ATOMIC_SEQ_CST);
}

static void wait(anyrcu_gp_t cookie)
{
	bool online = gp_waits_begin();

	for (unsigned round = 0; !anyrcu_gp_done(cookie); round++) {
		gp_step();
		if (anyrcu_gp_done(cookie))
			break;
		gp_pause(cookie, round);
		gp_stall_check();
	}
	gp_waits_end(online);
	full_fence();
}

void anyrcu_gp_wait(anyrcu_gp_t cookie)
{
	gp_must_not_read("anyrcu_gp_wait()");
	wait(cookie);
}

void anyrcu_synchronize(void)
{
	gp_must_not_read("anyrcu_synchronize()");
	wait(gp_cookie());
}

void gp_sweep(void)
{
	drive_soon();
	reader_sweep();
	drive_end();
}

/* Who holds up the grace period, if it is time to say so. */
static bool stalled(struct anyrcu_stall *s, struct stall *how)
{
	uint64_t now = port_now();
	struct anyrcu_reader *r;
	bool due = false;

	if (!drive())
		return false;
	if (gp.started != gp.done && !before(now, gp.report ? gp.report : gp.began + stall.ns)) {
		due = true;
		s->ns = now - gp.began;
		gp.report = now + 2 * s->ns;
		r = reader_scan(&gp.at, gp.started);
		s->tid = r ? reader_tid(r) : 0;
		store(&gp_stats.stalls, gp_stats.stalls + 1);
		*how = stall;
	}
	drive_end();
	return due;
}

static void report(const struct anyrcu_stall *s)
{
	port_report("stall: thread %u has held up a grace period for %u ms, inside a read-side critical section; "
		    "%u deferrals wait", (uint64_t)s->tid, s->ns / MS, s->pending);
	for (unsigned i = 0; i < s->nframes; i++)
		port_report("stall: thread %u: #%u %a", (uint64_t)s->tid, (uint64_t)i, s->frames[i]);
	if (!s->nframes)
		port_report("stall: thread %u: its stack could not be had", (uint64_t)s->tid);
}

void gp_stall_check(void)
{
	struct anyrcu_stall s = { 0 };
	struct stall how;

	if (load(&gp.started) == load(&gp.done) || before(port_now(), load(&gp.began) + load(&stall.ns)) || !stalled(&s, &how))
		return;
	if (s.tid)
		s.nframes = port_stack_of(s.tid, s.frames, ARRAY_SIZE(s.frames), 100 * MS);
	s.pending = gp_hooks.pending ? gp_hooks.pending() : 0;
	port_probe2(stall, s.tid, s.ns);
	if (how.hook)
		how.hook(&s, how.arg);
	else
		report(&s);
}

void gp_fork_prepare(void)
{
	gp.fork_tid = port_tid();
}

void gp_fork_child(void)
{
	reader_fork_child(gp.fork_tid);
	store(&gp.waiters, 0);
	publish(gp.started);
	if (gp.driver != port_self())
		drive_end();
}
