/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where a program that was built for liburcu stands when no thread can be had, and which threads it
 * sees. Built with liburcu's headers, to be run by "anyrcu urcu", and with anyrcu's. HEADER is a
 * flavour's header.
 * usage: outside CASE
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../no_threads.h"

#define check(condition) ((condition) ? (void)0 : fails(#condition, __LINE__))
#define N 5000

static const char *doing;
static struct rcu_head heads[N];
static atomic_long invoked;

static _Noreturn void fails(const char *what, int line)
{
	fprintf(stderr, "outside.c:%d: %s: not %s\n", line, doing, what);
	_exit(1);
}

static void count(struct rcu_head *head)
{
	rcu_read_lock();
	if (!rcu_read_ongoing())
		_exit(3);
	atomic_fetch_add(&invoked, 1);
	rcu_read_unlock();
}

static void count_deferred(void *arg)
{
	atomic_fetch_add(&invoked, 1);
}

static void call_all(void)
{
	for (int i = 0; i < N; i++)
		call_rcu(&heads[i], count);
}

static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	check(dir);
	while ((e = readdir(dir)))
		n += *e->d_name != '.';
	closedir(dir);
	return n;
}

/* One that came too late to be of use, and is on its way out, counts for a moment. */
static void until_threads(int n)
{
	while (threads() > n)
		usleep(1000);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- no thread is to be had ---- */

static _Atomic bool refuse, late;
static atomic_int attempts;

struct held {
	void *(*start)(void *);
	void *arg;
	unsigned turns;
};

static void *starts_late(void *arg)
{
	struct held h = *(struct held *)arg;

	free(arg);
	for (atomic_uint i = 0; i < h.turns; i++)
		;
	return h.start(h.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	static __typeof__(&pthread_create) real;

	atomic_fetch_add(&attempts, 1);
	if (atomic_load(&refuse))
		return EAGAIN;
	if (!real)
		real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
	if (atomic_load(&late)) {
		static atomic_uint n;
		struct held *h = malloc(sizeof(*h));

		check(h);
		*h = (struct held){ start, arg, atomic_fetch_add(&n, 17) % 20000 };
		start = starts_late;
		arg = h;
	}
	return real(thread, attr, start, arg);
}

/* What is deferred waits for a thread, or for somebody who waits and so can do its work. */
static void deferral_works(bool in_caller)
{
	pthread_t self = pthread_self();
	struct call_rcu_data *c;

	atomic_store(&invoked, 0);
	call_all();
	rcu_barrier();
	check(atomic_load(&invoked) == N);
	rcu_barrier();
	c = create_call_rcu_data(0, -1);
	if (c) {
		set_thread_call_rcu_data(c);
		call_all();
		check(!in_caller || pthread_equal(get_call_rcu_thread(c), self));
		rcu_barrier();
		check(atomic_load(&invoked) == 2 * N);
		call_all();
		set_thread_call_rcu_data(NULL);
		rcu_thread_offline();
		call_rcu_data_free(c);
		rcu_thread_online();
		rcu_barrier();
		check(atomic_load(&invoked) == 3 * N);
	}
	atomic_store(&invoked, 0);
	rcu_thread_offline();
	if (!rcu_defer_register_thread()) {
		for (int i = 0; i < 10000; i++)
			defer_rcu(count_deferred, NULL);
		rcu_defer_barrier();
		check(atomic_load(&invoked) == 10000);
		defer_rcu(count_deferred, NULL);
		rcu_defer_barrier_thread();
		defer_rcu(count_deferred, NULL);
		rcu_defer_unregister_thread();
		check(atomic_load(&invoked) == 10002);
	}
	rcu_thread_online();
}

/*
 * An attempt costs more than a thousand calls do, so there are not many; and the first one that can
 * succeed does.
 */
static void no_thread(void)
{
	double begun = now();
	int alone = threads(), status;
	pid_t pid;

	atomic_store(&refuse, true);
	deferral_works(true);
	for (int i = 0; i < 1000; i++) {
		call_all();
		rcu_barrier();
	}
	check(attempts < 60 + 20 * (now() - begun));
	check(threads() == alone);
	call_rcu_before_fork();
	pid = fork();
	if (pid == 0) {
		call_rcu_after_fork_child();
		deferral_works(true);
		_exit(0);
	}
	call_rcu_after_fork_parent();
	rcu_thread_offline();
	check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	rcu_thread_online();
	atomic_store(&refuse, false);
	while (threads() == alone) {
		call_rcu(&heads[0], count);
		rcu_barrier();
		usleep(1000);
	}
	deferral_works(false);
}

/* Who waits without being a reader's thread: what is invoked there may read. */
static void no_thread_unregistered(void)
{
	rcu_unregister_thread();
	atomic_store(&refuse, true);
	call_all();
	rcu_barrier();
	check(atomic_load(&invoked) == N);
	rcu_register_thread();
}

/* Several wait at the same time, and one of them does the work. */
static void *waits(void *arg)
{
	static struct rcu_head mine[8][100];
	intptr_t me = (intptr_t)arg;

	while (!atomic_load(&refuse))
		usleep(1000);
	rcu_register_thread();
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 100; i++)
			call_rcu(&mine[me][i], count);
		rcu_barrier();
	}
	rcu_unregister_thread();
	return NULL;
}

static void no_thread_many_wait(void)
{
	pthread_t t[8];

	for (intptr_t i = 0; i < 8; i++)
		check(!pthread_create(&t[i], NULL, waits, (void *)i));
	atomic_store(&refuse, true);
	rcu_thread_offline();
	for (int i = 0; i < 8; i++)
		check(!pthread_join(t[i], NULL));
	rcu_thread_online();
	check(atomic_load(&invoked) == 8 * 200 * 100);
}

/* As a user who has as many processes as may be. */
static void nobody(void)
{
	struct rlimit none = { 0, 0 };
	pthread_t t;

	if (getuid() == 0)
		check(!setgid(65534) && !setuid(65534));
	check(!setrlimit(RLIMIT_NPROC, &none));
	check(pthread_create(&t, NULL, waits, NULL) == EAGAIN);
	deferral_works(true);
}

/* And with nobody ever but the program's first thread. */
static void no_thread_at_all(void)
{
	if (!getenv("NO_THREADS")) {
		check(no_threads() && !setenv("NO_THREADS", "", 1));
		execl("/proc/self/exe", "outside", "no_thread_at_all", NULL);
		check(!"executed");
	}
	deferral_works(true);
}

/* ---- where threads start ---- */

static void threads_start(void)
{
	int n = threads();

	check(n == 1);
	rcu_register_thread();
	rcu_read_lock();
	rcu_read_unlock();
	rcu_quiescent_state();
	synchronize_rcu();
	check(threads() == 1);
	call_rcu(&heads[0], count);
	rcu_barrier();
	until_threads(2);
	check(threads() == 2);
	rcu_thread_offline();
	check(!rcu_defer_register_thread());
	until_threads(3);
	check(threads() == 3);
	rcu_defer_unregister_thread();
}

/*
 * ---- the end of a queue, whose thread the program joins in liburcu 0.13 and the library since
 * 0.14 ----
 */

static long address_space(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages;

	check(f && fscanf(f, "%ld", &pages) == 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void *sleeps(void *stop)
{
	while (!atomic_load((_Atomic bool *)stop))
		usleep(1000);
	return stop;
}

/* The thread that is started after the end of the queue may get what the other's was known by. */
static void joined_by_program(void)
{
	for (int round = 0; round < 100; round++) {
		struct call_rcu_data *c = create_call_rcu_data(0, -1);
		_Atomic bool stop = false;
		pthread_t of_queue, mine;
		void *result;

		check(c);
		of_queue = get_call_rcu_thread(c);
		rcu_thread_offline();
		call_rcu_data_free(c);
		check(!pthread_create(&mine, NULL, sleeps, &stop));
		check(!pthread_equal(mine, of_queue));
		check(!pthread_join(of_queue, &result) && result != &stop);
		atomic_store(&stop, true);
		check(!pthread_join(mine, &result) && result == &stop);
		rcu_thread_online();
	}
}

static void joined(bool asks)
{
	int n;
	long bytes = 0;

	call_rcu(&heads[0], count);
	rcu_barrier();
	n = threads();
	for (int round = 0; round < 200; round++) {
		struct call_rcu_data *c = create_call_rcu_data(0, -1);

		check(c);
		if (asks)
			get_call_rcu_thread(c);
		rcu_thread_offline();
		call_rcu_data_free(c);
		rcu_thread_online();
		until_threads(n);
		if (round == 20)
			bytes = address_space();
	}
	check(address_space() < bytes + (100l << 20));
}

static void joined_by_library(void)
{
	joined(true);
}

static void not_asked_for(void)
{
	joined(false);
}

/*
 * A queue has ended before the thread that was started for it has come so far; and the memory is
 * another's by then.
 */
static void thread_comes_late(void)
{
	atomic_store(&late, true);
	for (int round = 0; round < 20000; round++) {
		struct call_rcu_data *c = create_call_rcu_data(0, -1);

		check(c);
		rcu_thread_offline();
		call_rcu_data_free(c);
		rcu_thread_online();
	}
	atomic_store(&late, false);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "no_thread", no_thread },
	{ "no_thread_unregistered", no_thread_unregistered },
	{ "no_thread_many_wait", no_thread_many_wait },
	{ "nobody", nobody },
	{ "no_thread_at_all", no_thread_at_all },
	{ "joined_by_program", joined_by_program },
	{ "joined_by_library", joined_by_library },
	{ "not_asked_for", not_asked_for },
	{ "thread_comes_late", thread_comes_late },
};

int main(int argc, char **argv)
{
	doing = argc == 2 ? argv[1] : "";
	if (!strcmp(doing, "threads_start")) {
		threads_start();
		return 0;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (strcmp(doing, cases[i].name))
			continue;
		rcu_register_thread();
		cases[i].run();
		rcu_unregister_thread();
		return 0;
	}
	fprintf(stderr, "outside: no such case\n");
	return 2;
}
