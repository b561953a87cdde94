/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What record.sh records: programs that allocate an exact number of objects of a size that nothing
 * else allocates, in awkward ways.
 * usage: program WAY [COUNT]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

static long count = 1000;
static char *self;

/* The compiler must not see through it. */
static __thread void *volatile keep;

static void churn(size_t size, long n)
{
	for (long i = 0; i < n; i++) {
		keep = malloc(size);
		free(keep);
	}
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "program: %s\n", what);
	exit(99);
}

static void *thread(void *arg)
{
	churn(100003, count);
	return arg;
}

static void threads(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		need(pthread_create(&t[i], NULL, thread, NULL) == 0, "pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

static void short_threads(void)
{
	long n = count;
	pthread_t t;

	count = 1;
	for (long i = 0; i < n; i++) {
		need(pthread_create(&t, NULL, thread, NULL) == 0, "pthread_create");
		pthread_join(t, NULL);
	}
}

/* Each thread frees what another allocated, and allocates where another freed. */
static void *volatile box[16];

static void *exchange(void *arg)
{
	unsigned int seed = (uintptr_t)arg;

	for (long i = 0; i < count; i++)
		free(__atomic_exchange_n(&box[rand_r(&seed) % 16], malloc(100003),
					 __ATOMIC_ACQ_REL));
	return NULL;
}

static void hand_over(void)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		need(pthread_create(&t[i], NULL, exchange, (void *)(i + 1)) == 0, "pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 16; i++)
		free(box[i]);
}

/* One object of each size from 100003 on, all freed, and no other events. */
static void kinds(void)
{
	volatile size_t huge = SIZE_MAX / 2 + 1;
	void *p = malloc(100003);

	p = realloc(p, 100004);
	p = reallocarray(p, 1, 100005);
	errno = 0;
	need(!realloc(p, huge) && errno == ENOMEM, "realloc of too much");
	need(!reallocarray(p, huge, 2) && errno == ENOMEM, "reallocarray of too much");
	need(!malloc(huge) && !calloc(huge, 2), "malloc of too much");
	errno = 7;
	free(p);
	free(NULL);
	keep = calloc(2, 50003);
	free(keep);
	need(posix_memalign(&p, 64, 100007) == 0 && (uintptr_t)p % 64 == 0, "posix_memalign");
	free(p);
	need(posix_memalign(&p, 3, 1) == EINVAL, "posix_memalign of a bad alignment");
	keep = aligned_alloc(128, 100008);
	need((uintptr_t)keep % 128 == 0, "aligned_alloc");
	free(keep);
	keep = memalign(256, 100009);
	free(keep);
	keep = valloc(100010);
	free(keep);
	keep = pvalloc(100011);
	free(keep);
	keep = malloc(100012);
	need(!realloc(keep, 0), "realloc to nothing");
	need(errno == 7, "errno is changed");
}

static void reap(pid_t pid)
{
	int status;

	need(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a child");
}

/* In each process, and one that the child frees though it is its parent's. */
static void fork_twice(void)
{
	void *volatile inherited = malloc(100019);
	pid_t pid = fork();

	if (pid) {
		reap(pid);
		churn(100003, count);
		free(inherited);
		return;
	}
	free(inherited);
	churn(100003, count);
	/* Without the library's knowledge. */
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		churn(100003, count);
		_exit(0);
	}
	reap(pid);
	_exit(0);
}

static void exec(void)
{
	char n[32];

	churn(100003, count);
	keep = malloc(100019);
	snprintf(n, sizeof(n), "%ld", count);
	execl(self, self, "plain", n, NULL);
	need(0, "exec");
}

static void spawn(void)
{
	char n[32], *argv[] = { self, "plain", n, NULL };
	pid_t pid;

	churn(100003, count);
	snprintf(n, sizeof(n), "%ld", count);
	need(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0, "posix_spawn");
	reap(pid);
	pid = vfork();
	if (pid == 0) {
		execv(self, argv);
		_exit(1);
	}
	reap(pid);
	churn(100003, count);
}

static void shut_in(void)
{
	churn(100003, count);
	need(chdir("/proc") == 0, "chdir");
	need(geteuid() != 0 || chroot("/proc") == 0, "chroot");
	need(close_range(0, ~0u, 0) == 0, "close_range");
	churn(100003, count);
}

static volatile long handled;

static void handler(int sig)
{
	churn(100019, 3);
	handled++;
}

/* The allocator has to be safe in signal handlers. */
static void signals(void)
{
	const struct itimerval timer = { { 0, 200 }, { 0, 200 } }, stop = { 0 };

	signal(SIGALRM, handler);
	need(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
	while (handled < 1000)
		churn(100003, count);
	need(setitimer(ITIMER_REAL, &stop, NULL) == 0, "setitimer");
	printf("%ld\n", handled);
}

/* It ends in the midst of its threads. */
static void *endless(void *arg)
{
	for (;;)
		churn(100019, 1);
	return arg;
}

static void end_amid_threads(void (*end)(void))
{
	pthread_t t;

	for (int i = 0; i < THREADS; i++)
		need(pthread_create(&t, NULL, endless, NULL) == 0, "pthread_create");
	churn(100003, count);
	end();
}

static void quick_exit_0(void)
{
	_exit(0);
}

static void kill_self(void)
{
	kill(getpid(), SIGKILL);
}

/* What it leaves behind goes on, where nobody listens. */
static void daemonize(void)
{
	churn(100003, count);
	if (fork() == 0) {
		alarm(1);
		endless(NULL);
	}
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "";

	self = argv[0];
	if (argc > 2)
		count = atol(argv[2]);
	if (!strcmp(way, "plain"))
		churn(100003, count);
	else if (!strcmp(way, "threads"))
		threads();
	else if (!strcmp(way, "short-threads"))
		short_threads();
	else if (!strcmp(way, "hand-over"))
		hand_over();
	else if (!strcmp(way, "kinds"))
		kinds();
	else if (!strcmp(way, "fork"))
		fork_twice();
	else if (!strcmp(way, "exec"))
		exec();
	else if (!strcmp(way, "spawn"))
		spawn();
	else if (!strcmp(way, "shut-in"))
		shut_in();
	else if (!strcmp(way, "signals"))
		signals();
	else if (!strcmp(way, "abort"))
		end_amid_threads(abort);
	else if (!strcmp(way, "_exit"))
		end_amid_threads(quick_exit_0);
	else if (!strcmp(way, "kill"))
		end_amid_threads(kill_self);
	else if (!strcmp(way, "daemon"))
		daemonize();
	else
		need(0, "no such way");
	return 0;
}
