/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that use the locks of OpenMP, in pairs; see kinds.h. */
#include "kinds.h"

#include <omp.h>

static omp_lock_t a, b;
static omp_nest_lock_t nest;
static int n;

static noinline void in_order(omp_lock_t *first, omp_lock_t *second)
{
	omp_set_lock(first);
	omp_set_lock(second);
	n++;
	omp_unset_lock(second);
	omp_unset_lock(first);
}

static void omp_locks(void)
{
	omp_init_lock(&a);
	omp_init_lock(&b);
#pragma omp parallel num_threads(2)
	{
#pragma omp single
		in_order(&a, &b);
#pragma omp single
		in_order(wrong ? &b : &a, wrong ? &a : &b);
	}
	omp_destroy_lock(&a);
	omp_destroy_lock(&b);
}

/* Who cannot have the second gives back the first. */
static noinline void tries(void)
{
	for (;;) {
		omp_set_lock(&b);
		if (wrong)
			omp_set_lock(&a);
		if (wrong || omp_test_lock(&a))
			break;
		omp_unset_lock(&b);
	}
	omp_unset_lock(&a);
	omp_unset_lock(&b);
}

static void omp_tests(void)
{
	omp_init_lock(&a);
	omp_init_lock(&b);
#pragma omp parallel num_threads(2)
	{
#pragma omp single
		in_order(&a, &b);
#pragma omp single
		tries();
	}
}

static noinline void nested(void)
{
	omp_set_nest_lock(&nest);
	omp_set_lock(&a);
	omp_set_nest_lock(&nest);
	omp_unset_nest_lock(&nest);
	omp_unset_lock(&a);
	omp_unset_nest_lock(&nest);
}

static noinline void nested_below(void)
{
	omp_set_lock(&a);
	if (!wrong)
		omp_unset_lock(&a);
	omp_set_nest_lock(&nest);
	omp_unset_nest_lock(&nest);
	if (wrong)
		omp_unset_lock(&a);
}

static void omp_nested(void)
{
	omp_init_lock(&a);
	omp_init_nest_lock(&nest);
#pragma omp parallel num_threads(2)
	{
#pragma omp single
		nested();
#pragma omp single
		nested_below();
	}
}

static noinline void one_then_two(void)
{
#pragma omp critical(one)
#pragma omp critical(two)
	n++;
}

static noinline void two_then_one(void)
{
	if (wrong) {
#pragma omp critical(two)
#pragma omp critical(one)
		n++;
	} else {
#pragma omp critical(two)
		n++;
#pragma omp critical(one)
		n++;
	}
}

static void omp_critical(void)
{
#pragma omp parallel num_threads(2)
	{
#pragma omp single
		one_then_two();
#pragma omp single
		two_then_one();
	}
}

/* One made anew where another was. */
static void omp_again(void)
{
	omp_init_lock(&a);
	omp_init_lock(&b);
#pragma omp parallel num_threads(2)
	{
#pragma omp single
		in_order(&a, &b);
#pragma omp single
		{
			if (!wrong) {
				omp_destroy_lock(&a);
				omp_destroy_lock(&b);
				omp_init_lock(&a);
				omp_init_lock(&b);
			}
		}
#pragma omp single
		in_order(&b, &a);
	}
}

static const struct kind kinds[] = {
	KIND(omp_locks), KIND(omp_tests), KIND(omp_nested), KIND(omp_critical), KIND(omp_again),
};
KINDS_MAIN(kinds)
