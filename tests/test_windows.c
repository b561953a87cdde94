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
static _Atomic int reached[TEST_POINTS];

void test_point_reached(enum test_point point)
{
	int expected = SHUT;

	atomic_fetch_add(&reached[point], 1);
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

/* ---- handlers that fork in a thread that is held ---- */

static _Atomic pid_t child;
static _Atomic bool in_child, ended;

static void forks(int sig)
{
	pid_t pid;

	for (int i = 0; i < TEST_POINTS; i++)
		atomic_store(&reached[i], 0);
	pid = fork();
	if (pid) {
		atomic_store(&child, pid);
		return;
	}
	alarm(test_seconds(60));
	atomic_store(&in_child, true);
	for (int i = 0; i < TEST_POINTS; i++)
		atomic_store(&gates[i], OPEN);
}

static void ended_well(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* The held thread @t forks in a handler; then it goes on, in both processes. */
static void fork_in(pthread_t t, _Atomic int *gate)
{
	handle(SIGABRT, forks, 0);
	CHECK(!pthread_kill(t, SIGABRT));
	UNTIL(atomic_load(&child));
	atomic_store(gate, OPEN);
	ended_well(atomic_load(&child));
	atomic_store(&child, 0);
}

/* No thread serves an action there that an absent thread was installing or removing. */
static void child_has_only_worker(void)
{
	pid_t pid = fork();

	if (!pid) {
		anyrcu_barrier();
		_exit(tasks_count() > 2);
	}
	ended_well(pid);
}

static void is_handled(void)
{
	raise(SIGRTMIN);
	UNTIL(atomic_load(&calls) == 1);
}

static void *installs(void *arg)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = handled };

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action));
	if (!atomic_load(&in_child))
		return NULL;
	is_handled();
	CHECK(!anyrcu_signal_action(SIGRTMIN, NULL));
	_exit(0);
}

/*
 * A thread installs an action, whose thread runs already. In the child of a handler that forks
 * there, signals are handled; in that of another thread, no thread is started for this action.
 */
static void fork_before_action_is_in_place(void)
{
	_Atomic int *gate = &gates[TEST_POINT_INSTALL];
	pthread_t t;
	pid_t pid;

	atomic_store(gate, SHUT);
	t = thread_start(installs, NULL);
	UNTIL(atomic_load(gate) == HELD);
	child_has_only_worker();
	fork_in(t, gate);
	thread_join(t);
	/* It is in place, here and in other children. */
	pid = fork();
	is_handled();
	if (!pid)
		_exit(0);
	ended_well(pid);
}

static _Atomic bool busy;

static void is_busy(int sig, const siginfo_t *info)
{
	while (atomic_load(&busy))
		test_sleep_ms(1);
}

static void *removes(void *arg)
{
	CHECK(!anyrcu_signal_action(SIGRTMIN, NULL));
	if (!atomic_load(&in_child))
		return NULL;
	test_sleep_ms(50);
	_exit(atomic_load(&ended) && atomic_load(&reached[TEST_POINT_TAKEN]));
}

/*
 * An action's thread was told to end, and calls the program, or has ended. The child of a handler
 * that forks in the thread that removes the action gets no signal that was queued; its removal is
 * over soon, and no thread works for an action that is being freed.
 */
static void fork_while_action_is_removed(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = is_busy };
	_Atomic int *gate = &gates[TEST_POINT_RETIRED];

	for (int i = 0; i < 2; i++) {
		size_t threads = tasks_count();
		pthread_t t;

		CHECK(!anyrcu_signal_action(SIGRTMIN, &action));
		atomic_store(&ended, i);
		atomic_store(&busy, !i);
		raise(SIGRTMIN);
		atomic_store(gate, SHUT);
		t = thread_start(removes, NULL);
		UNTIL(atomic_load(gate) == HELD);
		if (i)
			UNTIL(tasks_count() == threads + 1);
		child_has_only_worker();
		fork_in(t, gate);
		atomic_store(&busy, false);
		thread_join(t);
		UNTIL(tasks_count() == threads);
	}
}

/* A thread has removed an action, and waits for a reader before it tells its thread to end. */
static void fork_while_removal_waits(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = is_busy };
	struct sigaction ours, now;
	struct holder h;
	pthread_t t;

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action) && !sigaction(SIGRTMIN, NULL, &ours));
	holder_enter(&h);
	t = thread_start(removes, NULL);
	do
		CHECK(!sigaction(SIGRTMIN, NULL, &now));
	while (now.sa_sigaction == ours.sa_sigaction);
	child_has_only_worker();
	holder_leave(&h);
	thread_join(t);
}

static _Atomic bool removed;

static void *removes_busy(void *arg)
{
	CHECK(!anyrcu_signal_action(SIGRTMIN, NULL));
	atomic_store(&removed, true);
	return NULL;
}

/* A child that starts no threads leaves the action without one. Its own child starts it again. */
static void thread_comes_back(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = is_busy };
	pid_t pid;

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action));
	pid = _Fork();
	if (pid) {
		ended_well(pid);
		return;
	}
	anyrcu_synchronize();
	pid = fork();
	if (!pid) {
		pthread_t t;

		alarm(test_seconds(60));
		atomic_store(&busy, true);
		atomic_store(&reached[TEST_POINT_COLLECT], 0);
		raise(SIGRTMIN);
		UNTIL(atomic_load(&reached[TEST_POINT_COLLECT]));
		t = thread_start(removes_busy, NULL);
		test_sleep_ms(50);
		CHECK(!atomic_load(&removed));
		atomic_store(&busy, false);
		thread_join(t);
	} else {
		ended_well(pid);
	}
	_exit(0);
}

static _Atomic pthread_t handler_thread;

static void is_asked(int sig, const siginfo_t *info)
{
	if (atomic_load(&in_child))
		_exit(info->si_value.sival_int != 7);
	atomic_store(&handler_thread, pthread_self());
	atomic_fetch_add(&calls, 1);
	is_busy(sig, info);
}

static void forks_and_sends(int sig)
{
	const int signals[] = { SIGRTMIN, SIGUSR1 };
	sigset_t set;

	forks(sig);
	if (!atomic_load(&in_child))
		return;
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	CHECK(!sigqueue(getpid(), atomic_load(&busy) ? SIGRTMIN : SIGUSR1,
			(union sigval){ .sival_int = 7 }));
}

/*
 * An action's thread is taking queued signals when a handler forks in it. The child must not handle
 * those, but one that is sent there afterwards, also if it is a standard signal of which one was
 * queued in the parent.
 */
static void fork_while_signals_are_taken(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = is_asked };
	_Atomic int *gate = &gates[TEST_POINT_COLLECT];

	CHECK(!anyrcu_signal_action(SIGRTMIN, &action) && !anyrcu_signal_action(SIGUSR1, &action));
	for (int i = 0; i < 2; i++) {
		int sig = i ? SIGUSR1 : SIGRTMIN;

		atomic_store(&calls, 0);
		atomic_store(&busy, true);
		raise(sig);
		UNTIL(atomic_load(&calls) == 1);
		for (int k = 0; k < 3; k++)
			raise(sig);
		handle(SIGABRT, forks_and_sends, 0);
		atomic_store(gate, SHUT);
		atomic_store(&busy, false);
		UNTIL(atomic_load(gate) == HELD);
		atomic_store(&busy, i == 0); /* which signal the child sends */
		CHECK(!pthread_kill(atomic_load(&handler_thread), SIGABRT));
		UNTIL(atomic_load(&child));
		ended_well(atomic_load(&child));
		atomic_store(&child, 0);
		atomic_store(&busy, false);
		atomic_store(gate, OPEN);
		UNTIL(atomic_load(&calls) == (i ? 2 : 4));
	}
}

static void *raises(void *arg)
{
	raise(SIGUSR2);
	return NULL;
}

/* The smallest stack that the manual allows, or one that has room for what a sanitizer adds. */
static void *raises_on_small_stack(void *arg)
{
	stack_t s = { .ss_size = TSAN || ASAN ? 1 << 18 : sysconf(_SC_MINSIGSTKSZ) + 1024 };
	char *p = (char *)mmap(NULL, s.ss_size + 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(!mprotect(p, 4096, PROT_NONE));
	s.ss_sp = p + 4096;
	CHECK(!sigaltstack(&s, NULL));
	return raises(arg);
}

static _Atomic int formers;

static void former(int sig)
{
	atomic_fetch_add(&formers, 1);
}

/*
 * A handler runs, and has not looked for its action when that is removed: the former handler gets
 * the signal. If the program puts the library's handler back, signals are lost, which is said.
 */
static void signal_while_action_is_removed(void)
{
	struct anyrcu_signal_action action = { .size = sizeof(action), .thread = handled };
	_Atomic int *gate = &gates[TEST_POINT_SIGNAL];
	struct sigaction ours;
	pthread_t t;

	handle(SIGUSR2, former, 0);
	CHECK(!anyrcu_signal_action(SIGUSR2, &action) && !sigaction(SIGUSR2, NULL, &ours));
	atomic_store(gate, SHUT);
	t = thread_start(raises, NULL);
	UNTIL(atomic_load(gate) == HELD);
	CHECK(!anyrcu_signal_action(SIGUSR2, NULL));
	CHECK(!atomic_load(&formers));
	atomic_store(gate, OPEN);
	thread_join(t);
	CHECK(atomic_load(&formers) == 1 && !atomic_load(&calls) && !*test_said());
	CHECK(!sigaction(SIGUSR2, &ours, NULL));
	thread_join(thread_start(raises_on_small_stack, NULL));
	CHECK(atomic_load(&formers) == 1 && !atomic_load(&calls));
}

/* ---- exchanges ---- */

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
	CASE(fork_before_action_is_in_place),
	CASE(fork_while_action_is_removed),
	CASE(fork_while_removal_waits),
	CASE(fork_while_signals_are_taken),
	CASE(thread_comes_back),
	CASE(signal_while_action_is_removed, .says = { "is lost: its action was removed" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
