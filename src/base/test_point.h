/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Places between two instructions where a test can stop a thread. They compile to nothing, except
 * in a program that is built with ANYRCU_TEST_POINTS, which defines test_point_reached().
 */
#ifndef ANYRCU_BASE_TEST_POINT_H
#define ANYRCU_BASE_TEST_POINT_H

#ifdef ANYRCU_TEST_POINTS
#include <stdint.h>

enum test_point {
	TEST_POINT_COOKIE, /* before a cookie is read */
	TEST_POINT_LOADED, /* the pointer to an open page is loaded, the page not yet read */
	TEST_POINT_FILL, /* a slot of a page is reserved and not filled */
	TEST_POINT_INVOKE, /* before a callback, after the cursor has moved */
	TEST_POINT_TAKEN, /* a handler's thread has looked whether a signal is queued */
	TEST_POINT_COLLECT, /* it takes the queued signals, and has taken one */
	TEST_POINT_SIGNAL, /* a handler runs, and has not looked for its action */
	TEST_POINT_INSTALL, /* an action is complete, and not in place */
	TEST_POINT_RETIRED, /* an action's thread was told to end */
	TEST_POINT_SLEEP, /* a worker has its bell number, and has not announced that it sleeps */
	TEST_POINT_GATHER, /* exchanges are stopped, and their pages still in their places */
	TEST_POINT_CHOOSE, /* a task has chosen the CPU whose pages it replaces */
	TEST_POINTS
};

/* Any context. */
void test_point_reached(enum test_point where);
#define test_point(where) test_point_reached(TEST_POINT_##where)

/*
 * How many times a restartable sequence of the calling thread spins between two loads: of the page
 * and its count, or of the cap and the count of an exchange. It stops when this becomes 0.
 */
extern __thread uint32_t test_point_rseq_turns __attribute__((tls_model("initial-exec")));
#else
#define test_point(where) ((void)0)
#endif

#endif
