/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Beginnings and ends: of processes by fork, exec and exit, of threads in every way, of the program
 * before and after main().
 */
#include "test.h"
#include <anyrcu/cache.h>
#include <limits.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <spawn.h>

extern char **environ;
static _Atomic bool stop;
static _Atomic int step;

/* Before main(), and before most constructors. */
static struct object early;

__attribute__((constructor(101))) static void defer_early(void)
{
	anyrcu_read_lock();
	anyrcu_call(&early.head, object_called);
	anyrcu_read_unlock();
	object_defer(1);
	object_defer(2);
}

static void constructor_defers(void)
{
	pool_check();
	CHECK(atomic_load(&early.invoked) == 1);
}

static bool defer_late;

__attribute__((destructor(101))) static void defer_in_destructor(void)
{
	if (!defer_late)
		return;
	for (int i = 0; i < 2000; i++)
		object_defer(i);
	pool_check();
	object_defer(0);
}

static void defer_at_exit(void)
{
	for (int i = 0; i < 2000; i++)
		object_defer(i);
	pool_check();
	object_defer(0);
}

static void defers_at_exit_and_in_destructors(void)
{
	defer_late = true;
	CHECK(!atexit(defer_at_exit));
	object_defer(0);
}

/* What a child must be able to do with what it has inherited. */
static void child_checks(void)
{
	for (int i = 0; i < 100; i++)
		object_defer(i);
	anyrcu_synchronize();
	pool_check();
	CHECK(stats().pending == 0);
	_exit(0);
}

static void *defers_some(void *arg)
{
	for (int i = 0; i < 1500; i++)
		object_defer(i);
	atomic_fetch_add(&step, 1);
	UNTIL(atomic_load(&stop));
	return NULL;
}

static void fork_with_work_pending(void)
{
	pthread_t t[4];
	struct holder h;
	pid_t pid;

	holder_enter(&h);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(defers_some, NULL);
	UNTIL(atomic_load(&step) == (int)COUNT(t));
	for (int i = 0; i < 10; i++) {
		struct object *o = object_get();

		anyrcu_call(&o->head, object_called);
		object_defer_mightsleep();
		pid = fork();
		if (!pid)
			child_checks();
		CHECK(child_ended_well(pid));
		CHECK(!atomic_load(&o->invoked));
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	holder_leave(&h);
	pool_check();
}

/* The child is inside what its parent was inside. */
static void fork_in_section(void)
{
	pid_t pid;

	anyrcu_read_lock();
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pid = fork();
	CHECK(anyrcu_read_lock_held());
	if (!pid) {
		anyrcu_gp_t gp = anyrcu_gp_start();

		test_sleep_ms(20);
		CHECK(!anyrcu_gp_done(gp));
		anyrcu_read_unlock();
		CHECK(!anyrcu_read_lock_held());
		child_checks();
	}
	CHECK(child_ended_well(pid));
	anyrcu_read_unlock();
	pool_check();
}

static void fork_when_online(void)
{
	pid_t pid;

	anyrcu_thread_online();
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pid = fork();
	CHECK(anyrcu_read_lock_held());
	if (!pid) {
		anyrcu_quiescent_state();
		anyrcu_synchronize();
		anyrcu_thread_offline();
		CHECK(!anyrcu_read_lock_held());
		child_checks();
	}
	CHECK(child_ended_well(pid));
	anyrcu_thread_offline();
	pool_check();
}

static _Atomic int deferring;

static void *defers_until_stop(void *arg)
{
	atomic_fetch_add(&deferring, 1);
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		anyrcu_read_lock();
		object_defer(i);
		anyrcu_read_unlock();
		/* A child has all of them to invoke, so that they must not be too many. */
		if (i % 64 == 0)
			test_sleep_ms(1);
	}
	return NULL;
}

static _Atomic long own;

static void own_invoked(struct anyrcu_head *head)
{
	atomic_fetch_add(&own, 1);
}

/*
 * The own deferrals of a child are counted apart: what runs in the parent at the instant of the
 * fork goes on there alone.
 */
static void storm_child(int generations)
{
	static struct anyrcu_head heads[8][10];

	for (int g = 0; g < generations; g++) {
		pid_t pid;

		for (int i = 0; i < 10; i++)
			anyrcu_call(&heads[g][i], own_invoked);
		if (g == generations - 1)
			break;
		pid = fork();
		if (pid) {
			CHECK(child_ended_well(pid));
			break;
		}
	}
	anyrcu_barrier();
	CHECK(atomic_load(&own) >= 10);
	_exit(0);
}

static void fork_storm(void)
{
	pthread_t t[3];
	pid_t pid;

	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(defers_until_stop, NULL);
	/*
	 * AddressSanitizer allocates where a thread starts, and does not hold its allocator's locks
	 * over fork().
	 */
	UNTIL(atomic_load(&deferring) == (int)COUNT(t));
	for (int i = 0; i < SCALED(300); i++) {
		pid = fork();
		if (!pid)
			storm_child(i % 16 ? 1 : 4);
		CHECK(child_ended_well(pid));
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
}

static _Atomic int in_child;

/*
 * whose runtime holds locks and blocks signals where it calls a handler, and the child of a fork()
 * there has them for ever
 */
#if !TSAN
static pid_t children[100];
static _Atomic int nchildren;

static void fork_in_handler(int sig)
{
	int n = atomic_load(&nchildren);
	pid_t pid;

	object_defer(sig);
	if (atomic_load(&in_child) || n >= SCALED(100))
		return;
	pid = fork();
	if (!pid) {
		atomic_store(&in_child, 1);
		object_defer(0);
		return;
	}
	children[n] = pid;
	atomic_store(&nchildren, n + 1);
	object_defer(0);
}

static void op_defer(unsigned i)
{
	object_defer(i);
}

static void op_mightsleep(unsigned i)
{
	object_defer_mightsleep();
}

static void op_page(unsigned i)
{
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, i % 3), i % 3);
}

static void op_synchronize(unsigned i)
{
	anyrcu_synchronize();
}

static void op_barrier(unsigned i)
{
	object_defer(i);
	anyrcu_barrier();
}

static void op_reclaim(unsigned i)
{
	object_defer(i);
	anyrcu_reclaim(i % 4);
}

static void op_read(unsigned i)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
}

/* Whatever the handler has interrupted goes on in both processes. */
static void fork_from_handler(void)
{
	static void (*const ops[])(unsigned) = { op_defer,   op_mightsleep, op_page, op_synchronize,
						 op_barrier, op_reclaim,    op_read };
	timer_t t;

	handle(SIGRTMIN, fork_in_handler, 0);
	t = ticks_start(SIGRTMIN, 2000);
	for (unsigned i = 0; atomic_load(&nchildren) < SCALED(100) && !atomic_load(&in_child); i++)
		ops[i / 64 % COUNT(ops)](i);
	if (!atomic_load(&in_child))
		timer_delete(t);
	if (atomic_load(&in_child))
		child_checks();
	for (int i = 0; i < atomic_load(&nchildren); i++)
		CHECK(child_ended_well(children[i]));
	pool_check();
}

#endif

static pid_t callback_child;

static void forks_in_callback(void *arg)
{
	callback_child = fork();
	if (!callback_child)
		atomic_store(&in_child, 1);
	object_invoked(arg);
}

/* The callback runs in the caller of the barrier, which thus returns in both processes. */
static void fork_in_callback(void)
{
	for (int i = 0; i < 100; i++)
		object_defer(i);
	for (int i = 0; i < 1000; i++) {
		if (i % 100 == 50)
			object_defer(0);
		else if (i == 500)
			anyrcu_call_mightsleep(forks_in_callback, object_get());
		else
			object_defer(i);
	}
	anyrcu_barrier();
	if (atomic_load(&in_child))
		child_checks();
	CHECK(child_ended_well(callback_child));
	pool_check();
}

static void *checks_in_child(void *arg)
{
	pool_check();
	_exit(0);
}

static _Atomic int all_deferred;

static void forks_in_worker(void *arg)
{
	pid_t pid;

	/*
	 * Or the child would miss an object that its parent's other thread was just about to defer.
	 */
	UNTIL(atomic_load(&all_deferred));
	pid = fork();
	object_invoked(arg);
	if (!pid) {
		thread_start(checks_in_child, NULL);
		return;
	}
	callback_child = pid;
	atomic_store(&step, 1);
}

/* The only thread of the child was a worker; another begins there and waits for what is pending. */
static void fork_in_callback_of_worker(void)
{
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	anyrcu_call_mightsleep(forks_in_worker, object_get());
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	atomic_store(&all_deferred, 1);
	UNTIL(atomic_load(&step));
	CHECK(child_ended_well(callback_child));
	pool_check();
}

#if !TSAN /* which does not see a child made so, and takes it for its parent */
/*
 * It runs no handlers of fork(): it can read and defer, and make progress by barrier and reclaim.
 */
static void raw_fork(void)
{
	pid_t pid;

	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pool_check();
	pid = _Fork();
	if (!pid) {
		for (int i = 0; i < 1000; i++)
			object_defer(i);
		anyrcu_read_lock();
		anyrcu_read_unlock();
		anyrcu_reclaim(10);
		pool_check();
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	pool_check();
}
#endif

static void other_programs(void)
{
	char *argv[] = { (char *)"true", NULL };
	pthread_t t = thread_start(defers_until_stop, NULL);
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		for (int j = 0; j < 100; j++)
			object_defer(j);
		pid = vfork();
		if (!pid) {
			execv("/bin/true", argv);
			_exit(1);
		}
		CHECK(child_ended_well(pid));
		CHECK(!posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ));
		CHECK(child_ended_well(pid));
		CHECK(!system("true"));
	}
	atomic_store(&stop, true);
	thread_join(t);
	pool_check();
}

static void ends_its_thread(void *arg)
{
	object_invoked(arg);
	pthread_exit(NULL);
}

static void callback_ends_worker(void)
{
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 700; j++)
			object_defer(j < 300 ? 0 : j);
		anyrcu_call_mightsleep(ends_its_thread, object_get());
		for (int j = 0; j < 700; j++)
			object_defer(j < 300 ? 0 : j);
		pool_check();
		object_defer(0);
		UNTIL(stats().pending == 0);
	}
	pool_check();
}

static void *waits_at_barrier(void *arg)
{
	anyrcu_barrier();
	atomic_fetch_add(&step, 1);
	return NULL;
}

static void callback_ends_caller(void)
{
	for (int i = 0; i < 700; i++)
		object_defer(i);
	for (int i = 0; i < 3; i++)
		anyrcu_call_mightsleep(ends_its_thread, object_get());
	for (int i = 0; i < 700; i++)
		object_defer(i);
	for (int i = 0; i < 3; i++)
		thread_join(thread_start(waits_at_barrier, NULL));
	CHECK(atomic_load(&step) == 0);
	pool_check();
}

/*
 * AddressSanitizer takes the marks of frames that cancellation has unwound for mistakes, and cannot
 * stop threads that keep running to look for leaks at exit.
 */
#if !ASAN
static void *cancelled(void *arg)
{
	size_t how = (size_t)arg;

	for (;;) {
		atomic_fetch_add(&step, 1);
		if (how % 5 == 0)
			anyrcu_barrier();
		else if (how % 5 == 1)
			anyrcu_synchronize();
		else if (how % 5 == 2)
			anyrcu_gp_wait(anyrcu_gp_start());
		else if (how % 5 == 3)
			object_defer_mightsleep();
		else
			anyrcu_reclaim(10);
		object_defer(0);
		object_defer(1);
		pthread_testcancel();
	}
	return NULL;
}

static void cancel(void)
{
	void *result;

	for (size_t i = 0; i < (size_t)SCALED(200); i++) {
		pthread_t t;

		atomic_store(&step, 0);
		t = thread_start(cancelled, (void *)i);
		UNTIL(atomic_load(&step) > 2);
		CHECK(!pthread_cancel(t));
		CHECK(!pthread_join(t, &result) && result == PTHREAD_CANCELED);
	}
	pool_check();
}

/*
 * A thread that is held at the call for sure, as a reader stays inside, is cancelled or goes on,
 * but leaves nothing behind.
 */
static void cancel_while_waiting(void)
{
	struct holder h;
	pthread_t t[10];

	for (int i = 0; i < 5; i++)
		object_defer(i);
	holder_enter(&h);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(cancelled, (void *)i);
	test_sleep_ms(20);
	for (size_t i = 0; i < COUNT(t); i++)
		CHECK(!pthread_cancel(t[i]));
	test_sleep_ms(20);
	holder_leave(&h);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	anyrcu_synchronize();
	pool_check();
}

static void exits(void)
{
	for (int i = 0; i < 3; i++)
		thread_start(defers_until_stop, NULL);
	UNTIL(atomic_load(&pool_used) > 10000);
	exit(0);
}

static void exit_while_all_defer(void)
{
	for (int i = 0; i < SCALED(20); i++) {
		pid_t pid = fork();

		if (!pid)
			exits();
		CHECK(child_ended_well(pid));
	}
}

#endif

static void ends_the_process(void *arg)
{
	exit(0);
}

static void exit_in_callback(void)
{
	for (int i = 0; i < 100; i++)
		object_defer(i);
	anyrcu_call_mightsleep(ends_the_process, NULL);
	anyrcu_barrier();
	UNTIL(false);
}

static void waits_at_exit(void)
{
	anyrcu_barrier();
}

/* The worker is in exit(), whose handlers are the program's and may wait. */
static void exit_in_callback_waits(void)
{
	CHECK(!atexit(waits_at_exit));
	exit_in_callback();
}

static void head_ends_the_process(struct anyrcu_head *head)
{
	exit(0);
}

/* The same if the callback is in the chain. */
static void exit_in_chain_waits(void)
{
	static struct anyrcu_head end;
	struct holder h;

	CHECK(!configure((struct anyrcu_config){ .page_bytes_max = 65536 }));
	CHECK(!atexit(waits_at_exit));
	holder_enter(&h);
	while (!stats().deferred_chain)
		object_defer(0);
	anyrcu_call(&end, head_ends_the_process);
	for (int i = 0; i < 100; i++)
		object_defer(i);
	holder_leave(&h);
	UNTIL(false);
}

static void exit_in_callback_of_caller(void)
{
	for (int i = 0; i < 100; i++)
		object_defer(i);
	anyrcu_call_mightsleep(ends_the_process, NULL);
	anyrcu_barrier();
	CHECK(false);
}

static pthread_key_t key;

static void defers_when_thread_ends(void *arg)
{
	size_t round = (size_t)arg;

	anyrcu_read_lock();
	for (int i = 0; i < 5; i++)
		object_defer(i);
	anyrcu_read_unlock();
	if (round < PTHREAD_DESTRUCTOR_ITERATIONS - TSAN) /* which ends with the last one itself */
		pthread_setspecific(key, (void *)(round + 1));
}

static void *has_key(void *arg)
{
	CHECK(!pthread_setspecific(key, (void *)1));
	if (arg)
		object_defer(0);
	return NULL;
}

/* The destructors of a thread run after and before the library's own, and may be its first use. */
static void key_destructors_defer(void)
{
	CHECK(!pthread_key_create(&key, defers_when_thread_ends));
	for (size_t i = 0; i < (size_t)SCALED(1000); i++) {
		thread_join(thread_start(has_key, (void *)(i % 2)));
		CHECK(stats().readers < 100);
	}
	anyrcu_synchronize();
	pool_check();
}

static void *defers_once(void *arg)
{
	object_defer((unsigned)(size_t)arg);
	return NULL;
}

static void short_lived_threads_defer(void)
{
	pthread_t t[20];

	for (size_t i = 0; i < SCALED(10000) / COUNT(t); i++) {
		for (size_t j = 0; j < COUNT(t); j++)
			t[j] = thread_start(defers_once, (void *)j);
		for (size_t j = 0; j < COUNT(t); j++)
			thread_join(t[j]);
	}
	CHECK(stats().readers < 100);
	pool_check();
}

static void *uses_small_stack(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		anyrcu_read_lock();
		object_defer(i);
		anyrcu_read_unlock();
	}
	anyrcu_synchronize();
	anyrcu_barrier();
	return NULL;
}

static void smallest_stack(void)
{
	pthread_attr_t attr;
	pthread_t t;

	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(
		&attr, ASAN || TSAN ? 1 << 18 : (size_t)sysconf(_SC_THREAD_STACK_MIN)));
	CHECK(!pthread_create(&t, &attr, uses_small_stack, NULL));
	thread_join(t);
	pool_check();
}

#if !ASAN && !TSAN /* which lose count of a thread that ends without their knowledge */
static void *ends_by_system_call(void *arg)
{
	anyrcu_read_lock();
	object_defer(0);
	if (arg)
		anyrcu_read_unlock();
	syscall(SYS_exit, 0);
	return NULL;
}

/* No destructor runs, neither of the thread's storage nor of its keys. */
static void thread_ends_by_system_call(void)
{
	for (size_t i = 0; i < 50; i++) {
		thread_join(thread_start(ends_by_system_call, (void *)(i % 5)));
		if (i % 5 == 0) {
			anyrcu_synchronize();
			pool_check();
		}
	}
	anyrcu_synchronize();
	pool_check();
	thread_join(thread_start(defers_once, NULL));
	UNTIL((anyrcu_synchronize(), stats().readers < 20));
}
#endif

/* ---- a thread's end ---- */

static _Atomic int reading;
static _Atomic bool was_read;

static void reads_slowly(void *object)
{
	atomic_store(&reading, 1);
	UNTIL(stats().pending > 0);
	for (int i = 0; i < 50; i++) { /* it must not be invoked, however long this takes */
		anyrcu_gp_start();
		usleep(1000);
		CHECK(!atomic_load(&was_read));
	}
}

static pthread_key_t slow_key;

static void *online_to_the_end(void *unused)
{
	anyrcu_thread_online();
	CHECK(!pthread_setspecific(slow_key, &slow_key));
	return NULL;
}

static void *leaves_late(void *key)
{
	anyrcu_read_lock();
	CHECK(!pthread_setspecific(*(pthread_key_t *)key, key));
	return NULL;
}

static void leaves(void *unused)
{
	anyrcu_read_unlock();
}

static void is_read(void *unused)
{
	atomic_store(&was_read, true);
}

/* The program's destructors run in a thread that is still a reader, and may end its section. */
static void key_destructors_read(void)
{
	pthread_key_t late;
	pthread_t t;

	CHECK(!pthread_key_create(&slow_key, reads_slowly));
	t = thread_start(online_to_the_end, NULL);
	UNTIL(atomic_load(&reading));
	CHECK(anyrcu_call_headless(is_read, &reading));
	thread_join(t);
	anyrcu_barrier();
	CHECK(atomic_load(&was_read));
	CHECK(!pthread_key_create(&late, leaves));
	thread_join(thread_start(leaves_late, &late));
	anyrcu_synchronize();
}

/* Nobody reads what is reported. */
static void report_into_closed_pipe(void)
{
	struct anyrcu_cache_config config = { .size = sizeof(config),
					      .name = "leaks",
					      .object_size = 10 };
	struct anyrcu_cache *c = anyrcu_cache_create(&config);
	int ends[2];

	CHECK(c && anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	CHECK(!pipe(ends) && !close(ends[0]) && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
	CHECK(anyrcu_cache_destroy(c) == -EBUSY);
}

static const struct test_case cases[] = {
	CASE(constructor_defers),
	CASE(defers_at_exit_and_in_destructors),
	CASE(fork_with_work_pending),
	CASE(fork_in_section),
	CASE(fork_when_online),
	CASE(fork_storm),
#if !TSAN
	CASE(fork_from_handler),
#endif
	CASE(fork_in_callback, .env = { "ANYRCU_WORKERS=0" }),
	CASE(fork_in_callback_of_worker),
#if !TSAN
	CASE(raw_fork),
#endif
	CASE(other_programs),
	CASE(callback_ends_worker),
	CASE(callback_ends_caller, .env = { "ANYRCU_WORKERS=0" }),
#if !ASAN
	CASE(cancel),
	CASE(cancel_while_waiting),
	CASE(exit_while_all_defer),
#endif
	CASE(exit_in_callback),
	CASE(exit_in_callback_waits),
	CASE(exit_in_chain_waits),
	CASE(exit_in_callback_of_caller, .env = { "ANYRCU_WORKERS=0" }),
	CASE(key_destructors_defer),
	CASE(key_destructors_read),
	CASE(report_into_closed_pipe),
	CASE(short_lived_threads_defer),
	CASE(smallest_stack),
#if !ASAN && !TSAN
	CASE(thread_ends_by_system_call, .says = { "ended inside a read-side critical section" }),
#endif
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
