/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/config.h>: the range of each field, workers that stop and start, the environment. */
#include "test.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static _Atomic bool stop;
static pid_t others[TASKS_MAX];
static size_t nothers;

/* Threads that are there without workers: the program's and the sanitizer's. */
static void without_workers(void)
{
	size_t settled = 0;

	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	for (nothers = tasks(others); settled < 20; settled++) {
		test_sleep_ms(1);
		if (tasks(others) != nothers) {
			nothers = tasks(others);
			settled = 0;
		}
	}
}

static size_t workers(pid_t tids[TASKS_MAX])
{
	pid_t all[TASKS_MAX];
	size_t n = tasks(all), found = 0;

	for (size_t i = 0; i < n; i++) {
		bool other = false;

		for (size_t j = 0; j < nothers; j++)
			other |= all[i] == others[j];
		if (!other)
			tids[found++] = all[i];
	}
	return found;
}

static size_t workers_count(void)
{
	pid_t tids[TASKS_MAX];

	return workers(tids);
}

/* They may start with the first deferral. */
static void expect_workers(size_t n)
{
	object_defer(0);
	pool_check();
	/* It may be so for a moment while some end and others start. */
	UNTIL(workers_count() == n && (test_sleep_ms(20), workers_count() == n));
}

static int row_is(const struct anyrcu_config *c, size_t row, int expected)
{
	int err = configure(*c);

	if (err != expected)
		dprintf(2, "row %zu: %d instead of %d\n", row, err, expected);
	return err != expected;
}

static void ranges(void)
{
	static const int none = -1, far = 1 << 20;
	static const int zeroes[ANYRCU_WORKERS_MAX + 1];
	static const struct anyrcu_config good[] = {
		{ 0 },
		{ .workers = 1 },
		{ .workers = -1 },
		{ .workers = 2 },
		{ .workers = ANYRCU_WORKERS_MAX },
		{ .delay_us = 1 },
		{ .delay_us = 10000000 },
		{ .pending_max = 1024 },
		{ .pending_max = UINT64_MAX },
		{ .page_bytes_max = 65536 },
		{ .page_bytes_max = UINT64_MAX },
		{ .stall_ms = 10 },
		{ .stall_ms = 86400000 },
		{ .stall_arg = &stop },
		{ .reminder_ms = 1 },
		{ .reminder_ms = 86400000 },
	};
	static const struct anyrcu_config bad[] = {
		{ .workers = -2 },
		{ .workers = INT32_MIN },
		{ .workers = ANYRCU_WORKERS_MAX + 1 },
		{ .workers = INT32_MAX },
		{ .worker_rt_priority = -1 },
		{ .worker_rt_priority = 100 },
		{ .worker_cpus = &none, .nworker_cpus = 1 },
		{ .worker_cpus = &far, .nworker_cpus = 1 },
		{ .worker_cpus = NULL, .nworker_cpus = 1 },
		{ .worker_cpus = zeroes, .nworker_cpus = ANYRCU_WORKERS_MAX + 1 },
		{ .worker_cpus = zeroes, .nworker_cpus = SIZE_MAX },
		{ .delay_us = 10000001 },
		{ .delay_us = UINT64_MAX },
		{ .pending_max = 1023 },
		{ .pending_max = 1 },
		{ .page_bytes_max = 65535 },
		{ .page_bytes_max = 1 },
		{ .stall_ms = 9 },
		{ .stall_ms = 86400001 },
		{ .stall_ms = UINT64_MAX },
		{ .reminder_ms = 86400001 },
		{ .reminder_ms = UINT64_MAX },
	};

	int wrong = 0;

	CHECK(anyrcu_init(NULL) == 0);
	for (size_t i = 0; i < COUNT(good); i++)
		wrong += row_is(&good[i], i, 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		wrong += row_is(&bad[i], i, -EINVAL);
	CHECK(!wrong);
	for (int i = 0; i < 10; i++)
		object_defer(i);
	pool_check();
}

static void wrong_field_is_named(void)
{
	CHECK(configure((struct anyrcu_config){ .delay_us = 10000001 }) == -EINVAL);
	CHECK(configure((struct anyrcu_config){ .pending_bytes_max = 65535 }) == -EINVAL);
}

static void pinned_to_first_cpu(void)
{
	cpu_set_t set;
	int cpus[ANYRCU_WORKERS_MAX];

	CHECK(!sched_getaffinity(0, sizeof(set), &set));
	for (size_t i = 0; i < COUNT(cpus); i++) {
		cpus[i] = 0;
		while (!CPU_ISSET(cpus[i], &set))
			cpus[i]++;
	}
	CHECK(!configure(
		(struct anyrcu_config){ .worker_cpus = cpus, .nworker_cpus = COUNT(cpus) }));
	CHECK(configure((struct anyrcu_config){ .worker_cpus = cpus,
						.nworker_cpus = COUNT(cpus) + 1 }) == -EINVAL);
}

/* A later version's structure is taken as long as what this one does not know is zero. */
static void sizes(void)
{
	struct {
		struct anyrcu_config c;
		unsigned char later[64];
	} big = { 0 };

	big.c.size = sizeof(big);
	CHECK(anyrcu_init(&big.c) == 0);
	for (size_t i = 0; i < sizeof(big.later); i += 9) {
		big.later[i] = 1;
		CHECK(anyrcu_init(&big.c) == -EINVAL);
		big.later[i] = 0;
	}
	big.c.size = sizeof(big.c);
	big.later[0] = 1;
	CHECK(anyrcu_init(&big.c) == 0);
	big.c.size = 0;
	CHECK(anyrcu_init(&big.c) == -EINVAL);
	big.c.size = 1;
	CHECK(anyrcu_init(&big.c) == -EINVAL);
}

static void refusal_changes_nothing(void)
{
	without_workers();
	CHECK(!configure((struct anyrcu_config){ .workers = 2, .pending_max = 2048 }));
	expect_workers(2);
	CHECK(configure((struct anyrcu_config){ .workers = 3, .delay_us = 10000001 }) == -EINVAL);
	CHECK(configure((struct anyrcu_config){ .workers = -1, .stall_ms = 1 }) == -EINVAL);
	expect_workers(2);
}

static void number_of_workers(void)
{
	static const int numbers[] = { 1, 2, 5, ANYRCU_WORKERS_MAX, 3, -1, 1 };

	without_workers();
	CHECK(workers_count() == 0);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		CHECK(!configure((struct anyrcu_config){ .workers = numbers[i] }));
		expect_workers(numbers[i] < 0 ? 0 : numbers[i]);
	}
	CHECK(!anyrcu_init(NULL));
	expect_workers(1);
}

static void *defers(void *arg)
{
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		object_defer(i);
		if (i % 8 == 0)
			object_defer_mightsleep();
		if (i % 64 == 0)
			test_sleep_ms(1);
	}
	return NULL;
}

static void workers_change_under_load(void)
{
	static const int numbers[] = { 1, 4, -1, 2, 0, ANYRCU_WORKERS_MAX };
	pthread_t t[3];

	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(defers, NULL);
	for (int i = 0; i < SCALED(200); i++) {
		struct anyrcu_config c = { .workers = numbers[i % COUNT(numbers)],
					   .delay_us = i % 3 };

		CHECK(!configure(c));
		if (i % 3 == 0)
			anyrcu_barrier();
	}
	CHECK(!anyrcu_init(NULL));
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
}

static void *configures(void *arg)
{
	for (int i = 0; i < SCALED(50); i++)
		CHECK(!configure(
			(struct anyrcu_config){ .workers = (int)(size_t)arg, .delay_us = 1 + i }));
	return NULL;
}

static void configured_by_threads_at_once(void)
{
	pthread_t t[4];

	without_workers();
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(configures, (void *)(i + 1));
	for (int i = 0; i < 100; i++) {
		object_defer(i);
		anyrcu_barrier();
	}
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(!configure((struct anyrcu_config){ .workers = 3 }));
	expect_workers(3);
}

/* What was deferred without a worker is a new worker's to invoke. */
static void worker_takes_over(void)
{
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	for (int i = 0; i < 5000; i++)
		object_defer(i);
	CHECK(stats().pending == 5000);
	CHECK(!anyrcu_init(NULL));
	UNTIL(stats().pending == 0);
	pool_check();
}

static _Atomic int blocked;
static _Atomic bool go_on;

static void blocks(void *arg)
{
	atomic_fetch_add(&blocked, 1);
	UNTIL(atomic_load(&go_on));
}

/* A new worker finds no slot, as callbacks keep all former ones: it comes when one of them goes. */
static void former_workers_have_all_slots(void)
{
	struct object *o = object_get();

	CHECK(!configure((struct anyrcu_config){ .workers = ANYRCU_WORKERS_MAX }));
	for (int i = 0; i < ANYRCU_WORKERS_MAX; i++) {
		CHECK(anyrcu_call_headless(blocks, NULL));
		UNTIL(atomic_load(&blocked) == i + 1);
	}
	CHECK(!configure((struct anyrcu_config){ .workers = 1 }));
	atomic_store(&go_on, true);
	anyrcu_call(&o->head, object_called);
	UNTIL(atomic_load(&o->invoked));
}

static void pinned(void)
{
	int cpus[2], ncpus = 0, on[2] = { 0 }, first, last;
	cpu_set_t set, all;
	pid_t tids[TASKS_MAX];
	size_t n;

	CHECK(!sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE && ncpus < 2; cpu++) {
		if (CPU_ISSET(cpu, &all))
			cpus[ncpus++] = cpu;
	}
	without_workers();
	first = cpus[0];
	last = cpus[ncpus - 1];
	CHECK(!configure((struct anyrcu_config){
		.workers = 5, .worker_cpus = cpus, .nworker_cpus = ncpus }));
	memset(cpus, 0xff, sizeof(cpus));
	for (int i = 0; i < 20000; i++)
		object_defer(i);
	expect_workers(5);
	n = workers(tids);
	for (size_t i = 0; i < n; i++) {
		CHECK(!sched_getaffinity(tids[i], sizeof(set), &set));
		CHECK(CPU_COUNT(&set) == 1);
		CHECK(CPU_ISSET(first, &set) || CPU_ISSET(last, &set));
		on[CPU_ISSET(first, &set) ? 0 : 1]++;
	}
	CHECK(on[0] == (ncpus == 2 ? 3 : 5));
	CHECK(!configure((struct anyrcu_config){ .workers = 2 }));
	expect_workers(2);
}

static void realtime(void)
{
	int err;
	pid_t tids[TASKS_MAX];
	size_t n;

	without_workers();
	err = configure((struct anyrcu_config){ .workers = 2, .worker_rt_priority = 7 });
	CHECK(err == 0 || err == -EPERM);
	expect_workers(2);
	n = workers(tids);
	for (size_t i = 0; i < n; i++) {
		struct sched_param p;

		CHECK(!sched_getparam(tids[i], &p));
		CHECK((sched_getscheduler(tids[i]) & ~SCHED_RESET_ON_FORK) ==
		      (err ? SCHED_OTHER : SCHED_FIFO));
		CHECK(p.sched_priority == (err ? 0 : 7));
	}
	CHECK(!anyrcu_init(NULL));
	expect_workers(1);
	workers(tids);
	CHECK(sched_getscheduler(tids[0]) == SCHED_OTHER);
}

/* Any user who is not privileged will do. */
static void drop_privileges(void)
{
	if (geteuid() == 0) {
		CHECK(!setgid(65534));
		CHECK(!setuid(65534));
		/* So that /proc/self stays readable. */
		prctl(PR_SET_DUMPABLE, 1);
	}
}

static void realtime_not_permitted(void)
{
	struct rlimit none = { 0, 0 };

	CHECK(!setrlimit(RLIMIT_RTPRIO, &none));
	drop_privileges();
	without_workers();
	CHECK(configure((struct anyrcu_config){ .workers = 3, .worker_rt_priority = 1 }) == -EPERM);
	expect_workers(3);
	CHECK(!anyrcu_init(NULL));
	expect_workers(1);
}

#if !ASAN && !TSAN /* whose runtimes start threads of their own */
static void no_thread_to_be_had(void)
{
	struct rlimit few = { 1, 1 };

	drop_privileges();
	without_workers();
	CHECK(!setrlimit(RLIMIT_NPROC, &few));
	CHECK(configure((struct anyrcu_config){ .workers = 3, .page_bytes_max = 65536 }) ==
	      -EAGAIN);
	/* Somebody must go on all the same. */
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	object_defer_mightsleep();
	anyrcu_synchronize();
	pool_check();
}
#endif

#if !ASAN && !TSAN
/* The soft limit for the threads of a user who has no others. False: the user cannot be changed. */
static bool limit(rlim_t threads)
{
	struct rlimit limit;

	if (getuid() != 54322 && setresuid(54322, 54322, 54322))
		return false;
	CHECK(!getrlimit(RLIMIT_NPROC, &limit));
	limit.rlim_cur = threads;
	CHECK(!setrlimit(RLIMIT_NPROC, &limit));
	return true;
}

static void invoked(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

/* What is left of the workers goes on, without a call that waits. */
static void workers_at_limit(void)
{
	atomic_int n = 0;

	object_defer(0);
	pool_check(); /* the worker has started */
	if (!limit(2)) /* the first thread, and the worker */
		return;
	CHECK(!anyrcu_init(NULL));
	CHECK(anyrcu_call_headless(invoked, &n));
	UNTIL(atomic_load(&n) == 1);
	CHECK(configure((struct anyrcu_config){ .workers = 2 }) == -EAGAIN);
	CHECK(anyrcu_call_headless(invoked, &n));
	UNTIL(atomic_load(&n) == 2);
}

/* A program that frees in tasks, and never waits, gets a worker once it may have one. */
static void worker_behind_limit(void)
{
	without_workers();
	if (!limit(1))
		return;
	CHECK(configure((struct anyrcu_config){ .workers = 1 }) == -EAGAIN);
	CHECK(limit(100));
	while (!workers_count()) {
		CHECK(anyrcu_free_task_headless(malloc(100)));
		test_sleep_ms(1);
	}
}
#endif

static void as_environment_says(size_t n)
{
	pid_t tids[TASKS_MAX];
	size_t here;

	/*
	 * The threads that are none of the library's, which the environment does not let us count
	 * by configuration.
	 */
	nothers = 1;
	others[0] = getpid();
	object_defer(0);
	pool_check();
	UNTIL(workers(tids) >= n);
	here = workers(tids);
	/* ThreadSanitizer has one that may have started already. */
	CHECK(here == n || (TSAN && here == n + 1));
	for (int i = 1; i < 4; i++) {
		CHECK(!configure((struct anyrcu_config){ .workers = i }));
		object_defer(0);
		pool_check();
		UNTIL(workers(tids) == n || (TSAN && workers(tids) == n + 1));
	}
}

static void three_by_environment(void)
{
	as_environment_says(3);
}

static void none_by_environment(void)
{
	as_environment_says(0);
}

static void bad_environment(void)
{
	object_defer(0);
	CHECK(!anyrcu_init(NULL));
	pool_check();
}

static _Atomic int synchronizes;

static void callback_synchronizes(void *arg)
{
	atomic_store(&synchronizes, 1);
	test_sleep_ms(20);
	anyrcu_synchronize();
	object_invoked(arg);
}

/* A thread that is online and waits for the end of the workers holds up no grace period. */
static void online_ends_workers(void)
{
	CHECK(anyrcu_call_headless(callback_synchronizes, object_get()));
	UNTIL(atomic_load(&synchronizes));
	anyrcu_thread_online();
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	CHECK(anyrcu_read_lock_held());
	anyrcu_thread_offline();
	pool_check();
}

static const struct test_case cases[] = {
	CASE(online_ends_workers, .seconds = 6),
	CASE(ranges),
	CASE(pinned_to_first_cpu),
	CASE(wrong_field_is_named, .says = { "delay_us", "pending_bytes_max" },
	     .env = { "ANYRCU_DEBUG=1" }),
	CASE(sizes),
	CASE(refusal_changes_nothing),
	CASE(number_of_workers),
	CASE(workers_change_under_load),
	CASE(configured_by_threads_at_once),
	CASE(worker_takes_over),
	CASE(former_workers_have_all_slots),
	CASE(pinned),
	CASE(realtime),
	CASE(realtime_not_permitted),
#if !ASAN && !TSAN
	CASE(no_thread_to_be_had),
	CASE(workers_at_limit),
	CASE(worker_behind_limit),
#endif
	CASE(three_by_environment, .env = { "ANYRCU_WORKERS=3" }),
	CASE(none_by_environment, .env = { "ANYRCU_WORKERS=0" }),
	{ .name = "none_by_negative_environment",
	  .body = none_by_environment,
	  .env = { "ANYRCU_WORKERS=-1" } },
	{ .name = "environment_not_a_number",
	  .body = bad_environment,
	  .env = { "ANYRCU_WORKERS=many" },
	  .says = { "ANYRCU_WORKERS" } },
	{ .name = "environment_out_of_range",
	  .body = bad_environment,
	  .env = { "ANYRCU_WORKERS=33" },
	  .says = { "ANYRCU_WORKERS" } },
	{ .name = "environment_with_more_behind",
	  .body = bad_environment,
	  .env = { "ANYRCU_WORKERS=1x" },
	  .says = { "ANYRCU_WORKERS" } },
	{ .name = "environment_too_negative",
	  .body = bad_environment,
	  .env = { "ANYRCU_WORKERS=-2" },
	  .says = { "ANYRCU_WORKERS" } },
	{ .name = "environment_too_large",
	  .body = bad_environment,
	  .env = { "ANYRCU_WORKERS=4294967297" },
	  .says = { "ANYRCU_WORKERS" } },
	{ .name = "debug_not_a_number",
	  .body = bad_environment,
	  .env = { "ANYRCU_DEBUG=yes" },
	  .says = { "ANYRCU_DEBUG" } },
	{ .name = "rseq_not_a_number",
	  .body = bad_environment,
	  .env = { "ANYRCU_RSEQ=no" },
	  .says = { "ANYRCU_RSEQ" } },
	{ .name = "membarrier_not_a_number",
	  .body = bad_environment,
	  .env = { "ANYRCU_MEMBARRIER=no" },
	  .says = { "ANYRCU_MEMBARRIER" } },
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
