/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Callers that give way, threads that come and go, refusals, and merging: see unit_domain.h. */
#include "unit_domain.h"

/* ---- deferring ---- */

static uint64_t slept[4];
static unsigned sleeps_of_caller;

static void caller_sleeps(void)
{
	assert_true(sleeps_of_caller < ARRAY_SIZE(slept));
	slept[sleeps_of_caller++] = mock.wait_ns;
}

/* A caller fills a page beside so many others, and opens the next. */
static void fill_page(uint64_t others, bool ready, uint64_t worker)
{
	domain->store.bytes = others * 4096;
	domain->ready = ready;
	domain->worker = worker;
	for (unsigned i = 0; i < STORE_WORDS + 1; i++)
		defer(i);
	domain->store.bytes -= others * 4096;
	domain->ready = false;
	domain->worker = 0;
	anyrcu_domain_barrier(domain);
}

/*
 * A caller that fills a page while too much is pending sleeps, the longer the more it is, but not
 * while the worker waits for readers, without a worker, or if it is the worker.
 */
static void callers_give_way(void **state)
{
	const struct anyrcu_domain_config config = { .size = sizeof(config), .pending_max = 1024 };

	make(&config);
	sleeps_of_caller = 0;
	mock.on_wait = caller_sleeps;
	fill_page(1, false, 2);
	fill_page(1, true, 0);
	fill_page(1, true, 1);
	fill_page(0, true, 2);
	assert_int_equal(sleeps_of_caller, 0);
	fill_page(1, true, 2);
	fill_page(5, true, 2);
	fill_page(61, true, 2);
	assert_int_equal(sleeps_of_caller, 3);
	assert_int_equal(slept[0], 50000);
	assert_int_equal(slept[1], 9 * 50000);
	assert_int_equal(slept[2], 100 * 50000);
	assert_int_equal(get_stats().gave_way, 3);
}

/* ---- threads that come and go ---- */

static void sleeps_for_ever(void)
{
	fail();
}

static void late_thread(void)
{
	mock.on_wait = NULL;
	mock.id = 2;
	assert_false(domain_stand_in(domain, domain->begun));
	store(&domain->coming, true);
	run();
	assert_false(domain->coming);
	assert_int_equal(domain->worker, 1);
	assert_string_equal(calls, "bs");
	mock.id = 1;
	stop();
}

/* A second thread finds that there is a worker; one that comes too late, that none is wanted. */
static void late_threads_end(void **state)
{
	start(NULL);
	mock.on_wait = late_thread;
	run();
	assert_string_equal(calls, "bswe");
	store(&domain->coming, true);
	run(); /* it is stopped */
	assert_false(domain->coming);
	store(&domain->stop, 0);
	store(&domain->wanted, false);
	store(&domain->coming, true);
	run();
	assert_false(domain->coming);
	assert_false(domain_runs(domain));
	assert_string_equal(calls, "bswe");
}

/* One comes when its domain has ended and the next is in the same memory, still being made. */
static void thread_of_former_domain_ends(void **state)
{
	struct anyrcu_domain *former;

	start(NULL);
	former = domain;
	domain->ready = true; /* it has had a batch */
	domain->coming = false;
	anyrcu_domain_destroy(domain, NULL);
	memset(calls, 0, sizeof(calls));
	make(NULL);
	assert_ptr_equal(domain, former);
	assert_false(domain->ready);
	run();
	assert_string_equal(calls, "");
	assert_false(domain_runs(domain));
}

static void pause_without_worker(void **state)
{
	make(NULL);
	mock.on_wait = sleeps_for_ever;
	assert_true(domain_pause(domain, 0));
	domain_resume(domain);
	port_lock(&domain_lock);
	assert_true(domain_fork_paused());
	domain_fork_done();
	port_unlock(&domain_lock);
}

/* Whoever waits for these is woken after they have changed. */
static void waiter_sees_change(void)
{
	step++;
	assert_false(domain->coming);
	if (step == 2)
		assert_int_equal(domain->ended, domain->begun);
	if (step == 3)
		assert_int_equal(domain->worker, 0);
}

static void waits_again(char what)
{
	if (what == 'b' || what == 'g' || what == 'e')
		event_prepare(&domain->over);
}

static void ends_without_step(void)
{
	stop();
}

static void waiters_are_woken(void **state)
{
	start(NULL);
	defer(0);
	event_prepare(&domain->over);
	on_call = waits_again;
	mock.on_wake = waiter_sees_change;
	mock.on_wait = ends_without_step;
	run();
	mock.on_wake = NULL;
	assert_int_equal(step, 3);
}

static jmp_buf thread_end;

static void ends_thread(struct anyrcu_head *head)
{
	in_order(head);
	domain_thread_exit();
	assert_false(domain_runs(domain));
	assert_false(domain->stands_in);
	longjmp(thread_end, 1);
}

/*
 * A callback ends the worker's thread: another is started at once, and goes on behind it, without
 * another grace period. If none is wanted, none is started.
 */
static void ended_worker_is_replaced(void **state)
{
	start(NULL);
	invoked = 0;
	anyrcu_domain_call(domain, &object[0].head, ends_thread);
	anyrcu_domain_call(domain, &object[1].head, ends_thread);
	defer_in_order(2);
	mock.on_wait = ends_at_first_sleep;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(starts, i + 1);
		store(&domain->wanted, i == 0);
		if (!setjmp(thread_end)) {
			if (i == 0)
				run();
			else
				domain_stand_in(domain, domain_barrier_begin(domain));
			fail();
		}
	}
	assert_int_equal(starts, 2);
	domain_thread_exit(); /* this thread is no worker any more */
	store(&domain->wanted, true);
	run();
	assert_int_equal(starts, 2);
	all_in_order(3);
	assert_int_equal(get_stats().gp_done, 1);
}

static struct anyrcu_domain *second;

static void stands_in_and_ends_thread(struct anyrcu_head *head)
{
	assert_true(domain_stand_in(second, domain_barrier_begin(second)));
	ends_thread(head);
}

/* A callback's barrier had its thread stand in for another domain's worker before. */
static void worker_that_stood_in_is_replaced(void **state)
{
	make(NULL);
	second = domain;
	start(NULL);
	invoked = 0;
	anyrcu_domain_call(domain, &object[0].head, stands_in_and_ends_thread);
	if (!setjmp(thread_end)) {
		run();
		fail();
	}
	assert_int_equal(starts, 2);
	assert_false(domain_runs(domain) || domain_runs(second));
	anyrcu_domain_destroy(second, NULL);
}

/* A task was moving a domain's objects to another: here the domain goes on, unless it is ours. */
static void domain_of_absent_merger_goes_on(void **state)
{
	for (uint64_t merger = 1; merger <= 2; merger++) {
		bool own = merger == port_id();

		start(NULL);
		domain->merger = merger;
		domain->stop = 1;
		domain->coming = false;
		domain_fork_child(true);
		assert_int_equal(domain->merger, own ? merger : 0);
		assert_int_equal(domain->stop, own);
		assert_int_equal(starts, own ? 1 : 2);
		store(&domain->stop, 0);
		store(&domain->coming, false);
		store(&domain->wanted, false);
		starts = 0;
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

/* The child of a fork has no worker, but one whose callback has forked. */
static void child_has_no_workers(void **state)
{
	make(NULL);
	for (uint64_t worker = 1; worker <= 2; worker++) {
		bool own = worker == port_id();

		domain->worker = worker;
		domain->asleep = DEEP;
		domain->paused = 1;
		domain->stands_in = domain->coming = true;
		domain->wanted = true;
		domains.pause = 1;
		domain_fork_child(false);
		assert_int_equal(domain->worker, own ? worker : 0);
		assert_int_equal(domain->asleep, own ? DEEP : AWAKE);
		assert_int_equal(domain->paused, own);
		assert_int_equal(domain->stands_in, own);
		assert_int_equal(domain->coming, own);
		assert_false(domain->wanted);
		assert_int_equal(domains.pause, 0);
	}
}

/* The parent's worker had taken the last callback when a handler forked in a barrier. */
static void batch_of_absent_worker_ends(void **state)
{
	make(NULL);
	domain->begun = 5;
	domain->ended = 4;
	domain->worker = 2;
	domain_fork_child(false);
	assert_false(domain_has_ended(domain, 5));
	assert_true(domain_stand_in(domain, 5));
	assert_true(domain_has_ended(domain, 5));
	assert_int_equal(domain->force, 0);
	domain->worker = 2;
	domain_fork_child(false);
	assert_int_equal(domain->force, 0); /* nothing is missing */
}

/* ---- refusals ---- */

static void refused_start_is_tried_again(void **state)
{
	uint64_t pause = DOMAIN_PAUSE_MIN, arrivals = mock.arrivals;

	make(NULL);
	domain_retry();
	assert_int_equal(starts, 0); /* none is wanted */
	start_error = -11;
	assert_int_equal(domain_start(domain, starter), -11);
	for (unsigned i = 1; i < 14; i++) {
		assert_int_equal(starts, i);
		assert_true(domains.failing);
		assert_false(domain->coming);
		assert_int_equal(domain->start_at, mock.now + (i == 1 ? DOMAIN_PAUSE_MIN : pause));
		if (i > 1)
			pause = pause * 2 < 1000 * MS ? pause * 2 : 1000 * MS;
		else
			pause = 2 * DOMAIN_PAUSE_MIN;
		assert_int_equal(domain->start_pause, pause);
		mock.now = domain->start_at - 1;
		domain_retry();
		assert_int_equal(domain_start(domain, starter), 0);
		assert_int_equal(starts, i); /* it is too early */
		assert_true(domains.failing);
		mock.now++;
		if (i % 2)
			domain_retry();
		else
			assert_int_equal(domain_start(domain, starter), -11);
	}
	assert_int_equal(mock.arrivals, arrivals); /* nobody waits for these threads */
	start_error = 0;
	mock.now = domain->start_at;
	domain_retry();
	assert_int_equal(starts, 15);
	assert_int_equal(domain->start_pause, DOMAIN_PAUSE_MIN);
	mock.on_wait = ends_at_first_sleep;
	run();
	store(&domain->stop, 0);
	domain->worker = 2;
	domain_retry();
	assert_false(domains.failing);
	assert_int_equal(domain_start(domain, starter), 0);
	assert_int_equal(starts, 15);
	domain->worker = 0;
	domain_retry();
	assert_int_equal(starts, 15); /* none is known to be missing */
}

/* The next domain in the same memory has had no refusals. */
static void next_domain_has_its_own_pause(void **state)
{
	make(NULL);
	start_error = -11;
	for (unsigned i = 0; i < 2; i++) {
		struct anyrcu_domain *former = domain;

		assert_int_equal(domain_start(domain, starter), -11);
		assert_int_equal(domain->start_at, mock.now + DOMAIN_PAUSE_MIN);
		mock.now += 1000 * MS;
		assert_int_equal(domain_start(domain, starter), -11);
		assert_int_equal(domain->start_pause, 4 * DOMAIN_PAUSE_MIN);
		anyrcu_domain_destroy(domain, NULL);
		make(NULL);
		assert_ptr_equal(domain, former);
	}
}

/* Of several domains without a worker, the one that has waited longest is next. */
static void retries_take_turns(void **state)
{
	struct anyrcu_domain *d[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(domain_make(&d[i], &source, NULL), 0);
	start_error = -11;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(domain_start(d[(i + 1) % 3], starter), -11);
		mock.now += 10;
	}
	start_error = 0;
	mock.now += 1000 * MS;
	store(&d[2]->wanted, false);
	domain_retry();
	assert_ptr_equal(thread_arg, d[1]);
	domain_retry();
	assert_ptr_equal(thread_arg, d[0]);
	assert_int_equal(starts, 5);
	assert_true(domains.failing);
	d[0]->worker = d[1]->worker = 2;
	domain_retry();
	assert_false(domains.failing);
	d[0]->worker = d[1]->worker = 0;
	for (unsigned i = 0; i < 3; i++) {
		domain = d[i];
		domain->coming = domain->wanted = false;
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

/* ---- merging ---- */

static void merged_are_in_order(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		struct anyrcu_domain *from;

		memset(calls, 0, sizeof(calls));
		make(NULL);
		from = domain;
		if (i == 1) { /* a part of it was invoked */
			invoked = 0;
			anyrcu_domain_call(from, &object[0].head, stops);
			assert_true(domain_stand_in(from, domain_barrier_begin(from)));
			store(&from->stop, 0);
		}
		store_debug = i == 2;
		if (i == 2) {
			invoked = 0;
			for (unsigned j = 0; j < 5; j++)
				defer_in_order(j);
		} else {
			defer_everywhere();
		}
		store_debug = false;
		make(NULL);
		anyrcu_domain_destroy(from, domain);
		assert_int_equal(invoked, 0);
		anyrcu_domain_barrier(domain);
		all_in_order(5);
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

static void merger_sleeps(void)
{
	step++;
	assert_int_equal(domain_open(domain), 0);
	assert_null(domain->store.chain);
	mock.id = 2;
	port_lock(&domain_lock);
	assert_true(domain_fork_paused());
	domain_fork_done();
	port_unlock(&domain_lock);
	mock.id = 1;
}

/* A fork waits until the task that moves objects, of pages or of the chain, sleeps before one. */
static void merger_pauses(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct anyrcu_domain *from;

		make(NULL);
		from = domain;
		from->store.bytes_max = i ? STORE_BYTES_MAX : 0;
		invoked = step = 0;
		defer_in_order(0);
		defer_in_order(1);
		make(NULL);
		domains.pause = 1;
		mock.on_wait = merger_sleeps;
		anyrcu_domain_destroy(from, domain);
		mock.on_wait = NULL;
		assert_int_equal(step, 1);
		anyrcu_domain_barrier(domain);
		all_in_order(2);
		anyrcu_domain_destroy(domain, NULL);
	}
	domain = NULL;
}

int unit_domain_threads(void)
{
	const struct CMUnitTest tests[] = {
		TEST(callers_give_way),
		TEST(late_threads_end),
		TEST(thread_of_former_domain_ends),
		TEST(pause_without_worker),
		TEST(waiters_are_woken),
		TEST(ended_worker_is_replaced),
		TEST(worker_that_stood_in_is_replaced),
		TEST(domain_of_absent_merger_goes_on),
		TEST(child_has_no_workers),
		TEST(batch_of_absent_worker_ends),
		TEST(refused_start_is_tried_again),
		TEST(next_domain_has_its_own_pause),
		TEST(retries_take_turns),
		TEST(merged_are_in_order),
		TEST(merger_pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
