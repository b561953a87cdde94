/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What threads do: half of those asked for read, half update; beside them is one of each that makes
 * trouble or waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <port/process.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "torture/torture.h"

#define COLD (16u << 20)
#define PATIENCE_S 20 /* with the child of a fork */
#define FORK_PATIENCE 100000000 /* of the library, nanoseconds */
/* of a round: those asked for, each role's, mayflies, workers, and the main one */
#define THREADS_ALL (run.threads + 26)
#define DRAINERS 4 /* of this round at most: workers, and what reclaims in mayflies */

static char *cold; /* memory whose lines are mostly in no cache */
static pthread_spinlock_t spin;
static unsigned round_now;

static bool stopping(void)
{
	return atomic_load_explicit(&run.stop, memory_order_relaxed);
}

/*
 * Stores that miss keep the next ones, of a section's begin or an unlinking, waiting while later
 * loads go ahead.
 */
static void store_slowly(void)
{
	for (uint64_t n = rnd() % 40; n; n--)
		cold[rnd() * 64 % COLD] = 1;
}

/* ---- readers ---- */

static void dwell(bool may_stall)
{
	if (may_stall && faults_on(FAULT_STALL) && one_in(1024)) {
		fault_done(FAULT_STALL);
		pause_us(rnd() % 30000);
	} else if (one_in(32)) {
		for (uint64_t turns = rnd() % 5000; turns; turns--)
			port_relax();
	}
}

static void look(bool may_stall)
{
	struct object **place = one_in(2) ? &places[rnd() % PLACES] :
				one_in(2) ? &own[rnd() % run.threads] :
					    &task_places[rnd() % TASK_PLACES];
	struct object *o = anyrcu_dereference(*place);
	uint64_t state;

	if (!o)
		return;
	state = object_look(o);
	for (uint64_t looks = rnd() % 64; looks && object_still(o, state); looks--)
		;
	dwell(may_stall);
	object_still(o, state);
}

static void read_some(bool may_stall)
{
	if (one_in(4))
		store_slowly();
	anyrcu_read_lock();
	look(may_stall);
	if (one_in(4)) {
		anyrcu_read_lock();
		look(may_stall);
		anyrcu_read_unlock();
		look(false);
	}
	anyrcu_read_unlock();
	if (me.record == RECORD_MAYBE)
		me.record = RECORD_HAS;
}

static void read_online(void)
{
	me.record = RECORD_HAS; /* without one it cannot be, and says so */
	anyrcu_thread_online();
	while (!stopping() && !one_in(4096)) {
		if (one_in(4))
			store_slowly();
		for (uint64_t n = rnd() % 4; n; n--)
			look(true);
		anyrcu_quiescent_state();
	}
	anyrcu_thread_offline();
}

/* ---- updaters ---- */

/*
 * By a plain store: so it may not be visible yet when the library reads what it must not read too
 * early.
 */
static void update_own(struct object **place)
{
	struct object *o = anyrcu_dereference_protected(*place, true);
	anyrcu_gp_t gp;

	if (!o) {
		o = object_take();
		if (o)
			anyrcu_assign_pointer(*place, o);
		return;
	}
	store_slowly();
	me.unlinking = place;
	if (!port_rseq_cpus && faults_on(FAULT_STOP) && !one_in(8)) {
		object_call(o);
		return;
	}
	gp = anyrcu_gp_start();
	if (me.unlinking)
		pause_us(rnd() % 2000);
	unlink_now();
	while (!anyrcu_gp_done(gp) && !one_in(1000))
		port_relax();
	anyrcu_gp_wait(gp);
	object_waited(o);
}

static void update_under_lock(void)
{
	if (pthread_spin_trylock(&spin))
		return;
	update(ANY);
	pthread_spin_unlock(&spin);
}

static void update_some(struct object **place)
{
	test_point_rseq_turns = faults_on(FAULT_STOP) && one_in(256) ? rnd() % 8000 : 0;
	if (one_in(port_rseq_cpus ? 32 : 8))
		update_own(place);
	else if (one_in(4))
		update_under_lock();
	else
		update(TASK);
}

/* Two timers with different signals, so that a handler is interrupted too. */
static __thread timer_t timers[2] __attribute__((tls_model("initial-exec")));

/* A mistake elsewhere shows sooner where the others are not held up by these. */
static bool with_caches(void)
{
	return run.mistake < 0 || run.mistake >= BREAK_CACHE_EARLY;
}

/*
 * Once: the handler does it again, so that it need not be faster than the timer for the thread to
 * get on.
 */
static void timer_soon(unsigned i)
{
	struct itimerspec t = { .it_value.tv_nsec = 100000 + rnd() % 500000 };

	timer_settime(timers[i], 0, &t, NULL);
}

static void on_timer(int sig)
{
	if (stopping())
		return;
	for (int i = 0; i < 4; i++)
		update(ANY);
	for (int i = 0; i < 4 && with_caches(); i++)
		cache_update(ANY);
	cache_look(false);
	read_some(false);
	if (one_in(8))
		(void)anyrcu_gp_done(anyrcu_gp_start());
	timer_soon(sig - SIGRTMIN);
}

static void arm(unsigned i)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + i };

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timers[i]))
		found(&run.lost, "a timer: %s", strerror(errno));
	else
		timer_soon(i);
}

static void begin_thread(unsigned i)
{
	me.known = true;
	me.random = (run.seed + (uint64_t)round_now * 1000 + i + 1) * 0x9e3779b97f4a7c15 | 1;
	rnd();
}

static void *worker(void *arg)
{
	unsigned i = (uintptr_t)arg;

	begin_thread(i);
	me.record = i % 4 == 0 && one_in(2) ? RECORD_NEVER : RECORD_MAYBE;
	arm(0);
	arm(1);
	while (!stopping()) {
		if (i % 2)
			update_some(&own[i]);
		else if (i % 4 == 2)
			read_online();
		else
			read_some(true);
	}
	timer_delete(timers[0]);
	timer_delete(timers[1]);
	return NULL;
}

/* ---- beside them ---- */

/* Tasks free one for one, in bursts that fill pages. */
static void *tasker(void *arg)
{
	begin_thread(THREADS_MAX + 12 + (uintptr_t)arg);
	while (!stopping()) {
		for (uint64_t n = rnd() % 3000; n && !stopping(); n--) {
			struct object *next = object_take(), *old;

			if (!next)
				continue;
			old = __atomic_exchange_n(&task_places[rnd() % TASK_PLACES], next,
						  __ATOMIC_ACQ_REL);
			if (old)
				object_free_task(old);
		}
		pause_us(rnd() % 2000);
	}
	return NULL;
}

/* Objects of caches: one thread gives, and both take, what the other one has allocated. */
static void *cacher(void *arg)
{
	begin_thread(THREADS_MAX + 10 + (uintptr_t)arg);
	arm(0);
	arm(1);
	while (!stopping()) {
		/* in bursts, as when pages fill, and with time for grace periods between */
		for (uint64_t n = rnd() % 2000; n && !stopping(); n--)
			cache_update(TASK);
		for (uint64_t n = rnd() % 50; n; n--)
			cache_look(true);
		if (one_in(8))
			cache_give_back();
		if (one_in(4))
			pause_us(rnd() % 1000);
	}
	timer_delete(timers[0]);
	timer_delete(timers[1]);
	return NULL;
}

static void *synchronizer(void *arg)
{
	begin_thread(THREADS_MAX + 1);
	while (!stopping()) {
		struct object *next = object_take(), *old;

		if (!next)
			continue;
		old = __atomic_exchange_n(&places[rnd() % PLACES], next, __ATOMIC_ACQ_REL);
		anyrcu_synchronize();
		if (old)
			object_waited(old);
		if (one_in(64))
			pause_us(rnd() % 5000);
	}
	return NULL;
}

static void *barrier(void *arg)
{
	struct object *mine[64];
	uint64_t state[64];

	begin_thread(THREADS_MAX + 2);
	while (!stopping()) {
		unsigned n = 0;

		while (n < rnd() % 64 && (mine[n] = object_take())) {
			state[n] = atomic_load(&mine[n]->state);
			object_defer(mine[n++], TASK);
		}
		anyrcu_barrier();
		for (unsigned i = 0; i < n; i++)
			if (!object_over(mine[i], state[i]))
				found(&run.lost,
				      "lost: an object has not been invoked when the barrier returns");
		pause_us(rnd() % 20000);
	}
	return NULL;
}

/* A short life, and one of the ways to end it. */
static void *mayfly(void *arg)
{
	uint64_t end = rnd() % 8;

	begin_thread(THREADS_MAX + 100 + (uintptr_t)arg);
	for (uint64_t n = rnd() % 20; n; n--)
		update(TASK);
	for (uint64_t n = rnd() % 1000; n; n--)
		cache_update(TASK);
	for (uint64_t n = rnd() % 200; n; n--)
		read_some(true);
	if (end < 4) {
		me.may_exit = true;
		anyrcu_reclaim(rnd() % 2000);
		me.may_exit = false;
	}
	if (end == 0) {
		/* what reads without one and ends by the raw call is not found to be dead */
		me.record = RECORD_HAS;
		anyrcu_read_lock();
		fault_done(FAULT_EXIT);
		if (one_in(4))
			syscall(SYS_exit, 0);
		pthread_exit(NULL);
	}
	return NULL;
}

static void *mayflies(void *arg)
{
	begin_thread(THREADS_MAX + 3);
	for (uintptr_t i = 0; !stopping(); i += 4) {
		pthread_t t[4];
		unsigned n = 0;

		while (n < 4 && !pthread_create(&t[n], NULL, mayfly, (void *)(i + n)))
			n++;
		while (n)
			pthread_join(t[--n], NULL);
		pause_us(rnd() % 10000);
	}
	return NULL;
}

/*
 * What was deferred before the fork, by calls that had returned, is invoked here too, and once. A
 * callback that was under way goes on in the parent alone, but only if fork() had to lose patience
 * with it: then there may be one for each thread that drains.
 */
static void child(bool patience_lost)
{
	uint64_t lost = atomic_load(&run.lost), twice = atomic_load(&run.twice);
	unsigned forgotten;

	test_point_rseq_turns = 0;
	anyrcu_barrier();
	forgotten = objects_forgotten(false);
	if (forgotten > (patience_lost ? DRAINERS : 0))
		found(&run.lost, "lost: %u objects in the child of a fork", forgotten);
	/* each thread may have been about to free one that it had taken */
	forgotten = objects_forgotten(true);
	if (forgotten > THREADS_ALL)
		found(&run.lost, "lost: %u objects that tasks freed, in the child of a fork",
		      forgotten);
	if (with_caches())
		cache_child(THREADS_ALL);
	_exit((atomic_load(&run.lost) != lost) | (atomic_load(&run.twice) != twice) << 1);
}

/* In the child: whether fork() had to lose patience. In the parent the child's end is looked at. */
enum forked { IN_PARENT, IN_CHILD, IN_CHILD_IMPATIENT };

static enum forked fork_once(void)
{
	uint64_t began = port_now();
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(PATIENCE_S);
		return port_now() - began > FORK_PATIENCE ? IN_CHILD_IMPATIENT : IN_CHILD;
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		fault_done(FAULT_FORK);
	if (WIFSIGNALED(status))
		found(&run.lost, "lost: the child of a fork was ended by signal %d",
		      WTERMSIG(status));
	else if (status)
		found(WEXITSTATUS(status) & 1 ? &run.lost : &run.twice,
		      "the child of a fork says so");
	return IN_PARENT;
}

static void *forker(void *arg)
{
	begin_thread(THREADS_MAX + 4);
	while (!stopping()) {
		enum forked where;

		pause_us(rnd() % 20000);
		where = fork_once();
		if (where != IN_PARENT)
			child(where == IN_CHILD_IMPATIENT);
	}
	return NULL;
}

/*
 * A handler that forks in the middle of a call that waits, at whatever instruction it comes, with
 * the library's locks held or not: SIGABRT is left open by those who hold them. The child goes on
 * with the call, and is looked at when it has returned.
 */
static __thread volatile enum forked forked_in_handler;

static void on_abort(int sig)
{
	int saved = errno;

	if (forked_in_handler == IN_PARENT && !stopping())
		forked_in_handler = fork_once();
	errno = saved;
}

static void wait_somehow(void)
{
	switch (rnd() % 6) {
	case 0:
		anyrcu_synchronize();
		break;
	case 1:
		anyrcu_barrier();
		break;
	case 2:
		anyrcu_reclaim(rnd() % 1000);
		break;
	case 3:
		anyrcu_gp_wait(anyrcu_gp_start());
		break;
	default:
		for (uint64_t n = rnd() % 50; n; n--)
			update(TASK);
	}
}

static void *handler_forker(void *arg)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGABRT };
	timer_t timer;

	begin_thread(THREADS_MAX + 7);
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer)) {
		found(&run.lost, "a timer: %s", strerror(errno));
		return NULL;
	}
	while (!stopping()) {
		struct itimerspec t = { .it_value.tv_nsec = 1000 + rnd() % 2000000 };

		timer_settime(timer, 0, &t, NULL);
		for (unsigned i = 0; i < 20 && forked_in_handler == IN_PARENT; i++)
			wait_somehow();
		if (forked_in_handler != IN_PARENT)
			child(forked_in_handler == IN_CHILD_IMPATIENT);
	}
	timer_delete(timer);
	return NULL;
}

static void no_report(const struct anyrcu_stall *stall, void *arg)
{
}

/* @workers: or 0 for any configuration, quick or not. */
static void configure(int workers)
{
	static const int some[] = { 1, 1, 2, 3, -1 };
	static const uint64_t delay_us[] = { 100, 1000, 10000 },
			      pending_max[] = { 1024, 8192, 131072 };
	struct anyrcu_config config = {
		.size = sizeof(config),
		.workers = workers ?: some[rnd() % 5],
		.delay_us = workers ? 1000 : delay_us[rnd() % 3],
		.pending_max = workers ? 131072 : pending_max[rnd() % 3],
		.page_bytes_max = 65536 << (round_now < 5 ? round_now : 4),
		.stall_ms = 10000,
		.stall_hook = no_report,
	};
	int err = anyrcu_init(&config);

	atomic_store(&run.no_workers, config.workers < 0);
	if (err && err != -EAGAIN)
		found(&run.lost, "anyrcu_init(): %s", strerror(-err));
}

static void *restarter(void *arg)
{
	begin_thread(THREADS_MAX + 5);
	while (!stopping()) {
		pause_us(rnd() % 200000);
		configure(0);
		fault_done(FAULT_RESTART);
	}
	return NULL;
}

/* ---- three alone: as many grace periods as can be, and no signal ---- */

/*
 * Two deferrals: the first opens a page, if the last was taken away, so that the second is by a
 * sequence, which lingers while the page may be taken away again. Or enough to fill a page.
 */
static void defer_some(void)
{
	bool many = one_in(16);

	test_point_rseq_turns = !many && faults_on(FAULT_STOP) ? rnd() % 4000 : 0;
	for (int n = many ? 600 : 2; n; n--) {
		struct object *o = object_take();

		if (o)
			object_call(o);
	}
}

static void *three_reader(void *arg)
{
	begin_thread(THREADS_MAX + 7);
	while (!stopping()) {
		bool slow = one_in(2);
		struct object *o;

		store_slowly();
		anyrcu_read_lock();
		o = anyrcu_dereference(*(slow ? &own[0] : &places[0]));
		if (o)
			for (uint64_t state = object_look(o), n = rnd() % (slow ? 4000 : 200);
			     n && object_still(o, state); n--)
				port_relax();
		anyrcu_read_unlock();
		if (one_in(4))
			defer_some();
	}
	return NULL;
}

static void *three_synchronizer(void *arg)
{
	begin_thread(THREADS_MAX + 8);
	while (!stopping()) {
		struct object *next = object_take(),
			      *old = __atomic_exchange_n(&places[0], next, __ATOMIC_ACQ_REL);

		anyrcu_synchronize();
		if (old)
			object_waited(old);
		if (one_in(4))
			anyrcu_barrier();
	}
	return NULL;
}

static void *three_updater(void *arg)
{
	begin_thread(THREADS_MAX + 9);
	while (!stopping())
		update_own(&own[0]);
	return NULL;
}

/* ---- all ---- */

static pthread_t threads[THREADS_MAX + 12];
static unsigned nthreads;

void roles_prepare(void)
{
	struct sigaction sa = { .sa_handler = on_timer, .sa_flags = SA_RESTART };

	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	sa.sa_handler = on_abort;
	sigaction(SIGABRT, &sa, NULL);
	pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	cold = mmap(NULL, COLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	if (cold == MAP_FAILED || madvise(cold, COLD, MADV_DONTFORK)) {
		perror("anyrcu torture");
		exit(2);
	}
}

static void start(void *(*role)(void *), unsigned i)
{
	int err = pthread_create(&threads[nthreads], NULL, role, (void *)(uintptr_t)i);

	if (err)
		found(&run.lost, "a thread: %s", strerror(err));
	else
		nthreads++;
}

void roles_start(unsigned round)
{
	round_now = round;
	begin_thread(THREADS_MAX);
	configure(0);
	atomic_store(&run.stop, false);
	atomic_store(&run.calm, false);
	nthreads = 0;
	cache_begin();
	for (unsigned i = 0; i < run.threads; i++)
		start(worker, i);
	if (with_caches()) {
		start(tasker, 0);
		start(tasker, 1);
		start(cacher, 0);
		start(cacher, 1);
	}
	start(synchronizer, 0);
	start(barrier, 0);
	if (faults_on(FAULT_EXIT))
		start(mayflies, 0);
	if (faults_on(FAULT_FORK)) {
		start(forker, 0);
		/* a mistake shows sooner where the others are not held up by this */
		if (run.mistake < 0)
			start(handler_forker, 0);
	}
	if (faults_on(FAULT_RESTART))
		start(restarter, 0);
}

void roles_start_three(unsigned round)
{
	round_now = round;
	begin_thread(THREADS_MAX);
	configure(-1);
	atomic_store(&run.stop, false);
	start(three_reader, 0);
	start(three_synchronizer, 0);
	start(three_updater, 0);
}

void roles_join(void)
{
	atomic_store(&run.calm, true);
	atomic_store(&run.stop, true);
	while (nthreads)
		pthread_join(threads[--nthreads], NULL);
}

void role_alone(unsigned times)
{
	begin_thread(THREADS_MAX + 6);
	configure(1);
	while (times--) {
		struct object *o = object_take();
		uint64_t state = atomic_load(&o->state);

		pause_us(rnd() % 3000);
		object_call(o);
		while (!object_over(o, state))
			pause_us(50);
	}
}
