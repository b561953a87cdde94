/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The interface of liburcu: what is different from liburcu by intent, and its mistakes. What is the
 * same is in tests/compat.
 */
#define ANYRCU_URCU_VERSION 14 /* the threads of helpers that are freed are joined */
#include "test.h"
#include <urcu/urcu-bp.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/urcu-signal.h>

#define URCU_API_MAP
#include <urcu.h>

struct item {
	struct rcu_head head;
	_Atomic int called;
	pthread_t where;
	cpu_set_t cpus;
};

static void called(struct rcu_head *head)
{
	struct item *i = caa_container_of(head, struct item, head);

	i->where = pthread_self();
	sched_getaffinity(0, sizeof(i->cpus), &i->cpus);
	atomic_fetch_add(&i->called, 1);
}

/* All flavours at once, by the names with the flavour in them, and by their tables. */
#define USE(f)                                                          \
	do {                                                            \
		const struct rcu_flavor_struct *t = &urcu_##f##_flavor; \
		struct item a = { 0 }, b = { 0 };                       \
		int deferred = 0;                                       \
                                                                        \
		urcu_##f##_init();                                      \
		urcu_##f##_register_thread();                           \
		CHECK(!urcu_##f##_defer_register_thread());             \
		urcu_##f##_read_lock();                                 \
		CHECK(urcu_##f##_read_ongoing());                       \
		urcu_##f##_read_unlock();                               \
		urcu_##f##_quiescent_state();                           \
		urcu_##f##_synchronize_rcu();                           \
		urcu_##f##_call_rcu(&a.head, called);                   \
		urcu_##f##_defer_rcu(count, &deferred);                 \
		urcu_##f##_defer_barrier();                             \
		urcu_##f##_barrier();                                   \
		CHECK(a.called == 1 && deferred == 1);                  \
		t->read_lock();                                         \
		CHECK(t->read_ongoing());                               \
		t->read_unlock();                                       \
		t->read_quiescent_state();                              \
		t->update_synchronize_rcu();                            \
		t->update_call_rcu(&b.head, called);                    \
		t->update_defer_rcu(count, &deferred);                  \
		t->thread_offline();                                    \
		t->thread_online();                                     \
		t->barrier();                                           \
		urcu_##f##_defer_unregister_thread();                   \
		CHECK(b.called == 1 && deferred == 2);                  \
		t->unregister_thread();                                 \
		CHECK(!urcu_##f##_read_ongoing());                      \
		polls(urcu_##f##_start_poll_synchronize_rcu(),          \
		      urcu_##f##_poll_state_synchronize_rcu);           \
	} while (0)

static void count(void *arg)
{
	++*(int *)arg;
}

static void polls(struct urcu_gp_poll_state state, bool (*done)(struct urcu_gp_poll_state state))
{
	UNTIL(done(state));
}

static void flavors(void)
{
	USE(memb);
	USE(mb);
	USE(signal);
	USE(qsbr);
	USE(bp);
}

static void poll_waits_for_a_reader(void)
{
	struct urcu_gp_poll_state state;

	rcu_read_lock();
	state = start_poll_synchronize_rcu();
	test_sleep_ms(50);
	CHECK(!poll_state_synchronize_rcu(state));
	rcu_read_unlock();
	UNTIL(poll_state_synchronize_rcu(state));
}

static void goes_through_pages(void)
{
	static struct item items[1000];
	uint64_t before = stats().deferred_page;

	for (int i = 0; i < 1000; i++)
		call_rcu(&items[i].head, called);
	rcu_barrier();
	CHECK(stats().deferred_page - before >= 1000);
	for (int i = 0; i < 1000; i++) {
		CHECK(items[i].called == 1);
		CHECK(pthread_equal(items[i].where,
				    get_call_rcu_thread(get_default_call_rcu_data())));
	}
}

static void pinned_at_once(void)
{
	struct call_rcu_data *helper = create_call_rcu_data(0, 0);
	struct item i = { 0 };

	set_thread_call_rcu_data(helper);
	call_rcu(&i.head, called);
	rcu_barrier();
	CHECK(CPU_COUNT(&i.cpus) == 1 && CPU_ISSET(0, &i.cpus));
	CHECK(pthread_equal(i.where, get_call_rcu_thread(helper)));
	call_rcu_data_free(helper);
}

/* The default helper is started by a worker that may be on one CPU. */
static void not_pinned(void)
{
	struct item i = { 0 };
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	call_rcu(&i.head, called);
	rcu_barrier();
	CHECK(CPU_EQUAL(&i.cpus, &all));
}

static void hold(void *arg)
{
	struct holder *h = arg;

	holder_enter(h);
}

/* Past the bound of the pages, each still waits for a grace period of its own. */
static void without_pages(void)
{
	enum { N = 20000 };
	static struct item items[N], last;
	static struct holder old, young;

	CHECK(!configure((struct anyrcu_config){ .page_bytes_max = 65536 }));
	hold(&old);
	for (int i = 0; i < N; i++)
		call_rcu(&items[i].head, called);
	CHECK(stats().refused + stats().refused_bound > 0);
	test_sleep_ms(50);
	for (int i = 0; i < N; i++)
		CHECK(!items[i].called);
	hold(&young);
	call_rcu(&last.head, called);
	holder_leave(&old);
	test_sleep_ms(200);
	CHECK(!last.called);
	holder_leave(&young);
	rcu_barrier();
	CHECK(last.called == 1);
	for (int i = 0; i < N; i++)
		CHECK(items[i].called == 1);
}

/* A helper is freed while heads that name it wait, in pages and late. */
static void freed_while_much_waits(void)
{
	enum { N = 20000 };
	static struct item items[N];

	CHECK(!configure((struct anyrcu_config){ .page_bytes_max = 65536 }));
	for (int round = 0; round < 20; round++) {
		struct call_rcu_data *helper = create_call_rcu_data(0, -1);
		pthread_t thread = get_call_rcu_thread(helper);

		set_thread_call_rcu_data(helper);
		for (int i = 0; i < N; i++)
			call_rcu(&items[i].head, called);
		set_thread_call_rcu_data(NULL);
		if (round % 2) {
			call_rcu_data_free(helper);
		} else {
			rcu_read_lock(); /* does not wait here */
			call_rcu_data_free(helper);
			rcu_read_unlock();
		}
		rcu_barrier();
		for (int i = 0; i < N; i++)
			CHECK(items[i].called == round + 1 &&
			      (!(round % 2) || pthread_equal(items[i].where, thread)));
	}
}

static struct item from_handler[1000];
static _Atomic int handled;

static void handler(int sig)
{
	int i = atomic_fetch_add(&handled, 1);

	if (i < 1000)
		call_rcu(&from_handler[i].head, called);
}

static void from_a_signal_handler(void)
{
	timer_t timer;

	handle(SIGUSR1, handler, 0);
	timer = ticks_start(SIGUSR1, 100);
	while (handled < 1000) {
		struct item i = { 0 };

		call_rcu(&i.head, called);
		rcu_barrier();
		CHECK(i.called == 1);
	}
	timer_delete(timer);
	rcu_barrier();
	for (int i = 0; i < 1000; i++)
		CHECK(from_handler[i].called == 1);
}

/*
 * As an online thread is inside a section, so is one of another flavour around its quiescent
 * states.
 */
static void section_around_quiescent_states(void)
{
	anyrcu_gp_t gp;

	urcu_qsbr_register_thread();
	urcu_memb_read_lock();
	gp = anyrcu_gp_start();
	urcu_qsbr_quiescent_state();
	urcu_qsbr_thread_offline();
	urcu_qsbr_thread_online();
	test_sleep_ms(50);
	CHECK(!anyrcu_gp_done(gp));
	urcu_memb_read_unlock();
	urcu_qsbr_quiescent_state();
	UNTIL(anyrcu_gp_done(gp) || (urcu_qsbr_quiescent_state(), false));
	urcu_qsbr_unregister_thread();
}

static void online_is_a_reader(void)
{
	anyrcu_gp_t gp;

	urcu_qsbr_register_thread();
	urcu_qsbr_thread_online();
	gp = anyrcu_gp_start();
	test_sleep_ms(50);
	CHECK(!anyrcu_gp_done(gp));
	urcu_qsbr_thread_offline();
	urcu_qsbr_thread_offline();
	urcu_qsbr_quiescent_state();
	UNTIL(anyrcu_gp_done(gp));
}

static int deferred;

static void defers(void *arg)
{
	deferred++;
	if (arg)
		defer_rcu(defers, NULL);
}

static void defer_by_anybody(void)
{
	defer_rcu(defers, NULL); /* not registered */
	rcu_defer_barrier();
	CHECK(deferred == 1);
	CHECK(!rcu_defer_register_thread());
	CHECK(!rcu_defer_register_thread());
	defer_rcu(defers, &deferred); /* a deferral out of one */
	rcu_defer_barrier_thread();
	rcu_defer_barrier();
	CHECK(deferred == 3);
	rcu_defer_unregister_thread();
	rcu_defer_unregister_thread();
}

/*
 * The allocators of AddressSanitizer and of ThreadSanitizer take locks in each thread that starts
 * or allocates. A fork at that moment leaves such a lock held in the child, where nobody gives it
 * back.
 */
#if !ASAN && !TSAN
static void defer_and_fork(void)
{
	pid_t pid;

	CHECK(!rcu_defer_register_thread());
	defer_rcu(defers, NULL);
	pid = fork();
	if (!pid) {
		defer_rcu(defers, NULL);
		UNTIL(CMM_LOAD_SHARED(deferred) == 2);
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	rcu_defer_barrier();
	CHECK(deferred == 1);
}

static _Atomic int stop_forking;

static void *floods(void *arg)
{
	while (!atomic_load(&stop_forking)) {
		struct item *i = calloc(1, sizeof(*i));

		CHECK(i);
		call_rcu(&i->head, (void (*)(struct rcu_head *))free);
		if (stats().pending > 10000)
			test_sleep_ms(1);
	}
	return arg;
}

/* Each child invokes what was pending, while the parent's other threads defer. */
static void forks_in_a_flood(void)
{
	pthread_t t = thread_start(floods, NULL);

	for (int round = 0; round < 20; round++) {
		struct item i = { 0 };
		pid_t pid;

		call_rcu(&i.head, called);
		urcu_memb_call_rcu_before_fork();
		pid = fork();
		if (!pid) {
			urcu_memb_call_rcu_after_fork_child();
			rcu_barrier();
			_exit(i.called != 1);
		}
		urcu_memb_call_rcu_after_fork_parent();
		CHECK(child_ended_well(pid));
		rcu_barrier();
		CHECK(i.called == 1);
	}
	atomic_store(&stop_forking, 1);
	thread_join(t);
	rcu_barrier();
}
#endif

/* ---- liburcu 0.15: orders of memory as arguments ---- */

#define WITH_ORDERS(type)                                                                  \
	do {                                                                               \
		type v = 1;                                                                \
                                                                                           \
		CHECK(uatomic_load(&v) == 1 && uatomic_load(&v, CMM_ACQUIRE) == 1 &&       \
		      uatomic_read(&v, CMM_SEQ_CST) == 1);                                 \
		uatomic_store(&v, 2);                                                      \
		CHECK(uatomic_load_mo(&v, CMM_SEQ_CST_FENCE) == 2);                        \
		uatomic_store(&v, 3, CMM_RELEASE);                                         \
		CHECK(uatomic_xchg(&v, 4, CMM_ACQ_REL) == 3 &&                             \
		      uatomic_xchg_mo(&v, 5, CMM_SEQ_CST_FENCE) == 4);                     \
		uatomic_store_mo(&v, 6, CMM_SEQ_CST_FENCE);                                \
		CHECK(uatomic_cmpxchg(&v, 6, 7, CMM_ACQUIRE) == 6 &&                       \
		      uatomic_cmpxchg(&v, 6, 8, CMM_SEQ_CST, CMM_ACQUIRE) == 7);           \
		CHECK(uatomic_cmpxchg_mo(&v, 7, 9, CMM_SEQ_CST_FENCE, CMM_RELAXED) == 7 && \
		      uatomic_cmpxchg(&v, 7, 0) == 9);                                     \
		CHECK(uatomic_add_return(&v, 1, CMM_RELAXED) == 10 &&                      \
		      uatomic_sub_return(&v, 2, CMM_SEQ_CST_FENCE) == 8);                  \
		uatomic_add(&v, 4, CMM_RELAXED);                                           \
		uatomic_sub_mo(&v, 1, CMM_RELEASE);                                        \
		uatomic_inc(&v, CMM_SEQ_CST_FENCE);                                        \
		uatomic_dec_mo(&v, CMM_ACQUIRE);                                           \
		CHECK(uatomic_read(&v) == 11);                                             \
		uatomic_or(&v, 4, CMM_RELAXED);                                            \
		uatomic_and_mo(&v, 13, CMM_SEQ_CST);                                       \
		CHECK(uatomic_read_mo(&v, CMM_CONSUME) == 13);                             \
	} while (0)

static void atomics_with_orders(void)
{
	int a = 1, *p = &a;
	const int *from = &a;

	WITH_ORDERS(unsigned char);
	WITH_ORDERS(short);
	WITH_ORDERS(int);
	WITH_ORDERS(unsigned long);
	CHECK(uatomic_load(from, CMM_ACQUIRE) == 1);
	CHECK(uatomic_xchg(&p, NULL, CMM_SEQ_CST) == &a &&
	      uatomic_cmpxchg(&p, NULL, &a, CMM_RELEASE, CMM_RELAXED) == NULL);
	CHECK(uatomic_load(&p, CMM_CONSUME) == &a);
}

/* ---- mistakes ---- */

static struct item twice;

static void deferred_twice(void)
{
	struct holder h = { 0 };

	holder_enter(&h);
	call_rcu(&twice.head, called);
	call_rcu(&twice.head, called);
}

static void overwritten(void)
{
	struct holder h = { 0 };

	holder_enter(&h);
	call_rcu(&twice.head, called);
	memset(&twice, 0, sizeof(twice));
	holder_leave(&h);
	rcu_barrier();
}

static void waits_for_itself(void)
{
	rcu_read_lock();
	synchronize_rcu();
}

/*
 * In another flavour, liburcu would wait for nobody here, as the flavours' grace periods are not
 * one.
 */
static void waits_online(void)
{
	urcu_qsbr_register_thread();
	urcu_memb_synchronize_rcu();
}

static void barrier_in(struct rcu_head *head)
{
	rcu_barrier();
}

static void barrier_in_callback(void)
{
	call_rcu(&twice.head, barrier_in);
	rcu_barrier();
}

static const struct test_case cases[] = {
	CASE(flavors),
	CASE(poll_waits_for_a_reader),
	CASE(goes_through_pages),
	CASE(pinned_at_once),
	CASE(not_pinned),
	CASE(without_pages),
	CASE(freed_while_much_waits),
	CASE(from_a_signal_handler),
	CASE(section_around_quiescent_states),
	CASE(online_is_a_reader),
	CASE(defer_by_anybody),
#if !ASAN && !TSAN
	CASE(defer_and_fork),
	CASE(forks_in_a_flood),
#endif
	CASE(atomics_with_orders),
	CASE(deferred_twice, .sig = SIGABRT, .env = { "ANYRCU_DEBUG=1" },
	     .says = { "call_rcu() of a head that is deferred already" }),
	CASE(overwritten, .sig = SIGABRT, .env = { "ANYRCU_DEBUG=1" },
	     .says = { "a head was overwritten" }),
	CASE(waits_for_itself, .sig = SIGABRT,
	     .says = { "anyrcu_synchronize() inside a read-side critical section" }),
	CASE(waits_online, .sig = SIGABRT,
	     .says = { "anyrcu_synchronize() inside a read-side critical section" }),
	CASE(barrier_in_callback, .sig = SIGABRT, .says = { "rcu_barrier() in a callback" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
