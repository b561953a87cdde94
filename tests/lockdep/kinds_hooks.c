/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs whose locks are taken by what the system calls: timers, destructors, handlers
 * of exits, constructors, callbacks. In pairs; see kinds.h.
 */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <search.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

static sem_t up;

THREAD(b_then_a)
{
	in_order(&b, &a);
	return arg;
}

/* ---- timers ---- */

static void on_timer(union sigval v)
{
	(void)v;
	in_order(wrong ? &b : &a, wrong ? &a : &b);
	sem_post(&up);
}

static void start_timer(struct sigevent *e)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, e, &timer) != 0 ||
	    timer_settime(timer, 0, &soon, NULL) != 0)
		abort();
}

static void timer_thread(void)
{
	struct sigevent e = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_timer };

	sem_init(&up, 0, 0);
	run(a_then_b, NULL);
	start_timer(&e);
	sem_wait(&up);
}

static void takes_a(int sig)
{
	(void)sig;
	lock(&a);
	unlock(&a);
	sem_post(&up);
}

/* The timer is stopped with its signal blocked, or not. */
static void timer_signal(void)
{
	struct sigevent e = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	sigset_t set;

	sem_init(&up, 0, 0);
	signal(SIGRTMIN, takes_a);
	start_timer(&e);
	while (sem_wait(&up) != 0)
		;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	if (!wrong)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	lock(&a);
	unlock(&a);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- signals ---- */

THREAD(takes_signals)
{
	sigset_t *set = arg;
	int sig;

	if (sigwait(set, &sig) == 0)
		takes_a(sig);
	return NULL;
}

/* A thread waits for signals, and so may take locks for them; a handler may not. */
static void thread_for_signals(void)
{
	pthread_t t;
	sigset_t set;

	sem_init(&up, 0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (wrong) {
		signal(SIGUSR1, takes_a);
	} else {
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		pthread_create(&t, NULL, takes_signals, &set);
	}
	lock(&a);
	unlock(&a);
	kill(getpid(), SIGUSR1);
	while (sem_wait(&up) != 0)
		;
	if (!wrong)
		pthread_join(t, NULL);
}

static int wake[2];

static void tells(int sig)
{
	char byte = sig;

	if (wrong)
		lock(&a);
	if (write(wake[1], &byte, 1) != 1)
		abort();
	if (wrong)
		unlock(&a);
}

static void self_pipe(void)
{
	char byte;

	if (pipe(wake) != 0)
		abort();
	signal(SIGUSR1, tells);
	raise(SIGUSR1);
	if (read(wake[0], &byte, 1) != 1)
		abort();
	lock(&a);
	unlock(&a);
}

/* ---- ends ---- */

static pthread_key_t key;

static atomic_bool forgotten;

static void forget(void *m)
{
	in_order(m, &b);
	atomic_store(&forgotten, true);
}

THREAD(has_a_value)
{
	pthread_setspecific(key, arg);
	if (wrong)
		in_order(&b, &a);
	return NULL;
}

static void key_destructor(void)
{
	pthread_t other;

	pthread_key_create(&key, forget);
	pthread_create(&other, NULL, has_a_value, &a);
	while (!atomic_load(&forgotten))
		sched_yield();
	run(has_a_value, &a);
	pthread_join(other, NULL);
}

static void at_end(void)
{
	in_order(&a, &b);
}

/* What is done at the end is ordered like all else, as other threads run then. */
THREAD(runs_until_end)
{
	in_order(wrong ? &b : &a, wrong ? &a : &b);
	sem_post(&up);
	for (;;)
		pause();
	return arg;
}

static void exit_handler(void)
{
	pthread_t t;

	sem_init(&up, 0, 0);
	atexit(at_end);
	pthread_create(&t, NULL, runs_until_end, NULL);
	sem_wait(&up);
}

static void at_end_b(void)
{
	lock(&b);
	unlock(&b);
}

THREAD(b_then_a_until_end)
{
	in_order(&b, &a);
	sem_post(&up);
	for (;;)
		pause();
	return arg;
}

static void exit_under_lock(void)
{
	pthread_t t;

	sem_init(&up, 0, 0);
	atexit(at_end_b);
	pthread_create(&t, NULL, b_then_a_until_end, NULL);
	sem_wait(&up);
	lock(&a);
	if (!wrong)
		unlock(&a);
	if (write(1, "done\n", 5) == 5)
		exit(0);
}

static void give_back(void *m)
{
	if (!wrong)
		unlock(m);
}

static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

THREAD(waits_for_ever)
{
	lock(arg);
	pthread_cleanup_push(give_back, arg);
	sem_post(&up);
	for (;;)
		pthread_cond_wait(&never, arg);
	pthread_cleanup_pop(1);
	return NULL;
}

/* Who is cancelled in a wait has the mutex again. */
static void cancelled_in_wait(void)
{
	pthread_t t;

	sem_init(&up, 0, 0);
	pthread_create(&t, NULL, waits_for_ever, &a);
	sem_wait(&up);
	pthread_cancel(t);
	pthread_join(t, NULL);
}

THREAD(ends_detached)
{
	pthread_detach(pthread_self());
	lock(&a);
	if (!wrong)
		unlock(&a);
	sem_post(&up);
	return arg;
}

/* A detached thread is over when the system does not list it any more. */
static int threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

static void detached(void)
{
	int before = threads_now();

	pthread_t t;

	sem_init(&up, 0, 0);
	pthread_create(&t, NULL, ends_detached, NULL);
	sem_wait(&up);
	for (int i = 0; i < 5000 && threads_now() > before; i++)
		usleep(1000);
}

/* ---- robust mutexes ---- */

static pthread_mutex_t robust;

static void make_robust(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &attr);
	pthread_mutexattr_destroy(&attr);
}

THREAD(dies_with_robust)
{
	lock(&robust);
	return arg;
}

/* What was left is put in order with the journal locked, as others do it. */
THREAD(recovers)
{
	if (wrong)
		lock(&a);
	if (lock(&robust) != EOWNERDEAD)
		abort();
	if (!wrong)
		lock(&a);
	pthread_mutex_consistent(&robust);
	unlock(&a);
	unlock(&robust);
	return arg;
}

THREAD(robust_then_a)
{
	in_order(&robust, &a);
	return arg;
}

/* To end with a robust mutex is what these are for. */
static void robust_recovery(void)
{
	make_robust();
	run(robust_then_a, NULL);
	run(dies_with_robust, NULL);
	run(recovers, NULL);
}

/* ---- callbacks ---- */

static void *root;

static int compare(const void *l, const void *r)
{
	lock(&a);
	unlock(&a);
	return (l > r) - (l < r);
}

THREAD(searches)
{
	bool with_b = arg != NULL;

	if (with_b)
		lock(&b);
	tsearch(&a, &root, compare);
	tsearch(&b, &root, compare);
	if (with_b)
		unlock(&b);
	return NULL;
}

/* A comparison takes a lock; whoever has that must not ask for the lock of the tree. */
static void locks_in_comparison(void)
{
	run(searches, &b);
	run(wrong ? a_then_b : searches, &b);
}

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info, (void)size, (void)arg;
	lock(&a);
	unlock(&a);
	return 1;
}

THREAD(lists_objects)
{
	dl_iterate_phdr(on_object, NULL);
	return arg;
}

THREAD(loads)
{
	if (wrong)
		lock(&a);
	if (!dlopen("libm.so.6", RTLD_NOW))
		abort();
	if (!wrong)
		lock(&a);
	unlock(&a);
	return arg;
}

static void loads_under_lock(void)
{
	run(lists_objects, NULL);
	run(loads, NULL);
}

/* Before main there is one thread, unless somebody starts another. */
__attribute__((constructor)) static void early(int argc, char **argv)
{
	if (argc < 3 || strcmp(argv[1], "constructor"))
		return;
	if (strcmp(argv[2], "wrong"))
		in_order(&b, &a);
	else
		run(b_then_a, NULL);
}

static void constructor(void)
{
	run(a_then_b, NULL);
}

/* ---- fork ---- */

static void *volatile holder_ends;

THREAD(holds_a_until_told)
{
	lock(&a);
	sem_post(&up);
	while (!holder_ends)
		sched_yield();
	unlock(&a);
	return arg;
}

/* A child has the locks of the thread that forked, and may give them back; not those of others. */
static void child_gives_back(void)
{
	pthread_t t;
	int status;
	pid_t child;

	sem_init(&up, 0, 0);
	if (wrong) {
		pthread_create(&t, NULL, holds_a_until_told, NULL);
		sem_wait(&up);
	} else {
		lock(&a);
	}
	child = fork();
	if (child == 0) {
		unlock(&a);
		_exit(0);
	}
	waitpid(child, &status, 0);
	holder_ends = &a;
	if (wrong)
		pthread_join(t, NULL);
	else
		unlock(&a);
}

static const struct kind kinds[] = {
	KIND(timer_thread),    KIND(timer_signal),	  KIND(thread_for_signals),
	KIND(self_pipe),       KIND(key_destructor),	  KIND(exit_handler),
	KIND(exit_under_lock), KIND(cancelled_in_wait),	  KIND(detached),
	KIND(robust_recovery), KIND(locks_in_comparison), KIND(loads_under_lock),
	KIND(constructor),     KIND(child_gives_back),
};
KINDS_MAIN(kinds)
