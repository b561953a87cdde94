/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Barriers, anyrcu_reclaim(), and readers that they wait for. */
#include "unit_pipe.h"

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

static struct drainer *stuck;
static unsigned stalls;

static void thread_dies(void)
{
	assert_int_equal(stuck->owner, 7);
	if (++stalls == 100)
		mock.tid_dead = true;
}

/*
 * Another thread is in a callback, and then dead, as it ended by a raw system call: what it had
 * taken is invoked by the barrier, which looks for dead threads at every 64th wait.
 */
static void dead_drainer_is_buried(void **state)
{
	struct object o = { 0 };

	ready_with_empty_slot(KEY_MIXED, &o, 1);
	stuck = drainer_acquire(false);
	assert_non_null(stuck->page);
	stuck->owner = 7;
	stalls = 0;
	mock.on_wait = thread_dies;
	anyrcu_barrier();
	mock.on_wait = NULL;
	mock.tid_dead = false;
	assert_int_equal(stalls, 127);
	assert_int_equal(o.invoked, 1);
	assert_int_equal(stuck->owner, 0);
}

/* The same in the last slot, after the last callback of its page. */
static void dead_drainer_gives_page_back(void **state)
{
	struct object o = { 0 };
	uint64_t bytes;

	stuck = &defer_pipe.drainers[DRAINERS - 1];
	for (unsigned i = 0; i < DRAINERS - 1; i++)
		defer_pipe.drainers[i].owner = 5 + i;
	ready_with_empty_slot(KEY_MIXED, &o, 1);
	bytes = defer_store.bytes;
	assert_ptr_equal(drainer_acquire(false), stuck);
	for (unsigned i = 0; i < DRAINERS - 1; i++)
		defer_pipe.drainers[i].owner = 0;
	stuck->owner = 7;
	stuck->page->cursor = store_used(stuck->page);
	count_add(&defer_stats.invoked, 2);
	stalls = 99;
	mock.on_wait = thread_dies;
	anyrcu_barrier();
	mock.on_wait = NULL;
	mock.tid_dead = false;
	assert_int_equal(stalls, 99 + 63);
	assert_int_equal(o.invoked, 0);
	assert_int_equal(defer_store.bytes, bytes - sizeof(*stuck->page));
}

static struct anyrcu_reader *late;
static uint64_t late_ctr;

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

/* A reader that delays what the barrier waits for. */
static void late_reader_ends(void)
{
	if (++stalls == 2)
		store(&late->ctr, 0);
}

/*
 * What waits for a grace period is a chain alone, collected before the barrier begins, or by it.
 * The barrier waits for it, and for what was deferred after it was collected.
 */
static void barrier_waits_for_chain(void **state)
{
	for (unsigned collected = 0; collected < 2; collected++) {
		struct object o[2] = { 0 };

		stalls = 0;
		defer_store.bytes_max = 0;
		other_reader();
		anyrcu_call(&o[0].head, count);
		if (collected) {
			mock.now += 1000 * MS;
			defer_advance();
			assert_null(defer_pipe.waiting);
			assert_ptr_equal(defer_pipe.waiting_chain, &o[0].head);
		}
		anyrcu_call(&o[1].head, count);
		mock.on_wait = late_reader_ends;
		anyrcu_barrier();
		mock.on_wait = NULL;
		assert_int_equal(stalls, 2);
		each_invoked_once(2, o);
		other_reader_ends();
		defer_store.bytes_max = STORE_BYTES_MAX;
	}
}

static struct object objects[2];
static bool later_in_page;

static void defers_more(struct anyrcu_head *head)
{
	count(head);
	if (later_in_page)
		defer_store.bytes_max = STORE_BYTES_MAX;
	other_reader();
	anyrcu_call(&objects[1].head, count);
	mock.now += 1000 * MS;
	defer_advance();
	assert_true(defer_pipe.waits);
	assert_int_equal(defer_pipe.waiting != NULL, later_in_page);
}

static void barrier_waits_too_long(void)
{
	fail();
}

/* It does not wait for what a callback defers meanwhile, which has a later generation. */
static void barrier_leaves_later_ones(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		later_in_page = i;
		memset(objects, 0, sizeof(objects));
		defer_store.bytes_max = 0;
		anyrcu_call(&objects[0].head, defers_more);
		mock.on_wait = barrier_waits_too_long;
		anyrcu_barrier();
		mock.on_wait = NULL;
		assert_int_equal(objects[0].invoked, 1);
		assert_int_equal(objects[1].invoked, 0);
		other_reader_ends();
		defer_store.bytes_max = STORE_BYTES_MAX;
		anyrcu_barrier();
		each_invoked_once(2, objects);
	}
}

/* Another thread has taken a page of this generation. */
static struct drainer *taken_by_other(uint64_t gen, struct object *o)
{
	struct drainer *d;

	ready_with_empty_slot(KEY_MIXED, o, 1);
	defer_pipe.ready[0].first->gen = gen;
	d = drainer_acquire(false);
	assert_non_null(d);
	assert_int_equal(d->gen, gen);
	d->owner = 7;
	return d;
}

static void gives_back(struct drainer *d)
{
	lock_pipe();
	assert_null(drainer_release(d));
	unlock_pipe();
}

static void stuck_gives_back(void)
{
	assert_int_equal(stalls++, 0);
	gives_back(stuck);
}

/*
 * It waits for the thread that invokes callbacks of its own generation, not for one that has later
 * ones, nor for one whose callback is in a barrier.
 */
static void barrier_waits_for_drainer(void **state)
{
	const uint64_t gen = defer_pipe.gen + 1;
	struct object o[3] = { 0 };
	struct drainer *later = taken_by_other(gen + 1, &o[0]), *in_barrier;

	in_barrier = taken_by_other(gen, &o[1]);
	in_barrier->in_barrier = true;
	stuck = taken_by_other(gen, &o[2]);
	stalls = 0;
	mock.on_wait = stuck_gives_back;
	anyrcu_barrier();
	mock.on_wait = NULL;
	assert_int_equal(stalls, 1);
	assert_int_equal(o[0].invoked, 0);
	assert_int_equal(o[1].invoked, 0);
	assert_int_equal(o[2].invoked, 1);
	gives_back(later);
	gives_back(in_barrier);
	anyrcu_barrier();
	each_invoked_once(3, o);
}

#define WITHOUT_END 50000
static unsigned deferred_anew;

/* Each is ready before the one that deferred it returns, as if another thread collected. */
static void defers_without_end(struct anyrcu_head *head)
{
	if (++deferred_anew >= WITHOUT_END)
		return;
	anyrcu_call(head, defers_without_end);
	while (!defer_ready()) {
		mock.now += 20 * MS;
		defer_advance();
	}
}

/* A barrier that invokes callbacks itself is over when its own are invoked. */
static void barrier_ends_beside_others(void **state)
{
	struct anyrcu_head head;

	deferred_anew = 0;
	anyrcu_call(&head, defers_without_end);
	anyrcu_barrier();
	assert_true(deferred_anew < WITHOUT_END);
	deferred_anew = WITHOUT_END;
	anyrcu_barrier();
}

/* ---- anyrcu_reclaim() ---- */

static void reclaim(void *unused)
{
	anyrcu_reclaim(0);
}

static void barrier(void *unused)
{
	anyrcu_barrier();
}

static void must_not_read(void **state)
{
	anyrcu_read_lock();
	assert_true(mock_bug(reclaim, NULL));
	assert_true(mock_bug(barrier, NULL));
	anyrcu_read_unlock();
}

static const char *waited;
static bool for_readers;

static void on_wait(const char *what, bool waits, const void *ip)
{
	waited = what;
	for_readers = waits;
}

static void waits_are_told(void **state)
{
	gp_hooks.waits = on_wait;
	anyrcu_reclaim(0);
	assert_string_equal(waited, "anyrcu_reclaim()");
	assert_false(for_readers);
	anyrcu_synchronize();
	assert_string_equal(waited, "anyrcu_synchronize()");
	assert_true(for_readers);
	gp_hooks.waits = NULL;
}

static unsigned reminders;

static void on_late(uint32_t tid, uint64_t ns, void *arg)
{
	reminders++;
}

/* A step of the grace period that somebody polls for, and a reminder if it is late. */
static void reclaim_drives(void **state)
{
	anyrcu_gp_t gp;

	other_reader();
	gp_configure(&(struct anyrcu_config){
		.stall_ms = 10000, .reminder_ms = 50, .reminder_hook = on_late });
	reminders = 0;
	gp = gp_cookie();
	anyrcu_reclaim(0);
	mock.now += 50 * MS;
	assert_int_equal(reminders, 0);
	anyrcu_reclaim(0);
	assert_int_equal(reminders, 1);
	assert_int_equal(gp_stats.started, gp_stats.done + 1);
	other_reader_ends();
	anyrcu_reclaim(0);
	assert_true(anyrcu_gp_done(gp));
	gp_configure(&(struct anyrcu_config){ .stall_ms = 10000 });
}

static bool mapped_after_a_second(void)
{
	uint64_t before = mock.mapped;
	void *page[8];

	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = page_alloc(ANYRCU_GFP_KERNEL, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		page_free(page[i], 8);
	for (unsigned i = 0; i < 3; i++) {
		mock.now += 1000 * MS;
		anyrcu_reclaim(0);
	}
	return mock.mapped > before;
}

/* The reserve is filled in any case; memory is the worker's, if there is one. */
static void reclaim_looks_at_memory(void **state)
{
	pages_refill();
	pages_idle();
	pages_trim();
	page_free(page_alloc(ANYRCU_GFP_NO_LOCKS, 9), 9); /* refused so far */
	assert_true(pages_want_refill());
	anyrcu_reclaim(0);
	assert_false(pages_want_refill());
	assert_false(mapped_after_a_second());
	workers.slot[0].word = 5;
	assert_true(mapped_after_a_second());
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

int unit_barrier(void)
{
	const struct CMUnitTest tests[] = {
		TEST(barrier_helps_itself),
		TEST(dead_drainer_is_buried),
		TEST(dead_drainer_gives_page_back),
		TEST(barrier_looks_for_stalls),
		TEST(barrier_waits_for_chain),
		TEST(barrier_leaves_later_ones),
		TEST(barrier_waits_for_drainer),
		TEST(barrier_ends_beside_others),
		TEST(must_not_read),
		TEST(waits_are_told),
		TEST(reclaim_drives),
		TEST(reclaim_looks_at_memory),
		TEST(each_reader_is_watched_anew),
		TEST(crowd_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
