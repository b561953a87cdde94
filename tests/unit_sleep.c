/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Who wakes a worker, and what it looks at before it sleeps. */
#include "unit_worker.h"

#define LAST (ANYRCU_WORKERS_MAX - 1)

static void ends(void)
{
	step++;
	end_worker();
}

/* ---- who wakes whom ---- */

static void wakes(bool urgent, unsigned expected)
{
	bell_again();
	defer_wake(urgent);
	assert_int_equal(mock.wakes, expected);
}

/* Ticking workers are left to their timers unless it is urgent, and then wake the others. */
static void states_say_who_is_woken(void **state)
{
	workers.state[LAST] = DEEP;
	wakes(false, 1);
	wakes(true, 1);
	workers.slot[0].word = AWAKE; /* a number, and no state */
	wakes(false, 1);
	workers.state[0] = TICKING;
	wakes(false, 0);
	wakes(true, 1);
	workers.state[0] = AWAKE;
	wakes(false, 0);
	wakes(true, 1);
	workers.state[LAST] = TICKING;
	wakes(false, 0);
	wakes(true, 1);
	workers.state[LAST] = BUSY;
	wakes(true, 0);
}

static void driven_by_each(void **state)
{
	for (enum state s = GONE; s <= DEEP; s++) {
		workers.state[LAST] = s;
		assert_int_equal(defer_driven(), s >= AWAKE);
	}
}

static uint32_t bell;

static void is_rung(void)
{
	assert_true(workers.bell & WORKER_BELL_OPEN);
	assert_false(workers.bell & WORKER_BELL_RUNG);
}

static void sleeps_anew(void)
{
	workers.bell = bell + 4; /* the next number */
}

/*
 * Who sleeps sees another bell before it is woken. Only then nobody needs to wake it again, and not
 * if it sleeps under the next number already.
 */
static void bell_is_rung(void **state)
{
	uint64_t before = defer_stats.wakes;

	bell = workers.bell = 64;
	workers.state[0] = DEEP;
	mock.on_wake = is_rung;
	defer_wake(false);
	assert_int_equal(workers.bell, 64 | WORKER_BELL_OPEN | WORKER_BELL_RUNG);
	assert_int_equal(defer_stats.wakes, before + 1);
	defer_wake(false);
	assert_int_equal(defer_stats.wakes, before + 1);
	bell = workers.bell = 128;
	mock.on_wake = sleeps_anew;
	defer_wake(false);
	assert_int_equal(workers.bell, 132);
}

static unsigned bells;

static void program_is_told(void)
{
	assert_int_equal(defer_bell_armed, 0);
	bells++;
}

static void program_bell_rings_once(void **state)
{
	void (*former)(void) = defer_bell;

	bells = 0;
	defer_bell = program_is_told;
	defer_wake(false);
	assert_int_equal(bells, 0);
	defer_bell_armed = BELL_ANY;
	defer_wake(false);
	defer_wake(false);
	assert_int_equal(bells, 1);
	defer_bell_armed = BELL_ANY;
	defer_wake(true);
	assert_int_equal(bells, 2);
	defer_bell_armed = BELL_URGENT;
	defer_wake(false);
	assert_int_equal(bells, 2);
	defer_wake(true);
	defer_wake(true);
	assert_int_equal(bells, 3);
	defer_bell = former;
}

/* ---- a last look before it sleeps ---- */

static void (*comes)(void);

static void before_deep_sleep(void)
{
	if (workers.state[0] != DEEP)
		return;
	mock.on_unlock = NULL;
	comes();
}

static void before_ticking(void)
{
	if (workers.state[0] != TICKING)
		return;
	mock.on_now = NULL;
	comes();
}

static void grace_period_is_wanted(void)
{
	gp_cookie();
}

static void backlog_is_there(void)
{
	store(&defer_store.sealed, STORE_BACKLOG);
}

static void sleeps_later(void)
{
	assert_int_equal(workers.state[0], DEEP);
	assert_false(gp_wanted());
	ends();
}

static void last_look_before_deep_sleep(void **state)
{
	start_one();
	comes = grace_period_is_wanted;
	mock.on_unlock = before_deep_sleep;
	mock.on_wait = sleeps_later;
	run_thread();
	assert_int_equal(step, 1);

	step = 0;
	start_one();
	comes = end_worker;
	mock.on_unlock = before_deep_sleep;
	mock.on_wait = sleeps_later;
	run_thread();
	assert_int_equal(step, 0);
}

static void was_seen(void)
{
	assert_int_equal(workers.state[0], TICKING);
	assert_false(gp_wanted());
	assert_int_equal(defer_store.sealed, 0);
	ends();
}

static void last_look_before_ticking(void **state)
{
	void (*const each[])(void) = { grace_period_is_wanted, backlog_is_there, end_worker };

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		defer_delay_starts();
		mock.starts = step = 0;
		start_one();
		anyrcu_call(&object.head, count);
		comes = each[i];
		mock.on_now = before_ticking;
		mock.on_wait = was_seen;
		run_thread();
		assert_null(mock.on_now);
		assert_int_equal(step, i < 2);
		mock.on_wait = NULL;
		anyrcu_barrier();
	}
}

static void due_now(void)
{
	mock.now = defer_due();
}

static void not_for_ever(void)
{
	assert_int_equal(workers.state[0], TICKING);
	assert_int_equal(mock.wait_ns, 100000);
	ends();
}

/* The delay ends as the worker computes how long to sleep: 0 would mean for ever. */
static void delay_ends_before_sleep(void **state)
{
	defer_delay_starts();
	start_one();
	anyrcu_call(&object.head, count);
	comes = due_now;
	mock.on_now = before_ticking;
	mock.on_wait = not_for_ever;
	run_thread();
	assert_int_equal(step, 1);
}

static void memory_is_due(void)
{
	assert_int_equal(workers.state[0], TICKING);
	assert_int_equal(mock.wait_ns, 1000 * MS);
	ends();
}

/* A page was used, and the delay is longer than the time until memory may be given back. */
static void delay_is_longer_than_that_of_memory(void **state)
{
	uint64_t delay = load(&defer_limits.delay_ns);

	mock.now += 2000 * MS;
	store(&defer_limits.delay_ns, 10000 * MS);
	defer_delay_starts();
	start_one();
	anyrcu_call(&object.head, count);
	mock.on_wait = memory_is_due;
	run_thread();
	assert_int_equal(step, 1);
	store(&defer_limits.delay_ns, delay);
}

static void take_chains(bool taken)
{
	for (unsigned i = 0; i < CHAINS; i++)
		defer_pipe.chains[i].taken = taken;
	defer_store.bytes_max = taken ? 0 : STORE_BYTES_MAX;
}

static unsigned looks;

static void looks_again(void)
{
	if (++looks == 1000) { /* it does not sleep */
		take_chains(false);
		end_worker();
	}
}

static void waits_for_drainer(void)
{
	if (step < 3) {
		assert_int_equal(workers.state[0], TICKING);
		assert_int_equal(mock.wait_ns, 100000);
		assert_int_equal(object.invoked, 0);
	}
	if (step == 0)
		backlog_is_there();
	if (step == 2)
		take_chains(false);
	if (step++ > 2 && object.invoked)
		end_worker();
	assert_true(step < 10);
}

/* A chain finds no place, as drainers have all. A backlog cannot be collected until then. */
static void no_haste_while_drainers_are_in_the_way(void **state)
{
	looks = 0;
	start_one();
	take_chains(true);
	anyrcu_call(&object.head, count);
	defer_pipe.due = mock.now;
	mock.on_now = looks_again;
	mock.on_wait = waits_for_drainer;
	run_thread();
	assert_true(looks < 1000);
	assert_int_equal(object.invoked, 1);
}

static void woken_for_nothing(void)
{
	assert_int_equal(workers.state[0], DEEP);
	if (step++ == 0)
		bell = workers.bell;
	else
		assert_int_equal(workers.bell, (bell | 3) + 1);
	if (step == 2)
		end_worker();
}

/* Without work no delay begins, and each sleep has a number of its own. */
static void sleeps_deep_again(void **state)
{
	start_one();
	mock.on_wait = woken_for_nothing;
	run_thread();
	assert_int_equal(step, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_sleep(void)
{
	const struct CMUnitTest tests[] = {
		TEST(states_say_who_is_woken),
		TEST(driven_by_each),
		TEST(bell_is_rung),
		TEST(program_bell_rings_once),
		TEST(last_look_before_deep_sleep),
		TEST(last_look_before_ticking),
		TEST(delay_ends_before_sleep),
		TEST(delay_is_longer_than_that_of_memory),
		TEST(no_haste_while_drainers_are_in_the_way),
		TEST(sleeps_deep_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
