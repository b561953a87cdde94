/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The POSIX platform: what waits for threads that are late, that cannot be started, or that have
 * ended, with a clock that the test sets. And what takes a program of its own: the test runs itself
 * again.
 */
#define _GNU_SOURCE
#include "test_platform.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <time.h>

#define S UINT64_C(1000000000)

/* ---- a clock that is ahead, and that must not be read ---- */

static uint64_t ahead, stopped;

int clock_gettime(clockid_t clock, struct timespec *t)
{
	static __typeof__(clock_gettime) *real;
	int err;

	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "clock_gettime");
	err = real(clock, t);
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

static uint32_t word;

/* The last thread ends the process, when it has nothing to do. */
static void *last_thread(void *unused)
{
	port_thread_begin(-1, 0);
	check(!port_main_ends()); /* it is not the main thread */
	while (!process_main_dead())
		port_sleep(100000);
	for (unsigned i = 0; i < 30000; i++) /* another thread ends it, which may take a while */
		port_wait(&word, 0, 1000000);
	_exit(2);
	return unused;
}

static void main_thread_ends(void)
{
	pthread_t other;

	port_fork_child();
	check(port_main_ends());
	check(pthread_create(&other, NULL, last_thread, NULL) == 0);
	pthread_exit(NULL);
}

static void last_thread_ends_process(void **state)
{
	in_child(main_thread_ends);
}

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

/* ---- where threads run ---- */

static bool elsewhere;

/* The process is told that it may run on a CPU that does not exist. */
long syscall(long number, ...)
{
	static __typeof__(syscall) *real;
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (load(&elsewhere) && number == SYS_sched_getaffinity) {
		cpu_set_t *set = (cpu_set_t *)a[2];

		CPU_ZERO(set);
		CPU_SET(CPU_SETSIZE - 1, set);
		return sizeof(*set);
	}
	real = real ?: (__typeof__(real))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The process was moved since it was started: a thread runs where it may. */
static void moved(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	store(&elsewhere, true);
	port_cpus_remember();
	store(&elsewhere, false);
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
		cmocka_unit_test(threads_sleep_until_the_end),
		cmocka_unit_test(moved_processes_run_where_they_may),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(handlers_use_no_later_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
