/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Exchanges on the mock platform: what is stored, what is freed in return, and what is taken back.
 */
#ifndef TESTS_UNIT_EXCHANGE_H
#define TESTS_UNIT_EXCHANGE_H

#include <defer/exchange.h>
#include <defer/pipe.h>
#include <defer/worker.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include "unit.h"

#define CAP 500u /* objects of a page */
#define PAGE UINT64_C(4096)

static enum { LIVE, DEFERRED, FREED, ORDINARY } object[70 * CAP];
static unsigned next, frees, ordinary_frees, ordinary_allowed, last_freed;
static uint64_t freed_before;
static void (*polled_before)(void);

static inline void freed(void *p)
{
	size_t i = ((uintptr_t)p - (uintptr_t)object) / sizeof(*object);

	if (i >= ARRAY_SIZE(object)) {
		free(p);
		return;
	}
	assert_int_equal(object[i], DEFERRED);
	object[i] = FREED;
	last_freed = i;
	frees++;
}

static inline bool ordinary(void *p)
{
	size_t i = ((uintptr_t)p - (uintptr_t)object) / sizeof(*object);

	assert_true(i < ARRAY_SIZE(object));
	assert_true(port_lock_held(&exchange_lock));
	if (!ordinary_allowed)
		return false;
	ordinary_allowed--;
	assert_int_equal(object[i], DEFERRED);
	object[i] = ORDINARY;
	ordinary_frees++;
	return true;
}

/* Whether a page's grace period is over is asked under the lock that has the page. */
static inline void polled(void)
{
	assert_true(port_lock_held(&exchange_lock));
}

/* Nothing is exchanged; from here on it is, on CPU 0, once the first call has taken a page. */
static inline int begin(void **state)
{
	anyrcu_barrier();
	pages_refill();
	anyrcu_synchronize();
	memset(object, 0, sizeof(object));
	next = frees = ordinary_frees = 0;
	ordinary_allowed = UINT32_MAX;
	mock.rseq_cpu = 0;
	mock.on_free = freed;
	polled_before = gp_hooks.polled;
	gp_hooks.polled = polled;
	port_rseq_cpus = PORT_CPUS_MAX;
	if (!exchange_cpus)
		exchange_begin(ordinary);
	freed_before = exchange_freed();
	assert_int_equal(defer_store.bytes, 0);
	return 0;
}

static inline int end(void **state)
{
	mock.on_lock = mock.on_unlock = mock.on_map = mock.on_fence = NULL;
	gp_hooks.polled = polled_before;
	mock.exchange_refused = false;
	ordinary_allowed = UINT32_MAX;
	exchange_collect();
	mock.rseq_cpu = -1;
	mock.on_free = NULL;
	port_rseq_cpus = 0;
	assert_false(exchange_used());
	assert_int_equal(exchange_pending(), 0);
	assert_int_equal(defer_store.bytes, 0);
	return 0;
}

/* As a task does it. False: the object is still the caller's. */
static inline bool offer(bool *first)
{
	void *p = &object[next];

	object[next] = DEFERRED;
	*first = false;
	if (exchange_free(p)) {
		next++;
		return true;
	}
	*first = true;
	if (exchange_slow(p, first)) {
		next++;
		return true;
	}
	object[next] = LIVE;
	return false;
}

static inline void stored(unsigned n)
{
	bool first;

	while (n--)
		assert_true(offer(&first));
}

static inline void refused(void)
{
	bool first;

	assert_false(offer(&first));
	assert_false(first);
}

static inline void grace_period(void)
{
	gp_cookie();
	gp_step();
	gp_step(); /* the first may have ended one that began too early */
}

/* What was stored, freed, and deferred in the ordinary way adds up. */
static inline void counts_are_right(unsigned expected_frees, unsigned expected_ordinary)
{
	assert_int_equal(frees, expected_frees);
	assert_int_equal(ordinary_frees, expected_ordinary);
	assert_int_equal(exchange_freed() - freed_before, frees);
	assert_int_equal(exchange_pending(), next - frees - ordinary_frees);
}

static inline void forget(void)
{
	port_unmap(exchange_cpus, PORT_CPUS_MAX * sizeof(*exchange_cpus));
	store(&exchange_cpus, NULL);
}

/* Before a file's tests: each file has its own ordinary(). */
static inline void begin_file(void)
{
	if (exchange_cpus)
		forget();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
