/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The POSIX platform: threads, signals, locks and processes. */
#define _GNU_SOURCE
#include "test_platform.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define BIT(sig) (UINT64_C(1) << ((sig)-1))
/* What is blocked of them: the kernel leaves out two. */
#define BLOCKED (port_signals & ~(BIT(SIGKILL) | BIT(SIGSTOP)))

/* More than the stack that the library's threads have: one cannot be created with it. */
static __thread char large[1 << 20];

unsigned creations;
static uint64_t blocked_at_creation;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
	static __typeof__(pthread_create) *real;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
	creations++;
	blocked_at_creation = port_signals_blocked();
	return real(thread, attr, f, arg);
}

/* ---- threads ---- */

static struct {
	uint64_t blocked;
	int policy, cpus, cpu, rt;
	char name[16];
	uint32_t tid, begun, goes_on, exits;
	bool ours;
	void *arg;
} thread;
static bool unhooked; /* nobody wants to know of its end */

static void on_exit_of_thread(void)
{
	fetch_add(&thread.exits, 1);
}

static void *thread_main(void *arg)
{
	cpu_set_t set;

	large[0]++;
	port_thread_arrives();
	thread.blocked = port_signals_blocked();
	port_thread_begin(thread.cpu, thread.rt);
	thread.ours = thread_ours;
	thread.policy = sched_getscheduler(0);
	sched_getaffinity(0, sizeof(set), &set);
	thread.cpus = CPU_COUNT(&set);
	pthread_getname_np(pthread_self(), thread.name, sizeof(thread.name));
	thread.arg = arg;
	store(&thread.tid, port_tid());
	store_release(&thread.begun, 1);
	port_wake(&thread.begun);
	while (!load_acquire(&thread.goes_on))
		port_wait(&thread.goes_on, 0, 0);
	return NULL;
}

/* Start one, wait until it has begun, and have it end. */
static int run_thread(int rt, int cpu)
{
	int err;

	memset(&thread, 0, sizeof(thread));
	thread.cpu = cpu;
	thread.rt = rt;
	port_thread_exit_hook = unhooked ? NULL : on_exit_of_thread;
	errno = 80;
	err = port_thread_start(thread_main, &large, rt);
	if (errno != 80)
		return -1000;
	while (!load_acquire(&thread.begun))
		port_wait(&thread.begun, 0, 0);
	store_release(&thread.goes_on, 1);
	port_wake(&thread.goes_on);
	while (!port_tid_dead(load(&thread.tid)))
		port_sleep(100000);
	return err;
}

static void threads_are_set_up(void **state)
{
	sigset_t mask, before, after;
	cpu_set_t set;
	int cpus;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	sched_getaffinity(0, sizeof(set), &set);
	cpus = CPU_COUNT(&set);
	creations = 0;
	assert_int_equal(run_thread(0, -1), 0);
	assert_int_equal(creations, 2); /* again, with libc's stack, as the variables are large */
	pthread_sigmask(SIG_SETMASK, &before, &after);
	assert_memory_equal(&mask, &after, 8);
	/* a handler that forks never interrupts libc there */
	assert_int_equal(blocked_at_creation, BLOCKED | BIT(SIGABRT) | BIT(SIGTRAP));
	assert_int_equal(thread.blocked, BLOCKED);
	assert_true(thread.ours);
	assert_false(thread_ours);
	assert_string_equal(thread.name, "anyrcu");
	assert_int_equal(thread.policy, SCHED_OTHER);
	assert_int_equal(thread.cpus, cpus);
	assert_ptr_equal(thread.arg, &large);
	assert_int_equal(thread.exits, 1);
	assert_int_equal(run_thread(0, sched_getcpu()), 0);
	assert_int_equal(thread.cpus, 1);
	assert_int_equal(run_thread(0, CPU_SETSIZE - 1), 0); /* no such CPU */
	assert_int_equal(thread.cpus, cpus);
	unhooked = true;
	assert_int_equal(run_thread(0, -1), 0);
	assert_int_equal(thread.exits, 0);
	unhooked = false;
}

/* How port_yield() ends if a filter kills whoever makes this system call. */
static int yield_without(uint32_t call, unsigned round)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		if (!filter(call, SECCOMP_RET_KILL_PROCESS))
			_exit(77);
		port_yield(round);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whoever yields often sleeps at last: the awaited thread may have a lower priority. */
static void yields_and_sleeps(void **state)
{
	if (yield_without(SYS_sched_yield, 99) == 77)
		skip(); /* there are no filters here */
	assert_int_equal(yield_without(SYS_sched_yield, 99), SIGSYS);
	assert_int_equal(yield_without(SYS_clock_nanosleep, 99), 0);
	assert_int_equal(yield_without(SYS_clock_nanosleep, 100), SIGSYS);
}

/* The CPUs are those that the process was started on, not those of the thread that starts one. */
static void threads_are_not_pinned_like_their_starter(void **state)
{
	cpu_set_t all, one;
	int cpu = sched_getcpu();

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	assert_int_equal(run_thread(0, -1), 0);
	assert_int_equal(thread.cpus, CPU_COUNT(&all));
	for (int i = 0; i < CPU_SETSIZE; i++)
		assert_int_equal(port_cpu_usable(i), CPU_ISSET(i, &all) != 0);
	assert_false(port_cpu_usable(-1));
	assert_false(port_cpu_usable(CPU_SETSIZE));
	port_follow(cpu);
	sched_getaffinity(0, sizeof(one), &one);
	assert_int_equal(CPU_COUNT(&one), 1);
	sched_setaffinity(0, sizeof(all), &all);
	for (int i = 0; i < CPU_SETSIZE + 2; i++)
		port_follow(i);
	sched_getaffinity(0, sizeof(one), &one);
	assert_true(CPU_EQUAL(&one, &all));
}

static void as_real_time(void)
{
	struct sched_param param = { .sched_priority = 1 };

	port_fork_child();
	if (sched_setscheduler(0, SCHED_FIFO, &param) != 0)
		return;
	creations = 0;
	check(run_thread(2, -1) == 0);
	check(creations == 2);
	check(thread.policy == SCHED_FIFO);
	check(run_thread(0, -1) == 0);
	check(thread.policy == SCHED_OTHER); /* not that of its starter */
}

static void without_privilege(void)
{
	struct rlimit none = { 0 };

	port_fork_child();
	setrlimit(RLIMIT_RTPRIO, &none);
	if (getuid() == 0)
		check(setuid(65534) == 0);
	creations = 0;
	check(run_thread(2, -1) == -PORT_EPERM);
	check(thread.policy == SCHED_OTHER);
	check(thread.exits == 1);
}

static void *never_runs(void *unused)
{
	_exit(1);
	return unused;
}

static void without_threads(void)
{
	struct rlimit none = { .rlim_cur = 1, .rlim_max = 1 };

	setrlimit(RLIMIT_NPROC, &none);
	if (getuid() == 0)
		check(setuid(65534) == 0);
	errno = 81;
	check(port_thread_start(never_runs, NULL, 0) == -EAGAIN);
	check(errno == 81);
	check((port_signals_blocked() & port_signals) == 0);
}

/* EPERM means that a thread runs without priority, but a filter says so of the thread itself. */
static void threads_are_filtered(void)
{
#ifdef SYS_clone3
	if (!filter(SYS_clone3, SECCOMP_RET_ERRNO | EPERM))
		return;
#endif
	if (!filter(SYS_clone, SECCOMP_RET_ERRNO | EPERM))
		return;
	check(port_thread_start(never_runs, NULL, 0) == -EAGAIN);
	check(port_thread_start(never_runs, NULL, 1) == -EAGAIN);
}

static void threads_have_their_priority(void **state)
{
	in_child(as_real_time);
	in_child(without_privilege);
	in_child(without_threads);
	in_child(threads_are_filtered);
}

static void cancellation_is_restored(void **state)
{
	int former = port_cancel_off(), now;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &now);
	assert_int_equal(now, PTHREAD_CANCEL_DISABLE);
	port_cancel_on(former);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &now);
	assert_int_equal(now, PTHREAD_CANCEL_ENABLE);
}

/* ---- signals and locks ---- */

static struct {
	int sig, calls;
	int value;
	uint64_t before, blocked;
} seen;

static void on_signal(int sig, void *info, void *context, uint64_t before)
{
	seen.sig = sig;
	seen.calls++;
	seen.value = ((siginfo_t *)info)->si_value.sival_int;
	seen.before = before;
	seen.blocked = port_signals_blocked();
	errno = 1;
}

static void programs_own(int sig)
{
	seen.sig = -sig;
}

static void signals_are_taken(void **state)
{
	sigset_t mask, before;
	struct sigaction sa;

	port_signal_hook = on_signal;
	signal(SIGUSR1, programs_own);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	sigaddset(&mask, SIGWINCH);
	assert_true(port_signal_take(SIGUSR1, &mask));
	assert_true(port_signal_take(SIGUSR1, &mask)); /* keeps what was there before the first */
	errno = 82;
	assert_int_equal(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 4711 }), 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.sig, SIGUSR1);
	assert_int_equal(seen.value, 4711);
	assert_int_equal(seen.before, BIT(SIGUSR2));
	assert_int_equal(seen.blocked, BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGWINCH));
	assert_int_equal(errno, 82);
	assert_false(port_signal_take(SIGKILL, &mask));
	assert_int_equal(errno, 82);
	port_signal_leave(SIGUSR1);
	raise(SIGUSR1);
	assert_int_equal(seen.sig, -SIGUSR1);
	assert_int_equal(seen.calls, 1);
	signal(SIGUSR1, SIG_IGN);
	port_signal_leave(SIGUSR1); /* nothing to restore any more */
	port_signal_leave(SIGKILL);
	sigaction(SIGUSR1, NULL, &sa);
	assert_ptr_equal(sa.sa_handler, SIG_IGN);
	assert_true(port_signal_take(SIGUSR1, &mask)); /* anew */
	port_signal_leave(SIGUSR1);
	sigaction(SIGUSR1, NULL, &sa);
	assert_ptr_equal(sa.sa_handler, SIG_IGN);
	signal(SIGUSR1, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void faults_stay_unblocked(void **state)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	uint64_t former = port_signals_block(), blocked = port_signals_blocked();

	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		assert_int_equal(blocked & BIT(faults[i]), 0);
	assert_int_equal(blocked & (BIT(32) | BIT(33)), 0); /* libc's own */
	assert_int_not_equal(blocked & BIT(SIGINT), 0);
	assert_int_equal(former & port_signals, 0);
	port_signals_restore(former);
	assert_int_equal(port_signals_blocked(), former);
}

static struct port_lock a, b;

/* They are blocked in the library's own threads, except those that a callback has unblocked. */
static void own_threads_keep_their_signals(void **state)
{
	uint64_t before = port_signals_blocked(), inside, after;

	thread_ours = true;
	port_lock(&a);
	inside = port_signals_blocked();
	port_unlock(&a);
	after = port_signals_blocked();
	thread_ours = false;
	port_signals_restore(before);
	assert_int_equal(inside, before);
	assert_int_equal(after, before);
}

static struct {
	const struct port_lock *lock;
	bool take;
	uint64_t blocked;
	unsigned calls;
} watched;

static void watch(const struct port_lock *lock, bool take, uint64_t blocked)
{
	watched.lock = lock;
	watched.take = take;
	watched.blocked = blocked;
	watched.calls++;
}

static void locks_are_watched(void **state)
{
	uint64_t former = port_signals_blocked();

	port_lock(&a);
	assert_true(port_lock_held(&a));
	assert_false(port_lock_held(&b));
	assert_int_equal(port_signals_blocked() & port_signals, BLOCKED);
	port_lock_watch = watch;
	port_lock(&b);
	assert_int_equal(watched.calls, 1);
	assert_ptr_equal(watched.lock, &b);
	assert_true(watched.take);
	assert_int_equal(watched.blocked & port_signals, port_signals);
	port_unlock(&b);
	assert_int_equal(watched.calls, 2);
	assert_ptr_equal(watched.lock, &b);
	assert_false(watched.take);
	assert_int_equal(watched.blocked & port_signals, BLOCKED);
	port_unlock(&a); /* it was taken before there was a validator */
	assert_int_equal(watched.calls, 2);
	a.unwatched = true;
	port_lock(&a);
	port_unlock(&a);
	assert_int_equal(watched.calls, 2);
	a.unwatched = false;
	port_lock_watch = NULL;
	assert_false(port_lock_held(&a));
	assert_int_equal(port_signals_blocked(), former);
}

static unsigned sum;

static void *adds(void *unused)
{
	for (unsigned i = 0; i < 20000; i++) {
		unsigned n;

		port_lock(&a);
		n = load(&sum);
		if (i % 64 == 0)
			sched_yield();
		store(&sum, n + 1);
		port_unlock(&a);
	}
	return unused;
}

static void locks_exclude(void **state)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, adds, NULL);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(sum, 80000);
	assert_int_equal(a.word, 0);
}

/* ---- processes ---- */

static int first_free; /* descriptor */

static void *ends_with_main(void *unused)
{
	while (!process_main_dead())
		port_sleep(100000);
	check(port_tid_dead(getpid()));
	check(open("/", O_RDONLY) == first_free); /* none was left open */
	_exit(0);
	return unused;
}

static void main_thread_ends(void)
{
	pthread_t other;

	port_fork_child();
	close(0); /* so that the number of a descriptor may be 0 */
	first_free = open("/", O_RDONLY);
	close(first_free);
	check(!process_main_dead());
	check(!port_tid_dead(getpid()));
	check(!port_tid_dead(port_tid()));
	check(pthread_create(&other, NULL, ends_with_main, NULL) == 0);
	pthread_exit(NULL);
}

static void dead_main_thread_is_seen(void **state)
{
	in_child(main_thread_ends);
}

static void raw_child(void)
{
	uint32_t forks = port_forks;

	check(port_forked_raw());
	check(port_foreign());
	check(!port_tid_dead(1u << 30)); /* that is not for this process to say */
	port_fork_child();
	check(!port_forked_raw());
	check(!port_foreign());
	check(port_forks == forks + 1);
	check(port_survivor == port_id());
	check(port_tid_dead(1u << 30));
}

static void children_know_their_parent(void **state)
{
	assert_false(port_forked_raw());
	assert_false(port_foreign());
	assert_true(port_tid_dead(1u << 30));
	in_child(raw_child);
	assert_false(port_forked_raw());
}

static struct port_lock *const locks[] = { &a, &b, NULL };
static uint32_t has_locked;

static void *locks_one(void *unused)
{
	port_lock(&b);
	store_release(&has_locked, 1);
	port_unlock(&b);
	return unused;
}

static bool once_other_has_locked(void)
{
	assert_true(port_lock_held(&a));
	assert_true(port_lock_held(&b));
	return load_acquire(&has_locked);
}

static bool never(void)
{
	return false;
}

static bool at_once(void)
{
	return true;
}

static void forks_take_all_locks(void **state)
{
	sigset_t mask, before;
	uint64_t former;
	pthread_t other;

	sigemptyset(&mask); /* what the program blocks stays blocked */
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &mask, &before);
	former = port_signals_blocked();

	/* between two attempts others get the locks */
	pthread_create(&other, NULL, locks_one, NULL);
	port_fork_begin(locks, once_other_has_locked);
	assert_true(load(&has_locked));
	assert_true(port_fork_complete());
	assert_true(port_signals_blocked() & BIT(SIGINT));
	port_fork_end(locks);
	pthread_join(other, NULL);
	assert_int_equal(port_signals_blocked(), former);
	assert_int_equal(a.word | b.word, 0);

	port_fork_begin(locks, never); /* callbacks that do not end */
	assert_true(port_lock_held(&a) && port_lock_held(&b));
	assert_true(port_fork_complete());
	port_fork_end(locks);

	/* by a handler that has interrupted the holder, and by a handler of a handler */
	port_lock(&a);
	port_fork_begin(locks, at_once);
	port_fork_begin(locks, at_once);
	assert_true(port_lock_held(&b));
	port_fork_end(locks);
	assert_true(port_lock_held(&a) && port_lock_held(&b));
	assert_true(port_signals_blocked() & BIT(SIGINT));
	port_fork_end(locks);
	assert_true(port_lock_held(&a));
	assert_false(port_lock_held(&b));
	port_unlock(&a);
	assert_int_equal(port_signals_blocked(), former);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int platform_tasks(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_are_set_up),
		cmocka_unit_test(yields_and_sleeps),
		cmocka_unit_test(threads_are_not_pinned_like_their_starter),
		cmocka_unit_test(threads_have_their_priority),
		cmocka_unit_test(cancellation_is_restored),
		cmocka_unit_test(signals_are_taken),
		cmocka_unit_test(faults_stay_unblocked),
		cmocka_unit_test(own_threads_keep_their_signals),
		cmocka_unit_test(locks_are_watched),
		cmocka_unit_test(locks_exclude),
		cmocka_unit_test(dead_main_thread_is_seen),
		cmocka_unit_test(children_know_their_parent),
		cmocka_unit_test(forks_take_all_locks),
	};
	int failed = platform_refused_first();

	port_process();
	port_init(false, false);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
