/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Workers: threads that move collections on and invoke callbacks. All run the same loop, so that one which is held in a
 * callback holds up nobody; and the same functions serve barriers and the application's own loop, so that no worker is needed for
 * any of it to work.
 *
 * Sleeping. A worker sleeps in one of two ways: "ticking" until the open pages are due, or "deep", until it is woken, when
 * there has been nothing at all for as long. A full page in the making of a backlog wakes the ticking; the first page that is opened
 * wakes the deep:
 *
 *     worker: bell: next number; deep++, awake--;  full fence; look whether all is empty; sleep while the bell has that number
 *     caller: put the page in its place;           full fence; look at deep and awake; bell: OPEN; wake; bell: RUNG
 *
 * One of the two sees the other. RUNG, set only after the system call and only if the number is still the same, says that all who slept
 * under this number or an earlier one have been woken, so that callers need not repeat it until the worker gets to run and sleeps again.
 * A caller that stops or dies before it has set RUNG leaves the next one to ring; between any two of its steps a handler may do the same.
 * A bell that comes round to its number in between (30 bits) makes one caller omit a ring at worst if it stopped for all of that.
 */
#include <base/breaks.h>
#include <defer/defer.h>
#include <pages/pages.h>
#include <port/port.h>

#define PORTION 4096		     /* callbacks between two looks at the collections */
#define LINGER UINT64_C(1000000000) /* idle for so long, twice, before memory is given back */
#define OVERDUE 100000		     /* look again after so long when collecting has to wait for a drainer */

static struct {
	uint32_t generation; /* workers of an older one end */
	uint32_t count;
	uint32_t wanted;
	int rt, ncpus, cpus[ANYRCU_WORKERS_MAX];

	uint32_t bell; /* a number, and: */
#define OPEN 1u
#define RUNG 2u
	uint32_t awake;	  /* workers that will look again soon: neither deep nor in callbacks */
	uint32_t ticking; /* of those: asleep until the open pages are due */
	uint32_t deep;
} workers;

unsigned defer_workers(void)
{
	return port_forked_raw() ? 0 : load(&workers.count);
}

void defer_wake(bool urgent)
{
	uint32_t bell;

	full_fence(); /* pairs with that in sleep_deep(): what there is to do comes before we look who sleeps */
	bell = load(&workers.bell);
	if ((bell & RUNG) || !((load(&workers.deep) && !load(&workers.awake)) ||
			       (urgent && (load(&workers.ticking) || load(&workers.deep)))))
		return;
	bell = __atomic_or_fetch(&workers.bell, OPEN, __ATOMIC_SEQ_CST);
	count_add(&defer_stats.wakes, 1);
	port_wake(&workers.bell);
	cmpxchg(&workers.bell, bell, bell | RUNG);
}

/* What a worker that is about to sleep will wait for the change of. */
static uint32_t bell_next(void)
{
	uint32_t bell = load(&workers.bell), next;

	do
		next = (bell | OPEN | RUNG) + 1;
	while (!__atomic_compare_exchange_n(&workers.bell, &bell, next, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return next;
}

static bool current(uint32_t generation)
{
	return load(&workers.generation) == generation;
}

/* Until the open pages are due, or a backlog of full ones forms. */
static void sleep_tick(uint32_t generation)
{
	uint32_t bell = bell_next();
	int64_t ns;

	__atomic_fetch_add(&workers.ticking, 1, __ATOMIC_SEQ_CST);
	full_fence(); /* pairs with that in defer_wake() */
	ns = defer_moving() ? 0 : defer_due() - port_now();
	if (load(&defer_sealed) < DEFER_SEALED_WAKE && !gp_wanted() && current(generation))
		port_wait(&workers.bell, bell, ns > 0 ? ns : OVERDUE);
	__atomic_fetch_sub(&workers.ticking, 1, __ATOMIC_SEQ_CST);
}

/* Until there is something to do again; for @ns at most, if not 0. */
static void sleep_deep(uint32_t generation, uint64_t ns)
{
	uint32_t bell = bell_next();

	breaks_stop(SLEEP);
	__atomic_fetch_add(&workers.deep, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&workers.awake, 1, __ATOMIC_SEQ_CST);
	full_fence(); /* pairs with that in defer_wake() */
	if (breaks(SLEEP_NO_LOOK) || (defer_empty() && !gp_wanted() && current(generation)))
		port_wait(&workers.bell, bell, breaks(SLEEP_NO_LOOK) ? 0 : ns);
	__atomic_fetch_add(&workers.awake, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&workers.deep, 1, __ATOMIC_SEQ_CST);
}

/* From here on this worker will not look soon, but callers have seen it awake: another has to look after what there is. */
static void hand_over(void)
{
	__atomic_fetch_sub(&workers.awake, 1, __ATOMIC_SEQ_CST);
	full_fence(); /* pairs with that in defer_wake(): a caller sees us gone, or we see what it has left */
	if (load(&workers.deep) && !defer_empty())
		defer_wake(false);
}

static size_t drain(void)
{
	size_t n;

	hand_over(); /* a callback may hold us */
	n = defer_drain(PORTION, load(&workers.ncpus) ? 0 : DEFER_FOLLOW);
	__atomic_fetch_add(&workers.awake, 1, __ATOMIC_SEQ_CST);
	return n;
}

static void idle(uint32_t generation)
{
	uint64_t until = port_now() + LINGER;

	sleep_deep(generation, pages_want_timer() ? LINGER : 0);
	if (!defer_empty()) {
		defer_delay_starts();
	} else if ((int64_t)(port_now() - until) >= 0 && pages_idle()) {
		pages_trim();
		gp_sweep();
	}
}

static int start(uint32_t i, uint32_t generation, bool help);

/*
 * Those who defer are never made to wait, so in a flood it is the reclaimers' share of the CPUs that must grow: up to one helper for each
 * CPU, which ends with the flood. More would stand in each other's way at the lock.
 */
static void call_help(uint32_t generation)
{
	uint32_t count = load(&workers.count), want = defer_help_wanted(), most = port_ncpus();

	if (count < ANYRCU_WORKERS_MAX && count < load(&workers.wanted) + (want < most ? want : most))
		start(count, generation, true);
}

/* The calling thread, where it is a worker. */
static PORT_THREAD_LOCAL struct {
	bool works, helps;
	uint32_t generation;
} me;

static void worker(void *arg)
{
	uint32_t generation = (uintptr_t)arg >> 1;
	bool help = (uintptr_t)arg & 1;
	anyrcu_gp_t cookie;
	unsigned round = 0;

	me.works = true;
	me.helps = help;
	me.generation = generation;
	__atomic_fetch_add(&workers.awake, 1, __ATOMIC_SEQ_CST);
	while (current(generation) && (!help || load(&defer_flood))) {
		defer_advance();
		if (unlikely(load(&defer_flood)))
			call_help(generation);
		if (pages_want_refill())
			pages_refill();
		if (drain()) {
			round = 0;
		} else if (defer_waiting(&cookie)) {
			gp_pause(cookie, round++);
			gp_stall_check();
		} else if (gp_wanted()) {
			gp_step();
			gp_pause(gp_newest(), round++);
			gp_stall_check();
		} else if (!defer_empty() || (int64_t)(defer_due() - port_now()) > 0) {
			round = 0;
			sleep_tick(generation);
		} else {
			round = 0;
			idle(generation);
		}
	}
	me.works = false;
	hand_over();
	__atomic_fetch_sub(&workers.count, 1, __ATOMIC_SEQ_CST);
}

static int start(uint32_t i, uint32_t generation, bool help)
{
	int ncpus = load(&workers.ncpus), cpu = ncpus ? load(&workers.cpus[i % ncpus]) : -1, err;

	__atomic_fetch_add(&workers.count, 1, __ATOMIC_SEQ_CST);
	err = port_thread_start(worker, (void *)((uintptr_t)generation << 1 | help), cpu, load(&workers.rt));
	if (err && err != -PORT_EPERM)
		__atomic_fetch_sub(&workers.count, 1, __ATOMIC_SEQ_CST);
	return err;
}

static int start_all(uint32_t n)
{
	int result = 0;

	for (uint32_t i = 0; i < n; i++)
		result = start(i, workers.generation, false) ?: result;
	return result;
}

int defer_workers_start(unsigned n, int rt, const int *cpus, size_t ncpus)
{
	__atomic_fetch_add(&workers.generation, 1, __ATOMIC_SEQ_CST);
	bell_next();
	port_wake(&workers.bell);
	/* A worker that is about to end may see a mixture, when it calls for help that will end as soon. */
	store(&workers.wanted, n);
	store(&workers.rt, rt);
	for (size_t i = 0; i < ncpus; i++)
		store(&workers.cpus[i], cpus[i]);
	store(&workers.ncpus, ncpus);
	return start_all(n);
}

/* Whatever the parent's workers were doing, there are none here, but for one whose callback has forked. */
void worker_fork_child(void)
{
	bool one = me.works && !me.helps && current(me.generation);

	workers.awake = workers.ticking = workers.deep = 0;
	workers.count = me.works;
	start_all(workers.wanted - (one && workers.wanted));
}

/* A callback has ended a worker, which is not among those awake then. Another takes its place. */
void worker_thread_exit(void)
{
	if (!me.works)
		return;
	me.works = false;
	__atomic_fetch_sub(&workers.count, 1, __ATOMIC_SEQ_CST);
	if (!me.helps && current(me.generation))
		start(0, me.generation, false);
}
