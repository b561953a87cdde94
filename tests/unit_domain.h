/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The worker of a domain on the mock platform: the test runs the thread that was started, and what
 * other threads do comes where it sleeps, or in the source's functions.
 */
#ifndef TESTS_UNIT_DOMAIN_H
#define TESTS_UNIT_DOMAIN_H

#include <domain/private.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include "unit.h"

#define DELAY (STORE_DELAY_US * UINT64_C(1000))

static struct anyrcu_domain *domain;
static struct object object[1200];
static unsigned step, starts;
static int start_error;
static void *(*thread)(void *);
static void *thread_arg;

/* The source's functions that were called: begin, end, sleeps, wakes, grace period. */
static char calls[256];
static uint64_t gp_ns;
static void (*on_call)(char what);

static inline void call(char what)
{
	size_t n = strlen(calls);

	assert_true(n < sizeof(calls) - 1);
	calls[n] = what;
	if (on_call)
		on_call(what);
}

static inline void source_synchronize(void *unused)
{
	assert_false(anyrcu_read_lock_held());
	assert_false(port_lock_held(&domain_lock));
	call('g');
	mock.now += gp_ns;
}

static inline void source_begin(void *unused)
{
	assert_int_equal(domain->worker, port_id());
	call('b');
}

static inline void source_end(void *unused)
{
	call('e');
}

static inline void source_sleeps(void *unused)
{
	assert_int_equal(domain->asleep, AWAKE);
	call('s');
}

static inline void source_wakes(void *unused)
{
	assert_int_equal(domain->asleep, AWAKE);
	call('w');
}

static const struct anyrcu_source source = {
	.size = sizeof(source),
	.synchronize = source_synchronize,
	.thread_begin = source_begin,
	.thread_end = source_end,
	.thread_sleeps = source_sleeps,
	.thread_wakes = source_wakes,
};

static inline int starter(void *(*f)(void *), void *arg, int rt)
{
	starts++;
	assert_int_equal(rt, 0);
	assert_false(port_lock_held(&domain_lock));
	assert_true(((struct anyrcu_domain *)arg)->coming);
	if (!start_error) {
		thread = f;
		thread_arg = arg;
	}
	return start_error;
}

static inline int begin(void **state)
{
	anyrcu_barrier();
	pages_refill();
	memset(object, 0, sizeof(object));
	memset(calls, 0, sizeof(calls));
	mock.now += 100000 * MS;
	mock.wakes = mock.waits = mock.follows = 0;
	mock.on_wait = mock.on_wake = mock.on_lock = mock.on_unlock = NULL;
	mock.cancel_off = false;
	on_call = NULL;
	step = starts = 0;
	start_error = 0;
	gp_ns = 0;
	domain = NULL;
	return 0;
}

static inline int end(void **state)
{
	mock.id = 1;
	mock.on_wait = mock.on_wake = mock.on_lock = mock.on_unlock = NULL;
	on_call = NULL;
	domains.failing = false;
	if (!domain)
		return 0;
	domain_thread_exit(); /* a test may have left a callback */
	store(&domain->stop, 0);
	store(&domain->wanted, false);
	store(&domain->coming, false);
	anyrcu_domain_destroy(domain, NULL);
	return 0;
}

static inline void make(const struct anyrcu_domain_config *config)
{
	assert_int_equal(domain_make(&domain, &source, config), 0);
}

static inline void start(const struct anyrcu_domain_config *config)
{
	make(config);
	assert_int_equal(domain_start(domain, starter), 0);
	assert_int_equal(starts, 1);
	assert_true(domain->coming);
}

static inline void run(void)
{
	thread(thread_arg);
}

static inline void defer(unsigned i)
{
	anyrcu_domain_call(domain, &object[i].head, count);
}

static inline struct anyrcu_domain_stats get_stats(void)
{
	struct anyrcu_domain_stats s = { .size = sizeof(s) };

	anyrcu_domain_stats_get(domain, &s);
	return s;
}

static inline void stop(void)
{
	store(&domain->stop, 1);
}

/* ---- the order ---- */

static unsigned order[8], invoked;

static inline void in_order(struct anyrcu_head *head)
{
	struct object *o = (struct object *)((char *)head - offsetof(struct object, head));

	count(head);
	assert_true(invoked < ARRAY_SIZE(order));
	order[invoked++] = o - object;
	assert_int_equal(get_stats().invoked, invoked);
}

static inline void defer_in_order(unsigned i)
{
	anyrcu_domain_call(domain, &object[i].head, in_order);
}

/* Half of them in a page, then in the chain, as no page may be had; then with marks. */
static inline void defer_everywhere(void)
{
	invoked = 0;
	for (unsigned i = 0; i < 2; i++)
		defer_in_order(i);
	domain->store.bytes_max = 0;
	store_debug = true; /* the page has another key */
	for (unsigned i = 2; i < 4; i++)
		defer_in_order(i);
	store_debug = false;
	domain->store.bytes_max = STORE_BYTES_MAX;
	defer_in_order(4); /* after those of the chain */
}

static inline void all_in_order(unsigned n)
{
	assert_int_equal(invoked, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(order[i], i);
}

static inline void ends_at_first_sleep(void)
{
	step++;
	stop();
}

static inline void stops(struct anyrcu_head *head)
{
	in_order(head);
	stop();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
