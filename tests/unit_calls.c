/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Each public call that defers: into pages and into the chain, with and without the debug mode, for
 * objects of malloc() and of a cache; and which calls are refused.
 */
#include <anyrcu/cache.h>
#include <anyrcu/config.h>
#include <cache/cache.h>
#include <defer/defer.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include "unit.h"

#define BYTES 3000

/* Not at its beginning, so that an offset matters. */
struct block {
	uint64_t content[7];
	struct anyrcu_head head;
};
#define HEAD offsetof(struct block, head)

static bool counts; /* the call gives the bytes */

static bool free_head(struct block *b)
{
	anyrcu_free_head(&b->head, HEAD);
	return true;
}

static bool raw_free_head(struct block *b)
{
	anyrcu_raw_free_head(&b->head, HEAD);
	return true;
}

static bool free_head_sized(struct block *b)
{
	counts = true;
	anyrcu_free_head_sized(&b->head, HEAD, BYTES);
	return true;
}

static bool free_task_head(struct block *b)
{
	anyrcu_free_task_head(&b->head, HEAD);
	return true;
}

static bool free_headless(struct block *b)
{
	return anyrcu_free_headless(b);
}

static bool free_headless_sized(struct block *b)
{
	counts = true;
	return anyrcu_free_headless_sized(b, BYTES);
}

static bool free_task_headless(struct block *b)
{
	return anyrcu_free_task_headless(b);
}

static bool free_mightsleep(struct block *b)
{
	anyrcu_free_mightsleep(b);
	return true;
}

static bool free_mightsleep_sized(struct block *b)
{
	counts = true;
	anyrcu_free_mightsleep_sized(b, BYTES);
	return true;
}

/* A callback frees, as free() does not say whether it was called with the right address. */
static void on_head(struct anyrcu_head *head)
{
	port_free((char *)head - HEAD);
}

static bool call(struct block *b)
{
	anyrcu_call(&b->head, on_head);
	return true;
}

static bool raw_call(struct block *b)
{
	anyrcu_raw_call(&b->head, on_head);
	return true;
}

static bool call_sized(struct block *b)
{
	counts = true;
	anyrcu_call_sized(&b->head, on_head, BYTES);
	return true;
}

static bool call_headless(struct block *b)
{
	return anyrcu_call_headless(port_free, b);
}

static bool call_headless_sized(struct block *b)
{
	counts = true;
	return anyrcu_call_headless_sized(port_free, b, BYTES);
}

static bool call_mightsleep(struct block *b)
{
	anyrcu_call_mightsleep(port_free, b);
	return true;
}

static bool call_mightsleep_sized(struct block *b)
{
	counts = true;
	anyrcu_call_mightsleep_sized(port_free, b, BYTES);
	return true;
}

#define FREES 9 /* the first ones also free objects of caches */
enum { ALWAYS, REFUSES, SLEEPS }; /* what a call does if there is no page */
static const struct {
	bool (*f)(struct block *b);
	int without_page;
} calls[] = {
	{ free_head, ALWAYS },
	{ raw_free_head, ALWAYS },
	{ free_head_sized, ALWAYS },
	{ free_task_head, ALWAYS },
	{ free_headless, REFUSES },
	{ free_headless_sized, REFUSES },
	{ free_task_headless, REFUSES },
	{ free_mightsleep, SLEEPS },
	{ free_mightsleep_sized, SLEEPS },
	{ call, ALWAYS },
	{ raw_call, ALWAYS },
	{ call_sized, ALWAYS },
	{ call_headless, REFUSES },
	{ call_headless_sized, REFUSES },
	{ call_mightsleep, SLEEPS },
	{ call_mightsleep_sized, SLEEPS },
};

static int begin(void **state)
{
	anyrcu_barrier();
	mock.on_wait = NULL;
	mock.maps_allowed = UINT64_MAX;
	pages_refill();
	return 0;
}

static const struct lockdep_ops *validator; /* in use in the call */

static int end(void **state)
{
	defer_limits.pending_max = STORE_PENDING_MAX;
	defer_limits.pending_bytes_max = DEFER_PENDING_BYTES_MAX;
	defer_store.bytes_max = STORE_BYTES_MAX;
	store_debug = false;
	lockdep_ops = validator = NULL;
	store(&defer_flood, false);
	anyrcu_barrier();
	assert_int_equal(defer_pending(), 0);
	assert_int_equal(defer_bytes_pending(), 0);
	return 0;
}

static struct block *block_new(void)
{
	struct block *b = malloc(sizeof(*b));

	memset(b, 0x5a, sizeof(*b));
	memset(&b->head, 0, sizeof(b->head));
	return b;
}

/* Each call, twice: the first opens a page, if it can. */
static void each_call(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		struct block *b[2] = { block_new(), block_new() };
		uint64_t frees = mock.frees;

		counts = false;
		assert_true(calls[i].f(b[0]));
		assert_int_equal(defer_bytes_pending(), counts ? BYTES : 0);
		assert_true(calls[i].f(b[1]));
		assert_int_equal(defer_bytes_pending(), counts ? 2 * BYTES : 0);
		assert_int_equal(defer_pending(), 2);
		assert_int_equal(mock.frees, frees);
		anyrcu_barrier();
		assert_int_equal(mock.frees, frees + 2);
		assert_int_equal(defer_pending(), 0);
		assert_int_equal(defer_bytes_pending(), 0);
	}
}

static void each_call_defers(void **state)
{
	each_call();
}

static void each_call_defers_in_debug_mode(void **state)
{
	store_debug = true;
	each_call();
}

/* The store may have no page: heads go to the chain, tasks wait, and the others are refused. */
static void each_call_without_pages(void **state)
{
	defer_store.bytes_max = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		struct defer_stats before = defer_stats;
		uint64_t frees = mock.frees, synchronized = gp_stats.done;
		struct block *b = block_new();
		bool accepted = calls[i].f(b);

		assert_int_equal(accepted, calls[i].without_page != REFUSES);
		switch (calls[i].without_page) {
		case ALWAYS:
			assert_int_equal(mock.frees, frees);
			assert_int_equal(defer_stats.chain, before.chain + 1);
			assert_int_equal(defer_pending(), 1);
			break;
		case SLEEPS:
			assert_int_equal(mock.frees, frees + 1);
			assert_int_equal(defer_stats.inline_, before.inline_ + 1);
			assert_int_equal(gp_stats.done, synchronized + 1);
			assert_int_equal(defer_pending(), 0);
			break;
		case REFUSES:
			assert_int_equal(mock.frees, frees);
			assert_int_equal(defer_stats.refused, before.refused + 1);
			assert_int_equal(defer_stats.refused_bound, before.refused_bound);
			assert_int_equal(defer_stats.refused_bytes, before.refused_bytes);
			free(b);
			break;
		}
		anyrcu_barrier();
		assert_int_equal(mock.frees, frees + accepted);
		assert_int_equal(defer_pending(), 0);
		assert_int_equal(defer_bytes_pending(), 0);
	}
}

/* A task that cannot store its object has the reserve filled, and tries again. */
static void task_refills(void **state)
{
	static void *page[8192];
	unsigned n = 0;
	uint64_t inline_ = defer_stats.inline_;

	while ((page[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		n++;
	anyrcu_free_mightsleep(malloc(8));
	assert_int_equal(defer_stats.inline_, inline_);
	assert_int_equal(defer_pending(), 1);
	while (n)
		page_free(page[--n], 0);
}

static void nothing_is_freed_for_null(void **state)
{
	uint64_t frees = mock.frees, done = gp_stats.done;

	assert_true(anyrcu_free_headless(NULL));
	assert_true(anyrcu_free_headless_sized(NULL, BYTES));
	assert_true(anyrcu_free_task_headless(NULL));
	anyrcu_free_mightsleep(NULL);
	anyrcu_free_mightsleep_sized(NULL, BYTES);
	assert_int_equal(defer_pending(), 0);
	assert_int_equal(defer_bytes_pending(), 0);
	assert_int_equal(gp_stats.done, done);
	assert_int_equal(mock.frees, frees);
}

/* An argument of 0 needs a slot with its function. */
static unsigned nulls;

static void on_null(void *arg)
{
	assert_null(arg);
	nulls++;
}

static void null_is_an_argument(void **state)
{
	nulls = 0;
	assert_true(anyrcu_call_headless(on_null, NULL));
	assert_true(anyrcu_call_headless_sized(on_null, NULL, BYTES));
	anyrcu_call_mightsleep(on_null, NULL);
	anyrcu_barrier();
	assert_int_equal(nulls, 3);
}

static void no_function(void *unused)
{
	(void)!anyrcu_call_headless(NULL, &nulls);
}

static void call_of_null_is_a_mistake(void **state)
{
	assert_true(mock_bug(no_function, NULL));
	while (anyrcu_read_lock_held())
		anyrcu_read_unlock();
}

static void frees_in_section(void *p)
{
	anyrcu_free_mightsleep(p);
}

/* The mistake is found before the object is deferred. */
static void no_sleep_in_section(void **state)
{
	struct block *b = block_new();

	anyrcu_read_lock();
	assert_true(mock_bug(frees_in_section, b));
	anyrcu_read_unlock();
	assert_int_equal(defer_pending(), 0);
	free(b);
}

/* Objects of a cache go back to it, by any of the calls that free. */
static void cache_objects_return(void **state)
{
	struct anyrcu_cache_config config = { .size = sizeof(config),
					      .name = "blocks",
					      .object_size = sizeof(struct block) };
	struct anyrcu_cache *c;

	assert_int_equal(cache_make(&c, &config), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < FREES; i++) {
			struct block *b = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);
			uint64_t frees = mock.frees;

			assert_non_null(b);
			assert_true(calls[i].f(b));
			assert_int_equal(defer_pending(), 0);
			anyrcu_barrier();
			assert_int_equal(mock.frees, frees);
		}
	}
	assert_int_equal(anyrcu_cache_destroy(c), 0); /* all have returned */
}

/* ---- bounds ---- */

static void bytes_are_bounded(void **state)
{
	struct defer_stats before = defer_stats;
	struct block *b = block_new();
	uint64_t frees = mock.frees;

	defer_stats.pending_bytes_high = 0;
	defer_limits.pending_bytes_max = 2 * BYTES;
	/* One object is always accepted, however large. */
	assert_true(anyrcu_free_headless_sized(malloc(8), 3 * BYTES));
	assert_int_equal(defer_bytes_pending(), 3 * BYTES);
	assert_int_equal(load(&defer_flood), 1);
	assert_int_equal(defer_stats.floods, before.floods + 1);
	assert_false(anyrcu_free_headless_sized(b, 1));
	assert_int_equal(defer_stats.refused_bytes, before.refused_bytes + 1);
	assert_int_equal(defer_stats.refused_bound, before.refused_bound);
	/* That of the others is due to the flood; a head is never refused. */
	assert_false(anyrcu_free_headless(b));
	assert_false(anyrcu_call_headless(port_free, b));
	assert_int_equal(defer_stats.refused_bound, before.refused_bound + 2);
	anyrcu_free_head(&b->head, HEAD);
	anyrcu_barrier();
	assert_int_equal(mock.frees, frees + 2);
	defer_flood_check();
	assert_int_equal(load(&defer_flood), 0);

	/* Up to the bound, and not beyond. */
	assert_true(anyrcu_free_headless_sized(malloc(8), BYTES));
	assert_true(anyrcu_free_headless_sized(malloc(8), BYTES));
	assert_int_equal(load(&defer_flood), 0);
	assert_int_equal(defer_stats.refused, before.refused + 3);
	b = block_new();
	assert_false(anyrcu_free_headless_sized(b, 1));
	/* A task waits until something is freed; its own object then is. */
	anyrcu_free_mightsleep_sized(b, BYTES);
	assert_int_equal(defer_stats.inline_, before.inline_ + 1);
	assert_int_equal(defer_stats.pending_bytes_high, 3 * BYTES);
}

/* More is pending than there may be, but an object whose size is not given makes it no more. */
static void unsized_objects_fit(void **state)
{
	uint64_t inline_ = defer_stats.inline_;

	defer_limits.pending_bytes_max = BYTES;
	anyrcu_call_sized(&block_new()->head, on_head, 2 * BYTES);
	assert_int_equal(defer_bytes_pending(), 2 * BYTES);
	anyrcu_free_mightsleep(malloc(8));
	assert_int_equal(defer_stats.inline_, inline_);
	assert_int_equal(defer_pending(), 2);
}

/* In a flood headless calls are refused, once four times the bound is pending. */
static void objects_are_bounded(void **state)
{
	struct defer_stats before = defer_stats;
	unsigned n = 0;
	void *p;

	defer_limits.pending_max = 2000;
	while (anyrcu_free_headless(p = malloc(8))) {
		assert_true(n < 8000 + 2 * STORE_WORDS);
		n++;
	}
	assert_false(anyrcu_free_headless_sized(p, 1));
	free(p); /* refused */
	assert_true(n > 8000);
	assert_int_equal(load(&defer_flood), 1);
	assert_int_equal(defer_stats.floods, before.floods + 1);
	assert_int_equal(defer_stats.refused_bound, before.refused_bound + 2);
	assert_int_equal(defer_pending(), n);
	/* One helper for each quarter of the bound beyond it. */
	assert_int_equal(defer_help_wanted(), (n - 2000) / 500 + 1);
	/* A task that defers helps, and waits for readers. */
	mock.now += 20 * MS;
	anyrcu_free_mightsleep(malloc(8));
	anyrcu_free_mightsleep(malloc(8));
	assert_true(defer_stats.helped > before.helped);
	anyrcu_barrier();
	defer_flood_check();
	assert_int_equal(load(&defer_flood), 0);
	assert_int_equal(defer_help_wanted(), 0);
	assert_true(defer_stats.pending_high >= n);
}

/* The bound itself is not beyond it. */
static void flood_at_the_bound(void **state)
{
	defer_limits.pending_bytes_max = BYTES;
	assert_true(anyrcu_free_headless_sized(malloc(8), BYTES));
	assert_int_equal(load(&defer_flood), 0);
	store(&defer_flood, true);
	assert_true(anyrcu_free_headless(malloc(8)));
}

/* It is over once less than half of the bound is pending. */
static void flood_ends_below_half(void **state)
{
	defer_limits.pending_max = 8;
	store(&defer_flood, true);
	for (unsigned n = 1; n <= 4; n++) {
		assert_true(anyrcu_free_headless(malloc(8)));
		assert_int_equal(defer_pending(), n);
	}
	defer_flood_check();
	assert_int_equal(load(&defer_flood), 1);
	anyrcu_barrier();
	assert_true(anyrcu_free_headless(malloc(8)));
	defer_flood_check();
	assert_int_equal(load(&defer_flood), 0);
}

static void defer_head(void *head)
{
	anyrcu_free_head(head, 0);
}

static void call_head(void *head)
{
	anyrcu_call(head, on_head);
}

/* In debug mode a head that is pending cannot be deferred again. */
static void double_deferral_is_found(void **state)
{
	void (*const f[])(void *) = { defer_head, call_head };

	store_debug = true;
	for (unsigned i = 0; i < 2; i++) {
		struct block *b = block_new();

		anyrcu_free_head(&b->head, HEAD);
		assert_true(mock_bug(f[i], &b->head));
	}
}

static void reclaims(struct anyrcu_head *unused)
{
	anyrcu_reclaim(1);
}

static void barrier(void *unused)
{
	anyrcu_barrier();
}

static void reclaim_in_callback_is_a_mistake(void **state)
{
	static struct anyrcu_head head;

	anyrcu_call(&head, reclaims);
	assert_true(mock_bug(barrier, NULL));
	assert_string_equal(mock.last_report, "anyrcu_reclaim() inside a callback");
	defer_thread_exit();
}

/* ---- the policy: which calls may take pages from the zone ---- */

/* The reserve is empty: does this call get a page? */
static bool gets_page(bool (*f)(struct block *b))
{
	static void *page[8192];
	unsigned n = 0;
	uint64_t chain = defer_stats.chain;

	while ((page[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		n++;
	lockdep_ops = validator;
	f(block_new());
	lockdep_ops = NULL;
	chain = defer_stats.chain - chain;
	anyrcu_barrier();
	while (n)
		page_free(page[--n], 0);
	return chain == 0;
}

static void policy_decides_who_allocates(void **state)
{
	assert_false(gets_page(call));
	assert_false(gets_page(free_task_head));
	store(&defer_policy, ANYRCU_POLICY_RAW_VARIANTS);
	assert_true(gets_page(call));
	assert_true(gets_page(free_head));
	assert_true(gets_page(call_sized));
	assert_true(gets_page(free_task_head));
	assert_false(gets_page(raw_call));
	assert_false(gets_page(raw_free_head));
	store(&defer_policy, ANYRCU_POLICY_NOLOCKS);
}

static unsigned spins;

static void may_spin(const char *what, const void *ip)
{
	spins++;
}

/*
 * The policy for other models than rt: the validator, which is to find what would be wrong under
 * rt, has only tasks allocate as well.
 */
static void validator_sees_no_allocation(void **state)
{
	static const struct lockdep_ops ops = { .size = sizeof(ops), .might_spin = may_spin };

	store(&defer_policy, ANYRCU_POLICY_RT_OFF);
	spins = 0;
	assert_true(gets_page(call));
	assert_true(gets_page(free_task_head));
	assert_int_equal(spins, 0);
	validator = &ops;
	assert_false(gets_page(call));
	assert_int_equal(spins, 0);
	assert_true(gets_page(free_task_head));
	assert_int_equal(spins, 1);
	validator = NULL;
	store(&defer_policy, ANYRCU_POLICY_NOLOCKS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_calls(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_call_defers),
		TEST(each_call_defers_in_debug_mode),
		TEST(each_call_without_pages),
		TEST(task_refills),
		TEST(nothing_is_freed_for_null),
		TEST(null_is_an_argument),
		TEST(call_of_null_is_a_mistake),
		TEST(no_sleep_in_section),
		TEST(cache_objects_return),
		TEST(bytes_are_bounded),
		TEST(unsized_objects_fit),
		TEST(objects_are_bounded),
		TEST(flood_at_the_bound),
		TEST(flood_ends_below_half),
		TEST(double_deferral_is_found),
		TEST(reclaim_in_callback_is_a_mistake),
		TEST(policy_decides_who_allocates),
		TEST(validator_sees_no_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
