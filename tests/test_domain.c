/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Domains: deferral for readers that are not anyrcu's. The source here is anyrcu's own grace
 * period, or one that a case holds open.
 */
#include "test.h"
#include "no_threads.h"
#include <fcntl.h>

struct thing {
	long number;
	int owner;
	struct anyrcu_head head;
};

#define THING(h) ((struct thing *)(void *)((char *)(h)-offsetof(struct thing, head)))

static atomic_long invoked, synchronized;
static atomic_int held; /* while it is not 0 no grace period ends */

static void synchronize(void *arg)
{
	CHECK(arg == &held);
	do
		anyrcu_synchronize();
	while (atomic_load(&held) && (test_sleep_ms(1), true));
	atomic_fetch_add(&synchronized, 1);
}

static const struct anyrcu_source source = { .size = sizeof(source),
					     .synchronize = synchronize,
					     .arg = &held };

static struct anyrcu_domain *domain(struct anyrcu_domain_config c)
{
	struct anyrcu_domain *d;

	c.size = sizeof(c);
	d = anyrcu_domain_create(&source, &c);
	CHECK(d);
	return d;
}

#define DOMAIN(...) domain((struct anyrcu_domain_config){ .size = 0, ##__VA_ARGS__ })

static struct anyrcu_domain_stats stats_of(const struct anyrcu_domain *d)
{
	struct anyrcu_domain_stats s = { .size = sizeof(s) };

	anyrcu_domain_stats_get(d, &s);
	return s;
}

static void count(struct anyrcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
	free(THING(head));
}

static struct thing *thing(long number)
{
	struct thing *o = calloc(1, sizeof(*o));

	CHECK(o);
	o->number = number;
	return o;
}

static void defer(struct anyrcu_domain *d, long n)
{
	for (long i = 0; i < n; i++)
		anyrcu_domain_call(d, &thing(i)->head, count);
}

/* So that a program may enter a namespace then that no thread must be in. */
static void thread_is_gone_with_domain(void)
{
	size_t before;

	object_defer(0);
	pool_check(); /* the default worker has started */
	before = tasks_count();
	for (int i = 0; i < 300; i++) {
		struct anyrcu_domain *d = DOMAIN();

		defer(d, 10);
		anyrcu_domain_destroy(d, NULL);
		CHECK(tasks_count() == before);
	}
}

static void waits_for_source(void)
{
	struct anyrcu_domain *d = DOMAIN();

	atomic_store(&held, 1);
	defer(d, 2000);
	test_sleep_ms(100);
	CHECK(!atomic_load(&invoked));
	atomic_store(&held, 0);
	anyrcu_domain_barrier(d);
	CHECK(atomic_load(&invoked) == 2000 && atomic_load(&synchronized) > 0);
	CHECK(stats_of(d).collected == 2000 && stats_of(d).collected_page == 2000 &&
	      stats_of(d).invoked == 2000);
	anyrcu_domain_destroy(d, NULL);
}

/* Nobody asks for it, and it happens. */
static void goes_on_alone(void)
{
	struct anyrcu_domain *d = DOMAIN(), *polls = DOMAIN(.poll = true);

	for (int round = 1; round <= 20; round++) {
		defer(round % 2 ? d : polls, 1);
		UNTIL(atomic_load(&invoked) == round);
	}
	CHECK(!stats_of(polls).worker_wakes);
	anyrcu_domain_destroy(d, NULL);
	anyrcu_domain_destroy(polls, NULL);
}

/* Another domain's readers do not hold it up. */
static void independent(void)
{
	static const struct anyrcu_source other = { .size = sizeof(other),
						    .synchronize =
							    (void (*)(void *))anyrcu_synchronize };
	struct anyrcu_domain *d = DOMAIN(), *o = anyrcu_domain_create(&other, NULL);

	CHECK(o);
	atomic_store(&held, 1);
	defer(d, 100);
	defer(o, 100);
	anyrcu_domain_barrier(o);
	CHECK(atomic_load(&invoked) == 100);
	atomic_store(&held, 0);
	anyrcu_domain_destroy(d, NULL);
	CHECK(atomic_load(&invoked) == 200);
	anyrcu_domain_destroy(o, NULL);
}

#define WRITERS 4
static long last_of[WRITERS];
static atomic_int inside;
static struct anyrcu_domain *shared;

static void in_order(struct anyrcu_head *head)
{
	struct thing *o = THING(head);

	CHECK(atomic_fetch_add(&inside, 1) == 0);
	CHECK(o->number == last_of[o->owner] + 1);
	last_of[o->owner] = o->number;
	atomic_fetch_sub(&inside, 1);
	count(head);
}

static void *writer(void *arg)
{
	for (long i = 1; i <= SCALED(200000); i++) {
		struct thing *o = thing(i);

		o->owner = (int)(intptr_t)arg;
		anyrcu_domain_call(shared, &o->head, in_order);
	}
	return NULL;
}

static void all_write(void)
{
	pthread_t thread[WRITERS];

	for (intptr_t i = 0; i < WRITERS; i++)
		thread[i] = thread_start(writer, (void *)i);
	for (int i = 0; i < WRITERS; i++)
		thread_join(thread[i]);
	anyrcu_domain_barrier(shared);
	CHECK(atomic_load(&invoked) == WRITERS * SCALED(200000));
	for (int i = 0; i < WRITERS; i++)
		CHECK(last_of[i] == SCALED(200000));
	CHECK(!stats_of(shared).bytes);
	anyrcu_domain_destroy(shared, NULL);
}

static void order(void)
{
	shared = DOMAIN();
	all_write();
}

/* Pages are refused all the time, so that objects go from pages to the chain and back. */
static void order_with_chain(void)
{
	shared = DOMAIN(.page_bytes_max = 65536, .pending_max = UINT64_MAX);
	all_write();
}

static void chain_is_used(void)
{
	struct anyrcu_domain *d = DOMAIN(.page_bytes_max = 65536, .pending_max = UINT64_MAX);

	atomic_store(&held, 1);
	defer(d, 50000);
	atomic_store(&held, 0);
	anyrcu_domain_barrier(d);
	CHECK(atomic_load(&invoked) == 50000);
	CHECK(stats_of(d).collected_chain > 10000 && stats_of(d).bytes_high <= 65536);
	CHECK(stats_of(d).collected_chain + stats_of(d).collected_page == 50000 &&
	      stats_of(d).invoked == 50000);
	anyrcu_domain_destroy(d, NULL);
}

/* A quarter of the pages wakes the worker. If not, the case would take 120 seconds. */
static void few_pages_wake(void)
{
	struct anyrcu_domain *d = DOMAIN(.page_bytes_max = 65536, .delay_us = 10000000);

	for (int round = 0; round < 12; round++) {
		uint64_t before = stats_of(d).invoked;

		defer(d, 6 * 512);
		UNTIL(stats_of(d).invoked != before);
	}
	anyrcu_domain_destroy(d, NULL);
}

static atomic_int inside_slow, leave_slow;

static void slow(struct anyrcu_head *head)
{
	atomic_fetch_add(&inside_slow, 1);
	while (!atomic_load(&leave_slow))
		test_sleep_ms(1);
	count(head);
}

/* Callers are slowed down when callbacks are too slow for them. */
static void gives_way(void)
{
	struct anyrcu_domain *d = DOMAIN(.pending_max = 1024),
			     *never = DOMAIN(.pending_max = UINT64_MAX);

	anyrcu_domain_call(d, &thing(0)->head, slow);
	anyrcu_domain_call(never, &thing(0)->head, slow);
	UNTIL(atomic_load(&inside_slow) == 2);
	defer(d, 10000);
	defer(never, 10000);
	CHECK(stats_of(d).gave_way > 0 && !stats_of(never).gave_way);
	atomic_store(&leave_slow, 1);
	anyrcu_domain_destroy(d, NULL);
	anyrcu_domain_destroy(never, NULL);
	CHECK(atomic_load(&invoked) == 20002);
}

/* Not when it is a reader that holds them up, which they may be themselves. */
static void readers_do_not_give_way(void)
{
	struct anyrcu_domain *d = DOMAIN(.pending_max = 1024);

	atomic_store(&held, 1);
	defer(d, 1);
	UNTIL(stats_of(d).bytes == ANYRCU_PAGE_SIZE);
	test_sleep_ms(20);
	defer(d, 10000);
	CHECK(!stats_of(d).gave_way);
	atomic_store(&held, 0);
	anyrcu_domain_destroy(d, NULL);
	CHECK(atomic_load(&invoked) == 10001);
}

/* A worker that works is woken by nobody, however often it has slept before. */
static void awake_is_not_woken(void)
{
	struct anyrcu_domain *d = DOMAIN(.delay_us = 1);
	uint64_t wakes;

	for (int i = 0; i < 10; i++) {
		defer(d, 1);
		anyrcu_domain_barrier(d);
	}
	anyrcu_domain_call(d, &thing(0)->head, slow);
	UNTIL(atomic_load(&inside_slow) == 1);
	wakes = stats_of(d).worker_wakes;
	defer(d, 100000);
	CHECK(stats_of(d).worker_wakes == wakes);
	atomic_store(&leave_slow, 1);
	anyrcu_domain_destroy(d, NULL);
	CHECK(atomic_load(&invoked) == 100011);
}

static void ends_its_thread(struct anyrcu_head *head)
{
	count(head);
	pthread_exit(NULL);
}

/* The next worker goes on behind the callback that ended its predecessor, and nobody asks it to. */
static void callback_ends_worker(void)
{
	struct anyrcu_domain *d = DOMAIN();

	atomic_store(&held, 1);
	defer(d, 1);
	test_sleep_ms(20);
	for (int i = 0; i < 3; i++) {
		anyrcu_domain_call(d, &thing(i)->head, ends_its_thread);
		defer(d, 1);
	}
	atomic_store(&held, 0);
	UNTIL(atomic_load(&invoked) == 7);
	CHECK(stats_of(d).collected == 7 && stats_of(d).invoked == 7);
	anyrcu_domain_destroy(d, NULL);
}

static void no_readers(void *arg)
{
}

static atomic_int synchronizes;

static void callback_synchronizes(struct anyrcu_head *head)
{
	atomic_store(&synchronizes, 1);
	test_sleep_ms(20);
	anyrcu_synchronize();
	count(head);
}

/* A thread that is online and waits for a domain holds up no grace period. */
static void online_waits(void)
{
	const struct anyrcu_source none = { .size = sizeof(none), .synchronize = no_readers };

	for (int i = 0; i < 3; i++) {
		struct anyrcu_domain *d = anyrcu_domain_create(&none, NULL);

		atomic_store(&synchronizes, 0);
		anyrcu_domain_call(d, &thing(0)->head, i < 2 ? count : callback_synchronizes);
		if (i == 2)
			UNTIL(atomic_load(&synchronizes));
		anyrcu_thread_online();
		if (i == 0)
			anyrcu_domain_barrier(d);
		anyrcu_domain_destroy(d, NULL);
		CHECK(anyrcu_read_lock_held()); /* it is online again */
		anyrcu_thread_offline();
		CHECK(atomic_load(&invoked) == i + 1);
	}
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* What is counted in nanoseconds is no longer than the domain has been there. */
static void durations(void)
{
	uint64_t begin = clock_ns(), total;
	struct anyrcu_domain *d = DOMAIN(.delay_us = 1);
	struct anyrcu_domain_stats s;

	for (int i = 0; i < 5; i++) {
		defer(d, 1);
		anyrcu_domain_barrier(d);
	}
	s = stats_of(d);
	total = clock_ns() - begin;
	CHECK(s.gp_done >= 5 && s.gp_ns_max && s.wait_ns_max);
	CHECK(s.gp_ns_max <= s.gp_ns_total && s.gp_ns_total <= total);
	CHECK(s.wait_ns_max <= s.wait_ns_total && s.wait_ns_max <= total);
	CHECK(s.wait_ns_total <= s.invoked * total);
	anyrcu_domain_destroy(d, NULL);
}

static struct anyrcu_domain *again;

static void defers_again(struct anyrcu_head *head)
{
	if (THING(head)->number-- > 0)
		anyrcu_domain_call(again, head, defers_again);
	else
		count(head);
}

static void callbacks_defer(void)
{
	again = DOMAIN(.delay_us = 1);
	anyrcu_domain_call(again, &thing(100)->head, defers_again);
	UNTIL(atomic_load(&invoked) == 1);
	anyrcu_domain_destroy(again, NULL);
}

/* A worker that has just worked leaves what comes meanwhile for as long as its delay. */
static void delay_is_kept(void)
{
	again = DOMAIN(.delay_us = 10000000);
	anyrcu_domain_call(again, &thing(1)->head, defers_again);
	UNTIL(stats_of(again).invoked == 1);
	test_sleep_ms(100);
	CHECK(stats_of(again).collected == 1);
	anyrcu_domain_destroy(again, NULL);
	CHECK(atomic_load(&invoked) == 1);
}

static void destroy_into(void)
{
	struct anyrcu_domain *into = DOMAIN();

	for (int round = 0; round < 50; round++) {
		struct anyrcu_domain *d =
			DOMAIN(.page_bytes_max = 65536, .pending_max = UINT64_MAX);

		atomic_store(&invoked, 0);
		defer(d, round % 3 * 10000 + 100);
		if (round % 2)
			test_sleep_ms(1);
		anyrcu_domain_destroy(d, into);
		anyrcu_domain_barrier(into);
		CHECK(atomic_load(&invoked) == round % 3 * 10000 + 100);
	}
	anyrcu_domain_destroy(NULL, NULL);
	anyrcu_domain_destroy(into, NULL);
}

static atomic_int thread_state;
static atomic_long begun, ended, slept, woke;

static void begins(void *arg)
{
	CHECK(atomic_exchange(&thread_state, 1) == 0);
	atomic_fetch_add(&begun, 1);
}

static void ends(void *arg)
{
	CHECK(atomic_exchange(&thread_state, 0) == 1);
	atomic_fetch_add(&ended, 1);
}

static void sleeps(void *arg)
{
	CHECK(atomic_exchange(&thread_state, 2) == 1);
	atomic_fetch_add(&slept, 1);
}

static void wakes(void *arg)
{
	CHECK(atomic_exchange(&thread_state, 1) == 2);
	atomic_fetch_add(&woke, 1);
}

static void is_awake(struct anyrcu_head *head)
{
	CHECK(atomic_load(&thread_state) == 1);
	count(head);
}

static void thread_hooks(void)
{
	struct anyrcu_source s = source;
	struct anyrcu_domain *d;

	s.thread_begin = begins;
	s.thread_end = ends;
	s.thread_sleeps = sleeps;
	s.thread_wakes = wakes;
	d = anyrcu_domain_create(&s, NULL);
	CHECK(d);
	for (int i = 0; i < 20; i++) {
		anyrcu_domain_call(d, &thing(i)->head, is_awake);
		anyrcu_domain_barrier(d);
	}
	anyrcu_domain_destroy(d, NULL);
	CHECK(atomic_load(&begun) == 1 && atomic_load(&ended) == 1 && atomic_load(&slept) &&
	      slept == woke);
}

static struct anyrcu_domain *of_handler;
static atomic_long handled;

static void handled_too(struct anyrcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
}

static struct anyrcu_head from_handlers[50000];

static void handler(int sig)
{
	long n = atomic_load(&handled);

	if (n < (long)COUNT(from_handlers)) {
		atomic_store(&handled, n + 1);
		anyrcu_domain_call(of_handler, &from_handlers[n], handled_too);
	}
}

static void signals(void)
{
	timer_t timer;
	long n = 0;

	of_handler = DOMAIN(.page_bytes_max = 65536, .pending_max = UINT64_MAX);
	handle(SIGUSR1, handler, 0);
	timer = ticks_start(SIGUSR1, 100);
	while (atomic_load(&handled) < 1000)
		anyrcu_domain_call(of_handler, &thing(n++)->head, count);
	CHECK(!timer_delete(timer));
	anyrcu_domain_barrier(of_handler);
	CHECK(atomic_load(&invoked) == n + atomic_load(&handled));
}

#if !TSAN
static void fork_child(void)
{
	struct anyrcu_domain *d = DOMAIN();

	for (int round = 0; round < 20; round++) {
		pid_t pid;

		atomic_store(&invoked, 0);
		defer(d, 3000);
		pid = fork();
		if (!pid) {
			defer(d, 100);
			anyrcu_domain_barrier(d);
			_exit(atomic_load(&invoked) != 3100);
		}
		CHECK(child_ended_well(pid));
		anyrcu_domain_barrier(d);
		CHECK(atomic_load(&invoked) == 3000);
	}
	anyrcu_domain_destroy(d, NULL);
}
#endif

static void wrong_config(void)
{
	struct anyrcu_source none = { .size = sizeof(none) };
	const struct anyrcu_domain_config wrong[] = {
		{ .delay_us = 10000001 },	 { .pending_max = 1023 },
		{ .page_bytes_max = 65535 },	 { .pinned = true, .cpu = -1 },
		{ .pinned = true, .cpu = 1024 }, /* PORT_CPUS_MAX */
	};

	CHECK(!anyrcu_domain_create(&none, NULL) && errno == EINVAL);
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct anyrcu_domain_config c = wrong[i];

		c.size = sizeof(c);
		errno = 0;
		CHECK(!anyrcu_domain_create(&source, &c) && errno == EINVAL);
	}
}

static void deferred_twice(void)
{
	struct anyrcu_domain *d = DOMAIN();
	struct thing *o = thing(0);

	atomic_store(&held, 1);
	anyrcu_domain_call(d, &o->head, count);
	anyrcu_domain_call(d, &o->head, count);
}

static void no_function(void)
{
	anyrcu_domain_call(DOMAIN(), &thing(0)->head, NULL);
}

static struct anyrcu_domain *itself;

static void waits_inside(struct anyrcu_head *head)
{
	anyrcu_domain_barrier(itself);
}

static void barrier_in_callback(void)
{
	itself = DOMAIN();
	anyrcu_domain_call(itself, &thing(0)->head, waits_inside);
	anyrcu_domain_barrier(itself);
}

/* ---- the child of a fork that can start no thread ---- */

static struct anyrcu_domain *workless;

static void defers_one(struct anyrcu_head *head)
{
	CHECK(!anyrcu_read_lock_held());
	if (THING(head)->number-- > 0)
		anyrcu_domain_call(workless, head, defers_one);
	else
		count(head);
}

/*
 * The child's only thread does the worker's work: what came from the parent, what it defers, and
 * what callbacks defer.
 */
static void works_without_worker(void)
{
	anyrcu_domain_barrier(workless);
	CHECK(atomic_load(&invoked) == 2000);
	anyrcu_domain_barrier(workless);
	defer(workless, 5000);
	anyrcu_domain_barrier(workless);
	CHECK(atomic_load(&invoked) == 7000);
	anyrcu_domain_call(workless, &thing(10)->head, defers_one);
	for (int i = 0; i <= 10; i++)
		anyrcu_domain_barrier(workless);
	CHECK(atomic_load(&invoked) == 7001);
	CHECK(stats_of(workless).invoked >= 7001 + 10);
	defer(workless, 100);
	anyrcu_domain_destroy(workless, NULL);
	CHECK(atomic_load(&invoked) == 7101);
	errno = 0;
	CHECK(!anyrcu_domain_create(&source, NULL) && errno == EAGAIN);
}

static __attribute__((unused)) void child_without_threads(void)
{
	int err = dup(2), null = open("/dev/null", O_WRONLY);
	pid_t pid;

	workless = DOMAIN();
	atomic_store(&held, 1);
	defer(workless, 2000);
	CHECK(no_threads());
	dup2(null, 2); /* it says that there is no worker */
	pid = fork();
	if (!pid) {
		dup2(err, 2);
		atomic_store(&held, 0);
		works_without_worker();
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	dup2(err, 2);
	atomic_store(&held, 0);
	anyrcu_domain_barrier(workless);
	CHECK(atomic_load(&invoked) == 2000);
}

/* ---- without a head; invoked by the source ---- */

static atomic_long numbers, in_lock;

static void invoke_locked(struct anyrcu_head *head, void (*func)(struct anyrcu_head *), void *arg)
{
	CHECK(arg == &held);
	atomic_store(&in_lock, 1);
	func(head);
	atomic_store(&in_lock, 0);
}

static void numbered(void *arg)
{
	CHECK(atomic_load(&in_lock) == 1);
	CHECK(atomic_fetch_add(&numbers, 1) == (long)arg);
}

static void numbered_with_head(struct anyrcu_head *head)
{
	numbered((void *)THING(head)->number);
	free(THING(head));
}

static void headless_and_locked(void)
{
	struct anyrcu_source s = source;
	struct anyrcu_domain *d;

	s.invoke = invoke_locked;
	d = anyrcu_domain_create(&s, NULL);
	CHECK(d);
	for (long i = 0; i < 5000; i++) {
		if (i % 3)
			anyrcu_domain_call_mightsleep(d, numbered, (void *)i);
		else
			anyrcu_domain_call(d, &thing(i)->head, numbered_with_head);
	}
#if !ASAN && !TSAN
	static void *volatile last;
	struct rlimit none = { 0 };
	size_t n = 0;

	/* Nothing is freed from here on, and no size is left. */
	anyrcu_domain_barrier(d);
	setrlimit(RLIMIT_AS, &none);
	for (size_t size = 4096; size >= 16; size /= 2)
		while ((last = malloc(size)) && n < 4000000)
			n++;
	anyrcu_domain_call_mightsleep(d, numbered, (void *)5000L);
	if (last) /* an emulator, which does not keep to the limit */
		anyrcu_domain_barrier(d);
	CHECK(atomic_load(&numbers) == 5001);
	_exit(0);
#endif
	anyrcu_domain_destroy(d, NULL);
	CHECK(atomic_load(&numbers) == 5000);
}

static const struct test_case cases[] = {
	CASE(thread_is_gone_with_domain),
	CASE(headless_and_locked),
	CASE(waits_for_source),
	CASE(goes_on_alone),
	CASE(independent),
	CASE(order),
	CASE(order_with_chain),
	CASE(chain_is_used),
	CASE(few_pages_wake, .seconds = 3),
	CASE(gives_way),
	CASE(readers_do_not_give_way),
	CASE(callbacks_defer),
	CASE(destroy_into),
	CASE(delay_is_kept),
	CASE(awake_is_not_woken),
	CASE(callback_ends_worker),
	CASE(durations),
	CASE(online_waits, .seconds = 6),
	CASE(thread_hooks),
	CASE(signals),
#if !TSAN
	CASE(fork_child),
	CASE(child_without_threads),
#endif
	CASE(wrong_config),
	CASE(deferred_twice, .sig = SIGABRT, .says = { "double deferral of head" },
	     .env = { "ANYRCU_DEBUG=1" }),
	CASE(order, .env = { "ANYRCU_DEBUG=1" }),
	CASE(destroy_into, .env = { "ANYRCU_DEBUG=1" }),
	CASE(no_function, .sig = SIGABRT, .says = { "has no function" }),
	CASE(barrier_in_callback, .sig = SIGABRT, .says = { "inside a callback of the domain" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
