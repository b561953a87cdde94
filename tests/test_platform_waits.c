/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The POSIX platform: what waits for threads that are late, that cannot be started, or that have
 * ended, or for locks, with a clock that the test sets and system calls that it makes up. And what
 * takes a program of its own: the test runs itself again.
 */
#define _GNU_SOURCE
#include "test_platform.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <port/posix/sys.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <ucontext.h>

#define S UINT64_C(1000000000)

/* ---- a clock that is ahead, and that must not be read ---- */

static uint64_t ahead, stopped;
static void (*on_clock)(void); /* before it is read */

int clock_gettime(clockid_t clock, struct timespec *t)
{
	static __typeof__(clock_gettime) *real;
	int err;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "clock_gettime");
	err = real(clock, t);
	if (on_clock)
		on_clock();
	check(!load(&stopped));
	t->tv_sec += load(&ahead) / S;
	return err;
}

static uint32_t may_arrive, has_arrived;

static void *arrives_late(void *unused)
{
	store(&ahead, 11 * S);
	for (int i = 0; !load_acquire(&may_arrive); i++) {
		check(i < 10000);
		port_wait(&may_arrive, 0, 1000000);
	}
	port_thread_arrives();
	store_release(&has_arrived, 1);
	port_wake(&has_arrived);
	return unused;
}

/* A thread that has not arrived after ten seconds is not waited for any longer. */
static void late_thread(void)
{
	port_fork_child();
	check(port_thread_start(arrives_late, NULL, 0) == 0);
	check(!load(&has_arrived));
	store(&may_arrive, 1);
	port_wake(&may_arrive);
	while (!load_acquire(&has_arrived))
		port_wait(&has_arrived, 0, 0);
}

static void late_threads_are_not_waited_for(void **state)
{
	in_child(late_thread);
}

/* Nor is one that could not be started: nobody waits, and the clock is not read. */
static void no_thread(void)
{
	struct rlimit none = { .rlim_cur = 1, .rlim_max = 1 };

	port_fork_child();
	setrlimit(RLIMIT_NPROC, &none);
	if (getuid() == 0)
		check(setuid(65534) == 0);
	store(&stopped, 1);
	check(port_thread_start(arrives_late, NULL, 0) == -EAGAIN);
}

static void threads_that_do_not_exist_are_not_waited_for(void **state)
{
	in_child(no_thread);
}

/* ---- the end of the main thread ---- */

static uint32_t word, last_tid;

/* The last thread ends the process, when it has nothing to do. */
static void *last_thread(void *unused)
{
	port_thread_begin(-1, 0);
	store(&last_tid, port_tid());
	check(!port_main_ends()); /* it is not the main thread */
	while (!process_main_dead())
		port_sleep(100000);
	for (unsigned i = 0; i < 30000; i++) /* another thread ends it, which may take a while */
		port_wait(&word, 0, 1000000);
	_exit(2);
	return unused;
}

/* An exit handler may wait for any of the library's threads: none of those that it has calls it. */
static void on_exit_of_process(void)
{
	check(port_tid() != load(&last_tid));
}

static void main_thread_ends(void)
{
	pthread_t other;

	port_fork_child();
	check(atexit(on_exit_of_process) == 0);
	check(port_main_ends());
	check(pthread_create(&other, NULL, last_thread, NULL) == 0);
	pthread_exit(NULL);
}

static void last_thread_ends_process(void **state)
{
	in_child(main_thread_ends);
}

#if __GLIBC_PREREQ(2, 33)
/* How many links the directory of threads has, if that is made up, and whether it is refused. */
static uint32_t links, hidden, looked;

int stat(const char *path, struct stat *s)
{
	static __typeof__(stat) *real;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "stat");
	if (!load(&links) || strcmp(path, "/proc/self/task") != 0)
		return real(path, s);
	memset(s, 0, sizeof(*s));
	s->st_nlink = load(&links);
	store(&looked, 1);
	if (!load(&hidden))
		return 0;
	errno = EACCES;
	return -1;
}

static void ends_too_early(void)
{
	_exit(3);
}

static void *looks_in_vain(void *unused)
{
	unsigned before = creations;

	port_thread_begin(-1, 0);
	while (!process_main_dead())
		port_sleep(100000);
	while (!load(&looked))
		port_wait(&word, 0, 1000000);
	check(creations == before);
	_exit(0);
	return unused;
}

static void threads_are_hidden(void)
{
	pthread_t other;

	port_fork_child();
	store(&links, 3); /* as if there were no thread */
	store(&hidden, 1);
	check(atexit(ends_too_early) == 0);
	check(port_main_ends());
	check(pthread_create(&other, NULL, looks_in_vain, NULL) == 0);
	pthread_exit(NULL);
}

/* Where nothing tells whether there are other threads, the process goes on. */
static void hidden_threads_may_live(void **state)
{
	in_child(threads_are_hidden);
}
#endif

/* Until then it sleeps. A filter ends whoever does. */
static void waits_for_end(void)
{
	port_fork_child();
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	check(port_main_ends());
	thread_ours = true;
	if (!filter(SYS_futex, SECCOMP_RET_KILL_PROCESS))
		_exit(77);
	port_wait(&word, 0, 1000000);
}

static void threads_sleep_until_the_end(void **state)
{
	int status = status_of_child(waits_for_end);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* there are no filters here */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---- system calls that are made up ---- */

/* Is the call made up? Then its result is stored. */
static bool (*on_call)(long number, const long *a, long *result);

long syscall(long number, ...)
{
	static __typeof__(syscall) *real;
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (on_call && on_call(number, a, &result))
		return result;
	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The process is told that it may run on a CPU that does not exist. */
static bool is_elsewhere(long number, const long *a, long *result)
{
	cpu_set_t *set = (cpu_set_t *)a[2];

	if (number != SYS_sched_getaffinity)
		return false;
	CPU_ZERO(set);
	CPU_SET(CPU_SETSIZE - 1, set);
	*result = sizeof(*set);
	return true;
}

/* The process was moved since it was started: a thread runs where it may. */
static void moved(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	on_call = is_elsewhere;
	port_cpus_remember();
	on_call = NULL;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	port_thread_begin(-1, 0);
	sched_getaffinity(0, sizeof(one), &one);
	check(CPU_EQUAL(&one, &all));
}

static void moved_processes_run_where_they_may(void **state)
{
	in_child(moved);
}

static cpu_set_t moves[4];
static unsigned nmoves;

static bool is_move(long number, const long *a, long *result)
{
	if (number == SYS_sched_setaffinity && nmoves < ARRAY_SIZE(moves))
		memcpy(&moves[nmoves++], (const void *)a[2], sizeof(moves[0]));
	return false;
}

/* A thread that follows moves to the CPU, and may then run where it might before. */
static void threads_follow(void **state)
{
	int cpu = sched_getcpu();
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	nmoves = 0;
	on_call = is_move;
	port_follow(cpu);
	on_call = NULL;
	assert_int_equal(nmoves, 2);
	assert_int_equal(CPU_COUNT(&moves[0]), 1);
	assert_true(CPU_ISSET(cpu, &moves[0]));
	assert_true(CPU_EQUAL(&moves[1], &all));
}

static unsigned wakes;

static bool is_wake(long number, const long *a, long *result)
{
	wakes += number == SYS_futex && a[1] == FUTEX_WAKE_PRIVATE;
	return false;
}

/* Whoever waits for it is woken: the time-out is for threads that do not arrive. */
static void arrives(void)
{
	on_call = is_wake;
	port_thread_arrives();
	check(wakes == 1);
}

static void arrival_wakes(void **state)
{
	in_child(arrives);
}

/* What was in the buffer before does not count. */
static bool reads_nothing(long number, const long *a, long *result)
{
	if (number != SYS_read)
		return false;
	memcpy((void *)a[1], ")Z", 3);
	*result = 0;
	return true;
}

static void nothing_read_is_no_end(void **state)
{
	bool dead;

	on_call = reads_nothing;
	dead = process_main_dead();
	on_call = NULL;
	assert_false(dead);
}

#if __GLIBC_PREREQ(2, 33) && defined(__x86_64__)
/* ---- two threads that end at the same time ---- */

#define TRAP_FLAG 0x100

static struct {
	uint32_t tid, goes_on;
} stepped, other;
static unsigned steps, last_step;

static void *ends_beside(void *thread)
{
	__typeof__(&other) t = thread;

	port_thread_begin(-1, 0);
	store_release(&t->tid, port_tid());
	port_wake(&t->tid);
	while (!load_acquire(&t->goes_on))
		port_wait(&t->goes_on, 0, 0);
	return NULL;
}

static void start_beside(__typeof__(&other) t)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, ends_beside, t) == 0);
	while (!load_acquire(&t->tid))
		port_wait(&t->tid, 0, 0);
}

static void end_beside(__typeof__(&other) t)
{
	store_release(&t->goes_on, 1);
	port_wake(&t->goes_on);
	while (!port_tid_dead(load(&t->tid)))
		port_sleep(10000);
}

/* What the thread does from here on comes one instruction at a time. */
static void step_from_here(void)
{
	if (port_tid() == load(&stepped.tid))
		__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
				 "pushfq\n\t"
				 "orq %0, (%%rsp)\n\t"
				 "popfq\n\t"
				 "leaq 128(%%rsp), %%rsp" ::"i"(TRAP_FLAG)
				 : "memory", "cc");
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	if (++steps < last_step)
		return;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	end_beside(&other);
}

static bool reads_end(long number, const long *a, long *result)
{
	if (number != SYS_read)
		return false;
	memcpy((void *)a[1], ") Z", 3);
	*result = 3;
	return true;
}

/* Both are counted: with one thread left that is not the library's, the process goes on. */
static void two_end(void)
{
	struct sigaction sa = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	unsigned before;

	port_fork_child();
	sigaction(SIGTRAP, &sa, NULL);
	port_thread_exit_hook = step_from_here;
	start_beside(&stepped);
	start_beside(&other);
	end_beside(&stepped);
	end_beside(&other);
	check(steps == last_step);
	before = creations;
	check(atexit(ends_too_early) == 0);
	store(&links, 4);
	check(port_main_ends());
	thread_ours = true;
	on_call = reads_end;
	while (!load(&looked))
		port_wait(&word, 0, 1000000);
	check(creations == before);
}

static void ends_are_counted(void **state)
{
	for (last_step = 1; last_step <= 100; last_step++)
		in_child(two_end);
}
#endif

/* ---- forks that wait for a lock ---- */

static struct port_lock held;
static struct port_lock *const locks[] = { &held, NULL };
static unsigned readings;

static void passes(void)
{
	if (++readings == 2)
		store(&ahead, 11 * S);
}

/* The holder releases it while the thread sleeps. */
static bool is_released(long number, const long *a, long *result)
{
	if (number != SYS_clock_nanosleep)
		return false;
	store(&held.word, 0);
	*result = 0;
	return true;
}

static bool at_once(void)
{
	return true;
}

/* A thread that holds no lock waits for those that do, as long as it takes. */
static void waits_for_lock(void)
{
	port_fork_child();
	held.word = UINT64_C(1) << 40; /* of another thread */
	on_clock = passes;
	on_call = is_released;
	port_fork_begin(locks, at_once);
	check(port_fork_complete());
	check(port_lock_held(&held));
	port_fork_end(locks);
	check(held.word == 0);
}

static void forks_wait_for_locks(void **state)
{
	in_child(waits_for_lock);
}

/* ---- programs of their own ---- */

#define LONG_NAME "--has-long-name"
#define KEYS "TEST_PLATFORM_KEYS"

static void run_again(int program, const char *what)
{
	char *const argv[] = { "test_platform", (char *)what, NULL };

	fexecve(program, argv, environ);
	_exit(4);
}

static void runs_with_long_name(void)
{
	char name[250];
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	copy = memfd_create(name, MFD_CLOEXEC);
	if (copy < 0)
		return; /* not here */
	while (sendfile(copy, self, NULL, 1 << 30) > 0)
		;
	run_again(copy, LONG_NAME);
}

static void long_names_are_cut(void **state)
{
	in_child(runs_with_long_name);
}

static void has_long_name(void)
{
	char name[512] = "";
	struct port_where w = { 0 };

	port_stack_prime();
	check(readlink("/proc/self/exe", name, sizeof(name) - 1) > 255);
	name[255] = '\0';
	check(port_where((const void *)has_long_name, &w));
	check(strcmp(w.module, name) == 0);
}

/* The library's key is made before main(). The program has as many before as KEYS says. */
int pthread_key_create(pthread_key_t *key, void (*f)(void *))
{
	static __typeof__(pthread_key_create) *real;
	const char *keys = getenv(KEYS);
	int err;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "pthread_key_create");
	do
		err = real(key, f);
	while (keys && !err && *key < (unsigned)atoi(keys));
	return err;
}

static unsigned keys_set;

int pthread_setspecific(pthread_key_t key, const void *value)
{
	static __typeof__(pthread_setspecific) *real;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "pthread_setspecific");
	keys_set++;
	return real(key, value);
}

static void has_last_key(void)
{
	setenv(KEYS, "31", 1);
	run_again(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), KEYS);
}

static void has_later_key(void)
{
	setenv(KEYS, "32", 1);
	run_again(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), KEYS);
}

/* A later key than the first 32 is not for a handler: libc may allocate memory for it. */
static void handlers_use_no_later_key(void **state)
{
	in_child(has_last_key);
	in_child(has_later_key);
}

static void has_key(const char *key)
{
	keys_set = 0;
	port_thread_exit_arm();
	check(keys_set == (strcmp(key, "31") == 0));
	port_thread_exit_arm_task();
	check(keys_set == 1 + (strcmp(key, "31") == 0));
}

bool platform_runs_again(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], LONG_NAME) == 0)
		has_long_name();
	else if (argc > 1 && strcmp(argv[1], KEYS) == 0)
		has_key(getenv(KEYS));
	else
		return false;
	return true;
}

int platform_waits(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_threads_are_not_waited_for),
		cmocka_unit_test(threads_that_do_not_exist_are_not_waited_for),
		cmocka_unit_test(last_thread_ends_process),
#if __GLIBC_PREREQ(2, 33)
		cmocka_unit_test(hidden_threads_may_live),
#endif
		cmocka_unit_test(threads_sleep_until_the_end),
		cmocka_unit_test(moved_processes_run_where_they_may),
		cmocka_unit_test(threads_follow),
		cmocka_unit_test(arrival_wakes),
		cmocka_unit_test(nothing_read_is_no_end),
#if __GLIBC_PREREQ(2, 33) && defined(__x86_64__)
		cmocka_unit_test(ends_are_counted),
#endif
		cmocka_unit_test(forks_wait_for_locks),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(handlers_use_no_later_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
