/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Every any-context function in signal handlers, which interrupt every function of the library, to
 * any depth.
 */
#include "test.h"

static _Atomic long handled, wrong, deepest;
static _Atomic bool stop;
static void *_Atomic spare[1 << 15];
static _Atomic size_t spares_used;
static __thread int depth __attribute__((tls_model("initial-exec")));
static __thread unsigned long turn __attribute__((tls_model("initial-exec")));

struct heap_object {
	long payload[3];
	struct anyrcu_head head;
};

/* Handlers may not call malloc(): what they free was allocated before. */
static void spares_fill(void)
{
	for (size_t i = 0; i < COUNT(spare); i++)
		atomic_store(&spare[i], malloc(sizeof(struct heap_object)));
	atomic_store(&spares_used, 0);
}

static struct heap_object *spare_get(void)
{
	size_t i = atomic_fetch_add(&spares_used, 1);

	return i < COUNT(spare) ? atomic_exchange(&spare[i], NULL) : NULL;
}

static void spares_drop(void)
{
	for (size_t i = 0; i < COUNT(spare); i++)
		free(atomic_exchange(&spare[i], NULL));
}

static void expect(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

/* All that is allowed in any context, once. */
static void any_context(void)
{
	bool held = anyrcu_read_lock_held();
	unsigned order = turn % 3;
	struct heap_object *h;
	anyrcu_gp_t gp;
	void *page;

	anyrcu_read_lock();
	expect(anyrcu_read_lock_held());
	gp = anyrcu_gp_start();
	expect(!anyrcu_gp_done(gp));
	object_defer(turn++);
	object_defer(turn++);
	page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order);
	if (page)
		memset(page, 0x77, 64);
	anyrcu_page_free(page, order);
	anyrcu_read_unlock();
	h = spare_get();
	if (h && turn % 2)
		anyrcu_free(h, head);
	else if (h && !anyrcu_free_headless(h))
		anyrcu_free(h, head);
	stats();
	expect(anyrcu_read_lock_held() == held);
}

static void on_signal(int sig)
{
	int saved = errno;

	errno = 4711;
	depth++;
	if (depth > atomic_load(&deepest))
		atomic_store(&deepest, depth);
	any_context();
	depth--;
	expect(errno == 4711);
	errno = saved;
	atomic_fetch_add(&handled, 1);
}

static void done(void)
{
	spares_drop();
	pool_check();
	CHECK(!atomic_load(&wrong));
	CHECK(stats().pending == 0 && stats().invoked == stats().deferred);
}

static void op_call(void)
{
	anyrcu_call(&object_get()->head, object_called);
}

static void op_call_mixed(void)
{
	object_defer(turn++);
}

static void op_headless(void)
{
	struct object *o = object_get();

	if (!anyrcu_call_headless(object_invoked, o))
		anyrcu_call(&o->head, object_called);
}

static void op_free(void)
{
	struct heap_object *h = malloc(sizeof(*h));

	anyrcu_free(h, head);
}

static void op_mightsleep(void)
{
	object_defer_mightsleep();
	anyrcu_free_mightsleep(malloc(40));
}

static void op_read(void)
{
	for (int i = 0; i < 100; i++) {
		anyrcu_read_lock();
		expect(anyrcu_read_lock_held());
		anyrcu_read_unlock();
		expect(!anyrcu_read_lock_held());
	}
}

static void op_page(void)
{
	for (unsigned gfp = ANYRCU_GFP_KERNEL; gfp <= ANYRCU_GFP_NO_LOCKS; gfp++)
		anyrcu_page_free(anyrcu_page_alloc(gfp, gfp), gfp);
}

static void op_gp(void)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	anyrcu_gp_done(gp);
	stats();
}

static void op_synchronize(void)
{
	anyrcu_synchronize();
	anyrcu_gp_wait(anyrcu_gp_start());
}

static void op_barrier(void)
{
	op_call_mixed();
	anyrcu_barrier();
}

static void op_reclaim(void)
{
	op_call_mixed();
	anyrcu_reclaim(turn % 8);
}

static void op_online(void)
{
	anyrcu_thread_online();
	anyrcu_quiescent_state();
	anyrcu_thread_offline();
}

static void op_init(void)
{
	struct anyrcu_config c = { .workers = turn++ % 2 ? 1 : -1 };

	op_call_mixed();
	CHECK(!configure(c));
}

static void (*const ops[])(void) = { op_call,	     op_call_mixed, op_headless, op_free,
				     op_mightsleep,  op_read,	    op_page,	 op_gp,
				     op_synchronize, op_barrier,    op_reclaim,	 op_online,
				     op_init };

/*
 * Each function of the library in a tight loop, with a timer of which the period shares nothing
 * with the loop's.
 */
static void every_function_interrupted(void)
{
	handle(SIGRTMIN, on_signal, 0);
	spares_fill();
	for (size_t i = 0; i < COUNT(ops); i++) {
		timer_t t = ticks_start(SIGRTMIN, 40 + (long)i);
		long from = atomic_load(&handled);

		while (atomic_load(&handled) - from < SCALED(1500) &&
		       atomic_load(&pool_used) < POOL / COUNT(ops) * (i + 1))
			ops[i]();
		timer_delete(t);
		CHECK(atomic_load(&handled) - from > 10);
		anyrcu_barrier();
	}
	done();
}

static void every_function_interrupted_small_bounds(void)
{
	struct anyrcu_config c = { .page_bytes_max = 65536, .pending_max = 1024, .delay_us = 1 };

	CHECK(!configure(c));
	handle(SIGRTMIN, on_signal, 0);
	spares_fill();
	anyrcu_read_lock();
	for (int i = 0; i < 20000; i++)
		object_defer(i);
	anyrcu_read_unlock();
	for (size_t i = 0; i < COUNT(ops) - 1; i++) {
		timer_t t = ticks_start(SIGRTMIN, 60 + (long)i);
		long from = atomic_load(&handled);

		while (atomic_load(&handled) - from < SCALED(500) &&
		       atomic_load(&pool_used) < POOL / COUNT(ops) * (i + 1))
			ops[i]();
		timer_delete(t);
		anyrcu_barrier();
	}
	CHECK(stats().deferred_chain);
	done();
}

/* A handler is interrupted by others, which the library's own frames below it must not notice. */
static void on_signal_nesting(int sig)
{
	depth++;
	if (depth > atomic_load(&deepest))
		atomic_store(&deepest, depth);
	any_context();
	if (depth < 6)
		raise(SIGRTMIN + (int)(turn % 4));
	any_context();
	depth--;
	atomic_fetch_add(&handled, 1);
}

static void nested_signals(void)
{
	timer_t t[4];

	spares_fill();
	for (int i = 0; i < 4; i++)
		handle(SIGRTMIN + i, on_signal_nesting, SA_NODEFER);
	for (int i = 0; i < 4; i++)
		t[i] = ticks_start(SIGRTMIN + i, 400 + 31 * i);
	for (int i = 0;
	     atomic_load(&handled) < SCALED(10000) && atomic_load(&pool_used) < POOL - 1000; i++)
		ops[i % 11]();
	for (int i = 0; i < 4; i++)
		timer_delete(t[i]);
	/* ThreadSanitizer keeps signals back until the handler has returned. */
	CHECK(TSAN || atomic_load(&deepest) >= 6);
	done();
}

#define STORM 4
static pthread_t storm[STORM];
static _Atomic int storming;

static void *storms(void *arg)
{
	size_t me = (size_t)arg;

	atomic_fetch_add(&storming, 1);
	UNTIL(atomic_load(&storming) == STORM + 1);
	for (unsigned long i = me; !atomic_load(&stop); i++) {
		if (i % 8 == 0)
			pthread_kill(storm[(me + 1 + i / 8 % (STORM - 1)) % STORM],
				     SIGRTMIN + (int)(i / 8 % 2));
		if (atomic_load(&pool_used) < POOL - 10000)
			ops[i % 11]();
	}
	atomic_fetch_sub(&storming, 1);
	UNTIL(atomic_load(&storming) == 1);
	return NULL;
}

static void threads_signal_each_other(void)
{
	spares_fill();
	handle(SIGRTMIN, on_signal, SA_NODEFER);
	handle(SIGRTMIN + 1, on_signal, 0);
	for (size_t i = 0; i < STORM; i++)
		storm[i] = thread_start(storms, (void *)i);
	UNTIL(atomic_load(&storming) == STORM);
	atomic_fetch_add(&storming, 1);
	UNTIL(atomic_load(&handled) > SCALED(10000));
	atomic_store(&stop, true);
	for (size_t i = 0; i < STORM; i++)
		thread_join(storm[i]);
	done();
}

#if !TSAN /* which calls handlers late, on the stack of whom it finds */
static char *alternate;
static size_t alternate_size;

static void on_alternate_stack(int sig)
{
	char here;

	expect(&here >= alternate && &here < alternate + alternate_size);
	any_context();
	atomic_fetch_add(&handled, 1);
}

/* The least that the system calls enough for a handler, for all that it may call. */
static void alternate_stack(void)
{
	stack_t s = { .ss_size = ASAN ? 1 << 18 : (size_t)SIGSTKSZ };
	timer_t t;

	alternate_size = s.ss_size;
	alternate = mmap(NULL, s.ss_size + 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(alternate != MAP_FAILED);
	CHECK(!mprotect(alternate, 4096, PROT_NONE));
	alternate += 4096;
	s.ss_sp = alternate;
	CHECK(!sigaltstack(&s, NULL));
	spares_fill();
	handle(SIGRTMIN, on_alternate_stack, SA_ONSTACK);
	t = ticks_start(SIGRTMIN, 50);
	for (int i = 0; atomic_load(&handled) < SCALED(3000); i++)
		ops[i % 11]();
	timer_delete(t);
	s.ss_flags = SS_DISABLE;
	CHECK(!sigaltstack(&s, NULL));
	done();
}

#endif

static _Atomic int waiting;

static void *waits_for_signal(void *arg)
{
	long before = atomic_load(&handled);

	atomic_store(&waiting, 1);
	while (atomic_load(&handled) == before)
		sched_yield();
	return NULL;
}

/* It may come before the thread's first instruction. */
static void first_use_of_thread_in_handler(void)
{
	spares_fill();
	handle(SIGRTMIN, on_signal, 0);
	for (int i = 0; i < SCALED(500); i++) {
		pthread_t t;

		atomic_store(&waiting, 0);
		t = thread_start(waits_for_signal, NULL);
		UNTIL(atomic_load(&waiting));
		CHECK(!pthread_kill(t, SIGRTMIN));
		thread_join(t);
	}
	CHECK(stats().readers < 20);
	done();
}

static void first_use_of_process_in_handler(void)
{
	handle(SIGRTMIN, on_signal, 0);
	raise(SIGRTMIN);
	UNTIL(stats().pending == 0);
	done();
}

static void *first_reads_interrupted(void *arg)
{
	/* Longer than the handler takes, or nothing else would run. */
	timer_t t = ticks_start(SIGRTMIN, TEST_SLOWNESS < 10 ? 20 : 2000);

	anyrcu_read_lock();
	expect(anyrcu_read_lock_held());
	anyrcu_read_unlock();
	object_defer(0);
	timer_delete(t);
	return NULL;
}

/* A thread that registers is interrupted by its own handler, which registers it too. */
static void registration_interrupted(void)
{
	spares_fill();
	handle(SIGRTMIN, on_signal, 0);
	for (int i = 0; i < SCALED(2000); i++)
		thread_join(thread_start(first_reads_interrupted, NULL));
	CHECK(stats().readers < 20);
	done();
}

#define LEAVES_ERRNO(x)               \
	do {                          \
		errno = 4711;         \
		x;                    \
		CHECK(errno == 4711); \
	} while (0)

static void *leaves_errno(void *arg)
{
	struct object *o = object_get();
	bool refused = false;
	anyrcu_gp_t gp = 0;
	void *page = NULL, *p = malloc(10);

	LEAVES_ERRNO(CHECK(!anyrcu_read_lock_held()));
	LEAVES_ERRNO(anyrcu_read_lock());
	LEAVES_ERRNO(anyrcu_read_unlock());
	LEAVES_ERRNO(gp = anyrcu_gp_start());
	LEAVES_ERRNO(anyrcu_gp_done(gp));
	LEAVES_ERRNO(anyrcu_call(&o->head, object_called));
	LEAVES_ERRNO(refused = !anyrcu_free_headless(p));
	if (refused)
		free(p);
	o = object_get();
	LEAVES_ERRNO(refused = !anyrcu_call_headless(object_invoked, o));
	if (refused)
		LEAVES_ERRNO(anyrcu_call(&o->head, object_called));
	LEAVES_ERRNO(page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0));
	LEAVES_ERRNO(anyrcu_page_free(page, 0));
	LEAVES_ERRNO(CHECK(!anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 100)));
	LEAVES_ERRNO(stats());
	return (void *)refused;
}

/* Each first use in a thread, with pages and without, and when a wake is due. */
static void errno_is_left(void)
{
	struct anyrcu_config c = { .workers = -1, .page_bytes_max = 65536 };
	uint64_t chained;
	cpu_set_t here;
	int n = 0;

	/* Where there is no page any more; elsewhere there may be room in one. */
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	CHECK(!sched_setaffinity(0, sizeof(here), &here));
	leaves_errno(NULL);
	for (int i = 0; i < 40000; i++)
		LEAVES_ERRNO(object_defer(i));
	for (int i = 0; i < 10; i++)
		thread_join(thread_start(leaves_errno, NULL));
	pool_check();
	CHECK(!configure(c));
	/* by a burst before, until the worker had brought pages */
	chained = stats().deferred_chain;
	while (stats().deferred_chain == chained && n++ < 100000)
		leaves_errno(NULL);
	CHECK(stats().deferred_chain > chained);
	CHECK(leaves_errno(NULL));
	for (int i = 0; i < 10; i++)
		thread_join(thread_start(leaves_errno, NULL));
	while (leaves_errno(NULL) && anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))
		;
	for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++) {
		void *page;

		do
			LEAVES_ERRNO(page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order));
		while (page);
	}
	leaves_errno(NULL);
	done();
}

/* Readers must not see what a handler, in whatever it interrupted, has deferred. */
struct value {
	struct anyrcu_head head;
	_Atomic int live;
};

static struct value values[1 << 16], *current;
static _Atomic size_t values_used;

static void value_invoked(struct anyrcu_head *head)
{
	atomic_store(&((struct value *)head)->live, 0);
}

static void replace_in_handler(int sig)
{
	size_t i = atomic_fetch_add(&values_used, 1);
	struct value *old;

	if (i >= COUNT(values))
		return;
	atomic_store(&values[i].live, 1);
	old = __atomic_exchange_n(&current, &values[i], __ATOMIC_ACQ_REL);
	anyrcu_call(&old->head, value_invoked);
	atomic_fetch_add(&handled, 1);
}

static void *reads_values(void *arg)
{
	timer_t t = ticks_start(SIGRTMIN, 150);

	while (!atomic_load(&stop)) {
		anyrcu_read_lock();
		for (int i = 0; i < 10; i++) {
			struct value *v = anyrcu_dereference(current);

			for (int j = 0; j < 50; j++)
				expect(atomic_load_explicit(&v->live, memory_order_relaxed));
		}
		anyrcu_read_unlock();
	}
	timer_delete(t);
	return NULL;
}

static void handlers_update(void)
{
	struct anyrcu_config c = { .delay_us = 1 };
	pthread_t t[3];

	CHECK(!configure(c));
	values_used = 1;
	values[0].live = 1;
	anyrcu_assign_pointer(current, &values[0]);
	handle(SIGRTMIN, replace_in_handler, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(reads_values, NULL);
	UNTIL(atomic_load(&handled) > SCALED(10000));
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(!atomic_load(&wrong));
	anyrcu_barrier();
	for (size_t i = 0; i < COUNT(values); i++)
		CHECK(atomic_load(&values[i].live) == (&values[i] == current));
}

static _Atomic int synchronizes;

static void part_synchronizes(int sig, const siginfo_t *info)
{
	atomic_store(&synchronizes, 1);
	test_sleep_ms(20);
	anyrcu_synchronize();
	atomic_store(&synchronizes, 2);
}

/* A thread that is online and waits for the end of a thread part holds up no grace period. */
static void online_ends_thread_part(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .thread = part_synchronizes };

	CHECK(!anyrcu_signal_action(SIGUSR1, &a));
	raise(SIGUSR1);
	UNTIL(atomic_load(&synchronizes));
	anyrcu_thread_online();
	CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
	CHECK(atomic_load(&synchronizes) == 2 && anyrcu_read_lock_held());
	anyrcu_thread_offline();
}

static const struct test_case cases[] = {
	CASE(online_ends_thread_part, .seconds = 6),
	CASE(every_function_interrupted),
	CASE(every_function_interrupted_small_bounds),
	CASE(nested_signals),
	CASE(threads_signal_each_other),
#if !TSAN
	CASE(alternate_stack),
#endif
	CASE(first_use_of_thread_in_handler),
	CASE(first_use_of_process_in_handler),
	CASE(registration_interrupted),
	CASE(errno_is_left),
	CASE(handlers_update),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
