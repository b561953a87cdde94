/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * <anyrcu/defer.h> and <anyrcu/stats.h>: deferred call and free in every form, barrier, reclaim,
 * bounds.
 */
#include "test.h"
#include <malloc.h>

struct freed {
	char before[24];
	struct anyrcu_head head;
	char after[1 << 20];
};

struct freed_far {
	char before[4096 - 8];
	struct anyrcu_head head;
	char after[1 << 20];
};

/* Blocks of this size malloc() maps one by one, so that to be freed is to be gone. */
static void *block(size_t size)
{
	void *p = malloc(size);

	CHECK(p);
	memset(p, 0xa5, size);
	return p;
}

static bool is_gone(void *p)
{
	unsigned char vec;

	return ASAN || TSAN ||
	       (mincore((void *)(((uintptr_t)p + 8192) & ~4095UL), 4096, &vec) && errno == ENOMEM);
}

static void frees(void)
{
	struct freed *a = block(sizeof(*a));
	struct freed_far *b = block(sizeof(*b));
	void *all[] = { a, b, block(1 << 20), block(1 << 20), block(1 << 20), block(1 << 20) };
	struct anyrcu_stats before = stats(), after;

#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 1 << 16);
#endif
	anyrcu_free(a, head);
	anyrcu_free(b, head);
	CHECK(anyrcu_free_headless(all[2]));
	anyrcu_free_mightsleep(all[3]);
	anyrcu_call_mightsleep(free, all[4]);
	CHECK(anyrcu_call_headless(free, all[5]));
	anyrcu_barrier();
	for (size_t i = 0; i < COUNT(all); i++)
		CHECK(is_gone(all[i]));
	after = stats();
	CHECK(after.deferred - before.deferred == COUNT(all));
	CHECK(after.invoked - before.invoked == COUNT(all));
}

/* From the first byte of the object to the last that is allowed. */
static void free_at_every_offset(void)
{
	for (int round = 0; round < 3; round++) {
		for (size_t offset = 0; offset < 4096; offset += 8) {
			char *p = malloc(offset + sizeof(struct anyrcu_head));

			CHECK(p);
			anyrcu_free_head((struct anyrcu_head *)(p + offset), offset);
		}
	}
	anyrcu_barrier();
	CHECK(stats().invoked == 3 * 512);
}

/* While there is room in the page of its CPU, a thread opens no other. */
static void one_page_for_one_function(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	for (int i = 0; i < 100; i++)
		CHECK(anyrcu_free_headless(malloc(8)));
	CHECK(stats().defer_bytes == 4096);
	anyrcu_barrier();
}

static void null_is_nothing(void)
{
	struct anyrcu_stats before = stats();
	struct freed *nothing = NULL;

	anyrcu_free(nothing, head);
	(void)!anyrcu_free_headless(NULL);
	anyrcu_free_mightsleep(NULL);
	anyrcu_barrier();
	CHECK(stats().deferred == before.deferred && stats().invoked == before.invoked);
	CHECK(stats().refused == before.refused);
}

static void free_evaluates_once(void)
{
	struct freed *all[2] = { block(sizeof(struct freed)), block(sizeof(struct freed)) };
	int i = 0;

	anyrcu_free(all[i++], head);
	CHECK(i == 1);
	if (i == 1)
		anyrcu_free(all[i++], head);
	else
		CHECK(false);
	anyrcu_barrier();
	CHECK(i == 2);
}

/* What a thread defers while a reader is inside is not invoked before that reader has left. */
static void not_early(void)
{
	struct anyrcu_config c = { .delay_us = 1 };
	struct freed *f = block(sizeof(*f));
	void *p = block(1 << 20);
	struct holder h;

	CHECK(!configure(c));
	holder_enter(&h);
	for (int i = 0; i < 3000; i++)
		object_defer(i);
	object_defer_mightsleep();
	anyrcu_free(f, head);
	CHECK(anyrcu_free_headless(p));
	test_sleep_ms(100);
	for (int i = 0; i < 3001; i++)
		CHECK(!pool[i].invoked);
	CHECK(((char *)p)[9999] == (char)0xa5 && f->after[9999] == (char)0xa5);
	holder_leave(&h);
	pool_check();
	CHECK(is_gone(p) && is_gone(f));
}

#define FUNCTIONS 7
static _Atomic long by_function[FUNCTIONS];
#define FUNCTION(n)                                        \
	static void function_##n(struct anyrcu_head *head) \
	{                                                  \
		atomic_fetch_add(&by_function[n], 1);      \
		object_called(head);                       \
	}
/* clang-format off */
FUNCTION(0) FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6)
static void (*const functions[FUNCTIONS])(struct anyrcu_head *) = {
	function_0, function_1, function_2, function_3, function_4, function_5, function_6
};
/* clang-format on */

static void one_function(void)
{
	for (int i = 0; i < 100000; i++)
		anyrcu_call(&object_get()->head, object_called);
	pool_check();
}

static void mixed_functions(void)
{
	long expected[FUNCTIONS] = { 0 };

	for (int i = 0; i < 100000; i++) {
		unsigned f = i * 2654435761u >> 20;

		f %= i % 3000 < 1500 ? FUNCTIONS : 1;
		anyrcu_call(&object_get()->head, functions[f]);
		expected[f]++;
	}
	pool_check();
	for (int f = 0; f < FUNCTIONS; f++)
		CHECK(by_function[f] == expected[f]);
}

static _Atomic int left;

static void defers_itself_again(struct anyrcu_head *head)
{
	if (atomic_fetch_sub(&left, 1) > 1)
		anyrcu_call(head, defers_itself_again);
}

static void callback_defers_again(void)
{
	struct anyrcu_config c = { .delay_us = 1 };
	static struct anyrcu_head head[10];

	CHECK(!configure(c));
	atomic_store(&left, 500);
	for (size_t i = 0; i < COUNT(head); i++)
		anyrcu_call(&head[i], defers_itself_again);
	UNTIL(atomic_load(&left) <= 0);
	anyrcu_barrier();
}

static _Atomic bool stop;

static void defers_for_ever(struct anyrcu_head *head)
{
	if (!atomic_load(&stop))
		anyrcu_call(head, defers_for_ever);
}

/* A barrier covers what was deferred before it, not what callbacks defer meanwhile. */
static void barrier_beside_endless_deferral(void)
{
	static struct anyrcu_head head[3];

	for (size_t i = 0; i < COUNT(head); i++)
		anyrcu_call(&head[i], defers_for_ever);
	for (int i = 0; i < 20; i++) {
		object_defer(i);
		pool_check();
	}
	atomic_store(&stop, true);
	anyrcu_barrier();
	anyrcu_barrier();
	CHECK(stats().pending == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long under_mutex;

static void does_what_it_may(void *arg)
{
	struct anyrcu_config c = { .size = sizeof(c) };
	void *page;

	CHECK(!anyrcu_read_lock_held());
	anyrcu_read_lock();
	CHECK(anyrcu_read_lock_held());
	object_defer(0);
	anyrcu_read_unlock();
	pthread_mutex_lock(&mutex);
	under_mutex++;
	pthread_mutex_unlock(&mutex);
	anyrcu_synchronize();
	anyrcu_gp_wait(anyrcu_gp_start());
	object_defer_mightsleep();
	anyrcu_free_mightsleep(malloc(10));
	for (unsigned gfp = ANYRCU_GFP_KERNEL; gfp <= ANYRCU_GFP_NO_LOCKS; gfp++) {
		page = anyrcu_page_alloc(gfp, 0);
		CHECK(page || gfp);
		anyrcu_page_free(page, 0);
	}
	CHECK(anyrcu_init(&c) == -EINVAL);
	object_invoked(arg);
}

static void callback_may(void)
{
	for (int i = 0; i < 20; i++)
		anyrcu_call_mightsleep(does_what_it_may, object_get());
	anyrcu_barrier();
	pool_check();
	CHECK(under_mutex == 20);
}

static _Atomic int ready;

static void *defers_then_waits(void *arg)
{
	for (int i = 0; i < SCALED(2000); i++)
		object_defer(i);
	atomic_fetch_add(&ready, 1);
	UNTIL(atomic_load(&stop));
	return NULL;
}

static void barrier_covers_all_threads(void)
{
	pthread_t t[8];

	for (int round = 0; round < 5; round++) {
		atomic_store(&ready, 0);
		atomic_store(&stop, false);
		for (size_t i = 0; i < COUNT(t); i++)
			t[i] = thread_start(defers_then_waits, NULL);
		UNTIL(atomic_load(&ready) == (int)COUNT(t));
		pool_check();
		atomic_store(&stop, true);
		for (size_t i = 0; i < COUNT(t); i++)
			thread_join(t[i]);
	}
	CHECK(atomic_load(&pool_used) == 5 * COUNT(t) * SCALED(2000));
}

static void *barriers(void *arg)
{
	for (int i = 0; i < SCALED(100); i++) {
		struct object *o = object_get();

		anyrcu_call(&o->head, object_called);
		anyrcu_barrier();
		CHECK(atomic_load(&o->invoked) == 1);
	}
	return NULL;
}

static void barriers_at_once(void)
{
	pthread_t t[4];

	anyrcu_barrier();
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(barriers, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
}

static void barrier_when_online(void)
{
	anyrcu_thread_online();
	barriers(NULL);
	object_defer_mightsleep();
	CHECK(anyrcu_read_lock_held());
	pool_check();
	anyrcu_thread_offline();
}

static void waits_for_itself(void *arg)
{
	anyrcu_barrier();
}

static void reclaims_in_itself(void *arg)
{
	anyrcu_reclaim(1);
}

static void barrier_in_callback(void)
{
	anyrcu_call_mightsleep(waits_for_itself, NULL);
	anyrcu_barrier();
}

static void reclaim_in_callback(void)
{
	anyrcu_call_mightsleep(reclaims_in_itself, NULL);
	anyrcu_barrier();
}

static void barrier_in_section(void)
{
	anyrcu_read_lock();
	anyrcu_barrier();
}

static void reclaim_in_section(void)
{
	anyrcu_read_lock();
	anyrcu_reclaim(1);
}

static void call_mightsleep_in_section(void)
{
	anyrcu_read_lock();
	object_defer_mightsleep();
}

static void free_mightsleep_in_section(void)
{
	void *p = malloc(10);

	anyrcu_read_lock();
	anyrcu_free_mightsleep(p);
}

/* An object of a cache does not sleep, but the mistake is the same. */
static void free_mightsleep_of_cache_in_section(void)
{
	void *p = anyrcu_alloc(10, ANYRCU_GFP_KERNEL);

	anyrcu_read_lock();
	anyrcu_free_mightsleep(p);
}

static void call_of_null(void)
{
	anyrcu_call(&object_get()->head, NULL);
	anyrcu_barrier();
}

static void call_headless_of_null(void)
{
	/* while pages are open of one function, and of several */
	CHECK(anyrcu_free_headless(malloc(8)));
	CHECK(anyrcu_call_headless(free, malloc(8)));
	if (anyrcu_call_headless(NULL, object_get()))
		anyrcu_barrier();
}

static void call_mightsleep_of_null(void)
{
	anyrcu_call_mightsleep(NULL, object_get());
	anyrcu_barrier();
}

static size_t invoked_in_pool(void)
{
	size_t n = 0;

	for (size_t i = 0; i < atomic_load(&pool_used); i++)
		n += atomic_load(&pool[i].invoked);
	return n;
}

static void reclaim_keeps_to_its_budget(void)
{
	static const size_t budgets[] = { 1, 2, 7, 100, 503, 504, 1000 };
	size_t done = 0;

	for (int i = 0; i < 5000; i++)
		object_defer(i < 2500 ? 0 : i);
	for (int i = 0; i < 100; i++)
		CHECK(anyrcu_reclaim(0) == 0);
	CHECK(invoked_in_pool() == 0);
	for (int i = 0; done < 5000; i++) {
		size_t budget = budgets[i % COUNT(budgets)], n = anyrcu_reclaim(budget);

		CHECK(n <= budget);
		done += n;
		CHECK(invoked_in_pool() == done);
	}
	CHECK(anyrcu_reclaim(SIZE_MAX) == 0);
	pool_check();
}

static void reclaim_does_not_wait_for_readers(void)
{
	struct holder h;

	holder_enter(&h);
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	for (int i = 0; i < 100; i++)
		CHECK(anyrcu_reclaim(SIZE_MAX) == 0);
	holder_leave(&h);
	UNTIL(anyrcu_reclaim(SIZE_MAX));
	pool_check();
}

static void reclaim_when_online(void)
{
	size_t done = 0;

	anyrcu_thread_online();
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	for (int i = 0; i < 100; i++)
		CHECK(anyrcu_reclaim(SIZE_MAX) == 0);
	while (done < 1000) {
		anyrcu_quiescent_state();
		done += anyrcu_reclaim(SIZE_MAX);
	}
	anyrcu_thread_offline();
	pool_check();
}

static void reclaim_beside_workers(void)
{
	for (int i = 0; i < 50000; i++) {
		object_defer(i);
		if (i % 100 == 0)
			anyrcu_reclaim(50);
	}
	pool_check();
}

static pthread_t caller;
static _Atomic long in_caller, elsewhere;

static void notes_thread(void *arg)
{
	atomic_fetch_add(pthread_equal(pthread_self(), caller) ? &in_caller : &elsewhere, 1);
}

static void barrier_without_worker(void)
{
	size_t before = tasks_count();

	caller = pthread_self();
	for (int i = 0; i < 1000; i++)
		anyrcu_call_mightsleep(notes_thread, NULL);
	test_sleep_ms(50);
	CHECK(!atomic_load(&in_caller));
	anyrcu_barrier();
	CHECK(atomic_load(&in_caller) == 1000 && !atomic_load(&elsewhere));
	CHECK(tasks_count() == before);
}

/* Neither a barrier nor anything else comes to help. */
static void delay_is_bounded(void)
{
	struct freed *f = block(sizeof(*f));
	struct object *o;

	for (int i = 0; i < 6; i++) {
		o = object_get();
		if (i % 3 == 0)
			anyrcu_call(&o->head, object_called);
		else if (i % 3 == 1)
			CHECK(anyrcu_call_headless(object_invoked, o));
		else
			anyrcu_call_mightsleep(object_invoked, o);
		UNTIL(atomic_load(&o->invoked));
	}
	anyrcu_free(f, head);
	UNTIL(stats().pending == 0);
	CHECK(is_gone(f));
	pool_check();
}

static void check_sums(void)
{
	struct anyrcu_stats s;

	anyrcu_barrier();
	s = stats();
	CHECK(s.deferred == s.deferred_page + s.deferred_chain + s.deferred_inline);
	CHECK(s.invoked == s.deferred);
	CHECK(s.pending == 0);
	CHECK(s.refused_bound <= s.refused);
	CHECK(s.gp_done <= s.gp_started && s.gp_done >= 1);
	CHECK(s.gp_ns_max && s.gp_ns_max <= s.gp_ns_total);
	CHECK(s.defer_bytes <= s.defer_bytes_high);
	CHECK(s.batches >= 1);
	CHECK(!s.deferred_page || s.drained_pages);
	CHECK(!s.deferred_chain || s.drained_chains);
	pool_check();
}

static void past_page_bytes(void)
{
	struct anyrcu_config c = { .workers = -1, .page_bytes_max = 65536 };
	struct object *o = object_get();
	struct anyrcu_stats s;

	CHECK(!configure(c));
	anyrcu_call(&o->head, object_called);
	for (int i = 0; !stats().deferred_chain; i++) {
		CHECK(i < 65536 / 8);
		o = object_get();
		anyrcu_call(&o->head, i % 2 ? object_called : object_called_too);
	}
	CHECK(stats().defer_bytes <= 65536 && stats().defer_bytes_high <= 65536);
	s = stats();
	o = object_get();
	CHECK(!anyrcu_call_headless(object_invoked, o));
	CHECK(!anyrcu_free_headless(o));
	CHECK(stats().refused == s.refused + 2 && stats().refused_bound == s.refused_bound);
	CHECK(stats().deferred == s.deferred && stats().pending == s.pending);
	CHECK(!atomic_load(&o->invoked));
	anyrcu_call(&o->head, object_called);
	CHECK(stats().deferred == s.deferred + 1);
	for (int i = 0; i < 20000; i++)
		anyrcu_call(&object_get()->head, i % 5 ? object_called : object_called_too);
	object_defer_mightsleep();
	anyrcu_free_mightsleep(malloc(10));
	CHECK(stats().defer_bytes_high <= 65536);
	check_sums();
	CHECK(stats().drained_chains >= 1);
}

/*
 * As few pages as can be configured are enough for a loop that reclaims, however long the delay is:
 * a quarter of them is collected at once.
 */
static void few_pages_reclaimed(void)
{
	struct anyrcu_config c = { .workers = -1, .page_bytes_max = 65536, .delay_us = 10000000 };

	CHECK(!configure(c));
	for (int i = 0; i < 100000; i++) {
		anyrcu_call(&object_get()->head, object_called);
		if (i % 100 == 99)
			anyrcu_reclaim(SIZE_MAX);
	}
	CHECK(stats().deferred_chain == 0);
	pool_check();
}

/* The worker is woken for them. If it were not, the case would take 120 seconds. */
static void few_pages_wake(void)
{
	struct anyrcu_config c = { .page_bytes_max = 65536, .delay_us = 10000000 };

	CHECK(!configure(c));
	for (int round = 0; round < 12; round++) {
		uint64_t before = stats().invoked;

		for (int i = 0; i < 6 * 512; i++)
			anyrcu_call(&object_get()->head, object_called);
		UNTIL(stats().invoked != before);
	}
	pool_check();
}

/* Where no page can be had, it waits for a grace period and invokes by itself. */
static void mightsleep_inline(void)
{
	struct anyrcu_config c = { .workers = -1, .page_bytes_max = 65536 };
	struct object *o;

	CHECK(!configure(c));
	while (!stats().deferred_chain)
		anyrcu_call(&object_get()->head, object_called);
	for (int i = 0; i < 100 && !stats().deferred_inline; i++) {
		o = object_get();
		anyrcu_call_mightsleep(object_invoked, o);
		if (stats().deferred_inline)
			CHECK(atomic_load(&o->invoked) == 1);
	}
	CHECK(stats().deferred_inline);
	check_sums();
}

static void past_pending_max(void)
{
	struct anyrcu_config c = { .workers = -1, .pending_max = 1024 };
	struct object *o;
	struct anyrcu_stats s;
	void *page[64];
	int n = 0;

	CHECK(!configure(c));
	/* So that none is refused for want of a page. */
	for (size_t i = 0; i < COUNT(page); i++)
		page[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);
	for (size_t i = 0; i < COUNT(page); i++)
		anyrcu_page_free(page[i], 0);
	do {
		o = object_get();
		s = stats();
	} while (anyrcu_call_headless(object_invoked, o) && ++n < 100000);
	CHECK(s.pending >= 4 * 1024);
	/* Each CPU may have a page that is not full and so not seen yet. */
	CHECK(s.pending <= 4 * 1024 + 512 * (uint64_t)sysconf(_SC_NPROCESSORS_CONF));
	s = stats();
	CHECK(s.refused == 1 && s.refused_bound == 1);
	CHECK(s.deferred == (uint64_t)n);
	CHECK(!atomic_load(&o->invoked));
	anyrcu_call(&o->head, object_called);
	CHECK(stats().deferred == s.deferred + 1);
	CHECK(!anyrcu_free_headless(o));
	check_sums();
	CHECK(anyrcu_call_headless(object_invoked, object_get()));
	check_sums();
}

static void flood_is_met(void)
{
	struct anyrcu_config c = { .pending_max = 1024 };

	CHECK(!configure(c));
	for (int i = 0; i < SCALED(200000); i++) {
		struct freed_far *f;

		if (i % 4)
			anyrcu_free_mightsleep(malloc(16));
		else if (i % 64)
			anyrcu_call(&object_get()->head, object_called);
		else if ((f = malloc(sizeof(*f) - (1 << 20))))
			anyrcu_free(f, head);
	}
	CHECK(stats().floods >= 1);
	check_sums();
	CHECK(stats().pending_high >= 1024);
}

/* Objects to be freed that are ready, and nobody else to free them. */
static void mightsleep_lends_a_hand(void)
{
	struct anyrcu_config c = { .workers = -1, .pending_max = 1024 };
	uint64_t highest = 0;

	CHECK(!configure(c));
	for (int i = 0; i < SCALED(100000); i++) {
		if (i % 2)
			anyrcu_free_mightsleep(malloc(16));
		else
			anyrcu_free_mightsleep_sized(malloc(16), 16);
		if (stats().pending > highest)
			highest = stats().pending;
	}
	CHECK(stats().helped > 0);
	CHECK(highest < 100000 / 4);
	check_sums();
}

static atomic_uint invoked_by_helper;

static void must_wait(void *arg)
{
	atomic_fetch_add(&invoked_by_helper, 1);
}

/* Callbacks may take locks that the caller holds, so it frees what comes before them only. */
static void mightsleep_invokes_nothing(void)
{
	struct anyrcu_config c = { .workers = -1, .pending_max = 1024 };

	CHECK(!configure(c));
	for (int i = 0; i < SCALED(100000); i++) {
		if (i % 4096 == 4095)
			anyrcu_call_mightsleep_sized(must_wait, &c, 1);
		else
			anyrcu_free_mightsleep_sized(malloc(16), 16);
	}
	CHECK(stats().helped > 0 && atomic_load(&invoked_by_helper) == 0);
	anyrcu_barrier();
	CHECK(atomic_load(&invoked_by_helper) == SCALED(100000) / 4096);
	check_sums();
}

static void *defers_all_forms(void *arg)
{
	for (int i = 0; i < SCALED(20000); i++) {
		if (i % 16 == 0)
			object_defer_mightsleep();
		else if (i % 16 == 1)
			anyrcu_free_mightsleep(malloc(64));
		else
			object_defer(i);
		if (i % 1000 == 0)
			anyrcu_synchronize();
	}
	return NULL;
}

static void sums_hold(void)
{
	pthread_t t[4];

	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(defers_all_forms, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	check_sums();
}

static void stats_keep_to_their_size(void)
{
	struct {
		struct anyrcu_stats s;
		unsigned char beyond[64];
	} room;

	object_defer(0);
	pool_check();
	for (size_t size = sizeof(size_t); size <= sizeof(room); size += 8) {
		memset(&room, 0x5a, sizeof(room));
		room.s.size = size;
		anyrcu_stats_get(&room.s);
		for (size_t i = size; i < sizeof(room); i++)
			CHECK(((unsigned char *)&room)[i] == 0x5a);
		if (size >= offsetof(struct anyrcu_stats, deferred) + 8)
			CHECK(room.s.deferred == 1);
		if (size >= sizeof(room.s))
			CHECK(room.s.readers < 100);
	}
}

static const struct test_case cases[] = {
	CASE(frees),
	CASE(free_at_every_offset),
	CASE(one_page_for_one_function, .env = { "ANYRCU_WORKERS=0" }),
	CASE(null_is_nothing),
	CASE(free_evaluates_once),
	CASE(not_early),
	CASE(one_function),
	CASE(mixed_functions),
	CASE(callback_defers_again),
	CASE(barrier_beside_endless_deferral),
	CASE(callback_may),
	CASE(barrier_covers_all_threads),
	CASE(barriers_at_once),
	CASE(barrier_when_online),
	CASE(barrier_in_callback, .sig = SIGABRT, .says = { "anyrcu_barrier" }),
	CASE(reclaim_in_callback, .sig = SIGABRT, .says = { "anyrcu_reclaim" }),
	CASE(barrier_in_section, .sig = SIGABRT, .says = { "anyrcu_barrier" }),
	CASE(reclaim_in_section, .sig = SIGABRT, .says = { "anyrcu_reclaim" }),
	CASE(call_mightsleep_in_section, .sig = SIGABRT, .says = { "anyrcu_call_mightsleep" }),
	CASE(free_mightsleep_in_section, .sig = SIGABRT, .says = { "anyrcu_free_mightsleep" }),
	CASE(free_mightsleep_of_cache_in_section, .sig = SIGABRT,
	     .says = { "anyrcu_free_mightsleep" }),
	CASE(call_of_null, .sig = SIGABRT, .says = { "anyrcu", "NULL" }),
	CASE(call_headless_of_null, .sig = SIGABRT, .says = { "anyrcu", "NULL" }),
	CASE(call_mightsleep_of_null, .sig = SIGABRT, .says = { "anyrcu", "NULL" }),
	CASE(reclaim_keeps_to_its_budget, .env = { "ANYRCU_WORKERS=0" }),
	CASE(reclaim_does_not_wait_for_readers, .env = { "ANYRCU_WORKERS=-1" }),
	CASE(reclaim_when_online, .env = { "ANYRCU_WORKERS=0" }),
	CASE(reclaim_beside_workers),
	CASE(barrier_without_worker, .env = { "ANYRCU_WORKERS=0" }),
	CASE(delay_is_bounded),
	CASE(past_page_bytes),
	CASE(few_pages_reclaimed),
	CASE(few_pages_wake, .seconds = 3),
	CASE(mightsleep_inline),
	CASE(past_pending_max),
	CASE(flood_is_met),
	CASE(mightsleep_lends_a_hand),
	CASE(mightsleep_lends_a_hand, .env = { "ANYRCU_DEBUG=1" }),
	CASE(mightsleep_invokes_nothing),
	CASE(sums_hold),
	CASE(stats_keep_to_their_size),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
