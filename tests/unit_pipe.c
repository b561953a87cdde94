/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Draining, forks, and the page allocator's counts. */
#include <pages/zone.h>
#include "unit_pipe.h"

/* ---- draining ---- */

static void empty_slots_are_skipped(void **state)
{
	const uintptr_t keys[] = { (uintptr_t)count_headless, KEY_MIXED, KEY_WIDE };

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		struct object o[3] = { 0 };

		ready_with_empty_slot(keys[i], o, 3);
		assert_int_equal(defer_pending(), 4);
		assert_int_equal(defer_drain(SIZE_MAX, 0), 3);
		each_invoked_once(3, o);
		assert_int_equal(defer_pending(), 0);
	}
}

static struct object objects[4];
static unsigned pauses;

static void fork_is_done(void)
{
	pauses++;
	/* it counts as paused, and nothing goes on meanwhile */
	assert_true(drainer_of(port_id())->paused);
	assert_int_equal(objects[3].invoked, 0);
	defer_fork_done();
}

static void fork_begins(void *o)
{
	count_headless(o);
	/* The own callback is no reason to wait. */
	if (o == &objects[0])
		assert_true(defer_fork_paused());
}

static void fork_begins_head(struct anyrcu_head *head)
{
	count(head);
	assert_true(defer_fork_paused());
}

static void pauses_once(void)
{
	pauses = 0;
	mock.on_wait = fork_is_done;
	assert_true(defer_drain(SIZE_MAX, 0) >= 2);
	assert_int_equal(pauses, 1);
	assert_int_equal(objects[0].invoked, 1);
	assert_int_equal(objects[3].invoked, 1);
	mock.on_wait = NULL;
}

/* A drainer pauses for a fork between two callbacks, whatever it drains. */
static void drainers_pause(void **state)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		struct store_page *p;

		memset(objects, 0, sizeof(objects));
		if (kind < 3) {
			uintptr_t key = kind == 0 ? KEY_MIXED : kind == 1 ? KEY_WIDE : 0;

			p = page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, 0);
			p->open.key = key ?: (uintptr_t)fork_begins;
			p->open.cap = STORE_WORDS - 1;
			p->open.count = 2 * store_width(p->open.key);
			for (unsigned i = 0; i < 2; i++)
				store_fill(p, i * store_width(p->open.key), p->open.key,
					   &(struct store_object){
						   .func = (uintptr_t)(i ? count_headless :
									   fork_begins),
						   .arg = (uintptr_t)&objects[3 * i] });
			count_add(&defer_store.bytes, sizeof(*p));
			count_add(&defer_stats.page, 2);
			ready_page(p);
		} else {
			objects[0].head.func = fork_begins_head;
			objects[0].head.next = &objects[3].head;
			objects[3].head.func = count;
			count_add(&defer_stats.chain, 2);
			assert_true(ready_chain(&objects[0].head, defer_pipe.gen));
		}
		pauses_once();
	}
}

/* A task that helps in a flood invokes no callbacks, so it takes no chain. */
static void helpers_take_no_chain(void **state)
{
	struct object o = { 0 };

	defer_store.bytes_max = 0;
	anyrcu_call(&o.head, count);
	defer_store.bytes_max = STORE_BYTES_MAX;
	mock.now += 1000 * MS;
	while (!defer_ready())
		defer_advance();
	assert_int_equal(defer_drain(SIZE_MAX, DEFER_ONLY_FREE), 0);
	assert_int_equal(o.invoked, 0);
	assert_int_equal(defer_drain(SIZE_MAX, 0), 1);
	assert_int_equal(o.invoked, 1);
}

/* A drainer goes to the CPU of the page that it will take next, before it takes it. */
static void drainer_follows(void **state)
{
	struct object o = { 0 };

	mock.cpu = 3;
	anyrcu_call(&o.head, count);
	mock.cpu = 0;
	mock.now += 1000 * MS;
	while (!defer_ready())
		defer_advance();
	mock.follows = 0;
	assert_int_equal(defer_drain(SIZE_MAX, DEFER_FOLLOW), 1);
	assert_int_equal(mock.follows, 1);
	assert_int_equal(mock.followed, 3);
	assert_int_equal(o.invoked, 1);
}

/* A callback whose barrier invokes callbacks, one of which ends the thread, has two pages. */
static void ended_thread_gives_all_back(void **state)
{
	struct object o[2] = { 0 };
	bool in_callback;

	for (unsigned i = 0; i < 2; i++) {
		ready_with_empty_slot(KEY_MIXED, &o[i], 1);
		assert_non_null(drainer_acquire(false));
	}
	assert_true(defer_in_callback());
	defer_thread_exit();
	in_callback = defer_in_callback();
	defer_thread_exit();
	anyrcu_barrier();
	assert_false(in_callback);
	each_invoked_once(2, o);
}

static bool fenced;

static void first_fence(void)
{
	if (!fenced)
		assert_false(defer_pipe.waits);
	fenced = true;
}

/*
 * No sequence may append to collected pages once the grace period for their objects is named: the
 * fence that stops sequences comes before.
 */
static void sequences_are_stopped_first(void **state)
{
	struct object o = { 0 };

	anyrcu_synchronize();
	anyrcu_call(&o.head, count);
	mock.now += 1000 * MS;
	fenced = false;
	mock.on_fence = first_fence;
	anyrcu_read_lock(); /* so that it waits afterwards */
	defer_advance();
	anyrcu_read_unlock();
	mock.on_fence = NULL;
	assert_true(fenced);
	assert_true(defer_pipe.waits);
	anyrcu_barrier();
	assert_int_equal(o.invoked, 1);
}

/* ---- forks ---- */

static void others_are_waited_for(void **state)
{
	struct object o = { 0 };
	struct drainer *d;
	bool running, paused, in_child;

	for (unsigned i = 0; i < DRAINERS - 1; i++) /* in the last slot */
		defer_pipe.drainers[i].owner = 5;
	ready_with_empty_slot(KEY_MIXED, &o, 1);
	d = drainer_acquire(false);
	assert_ptr_equal(d, &defer_pipe.drainers[DRAINERS - 1]);
	for (unsigned i = 0; i < DRAINERS - 1; i++)
		defer_pipe.drainers[i].owner = 0;
	d->owner = 7; /* another thread */
	running = defer_fork_paused();
	d->paused = 1;
	paused = defer_fork_paused();
	d->paused = 0;
	port_forks++; /* this is a child, which does not have that thread */
	in_child = defer_fork_paused();
	defer_fork_done();
	anyrcu_barrier(); /* takes over what that thread had taken */
	assert_false(running);
	assert_true(paused);
	assert_true(in_child);
	assert_int_equal(o.invoked, 1);
	assert_int_equal(defer_pipe.forks, port_forks);
}

/* The child of a fork counts the bytes of what is stored, in each place. */
static void child_counts_bytes(void **state)
{
	static struct object o[600];

	for (unsigned round = 0; round < 2; round++) {
		if (round == 1)
			defer_store.bytes_max = 0; /* in the chain */
		for (unsigned i = 0; i < 600; i++)
			anyrcu_call_sized(&o[i].head, count, 512);
		for (unsigned i = 0; i < 4; i++) { /* in each stage of the pipeline */
			assert_int_equal(defer_bytes_pending(), 600 * 512);
			port_forks++;
			lock_pipe();
			unlock_pipe();
			assert_int_equal(defer_bytes_pending(), 600 * 512);
			mock.now += 20 * MS;
			defer_advance();
		}
		anyrcu_barrier();
		assert_int_equal(defer_bytes_pending(), 0);
		defer_store.bytes_max = STORE_BYTES_MAX;
	}
}

static void pause_is_over(void)
{
	assert_int_equal(load(&defer_pipe.pause), 0);
	pauses++;
}

static void end_of_fork_wakes(void **state)
{
	defer_fork_paused();
	pauses = 0;
	mock.on_wake = pause_is_over;
	defer_fork_done();
	assert_int_equal(pauses, 1);
}

/* ---- places ---- */

/* What is behind the last place that is used is none. */
static void last_place_is_last(void **state)
{
	static struct store_place place[2];
	struct store_page page = { .open = { .key = KEY_FREE, .count = 3, .cap = 500 } };
	struct store s = { .place = place, .nkinds = 1, .nplaces = 1 };
	struct store_page *list = NULL;

	place[1].open[0] = &page;
	assert_false(store_any(&s));
	assert_int_equal(store_open_objects(&s), 0);
	store_collect(&s, true, &list);
	assert_null(list);
	store_place_used(&s, 1);
	assert_true(store_any(&s));
	assert_int_equal(store_open_objects(&s), 3);
	store_collect(&s, true, &list);
	assert_ptr_equal(list, &page);
}

/* ---- pages ---- */

static void free_order(void *page)
{
	page_free(page, ANYRCU_PAGE_ORDER_MAX + 1);
}

static void free_inside(void *page)
{
	page_free((char *)page + 512, 0);
}

static void pages_are_counted(void **state)
{
	struct pages_stats before;
	void *p, *q, *page[64];
	unsigned n;

	pages_refill();
	mock.cpu = 2;
	pages_trim(); /* the lists are empty */
	before = pages_stats;
	p = page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	assert_int_equal(pages_stats.reserve, before.reserve + 1);
	page_free(p, 0);
	mock.cpu = 3; /* has a list of its own */
	q = page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	assert_ptr_not_equal(q, p);
	assert_int_equal(pages_stats.reserve, before.reserve + 2);
	assert_int_equal(pages_stats.percpu, before.percpu);
	mock.cpu = 2;
	assert_ptr_equal(page_alloc(ANYRCU_GFP_NO_LOCKS, 0), p);
	assert_int_equal(pages_stats.percpu, before.percpu + 1);
	page_free(p, 0);
	page_free(q, 0);
	assert_null(page_alloc(ANYRCU_GFP_NO_LOCKS, ANYRCU_PAGE_ORDER_MAX + 1)); /* no order */
	for (n = 0; n < 64 && (page[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, 8)); n++)
		;
	assert_int_equal(pages_stats.failed_no_locks, before.failed_no_locks + 1);
	p = page_alloc(ANYRCU_GFP_KERNEL, 8);
	assert_int_equal(pages_stats.zone, before.zone + 1);
	page_free(p, 8);
	while (n)
		page_free(page[--n], 8);
	mock.cpu = 0;
}

static void is_not_home_yet(void)
{
	mock.on_lock = NULL;
	assert_true(zone_has_returned());
	pauses++;
}

/* What was returned comes home under the lock. */
static void pages_come_home_under_lock(void **state)
{
	void *p = zone_alloc(0, true), *q;

	pauses = 0;
	zone_return(p, 0);
	mock.on_lock = is_not_home_yet;
	q = zone_alloc(0, false);
	assert_int_equal(pauses, 1);
	assert_false(zone_has_returned());
	zone_put(q, 0);
}

static unsigned watched_gfp;
static const void *watched_ip;

static void watch(unsigned gfp, const void *ip)
{
	watched_gfp = gfp;
	watched_ip = ip;
}

/* The validator is told of what the program allocates itself. */
static void allocations_are_watched(void **state)
{
	pages_watch = watch;
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_NOWAIT | ANYRCU_GFP_ZERO, 0), 0);
	pages_watch = NULL;
	assert_int_equal(watched_gfp, ANYRCU_GFP_NOWAIT);
	assert_non_null(watched_ip);
}

static unsigned reserve_has(void)
{
	static void *page[8192];
	unsigned n = 0, i;

	while (n < ARRAY_SIZE(page) && (page[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		n++;
	for (i = n; i > 0; i--)
		page_free(page[i - 1], 0);
	return n;
}

/* What was taken before memory went back does not make the reserve larger afterwards. */
static void demand_ends_with_trim(void **state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 3; i++) {
		pages_trim();
		pages_refill();
		if (i == 1)
			n = reserve_has();
		else
			assert_true(reserve_has() == n || i == 0);
	}
	assert_true(n > 0);
	pages_trim();
}

static void wrong_frees_are_found(void **state)
{
	void *p = page_alloc(ANYRCU_GFP_KERNEL, 0);

	assert_true(mock_bug(free_order, (void *)((uintptr_t)p & ~((UINT64_C(1) << 24) - 1))));
	assert_true(mock_bug(free_inside, p));
	page_free(p, 0);
}

int unit_pipe(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_slots_are_skipped),	   TEST(drainers_pause),
		TEST(helpers_take_no_chain),	   TEST(drainer_follows),
		TEST(ended_thread_gives_all_back), TEST(sequences_are_stopped_first),
		TEST(others_are_waited_for),	   TEST(child_counts_bytes),
		TEST(end_of_fork_wakes),	   TEST(last_place_is_last),
		TEST(pages_are_counted),	   TEST(pages_come_home_under_lock),
		TEST(allocations_are_watched),	   TEST(demand_ends_with_trim),
		TEST(wrong_frees_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
