/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the tests of the pipeline from the store to the callbacks share. */
#ifndef TESTS_UNIT_PIPE_H
#define TESTS_UNIT_PIPE_H

#include <defer/pipe.h>
#include <defer/worker.h>
#include <pages/pages.h>
#include "unit.h"

static inline int begin(void **state)
{
	mock.on_wait = mock.on_wake = NULL;
	anyrcu_barrier();
	return 0;
}

static inline int end(void **state)
{
	mock.on_wait = mock.on_wake = mock.on_lock = mock.on_unlock = NULL;
	store(&defer_pipe.pause, 0);
	memset(workers.slot, 0, sizeof(workers.slot));
	anyrcu_barrier();
	assert_int_equal(defer_pending(), 0);
	assert_int_equal(defer_bytes_pending(), 0);
	return 0;
}

/* A page of so many slots that were appended to by atomics, the last of them not filled. */
static inline void ready_with_empty_slot(uintptr_t key, struct object *o, unsigned n)
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
