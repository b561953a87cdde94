/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The worker of a domain: how it sleeps, what it counts and invokes, and who stands in for it. */
#include "unit_domain.h"

/* ---- sleeping and waking ---- */

static void sleeps(void)
{
	assert_false(domain->coming);
	switch (step++) {
	case 0:
		assert_string_equal(calls, "bs");
		assert_int_equal(domain->asleep, DEEP);
		assert_int_equal(mock.wait_ns, 0);
		assert_true(domain_runs(domain));
		mock.wakes = 0;
		defer(0);
		assert_int_equal(mock.wakes, 1);
		assert_int_equal(domain->asleep, RINGING);
		domain_wake(domain, false); /* whoever rang may have stopped before its wake */
		assert_int_equal(mock.wakes, 2);
		break;
	case 1:
		assert_string_equal(calls, "bswgs");
		assert_int_equal(domain->asleep, TICKING);
		assert_int_equal(mock.wait_ns, DELAY);
		assert_int_equal(object[0].invoked, 1);
		assert_int_equal(domain->ended, domain->begun);
		assert_int_equal(mock.wakes, 2);
		defer(1);
		assert_int_equal(mock.wakes, 2); /* there is a timer */
		domain_wake(domain, true);
		assert_int_equal(mock.wakes, 3);
		domain_wake(domain, false);
		assert_int_equal(mock.wakes, 4);
		break;
	case 2:
		assert_int_equal(domain->asleep, TICKING);
		assert_int_equal(object[1].invoked, 1);
		break;
	case 3: /* there was nothing */
		assert_int_equal(domain->asleep, DEEP);
		assert_string_equal(calls, "bswgswgsws");
		domain_barrier_begin(domain);
		break;
	case 4: /* nothing was deferred, so no grace period was needed */
		assert_string_equal(calls, "bswgswgswsws");
		assert_int_equal(domain->force, 0);
		stop();
		break;
	default:
		fail();
	}
}

static void worker_sleeps_as_long_as_it_may(void **state)
{
	mock.cpu = 3;
	start(NULL);
	mock.on_wait = sleeps;
	run();
	mock.cpu = 0;
	assert_int_equal(step, 5);
	assert_string_equal(calls, "bswgswgswswswe");
	assert_false(domain_runs(domain));
	assert_int_equal(mock.thread_cpu, -1);
	assert_int_equal(mock.follows, 2);
	assert_int_equal(mock.followed, 3);
	assert_int_equal(get_stats().worker_wakes, 5);
}

static void polls(void)
{
	assert_int_equal(mock.wait_ns, 7000);
	assert_int_equal(domain->asleep, step++ == 1 ? TICKING : DEEP);
	if (step == 1)
		defer(0);
	if (step == 3)
		stop();
}

/* Nobody wakes the worker. It stays on its CPU. */
static void polling_worker(void **state)
{
	const struct anyrcu_domain_config config = {
		.size = sizeof(config), .poll = true, .delay_us = 7, .pinned = true, .cpu = 5
	};

	start(&config);
	mock.on_wait = polls;
	run();
	assert_int_equal(step, 3);
	assert_int_equal(object[0].invoked, 1);
	assert_int_equal(get_stats().worker_wakes, 0);
	assert_int_equal(mock.thread_cpu, 5);
	assert_int_equal(mock.follows, 0);
}

/* Work that comes as the worker goes to sleep: whoever brought it has seen it awake. */
static void comes_late(char what)
{
	if (what != 's')
		return;
	switch (++step) {
	case 1:
		defer(0);
		break;
	case 2: /* the open page has time until the delay is over: it sleeps */
		defer(1);
		break;
	case 3:
		domain_barrier_begin(domain);
		break;
	default:
		stop();
	}
	assert_int_equal(get_stats().worker_wakes, 0);
}

static void last_look_before_sleep(void **state)
{
	start(NULL);
	on_call = comes_late;
	run();
	assert_int_equal(step, 4);
	assert_int_equal(mock.waits, 1);
	assert_int_equal(mock.wait_ns, DELAY);
	assert_int_equal(object[0].invoked, 1);
	assert_int_equal(object[1].invoked, 1);
}

static void backlog_comes(char what)
{
	if (what != 's')
		return;
	if (++step == 2)
		for (unsigned i = 1; i < 1200; i++)
			defer(i); /* two pages are full */
	if (step == 1)
		defer(0);
	if (step == 3)
		stop();
}

/* A backlog, a quarter of all pages, is not left to the delay; a page less is. */
static void backlog_is_taken_at_once(void **state)
{
	for (unsigned pages = 2; pages <= 3; pages++) {
		memset(object, 0, sizeof(object));
		mock.waits = step = starts = 0;
		start(NULL);
		domain->store.bytes_max = pages * 4 * 4096;
		on_call = backlog_comes;
		run();
		assert_int_equal(step, 3);
		assert_int_equal(mock.waits, pages - 2);
		on_call = NULL;
		store(&domain->stop, 0);
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

/* ---- counts ---- */

static void ends_at_second_sleep(void)
{
	if (step++ == 0)
		defer(1);
	else
		stop();
}

static void times_are_counted(void **state)
{
	struct anyrcu_domain_stats s;

	start(NULL);
	gp_ns = 30 * MS;
	defer(0);
	mock.now += 5 * MS;
	mock.on_wait = ends_at_second_sleep;
	run();
	s = get_stats();
	assert_int_equal(s.collected_page, 2);
	assert_int_equal(s.collected_chain, 0);
	assert_int_equal(s.collected, 2);
	assert_int_equal(s.invoked, 2);
	assert_int_equal(s.pending_high, 1);
	assert_int_equal(s.gp_done, 2);
	assert_int_equal(s.gp_ns_total, 60 * MS);
	assert_int_equal(s.gp_ns_max, 30 * MS);
	assert_int_equal(s.wait_ns_total, 65 * MS);
	assert_int_equal(s.wait_ns_max, 35 * MS);
	assert_int_equal(s.bytes, 0);
	assert_int_equal(s.bytes_high, 4096);
}

/* ---- the order ---- */

static void batch_is_in_order(void **state)
{
	struct anyrcu_domain_stats s;

	start(NULL);
	defer_everywhere();
	mock.on_wait = ends_at_first_sleep;
	run();
	all_in_order(5);
	s = get_stats();
	assert_int_equal(s.collected_page, 2);
	assert_int_equal(s.collected_chain, 3);
	assert_int_equal(s.pending_high, 5);
	assert_int_equal(s.gp_done, 1);
}

static void marked_are_invoked(void **state)
{
	start(NULL);
	invoked = 0;
	store_debug = true;
	for (unsigned i = 0; i < 3; i++)
		defer_in_order(i);
	mock.on_wait = ends_at_first_sleep;
	run();
	store_debug = false;
	all_in_order(3);
}

static void *with_invoke;

static void invoke(struct anyrcu_head *head, void (*func)(struct anyrcu_head *), void *arg)
{
	assert_ptr_equal(func, in_order);
	with_invoke = arg;
	func(head);
}

static void source_invokes(void **state)
{
	struct anyrcu_source other = source;

	other.invoke = invoke;
	other.arg = &other;
	assert_int_equal(domain_make(&domain, &other, NULL), 0);
	assert_int_equal(domain_start(domain, starter), 0);
	defer_everywhere();
	mock.on_wait = ends_at_first_sleep;
	run();
	all_in_order(5);
	assert_ptr_equal(with_invoke, &other);
}

/* ---- pausing ---- */

static unsigned pauses;

/* Another thread has asked for the pause, and ends it. */
static void pause_ends(void)
{
	if (domain->asleep != AWAKE) {
		ends_at_first_sleep();
		return;
	}
	pauses++;
	mock.id = 2;
	assert_int_equal(domain->paused, 1);
	assert_int_equal(calls[strlen(calls) - 1], domain->stands_in ? 's' : 'e');
	port_lock(&domain_lock);
	assert_true(domain_fork_paused());
	if (domain->pause) {
		port_unlock(&domain_lock);
		assert_true(domain_pause(domain, 1));
		domain_resume(domain);
		domain_resume(domain);
	} else {
		domain_fork_done();
		port_unlock(&domain_lock);
	}
	mock.id = 1;
}

static bool for_fork;

static void asks_for_pause(struct anyrcu_head *head)
{
	in_order(head);
	mock.id = 2;
	if (for_fork) {
		port_lock(&domain_lock);
		assert_false(domain_fork_paused());
		port_unlock(&domain_lock);
	} else {
		fetch_add(&domain->pause, 1);
	}
	mock.id = 1;
}

/* Between two callbacks, wherever they are, or before a batch: no callback is invoked meanwhile. */
static void worker_pauses(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		for_fork = i % 2;
		pauses = step = starts = 0;
		memset(calls, 0, sizeof(calls));
		start(NULL);
		invoked = 0;
		domain->store.bytes_max = i < 2 ? STORE_BYTES_MAX : 0;
		anyrcu_domain_call(domain, &object[0].head, asks_for_pause);
		defer_in_order(1);
		mock.on_wait = pause_ends;
		run();
		all_in_order(2);
		assert_int_equal(pauses, for_fork ? 1 : 2);
		assert_string_equal(calls, "bgebswe");
		assert_int_equal(domain->paused, 0);
		mock.on_wait = NULL;
		store(&domain->stop, 0);
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

/* Who asked for the pause has found no worker, and forks now: the source must not be in use. */
static bool begins_early;

static void begins_paused(void)
{
	if (domain->asleep != AWAKE) {
		ends_at_first_sleep();
		return;
	}
	begins_early |= *calls || !domain->paused;
	if (pauses++ == 2) {
		domain_resume(domain);
		domain_fork_done();
	}
}

static void late_worker_pauses(void **state)
{
	pauses = step = 0;
	start(NULL);
	assert_true(domain_pause(domain, 0));
	port_lock(&domain_lock);
	assert_true(domain_fork_paused());
	port_unlock(&domain_lock);
	defer(0);
	mock.on_wait = begins_paused;
	run();
	assert_false(begins_early);
	assert_int_equal(pauses, 3);
	assert_int_equal(domain->paused, 0);
	assert_string_equal(calls, "bgswe");
}

/* ---- standing in ---- */

static void stands_in(struct anyrcu_head *head)
{
	assert_true(domain->stands_in);
	assert_true(mock.cancel_off);
	asks_for_pause(head);
}

/*
 * Another barrier begins in the grace period of this one: it is served too. The source is told of
 * the end before the place is free, as the domain need not exist from then on.
 */
static void another_begins(char what)
{
	assert_int_equal(domain->worker, port_id());
	if (what == 'g' && step++ == 0) {
		defer(1);
		domain_barrier_begin(domain);
	}
}

static void caller_stands_in(void **state)
{
	make(NULL);
	for_fork = true;
	invoked = 0;
	pauses = 0;
	anyrcu_domain_call(domain, &object[0].head, stands_in);
	defer_in_order(1);
	mock.on_wait = pause_ends;
	anyrcu_domain_barrier(domain);
	mock.on_wait = NULL;
	all_in_order(2);
	assert_int_equal(pauses, 1);
	assert_string_equal(calls, "wgsws");
	assert_int_equal(mock.follows, 0);
	assert_false(domain->stands_in);
	assert_false(domain_runs(domain));
	assert_false(mock.cancel_off);

	memset(object, 0, sizeof(object));
	memset(calls, 0, sizeof(calls));
	defer(0);
	on_call = another_begins;
	anyrcu_domain_barrier(domain);
	assert_string_equal(calls, "wggs");
	assert_int_equal(object[0].invoked, 1);
	assert_int_equal(object[1].invoked, 1);
	assert_int_equal(domain->force, 0);
}

static void stopped_while_standing_in(void **state)
{
	make(NULL);
	invoked = 0;
	anyrcu_domain_call(domain, &object[0].head, stops);
	defer_in_order(1);
	assert_true(domain_stand_in(domain, domain_barrier_begin(domain)));
	all_in_order(1);
	assert_false(domain_runs(domain));
	store(&domain->stop, 0);
	anyrcu_domain_barrier(domain);
	all_in_order(2);
	assert_string_equal(calls, "wgsws");
}

static void barrier_inside(void *unused)
{
	anyrcu_domain_barrier(domain);
}

static void barrier_in_callback(struct anyrcu_head *head)
{
	in_order(head);
	assert_true(mock_bug(barrier_inside, NULL));
}

static void no_barrier_in_callback(void **state)
{
	start(NULL);
	invoked = 0;
	anyrcu_domain_call(domain, &object[0].head, barrier_in_callback);
	mock.on_wait = ends_at_first_sleep;
	run();
	all_in_order(1);
}

int unit_domain(void)
{
	const struct CMUnitTest tests[] = {
		TEST(worker_sleeps_as_long_as_it_may),
		TEST(polling_worker),
		TEST(last_look_before_sleep),
		TEST(backlog_is_taken_at_once),
		TEST(times_are_counted),
		TEST(batch_is_in_order),
		TEST(marked_are_invoked),
		TEST(source_invokes),
		TEST(worker_pauses),
		TEST(late_worker_pauses),
		TEST(caller_stands_in),
		TEST(stopped_while_standing_in),
		TEST(no_barrier_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
