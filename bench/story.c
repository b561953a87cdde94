/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "make run" shows first: a program whose signal handler and real-time thread replace what
 * readers read, done with a mutex, with liburcu, and with anyrcu. What hangs is ended after three
 * seconds in which it has made no step.
 *
 * usage: story
 */
#define _GNU_SOURCE
#ifdef WITH_URCU
#include <urcu.h>
#endif
#include <anyrcu/anyrcu.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UPDATES 1000 /* of the handler, and as many of the thread */

struct config {
	long version, check; /* the same, until it is freed */
	struct anyrcu_head rcu;
};

/* Shared with the process that watches. */
static struct shared {
	atomic_long steps, reads, handled, by_thread, freed, torn;
	atomic_int real_time;
} * shared;

static struct config *current, *spare[UPDATES + 1];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct config *config(long version)
{
	struct config *c = malloc(sizeof(*c));

	c->version = c->check = version;
	return c;
}

static void start_timer(void (*handler)(int))
{
	struct itimerval every = { { 0, 500 }, { 0, 500 } };
	struct sigaction a = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void look(const struct config *c)
{
	if (c->version != c->check)
		atomic_fetch_add(&shared->torn, 1);
	atomic_fetch_add(&shared->reads, 1);
	atomic_fetch_add(&shared->steps, 1);
}

/* ---- with a mutex ---- */

static void update_locked(int sig)
{
	long n = atomic_fetch_add(&shared->handled, 1);

	pthread_mutex_lock(&mutex);
	current->version = current->check = n;
	pthread_mutex_unlock(&mutex);
}

static void with_mutex(void)
{
	current = config(0);
	start_timer(update_locked);
	for (;;) {
		pthread_mutex_lock(&mutex);
		look(current);
		pthread_mutex_unlock(&mutex);
	}
}

/* ---- with liburcu ---- */

#ifdef WITH_URCU
static void update_urcu(int sig)
{
	long n = atomic_fetch_add(&shared->handled, 1);
	struct config *old = current;

	rcu_assign_pointer(current, spare[n % (UPDATES + 1)]);
	synchronize_rcu(); /* wait for readers, then the old one may be used again */
	spare[n % (UPDATES + 1)] = old;
}

static void with_urcu(void)
{
	for (int i = 0; i <= UPDATES; i++)
		spare[i] = config(i);
	current = config(0);
	rcu_register_thread();
	start_timer(update_urcu);
	for (;;) {
		rcu_read_lock();
		look(rcu_dereference(current));
		rcu_read_unlock();
	}
}
#endif

/* ---- with anyrcu ---- */

static void reclaim(struct anyrcu_head *head)
{
	struct config *c = anyrcu_container_of(head, struct config, rcu);

	c->version = -1; /* a reader that still sees it notices */
	free(c);
	atomic_fetch_add(&shared->freed, 1);
}

static void replace(struct config *next)
{
	struct config *old = anyrcu_xchg_pointer(current, next);

	anyrcu_call(&old->rcu, reclaim);
}

static void update_anyrcu(int sig)
{
	long n = atomic_load(&shared->handled);

	if (n < UPDATES) {
		replace(spare[n]);
		atomic_store(&shared->handled, n + 1);
	}
}

static void *real_time(void *arg)
{
	struct sched_param p = { .sched_priority = 1 };

	atomic_store(&shared->real_time, !pthread_setschedparam(pthread_self(), SCHED_FIFO, &p));
	for (long n = 0; n < UPDATES; n++) {
		replace(((struct config **)arg)[n]);
		atomic_fetch_add(&shared->by_thread, 1);
		usleep(500);
	}
	return NULL;
}

static void with_anyrcu(void)
{
	static struct config *own[UPDATES];
	sigset_t all, former;
	pthread_t t;

	for (int i = 0; i < UPDATES; i++) {
		spare[i] = config(i);
		own[i] = config(UPDATES + i);
	}
	current = config(0);
	/* Before it runs, or two threads might handle the signal at once, and replace one twice. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	pthread_create(&t, NULL, real_time, own);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	start_timer(update_anyrcu);
	while (atomic_load(&shared->handled) < UPDATES ||
	       atomic_load(&shared->by_thread) < UPDATES) {
		anyrcu_read_lock();
		look(anyrcu_dereference(current));
		anyrcu_read_unlock();
	}
	pthread_join(t, NULL);
	anyrcu_barrier();
	exit(atomic_load(&shared->torn) != 0 || atomic_load(&shared->freed) != 2 * UPDATES);
}

/* ---- the telling ---- */

/* 0: it has ended well; 1: not well; 2: it hung, and was killed. */
static int watch(void (*scene)(void), bool may_hang)
{
	long steps = -1;
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	pid = fork();
	if (!pid) {
		scene();
		_exit(1);
	}
	for (int still = 0; still < 30;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return !WIFEXITED(status) || WEXITSTATUS(status);
		still = may_hang && steps == atomic_load(&shared->steps) ? still + 1 : 0;
		steps = atomic_load(&shared->steps);
		usleep(100000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 2;
}

static void tell(const char *how, int outcome)
{
	if (outcome == 2)
		printf("%s: STUCK after %ld updates and %ld reads.\n", how,
		       atomic_load(&shared->handled), atomic_load(&shared->reads));
	else
		printf("%s: ended%s.\n", how, outcome ? ", but not well" : "");
}

int main(void)
{
	int outcome;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	puts("A program reads its configuration all the time. A signal handler replaces it, and so "
	     "does a\n"
	     "real-time thread. The old one is to be freed when nobody reads it any more.\n");
	outcome = watch(with_mutex, true);
	tell("1. With a mutex", outcome);
	puts("   The handler waits for a lock that the thread holds which it has interrupted.\n");
#ifdef WITH_URCU
	outcome = watch(with_urcu, true);
	tell("2. With liburcu", outcome);
	puts("   The handler's synchronize_rcu() waits for the reader that it has interrupted. "
	     "Its\n"
	     "   call_rcu() may not be called in a handler at all, nor by a thread that is not "
	     "registered.\n");
#else
	puts("2. With liburcu: not in this build.\n");
#endif
	outcome = watch(with_anyrcu, false);
	tell("3. With anyrcu", outcome);
	printf("   %ld updates by the handler, %ld by the %s thread; %ld reads, %ld of them of "
	       "freed memory;\n"
	       "   %ld of %d old ones freed.\n",
	       atomic_load(&shared->handled), atomic_load(&shared->by_thread),
	       atomic_load(&shared->real_time) ? "real-time" : "other (no right to real-time here)",
	       atomic_load(&shared->reads), atomic_load(&shared->torn), atomic_load(&shared->freed),
	       2 * UPDATES);
	return outcome;
}
