/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A worker on the mock platform: the test runs the thread that was started, and what other threads
 * do comes where it sleeps.
 */
#include "unit_worker.h"

static void new_configuration(void)
{
	mock.on_wait = NULL;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
	run_thread(); /* finds no slot */
	assert_true(workers.failing);
}

/* ---- starting ---- */

static void refused_start_is_reported_once(void **state)
{
	uint64_t pause = WORKER_PAUSE_MIN;

	assert_int_equal(defer_workers_start(1, 0, NULL, 0), -11);
	assert_int_equal(mock.reports, 0); /* the caller has it */
	for (unsigned i = 0; i < 14; i++) {
		pause = pause * 2 < 1000 * MS ? pause * 2 : 1000 * MS;
		assert_int_equal(workers.pause, pause);
		assert_int_equal(workers.start_at, mock.now + pause);
		mock.starts_allowed = 1;
		mock.now += pause - 1;
		defer_workers_retry();
		assert_int_equal(mock.starts, 0); /* it is too early */
		mock.starts_allowed = 0;
		mock.now++;
		defer_workers_retry();
		assert_int_equal(mock.reports, 0);
	}
	mock.now += pause;
	mock.starts_allowed = 1;
	defer_workers_retry();
	assert_int_equal(mock.starts, 1);
	assert_int_equal(workers.pause, WORKER_PAUSE_MIN);
	assert_false(workers.failing);
	mock.now += 1000 * MS;
	defer_workers_retry();
	assert_int_equal(mock.starts, 1); /* none is known to be missing */
	defer_workers_start_missing();
	assert_true(workers.failing);
	assert_int_equal(mock.reports, 1);
	defer_workers_start_missing();
	assert_int_equal(mock.reports, 1);
}

/* A thread that is no real-time thread, though it should be, is there. */
static void unprivileged_threads_are_there(void **state)
{
	mock.starts_allowed = 6;
	mock.start_unprivileged = true;
	assert_int_equal(defer_workers_start(3, 7, NULL, 0), -PORT_EPERM);
	assert_int_equal(mock.starts, 3);
	assert_int_equal(mock.rt, 7);
	assert_false(workers.failing);
	assert_int_equal(workers.pause, WORKER_PAUSE_MIN);
	defer_workers_start_missing();
	assert_int_equal(mock.reports, 0);
}

static void finds_no_slot(void)
{
	store(&workers.failing, true);
}

/* A thread arrives before its start returns. If it has found no slot, that is not forgotten. */
static void started_thread_may_ask(void **state)
{
	mock.starts_allowed = 1;
	mock.on_start = finds_no_slot;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
	assert_true(workers.failing);
}

static void first_refusal_ends_the_start(void **state)
{
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(3, 0, NULL, 0), -11);
	assert_int_equal(mock.starts, 1);
	assert_int_equal(workers.pause, 2 * WORKER_PAUSE_MIN); /* one refusal */
}

/*
 * Workers of the former configuration have all slots when the thread of the new one arrives. The
 * first of them that leaves its slot starts it again.
 */
static void slot_comes_free_later(void **state)
{
	mock.starts_allowed = ANYRCU_WORKERS_MAX + 3;
	assert_int_equal(defer_workers_start(ANYRCU_WORKERS_MAX, 0, NULL, 0), 0);
	for (unsigned i = 1; i < ANYRCU_WORKERS_MAX; i++)
		workers.slot[i].word = 1 | (uint64_t)workers.generation << 40;
	mock.on_wait = new_configuration;
	run_thread(); /* in slot 0; its last sleep is in "new_configuration" */
	assert_int_equal(mock.starts, ANYRCU_WORKERS_MAX + 2);
	assert_int_equal(workers.slot[0].word, 0);
	assert_false(workers.failing);
}

static void other_thread_fails_to_start_worker(void)
{
	unsigned allowed = mock.starts_allowed;

	mock.on_start = NULL;
	mock.starts_allowed = 0;
	defer_workers_start_missing();
	assert_true(workers.failing);
	mock.starts_allowed = allowed;
}

static void helper_has_started(void)
{
	assert_int_equal(mock.starts, 1);
	assert_true((uintptr_t)mock.thread_arg & 1); /* a helper */
	assert_true(workers.failing);
	end_worker();
}

/* Workers are missing. In a flood a worker starts a helper, which does not stand for them. */
static void helper_is_no_worker(void **state)
{
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(2, 0, NULL, 0), -11);
	assert_true(workers.failing);
	mock.now += 100 * MS;
	store(&workers.failing, false); /* another thread is about to try again */
	mock.starts = 0;
	mock.starts_allowed = 1;
	mock.on_start = other_thread_fails_to_start_worker;
	mock.on_wait = helper_has_started;
	defer_bytes_counted(0, 1000 << 20); /* much is pending */
	store(&defer_flood, true);
	run_thread();
	defer_bytes_counted(0, 0);
}

static void ends_at_first_sleep(void)
{
	step++;
	end_worker();
}

static void worker_is_placed(void **state)
{
	const int cpus[] = { 5, 3 };

	mock.starts_allowed = 1;
	mock.on_wait = ends_at_first_sleep;
	assert_int_equal(defer_workers_start(1, 4, cpus, 2), 0);
	run_thread();
	assert_int_equal(mock.thread_cpu, 5);
	assert_int_equal(mock.thread_rt, 4);
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
	run_thread();
	assert_int_equal(mock.thread_cpu, -1);
	assert_int_equal(mock.thread_rt, 0);
	assert_int_equal(step, 2);
	assert_int_equal(defer_workers(), 0);
}

/* ---- a late thread ---- */

static void another_comes(void)
{
	mock.on_wait = ends_at_first_sleep;
	assert_int_equal(defer_workers(), 1);
	run_thread();
	assert_int_equal(step, 0); /* it has not slept */
	assert_int_equal(defer_workers(), 1);
	assert_int_equal(workers.state[1], GONE);
	end_worker();
}

static void surplus_thread_ends(void **state)
{
	start_one();
	mock.on_wait = another_comes;
	run_thread();
	assert_int_equal(defer_workers(), 0);
	assert_int_equal(workers.state[0], GONE);
}

/* ---- a slot comes free before that of a worker ---- */

#define CURRENT ((uint64_t)(workers.generation & WORKER_GENERATIONS) << 40)

static void takes_slot_before(void)
{
	step++;
	assert_int_equal(step, 1);
	assert_int_equal(defer_workers(), 2);
	workers.slot[0].word = 1 | CURRENT;
}

/* The former worker there has left, and one thread too many was started. */
static void worker_becomes_surplus(void **state)
{
	start_one();
	workers.slot[0].word = 1 | (CURRENT - (UINT64_C(1) << 40));
	mock.on_wait = takes_slot_before;
	run_thread();
	assert_int_equal(step, 1);
	assert_int_equal(workers.slot[0].word, 1 | CURRENT);
	assert_int_equal(defer_workers(), 1);
}

static void others_are_woken(void)
{
	step++;
	assert_int_equal(mock.wakes, 1);
	end_worker();
}

static void surplus_worker_is_woken(void **state)
{
	uint32_t bell;

	start_one();
	workers.slot[1].word = 1 | CURRENT;
	bell = workers.bell;
	mock.on_wait = others_are_woken;
	run_thread();
	assert_int_equal(step, 1);
	assert_true((workers.bell | 3) > (bell | 3));
}

static void other_leaves(void)
{
	workers.slot[0].word = 0;
	workers.state[0] = GONE;
}

/* Between the decision to leave, and leaving; there the other is woken, as there is work. */
static void surplus_leaves_as_other_does(void **state)
{
	start_one();
	workers.slot[0].word = 1 | CURRENT;
	assert_true(anyrcu_free_headless(malloc(8)));
	workers.state[0] = DEEP;
	bell_again();
	mock.starts_allowed = 1;
	mock.on_wake = other_leaves;
	run_thread();
	assert_int_equal(mock.wakes, 1);
	assert_int_equal(mock.starts, 1);
	assert_int_equal(defer_workers(), 0);
}

static void late_thread_of_old_generation_ends(void **state)
{
	start_one();
	end_worker();
	mock.on_wait = ends_at_first_sleep;
	run_thread();
	assert_int_equal(step, 0);
	assert_int_equal(defer_workers(), 0);
}

/* The last slot is one, too. */
static void last_slot_is_taken(void **state)
{
	start_one();
	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX - 1; i++)
		workers.slot[i].word = 1 | (uint64_t)(workers.generation - 1) << 40;
	mock.on_wait = ends_at_first_sleep;
	run_thread();
	assert_int_equal(step, 1);
}

static void flood_ends(void)
{
	step++;
	assert_true(step < 3);
	store(&defer_flood, false);
}

/* A helper ends with the flood. */
static void helper_ends_with_flood(void **state)
{
	start_one();
	mock.thread_arg = (void *)((uintptr_t)mock.thread_arg | 1);
	defer_bytes_counted(0, 1000 << 20);
	store(&defer_flood, true);
	mock.on_wait = flood_ends;
	run_thread();
	defer_bytes_counted(0, 0);
	assert_int_equal(step, 1);
	assert_int_equal(defer_workers(), 0);
	assert_int_equal(mock.reports, 0); /* it has started nobody, though a worker is missing */
}

static void no_slot_no_worker(void **state)
{
	start_one();
	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++)
		workers.slot[i].word = 1;
	mock.on_wait = ends_at_first_sleep;
	run_thread();
	assert_int_equal(step, 0);
	assert_int_equal(defer_workers(), ANYRCU_WORKERS_MAX);
}

/* ---- sleeping and waking ---- */

static void sleeps(void)
{
	static uint64_t began;

	switch (step++) {
	case 0: /* nothing to do, and nothing to look at */
		began = mock.now; /* and it has looked at memory */
		assert_int_equal(workers.state[0], DEEP);
		assert_int_equal(mock.wait_ns, 0);
		assert_true(defer_driven());
		mock.now += 5 * MS;
		anyrcu_call(&object.head, count);
		assert_int_equal(mock.wakes, 1);
		assert_true(workers.bell & WORKER_BELL_RUNG);
		defer_wake(true);
		assert_int_equal(mock.wakes, 1); /* it is awake already */
		break;
	case 1: /* until the delay, which began with the first object, is over */
		assert_int_equal(workers.state[0], TICKING);
		assert_int_equal(mock.wait_ns, DELAY);
		assert_int_equal(object.invoked, 0);
		mock.now += 1 * MS;
		defer_wake(false);
		assert_int_equal(mock.wakes, 1); /* there is a timer */
		defer_wake(true);
		assert_int_equal(mock.wakes, 2);
		break;
	case 2: /* it was woken, with nothing to do */
		assert_int_equal(workers.state[0], TICKING);
		assert_int_equal(mock.wait_ns, DELAY - 1 * MS);
		mock.now += DELAY - 1 * MS;
		break;
	default:
		if (workers.state[0] != DEEP) {
			assert_true(step < 10);
			mock.now += DELAY;
			break;
		}
		assert_int_equal(object.invoked, 1);
		/* A page was used, so it looks again a second after it did last. */
		assert_int_equal(mock.wait_ns, began + 1000 * MS - mock.now);
		end_worker();
	}
}

static void worker_sleeps_as_long_as_it_may(void **state)
{
	start_one();
	mock.on_wait = sleeps;
	run_thread();
	assert_true(step > 3);
	assert_int_equal(object.invoked, 1);
	assert_false(defer_driven());
}

/* ---- handing over ---- */

static void count_sleep(void)
{
	step++;
	assert_int_equal(mock.wakes, 0);
	store(&workers.generation, workers.generation + 1);
}

/* Another worker sleeps. A worker that goes has no reason to wake it if there is no work. */
static void no_work_no_wake(void **state)
{
	start_one();
	workers.state[3] = DEEP;
	mock.on_wait = count_sleep;
	run_thread();
	assert_int_equal(mock.wakes, 0);
	assert_int_equal(step, 1);
}

static void object_comes(void)
{
	mock.on_fence = NULL;
	assert_int_equal(workers.state[0], AWAKE);
	assert_true(defer_driven());
	anyrcu_call(&object.head, count);
	assert_int_equal(mock.wakes, 0); /* the caller has seen a worker awake */
}

static void on_callback(struct anyrcu_head *head)
{
	assert_int_equal(workers.state[0], BUSY);
	assert_int_equal(mock.wakes, 1);
	count(head);
	end_worker();
}

/* The caller of a deferral has seen a worker that goes to its callbacks: it wakes another. */
static void work_is_handed_over(void **state)
{
	static struct object first;

	start_one();
	first.invoked = 0;
	anyrcu_call(&first.head, on_callback);
	mock.wakes = 0;
	mock.now += DELAY;
	workers.state[3] = DEEP;
	mock.on_fence = object_comes;
	mock.on_wait = ends_at_first_sleep;
	run_thread();
	assert_int_equal(first.invoked, 1);
}

/* Bytes wake a worker before its timer does once half of the bound is pending. */
static void bytes_press(void **state)
{
	struct anyrcu_head *head = malloc(sizeof(*head)), *other = malloc(sizeof(*other));

	anyrcu_call(&object.head, count);
	workers.state[3] = TICKING;
	bell_again();
	anyrcu_free_head_sized(head, 0, DEFER_PENDING_BYTES_MAX / 4);
	assert_int_equal(mock.wakes, 0);
	anyrcu_free_head_sized(other, 0, DEFER_PENDING_BYTES_MAX / 2);
	assert_int_equal(mock.wakes, 1);
}

/* ---- stalls ---- */

static unsigned stalls;

static void on_stall(const struct anyrcu_stall *s, void *arg)
{
	stalls++;
	anyrcu_read_unlock();
	end_worker();
}

static void time_passes(void)
{
	mock.now += 100 * MS;
	assert_true(++step < 1000);
}

/* A grace period that somebody polls for is held up, while nothing is deferred. */
static void worker_looks_for_stalls(void **state)
{
	start_one();
	gp_configure(&(struct anyrcu_config){ .stall_ms = 1000, .stall_hook = on_stall });
	stalls = 0;
	anyrcu_read_lock();
	gp_cookie();
	mock.on_wait = time_passes;
	run_thread();
	assert_int_equal(stalls, 1);
	gp_configure(&(struct anyrcu_config){ .stall_ms = 10000 });
}

/* ---- the child of a fork ---- */

static void child_has_no_workers(void **state)
{
	workers.slot[0].word = 7;
	workers.slot[0].tid = 77;
	workers.state[0] = AWAKE;
	workers.failing = true;
	store(&workers.wanted, 1);
	mock.starts_allowed = 1;
	worker_fork_child(true);
	assert_int_equal(workers.slot[0].word, 0);
	assert_int_equal(workers.slot[0].tid, 0);
	assert_int_equal(workers.state[0], GONE);
	assert_false(workers.failing);
	assert_int_equal(mock.starts, 1);
	mock.starts_allowed = 1;
	worker_fork_child(false);
	assert_int_equal(mock.starts, 1);
}

/* ---- a callback ends its worker ---- */

static jmp_buf thread_end;

static void ends_thread(struct anyrcu_head *head)
{
	count(head);
	mock.starts_allowed = 1;
	defer_thread_exit();
	worker_thread_exit();
	assert_int_equal(workers.state[0], GONE);
	assert_int_equal(defer_workers(), 0);
	longjmp(thread_end, 1);
}

static void ended_worker_is_replaced(void **state)
{
	start_one();
	anyrcu_call(&object.head, ends_thread);
	mock.now += DELAY;
	mock.on_wait = ends_at_first_sleep;
	if (!setjmp(thread_end)) {
		run_thread();
		fail();
	}
	assert_int_equal(mock.starts, 1);
	run_thread();
	assert_int_equal(step, 1);
	assert_int_equal(object.invoked, 1);
}

static void slot_is_left(void)
{
	mock.on_start = NULL;
	step++;
	assert_int_equal(workers.slot[0].word, 0);
	assert_int_equal(workers.state[0], GONE);
}

/* The next worker may have the slot before its last one has returned: the state is its own then. */
static void state_is_left_before_slot(void **state)
{
	start_one();
	workers.slot[0].word = port_id() | CURRENT;
	workers.state[0] = AWAKE;
	store(&workers.failing, true);
	mock.starts_allowed = 1;
	mock.on_start = slot_is_left;
	worker_thread_exit();
	assert_int_equal(step, 1);
}

/* ---- waiting for workers of a former generation ---- */

static void old_worker_goes(void)
{
	assert_int_equal(mock.wait_ns, 100000);
	mock.now += mock.wait_ns;
	switch (step++) {
	case 0:
	case 1: /* it is in a callback */
		break;
	case 2:
		workers.slot[2].word = 0;
		break;
	case 3: /* its thread is still in the kernel */
		mock.tid_dead = true;
		break;
	}
}

static void old_workers_are_waited_for(void **state)
{
	uint64_t since;

	start_one();
	end_worker();
	workers.slot[2].word = 1 | (uint64_t)(workers.generation - 1) << 40;
	workers.slot[2].tid = 77;
	mock.on_wait = old_worker_goes;
	defer_workers_wait();
	mock.tid_dead = false;
	assert_int_equal(step, 4);
	assert_int_equal(workers.slot[2].tid, 0);

	/* the number is another thread's by now */
	workers.slot[2].tid = 78;
	since = mock.now;
	defer_workers_wait();
	assert_int_equal(mock.now - since, 1000 * MS);
	assert_int_equal(workers.slot[2].tid, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_worker(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refused_start_is_reported_once),
		TEST(unprivileged_threads_are_there),
		TEST(slot_comes_free_later),
		TEST(started_thread_may_ask),
		TEST(first_refusal_ends_the_start),
		TEST(helper_is_no_worker),
		TEST(worker_is_placed),
		TEST(surplus_thread_ends),
		TEST(worker_becomes_surplus),
		TEST(surplus_worker_is_woken),
		TEST(surplus_leaves_as_other_does),
		TEST(late_thread_of_old_generation_ends),
		TEST(no_slot_no_worker),
		TEST(last_slot_is_taken),
		TEST(helper_ends_with_flood),
		TEST(bytes_press),
		TEST(worker_looks_for_stalls),
		TEST(child_has_no_workers),
		TEST(worker_sleeps_as_long_as_it_may),
		TEST(no_work_no_wake),
		TEST(work_is_handed_over),
		TEST(ended_worker_is_replaced),
		TEST(state_is_left_before_slot),
		TEST(old_workers_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
