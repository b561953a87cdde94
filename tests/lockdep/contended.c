/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A program of whose locks is known how often they are acquired, waited for and by whom. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#define CHECK(call)                                                  \
	do {                                                         \
		int result_ = (call);                                \
		if (result_) {                                       \
			fprintf(stderr, "%s: %d\n", #call, result_); \
			_exit(1);                                    \
		}                                                    \
	} while (0)

static pthread_mutex_t quiet = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t in_handler = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static mtx_t c11;
/* Threads that wait in each round. */
#define ROUND 4
static pid_t waiters[ROUND];
static atomic_int nwaiters;

/* Does the thread sleep in the kernel, in a system call about something in @object? */
static bool blocked(pid_t tid, const void *object, size_t size)
{
	unsigned long number, address = 0;
	char path[64];
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	f = fopen(path, "r");
	if (!f) { /* this kernel does not tell */
		usleep(500000);
		return true;
	}
	n = fscanf(f, "%lu %lx", &number, &address);
	fclose(f);
	return n == 2 && address - (unsigned long)object < size;
}

static void await_blocked(const void *object, size_t size)
{
	while (atomic_load(&nwaiters) < ROUND)
		usleep(1000);
	for (int i = 0; i < ROUND; i++)
		while (!blocked(waiters[i], object, size))
			usleep(1000);
	atomic_store(&nwaiters, 0);
}

static void waits(void)
{
	static atomic_int taken;
	int i = atomic_fetch_add(&taken, 1) % ROUND;

	waiters[i] = gettid();
	atomic_fetch_add(&nwaiters, 1);
}

static void *waiter(void *arg)
{
	waits();
	CHECK(pthread_mutex_lock(&wanted)); /* waits */
	CHECK(pthread_mutex_unlock(&wanted));
	return arg;
}

static __attribute__((noinline)) void contend(void)
{
	pthread_t threads[ROUND];

	CHECK(pthread_mutex_lock(&wanted)); /* holds */
	for (int i = 0; i < ROUND; i++)
		CHECK(pthread_create(&threads[i], NULL, waiter, NULL));
	await_blocked(&wanted, sizeof(wanted));
	CHECK(pthread_mutex_unlock(&wanted));
	for (int i = 0; i < ROUND; i++)
		CHECK(pthread_join(threads[i], NULL));
}

static void *reader(void *arg)
{
	waits();
	CHECK(pthread_rwlock_rdlock(&table)); /* reads */
	CHECK(pthread_rwlock_unlock(&table));
	return arg;
}

static void readers_and_writer(void)
{
	pthread_t threads[ROUND];

	CHECK(pthread_rwlock_wrlock(&table)); /* writes */
	for (int i = 0; i < ROUND; i++)
		CHECK(pthread_create(&threads[i], NULL, reader, NULL));
	await_blocked(&table, sizeof(table));
	CHECK(pthread_rwlock_unlock(&table));
	for (int i = 0; i < ROUND; i++)
		CHECK(pthread_join(threads[i], NULL));
}

static void *waker(void *arg)
{
	CHECK(pthread_mutex_lock(&quiet));
	CHECK(pthread_cond_signal(&woken));
	CHECK(pthread_mutex_unlock(&quiet));
	return arg;
}

static void on_signal(int sig)
{
	(void)sig;
	CHECK(pthread_mutex_lock(&in_handler));
	CHECK(pthread_mutex_unlock(&in_handler));
}

/* On the smallest stack of its own. */
static void handlers(void)
{
	stack_t stack = { .ss_sp = malloc(8192), .ss_size = 8192 };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };

	CHECK(sigaltstack(&stack, NULL));
	CHECK(sigaction(SIGUSR1, &act, NULL));
	for (int i = 0; i < 50; i++)
		raise(SIGUSR1);
}

static void once_each(void)
{
	struct timespec past = { 0, 0 };
	pthread_mutexattr_t attr;
	pthread_mutex_t recursive;
	pthread_t thread;

	for (int i = 0; i < 1000; i++) {
		CHECK(pthread_mutex_lock(&quiet));
		CHECK(pthread_mutex_trylock(&quiet) != EBUSY); /* does not count */
		CHECK(pthread_mutex_unlock(&quiet));
		CHECK(pthread_spin_lock(&spin));
		CHECK(pthread_spin_unlock(&spin));
		CHECK(mtx_lock(&c11) != thrd_success);
		CHECK(mtx_unlock(&c11) != thrd_success);
	}
	CHECK(pthread_mutex_trylock(&quiet));
	CHECK(pthread_mutex_timedlock(&quiet, &past) != ETIMEDOUT); /* a wait, in vain */
	CHECK(pthread_mutex_unlock(&quiet));

	CHECK(pthread_mutexattr_init(&attr));
	CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE));
	CHECK(pthread_mutex_init(&recursive, &attr));
	for (int i = 0; i < 10; i++)
		CHECK(pthread_mutex_lock(&recursive));
	for (int i = 0; i < 10; i++)
		CHECK(pthread_mutex_unlock(&recursive));
	CHECK(pthread_mutex_destroy(&recursive));

	CHECK(pthread_mutex_lock(&quiet));
	CHECK(pthread_create(&thread, NULL, waker, NULL));
	CHECK(pthread_cond_wait(&woken, &quiet));
	CHECK(pthread_mutex_unlock(&quiet));
	CHECK(pthread_join(thread, NULL));
}

static __attribute__((noinline)) void first_place(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_lock(m));
	CHECK(pthread_mutex_unlock(m));
}

static __attribute__((noinline)) void second_place(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_lock(m));
	CHECK(pthread_mutex_unlock(m));
}

/* Where one lock was another comes to lie, which nobody says. */
static void used_again(void)
{
	pthread_mutex_t *m = calloc(1, sizeof(*m)), *again;

	first_place(m);
	free(m);
	again = calloc(1, sizeof(*m));
	second_place(again);
	free(again);
}

/* Once more for each line that is read. */
static void rounds(void)
{
	char line[80];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1;; i++) {
		contend();
		printf("round %d is over\n", i);
		if (!fgets(line, sizeof(line), stdin))
			exit(3);
	}
}

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	if (argc > 1 && !strcmp(argv[1], "rounds"))
		rounds();
	CHECK(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	CHECK(mtx_init(&c11, mtx_plain) != thrd_success);
	once_each();
	handlers();
	used_again();
	contend();
	readers_and_writer();
	child = fork();
	if (child == 0) {
		CHECK(pthread_mutex_lock(&in_handler)); /* in the child */
		if (argc > 1 && !strcmp(argv[1], "killed")) /* what it counted is there */
			raise(SIGKILL);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) != child);
	puts("done");
	return 3;
}
