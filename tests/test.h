/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the test programs share. They know the public headers and the manual alone.
 *
 * Each case runs in a process of its own: the program executes itself anew, under an alarm, with
 * standard error in a file. A case passes when it ends as its row says and has written on standard
 * error what its row says, or else nothing.
 *
 * usage: test_NAME [PATTERN]	runs the cases that match
 *
 * With TEST_EMULATOR and TEST_EMULATED in the environment, cases are run by the latter, which is
 * the same program built for another machine, in the former; but not those that TEST_EXCEPT names,
 * with a space before and behind each.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <anyrcu/anyrcu.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#ifdef __has_feature
#define TEST_FEATURE(x) __has_feature(x)
#else
#define TEST_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || TEST_FEATURE(thread_sanitizer)
#define TSAN 1
#else
#define TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TEST_FEATURE(address_sanitizer)
#define ASAN 1
#else
#define ASAN 0
#endif

/*
 * The child of a fork() can call malloc() while its parent's other threads were in it: glibc holds
 * its locks over fork(), the sanitizers' runtimes do not hold theirs.
 */
#define MALLOC_FORKS (!ASAN && !TSAN)

/*
 * Counts are for the plain build; the sanitizers take ten times as long for each, and so does an
 * emulator.
 */
#ifndef TEST_SLOWNESS
#define TEST_SLOWNESS (TSAN ? 10 : ASAN ? 4 : 1)
#endif
#define SCALED(n) ((n) / TEST_SLOWNESS)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct test_case {
	const char *name;
	void (*body)(void);
	/* before the program is executed: what it shall find when it is loaded */
	void (*before)(void);
	int sig; /* that ends it; 0: it exits with 0 */
	const char *says[4]; /* on standard error; without any, nothing is said there */
	const char *env[4];
	unsigned seconds; /* of CPU time, until it counts as hung; 60 by default */
};

#define CASE(f, ...)                                 \
	{                                            \
		.name = #f, .body = f, ##__VA_ARGS__ \
	}

/* TEST_SECONDS, for a test of which one knows that it fails; or @usual. */
static inline int test_seconds(int usual)
{
	const char *seconds = getenv("TEST_SECONDS");

	return seconds ? atoi(seconds) : usual;
}

#define CHECK(x)                                             \
	do {                                                 \
		if (!(x))                                    \
			test_failed(__FILE__, __LINE__, #x); \
	} while (0)
/*
 * Wait for what must come, however busy the machine is: beside others that spin, each sleep takes
 * many times as long.
 */
#define UNTIL(x)                                                     \
	do {                                                         \
		for (int ms_ = 0; !(x); ms_++) {                     \
			if (ms_ >= 1000 * test_seconds(60))          \
				test_failed(__FILE__, __LINE__, #x); \
			test_sleep_ms(1);                            \
		}                                                    \
	} while (0)

static inline void test_failed(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: failed: %s\n", file, line, what);
	_exit(1);
}

static inline void test_sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t))
		;
}

/* What the case has on standard error so far. */
static inline const char *test_said(void)
{
	static char said[1 << 16];
	ssize_t n = pread(2, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = 0;
	return said;
}

static inline bool test_excepted(const char *name)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return getenv("TEST_EXCEPT") && strstr(getenv("TEST_EXCEPT"), word);
}

/*
 * Against a hang. A case that runs on may use so many seconds of CPU time, of which no case needs a
 * tenth; one that waits for what never comes is ended after ten times as long on the clock, which
 * beside busy processes is no more.
 */
static inline void limit_set(unsigned seconds)
{
	struct rlimit cpu = { .rlim_cur = seconds, .rlim_max = seconds + 1 };

	setrlimit(RLIMIT_CPU, &cpu);
	alarm(10 * seconds);
}

static inline void test_case_run(void **state)
{
	const struct test_case *c = *state;
	static char said[1 << 16];
	int file = memfd_create("stderr", MFD_CLOEXEC), status;
	bool right = true;
	pid_t pid;
	ssize_t n;

	if (test_excepted(c->name))
		skip();
	pid = fork();
	assert_true(file >= 0 && pid >= 0);
	if (!pid) {
		setpgid(0, 0);
		for (size_t i = 0; i < COUNT(c->env) && c->env[i]; i++)
			putenv((char *)c->env[i]);
		limit_set(test_seconds(c->seconds ? c->seconds : 60) * (TSAN || ASAN ? 3 : 1));
		dup2(file, 2);
		if (c->before)
			c->before();
		if (getenv("TEST_EMULATOR"))
			execlp(getenv("TEST_EMULATOR"), "emulator", getenv("TEST_EMULATED"),
			       "--case", c->name, NULL);
		execl("/proc/self/exe", program_invocation_short_name, "--case", c->name, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	kill(-pid, SIGKILL);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(file);
	if (WIFSIGNALED(status) ? WTERMSIG(status) != c->sig : c->sig || WEXITSTATUS(status)) {
		fprintf(stderr, "%s: %s %d\n", c->name,
			WIFSIGNALED(status) ? "ended by signal" : "exited with",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		right = false;
	}
	for (size_t i = 0; i < COUNT(c->says) && c->says[i]; i++) {
		if (!strstr(said, c->says[i])) {
			fprintf(stderr, "%s: did not say \"%s\"\n", c->name, c->says[i]);
			right = false;
		}
	}
	if (!c->says[0] && said[0])
		right = false;
	if (!right) {
		fprintf(stderr, "%s: said:\n%s\n", c->name, said);
		fail();
	}
}

static inline int test_main(int argc, char **argv, const struct test_case *cases, size_t n)
{
	struct CMUnitTest tests[64] = { 0 };

	if (argc == 3 && !strcmp(argv[1], "--case")) {
		for (size_t i = 0; i < n; i++) {
			if (!strcmp(argv[2], cases[i].name)) {
				cases[i].body();
				return 0;
			}
		}
		return 126;
	}
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	if (n > COUNT(tests))
		return 126;
	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = cases[i].name,
						.test_func = test_case_run,
						.initial_state = (void *)&cases[i] };
	return _cmocka_run_group_tests(program_invocation_short_name, tests, n, NULL, NULL);
}

/*
 * With the stack that glibc gives: musl's 128 KiB overflow where signals that have gathered on a
 * busy machine are handled one inside the other.
 */
static inline pthread_t thread_start(void *(*f)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, 8 << 20));
	CHECK(!pthread_create(&t, &attr, f, arg));
	pthread_attr_destroy(&attr);
	return t;
}

static inline void thread_join(pthread_t t)
{
	CHECK(!pthread_join(t, NULL));
}

/* True when the child exited with 0. */
static inline bool child_ended_well(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) != pid)
		CHECK(errno == EINTR);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline struct anyrcu_stats stats(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s;
}

static inline int configure(struct anyrcu_config c)
{
	c.size = sizeof(c);
	return anyrcu_init(&c);
}

static inline void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction a = { .sa_handler = handler, .sa_flags = flags | SA_RESTART };

	CHECK(!sigaction(sig, &a, NULL));
}

/* Send @sig to the calling thread every @us microseconds. */
static inline timer_t ticks_start(int sig, long us)
{
	struct sigevent e = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = sig };
	struct itimerspec t = { .it_interval.tv_nsec = us * 1000, .it_value.tv_nsec = us * 1000 };
	timer_t timer;

	e.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	CHECK(!timer_create(CLOCK_MONOTONIC, &e, &timer));
	CHECK(!timer_settime(timer, 0, &t, NULL));
	return timer;
}

/* A reader in a thread of its own, which comes and goes when it is told. */
struct holder {
	pthread_t thread;
	_Atomic int inside, leave;
};

static inline void *holder_run(void *arg)
{
	struct holder *h = arg;

	anyrcu_read_lock();
	atomic_store(&h->inside, 1);
	while (!atomic_load(&h->leave))
		test_sleep_ms(1);
	anyrcu_read_unlock();
	return NULL;
}

static inline void holder_enter(struct holder *h)
{
	atomic_store(&h->inside, 0);
	atomic_store(&h->leave, 0);
	h->thread = thread_start(holder_run, h);
	UNTIL(atomic_load(&h->inside));
}

static inline void holder_leave(struct holder *h)
{
	atomic_store(&h->leave, 1);
	thread_join(h->thread);
}

/*
 * Objects that count how often they were invoked. They can be had in a signal handler, each once.
 */
struct object {
	struct anyrcu_head head;
	_Atomic int invoked;
};

/* Who finds none left does without. */
#define POOL (1 << 20)
static struct object pool[POOL];
static _Atomic size_t pool_used;

static inline struct object *object_get(void)
{
	size_t i = atomic_load(&pool_used);

	while (i < POOL && !atomic_compare_exchange_weak(&pool_used, &i, i + 1))
		;
	return i < POOL ? &pool[i] : NULL;
}

static inline void object_invoked(void *arg)
{
	atomic_fetch_add(&((struct object *)arg)->invoked, 1);
}

static inline void object_called(struct anyrcu_head *head)
{
	object_invoked(head);
}

static inline void object_called_too(struct anyrcu_head *head)
{
	atomic_fetch_add(&((struct object *)head)->invoked, 1);
}

/* Defer one object in a way that is allowed in any context, @how says which. */
static inline void object_defer(unsigned how)
{
	struct object *o = object_get();

	if (!o)
		return;
	if (how % 3 == 0 || (how % 3 == 1 && !anyrcu_call_headless(object_invoked, o)))
		anyrcu_call(&o->head, object_called);
	else if (how % 3 == 2)
		anyrcu_call(&o->head, object_called_too);
}

static inline void object_defer_mightsleep(void)
{
	struct object *o = object_get();

	if (o)
		anyrcu_call_mightsleep(object_invoked, o);
}

/*
 * Nothing doubled, and nothing lost but what threads had taken and not deferred yet when the fork
 * came that left them out of this process: no more than so many.
 */
static inline void pool_check_but(size_t unfinished)
{
	size_t lost = 0, doubled = 0, n = atomic_load(&pool_used);

	anyrcu_barrier();
	for (size_t i = 0; i < n; i++) {
		lost += atomic_load(&pool[i].invoked) < 1;
		doubled += atomic_load(&pool[i].invoked) > 1;
	}
	if (lost > unfinished || doubled) {
		dprintf(2, "of %zu objects, %zu lost and %zu doubled\n", n, lost, doubled);
		_exit(1);
	}
}

/* Nothing was lost and nothing doubled. */
static inline void pool_check(void)
{
	pool_check_but(0);
}

#define TASKS_MAX 256

/* The threads of this process, as the kernel counts them. */
static inline size_t tasks(pid_t tids[TASKS_MAX])
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	size_t n = 0;

	CHECK(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.' && n < TASKS_MAX)
			tids[n++] = atoi(e->d_name);
	}
	closedir(d);
	return n;
}

static inline size_t tasks_count(void)
{
	pid_t tids[TASKS_MAX];

	return tasks(tids);
}

#endif
