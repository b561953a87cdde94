/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Threads stopped between two instructions, at the points of base/test_point.h, while others go on:
 * windows that a test which only hopes for them seldom finds.
 */
#include "test.h"
#include "../src/base/test_point.h"
#include "../src/defer/exchange.h"
#include <sched.h>

__thread uint32_t test_point_rseq_turns;

/* SHUT: the next thread that comes to the point makes it HELD, and stops there for as long. */
static _Atomic int gates[TEST_POINTS];
enum { OPEN, SHUT, HELD };

void test_point_reached(enum test_point point)
{
	int expected = SHUT;

	if (!atomic_compare_exchange_strong(&gates[point], &expected, HELD))
		return;
	while (atomic_load(&gates[point]) == HELD)
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
	_Atomic int *gate = &gates[TEST_POINT_TAKEN];
	uint64_t before;
	pthread_t t;

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action));
	atomic_store(gate, SHUT);
	raise(SIGRTMIN);
	for (;;) {
		UNTIL(atomic_load(gate) == HELD);
		if (atomic_load(&calls) == 1)
			break;
		atomic_store(gate, SHUT);
	}
	raise(SIGRTMIN);
	before = grace_periods();
	t = thread_start(replaces, NULL);
	UNTIL(grace_periods() != before);
	test_sleep_ms(50); /* the thread is told to end, which is seen nowhere */
	atomic_store(gate, OPEN);
	thread_join(t);
	CHECK(atomic_load(&calls) == 2);
}

/* The thread may run on the @nth CPU of those it may run on now, and there alone. */
static bool pin(pid_t tid, int nth)
{
	static cpu_set_t all;
	cpu_set_t one;

	CHECK(CPU_COUNT(&all) || !sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &all) && nth-- == 0) {
			CPU_SET(cpu, &one);
			return !sched_setaffinity(tid, sizeof(one), &one);
		}
	}
	return false;
}

static void *gathers(void *arg)
{
	CHECK(exchange_collect());
	return NULL;
}

static _Atomic pid_t chooser;

static void *chooses(void *arg)
{
	atomic_store(&chooser, gettid());
	CHECK(pin(0, 0) && anyrcu_free_task_headless(malloc(1)));
	return NULL;
}

static uint32_t *_Atomic spins;

static void *exchanges_slowly(void *arg)
{
	const struct sched_param first = { .sched_priority = 1 };
	void *p = malloc(1);

	CHECK(pin(0, 0));
	/* If another thread runs on the CPU, the sequence starts over, and the window is missed. */
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	test_point_rseq_turns = INT32_MAX;
	atomic_store(&spins, &test_point_rseq_turns);
	CHECK(port_exchange(&exchange_cpus[0].now, (uintptr_t)p) == PORT_EXCHANGE_REFUSED);
	free(p);
	return NULL;
}

/*
 * One thread gathers the pages of a CPU; another, which has chosen this CPU, puts new ones in their
 * place. A third thread is between its loads of their count and their cap all the time. It must not
 * use the count of the former pages with the cap of the new ones.
 */
static void exchange_meanwhile_gathered(void)
{
	/* The worker fences sequences when it collects. */
	const struct anyrcu_config config = { .size = sizeof(config), .delay_us = 10000000 };
	_Atomic int *gather = &gates[TEST_POINT_GATHER], *choose = &gates[TEST_POINT_CHOOSE];
	pthread_t gatherer, chooses_first, slow;
	struct port_exchange *now;

	if (!pin(0, 1) || !pin(0, 0) || port_rseq_cpu() < 0)
		return; /* one CPU, or no sequences: nothing of the sort can happen */
	CHECK(!anyrcu_init(&config));
	while (!exchange_used())
		CHECK(anyrcu_free_task_headless(malloc(1)));
	anyrcu_barrier();
	now = &exchange_cpus[port_rseq_cpu()].now;
	while (load(&now->count) < 100)
		CHECK(anyrcu_free_task_headless(malloc(1)));
	CHECK(pin(0, 1));
	atomic_store(gather, SHUT);
	gatherer = thread_start(gathers, NULL);
	UNTIL(atomic_load(gather) == HELD);
	atomic_store(choose, SHUT);
	chooses_first = thread_start(chooses, NULL);
	UNTIL(atomic_load(choose) == HELD);
	CHECK(pin(atomic_load(&chooser), 1));
	slow = thread_start(exchanges_slowly, NULL);
	UNTIL(atomic_load(&spins));
	test_sleep_ms(20); /* it has loaded one */
	atomic_store(gather, OPEN);
	thread_join(gatherer);
	atomic_store(choose, OPEN);
	thread_join(chooses_first);
	store(atomic_load(&spins), 0);
	thread_join(slow);
	anyrcu_barrier();
}

static const struct test_case cases[] = {
	CASE(exchange_meanwhile_gathered),
	CASE(signal_then_removed),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
