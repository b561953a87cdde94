/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Pages: what comes between the steps of a refill, a trim and an allocation. */
#include <pages/pages.h>
#include <pages/zone.h>
#include "unit.h"

/* ---- two that fill the reserve ---- */

#define MAPPINGS 34 /* of the largest order: so many are kept on one CPU and in the reserve */

static void *mapping[MAPPINGS];

static void fill_reserve(void)
{
	mock.on_map = NULL;
	for (unsigned i = 0; i < MAPPINGS; i++)
		page_free(mapping[i], ANYRCU_PAGE_ORDER_MAX);
}

/* While a page is mapped for the reserve, it becomes full: the page goes back. */
static void refill_finds_reserve_full(void **state)
{
	uint64_t mapped;

	pages_refill();
	while ((mapping[0] = page_alloc(ANYRCU_GFP_NO_LOCKS, ANYRCU_PAGE_ORDER_MAX)))
		zone_return(mapping[0], ANYRCU_PAGE_ORDER_MAX);
	for (unsigned i = 0; i < MAPPINGS; i++) {
		mapping[i] = page_alloc(ANYRCU_GFP_KERNEL, ANYRCU_PAGE_ORDER_MAX);
		assert_non_null(mapping[i]);
	}
	mapped = mock.mapped;
	mock.on_map = fill_reserve;
	pages_refill();
	assert_null(mock.on_map);
	assert_int_equal(mock.mapped, mapped);
	for (unsigned i = 0; i < MAPPINGS; i++)
		zone_return(page_alloc(ANYRCU_GFP_NO_LOCKS, ANYRCU_PAGE_ORDER_MAX),
			    ANYRCU_PAGE_ORDER_MAX);
	pages_trim();
}

/* ---- what goes back ---- */

static uint64_t mapped_at_unlock;

static void is_unlocked(void)
{
	mock.on_unlock = NULL;
	mapped_at_unlock = mock.mapped;
}

/* Under the lock, which a fork takes: its child has nothing that is on its way back. */
static void trim_unmaps_under_lock(void **state)
{
	static void *page[1024];
	unsigned n = 0;
	uint64_t before;

	while (n < ARRAY_SIZE(page))
		page[n++] = zone_alloc(0, true);
	while (n)
		zone_return(page[--n], 0);
	before = mock.mapped;
	mock.on_unlock = is_unlocked;
	pages_trim();
	assert_null(mock.on_unlock);
	assert_true(mapped_at_unlock < before);
	assert_int_equal(mock.mapped, mapped_at_unlock);
	assert_false(zone_has_returned());
}

/* What is on its way back is there for the reserve, as the system may give nothing else. */
static void trim_brings_home_first(void **state)
{
	static void *page[8192];
	unsigned n = 0;

	pages_refill();
	mock.maps_allowed = 0;
	while (n < ARRAY_SIZE(page) &&
	       ((page[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, 0)) || (page[n] = zone_alloc(0, true))))
		n++;
	assert_true(n < ARRAY_SIZE(page));
	while (n)
		zone_return(page[--n], 0);
	pages_trim();
	mock.maps_allowed = UINT64_MAX;
	assert_false(pages_want_refill());
}

/* ---- lists ---- */

/* Each page of a list is found, wherever the last one was. NULL is none, and takes no room. */
static void last_page_of_list_is_found(void **state)
{
	void *p = page_alloc(ANYRCU_GFP_KERNEL, 1), *q = page_alloc(ANYRCU_GFP_KERNEL, 1);
	uint64_t before;

	pages_trim();
	page_free(NULL, 1);
	page_free(NULL, 1);
	page_free(p, 1);
	page_free(q, 1);
	before = pages_stats.percpu;
	assert_ptr_equal(page_alloc(ANYRCU_GFP_NO_LOCKS, 1), q);
	assert_ptr_equal(page_alloc(ANYRCU_GFP_NO_LOCKS, 1), p);
	assert_int_equal(pages_stats.percpu, before + 2);
	page_free(p, 1);
	page_free(q, 1);
}

/* ---- who wakes the worker ---- */

static uint64_t allocated_at_kick;
static unsigned kicks;

static uint64_t allocated(void)
{
	return pages_stats.percpu + pages_stats.reserve + pages_stats.zone;
}

static void is_kicked(void)
{
	kicks++;
	allocated_at_kick = allocated();
}

/* The worker is woken when the page is taken, so it sees what is left. */
static void worker_is_woken_behind_allocation(void **state)
{
	void (*former)(void) = pages_kick;
	uint64_t before = allocated();
	void *p;

	pages_want_timer(false);
	kicks = 0;
	pages_kick = is_kicked;
	p = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);
	pages_kick = former;
	assert_int_equal(kicks, 1);
	assert_int_equal(allocated_at_kick, before + 1);
	anyrcu_page_free(p, 0);
}

int unit_pages(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refill_finds_reserve_full),
		cmocka_unit_test(trim_unmaps_under_lock),
		cmocka_unit_test(trim_brings_home_first),
		cmocka_unit_test(last_page_of_list_is_found),
		cmocka_unit_test(worker_is_woken_behind_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
