/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the files of the unit tests share: see unit.c. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <anyrcu/anyrcu.h>
#include <port/mock/mock.h>

#define MS UINT64_C(1000000)

struct object {
	int invoked;
	struct anyrcu_head head;
};

static inline void count(struct anyrcu_head *head)
{
	((struct object *)((char *)head - offsetof(struct object, head)))->invoked++;
}

static inline void count_headless(void *o)
{
	((struct object *)o)->invoked++;
}

static inline void each_invoked_once(unsigned n, struct object *o)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(o[i].invoked, 1);
}

/* Each runs the tests of its file, and returns how many failed. */
int unit_barrier(void);
int unit_calls(void);
int unit_domain(void);
int unit_domain_life(void);
int unit_domain_threads(void);
int unit_duties(void);
int unit_sleep(void);
int unit_exchange(void);
int unit_exchange_back(void);
int unit_gp(void);
int unit_pages(void);
int unit_pipe(void);
int unit_worker(void);

#endif
