/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What programs built for liburcu rely on, one case for each; the same program is run on liburcu
 * alone and on anyrcu. Compiled once for each flavour: HEADER is its header.
 * usage: semantics CASE...	or all: those that hold on liburcu too
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#define URCU_API_MAP
#include HEADER

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/rculfhash.h>

#define check(condition) ((condition) ? (void)0 : fails(#condition, __LINE__))
#define container(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static const char *doing;

static _Noreturn void fails(const char *what, int line)
{
	fprintf(stderr, "semantics.c:%d: %s: not %s\n", line, doing, what);
	_exit(1);
}

struct object {
	long number;
	int owner;
	struct rcu_head head;
};

static atomic_long invoked;

static void count(struct rcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
	free(container(head, struct object, head));
}

static struct object *make(long number)
{
	struct object *o = calloc(1, sizeof(*o));

	check(o);
	o->number = number;
	return o;
}

static void pause_ms(int ms)
{
	usleep(ms * 1000);
}

/* A thread that qsbr takes for a reader must not be one while it waits. */
static void *join(pthread_t thread)
{
	void *result;

	rcu_thread_offline();
	check(pthread_join(thread, &result) == 0);
	rcu_thread_online();
	return result;
}

/* ---- a callback waits for readers ---- */

static atomic_int reader_state;

static void *reader(void *arg)
{
	rcu_register_thread();
	rcu_read_lock();
	atomic_store(&reader_state, 1);
	while (atomic_load(&reader_state) == 1)
		pause_ms(1);
	check(atomic_load(&invoked) == 0);
	rcu_read_unlock();
	rcu_unregister_thread();
	return arg;
}

static void readers(void)
{
	pthread_t thread;

	invoked = 0;
	reader_state = 0;
	check(pthread_create(&thread, NULL, reader, NULL) == 0);
	while (atomic_load(&reader_state) == 0)
		pause_ms(1);
	for (int i = 0; i < 1000; i++)
		call_rcu(&make(i)->head, count);
	pause_ms(100);
	check(atomic_load(&invoked) == 0);
	atomic_store(&reader_state, 2);
	join(thread);
	rcu_barrier();
	check(atomic_load(&invoked) == 1000);
}

/* ---- callbacks of one thread are invoked in its order, and of one queue one at a time ---- */

#define WRITERS 4
#define EACH 50000
static long last_of[WRITERS];
static atomic_int inside;

static void in_order(struct rcu_head *head, long kind)
{
	struct object *o = container(head, struct object, head);

	check(atomic_fetch_add(&inside, 1) == 0);
	check(o->number == last_of[o->owner] + 1 && o->number % 3 == kind);
	last_of[o->owner] = o->number;
	atomic_fetch_sub(&inside, 1);
	count(head);
}

static void order_0(struct rcu_head *head)
{
	in_order(head, 0);
}
static void order_1(struct rcu_head *head)
{
	in_order(head, 1);
}
static void order_2(struct rcu_head *head)
{
	in_order(head, 2);
}

static void *writer(void *arg)
{
	static void (*const kinds[])(struct rcu_head *) = { order_0, order_1, order_2 };

	rcu_register_thread();
	for (long i = 1; i <= EACH; i++) {
		struct object *o = make(i);

		o->owner = (intptr_t)arg;
		rcu_read_lock();
		call_rcu(&o->head, kinds[i % 3]);
		rcu_read_unlock();
		if (i % 64 == 0)
			rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void order(void)
{
	pthread_t thread[WRITERS];

	invoked = 0;
	memset(last_of, 0, sizeof(last_of));
	for (intptr_t i = 0; i < WRITERS; i++)
		check(pthread_create(&thread[i], NULL, writer, (void *)i) == 0);
	for (int i = 0; i < WRITERS; i++)
		join(thread[i]);
	rcu_barrier();
	check(atomic_load(&invoked) == WRITERS * EACH);
}

/* ---- what callbacks may do ---- */

static atomic_int steps;

static void step(struct rcu_head *head)
{
	struct object *o = container(head, struct object, head);

	rcu_read_lock();
	check(rcu_read_ongoing());
	rcu_read_unlock();
	if (o->number == 5)
		synchronize_rcu();
	atomic_fetch_add(&steps, 1);
	if (o->number-- > 0)
		call_rcu(head, step);
	else
		count(head);
}

static void callbacks(void)
{
	invoked = 0;
	steps = 0;
	call_rcu(&make(10)->head, step);
	while (atomic_load(&invoked) == 0) {
		rcu_quiescent_state();
		rcu_barrier();
	}
	check(atomic_load(&steps) == 11);
}

/* ---- queues ---- */

static pthread_t ran_in;
static atomic_int ran_on;

static void where(struct rcu_head *head)
{
	ran_in = pthread_self();
	atomic_store(&ran_on, sched_getcpu());
	count(head);
}

static int some_cpu(void)
{
	cpu_set_t set;
	int cpu = CPU_SETSIZE - 1;

	check(sched_getaffinity(0, sizeof(set), &set) == 0);
	while (!CPU_ISSET(cpu, &set))
		cpu--;
	return cpu;
}

static void *other_queue(void *arg)
{
	rcu_register_thread();
	check(get_thread_call_rcu_data() == NULL);
	check(get_call_rcu_data() == get_default_call_rcu_data());
	rcu_unregister_thread();
	return arg;
}

static void queues(void)
{
	struct call_rcu_data *standard = get_default_call_rcu_data(), *c;
	int cpu = some_cpu();
	pthread_t thread;

	invoked = 0;
	check(standard && get_default_call_rcu_data() == standard &&
	      get_call_rcu_data() == standard);
	check(get_thread_call_rcu_data() == NULL && get_cpu_call_rcu_data(cpu) == NULL);
	call_rcu(&make(0)->head, where);
	rcu_barrier();
	check(pthread_equal(ran_in, get_call_rcu_thread(standard)));

	for (unsigned long flags = 0; flags <= URCU_CALL_RCU_RT; flags += URCU_CALL_RCU_RT) {
		c = create_call_rcu_data(flags, cpu);
		check(c && c != standard);
		set_thread_call_rcu_data(c);
		check(get_thread_call_rcu_data() == c && get_call_rcu_data() == c);
		call_rcu(&make(0)->head, where);
		rcu_barrier();
		check(pthread_equal(ran_in, get_call_rcu_thread(c)));
		/* liburcu's threads go there after a while. */
		for (int i = 0; ran_on != cpu; i++) {
			check(i < 1000);
			call_rcu(&make(0)->head, where);
			rcu_barrier();
		}
		check(pthread_create(&thread, NULL, other_queue, NULL) == 0);
		join(thread);
		/* What waits in a queue that is given back is for the default one. */
		atomic_store(&invoked, 0);
		for (int i = 0; i < 2000; i++)
			call_rcu(&make(i)->head, count);
		set_thread_call_rcu_data(NULL);
		rcu_thread_offline();
		call_rcu_data_free(c);
		rcu_thread_online();
		rcu_barrier();
		check(atomic_load(&invoked) == 2000);
	}

	check(create_all_cpu_call_rcu_data(0) == 0);
	c = get_cpu_call_rcu_data(cpu);
	check(c && c != standard);
	check(set_cpu_call_rcu_data(cpu, c) == -EEXIST && errno == EEXIST);
	check(set_cpu_call_rcu_data(1 << 20, c) == -EINVAL && errno == EINVAL);
	check(create_all_cpu_call_rcu_data(0) == 0 && get_cpu_call_rcu_data(cpu) == c);
	atomic_store(&invoked, 0);
	for (int i = 0; i < 2000; i++)
		call_rcu(&make(i)->head, where);
	rcu_barrier();
	check(atomic_load(&invoked) == 2000 &&
	      !pthread_equal(ran_in, get_call_rcu_thread(standard)));
	for (int i = 0; i < 2000; i++)
		call_rcu(&make(i)->head, count);
	rcu_thread_offline();
	free_all_cpu_call_rcu_data();
	rcu_thread_online();
	check(get_cpu_call_rcu_data(cpu) == NULL && get_call_rcu_data() == standard);
	rcu_barrier();
	check(atomic_load(&invoked) == 4000);
	call_rcu_data_free(standard); /* nothing happens */
	call_rcu_data_free(NULL);
	check(get_default_call_rcu_data() == standard);
}

/* ---- fork ---- */

static void wait_for(pid_t pid)
{
	int status;

	rcu_thread_offline();
	check(waitpid(pid, &status, 0) == pid);
	rcu_thread_online();
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void handled_fork(void)
{
	pid_t pid;

	for (int round = 0; round < 20; round++) {
		struct call_rcu_data *c = round % 2 ? create_call_rcu_data(0, -1) : NULL;
		long done;

		invoked = 0;
		set_thread_call_rcu_data(c);
		for (int i = 0; i < 3000; i++)
			call_rcu(&make(i)->head, count);
		rcu_thread_offline();
		call_rcu_before_fork();
#ifdef FLAVOUR_BP
		urcu_bp_before_fork();
#endif
		done = atomic_load(&invoked);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			check(atomic_load(&invoked) == done);
#ifdef FLAVOUR_BP
			urcu_bp_after_fork_child();
#endif
			call_rcu_after_fork_child();
			rcu_thread_online();
			for (int i = 0; i < 100; i++)
				call_rcu(&make(i)->head, count);
			rcu_barrier();
			check(atomic_load(&invoked) == 3100);
			_exit(0);
		}
#ifdef FLAVOUR_BP
		urcu_bp_after_fork_parent();
#endif
		call_rcu_after_fork_parent();
		rcu_thread_online();
		rcu_barrier();
		check(atomic_load(&invoked) == 3000);
		wait_for(pid);
		set_thread_call_rcu_data(NULL);
		rcu_thread_offline();
		call_rcu_data_free(c);
		rcu_thread_online();
	}
}

/*
 * A child whose program does not call the handlers may do anything but RCU, and run another
 * program.
 */
static void plain_fork(void)
{
	pid_t pid;

	invoked = 0;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3000; i++)
			call_rcu(&make(i)->head, count);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		wait_for(pid);
	}
	rcu_barrier();
	check(atomic_load(&invoked) == 60000);
}

/* ---- defer_rcu ---- */

static uintptr_t expected;

static void defer_first(void *arg)
{
	check((uintptr_t)arg == expected && expected % 7 != 0);
	expected++;
}

static void defer_second(void *arg)
{
	check((uintptr_t)arg == expected && expected % 7 == 0);
	expected++;
}

/* Any pointer may be an argument: odd ones, and NULL. */
static void defer_some(uintptr_t from, uintptr_t to)
{
	for (uintptr_t i = from; i < to; i++)
		defer_rcu(i % 7 ? defer_first : defer_second, (void *)i);
}

/*
 * With qsbr, liburcu's must not be called online: it may wait for a lock whose holder waits for the
 * caller.
 */
static void *defer_thread(void *online)
{
	rcu_register_thread();
	if (!online)
		rcu_thread_offline();
	check(rcu_defer_register_thread() == 0);
	defer_some(0, 20000);
	rcu_defer_barrier_thread();
	check(expected == 20000);
	defer_some(20000, 20010);
	rcu_defer_barrier();
	check(expected == 20010);
	defer_some(20010, 20020);
	rcu_defer_unregister_thread();
	check(expected == 20020);
	if (!online)
		rcu_thread_online();
	rcu_unregister_thread();
	return online;
}

static void defer_in(void *online)
{
	pthread_t thread;

	expected = 0;
	check(pthread_create(&thread, NULL, defer_thread, online) == 0);
	join(thread);
	check(expected == 20020);
}

static void defer(void)
{
	defer_in(NULL);
}

static void defer_online(void)
{
	defer_in(&expected);
}

/* What nobody flushes is looked after all the same. */
static void defer_alone(void)
{
	expected = 0;
	rcu_thread_offline();
	check(rcu_defer_register_thread() == 0);
	defer_some(0, 10);
	while (__atomic_load_n(&expected, __ATOMIC_ACQUIRE) != 10)
		pause_ms(1);
	rcu_defer_unregister_thread();
	rcu_thread_online();
}

/* ---- liburcu-cds takes the flavour as a table of functions ---- */

struct entry {
	struct cds_lfht_node node;
	struct rcu_head head;
	unsigned long key;
};

static int entry_matches(struct cds_lfht_node *node, const void *key)
{
	return container(node, struct entry, node)->key == *(const unsigned long *)key;
}

static void free_entry(struct rcu_head *head)
{
	free(container(head, struct entry, head));
	atomic_fetch_add(&invoked, 1);
}

static void table(void)
{
	struct cds_lfht *ht =
		cds_lfht_new(1, 1, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	struct cds_lfht_iter at;

	check(ht);
	invoked = 0;
	for (unsigned long key = 0; key < 20000; key++) {
		struct entry *e = calloc(1, sizeof(*e));

		e->key = key;
		rcu_read_lock();
		cds_lfht_add(ht, key * 0x9e3779b97f4a7c15ul, &e->node);
		rcu_read_unlock();
		rcu_quiescent_state();
	}
	for (unsigned long key = 0; key < 20000; key++) {
		rcu_read_lock();
		cds_lfht_lookup(ht, key * 0x9e3779b97f4a7c15ul, entry_matches, &key, &at);
		check(cds_lfht_iter_get_node(&at) &&
		      cds_lfht_del(ht, cds_lfht_iter_get_node(&at)) == 0);
		call_rcu(&container(cds_lfht_iter_get_node(&at), struct entry, node)->head,
			 free_entry);
		rcu_read_unlock();
		rcu_quiescent_state();
	}
	rcu_barrier();
	check(atomic_load(&invoked) == 20000);
	rcu_thread_offline();
	check(cds_lfht_destroy(ht, NULL) == 0);
	rcu_thread_online();
}

/* ---- what liburcu does not allow, and anyrcu does ---- */

static atomic_long from_handler;

static void handled(struct rcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
}

static void handler(int sig)
{
	static struct rcu_head heads[20000];
	long n = atomic_load(&from_handler);

	if (n < 20000) {
		atomic_store(&from_handler, n + 1);
		call_rcu(&heads[n], handled);
	}
}

static void signals(void)
{
	struct sigaction act = { .sa_handler = handler };
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	long n = 0;

	invoked = from_handler = 0;
	check(sigaction(SIGALRM, &act, NULL) == 0);
	check(setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (atomic_load(&from_handler) < 1000) {
		call_rcu(&make(n++)->head, count);
		rcu_quiescent_state();
	}
	check(setitimer(ITIMER_REAL, &never, NULL) == 0);
	rcu_barrier();
	check(atomic_load(&invoked) == n + atomic_load(&from_handler));
}

static void *stranger(void *arg)
{
	for (int i = 0; i < 10000; i++)
		call_rcu(&make(i)->head, count);
	return arg;
}

static void strangers(void)
{
	pthread_t thread[WRITERS];

	invoked = 0;
	for (int i = 0; i < WRITERS; i++)
		check(pthread_create(&thread[i], NULL, stranger, NULL) == 0);
	for (int i = 0; i < WRITERS; i++)
		join(thread[i]);
	rcu_barrier();
	check(atomic_load(&invoked) == WRITERS * 10000);
}

/* ---- mistakes, for the debug mode ---- */

static void twice(void)
{
	struct object *o = make(0);

	rcu_read_lock();
	call_rcu(&o->head, handled);
	call_rcu(&o->head, handled);
	rcu_read_unlock();
	rcu_barrier();
}

static void overwritten(void)
{
	struct object *o = make(0);

	rcu_read_lock();
	call_rcu(&o->head, handled);
	memset(&o->head, 0x55, sizeof(o->head));
	rcu_read_unlock();
	rcu_barrier();
}

static const struct {
	const char *name;
	void (*run)(void);
	bool liburcu; /* it holds there too */
} cases[] = {
	{ "readers", readers, true },
	{ "order", order, true },
	{ "callbacks", callbacks, true },
	{ "queues", queues, true },
	{ "handled_fork", handled_fork, true },
	{ "plain_fork", plain_fork, true },
	{ "defer", defer, true },
	{ "defer_alone", defer_alone, true },
	{ "table", table, true },
	{ "signals", signals, false },
	{ "strangers", strangers, false },
	{ "defer_online", defer_online, false },
	{ "twice", twice, false },
	{ "overwritten", overwritten, false },
};

int main(int argc, char **argv)
{
	bool any = false;

	rcu_register_thread();
	for (int i = 1; i < argc; i++) {
		for (size_t j = 0; j < sizeof(cases) / sizeof(*cases); j++) {
			if (!(!strcmp(argv[i], "all") && cases[j].liburcu) &&
			    strcmp(argv[i], cases[j].name))
				continue;
			doing = cases[j].name;
			cases[j].run();
			any = true;
		}
	}
	rcu_unregister_thread();
	if (!any)
		fprintf(stderr, "semantics: no such case\n");
	return any ? 0 : 2;
}
