/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Who is a worker, and what a worker does besides callbacks. */
#include "unit_worker.h"

#define LAST (ANYRCU_WORKERS_MAX - 1)

/* The part of a slot's word. */
static uint64_t of(uint32_t generation)
{
	return (uint64_t)(generation & WORKER_GENERATIONS) << 40;
}

static void ends(void)
{
	step++;
	end_worker();
}

/* ---- who is a worker ---- */

static void fill_slots(uint64_t word)
{
	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++)
		workers.slot[i].word = word;
}

static void present_are_not_started(void **state)
{
	mock.starts_allowed = 9;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
	mock.starts = 0;
	store(&workers.wanted, ANYRCU_WORKERS_MAX);
	fill_slots(5 | of(workers.generation));
	store(&workers.failing, true);
	store(&workers.told, 0);
	defer_workers_start_missing();
	assert_int_equal(mock.starts, 0);
	assert_int_equal(mock.reports, 0);
	assert_false(workers.failing);
	workers.slot[LAST].word |= WORKER_HELPS;
	workers.slot[3].word = 5 | of(workers.generation - 1);
	workers.slot[7].word = 0;
	defer_workers_start_missing();
	assert_int_equal(mock.starts, 3);
	assert_int_equal(mock.reports, 0);
}

/* The number of a generation may be zero, as an empty slot's word is. */
static void generations_wrap(void **state)
{
	store(&workers.generation, WORKER_GENERATIONS);
	start_one();
	assert_int_equal(workers.generation & WORKER_GENERATIONS, 0);
	mock.on_wait = ends;
	run_thread();
	assert_int_equal(step, 1);
}

static void others_go(void)
{
	mock.on_arrive = NULL;
	memset(&workers.slot[0], 0, LAST * sizeof(workers.slot[0]));
	workers.slot[1].word = 5 | of(workers.generation) | WORKER_HELPS; /* another kind */
	workers.slot[2].word = 5 | of(workers.generation - 1);
}

/* Those before it have gone when the thread looks whether it is one too many. */
static void not_too_many(void **state)
{
	mock.arrivals = 0;
	store(&workers.generation, WORKER_GENERATIONS);
	start_one();
	fill_slots(5);
	workers.slot[LAST].word = 0;
	mock.on_arrive = others_go;
	mock.on_wait = ends;
	run_thread();
	assert_int_equal(mock.arrivals, 1);
	assert_int_equal(step, 1);
	assert_int_equal(workers.slot[LAST].tid, port_tid());
}

static void current_are_not_waited_for(void **state)
{
	start_one();
	workers.slot[LAST].word = 5 | of(workers.generation);
	workers.slot[LAST].tid = 77;
	mock.waits = 0;
	defer_workers_wait();
	assert_int_equal(mock.waits, 0);
	assert_int_equal(workers.slot[LAST].tid, 77);
	workers.slot[LAST].tid = 0;
}

static void last_goes(void)
{
	step++;
	workers.slot[LAST].word = 0;
}

static void last_is_waited_for(void **state)
{
	start_one();
	workers.slot[LAST].word = 5 | of(workers.generation - 1);
	mock.on_wait = last_goes;
	defer_workers_wait();
	assert_int_equal(step, 1);
}

static uint32_t bell;
static uint32_t generation;

static void told_of_new_generation(void)
{
	step++;
	assert_int_equal(workers.generation, generation);
	assert_true(workers.bell != bell);
}

static void old_workers_are_woken(void **state)
{
	generation = workers.generation + 1;
	bell = workers.bell;
	store(&workers.failing, true);
	mock.on_wake = told_of_new_generation;
	assert_int_equal(defer_workers_start(0, 0, NULL, 0), 0);
	assert_int_equal(step, 1);
	assert_false(workers.failing);
}

static void next_generation(void)
{
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(1, 0, NULL, 0), 0);
}

/* The thread of the next generation was started, and not in vain: a second is not needed. */
static void old_worker_starts_none(void **state)
{
	start_one();
	mock.on_wait = next_generation;
	mock.starts_allowed = 2;
	run_thread();
	assert_int_equal(mock.starts, 1);
	assert_int_equal(workers.state[0], GONE);
}

/* Only a worker that is wanted is replaced, and only its own slot is free. */
static void replaced_if_wanted(void **state)
{
	const uint64_t other = 5 | of(0x1234);

	for (unsigned i = 0; i < 3; i++) {
		mock.starts = 0;
		start_one();
		fill_slots(other);
		workers.state[LAST] = BUSY;
		workers.slot[LAST].word =
			port_id() | of(workers.generation - (i == 1)) | (i == 2 ? WORKER_HELPS : 0);
		mock.starts_allowed = 9;
		worker_thread_exit();
		assert_int_equal(mock.starts, i == 0);
		assert_int_equal(workers.slot[LAST].word, 0);
		assert_int_equal(workers.state[LAST], GONE);
		for (unsigned j = 0; j < LAST; j++)
			assert_int_equal(workers.slot[j].word, other);
	}
}

/* ---- duties ---- */

static unsigned deferred;

static bool defer_ordinarily(void *p)
{
	deferred++;
	return true;
}

static void rests(void)
{
	assert_int_equal(workers.state[0], DEEP);
	switch (step++) {
	case 0: /* it has looked once */
		assert_int_equal(mock.wait_ns, DELAY);
		mock.now += DELAY - 1;
		break;
	case 1: /* it is too early for another look */
		assert_int_equal(deferred, 0);
		mock.now++;
		break;
	case 2:
		assert_int_equal(deferred, 1);
		/* A page was used; the check of memory was before the first sleep. */
		assert_int_equal(mock.wait_ns, 1000 * MS - DELAY);
		end_worker();
		break;
	}
}

static void rests_with_long_delay(void)
{
	assert_int_equal(workers.state[0], DEEP);
	switch (step++) {
	case 0: /* the check of memory comes first */
		assert_int_equal(mock.wait_ns, 1000 * MS);
		mock.now += mock.wait_ns;
		break;
	case 1: /* that is done */
		assert_int_equal(deferred, 0);
		assert_int_equal(mock.wait_ns, DELAY);
		end_worker();
		break;
	}
}

static void exchange_one(void (*sleeps)(void), unsigned steps)
{
	static uint64_t word;
	bool first;

	step = deferred = 0;
	start_one();
	port_rseq_cpus = PORT_CPUS_MAX;
	exchange_begin(defer_ordinarily);
	mock.rseq_cpu = 0;
	assert_true(exchange_slow(&word, &first));
	mock.on_wait = sleeps;
	run_thread();
	mock.on_wait = NULL;
	assert_int_equal(step, steps);
	exchange_collect();
	assert_int_equal(deferred, 1);
	assert_false(exchange_used());
	mock.rseq_cpu = -1;
	port_rseq_cpus = 0;
	port_unmap(exchange_cpus, PORT_CPUS_MAX * sizeof(*exchange_cpus));
	store(&exchange_cpus, NULL);
}

/* The worker looks after exchanges, once in each delay. */
static void worker_looks_at_exchanges(void **state)
{
	exchange_one(rests, 3);
}

/* A long delay of exchanges does not keep it from looking at memory. */
static void worker_looks_at_memory_first(void **state)
{
	uint64_t delay = DELAY;

	mock.now += 20000 * MS; /* it looks at once, and then not for the delay */
	store(&defer_limits.delay_ns, 10000 * MS);
	exchange_one(rests_with_long_delay, 2);
	store(&defer_limits.delay_ns, delay);
}

static uint64_t mapped;

static void memory_rests(void)
{
	assert_int_equal(workers.state[0], DEEP);
	switch (step++) {
	case 0:
		assert_int_equal(mock.wait_ns, 1000 * MS);
		mock.now += 1000 * MS - 1;
		break;
	case 1: /* too early */
		assert_int_equal(mock.mapped, mapped);
		mock.now++;
		break;
	case 2:
		assert_true(mock.mapped < mapped);
		assert_int_equal(mock.wait_ns, 0);
		end_worker();
		break;
	}
}

/* Memory that was not used for a second is given back. */
static void worker_gives_memory_back(void **state)
{
	void *page[8];

	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = page_alloc(ANYRCU_GFP_KERNEL, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		page_free(page[i], 8);
	mapped = mock.mapped;
	start_one();
	mock.on_wait = memory_rests;
	run_thread();
	assert_int_equal(step, 3);
}

static struct anyrcu_cache *cache;
static void *objects[5];

static void cache_is_used(void)
{
	assert_int_equal(workers.state[0], DEEP);
	assert_true(step < 12);
	assert_int_equal(mock.wait_ns == 1000 * MS, pages_want_timer(true) || cache_want_timer());
	mock.now += 1000 * MS;
	if (step < ARRAY_SIZE(objects)) {
		assert_true(cache_want_timer());
		anyrcu_cache_free_deferred(cache, objects[step]);
	}
	step++;
	if (!cache_want_timer())
		end_worker();
}

/* The worker looks at caches as long as they are used, and then once more. */
static void worker_looks_at_caches(void **state)
{
	const struct anyrcu_cache_config config = { .size = sizeof(config),
						    .name = "objects",
						    .object_size = 64 };

	assert_int_equal(cache_make(&cache, &config), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL);
	anyrcu_cache_free_deferred(cache, anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL));
	start_one();
	mock.on_wait = cache_is_used;
	run_thread();
	assert_true(step > ARRAY_SIZE(objects));
	mock.on_wait = NULL;
	anyrcu_cache_destroy(cache);
}

static void reserve_runs_low(void)
{
	if (step++ == 0) {
		page_free(page_alloc(ANYRCU_GFP_NO_LOCKS, 9), 9); /* refused so far */
		assert_true(pages_want_refill());
	} else {
		assert_false(pages_want_refill());
		end_worker();
	}
}

static void worker_refills_reserve(void **state)
{
	pages_refill();
	start_one();
	mock.on_wait = reserve_runs_low;
	run_thread();
	assert_int_equal(step, 2);
	pages_trim();
}

static void flood_is_seen(void)
{
	mock.now += 1;
	assert_int_equal(workers.state[0], AWAKE);
	switch (step++) {
	case 0: /* a page has to wait, for a reader */
		assert_int_equal(mock.starts, 1);
		assert_true((uintptr_t)mock.thread_arg & 1);
		break;
	case 1: /* it is too early for another */
		assert_int_equal(mock.starts, 1);
		mock.now += 100 * MS;
		break;
	case 2: /* for each CPU one */
		assert_int_equal(mock.starts, 2);
		workers.slot[1].word = workers.slot[2].word =
			5 | of(workers.generation) | WORKER_HELPS;
		mock.now += 100 * MS;
		break;
	case 3:
		assert_int_equal(mock.starts, 2);
		store(&workers.wanted, ANYRCU_WORKERS_MAX);
		for (unsigned i = 1; i < ANYRCU_WORKERS_MAX; i++)
			workers.slot[i].word = 5 | of(workers.generation);
		mock.now += 100 * MS;
		break;
	case 4: /* there is no slot */
		assert_int_equal(mock.starts, 2);
		anyrcu_read_unlock();
		store(&defer_flood, false);
		end_worker();
		break;
	}
}

static void flood_has_helpers(void **state)
{
	start_one();
	anyrcu_call(&object.head, count);
	mock.now += DELAY;
	anyrcu_read_lock();
	mock.starts_allowed = 9;
	defer_bytes_counted(0, 1000 << 20);
	store(&defer_flood, true);
	mock.on_wait = flood_is_seen;
	run_thread();
	defer_bytes_counted(0, 0);
	assert_int_equal(step, 5);
}

static void retry_comes(void)
{
	if (step++ == 0) {
		store(&workers.failing, true);
		mock.now += 100 * MS;
	} else {
		assert_int_equal(mock.starts, 1);
		end_worker();
	}
}

/* A worker that is there starts those that could not be started. */
static void worker_starts_the_missing(void **state)
{
	mock.starts_allowed = 1;
	assert_int_equal(defer_workers_start(2, 0, NULL, 0), -11);
	mock.starts = 0;
	store(&workers.failing, false);
	mock.starts_allowed = 1;
	mock.on_wait = retry_comes;
	run_thread();
	assert_int_equal(step, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_duties(void)
{
	const struct CMUnitTest tests[] = {
		TEST(present_are_not_started),
		TEST(generations_wrap),
		TEST(not_too_many),
		TEST(current_are_not_waited_for),
		TEST(last_is_waited_for),
		TEST(old_workers_are_woken),
		TEST(old_worker_starts_none),
		TEST(replaced_if_wanted),
		TEST(worker_looks_at_exchanges),
		TEST(worker_looks_at_memory_first),
		TEST(worker_gives_memory_back),
		TEST(worker_looks_at_caches),
		TEST(worker_refills_reserve),
		TEST(flood_has_helpers),
		TEST(worker_starts_the_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
