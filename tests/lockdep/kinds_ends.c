/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs whose locks meet forks, signals and the ends of threads, in pairs; see kinds.h.
 */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static sem_t full;

/* ---- fork ---- */

static void prepare(void)
{
	lock(wrong ? &b : &a);
	lock(wrong ? &a : &b);
}

static void unlock_both(void)
{
	unlock(&b);
	unlock(&a);
}

THREAD(waits_for_end)
{
	sem_wait(&full);
	return arg;
}

/* What a fork locks, it locks in the order of all. */
static void fork_handlers(void)
{
	pthread_t other;
	pid_t child;

	pthread_atfork(prepare, unlock_both, unlock_both);
	run(a_then_b, NULL);
	sem_init(&full, 0, 0);
	pthread_create(&other, NULL, waits_for_end, NULL);
	child = fork();
	if (child == 0) {
		run(a_then_b, NULL);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	sem_post(&full);
	pthread_join(other, NULL);
}

/* ---- locks that processes share ---- */

static pthread_mutex_t *make_shared(int n)
{
	pthread_mutex_t *m = mmap(NULL, n * sizeof(*m), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (int i = 0; i < n; i++)
		pthread_mutex_init(&m[i], &attr);
	return m;
}

static void in_a_process(pthread_mutex_t *outer, pthread_mutex_t *first, pthread_mutex_t *second)
{
	pid_t child = fork();

	if (child == 0) {
		if (outer)
			lock(outer);
		in_order(first, second);
		if (outer)
			unlock(outer);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* Each takes two of three locks. */
static void processes_in_a_ring(void)
{
	pthread_mutex_t *m = make_shared(3);

	in_a_process(NULL, &m[0], &m[1]);
	in_a_process(NULL, &m[1], &m[2]);
	in_a_process(NULL, &m[wrong ? 2 : 0], &m[wrong ? 0 : 2]);
}

static void processes_guarded(void)
{
	pthread_mutex_t *m = make_shared(3);

	in_a_process(&m[0], &m[1], &m[2]);
	in_a_process(wrong ? NULL : &m[0], &m[2], &m[1]);
}

/* Locks made anew are others. */
static void processes_use_again(void)
{
	pthread_mutex_t *m = make_shared(2);
	pthread_mutexattr_t attr;

	in_a_process(NULL, &m[0], &m[1]);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (int i = 0; i < 2 && !wrong; i++) {
		pthread_mutex_destroy(&m[i]);
		pthread_mutex_init(&m[i], &attr);
	}
	in_a_process(NULL, &m[1], &m[0]);
}

/* ---- signals ---- */

static void takes_a(int sig)
{
	lock(&a);
	unlock(&a);
	(void)sig;
}

static void held_with_mask(int sig, int blocked)
{
	sigset_t set;

	signal(sig, takes_a);
	sigemptyset(&set);
	sigaddset(&set, blocked);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	lock(&a);
	unlock(&a);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

static void masked(void)
{
	held_with_mask(SIGUSR1, wrong ? SIGUSR2 : SIGUSR1);
}

static sigjmp_buf back;

static void jumps(int sig)
{
	lock(&b);
	if (!wrong)
		unlock(&b);
	siglongjmp(back, sig);
}

THREAD(is_jumped_out_of)
{
	signal(SIGUSR1, jumps);
	if (!sigsetjmp(back, 0))
		raise(SIGUSR1);
	return arg;
}

/* Nobody unlocks what is held when a handler jumps. */
static void jump_out_of_handler(void)
{
	run(is_jumped_out_of, NULL);
}

/* ---- threads that end ---- */

static void unlock_it(void *m)
{
	unlock(m);
}

THREAD(is_cancelled)
{
	lock(arg);
	pthread_cleanup_push(unlock_it, arg);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	for (;;)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}

THREAD(is_cancelled_with_lock)
{
	lock(arg);
	for (;;)
		pause();
	return NULL;
}

static void cancelled(void)
{
	pthread_t t;

	pthread_create(&t, NULL, wrong ? is_cancelled_with_lock : is_cancelled, &a);
	pthread_cancel(t);
	pthread_join(t, NULL);
}

/* It took what is held where the end of another is waited for. */
static int had;

THREAD(takes_if_told)
{
	if (arg)
		in_order(&a, &b);
	__atomic_store_n(&had, 1, __ATOMIC_RELEASE);
	first_sleeps();
	return NULL;
}

/* The end of a thread says nothing of one before, whose name it has. */
static void joins_another(void)
{
	pthread_t t;

	run(takes_if_told, &had);
	had = 0;
	pthread_create(&t, NULL, takes_if_told, wrong ? &had : NULL);
	while (!__atomic_load_n(&had, __ATOMIC_ACQUIRE))
		sched_yield();
	lock(&a);
	pthread_join(t, NULL);
	unlock(&a);
}

/* ---- a thread that has ended, and what the others know of it ---- */

static long tid;
static sem_t is_done;

THREAD(b_then_a)
{
	in_order(&b, &a);
	if (arg)
		sem_post(arg);
	__atomic_store_n(&tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	return arg;
}

/* Until it is not there, which no program may rely on. */
static void is_gone(void)
{
	char name[64];

	while (!__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
		sched_yield();
	snprintf(name, sizeof(name), "/proc/self/task/%ld", tid);
	while (access(name, F_OK) == 0)
		sched_yield();
}

static void ended(void)
{
	pthread_t t;

	pthread_create(&t, NULL, b_then_a, NULL);
	is_gone();
	if (!wrong)
		pthread_join(t, NULL);
	in_order(&a, &b);
	if (wrong)
		pthread_join(t, NULL);
}

static void ended_joined_by_trying(void)
{
	pthread_t t;

	pthread_create(&t, NULL, b_then_a, NULL);
	is_gone();
	if (!wrong && pthread_tryjoin_np(t, NULL) != 0)
		abort();
	in_order(&a, &b);
}

/* It tells that it is past what it does. */
static void ended_detached(void)
{
	pthread_t t;

	sem_init(&is_done, 0, 0);
	pthread_create(&t, NULL, b_then_a, wrong ? NULL : &is_done);
	pthread_detach(t);
	if (!wrong)
		sem_wait(&is_done);
	is_gone();
	in_order(&a, &b);
}

static const struct kind kinds[] = {
	KIND(fork_handlers),
	KIND(processes_in_a_ring),
	KIND(processes_guarded),
	KIND(processes_use_again),
	KIND(masked),
	KIND(jump_out_of_handler),
	KIND(cancelled),
	KIND(joins_another),
	KIND(ended),
	KIND(ended_joined_by_trying),
	KIND(ended_detached),
};
KINDS_MAIN(kinds)
