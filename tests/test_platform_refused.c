/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The POSIX platform where the kernel lacks something, or refuses a call: each in a child. */
#define _GNU_SOURCE
#include "test_platform.h"
#include <fcntl.h>
#include <port/append.h>
#include <port/posix/sys.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

/* ---- reports ---- */

static int reports;

static void catch_reports(void)
{
	int pipes[2];

	check(pipe2(pipes, O_NONBLOCK) == 0);
	check(dup2(pipes[1], 2) == 2);
	reports = pipes[0];
}

static bool reported(void)
{
	char text[1024];

	return read(reports, text, sizeof(text)) > 0;
}

/* ---- memory that a fork wipes ---- */

static size_t address_space(void)
{
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY);

	check(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoul(text, NULL, 10);
}

static void is_raw_child(void)
{
	check(port_forked_raw());
	port_fork_child();
	check(!port_forked_raw());
}

/* Without it the process is known by its number, and the page that was for it is given back. */
static void without_wipe(void)
{
	size_t before;

	if (!filter(SYS_madvise, SECCOMP_RET_ERRNO | EINVAL))
		return;
	before = address_space();
	check(!port_forked_raw()); /* nothing is known yet */
	port_process();
	check(address_space() == before);
	check(!port_forked_raw());
	check(status_of_child(is_raw_child) == 0);
	check(!port_forked_raw());
}

/* A program's constructors may come before the library's. */
static void ends_are_seen_from_the_first(void **state)
{
	assert_true(port_tid_dead(1u << 30));
	assert_false(port_tid_dead(port_tid()));
	assert_false(process_main_dead());
}

static void fork_wipes_no_memory(void **state)
{
	in_child(without_wipe);
}

/* ---- fences ---- */

/* Whoever declines sequences has none, and their fence does nothing. */
static void without_sequences(void)
{
	port_init(true, false);
	check(port_rseq_cpus == 0);
	if (!filter(SYS_membarrier, SECCOMP_RET_KILL_PROCESS) ||
	    !filter(SYS_sched_setaffinity, SECCOMP_RET_KILL_PROCESS))
		return;
	port_rseq_fence();
}

extern const unsigned int __rseq_size __attribute__((weak));

static bool has_sequences(void)
{
#if PORT_RSEQ
	return &__rseq_size && __rseq_size &&
	       sys(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
#else
	return false;
#endif
}

/* The kernel's fences suffice: no CPU is visited. */
static void with_membarrier(void)
{
	port_init(true, true);
	check(!!port_rseq_cpus == has_sequences());
	if (!port_fence_all_works || !filter(SYS_sched_setaffinity, SECCOMP_RET_KILL_PROCESS))
		return;
	port_fence_all();
	port_rseq_fence();
}

/* A kernel may have fences for other threads, but not for their sequences. */
static void without_fences_of_sequences(void)
{
	if (!filter_command(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
			    SECCOMP_RET_ERRNO | EINVAL))
		return;
	port_init(true, true);
	check(port_rseq_cpus == 0);
}

static void fences_are_of_the_kernel(void **state)
{
	in_child(without_sequences);
	in_child(with_membarrier);
	in_child(without_fences_of_sequences);
}

/* The child of vfork() has its parent's thread-local variables, but the kernel does not know it. */
static void in_vfork(void)
{
	static volatile int cpu;
	pid_t child;

	port_init(true, true);
	if (!port_rseq_cpus)
		return;
	check(port_rseq_cpu() >= 0);
	child = vfork();
	if (child == 0) {
		cpu = port_rseq_cpu();
		_exit(0);
	}
	check(waitpid(child, NULL, 0) == child);
	check(cpu < 0);
	check(port_rseq_cpu() >= 0);
}

static void child_of_vfork_has_no_sequences(void **state)
{
	in_child(in_vfork);
}

static bool sequences_first;

/*
 * A program may take membarrier away by a filter: each CPU is visited then, and the thread may run
 * where it did before. If that is refused too, the first fence of either kind says so.
 */
static void without_membarrier(void)
{
	cpu_set_t before = { 0 }, after = { 0 };

	catch_reports();
	sched_getaffinity(0, sizeof(before), &before);
	if (CPU_COUNT(&before) < sysconf(_SC_NPROCESSORS_ONLN) || !filter(SYS_membarrier, REFUSED))
		return;
	store(&port_rseq_cpus, 1);
	port_fence_all();
	port_rseq_fence();
	check(!reported());
	sched_getaffinity(0, sizeof(after), &after);
	check(CPU_EQUAL(&before, &after));
	filter(SYS_sched_setaffinity, REFUSED);
	(sequences_first ? port_rseq_fence : port_fence_all)();
	check(reported());
	(sequences_first ? port_fence_all : port_rseq_fence)();
	check(!reported());
}

static void membarrier_is_taken_away(void **state)
{
	in_child(without_membarrier);
	sequences_first = true;
	in_child(without_membarrier);
}

/* ---- forks ---- */

static struct port_lock held, free_lock;

static bool at_once(void)
{
	return true;
}

static bool complete_behind;

static void on_signal(int sig)
{
	complete_behind = port_fork_complete();
}

/*
 * In a child in which no fork handlers have run, a lock may be held by a thread that does not exist
 * there. A fork gives up after a while, and its child is told that it is not complete. A handler
 * that comes as signals are let in again may fork itself, which is another fork.
 */
static void forks_again(void)
{
	struct port_lock *const locks[] = { &free_lock, &held, NULL };

	held.word = UINT64_C(1) << 40; /* of another thread */
	port_fork_begin(locks, at_once);
	check(!port_fork_complete());
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	port_fork_end(locks);
	check(complete_behind);
	check(port_fork_complete());
	check(free_lock.word == 0);
	check(held.word == UINT64_C(1) << 40);
}

static void fork_gives_up(void **state)
{
	in_child(forks_again);
}

int platform_refused_first(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_are_seen_from_the_first),
		cmocka_unit_test(fork_wipes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int platform_refused(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fences_are_of_the_kernel),
		cmocka_unit_test(child_of_vfork_has_no_sequences),
		cmocka_unit_test(membarrier_is_taken_away),
		cmocka_unit_test(fork_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
