/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/rcu.h>: readers, grace periods, quiescent-state mode, stall reports. */
#include "test.h"

static void *not_held(void *arg)
{
	CHECK(!anyrcu_read_lock_held());
	return NULL;
}

static void nesting(void)
{
	CHECK(!anyrcu_read_lock_held());
	for (int i = 0; i < 3; i++) {
		anyrcu_read_lock();
		CHECK(anyrcu_read_lock_held());
	}
	thread_join(thread_start(not_held, NULL));
	for (int i = 0; i < 3; i++) {
		CHECK(anyrcu_read_lock_held());
		anyrcu_read_unlock();
	}
	CHECK(!anyrcu_read_lock_held());
	anyrcu_synchronize();
}

static void nesting_deepest(void)
{
	anyrcu_gp_t gp;

	for (int i = 0; i < 65535; i++)
		anyrcu_read_lock();
	gp = anyrcu_gp_start();
	for (int i = 0; i < 65535; i++) {
		CHECK(anyrcu_read_lock_held());
		CHECK(!anyrcu_gp_done(gp));
		anyrcu_read_unlock();
	}
	CHECK(!anyrcu_read_lock_held());
	anyrcu_gp_wait(gp);
}

static void nesting_too_deep(void)
{
	for (int i = 0; i < 65536; i++)
		anyrcu_read_lock();
}

static void unlock_first(void)
{
	anyrcu_read_unlock();
}

static void unlock_twice(void)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
	anyrcu_read_unlock();
}

static void unlock_when_online(void)
{
	anyrcu_thread_online();
	anyrcu_read_unlock();
	anyrcu_thread_offline();
	anyrcu_read_lock();
	CHECK(anyrcu_read_lock_held());
	anyrcu_read_unlock();
	CHECK(!anyrcu_read_lock_held());
}

static void synchronize_in_section(void)
{
	anyrcu_read_lock();
	anyrcu_synchronize();
}

static void synchronize_in_nested_section(void)
{
	anyrcu_read_lock();
	anyrcu_read_lock();
	anyrcu_read_unlock();
	anyrcu_synchronize();
}

static void gp_wait_in_section(void)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	anyrcu_read_lock();
	anyrcu_gp_wait(gp);
}

static void online_in_section(void)
{
	anyrcu_read_lock();
	anyrcu_thread_online();
}

static _Atomic int synchronized;

static void *synchronizer(void *arg)
{
	anyrcu_synchronize();
	atomic_fetch_add(&synchronized, 1);
	return NULL;
}

static void waits_for_reader(void)
{
	struct holder h;
	pthread_t t;

	for (int i = 0; i < 20; i++) {
		holder_enter(&h);
		atomic_store(&synchronized, 0);
		t = thread_start(synchronizer, NULL);
		test_sleep_ms(10);
		CHECK(!atomic_load(&synchronized));
		holder_leave(&h);
		thread_join(t);
	}
}

/* Without a worker, the one grace period that begins is the synchronizer's. */
static void does_not_wait_for_later_reader(void)
{
	struct holder before, after;
	uint64_t started = stats().gp_started;
	pthread_t t;

	holder_enter(&before);
	t = thread_start(synchronizer, NULL);
	UNTIL(stats().gp_started != started);
	holder_enter(&after);
	CHECK(!atomic_load(&synchronized));
	holder_leave(&before);
	thread_join(t);
	holder_leave(&after);
}

static _Atomic int last_in;
static _Atomic bool stop;

/* Two of these hand over to each other: one leaves only when the other is inside. */
static void *relay(void *arg)
{
	int me = (int)(size_t)arg;

	while (!atomic_load(&stop)) {
		anyrcu_read_lock();
		atomic_store(&last_in, me);
		while (atomic_load(&last_in) == me && !atomic_load(&stop))
			sched_yield();
		anyrcu_read_unlock();
	}
	return NULL;
}

static void overlapping_readers_starve_nobody(void)
{
	pthread_t t[2] = { thread_start(relay, (void *)1), thread_start(relay, (void *)2) };

	UNTIL(atomic_load(&last_in));
	for (int i = 0; i < SCALED(200); i++)
		anyrcu_synchronize();
	atomic_store(&stop, true);
	thread_join(t[0]);
	thread_join(t[1]);
}

static _Atomic int calling;

static void *synchronize_counted(void *arg)
{
	atomic_fetch_add(&calling, 1);
	anyrcu_synchronize();
	return NULL;
}

static void synchronizers_share(void)
{
	pthread_t t[64];
	struct holder h;
	uint64_t before;

	holder_enter(&h);
	before = stats().gp_started;
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(synchronize_counted, NULL);
	UNTIL(atomic_load(&calling) == (int)COUNT(t));
	test_sleep_ms(20);
	holder_leave(&h);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(stats().gp_started - before <= COUNT(t) / 4);
	CHECK(stats().gp_started - before >= 1);
}

static _Atomic int step;

static void *online_thread(void *arg)
{
	anyrcu_thread_online();
	CHECK(anyrcu_read_lock_held());
	anyrcu_read_lock();
	anyrcu_read_unlock();
	CHECK(anyrcu_read_lock_held());
	atomic_store(&step, 1);
	UNTIL(atomic_load(&step) >= 2);
	anyrcu_quiescent_state();
	CHECK(anyrcu_read_lock_held());
	UNTIL(atomic_load(&step) >= 3);
	anyrcu_thread_online();
	CHECK(anyrcu_read_lock_held());
	UNTIL(atomic_load(&step) >= 4);
	anyrcu_thread_offline();
	CHECK(!anyrcu_read_lock_held());
	UNTIL(atomic_load(&step) >= 5);
	anyrcu_read_lock();
	anyrcu_read_unlock();
	anyrcu_thread_online();
	atomic_store(&step, 6);
	UNTIL(atomic_load(&step) >= 7);
	return NULL;
}

/* Each way to let go: quiescent_state, online again, offline, the end of the thread. */
static void quiescent_states(void)
{
	static const int last[] = { 1, 2, 3, 6 };
	pthread_t t = thread_start(online_thread, NULL);
	anyrcu_gp_t gp;

	for (size_t i = 0; i < COUNT(last); i++) {
		if (i == 3)
			atomic_store(&step, 5);
		UNTIL(atomic_load(&step) == last[i]);
		gp = anyrcu_gp_start();
		test_sleep_ms(20);
		CHECK(!anyrcu_gp_done(gp));
		atomic_store(&step, last[i] + 1);
		anyrcu_gp_wait(gp);
		CHECK(anyrcu_gp_done(gp));
	}
	thread_join(t);
	anyrcu_synchronize();
}

static void *online_waits(void *arg)
{
	anyrcu_thread_online();
	for (int i = 0; i < SCALED(100); i++) {
		anyrcu_synchronize();
		anyrcu_gp_wait(anyrcu_gp_start());
		anyrcu_barrier();
		CHECK(anyrcu_read_lock_held());
	}
	return NULL;
}

static void online_threads_may_wait(void)
{
	pthread_t t[3];

	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(online_waits, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
}

static void *stays_online_after_wait(void *arg)
{
	anyrcu_thread_online();
	anyrcu_synchronize();
	atomic_store(&step, 1);
	UNTIL(atomic_load(&step) == 2);
	anyrcu_thread_offline();
	return NULL;
}

static void online_again_after_wait(void)
{
	pthread_t t = thread_start(stays_online_after_wait, NULL);
	anyrcu_gp_t gp;

	UNTIL(atomic_load(&step) == 1);
	gp = anyrcu_gp_start();
	test_sleep_ms(20);
	CHECK(!anyrcu_gp_done(gp));
	atomic_store(&step, 2);
	anyrcu_gp_wait(gp);
	thread_join(t);
}

static void quiescence_of_others_is_nothing(void)
{
	anyrcu_gp_t gp;

	anyrcu_quiescent_state();
	anyrcu_thread_offline();
	anyrcu_read_lock();
	gp = anyrcu_gp_start();
	anyrcu_quiescent_state();
	anyrcu_thread_offline();
	CHECK(anyrcu_read_lock_held());
	test_sleep_ms(20);
	CHECK(!anyrcu_gp_done(gp));
	anyrcu_read_unlock();
	anyrcu_gp_wait(gp);
}

/* Nobody but the worker drives it. */
static void polled(void)
{
	anyrcu_gp_t gp;

	for (int i = 0; i < 10; i++) {
		gp = anyrcu_gp_start();
		UNTIL(anyrcu_gp_done(gp));
	}
}

static void polled_without_worker(void)
{
	anyrcu_gp_t gp = anyrcu_gp_start();
	struct holder h;

	UNTIL((anyrcu_reclaim(0), anyrcu_gp_done(gp)));
	holder_enter(&h);
	gp = anyrcu_gp_start();
	for (int i = 0; i < 100; i++) {
		CHECK(anyrcu_reclaim(0) == 0);
		CHECK(!anyrcu_gp_done(gp));
	}
	holder_leave(&h);
	UNTIL((anyrcu_reclaim(0), anyrcu_gp_done(gp)));
	gp = anyrcu_gp_start();
	anyrcu_synchronize();
	CHECK(anyrcu_gp_done(gp));
}

/* Long enough for the numbers to wrap, which the order of cookies must not show. */
static void cookies_in_order(void)
{
	enum { N = 3000 };
	static anyrcu_gp_t gp[N];

	for (int i = 0; i < N; i++) {
		anyrcu_read_lock();
		gp[i] = anyrcu_gp_start();
		CHECK(!anyrcu_gp_done(gp[i]));
		anyrcu_read_unlock();
		anyrcu_gp_wait(gp[i]);
		for (int j = 0; j <= i; j += 1 + i / 7)
			CHECK(anyrcu_gp_done(gp[j]));
	}
	for (int i = 0; i < N; i++)
		CHECK(anyrcu_gp_done(gp[i]));
}

static int *shared;
static _Atomic long handled, wrong;
static _Atomic anyrcu_gp_t handler_gp;

static void read_in_handler(int sig)
{
	bool held = anyrcu_read_lock_held();
	int *p;

	anyrcu_read_lock();
	anyrcu_read_lock();
	p = anyrcu_dereference(shared);
	if (p && __atomic_load_n(p, __ATOMIC_RELAXED) != 1)
		atomic_fetch_add(&wrong, 1);
	if (!anyrcu_read_lock_held())
		atomic_fetch_add(&wrong, 1);
	anyrcu_read_unlock();
	anyrcu_read_unlock();
	if (anyrcu_read_lock_held() != held)
		atomic_fetch_add(&wrong, 1);
	atomic_store(&handler_gp, anyrcu_gp_start());
	anyrcu_gp_done(atomic_load(&handler_gp));
	atomic_fetch_add(&handled, 1);
}

static void *interrupted_reader(void *arg)
{
	timer_t t = ticks_start(SIGRTMIN, 50);

	while (!atomic_load(&stop)) {
		anyrcu_read_lock();
		if (__atomic_load_n(anyrcu_dereference(shared), __ATOMIC_RELAXED) != 1)
			atomic_fetch_add(&wrong, 1);
		if (!anyrcu_read_lock_held())
			atomic_fetch_add(&wrong, 1);
		anyrcu_read_unlock();
		if (anyrcu_read_lock_held())
			atomic_fetch_add(&wrong, 1);
	}
	timer_delete(t);
	return NULL;
}

/* What a handler may still see must not be poisoned. */
static void handlers_read(void)
{
	static int versions[2] = { 1, 1 };
	pthread_t t[2];

	handle(SIGRTMIN, read_in_handler, 0);
	anyrcu_assign_pointer(shared, &versions[0]);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(interrupted_reader, NULL);
	for (int i = 1; i < SCALED(3000) || atomic_load(&handled) < 100; i++) {
		int *old = shared, *new = &versions[i & 1];

		__atomic_store_n(new, 1, __ATOMIC_RELAXED);
		anyrcu_assign_pointer(shared, new);
		anyrcu_synchronize();
		__atomic_store_n(old, -1, __ATOMIC_RELAXED);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(!atomic_load(&wrong));
	anyrcu_gp_wait(atomic_load(&handler_gp));
}

static void *waits_for_signal(void *arg)
{
	atomic_store(&step, 1);
	while (!atomic_load(&handled))
		sched_yield();
	return NULL;
}

static void first_read_in_handler(void)
{
	handle(SIGRTMIN, read_in_handler, 0);
	for (int i = 0; i < SCALED(200); i++) {
		pthread_t t;

		atomic_store(&handled, 0);
		atomic_store(&step, 0);
		t = thread_start(waits_for_signal, NULL);
		if (i % 2)
			UNTIL(atomic_load(&step));
		CHECK(!pthread_kill(t, SIGRTMIN));
		thread_join(t);
	}
	CHECK(!atomic_load(&wrong));
	anyrcu_synchronize();
}

static void *ends_inside(void *arg)
{
	anyrcu_read_lock();
	return NULL;
}

static void thread_ends_inside(void)
{
	for (int i = 0; i < 3; i++) {
		thread_join(thread_start(ends_inside, NULL));
		anyrcu_synchronize();
		anyrcu_barrier();
	}
}

static void *reads_once(void *arg)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
	return NULL;
}

static void short_lived_threads(void)
{
	enum { WAVE = 20 };
	pthread_t t[WAVE];

	for (int i = 0; i < SCALED(5000) / WAVE; i++) {
		for (int j = 0; j < WAVE; j++)
			t[j] = thread_start(reads_once, NULL);
		for (int j = 0; j < WAVE; j++)
			thread_join(t[j]);
		CHECK(stats().readers <= 2 * WAVE + 2);
	}
	anyrcu_synchronize();
}

static struct anyrcu_stall stall;
static _Atomic int stalls;
static void *return_address;
static _Atomic uint32_t reader_tid;

static void on_stall(const struct anyrcu_stall *s, void *arg)
{
	CHECK(arg == &stalls);
	if (!atomic_load(&stalls))
		stall = *s;
	atomic_fetch_add(&stalls, 1);
}

static __attribute__((noinline)) void linger(void)
{
	return_address = __builtin_return_address(0);
	UNTIL(atomic_load(&stop));
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void *stalls_inside(void *arg)
{
	atomic_store(&reader_tid, (uint32_t)syscall(SYS_gettid));
	anyrcu_read_lock();
	atomic_store(&step, 1);
	linger();
	anyrcu_read_unlock();
	return NULL;
}

static void stall_is_reported_to_hook(void)
{
	struct anyrcu_config c = { .stall_ms = 10, .stall_hook = on_stall, .stall_arg = &stalls };
	bool found = false;
	pthread_t t;

	CHECK(!configure(c));
	t = thread_start(stalls_inside, NULL);
	UNTIL(atomic_load(&step) == 1);
	for (int i = 0; i < 3; i++)
		object_defer(i);
	UNTIL(atomic_load(&stalls));
	CHECK(stats().stalls >= 1);
	atomic_store(&stop, true);
	thread_join(t);
	pool_check();
	CHECK(stall.tid == atomic_load(&reader_tid));
	CHECK(stall.ns >= 10000000);
	CHECK(stall.pending == 3);
	CHECK(stall.nframes >= 1 && stall.nframes <= COUNT(stall.frames));
	for (uint32_t i = 0; i < stall.nframes; i++)
		found |= stall.frames[i] == return_address;
	CHECK(found);
}

static void stall_of_online_thread(void)
{
	struct anyrcu_config c = { .stall_ms = 10, .stall_hook = on_stall, .stall_arg = &stalls };
	pthread_t t;

	CHECK(!configure(c));
	atomic_store(&step, 0);
	t = thread_start(online_thread, NULL);
	UNTIL(atomic_load(&step) == 1);
	object_defer(0);
	UNTIL(atomic_load(&stalls));
	for (int s = 2; s <= 5; s++)
		atomic_store(&step, s), test_sleep_ms(5);
	UNTIL(atomic_load(&step) == 6);
	atomic_store(&step, 7);
	thread_join(t);
	pool_check();
}

static void urgent(int sig)
{
	atomic_fetch_add(&handled, 1);
}

/*
 * A program that uses SIGURG itself never sees one from the library, and has its report all the
 * same.
 */
static void stall_leaves_sigurg_to_program(void)
{
	struct anyrcu_config c = { .stall_ms = 10, .stall_hook = on_stall, .stall_arg = &stalls };
	struct sigaction a;
	struct holder h;

	handle(SIGURG, urgent, 0);
	CHECK(!configure(c));
	holder_enter(&h);
	object_defer(0);
	UNTIL(atomic_load(&stalls) >= 2);
	holder_leave(&h);
	CHECK(!atomic_load(&handled));
	CHECK(stall.tid);
	CHECK(!sigaction(SIGURG, NULL, &a) && a.sa_handler == urgent);
	pool_check();
}

static void stall_is_reported_on_stderr(void)
{
	struct anyrcu_config c = { .stall_ms = 10 };
	char tid[16];

	CHECK(!configure(c));
	anyrcu_read_lock();
	object_defer(0);
	UNTIL(stats().stalls && strlen(test_said()));
	anyrcu_read_unlock();
	snprintf(tid, sizeof(tid), "%d", getpid());
	CHECK(strstr(test_said(), tid));
	pool_check();
}

/* One reader that stays must not flood the log; the waits between reports grow. */
static void stall_reports_back_off(void)
{
	struct anyrcu_config c = { .stall_ms = 10, .stall_hook = on_stall, .stall_arg = &stalls };
	struct timespec from, to;
	struct holder h;

	CHECK(!configure(c));
	holder_enter(&h);
	object_defer(0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	test_sleep_ms(800);
	UNTIL(atomic_load(&stalls) >= 2);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CHECK(atomic_load(&stalls) <
	      ((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000) / 10 / 3);
	holder_leave(&h);
	pool_check();
}

static void no_stall_no_report(void)
{
	struct holder h;

	holder_enter(&h);
	object_defer(0);
	test_sleep_ms(200);
	holder_leave(&h);
	pool_check();
	CHECK(!stats().stalls);
}

#if !TSAN /* whose own thread in the background wakes all the time */
static uint64_t switches(void)
{
	pid_t tids[TASKS_MAX];
	uint64_t sum = 0;
	size_t n = tasks(tids);

	for (size_t i = 0; i < n; i++) {
		char name[64], line[128];
		unsigned long v;
		FILE *f;

		if (tids[i] == getpid())
			continue;
		snprintf(name, sizeof(name), "/proc/self/task/%d/status", tids[i]);
		f = fopen(name, "r");
		CHECK(f);
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &v) == 1)
				sum += v;
		}
		fclose(f);
	}
	return sum;
}

static bool nothing_happens(void)
{
	uint64_t before = switches();

	test_sleep_ms(3000);
	return switches() == before;
}

static void idle_system_does_nothing(void)
{
	bool quiet = false;

	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pool_check();
	/*
	 * It may first give back what it does not need. Three seconds are longer than any pause it
	 * makes in that.
	 */
	for (int i = 0; !quiet && i < 4; i++)
		quiet = nothing_happens();
	CHECK(quiet);
	CHECK(switches());
	object_defer(0);
	UNTIL(stats().pending == 0);
	pool_check();
}
#endif

/* More than the records that are made at once: they get new ones, and each is waited for. */
static void many_readers_at_once(void)
{
	static struct holder h[200];
	anyrcu_gp_t gp;

	for (size_t i = 0; i < COUNT(h); i++)
		holder_enter(&h[i]);
	CHECK(stats().readers >= COUNT(h));
	gp = anyrcu_gp_start();
	for (size_t i = 0; i < COUNT(h); i++) {
		CHECK(!anyrcu_gp_done(gp));
		holder_leave(&h[i]);
	}
	anyrcu_gp_wait(gp);
	CHECK(anyrcu_gp_done(gp));
}

static const struct test_case cases[] = {
	CASE(nesting),
	CASE(nesting_deepest),
	CASE(nesting_too_deep, .sig = SIGABRT, .says = { "anyrcu", "65535" }),
	CASE(unlock_first, .sig = SIGABRT, .says = { "anyrcu_read_unlock" }),
	CASE(unlock_twice, .sig = SIGABRT, .says = { "anyrcu_read_unlock" }),
	CASE(unlock_when_online),
	CASE(synchronize_in_section, .sig = SIGABRT, .says = { "anyrcu_synchronize" }),
	CASE(synchronize_in_nested_section, .sig = SIGABRT, .says = { "anyrcu_synchronize" }),
	CASE(gp_wait_in_section, .sig = SIGABRT, .says = { "anyrcu_gp_wait" }),
	CASE(online_in_section, .sig = SIGABRT, .says = { "anyrcu_thread_online" }),
	CASE(waits_for_reader),
	CASE(does_not_wait_for_later_reader, .env = { "ANYRCU_WORKERS=0" }),
	CASE(overlapping_readers_starve_nobody),
	CASE(synchronizers_share),
	CASE(quiescent_states),
	CASE(online_threads_may_wait),
	CASE(online_again_after_wait),
	CASE(quiescence_of_others_is_nothing),
	CASE(polled),
	CASE(polled_without_worker, .env = { "ANYRCU_WORKERS=0" }),
	CASE(cookies_in_order),
	CASE(handlers_read),
	CASE(first_read_in_handler),
	CASE(thread_ends_inside, .says = { "anyrcu" }),
	CASE(short_lived_threads),
	CASE(stall_is_reported_to_hook),
	CASE(stall_of_online_thread),
	CASE(stall_leaves_sigurg_to_program),
	CASE(stall_is_reported_on_stderr, .says = { "anyrcu" }),
	CASE(stall_reports_back_off),
	CASE(no_stall_no_report),
	CASE(many_readers_at_once),
#if !TSAN
	CASE(idle_system_does_nothing),
#endif
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
