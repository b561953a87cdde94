/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Draining, forks, barriers, readers that end, and the page allocator's counts. */
#include <defer/pipe.h>
#include <defer/worker.h>
#include <pages/pages.h>
#include "unit.h"

static int begin(void **state)
{
	mock.on_wait = mock.on_wake = NULL;
	anyrcu_barrier();
	return 0;
}

static int end(void **state)
{
	mock.on_wait = mock.on_wake = NULL;
	store(&defer_pipe.pause, 0);
	memset(workers.slot, 0, sizeof(workers.slot));
	anyrcu_barrier();
	assert_int_equal(defer_pending(), 0);
	assert_int_equal(defer_bytes_pending(), 0);
	return 0;
}

/* ---- draining ---- */

/* A page of so many slots that were appended to by atomics, the last of them not filled. */
static void ready_with_empty_slot(uintptr_t key, struct object *o, unsigned n)
{
	struct store_page *p = page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, 0);
	unsigned width = store_width(key);

	p->open.key = key;
	p->open.cap = STORE_WORDS - 1;
	p->open.count = (n + 1) * width;
	p->shared = p->settled = true;
	for (unsigned i = 0; i < n; i++)
		store_fill(p, i * width, key,
			   &(struct store_object){ .func = (uintptr_t)count_headless,
						   .arg = (uintptr_t)&o[i] });
	count_add(&defer_store.bytes, sizeof(*p));
	count_add(&defer_stats.page, n + 1); /* the slot was counted */
	ready_page(p);
}

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

/* ---- forks ---- */

static void others_are_waited_for(void **state)
{
	struct object o = { 0 };
	struct drainer *d;

	ready_with_empty_slot(KEY_MIXED, &o, 1);
	d = drainer_acquire(false);
	d->owner = 7; /* another thread */
	assert_false(defer_fork_paused());
	d->paused = 1;
	assert_true(defer_fork_paused());
	d->paused = 0;
	port_forks++; /* this is a child, which does not have that thread */
	assert_true(defer_fork_paused());
	defer_fork_done();
	anyrcu_barrier(); /* takes over what that thread had taken */
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

/* ---- barriers ---- */

/* All workers are blocked in callbacks: the barrier's caller invokes what is left. */
static void barrier_helps_itself(void **state)
{
	struct object o = { 0 };

	workers.slot[0].word = 5;
	workers.state[0] = BUSY;
	anyrcu_call(&o.head, count);
	mock.waits = 0;
	anyrcu_barrier();
	assert_int_equal(o.invoked, 1);
	assert_int_equal(mock.waits, 50);
	workers.state[0] = GONE;
}

static struct anyrcu_reader *late;
static uint64_t late_ctr;
static unsigned stalls;

static void on_stall(const struct anyrcu_stall *s, void *arg)
{
	stalls++;
	store(&late->ctr, 0); /* its section ends */
}

static void time_passes(void)
{
	mock.now += 100 * MS;
}

/* The calling thread's record is another reader's from here on, which is in a section. */
static void other_reader(void)
{
	gp_thread_exit(); /* so that it has the first record again */
	anyrcu_read_lock();
	late = anyrcu_self;
	late_ctr = late->ctr;
	anyrcu_read_unlock();
	gp_thread_exit();
	assert_ptr_not_equal(anyrcu_self, late);
	assert_int_equal(late->owner & 0xffff, 0);
	late->owner += 99; /* that thread's number */
	store(&late->ctr, late_ctr);
}

static void other_reader_ends(void)
{
	store(&late->ctr, 0);
	late->owner -= 99;
}

static void barrier_looks_for_stalls(void **state)
{
	struct object o = { 0 };

	other_reader();
	gp_configure(&(struct anyrcu_config){ .stall_ms = 1000, .stall_hook = on_stall });
	anyrcu_call(&o.head, count);
	mock.on_wait = time_passes;
	stalls = 0;
	anyrcu_barrier();
	assert_int_equal(stalls, 1);
	assert_int_equal(o.invoked, 1);
	other_reader_ends();
	gp_configure(&(struct anyrcu_config){ .stall_ms = 10000 });
}

/* ---- readers ---- */

static void watched(unsigned steps)
{
	while (steps--) {
		mock.now += 100 * MS;
		gp_step();
		gp_stall_check();
	}
}

/* A second reader in the same grace period is no stall before it has been watched as long. */
static void each_reader_is_watched_anew(void **state)
{
	gp_configure(&(struct anyrcu_config){ .stall_ms = 1600, .stall_hook = on_stall });
	stalls = 0;
	other_reader();
	anyrcu_read_lock(); /* in a record behind that one */
	assert_true(late < anyrcu_self);
	gp_cookie();
	watched(15);
	assert_int_equal(stalls, 0);
	store(&late->ctr, 0);
	watched(16);
	assert_int_equal(stalls, 0);
	watched(1);
	assert_int_equal(stalls, 1);
	anyrcu_read_unlock();
	other_reader_ends();
	gp_step();
	gp_configure(&(struct anyrcu_config){ .stall_ms = 10000 });
}

/* A handler in a child of vfork() reads in the crowd. */
static void crowd_reads(void **state)
{
	anyrcu_gp_t gp;

	gp_thread_exit();
	mock.foreign = true;
	assert_false(anyrcu_read_lock_held());
	anyrcu_read_lock();
	assert_true(anyrcu_read_lock_held());
	assert_true(gp_in_section());
	gp = gp_cookie();
	gp_step();
	assert_false(anyrcu_gp_done(gp));
	anyrcu_read_unlock();
	assert_false(anyrcu_read_lock_held());
	gp_step();
	assert_true(anyrcu_gp_done(gp));
	mock.foreign = false;
	anyrcu_read_lock();
	anyrcu_read_unlock();
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

static void wrong_frees_are_found(void **state)
{
	void *p = page_alloc(ANYRCU_GFP_KERNEL, 0);

	assert_true(mock_bug(free_order, (void *)((uintptr_t)p & ~((UINT64_C(1) << 24) - 1))));
	assert_true(mock_bug(free_inside, p));
	page_free(p, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_pipe(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_slots_are_skipped),
		TEST(drainers_pause),
		TEST(others_are_waited_for),
		TEST(child_counts_bytes),
		TEST(end_of_fork_wakes),
		TEST(barrier_helps_itself),
		TEST(barrier_looks_for_stalls),
		TEST(each_reader_is_watched_anew),
		TEST(crowd_reads),
		TEST(pages_are_counted),
		TEST(wrong_frees_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
