/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Threads stopped between two instructions, at the points of base/test_point.h, while others go on:
 * windows that a test which only hopes for them seldom finds.
 */
#include "test.h"
#include "../src/base/test_point.h"

__thread uint32_t test_point_rseq_turns;

/* SHUT: the next thread that comes to "where" makes it HELD, and stops there for as long. */
static _Atomic int where = -1, gate;
enum { OPEN, SHUT, HELD };

void test_point_reached(enum test_point point)
{
	int expected = SHUT;

	if (atomic_load(&where) != (int)point ||
	    !atomic_compare_exchange_strong(&gate, &expected, HELD))
		return;
	while (atomic_load(&gate) == HELD)
		test_sleep_ms(1);
}

static _Atomic int calls;

static void handled(int sig, const siginfo_t *info)
{
	atomic_fetch_add(&calls, 1);
}

static void *replaces(void *arg)
{
	CHECK(!anyrcu_signal_action(SIGRTMIN, NULL));
	return NULL;
}

static uint64_t grace_periods(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s.gp_done;
}

/*
 * The thread of a handler has found nothing queued. Then a signal comes, and the handler is
 * removed, which waits for a grace period and for that thread: it must look again.
 */
static void signal_then_removed(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = handled };
	uint64_t before;
	pthread_t t;

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action));
	atomic_store(&where, TEST_POINT_TAKEN);
	atomic_store(&gate, SHUT);
	raise(SIGRTMIN);
	for (;;) {
		UNTIL(atomic_load(&gate) == HELD);
		if (atomic_load(&calls) == 1)
			break;
		atomic_store(&gate, SHUT);
	}
	raise(SIGRTMIN);
	before = grace_periods();
	t = thread_start(replaces, NULL);
	UNTIL(grace_periods() != before);
	test_sleep_ms(50); /* the thread is told to end, which is seen nowhere */
	atomic_store(&gate, OPEN);
	thread_join(t);
	CHECK(atomic_load(&calls) == 2);
}

static const struct test_case cases[] = {
	CASE(signal_then_removed),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
