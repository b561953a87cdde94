/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Readers check poison while threads, and timer signals in their midst, replace what they read and
 * defer it in every form. Found out: an object handed to its callback while a reader is on it
 * ("early"), twice, or never ("lost").
 *
 * usage: stress [SECONDS [THREADS]]
 * With STRESS_BREAK=early (invoke at once) or =lost (drop one of 256), the test must fail.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <signal.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define OBJECTS (1 << 17)
#define PLACES 64

enum { FREE, LIVE, POISON };

struct object {
	_Atomic int state;
	struct anyrcu_head head;
};

/* Objects come from here, as a signal handler may not call malloc(). */
static struct object pool[OBJECTS];
static struct object *places[PLACES];
static _Atomic long deferred, invoked, early, twice, in_handler, nested;
static _Atomic bool stop;
static const char *broken = "";
static __thread unsigned seed __attribute__((tls_model("initial-exec")));

static unsigned rnd(void)
{
	return seed = seed * 1664525u + 1013904223u;
}

static void done(struct object *o)
{
	int live = LIVE;

	if (!atomic_compare_exchange_strong(&o->state, &live, POISON))
		atomic_fetch_add(&twice, 1);
	atomic_fetch_add(&invoked, 1);
	atomic_store(&o->state, FREE);
}

static void call_done(struct anyrcu_head *head)
{
	done((struct object *)((char *)head - offsetof(struct object, head)));
}

static void call_done_too(struct anyrcu_head *head)
{
	call_done(head);
}

static void headless_done(void *o)
{
	done(o);
}

static struct object *take(void)
{
	for (int i = 0; i < 1000; i++) {
		struct object *o = &pool[(rnd() >> 8) % OBJECTS];
		int expected = FREE;

		if (atomic_load(&o->state) == FREE &&
		    atomic_compare_exchange_strong(&o->state, &expected, LIVE))
			return o;
	}
	return NULL;
}

static void defer(struct object *o)
{
	atomic_fetch_add(&deferred, 1);
	if (!strcmp(broken, "early")) {
		done(o);
		return;
	}
	if (!strcmp(broken, "lost") && rnd() >> 8 & 255)
		; /* as it should be */
	else if (!strcmp(broken, "lost"))
		return;
	switch ((rnd() >> 20) % 4) {
	case 0:
		if (anyrcu_call_headless(headless_done, o))
			break;
		/* fall through */
	case 1:
		anyrcu_call(&o->head, call_done_too);
		break;
	default:
		anyrcu_call(&o->head, call_done);
	}
}

static void update(void)
{
	struct object *next = take(), *old;

	if (!next)
		return;
	old = __atomic_exchange_n(&places[(rnd() >> 8) % PLACES], next, __ATOMIC_ACQ_REL);
	if (old)
		defer(old);
}

static void read_some(void)
{
	anyrcu_read_lock();
	for (int i = 0; i < 4; i++) {
		struct object *o = anyrcu_dereference(places[(rnd() >> 8) % PLACES]);

		for (int look = 0; o && look < 20; look++)
			if (atomic_load_explicit(&o->state, memory_order_relaxed) != LIVE) {
				atomic_fetch_add(&early, 1);
				break;
			}
	}
	anyrcu_read_unlock();
}

static void on_timer(int sig)
{
	static __thread volatile int depth __attribute__((tls_model("initial-exec")));

	(void)sig;
	atomic_fetch_add(&in_handler, 1);
	if (depth++)
		atomic_fetch_add(&nested, 1);
	for (int i = 0; i < 4; i++) {
		update();
		read_some();
	}
	depth--;
}

/* Two timers with different signals, so that a handler is interrupted too. */
static void arm(timer_t *timer, int sig, long ns)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = sig };
	struct itimerspec t = { { 0, ns }, { 0, ns } };

	event.sigev_notify_thread_id = syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, timer) || timer_settime(*timer, 0, &t, NULL)) {
		perror("timer");
		exit(2);
	}
}

static void *thread(void *arg)
{
	unsigned i = (uintptr_t)arg;
	timer_t a, b;

	seed = i * 7919 + 1;
	arm(&a, SIGRTMIN, 150000 + i * 10007);
	arm(&b, SIGRTMIN + 1, 190000 + i * 10007);
	while (!stop) {
		read_some();
		if (i & 1)
			update();
	}
	timer_delete(a);
	timer_delete(b);
	return NULL;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 3, threads = argc > 2 ? atoi(argv[2]) : 4;
	struct sigaction sa = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	struct anyrcu_stats stats = { .size = sizeof(stats) };
	pthread_t *t = calloc(threads, sizeof(*t));
	long in_places = 0, lost;

	if (getenv("STRESS_BREAK"))
		broken = getenv("STRESS_BREAK");
	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, thread, (void *)(uintptr_t)i);
	sleep(seconds);
	stop = true;
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	anyrcu_barrier();
	for (int i = 0; i < PLACES; i++)
		in_places += places[i] != NULL;
	lost = deferred - invoked;
	for (int i = 0; i < OBJECTS; i++)
		in_places -= pool[i].state == LIVE;
	anyrcu_stats_get(&stats);
	printf("%ld deferred, %ld in handlers' passes (%ld nested): %ld early, %ld twice, %ld lost\n",
	       deferred, in_handler, nested, early, twice, lost);
	printf("%lu in pages, %lu in chains, %lu pending, %lu grace periods\n", stats.deferred_page,
	       stats.deferred_chain, stats.pending, stats.gp_done);
	free(t);
	if (!in_handler || !deferred) {
		puts("nothing was tested");
		return 1;
	}
	return early || twice || lost || stats.pending || in_places ? 1 : 0;
}
