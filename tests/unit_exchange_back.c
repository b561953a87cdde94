/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Taking back what was exchanged, and the worker's look: see unit_exchange.h. */
#include "unit_exchange.h"

/* ---- taking everything back ---- */

static unsigned fences;

static void exchanges_are_stopped(void)
{
	uintptr_t word = (uintptr_t)&object[next];

	fences++;
	assert_true(port_lock_held(&exchange_lock));
	for (mock.rseq_cpu = 0; mock.rseq_cpu <= 5; mock.rseq_cpu += 5)
		assert_int_equal(port_exchange(&exchange_cpus[0].now, word), PORT_EXCHANGE_REFUSED);
	mock.rseq_cpu = 0;
}

/* Full and half full, and what is to be freed, on two CPUs; each object once. */
static void all_is_taken_back(void **state)
{
	stored(CAP + 1);
	grace_period();
	mock.rseq_cpu = 5;
	stored(CAP + 30);
	mock.rseq_cpu = 0;
	stored(CAP + 19);
	counts_are_right(20, 0);
	mock.on_fence = exchanges_are_stopped;
	fences = 0;
	assert_true(exchange_collect());
	mock.on_fence = NULL;
	assert_int_equal(fences, 1);
	counts_are_right(20, 3 * CAP + 30);
	for (unsigned i = 0; i < next; i++)
		assert_int_equal(object[i], i < 20 ? FREED : ORDINARY);
	assert_int_equal(defer_store.bytes, 0);
}

/* A page whose objects have all been freed holds no memory back. */
static void empty_page_is_not_kept(void **state)
{
	stored(CAP + 1);
	grace_period();
	stored(2 * CAP - 1);
	counts_are_right(CAP, 0);
	ordinary_allowed = 0;
	assert_false(exchange_collect());
	exchange_free_rest();
	counts_are_right(3 * CAP, 0);
	assert_false(exchange_used());
	assert_int_equal(defer_store.bytes, 0);
}

/*
 * What cannot be deferred in the ordinary way stays, and is freed once its grace period is over,
 * which is asked for.
 */
static void what_is_refused_is_freed(void **state)
{
	stored(CAP + 40);
	grace_period(); /* for the first page */
	anyrcu_read_lock();
	ordinary_allowed = 3;
	assert_false(exchange_collect());
	counts_are_right(0, 3);
	assert_true(exchange_used());
	assert_false(gp_wanted());
	exchange_free_matured();
	assert_true(gp_wanted());
	counts_are_right(CAP, 3);
	for (unsigned i = 0; i < CAP; i++)
		assert_int_equal(object[i], FREED);
	assert_int_equal(defer_store.bytes, PAGE);
	gp_step();
	exchange_free_matured();
	counts_are_right(CAP, 3); /* a reader is in the way */
	anyrcu_read_unlock();
	gp_step();
	ordinary_allowed = 4;
	assert_false(exchange_collect());
	counts_are_right(CAP, 7);
	exchange_free_matured();
	counts_are_right(CAP + 33, 7);
	assert_false(exchange_used());
	assert_int_equal(defer_store.bytes, 0);
}

static void other_frees(void)
{
	mock.on_lock = mock.on_unlock = NULL;
	exchange_free_matured();
}

/* Another thread frees the same, in between. */
static void two_free(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		stored(40);
		ordinary_allowed = 0;
		assert_false(exchange_collect());
		grace_period();
		*(i ? &mock.on_unlock : &mock.on_lock) = other_frees;
		exchange_free_matured();
		counts_are_right(40 * (i + 1), 0);
	}
}

/* The last CPU is one, too; there is none behind it, nor before the first. */
static void last_cpu(void **state)
{
	const size_t cpus = PORT_CPUS_MAX * sizeof(*exchange_cpus);
	const size_t one = sizeof(*exchange_cpus);
	char *memory = NULL, behind[sizeof(*exchange_cpus)];

	assert_int_equal(posix_memalign((void **)&memory, 4096, one + cpus + one), 0);
	memset(memory, 0, one + cpus);
	memset(memory + one + cpus, 1, one);
	memset(behind, 1, one);
	forget();
	store(&exchange_cpus, (struct exchange_cpu *)(void *)(memory + one));
	mock.rseq_cpu = -1;
	refused();
	assert_int_equal(defer_store.bytes, 0);
	mock.rseq_cpu = PORT_CPUS_MAX - 1;
	stored(CAP + 1);
	grace_period();
	exchange_look();
	stored(CAP + 1);
	counts_are_right(2, 0);
	exchange_look();
	exchange_collect();
	counts_are_right(2, 2 * CAP);
	assert_int_equal(memcmp(memory + one + cpus, behind, one), 0);
	store(&exchange_cpus, NULL);
	exchange_begin(ordinary);
	free(memory);
}

static void page_is_used_again(void **state)
{
	const char *page;

	stored(1);
	page = exchange_cpus[0].now.in;
	exchange_collect();
	stored(1);
	assert_ptr_equal(exchange_cpus[0].now.in, page);
}

/*
 * anyrcu_reclaim() and the barrier defer what was exchanged, or free it if that fails; but not
 * anyrcu_reclaim(0), nor if there is a worker.
 */
static void callers_take_back(void **state)
{
	gp_hooks.polled = polled_before;
	stored(20);
	workers.slot[0].word = 1;
	anyrcu_reclaim(SIZE_MAX);
	workers.slot[0].word = 0;
	counts_are_right(0, 0);
	anyrcu_reclaim(0);
	counts_are_right(0, 20);
	stored(20);
	ordinary_allowed = 5;
	anyrcu_reclaim(0);
	grace_period();
	anyrcu_reclaim(0);
	counts_are_right(0, 25);
	anyrcu_reclaim(1);
	counts_are_right(15, 25);
	ordinary_allowed = 4;
	stored(20);
	anyrcu_barrier();
	counts_are_right(31, 29);
	assert_false(exchange_used());
	ordinary_allowed = 20;
	stored(20);
	anyrcu_barrier();
	counts_are_right(31, 49);
}

/* ---- the worker's look ---- */

/* Tasks exchange on one CPU; on another none has since the last look. */
static void rest_is_seen(void **state)
{
	stored(10);
	exchange_look();
	stored(1);
	exchange_look();
	counts_are_right(0, 0);
	mock.rseq_cpu = 5;
	stored(CAP + 1);
	exchange_look(); /* on CPU 0 none has */
	counts_are_right(0, CAP + 12);
	assert_false(gp_wanted()); /* there is nothing that waits for one here */
	assert_false(exchange_used());
	exchange_look();
	stored(1);
	exchange_look();
	counts_are_right(0, CAP + 12);
	exchange_look();
	counts_are_right(0, CAP + 13);
}

/* A full round is no rest, though the count is the same. */
static void round_is_no_rest(void **state)
{
	stored(10);
	exchange_look();
	stored(CAP);
	exchange_look();
	counts_are_right(0, 0);
}

/* Of pages that are over, four are left for tasks. */
static void some_are_left_for_tasks(void **state)
{
	anyrcu_read_lock();
	stored(7 * CAP + 1);
	exchange_look();
	counts_are_right(0, 0);
	anyrcu_read_unlock();
	grace_period();
	stored(1);
	exchange_look();
	counts_are_right(0, 3 * CAP);
	for (unsigned i = 0; i < next; i++)
		assert_int_equal(object[i], i < 3 * CAP ? ORDINARY : DEFERRED);
	assert_int_equal(exchange_cpus[0].sealed, 4);
}

/* The look frees what cannot be deferred, or has a grace period for it. */
static void look_frees(void **state)
{
	stored(20);
	exchange_look();
	ordinary_allowed = 5;
	exchange_look();
	counts_are_right(0, 5);
	assert_true(gp_wanted());
	gp_step();
	ordinary_allowed = 0;
	exchange_look();
	counts_are_right(15, 5);
	assert_false(exchange_used());
}

int unit_exchange_back(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_is_taken_back),
		TEST(empty_page_is_not_kept),
		TEST(what_is_refused_is_freed),
		TEST(callers_take_back),
		TEST(two_free),
		TEST(last_cpu),
		TEST(page_is_used_again),
		TEST(rest_is_seen),
		TEST(round_is_no_rest),
		TEST(some_are_left_for_tasks),
		TEST(look_frees),
	};

	begin_file();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
