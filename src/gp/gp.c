/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The grace-period engine.
 *
 * Grace periods are numbered, as in FreeBSD's SMR and liburcu's 64-bit QSBR, and there is one at a
 * time:
 *
 *     done <= started <= done + 1        anyrcu_gp.ctr carries started to the readers
 *
 *                 begin s                                     end s
 *     ------------|---------------------------------------------|----------->
 *      started = s; fence in all threads;     no record that reads with
 *                                             a number before s; done = s
 *
 * Why one pass is enough. A reader copies the number it sees, so however long it reads, its number
 * distinguishes it from readers that began later. Grace period s waits for each record that reads
 * with a number before s. It does not wait for these readers:
 *
 * - A reader with number s or later: it read anyrcu_gp.ctr after begin s stored it, and so sees
 *   what was unlinked.
 * - A reader whose record the scan found not reading. Either its section ended before (then all its
 *   loads come before the scan: release and acquire), or its store to ctr came after the fence in
 *   all threads, and so did all its loads: it sees what was unlinked.
 *
 * A thread that stops for a minute between reading the number and storing it stores an old number.
 * Grace periods then only wait for it longer.
 *
 * A cookie is the number of a grace period that begins after the request: started + 1, read after a
 * full fence. If the read gives s - 1, it came before begin s stored s. So what the caller unlinked
 * before its fence is visible after the fence in begin s, and to all readers that s does not wait
 * for.
 *
 * Without membarrier every reader has a fence of its own between its store to ctr and its loads,
 * and begin s has one between its store and its scan. So either the scan sees the reader's store,
 * or the reader sees what was unlinked.
 *
 * Numbers are compared by signed difference and start near their end, so each process wraps them,
 * in 64 bits and in the 44 bits of a record, in its first thousand grace periods.
 *
 * Who writes: the driver, a task, writes started, done and the scan's position; any context writes
 * needed, by a cmpxchg loop. There is one driver at a time, for the duration of one step, and a
 * step never waits. So any thread that wants progress drives the engine, and a thread that stops
 * for a minute outside a step delays no other. No thread ever waits to become the driver: if
 * another thread is the driver, that one makes the step. A handler does not drive: it requests a
 * grace period (needed) and checks it (done). There is one exception, a callback that polls while
 * its own worker is the only one: there anyrcu_gp_done() makes a step. So it may also make one in a
 * handler that interrupts the callback, which is safe, as a step never waits for the driver.
 *
 * fork() does not wait for the driver either. If the driver does not exist in the child, or a
 * handler that interrupted the driver forks, the child completes the half-done step. Only begin s
 * can be half done: the child publishes the number and begins the scan again, which does no harm if
 * that was done before, or if the interrupted step does it again.
 */
#include <base/test_point.h>
#include <gp/crowd.h>
#include <gp/gp.h>
#include <port/event.h>
#include <port/process.h>

#define MS UINT64_C(1000000)

static struct {
	uint64_t started;
	uint64_t done;
	uint64_t needed;
	uint32_t bell; /* an event: done has changed */

	uint64_t driver; /* its port_id(), or 0 */
	bool sweep; /* search for dead readers; set by a task, cleared by the driver */
	struct reader_cursor at; /* of the scan */
	uint64_t began;
	uint64_t look_dead; /* when to check next whether the delaying reader is alive */
	uint32_t fork_tid; /* of the thread that forks, one at a time */
} gp = { .started = GP_FIRST, .done = GP_FIRST, .needed = GP_FIRST };

/* Under gp_lock. ns is read without it as a hint. */
static struct stall {
	uint64_t ns;
	void (*hook)(const struct anyrcu_stall *, void *);
	void *arg;
} stall = { .ns = 10000 * MS };

/*
 * The reader that the scan has stopped at, and for how long the engine has watched it there.
 * Written by the driver; ns and report are read by any task as a hint.
 *
 * Only time in which the engine itself ran may count: after SIGSTOP or a suspend the clock has
 * advanced, but no thread of the process could have ended its section. So each step adds the time
 * since the step before, but at most a fraction of the stall time: a report needs several steps,
 * between which readers run too. A section is identified by the record and its word without the
 * nesting: for another reader in that record, or another section of the same reader, the time
 * starts at zero.
 */
static struct {
	struct anyrcu_reader *reader; /* NULL: none yet in this grace period */
	uint64_t section;
	uint64_t looked; /* when it was seen last */
	uint64_t ns;
	uint64_t report; /* report when ns has reached this */
} held = { .report = UINT64_MAX };

#define STALL_STEPS 8 /* a stall is reported after so many steps at the earliest */
#define STALL_STEP_MAX (100 * MS)

/*
 * Reminders. Each reader that delays the grace period has done so since the grace period began, so
 * one time suffices for all of them. The driver collects their thread numbers, a few at a time, and
 * the hook is called outside the step, so it may take any time. The next thread continues an
 * unfinished round where it stopped, unless the grace period ends. The numbers of readers without a
 * record are not known.
 *
 * Written by the driver; last is read by any task as a hint. If a fork comes in the middle of a
 * step, the cursor in the child may be half updated: then the round misses some readers, and the
 * next round finds them.
 */
static struct {
	uint64_t last; /* when the grace period began, or the last round ended */
	bool more; /* the round is unfinished, and continues at @at */
	struct reader_cursor at;
} reminded;

/* Under gp_lock. ns is read without it as a hint; 0: no reminders. */
static struct reminders {
	uint64_t ns;
	void (*hook)(uint32_t tid, uint64_t ns, void *arg);
	void *arg;
} reminders;

struct port_lock gp_lock = { .unwatched = true };
struct gp_stats gp_stats;

static bool before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

static bool drive(void)
{
	return !load(&gp.driver) && cmpxchg(&gp.driver, 0, port_id());
}

/* A sweep that was requested during a step is done at the end of that step or the next. */
static void drive_end(void)
{
	if (unlikely(load(&gp.sweep))) {
		store(&gp.sweep, false);
		reader_sweep();
	}
	store_release(&gp.driver, 0);
}

void gp_configure(const struct anyrcu_config *c)
{
	port_lock(&gp_lock);
	store(&stall.ns, c->stall_ms * MS);
	stall.hook = c->stall_hook;
	stall.arg = c->stall_arg;
	store(&reminders.ns, c->reminder_hook ? c->reminder_ms * MS : 0);
	reminders.hook = c->reminder_hook;
	reminders.arg = c->reminder_arg;
	port_unlock(&gp_lock);
}

/*
 * A driver may be in a step. If it has not published its number yet, it publishes it with FENCE,
 * or, if it sees that membarrier works, fences in all threads. If it has published it, readers that
 * began before have fenced for themselves, and readers from here on have its number.
 */
void gp_init(void)
{
	port_checker_atomic(&anyrcu_gp, sizeof(anyrcu_gp)); /* may be in the program's data */
	if (port_fence_all_works)
		__atomic_fetch_and(&anyrcu_gp.ctr, ~ANYRCU_READER_FENCE, __ATOMIC_SEQ_CST);
}

anyrcu_gp_t gp_cookie_quiet(void)
{
	port_release(&gp.needed);
	test_point(COOKIE);
	/* pairs with that in begin(): what was unlinked comes before the number is read */
	full_fence();
	return load(&gp.started) + 1;
}

anyrcu_gp_t gp_cookie(void)
{
	uint64_t cookie = gp_cookie_quiet(), needed = load(&gp.needed);

	while (before(needed, cookie) &&
	       !__atomic_compare_exchange_n(&gp.needed, &needed, cookie, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
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

static inline bool done(anyrcu_gp_t cookie)
{
	bool done = !before(load_acquire(&gp.done), cookie);

	port_acquire(&gp.done);
	return done;
}

bool anyrcu_gp_done(anyrcu_gp_t cookie)
{
	if (likely(done(cookie)))
		return true;
	if (gp_hooks.polled)
		gp_hooks.polled();
	return done(cookie);
}

anyrcu_gp_t gp_newest(void)
{
	return load(&gp.needed);
}

bool gp_wanted(void)
{
	return !done(gp_newest());
}

/* All readers that begin from here on have this number. */
static void publish(uint64_t seq)
{
	port_release(&anyrcu_gp.ctr);
	store_release(&anyrcu_gp.ctr,
		      GP_WORD(seq) | (port_fence_all_works ? 0 : ANYRCU_READER_FENCE));
	/*
	 * Pairs with the order of store and loads in each reader; without it the scan could miss a
	 * section that still sees the unlinked object.
	 */
	full_fence();
	if (port_fence_all_works)
		port_fence_all();
	reader_scan_begin(&gp.at);
}

static void begin(void)
{
	uint64_t seq = gp.started + 1;

	store(&gp.began, port_now());
	gp.look_dead = gp.began + 10 * MS;
	held.reader = NULL;
	store(&held.ns, 0);
	reminded.more = false;
	store(&reminded.last, gp.began);
	store(&gp.started, seq);
	/*
	 * pairs with that in gp_cookie(); without it a cookie could name a grace period that does
	 * not cover its caller's unlinking
	 */
	full_fence();
	port_acquire(&gp.needed);
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
	readers_acquire();
	port_release(&gp.done);
	/*
	 * Pairs with the acquire in anyrcu_gp_done(): the sections that this grace period waited
	 * for happen before a caller sees it done.
	 */
	store_release(&gp.done, gp.started);
	event_signal(&gp.bell);
}

static void watch(struct anyrcu_reader *r, uint64_t now)
{
	uint64_t section = reader_section(r), ns = now - held.looked,
		 most = load(&stall.ns) / STALL_STEPS;

	most = most < STALL_STEP_MAX ? most : STALL_STEP_MAX;
	if (r != held.reader || section != held.section) {
		held.reader = r;
		held.section = section;
		store(&held.ns, 0);
		store(&held.report, load(&stall.ns));
	} else {
		store(&held.ns, held.ns + (ns < most ? ns : most));
	}
	held.looked = now;
}

static bool passed(void)
{
	struct anyrcu_reader *r;

	while ((r = reader_scan(&gp.at, gp.started))) {
		uint64_t now = port_now();

		watch(r, now);
		if (before(now, gp.look_dead))
			return false;
		gp.look_dead = now + 100 * MS;
		if (!reader_bury(r))
			return false;
	}
	return crowd_empty();
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

/* Readers mostly end sooner than a sleep takes, so spin first; sleep longer for slow readers. */
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
	bell = event_prepare(&gp.bell);
	if (!done(cookie))
		port_wait(&gp.bell, bell, ns);
}

static void wait(anyrcu_gp_t cookie)
{
	bool online = gp_waits_begin();

	for (unsigned round = 0; !done(cookie); round++) {
		gp_step();
		if (done(cookie))
			break;
		gp_pause(cookie, round);
		gp_stall_check();
	}
	gp_waits_end(online);
	full_fence();
}

void anyrcu_gp_wait(anyrcu_gp_t cookie)
{
	gp_may_wait("anyrcu_gp_wait()");
	wait(cookie);
}

void anyrcu_synchronize(void)
{
	gp_may_wait("anyrcu_synchronize()");
	wait(gp_cookie());
}

void gp_sweep(void)
{
	store(&gp.sweep, true);
	if (drive())
		drive_end();
}

/*
 * The reader to be reported, if it is time to. It must still be in the section that was watched,
 * and its thread number must be known: readers without a record cannot be distinguished, and many
 * short ones in turn are no stall.
 */
static bool stalled(struct anyrcu_stall *s, struct stall *how)
{
	bool due = false;

	if (!drive())
		return false;
	if (gp.started != gp.done && held.reader && held.ns >= held.report &&
	    reader_scan(&gp.at, gp.started) == held.reader &&
	    reader_section(held.reader) == held.section && (s->tid = reader_tid(held.reader))) {
		due = true;
		s->ns = held.ns;
		store(&held.report, 3 * held.ns);
		store(&gp_stats.stalls, gp_stats.stalls + 1);
	}
	drive_end();
	if (due) {
		port_lock(&gp_lock);
		*how = stall;
		port_unlock(&gp_lock);
	}
	return due;
}

/* The threads to be reminded next, @max at most; @ns: for how long the grace period has waited. */
static unsigned late_readers(uint32_t *tids, unsigned max, uint64_t *ns)
{
	uint64_t now = port_now();
	struct anyrcu_reader *r;
	unsigned n = 0;

	if (!drive())
		return 0;
	if (gp.started != gp.done && now - reminded.last >= load(&reminders.ns)) {
		if (!reminded.more)
			reminded.at = gp.at;
		for (; n < max && (r = reader_scan(&reminded.at, gp.started)); reminded.at.i++)
			if ((tids[n] = reader_tid(r)))
				n++;
		reminded.more = n == max;
		if (!reminded.more)
			store(&reminded.last, now);
		*ns = now - gp.began;
	}
	drive_end();
	return n;
}

void gp_remind(void)
{
	uint64_t ns = load(&reminders.ns);
	struct reminders how;
	uint32_t tids[32];
	unsigned n;

	if (likely(!ns) || load(&gp.started) == load(&gp.done) ||
	    port_now() - load(&reminded.last) < ns)
		return;
	do {
		n = late_readers(tids, ARRAY_SIZE(tids), &ns);
		port_lock(&gp_lock);
		how = reminders;
		port_unlock(&gp_lock);
		for (unsigned i = 0; how.hook && i < n; i++)
			how.hook(tids[i], ns, how.arg);
	} while (n == ARRAY_SIZE(tids));
}

static void report(const struct anyrcu_stall *s)
{
	port_report(
		"stall: thread %u has held up a grace period for %u ms, inside a read-side critical section; "
		"%u deferrals wait",
		(uint64_t)s->tid, s->ns / MS, s->pending);
	for (unsigned i = 0; i < s->nframes; i++)
		port_report("stall: thread %u: #%u %a", (uint64_t)s->tid, (uint64_t)i,
			    s->frames[i]);
	if (!s->nframes)
		port_report("stall: thread %u: its stack is not available", (uint64_t)s->tid);
}

void gp_stall_check(void)
{
	struct anyrcu_stall s = { 0 };
	struct stall how;

	gp_remind();
	if (load(&gp.started) == load(&gp.done) || load(&held.ns) < load(&held.report) ||
	    !stalled(&s, &how))
		return;
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
	publish(gp.started);
	if (gp.driver != port_id())
		store_release(&gp.driver, 0);
}
