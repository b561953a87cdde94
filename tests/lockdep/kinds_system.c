/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that use what the system has beside threads, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- memory that is made anew at its place ---- */

static pthread_mutex_t *page;

static void *new_page(int fixed)
{
	return mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
}

/* @arg: the other way round. */
THREAD(two_of_page)
{
	page[0] = page[1] = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	in_order(&page[arg ? 1 : 0], &page[arg ? 0 : 1]);
	return NULL;
}

static void mapped_over(void)
{
	page = new_page(0);
	run(two_of_page, NULL);
	if (!wrong)
		new_page(MAP_FIXED);
	run(two_of_page, &a);
}

static void not_needed(void)
{
	page = new_page(0);
	run(two_of_page, NULL);
	if (!wrong)
		madvise(page, 4096, MADV_DONTNEED);
	run(two_of_page, &a);
}

/* ---- signals, as System V has them ---- */

static void takes_a(int sig)
{
	lock(&a);
	unlock(&a);
	(void)sig;
}

static void held_signal(void)
{
	int sig = wrong ? SIGUSR2 : SIGUSR1;

	signal(SIGUSR1, takes_a);
	sighold(sig);
	lock(&a);
	unlock(&a);
	sigrelse(sig);
	raise(SIGUSR1);
}

static void set_signal(void)
{
	sigset(SIGUSR1, takes_a);
	if (!wrong)
		sigset(SIGUSR1, SIG_HOLD);
	lock(&a);
	unlock(&a);
	if (!wrong)
		sigset(SIGUSR1, takes_a);
	raise(SIGUSR1);
}

/* ---- named semaphores ---- */

static sem_t *make_named(char c)
{
	char name[32];
	sem_t *s;

	snprintf(name, sizeof(name), "/anyrcu-%d-%c", (int)getpid(), c);
	s = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	sem_unlink(name);
	if (s == SEM_FAILED)
		abort();
	return s;
}

static sem_t *first, *second;

THREAD(semaphores_in_order)
{
	sem_t *outer = arg ? second : first, *inner = arg ? first : second;

	sem_wait(outer);
	sem_wait(inner);
	sem_post(inner);
	sem_post(outer);
	return NULL;
}

static void named_semaphores(void)
{
	first = make_named('a');
	second = make_named('b');
	run(semaphores_in_order, NULL);
	run(semaphores_in_order, wrong ? &a : NULL);
}

/* One order in a process, the other in another. */
static void in_child(bool outside, pthread_mutex_t *m, sem_t *s)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (outside)
			lock(m);
		sem_wait(s);
		if (!outside)
			lock(m);
		unlock(m);
		sem_post(s);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void semaphore_of_processes(void)
{
	pthread_mutex_t *m =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t shared;

	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(m, &shared);
	first = make_named('a');
	in_child(false, m, first);
	in_child(wrong, m, first);
}

static const struct kind kinds[] = {
	KIND(mapped_over), KIND(not_needed),	   KIND(held_signal),
	KIND(set_signal),  KIND(named_semaphores), KIND(semaphore_of_processes),
};
KINDS_MAIN(kinds)
