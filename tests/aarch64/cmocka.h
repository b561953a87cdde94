/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * As much of cmocka as the tests use, under its names: Debian's cross compiler comes without it. A
 * check that fails ends its test.
 */
#ifndef TESTS_AARCH64_CMOCKA_H
#define TESTS_AARCH64_CMOCKA_H

#include <fnmatch.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state), (*teardown_func)(void **state);
	void *initial_state;
};

static const char *cmocka_filter = "*";
static jmp_buf cmocka_next;

static inline void cmocka_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	longjmp(cmocka_next, 1);
}

static inline int cmocka_run(const struct CMUnitTest *tests, size_t n)
{
	static size_t at, failed;

	for (at = 0; at < n; at++) {
		void *state = tests[at].initial_state;

		if (fnmatch(cmocka_filter, tests[at].name, 0))
			continue;
		if (setjmp(cmocka_next)) {
			printf("%s: FAILED\n", tests[at].name);
			failed++;
			continue;
		}
		if (tests[at].setup_func)
			tests[at].setup_func(&state);
		tests[at].test_func(&state);
		if (tests[at].teardown_func)
			tests[at].teardown_func(&state);
		printf("%s: passed\n", tests[at].name);
		fflush(stdout);
	}
	return failed != 0;
}

#define cmocka_check(x) ((x) ? (void)0 : cmocka_failed(__FILE__, __LINE__, #x))
#define assert_true(x) cmocka_check(x)
#define assert_false(x) cmocka_check(!(x))
#define assert_null(x) cmocka_check(!(x))
#define assert_non_null(x) cmocka_check(x)
#define assert_int_equal(a, b) cmocka_check((unsigned long long)(a) == (unsigned long long)(b))
#define assert_string_equal(a, b) cmocka_check(!strcmp(a, b))
#define assert_ptr_equal(a, b) cmocka_check((a) == (b))
#define assert_ptr_not_equal(a, b) cmocka_check((a) != (b))
#define skip() return
#define fail() cmocka_failed(__FILE__, __LINE__, "fail")
#define cmocka_set_test_filter(pattern) ((void)(cmocka_filter = (pattern)))
#define cmocka_unit_test(f)                \
	{                                  \
		.name = #f, .test_func = f \
	}
#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                \
	{                                                                                  \
		.name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
	}
#define cmocka_run_group_tests(tests, setup, teardown) \
	cmocka_run((tests), sizeof(tests) / sizeof(*(tests)))
#define _cmocka_run_group_tests(name, tests, n, setup, teardown) cmocka_run((tests), (n))

#endif
