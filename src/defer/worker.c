/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Workers: threads that collect, wait for grace periods and invoke callbacks. All run the same
 * loop, so a worker that is blocked in a callback blocks no other. Barriers and the application's
 * own loop use the same functions, so everything works without workers too.
 *
 * Slots. A worker has a slot from its first steps to its last. The slot's word says which thread
 * has the slot, and the worker's generation and kind; it changes by one cmpxchg or store. The state
 * says what the worker is doing; only the worker stores it. Nothing is counted: the number of
 * workers, and whether one is awake, are found by reading the slots. So the child of a fork, in a
 * handler at any instruction, only has to empty the slots of threads that it does not have; the
 * stores that the interrupted thread makes afterwards are correct there too.
 *
 * Starting a thread is only a request for a worker. The thread takes a slot and then decides
 * whether it is wanted: it ends if workers of its kind already have as many slots before its own as
 * are wanted. So it does not matter when a thread begins to run, nor if the child of a fork starts
 * threads and the interrupted call then starts another. A thread may find a slot before those of
 * others that have decided to stay, as a former worker has just left it. It wakes all, and workers
 * decide again whenever they wake and before they sleep; helpers end with the flood anyway.
 *
 * If a thread cannot be started, that is reported, and calls that wait or reclaim (gp_hooks.task),
 * deferrals by tasks, and the present workers try again, after a pause that doubles up to a second.
 * At a limit a thread may be had only once a former worker has ended: anyrcu_init() waits for that.
 *
 * Sleeping. A worker sleeps in one of two ways: "ticking" until the open pages are due, or, after a
 * delay without anything to do, "deep" until it is woken. When enough full pages are sealed, the
 * caller wakes ticking workers; when the first page is opened, its caller wakes deep ones:
 *
 *     worker: bell: next number; state: deep;  full fence;  look whether all is empty;
 *             sleep while the bell has that number
 *     caller: put the page in its place;       full fence;  look at the states;
 *             bell: OPEN; wake; bell: RUNG
 *
 * One of the two sees the other. RUNG is set only after the system call, and only if the number is
 * still the same. It says that all workers that slept under this number or an earlier one have been
 * woken, so callers need not wake again until a worker runs and goes to sleep again. If a caller
 * stops or dies before it has set RUNG, the next caller wakes; a handler may do so between any two
 * of its steps. If the bell wraps to the same number (30 bits) while a caller is stopped between
 * these steps, at worst one caller omits a wake.
 */
#include <base/test_point.h>
#include <defer/exchange.h>
#include <defer/worker.h>
#include <port/port.h>

/* ns until the next check when collecting has to wait for a drainer */
#define OVERDUE 100000
#define PAUSE_MAX UINT64_C(1000000000)

struct workers workers;

void (*defer_bell)(void);
uint32_t defer_bell_armed;

/* The set of states that workers are in, one bit for each. Any context. */
static uint32_t states(void)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++)
		seen |= 1u << load(&workers.state[i]);
	return seen;
}

static bool in_state(uint32_t seen, enum state state)
{
	return seen >> state & 1;
}

unsigned defer_workers(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++)
		n += load(&workers.slot[i].word) != 0;
	return port_forked_raw() ? 0 : n;
}

bool defer_driven(void)
{
	uint32_t seen = states();

	return in_state(seen, AWAKE) || in_state(seen, TICKING) || in_state(seen, DEEP);
}

void defer_wake(bool urgent)
{
	uint32_t bell, seen, armed;
	bool awake, asleep;

	/* pairs with that in sleep_deep(): the work is stored before we check who sleeps */
	full_fence();
	armed = load(&defer_bell_armed);
	if (unlikely(armed >= (urgent ? BELL_URGENT : BELL_ANY)) &&
	    xchg(&defer_bell_armed, BELL_OFF))
		load_acquire (&defer_bell)();
	bell = load(&workers.bell);
	if (bell & WORKER_BELL_RUNG)
		return;
	seen = states();
	awake = in_state(seen, AWAKE) || in_state(seen, TICKING);
	asleep = in_state(seen, DEEP) || in_state(seen, TICKING);
	if (!(urgent ? asleep : in_state(seen, DEEP) && !awake))
		return;
	bell = __atomic_or_fetch(&workers.bell, WORKER_BELL_OPEN, __ATOMIC_SEQ_CST);
	count_add(&defer_stats.wakes, 1);
	port_wake(&workers.bell);
	cmpxchg(&workers.bell, bell, bell | WORKER_BELL_RUNG);
}

/* The next bell number; a worker that is about to sleep waits until the bell changes from it. */
static uint32_t bell_next(void)
{
	uint32_t bell = load(&workers.bell), next;

	do
		next = (bell | WORKER_BELL_OPEN | WORKER_BELL_RUNG) + 1;
	while (!__atomic_compare_exchange_n(&workers.bell, &bell, next, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	return next;
}

static bool current(uint64_t word)
{
	return WORKER_GENERATION(word) == (load(&workers.generation) & WORKER_GENERATIONS);
}

static uint32_t current_workers(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++) {
		uint64_t word = load(&workers.slot[i].word);

		n += word && current(word) && !(word & WORKER_HELPS);
	}
	return n;
}

/* ---- starting ---- */

static void *worker(void *arg);

static int start(bool help)
{
	uintptr_t arg = (uintptr_t)(load(&workers.generation) & WORKER_GENERATIONS) << 1 | help;
	int err = port_thread_start(worker, (void *)arg, load(&workers.rt));
	bool failed = err && err != -PORT_EPERM;
	uint64_t pause = load(&workers.pause) * 2;

	store(&workers.pause, !failed ? WORKER_PAUSE_MIN : pause < PAUSE_MAX ? pause : PAUSE_MAX);
	store(&workers.start_at, port_now() + load(&workers.pause));
	/* a flood asks for the next helper; a thread that found no slot may have set it already */
	if (failed && !help)
		store(&workers.failing, true);
	if (!failed)
		store(&workers.told, 0);
	return err;
}

/* False: it is too early, or another thread is starting one. */
static bool start_again(void)
{
	uint64_t now = port_now(), at = load(&workers.start_at);

	return (int64_t)(now - at) >= 0 &&
	       cmpxchg(&workers.start_at, at, now + load(&workers.pause));
}

/* Start the missing workers. 0 or -errno. */
static int start_missing(void)
{
	int err = 0;

	store(&workers.failing, false); /* whoever finds no slot from now on sets it again */
	for (uint32_t n = current_workers();
	     n < load(&workers.wanted) && (!err || err == -PORT_EPERM); n++)
		err = start(false) ?: err;
	return err;
}

void defer_workers_start_missing(void)
{
	int err = start_missing();

	if (err && err != -PORT_EPERM && !xchg(&workers.told, 1))
		port_report(
			"no worker could be started (error %d); anyrcu_reclaim(), anyrcu_barrier() and anyrcu_synchronize() still work, "
			"and try again",
			(int64_t)-err);
}

/*
 * Threads that were started and have not taken a slot yet count as missing: a few too many are
 * started then, which end.
 */
void defer_workers_retry(void)
{
	if (unlikely(load(&workers.failing)) && start_again())
		defer_workers_start_missing();
}

static void wake_all(void)
{
	bell_next();
	port_wake(&workers.bell);
}

int defer_workers_start(unsigned n, int rt, const int *cpus, size_t ncpus)
{
	__atomic_fetch_add(&workers.generation, 1, __ATOMIC_SEQ_CST);
	wake_all();
	/*
	 * A worker of the old generation may see a mixture of old and new values; helpers that it
	 * starts then end as soon as it does.
	 */
	store(&workers.wanted, n);
	store(&workers.rt, rt);
	for (size_t i = 0; i < ncpus; i++)
		store(&workers.cpus[i], cpus[i]);
	store(&workers.ncpus, ncpus);
	store(&workers.failing, false);
	store(&workers.told, 1);
	store(&workers.pause, WORKER_PAUSE_MIN);
	return start_missing();
}

/*
 * Workers of former generations keep their slots until they return from their callbacks; for that
 * we wait until @patience is over. The thread of a slot that is free may still exist for a moment
 * in the kernel.
 */
static void wait_for_former(uint64_t patience)
{
	uint64_t begin = port_now(), word;

	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++) {
		uint32_t tid;

		while ((word = load_acquire(&workers.slot[i].word)) && !current(word) &&
		       port_now() - begin < patience)
			port_sleep(100000);
		tid = load(&workers.slot[i].tid);
		if (word)
			continue;
		port_tid_await_death(tid);
		cmpxchg(&workers.slot[i].tid, tid, 0);
	}
}

void defer_workers_wait(void)
{
	wait_for_former(UINT64_MAX);
}

int defer_workers_start_behind(void)
{
	int err;

	wait_for_former(1000000000);
	err = start_missing();
	if (err && err != -PORT_EPERM)
		store(&workers.told, 1); /* as the program is, by our return value */
	return err;
}

/* ---- the worker ---- */

/* Take a slot. Returns its number, or -1 if none is free. */
static int slot_take(uint64_t word)
{
	for (int i = 0; i < ANYRCU_WORKERS_MAX; i++) {
		if (load(&workers.slot[i].word) || !cmpxchg(&workers.slot[i].word, 0, word))
			continue;
		store(&workers.slot[i].tid, port_tid());
		store(&workers.state[i], AWAKE);
		return i;
	}
	return -1;
}

/*
 * The same for a worker that was wanted. If there is none, those of a former configuration have
 * them: who leaves one of these starts the workers that are missing.
 */
static int slot_take_or_ask(uint64_t word)
{
	int i = slot_take(word);

	if (i >= 0 || !current(word) || word & WORKER_HELPS)
		return i;
	store(&workers.failing, true);
	full_fence(); /* pairs with that in slot_leave(): we see the slot, or it sees the mark */
	return slot_take(word);
}

/* The caller has set its state to GONE. */
static void slot_leave(int i)
{
	store_release(&workers.slot[i].word, 0);
	full_fence(); /* pairs with that in slot_take_or_ask() */
	if (unlikely(load(&workers.failing)))
		defer_workers_start_missing();
}

/* How many helpers a flood needs: at most one for each CPU. */
static uint32_t helpers_wanted(void)
{
	uint32_t want = load(&defer_flood) ? defer_help_wanted() : 0, most = port_ncpus();

	return want < most ? want : most;
}

/*
 * Do as many workers of this kind as are wanted have a slot before @mine? Of two threads that check
 * at the same time, the one that fences later sees the other if its slot is the later one. If it is
 * the earlier one, it finds too many in make_known().
 */
static bool surplus(int mine, uint64_t word)
{
	uint32_t before = 0;

	full_fence(); /* between the store to our slot and these loads; pairs with itself */
	for (int i = 0; i < mine; i++) {
		uint64_t other = load(&workers.slot[i].word);

		before +=
			other && current(other) && (other & WORKER_HELPS) == (word & WORKER_HELPS);
	}
	return before >= (word & WORKER_HELPS ? helpers_wanted() : load(&workers.wanted));
}

static bool stays(int me, uint64_t word)
{
	return current(word) && (word & WORKER_HELPS ? load(&defer_flood) : !surplus(me, word));
}

/* @ns, or less, as there may be something to do about memory before. */
static uint64_t at_most(uint64_t ns)
{
	uint64_t memory = defer_memory_due(true);

	return memory < ns ? memory ?: 1 : ns;
}

/* Until the open pages are due, or a backlog of full ones forms. */
static void sleep_tick(int me, uint64_t word)
{
	uint32_t bell = bell_next();
	int64_t ns;

	store(&workers.state[me], TICKING);
	full_fence(); /* pairs with that in defer_wake() */
	ns = defer_moving() ? 0 : defer_due() - port_now();
	if (!defer_hurries() && stays(me, word))
		port_wait(&workers.bell, bell, at_most(ns > 0 ? ns : OVERDUE));
	store(&workers.state[me], AWAKE);
}

/* ns after which there may be something to do though no caller wakes the worker; 0: never. */
static uint64_t timer(void)
{
	uint64_t ns = at_most(exchange_used() ? load(&defer_limits.delay_ns) : UINT64_MAX);

	return ns == UINT64_MAX ? 0 : ns;
}

/* Until there is something to do again. */
static void sleep_deep(int me, uint64_t word)
{
	uint32_t bell = bell_next();

	test_point(SLEEP);
	store(&workers.state[me], DEEP);
	full_fence(); /* pairs with that in defer_wake() */
	if (defer_empty() && !gp_wanted() && stays(me, word))
		port_wait(&workers.bell, bell, timer());
	store(&workers.state[me], AWAKE);
}

/*
 * From here on this worker may not check for work soon, but callers have seen it awake and woken no
 * other worker: wake one if there is work.
 */
static void hand_over(int me, enum state state)
{
	store(&workers.state[me], state);
	/* pairs with that in defer_wake(): a caller sees our new state, or we see its object */
	full_fence();
	if (in_state(states(), DEEP) && !defer_empty())
		defer_wake(false);
}

static size_t drain(int me)
{
	size_t n;

	hand_over(me, BUSY); /* a callback may block us */
	n = defer_drain(DEFER_PORTION, load(&workers.ncpus) ? 0 : DEFER_FOLLOW);
	store(&workers.state[me], AWAKE);
	return n;
}

/* Check whether tasks still exchange objects. */
static void look_at_exchange(void)
{
	static uint64_t due; /* any worker; one check more or less does no harm */
	uint64_t now;

	if (likely(!exchange_used()))
		return;
	now = port_now();
	if ((int64_t)(now - load(&due)) < 0)
		return;
	store(&due, now + load(&defer_limits.delay_ns));
	exchange_look();
}

static void idle(int me, uint64_t word)
{
	sleep_deep(me, word);
	if (!defer_empty())
		defer_delay_starts();
}

/*
 * Callers that defer never wait, so in a flood reclaim must get a larger share of the CPUs: start
 * up to one helper for each CPU, which end with the flood. More would contend for the lock.
 */
static void call_help(void)
{
	uint32_t want = helpers_wanted();

	if (defer_workers() < load(&workers.wanted) + want &&
	    defer_workers() < ANYRCU_WORKERS_MAX && start_again())
		start(true);
}

static void work(int me, uint64_t word)
{
	anyrcu_gp_t cookie;
	unsigned round = 0;

	while (stays(me, word)) {
		defer_advance();
		defer_workers_retry();
		if (unlikely(load(&defer_flood)))
			call_help();
		look_at_exchange();
		defer_work_on_memory();
		if (drain(me)) {
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
			sleep_tick(me, word);
		} else {
			round = 0;
			idle(me, word);
		}
	}
}

/*
 * surplus() has fenced after the store to our slot: a worker that does not see it has taken its
 * slot before, so we see that, and wake it.
 */
static void make_known(void)
{
	if (current_workers() > load(&workers.wanted))
		wake_all();
}

/*
 * A worker that we have seen may have left by a callback meanwhile, and counted us: one of the two
 * sees that the other is gone.
 */
static void leave(int me, uint64_t word)
{
	slot_leave(me);
	if (current(word) && !(word & WORKER_HELPS) && current_workers() < load(&workers.wanted))
		defer_workers_start_missing();
}

static void *worker(void *arg)
{
	uint64_t word = port_id() | (uint64_t)((uintptr_t)arg >> 1) << 40 |
			((uintptr_t)arg & 1 ? WORKER_HELPS : 0);
	int me = slot_take_or_ask(word), ncpus = load(&workers.ncpus);

	port_thread_arrives();
	if (me < 0)
		return NULL;
	if (!surplus(me, word)) {
		port_thread_begin(ncpus ? load(&workers.cpus[me % ncpus]) : -1, load(&workers.rt));
		if (!(word & WORKER_HELPS))
			make_known();
		work(me, word);
	}
	hand_over(me, GONE);
	leave(me, word);
	return NULL;
}

/* A callback has ended a worker: release its slot, and start another worker. */
void worker_thread_exit(void)
{
	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++) {
		uint64_t word = load(&workers.slot[i].word);

		if (WORKER_ID(word) != port_id())
			continue;
		hand_over(i, GONE);
		slot_leave(i);
		if (current(word) && !(word & WORKER_HELPS))
			defer_workers_start_missing();
	}
}
