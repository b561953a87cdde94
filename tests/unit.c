/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The core's modules on the mock platform: one thread, so each step of a protocol can be placed
 * where it hurts.
 */
#include <defer/pipe.h>
#include <domain/domain.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include <port/process.h>
#include "unit.h"

/* ---- zone ---- */

/* So many blocks of this order has a chunk of 1 << @chunk pages: the header takes one. */
static unsigned blocks(unsigned chunk, unsigned order)
{
	return order < chunk ? (1u << (chunk - order)) - 1 : 0;
}

static void zone_splits_and_merges(void **state)
{
	void *page[1024];
	uint64_t mapped = mock.mapped;

	for (unsigned order = 0; order < 9; order++) {
		unsigned n = 0;
		void *p;

		/* The first chunk, if it has blocks of this order, then one that is larger. */
		while ((p = zone_take(order, n == 0 || n == blocks(8, order)))) {
			assert_int_equal((uintptr_t)p & ((4096u << order) - 1), 0);
			page[n++] = p;
		}
		assert_int_equal(n, blocks(8, order) + blocks(9, order));
		assert_int_equal(mock.mapped - mapped, order < 8 ? 3 << 20 : 2 << 20);
		for (unsigned i = 0; i < n; i++)
			zone_put(page[(i * 13 + 3) % n], order);
		zone_unmap(zone_trim());
		/* all merged again, or the chunk would still be there */
		assert_int_equal(mock.mapped, mapped);
	}
}

static void put_wrong_order(void *page)
{
	zone_put(page, 1);
}

static void zone_finds_wrong_order(void **state)
{
	void *p = zone_take(0, true);

	assert_true(mock_bug(put_wrong_order, (void *)((uintptr_t)p & ~8191ul)));
	zone_put(p, 0);
	zone_unmap(zone_trim());
}

static void zone_says_no(void **state)
{
	mock.maps_allowed = 0;
	assert_null(zone_take(3, true));
	assert_null(zone_take(9, true));
	assert_null(zone_take(0, false));
	mock.maps_allowed = UINT64_MAX;
}

/* ---- pages ---- */

static void pages_follow_demand(void **state)
{
	static void *page[8192];
	unsigned n = 0, more = 0;

	pages_refill();
	while ((page[n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		n++;
	assert_true(n >= 128);
	assert_true(pages_want_refill());
	pages_refill();
	while ((page[n + more] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		more++;
	assert_true(more >= 1024);
	for (unsigned i = 0; i < n + more; i++)
		anyrcu_page_free(page[i], 0);
	assert_false(pages_idle()); /* it has just been used */
	assert_true(pages_idle());
	pages_trim();
	assert_false(pages_idle()); /* nothing to give back any more */
	assert_false(pages_want_refill());
}

/* What has run low or was refused is there the next time, also after memory was given back. */
static void pages_grow_with_use(void **state)
{
	void *p = NULL;

	for (unsigned order = 7; order <= ANYRCU_PAGE_ORDER_MAX; order++) {
		page_free(page_alloc(ANYRCU_GFP_NO_LOCKS, order), order);
		assert_true(pages_want_refill());
	}
	pages_refill();
	pages_trim();
	for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++) {
		p = page_alloc(ANYRCU_GFP_NO_LOCKS, order);
		assert_non_null(p);
		page_free(p, order);
	}
}

/* What goes back to the system need not come again: the reserve keeps what it is to have. */
static void pages_trim_keeps_reserve(void **state)
{
	static void *page[1024];
	unsigned n = 0;

	pages_refill();
	for (unsigned i = 0; i < 2; i++) {
		mock.maps_allowed = 0;
		pages_trim();
		assert_false(pages_want_refill());
		for (n = 0; n < 128 && (page[n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0));)
			n++;
		assert_int_equal(n, 128);
		mock.maps_allowed = UINT64_MAX;
		while (n)
			anyrcu_page_free(page[--n], 0);
	}
}

static void pages_no_locks_maps_nothing(void **state)
{
	uint64_t maps = mock.maps;
	void *p;

	pages_refill();
	maps = mock.maps;
	for (unsigned order = 0; order <= 6; order++) {
		p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, order);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p & ((4096ul << order) - 1), 0);
		anyrcu_page_free(p, order);
	}
	assert_int_equal(mock.maps, maps);
	assert_null(anyrcu_page_alloc(3, 0));
	assert_null(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 10));
}

/* ---- grace periods ---- */

static void gp_waits_for_reader(void **state)
{
	anyrcu_gp_t gp;

	anyrcu_read_lock();
	anyrcu_read_lock();
	gp = anyrcu_gp_start();
	for (int i = 0; i < 3; i++)
		gp_step();
	assert_false(anyrcu_gp_done(gp));
	anyrcu_read_unlock();
	gp_step();
	assert_false(anyrcu_gp_done(gp));
	anyrcu_read_unlock();
	gp_step();
	assert_true(anyrcu_gp_done(gp));
}

static void begin_to_read(void)
{
	anyrcu_read_lock();
}

/*
 * A reader that begins after the number was advanced is not waited for; one whose number is old is.
 */
static void gp_tells_readers_apart(void **state)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	mock.on_fence = begin_to_read;
	gp_step();
	mock.on_fence = NULL;
	assert_true(anyrcu_gp_done(gp));
	gp = anyrcu_gp_start();
	gp_step();
	assert_false(anyrcu_gp_done(gp));
	anyrcu_read_unlock();
	gp_step();
	assert_true(anyrcu_gp_done(gp));
}

/* A cookie taken while a grace period is under way names the next one. */
static anyrcu_gp_t taken_meanwhile;
static void take_cookie(void)
{
	taken_meanwhile = anyrcu_gp_start();
	mock.on_fence = NULL;
}

static void gp_under_way_is_not_enough(void **state)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	mock.on_fence = take_cookie;
	gp_step();
	assert_true(anyrcu_gp_done(gp));
	assert_false(anyrcu_gp_done(taken_meanwhile));
	gp_step();
	assert_true(anyrcu_gp_done(taken_meanwhile));
}

static void gp_numbers_wrap(void **state)
{
	anyrcu_gp_t first = anyrcu_gp_start(), gp = first;
	bool wrapped = false;

	for (int i = 0; i < 3000; i++) {
		gp_waits_for_reader(state);
		wrapped |= anyrcu_gp_start() < gp;
		gp = anyrcu_gp_start();
		assert_true(anyrcu_gp_done(first));
	}
	assert_true(wrapped);
	gp_step();
}

static void gp_dead_reader_is_buried(void **state)
{
	struct anyrcu_reader *mine = anyrcu_self;
	uint64_t owner = mine->owner, reports = mock.reports;
	anyrcu_gp_t gp;

	anyrcu_read_lock();
	gp = anyrcu_gp_start();
	mock.tid_dead = true;
	gp_step();
	assert_false(anyrcu_gp_done(gp)); /* not looked at yet */
	mock.now += 20000000;
	gp_step();
	mock.tid_dead = false;
	assert_true(anyrcu_gp_done(gp));
	assert_int_equal(mock.reports, reports + 1);
	anyrcu_read_unlock();
	mine->owner = owner; /* this thread is not dead after all */
}

static void unlock(void *unused)
{
	anyrcu_read_unlock();
}

static void synchronize(void *unused)
{
	anyrcu_synchronize();
}

static void gp_finds_mistakes(void **state)
{
	assert_true(mock_bug(unlock, NULL));
	anyrcu_read_lock();
	assert_true(mock_bug(synchronize, NULL));
	anyrcu_read_unlock();
	for (int i = 0; i < 65535; i++)
		anyrcu_read_lock();
	assert_true(mock_bug((void (*)(void *))anyrcu_reader_enter_slow, NULL));
	for (int i = 0; i < 65535; i++)
		anyrcu_read_unlock();
	assert_false(anyrcu_read_lock_held());
}

/* ---- deferral, on the path of atomics ---- */

static void defer_needs_two_grace_periods(void **state)
{
	struct object o = { 0 };
	uint64_t done;

	anyrcu_call(&o.head, count);
	mock.now += 20000000; /* the delay is over */
	anyrcu_read_lock();
	defer_advance(); /* collects, and begins the first */
	done = gp_stats.done;
	for (int i = 0; i < 5; i++)
		defer_advance();
	assert_int_equal(defer_drain(1, 0), 0);
	anyrcu_read_unlock();
	anyrcu_read_lock(); /* after the first has begun, so only the second waits for it */
	while (gp_stats.done == done)
		defer_advance();
	for (int i = 0; i < 5; i++)
		defer_advance();
	assert_int_equal(gp_stats.done, done + 1);
	/* settled now, but what was stored late needs the second */
	assert_int_equal(defer_drain(1, 0), 0);
	anyrcu_read_unlock();
	while (!defer_drain(1, 0))
		defer_advance();
	assert_int_equal(gp_stats.done, done + 2);
	assert_int_equal(o.invoked, 1);
	anyrcu_barrier();
	assert_int_equal(o.invoked, 1);
}

/* The n-th mapping and all later ones are refused, for each n that a full run reaches. */
static void defer_loses_nothing_when_refused(void **state)
{
	enum { N = 4000 };
	struct object *o = malloc(N * sizeof(*o));

	for (uint64_t allowed = 0;; allowed++) {
		uint64_t refused = 0;

		for (unsigned i = 0; i < N; i++)
			o[i].invoked = 0;
		pages_trim();
		/* so that the chain is needed also when mappings are not refused */
		defer_store.bytes_max = 16384;
		mock.maps_allowed = allowed;
		for (unsigned i = 0; i < N; i++) {
			mock.cpu = i % 5;
			if (i % 3 == 0) {
				anyrcu_call(&o[i].head, count);
			} else if (!anyrcu_call_headless(count_headless, &o[i])) {
				assert_int_equal(o[i].invoked, 0);
				anyrcu_call(&o[i].head, count);
				refused++;
			}
		}
		anyrcu_barrier();
		each_invoked_once(N, o);
		assert_true(refused > 0);
		if (mock.maps_allowed > 0)
			break;
	}
	mock.maps_allowed = UINT64_MAX;
	defer_store.bytes_max = 64 << 20;
	free(o);
	assert_int_equal(defer_pending(), 0);
	assert_int_equal(defer_store.bytes, 0);
}

static void defer_budget(void **state)
{
	static struct object o[1000];

	for (unsigned i = 0; i < 1000; i++)
		anyrcu_call(&o[i].head, count);
	assert_int_equal(defer_pending(), 1000);
	mock.now += 20000000;
	for (int i = 0; i < 6; i++)
		assert_int_equal(anyrcu_reclaim(0), 0);
	assert_int_equal(anyrcu_reclaim(7), 7);
	assert_int_equal(anyrcu_reclaim(600), 600);
	assert_int_equal(defer_pending(), 393);
	assert_int_equal(anyrcu_reclaim(1000), 393);
	each_invoked_once(1000, o);
}

/* What was pending is no more, once it is invoked; a child of a fork has counted what is stored. */
static void bytes_return_to_zero(void **state)
{
	struct object o = { 0 };
	uint64_t era = defer_era();

	anyrcu_call_sized(&o.head, count, 1000);
	assert_int_equal(defer_bytes_pending(), 1000);
	anyrcu_barrier();
	assert_int_equal(o.invoked, 1);
	assert_int_equal(defer_bytes_pending(), 0);
	defer_bytes_counted(1, 700);
	defer_bytes_add(era, 50); /* counted already: the deferral began before the fork */
	assert_int_equal(defer_bytes_pending(), 700);
	defer_bytes_add(defer_era(), 50);
	assert_int_equal(defer_bytes_pending(), 750);
	defer_bytes_counted(0, 0);
}

/* Wrong sizes may add up to any number: it stays in its bits, beside the era. */
static void bytes_have_a_most(void **state)
{
	const uint64_t most = (UINT64_C(1) << 48) - 1;
	uint64_t era = defer_era();

	defer_bytes_add(era, most - 1);
	assert_int_equal(defer_bytes_pending(), most - 1);
	defer_bytes_add(era, 5);
	assert_int_equal(defer_bytes_pending(), most);
	assert_int_equal(defer_era(), era);
	defer_bytes_subtract(most);
	assert_int_equal(defer_bytes_pending(), 0);
	assert_int_equal(defer_era(), era);
}

/* Older generations come first, also of pages that drainers give back: barriers rely on it. */
static void ready_pages_stay_in_order(void **state)
{
	enum { N = 5 };
	struct drainer *d[N];

	for (unsigned i = 0; i < N; i++) {
		struct store_page *p = page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, 0);

		assert_non_null(p);
		p->open.key = KEY_HEAD;
		p->open.cap = STORE_WORDS - 1;
		p->open.count = 2;
		p->gen = i + 1;
		count_add(&defer_store.bytes, sizeof(*p));
		ready_page(p);
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++) {
			d[i] = drainer_acquire(false);
			assert_non_null(d[i]);
			assert_int_equal(d[i]->gen, i + 1);
		}
		assert_false(ready_until(N));
		for (unsigned i = 0; i < N && round == 0; i++)
			assert_null(drainer_release(d[i]));
	}
	for (unsigned i = 0; i < N; i++) {
		d[i]->page->cursor = 2;
		page_free(drainer_release(d[i]), 0);
	}
	assert_int_equal(defer_pipe.nready, 0);
	assert_int_equal(defer_store.bytes, 0);
}

/* Bytes are written into a function's upper bits; those of the kernel are all set. */
static void chain_tells_functions_from_bytes(void **state)
{
	uintptr_t func = 0x401000, kernel = UINT64_C(0xffffffffc0230050);
	uintptr_t word = defer_chain_func(func, DEFER_OBJECT_BYTES_MAX);

	(void)state;
	assert_int_equal(defer_chain_bytes(&word), DEFER_OBJECT_BYTES_MAX);
	assert_int_equal(word, func);
	word = defer_chain_func(kernel, 4096);
	assert_int_equal(defer_chain_bytes(&word), 0);
	assert_int_equal(word, kernel);
}

static void barrier(struct anyrcu_head *unused)
{
	anyrcu_barrier();
}

static void drain_all(void *unused)
{
	anyrcu_barrier();
}

static void defer_finds_barrier_in_callback(void **state)
{
	static struct anyrcu_head head;

	anyrcu_call(&head, barrier);
	assert_true(mock_bug(drain_all, NULL));
	defer_thread_exit(); /* as the callback has ended its thread, in a way */
	anyrcu_barrier();
}

/* ---- domains ---- */

static void source_synchronize(void *unused)
{
	assert_true(mock.cancel_off);
}

/*
 * Without a worker the caller of a barrier does its work, in which it cannot be cancelled. The
 * memory of a domain that has ended is that of the next.
 */
static void domain_works_without_worker(void **state)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_synchronize };
	struct anyrcu_domain_stats stats = { .size = sizeof(stats) };
	struct anyrcu_domain *d, *last = NULL;

	mock.cancel_off = false; /* a test may have left a callback by a report */
	for (unsigned i = 0; i < 3; i++) {
		static struct object o[700];

		assert_int_equal(domain_make(&d, &source, NULL), 0);
		assert_true(!last || d == last);
		last = d;
		memset(o, 0, sizeof(o));
		for (unsigned n = 0; n < 700; n++)
			anyrcu_domain_call(d, &o[n].head, count);
		anyrcu_domain_barrier(d);
		assert_false(mock.cancel_off);
		each_invoked_once(700, o);
		anyrcu_domain_stats_get(d, &stats);
		assert_int_equal(stats.invoked, 700);
		assert_int_equal(stats.collected, 700);
		assert_int_equal(stats.bytes, 0);
		anyrcu_domain_destroy(d, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest zone[] = {
		cmocka_unit_test(zone_splits_and_merges),
		cmocka_unit_test(zone_finds_wrong_order),
		cmocka_unit_test(zone_says_no),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_follow_demand),
		cmocka_unit_test(pages_grow_with_use),
		cmocka_unit_test(pages_trim_keeps_reserve),
		cmocka_unit_test(pages_no_locks_maps_nothing),
		cmocka_unit_test(gp_waits_for_reader),
		cmocka_unit_test(gp_tells_readers_apart),
		cmocka_unit_test(gp_under_way_is_not_enough),
		cmocka_unit_test(gp_numbers_wrap),
		cmocka_unit_test(gp_dead_reader_is_buried),
		cmocka_unit_test(gp_finds_mistakes),
		cmocka_unit_test(defer_needs_two_grace_periods),
		cmocka_unit_test(defer_loses_nothing_when_refused),
		cmocka_unit_test(defer_budget),
		cmocka_unit_test(bytes_return_to_zero),
		cmocka_unit_test(bytes_have_a_most),
		cmocka_unit_test(ready_pages_stay_in_order),
		cmocka_unit_test(chain_tells_functions_from_bytes),
		cmocka_unit_test(defer_finds_barrier_in_callback),
		cmocka_unit_test(domain_works_without_worker),
	};

	gp_init();
	/* Before these the zone is empty, and the program has used no pages itself. */
	return cmocka_run_group_tests(zone, NULL, NULL) + unit_worker() + unit_sleep() +
	       unit_duties() + cmocka_run_group_tests(tests, NULL, NULL) + unit_gp() +
	       unit_calls() + unit_pages() + unit_pipe() + unit_barrier() + unit_exchange() +
	       unit_exchange_back() + unit_domain() + unit_domain_life() + unit_domain_threads();
}
