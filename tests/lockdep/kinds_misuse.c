/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that take locks in handlers, or misuse them, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t up, down;

/* ---- signals ---- */

static void take_a(int sig)
{
	(void)sig;
	lock(&a);
	unlock(&a);
}

static void poll_opens(void)
{
	struct timespec soon = { .tv_nsec = 1000000 };
	sigset_t usr1, former;

	signal(SIGUSR1, take_a);
	raise(SIGUSR1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &former);
	lock(&a);
	ppoll(NULL, 0, &soon, wrong ? &former : &usr1);
	unlock(&a);
}

/* Before there is a handler nothing can come. */
static void before_handler(void)
{
	sigset_t usr1;

	if (wrong)
		signal(SIGUSR1, take_a);
	lock(&a);
	unlock(&a);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	signal(SIGUSR1, take_a);
	raise(SIGUSR1);
}

static void work_in_child(int sig)
{
	int status;
	pid_t pid = wrong ? 0 : fork();

	(void)sig;
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		lock(&a);
		unlock(&a);
		if (!wrong)
			_exit(0);
	} else {
		waitpid(pid, &status, 0);
	}
}

static void fork_in_handler(void)
{
	signal(SIGUSR1, work_in_child);
	lock(&a);
	unlock(&a);
	raise(SIGUSR1);
}

static char *page;

static void on_fault(int sig)
{
	(void)sig;
	lock(&a);
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
	unlock(&a);
}

static void fault(void)
{
	signal(SIGSEGV, on_fault);
	signal(SIGUSR1, take_a);
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)page = 1;
	if (wrong)
		raise(SIGUSR1);
	lock(&a);
	unlock(&a);
}

static void *volatile memory; /* so that nothing is left out */

static void use_allocator(int sig)
{
	(void)sig;
	if (wrong)
		free(memory);
}

static void allocate_in_handler(void)
{
	signal(SIGUSR1, use_allocator);
	memory = malloc(50);
	free(memory);
	memory = malloc(50);
	raise(SIGUSR1);
}

/* ---- misuse ---- */

THREAD(holds_a)
{
	lock(&a);
	sem_post(&up);
	sem_wait(&down);
	unlock(&a);
	return arg;
}

static void destroyed_by_other(void)
{
	pthread_t t;

	pthread_create(&t, NULL, holds_a, NULL);
	sem_wait(&up);
	if (wrong)
		pthread_mutex_destroy(&a);
	sem_post(&down);
	pthread_join(t, NULL);
}

static void destroyed(void)
{
	pthread_mutex_t *m = new_mutex();

	pthread_mutex_destroy(m);
	if (!wrong)
		pthread_mutex_init(m, NULL);
	lock(m);
	unlock(m);
}

static void recursive_wait(void)
{
	static pthread_mutex_t m = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	struct timespec past = { 0 };

	lock(&m);
	if (wrong)
		lock(&m);
	pthread_cond_timedwait(&cond, &m, &past);
	if (wrong)
		unlock(&m);
	unlock(&m);
}

static void sleep_with_spinlock(void)
{
	pthread_spinlock_t spin;

	pthread_spin_init(&spin, 0);
	pthread_spin_lock(&spin);
	if (wrong)
		usleep(1000);
	else
		lock(&a);
	pthread_spin_unlock(&spin);
	if (!wrong)
		unlock(&a);
}

/*
 * What a stranger unlocked its owner does not hold: that is said once, and nothing of it when he
 * locks again.
 */
THREAD(unlock_a)
{
	unlock(&a);
	return arg;
}

static void unlocked_by_other(void)
{
	lock(&a);
	if (wrong)
		run(unlock_a, NULL);
	else
		unlock(&a);
	lock(&a);
	unlock(&a);
}

static bool sleeps(pid_t pid)
{
	char path[32], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'S';
}

/* The wrong child waits for what nobody will release, until it is killed. */
static void forked_while_held(void)
{
	pthread_t t;
	int status;
	pid_t pid;

	pthread_create(&t, NULL, holds_a, NULL);
	sem_wait(&up);
	pid = fork();
	if (pid == 0) {
		if (!wrong)
			pthread_mutex_init(&a, NULL);
		lock(&a);
		unlock(&a);
		_exit(0);
	}
	while (wrong && !sleeps(pid))
		sched_yield();
	if (wrong)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	sem_post(&down);
	pthread_join(t, NULL);
}

/* ---- mutexes that are no more, or not yet ---- */

struct object {
	int value;
	pthread_mutex_t m;
};

static void copied(void)
{
	struct object *one = calloc(1, sizeof(*one)), *two = calloc(1, sizeof(*two));

	pthread_mutex_init(&one->m, NULL);
	lock(&one->m);
	unlock(&one->m);
	memcpy(two, one, sizeof(*two));
	if (!wrong)
		pthread_mutex_init(&two->m, NULL);
	lock(&two->m);
	unlock(&two->m);
}

/* What was moved is no copy. */
static void moved(void)
{
	struct object *one = calloc(1, sizeof(*one)), *two = calloc(1, sizeof(*two));

	pthread_mutex_init(&one->m, NULL);
	memcpy(two, one, sizeof(*two));
	if (!wrong)
		free(one);
	lock(&two->m);
	unlock(&two->m);
}

static void initialised_while_held(void)
{
	pthread_t t;

	pthread_mutex_init(&a, NULL);
	pthread_create(&t, NULL, holds_a, NULL);
	sem_wait(&up);
	if (wrong)
		pthread_mutex_init(&a, NULL);
	sem_post(&down);
	pthread_join(t, NULL);
	if (!wrong)
		pthread_mutex_init(&a, NULL);
}

static const struct kind kinds[] = {
	KIND(poll_opens),
	KIND(before_handler),
	KIND(fork_in_handler),
	KIND(fault),
	KIND(allocate_in_handler),
	KIND(destroyed_by_other),
	KIND(destroyed),
	KIND(recursive_wait),
	KIND(sleep_with_spinlock),
	KIND(unlocked_by_other),
	KIND(forked_while_held),
	KIND(copied),
	KIND(moved),
	KIND(initialised_while_held),
};
KINDS_MAIN(kinds)
