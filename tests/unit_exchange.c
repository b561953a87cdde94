/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How exchanges begin, their rounds, and other threads on the same CPU: see unit_exchange.h. */
#include "unit_exchange.h"

/* ---- the beginning ---- */

static void other_begins(void)
{
	mock.on_map = NULL;
	exchange_begin(ordinary);
	assert_non_null(exchange_cpus);
}

/* Of two threads that begin at the same time, one gives its memory back. */
static void begins_once(void **state)
{
	uint64_t mapped, maps;
	bool first;

	forget();
	assert_false(offer(&first));
	port_rseq_cpus = 0; /* there are no sequences */
	exchange_begin(ordinary);
	assert_null(exchange_cpus);
	port_rseq_cpus = PORT_CPUS_MAX;
	mock.maps_allowed = 0;
	exchange_begin(ordinary);
	assert_null(exchange_cpus);
	mock.maps_allowed = UINT64_MAX;
	mapped = mock.mapped;
	mock.on_map = other_begins;
	exchange_begin(ordinary);
	assert_non_null(exchange_cpus);
	assert_int_equal(mock.mapped - mapped, PORT_CPUS_MAX * sizeof(*exchange_cpus));
	maps = mock.maps;
	exchange_begin(ordinary);
	assert_int_equal(mock.maps, maps);

	/* This one is refused, and the other is not. */
	forget();
	mapped = mock.mapped;
	mock.on_map = other_begins;
	mock.maps_allowed = 1;
	exchange_begin(ordinary);
	mock.maps_allowed = UINT64_MAX;
	assert_int_equal(mock.mapped - mapped, PORT_CPUS_MAX * sizeof(*exchange_cpus));
}

static void free_headless(void)
{
	object[next] = DEFERRED;
	assert_true(anyrcu_free_task_headless(&object[next++]));
}

/*
 * Exchanges begin once a page of the store has been full, if there is a worker, and not in debug
 * mode. From then on the call that takes the first page wakes the worker, even if it is refused.
 */
static void begins_if_worth_it(void **state)
{
	struct object *o = calloc(8 * CAP, sizeof(*o));

	gp_hooks.polled = polled_before;
	forget();
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			for (unsigned j = 0; j < 2 * CAP; j++)
				anyrcu_call(&o[2 * i * CAP + j].head, count);
		assert_true(i == 0 || defer_store.sealed_objects);
		workers.slot[0].word = i != 1;
		store_debug = i == 2;
		free_headless();
		store_debug = false;
		assert_int_equal(exchange_cpus != NULL, i == 3);
		if (i < 3)
			anyrcu_barrier();
	}
	assert_int_equal(frees, 3);
	workers.state[0] = DEEP;
	mock.exchange_refused = true;
	for (unsigned i = 0; i < 2; i++) {
		store(&workers.bell, 0);
		mock.wakes = 0;
		assert_false(exchange_used());
		free_headless();
		assert_true(exchange_used());
		assert_int_equal(mock.wakes, 1);
		mock.exchange_refused = false;
		store(&workers.bell, 0);
		free_headless();
		assert_int_equal(mock.wakes, 1);
		workers.slot[0].word = 0;
		anyrcu_barrier();
		workers.slot[0].word = 1;
	}
	assert_int_equal(frees, next);
	workers.slot[0].word = 0;
	workers.state[0] = GONE;
	forget();
	exchange_begin(ordinary);
	free(o);
}

/* The caller of the first call that takes a page is told: it wakes the worker. */
static void first_is_told(void **state)
{
	bool first;

	assert_false(exchange_used());
	assert_true(offer(&first));
	assert_true(first);
	assert_true(exchange_used());
	mock.rseq_cpu = 5;
	assert_true(offer(&first));
	assert_false(first);
	mock.rseq_cpu = 1; /* below one that has had pages */
	stored(3);
	counts_are_right(0, 0);
	assert_int_equal(defer_store.bytes, 3 * PAGE);
	assert_true(exchange_collect());
	counts_are_right(0, 5);
	assert_false(exchange_used());
	assert_true(offer(&first));
	assert_true(first);
}

static void refused_without_sequences(void **state)
{
	mock.rseq_cpu = -1;
	refused();
	assert_false(exchange_used());
	assert_int_equal(defer_store.bytes, 0);
}

/* The call has taken a page, though it is refused in the end: the worker must know. */
static void refused_if_always_interrupted(void **state)
{
	bool first;

	mock.exchange_refused = true;
	mock.exchanges = 0;
	assert_false(offer(&first));
	assert_true(first);
	assert_int_equal(mock.exchanges, 1 + 8);
	mock.exchange_refused = false;
	stored(1);
	counts_are_right(0, 0);
}

/* ---- rounds ---- */

/*
 * From the third page on each object that is stored frees one, the oldest, and the page that is
 * used up is the next one.
 */
static void one_for_one(void **state)
{
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < CAP; i++) {
			stored(1);
			counts_are_right(round < 2 ? 0 : next - 2 * CAP, 0);
			assert_true(round < 2 || last_freed == next - 2 * CAP - 1);
		}
		assert_int_equal(defer_store.bytes, (round < 2 ? round + 1 : 3) * PAGE);
		grace_period();
	}
	exchange_collect();
	counts_are_right(6 * CAP, 2 * CAP);
}

/* No grace period is over: nothing is freed; then what was stored first is. */
static void readers_are_waited_for(void **state)
{
	anyrcu_read_lock();
	stored(3 * CAP + 7);
	counts_are_right(0, 0);
	anyrcu_read_unlock();
	grace_period();
	stored(CAP - 7);
	counts_are_right(0, 0);
	stored(2 * CAP);
	counts_are_right(2 * CAP, 0);
	assert_int_equal(last_freed, 2 * CAP - 1);
}

/* Tasks drive a grace period if two pages wait for one, and only then. */
static void tasks_drive(void **state)
{
	uint64_t started = gp_stats.started;

	stored(2 * CAP);
	assert_int_equal(gp_stats.started, started);
	stored(1); /* two wait now, and their grace period is over at once */
	assert_int_equal(gp_stats.started, started + 1);
	assert_int_equal(gp_stats.done, gp_stats.started);
	stored(CAP); /* one of them is emptied, and with this one, two are in the list */
	assert_int_equal(gp_stats.started, started + 1);
	assert_int_equal(frees, 1);
	stored(CAP);
	assert_int_equal(gp_stats.started, started + 2);
}

/* One grace period that began too early is under way. */
static void tasks_drive_the_next(void **state)
{
	anyrcu_gp_t next_gp;

	stored(2 * CAP - 1);
	anyrcu_read_lock();
	grace_period();
	anyrcu_read_unlock();
	stored(1);
	next_gp = gp_cookie_quiet();
	assert_int_equal(gp_stats.started, gp_stats.done + 1);
	stored(1);
	assert_true(anyrcu_gp_done(next_gp));
}

/* So many pages may wait for readers on one CPU; then calls are refused, until one is over. */
static void pages_wait_on_cpu(void **state)
{
	anyrcu_read_lock();
	stored(65 * CAP);
	refused();
	counts_are_right(0, 0);
	assert_int_equal(defer_store.bytes, 65 * PAGE);
	assert_int_equal(exchange_cpus[0].sealed, 64);
	mock.rseq_cpu = 5;
	stored(2 * CAP);
	anyrcu_read_unlock();
}

/* A quarter of the deferrals that may be pending, on all CPUs together. */
static void pages_wait_on_all_cpus(void **state)
{
	uint64_t max = load(&defer_limits.pending_max);

	store(&defer_limits.pending_max, 4 * 3 * CAP);
	anyrcu_read_lock();
	stored(2 * CAP);
	mock.rseq_cpu = 5;
	stored(3 * CAP);
	refused();
	mock.rseq_cpu = 0;
	refused();
	anyrcu_read_unlock();
	counts_are_right(0, 0);
	exchange_collect();
	stored(CAP); /* none waits any more */
	store(&defer_limits.pending_max, max);
}

/* Pages count towards the bound of the store's. */
static void pages_are_bounded(void **state)
{
	store(&defer_store.bytes_max, 2 * PAGE);
	stored(2 * CAP);
	refused();
	assert_int_equal(defer_store.bytes, 2 * PAGE);
	store(&defer_store.bytes_max, STORE_BYTES_MAX);
	stored(1);
	counts_are_right(0, 0);
}

static unsigned polls;

static void no_exchange_yet(void)
{
	if (polls++ == 0) /* what is asked next is whether to drive a grace period */
		assert_int_equal(port_exchange(&exchange_cpus[0].now, (uintptr_t)&object[next + 1]),
				 PORT_EXCHANGE_REFUSED);
}

/* While pages are replaced, no sequence exchanges with those that are used up. */
static void refused_while_replaced(void **state)
{
	stored(CAP + 1);
	grace_period();
	stored(2 * CAP - 1);
	counts_are_right(CAP, 0);
	polls = 0; /* the next page's grace period is not over, so each question is one poll */
	gp_hooks.polled = no_exchange_yet;
	stored(1);
	gp_hooks.polled = polled;
	assert_true(polls > 0);
	counts_are_right(CAP, 0);
}

/* ---- others on the same CPU ---- */

static void other_stores(void)
{
	bool first;

	mock.on_lock = NULL;
	next++;
	assert_true(offer(&first));
	next--;
}

/* Another thread of the CPU has replaced the page meanwhile: the own one is given back. */
static void other_replaces_page(void **state)
{
	stored(CAP);
	mock.on_lock = other_stores;
	stored(1);
	assert_int_equal(exchange_cpus[0].now.count, 2);
	assert_int_equal(exchange_cpus[0].sealed, 1);
	assert_int_equal(defer_store.bytes, 2 * PAGE);
	counts_are_right(0, 0);
}

static void other_collects(void)
{
	mock.on_lock = NULL;
	exchange_collect();
}

/* Another thread has collected all meanwhile, so there is no page that could be the next. */
static void other_collects_pages(void **state)
{
	stored(CAP + 1);
	grace_period();
	stored(2 * CAP - 1);
	counts_are_right(CAP, 0);
	object[next] = DEFERRED; /* but for this, which is not among what is collected */
	mock.on_lock = other_collects;
	refused();
	counts_are_right(CAP, 2 * CAP);
	assert_false(exchange_used());
}

/* One that was interrupted stores in the page that is there, though there may be no other page. */
static void interrupted_needs_no_page(void **state)
{
	bool first;

	anyrcu_read_lock();
	stored(64 * CAP + 1);
	assert_int_equal(exchange_cpus[0].sealed, 64);
	object[next] = DEFERRED;
	assert_true(exchange_slow(&object[next++], &first));
	assert_false(first);
	counts_are_right(0, 0);
	anyrcu_read_unlock();
}

static void migrates(void)
{
	mock.on_lock = NULL;
	mock.rseq_cpu = 5;
}

/* The page was taken for another CPU: the next attempt takes one for this. */
static void task_migrates(void **state)
{
	stored(1);
	exchange_collect();
	mock.on_lock = migrates;
	stored(1);
	assert_int_equal(exchange_cpus[0].now.count, 0);
	assert_int_equal(exchange_cpus[5].now.count, 1);
	assert_int_equal(defer_store.bytes, 2 * PAGE);
	mock.rseq_cpu = 0;
	stored(1);
	counts_are_right(0, 1);
}

int unit_exchange(void)
{
	const struct CMUnitTest tests[] = {
		TEST(begins_once),
		TEST(begins_if_worth_it),
		TEST(first_is_told),
		TEST(refused_without_sequences),
		TEST(refused_if_always_interrupted),
		TEST(one_for_one),
		TEST(readers_are_waited_for),
		TEST(tasks_drive),
		TEST(tasks_drive_the_next),
		TEST(pages_wait_on_cpu),
		TEST(pages_wait_on_all_cpus),
		TEST(pages_are_bounded),
		TEST(refused_while_replaced),
		TEST(other_replaces_page),
		TEST(other_collects_pages),
		TEST(interrupted_needs_no_page),
		TEST(task_migrates),
	};

	begin_file();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
