// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Calls for tasks in the process that is interrupted: see interrupt_scene.c. They wait for readers,
 * so no other thread reads meanwhile, or one that leaves its section when the call waits for it
 * (others_run() in interrupt.c says when that is).
 */
#define _GNU_SOURCE
#include "interrupt_scene.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct object resident;
static struct anyrcu_domain *heir; /* gets what a domain leaves */
static bool no_threads; /* can be started by the library */
static bool expected = true; /* the operation succeeds */

/* In place of libc's, which calls them. */
int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
	static int (*of_libc)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	int detached = PTHREAD_CREATE_JOINABLE;

	if (no_threads)
		pthread_attr_getdetachstate(attr, &detached);
	if (detached == PTHREAD_CREATE_DETACHED) /* the library's, and not this test's */
		return EAGAIN;
	if (!of_libc)
		*(void **)&of_libc = dlsym(RTLD_NEXT, "pthread_create");
	return of_libc(t, attr, main, arg);
}

/* What the library does at a thread's end: the first one's, as the library is initialised first. */
static void (*at_thread_end)(void *);

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	static int (*of_libc)(pthread_key_t *, void (*)(void *));

	if (!at_thread_end)
		at_thread_end = destructor;
	if (!of_libc)
		*(void **)&of_libc = dlsym(RTLD_NEXT, "pthread_key_create");
	return of_libc(key, destructor);
}

/*
 * ---- the operations; each returns here from what it calls, not to its own caller, as that is part
 * of the test ----
 */

#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

void op_synchronize(void)
{
	anyrcu_synchronize();
	NO_TAIL_CALL();
}

void op_gp_wait(void)
{
	anyrcu_gp_wait(cookie);
	NO_TAIL_CALL();
}

/* It comes upon a thread that has died in a section. */
void op_burial(void)
{
	anyrcu_gp_wait(cookie);
	NO_TAIL_CALL();
}

void op_barrier(void)
{
	anyrcu_barrier();
	NO_TAIL_CALL();
}

void op_reclaim(void)
{
	anyrcu_reclaim(1);
	anyrcu_reclaim(SIZE_MAX);
	NO_TAIL_CALL();
}

void op_call_mightsleep(void)
{
	anyrcu_call_mightsleep(on_arg, &subject);
	NO_TAIL_CALL();
}

void op_free_mightsleep(void)
{
	anyrcu_free_mightsleep(&subject);
	NO_TAIL_CALL();
}

static void on_late(uint32_t tid, uint64_t ns, void *arg)
{
}

static struct anyrcu_config config = { .size = sizeof(config),
				       .workers = -1,
				       .delay_us = 10000000 };

void op_init(void)
{
	answer = anyrcu_init(&config) == 0;
}

void op_domain_life(void)
{
	struct anyrcu_domain *d = domain_new();

	answer = d;
	if (!d)
		return;
	anyrcu_domain_call(d, &resident.head, on_head);
	anyrcu_domain_barrier(d);
	anyrcu_domain_destroy(d, NULL);
	NO_TAIL_CALL();
}

void op_domain_barrier(void)
{
	anyrcu_domain_barrier(domain);
	NO_TAIL_CALL();
}

void op_domain_destroy(void)
{
	anyrcu_domain_destroy(domain, heir);
	NO_TAIL_CALL();
}

static bool in_callback;
static jmp_buf after_callback;

/* What libc does at the end of a thread; this one lives on, and begins anew. */
void op_thread_end(void)
{
	if (!in_callback)
		at_thread_end(&answer);
	else if (!setjmp(after_callback))
		anyrcu_barrier();
	NO_TAIL_CALL();
}

static void ends_thread(void *o)
{
	on_arg(o);
	at_thread_end(&answer);
	longjmp(after_callback, 1);
}

/* ---- what is checked ---- */

const char *task_check(enum op op, const struct state *state)
{
	if (op < TASKS)
		return NULL;
	if (op == CALL_MIGHTSLEEP || op == FREE_MIGHTSLEEP)
		subject.accepted = 1;
	if (op == DOMAIN_LIFE)
		resident.accepted = answer;
	if ((op == DOMAIN_LIFE || op == INIT) && answer != expected)
		return expected ? "it failed" : "it did not fail";
	if (state->leaves && !is_child && !scene->left)
		return "it did not wait for a reader";
	if ((op == GP_WAIT || op == BURIAL) && !anyrcu_gp_done(cookie))
		return "the grace period that was waited for is not over";
	if ((op == DOMAIN_BARRIER || (op == DOMAIN_DESTROY && !heir)) &&
	    resident.invoked != resident.accepted)
		return "a domain's object is not invoked once when it was waited for";
	if (op == THREAD_END)
		online = false;
	if (op == DOMAIN_BARRIER)
		anyrcu_domain_destroy(domain, NULL);
	if (heir)
		anyrcu_domain_destroy(heir, NULL);
	return NULL;
}

/* ---- the states ---- */

/*
 * Of each of them: what the pace of a process under trace must not change. A thread ends in the
 * second round of destructors, so the first is over.
 */
void task_prepare(enum op op)
{
	struct anyrcu_config c = { .size = sizeof(c), .delay_us = 10000000 };

	anyrcu_init(&c);
	if (op == THREAD_END)
		at_thread_end(&answer);
}

/* Pages of both kinds, and objects for several functions. */
static void backlog(enum op op)
{
	defer_stranger();
	for (int i = 0; i < 3; i++) {
		defer_like(CALL);
		defer_like(FREE);
		defer_like(CALL_HEADLESS);
		defer_like(CALL_SIZED);
	}
}

/* The same in the chain. */
static void exhausted_backlog(enum op op)
{
	exhaust(op);
	for (int i = 0; i < 3; i++) {
		defer_like(CALL);
		defer_like(FREE);
		defer_like(CALL_SIZED);
	}
}

/* What the library reports is expected. */
static void silence(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDERR_FILENO) < 0)
		wrong("it cannot be silenced");
	close(null);
}

static void refuse_memory(enum op op)
{
	struct rlimit none = { 0, RLIM_INFINITY };

	setrlimit(RLIMIT_AS, &none);
}

static void *reads_and_dies(void *unused)
{
	anyrcu_read_lock();
	sem_post(&begun);
	syscall(SYS_exit, 0);
	return NULL;
}

/* The grace period has waited for so long that the next step looks whether the reader lives. */
static void dead_reader(enum op op)
{
	pthread_attr_t attr;
	pthread_t t;

	silence();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, reads_and_dies, NULL))
		wrong("no thread");
	while (sem_wait(&begun))
		;
	cookie = anyrcu_gp_start();
	anyrcu_reclaim(0);
	usleep(11000);
}

/* The same with one that lives. */
static void long_reader(enum op op)
{
	cookie = anyrcu_gp_start();
	anyrcu_reclaim(0);
	usleep(11000);
}

static void reminders(enum op op)
{
	struct anyrcu_config c = {
		.size = sizeof(c),
		.delay_us = 10000000,
		.reminder_ms = 1,
		.reminder_hook = on_late,
	};

	anyrcu_init(&c);
	cookie = anyrcu_gp_start();
}

static void worker_wanted(enum op op)
{
	unsetenv("ANYRCU_WORKERS");
	config.workers = 1;
}

static void worker_refused(enum op op)
{
	worker_wanted(op);
	no_threads = true;
	expected = false;
	silence();
}

static void threads_refused(enum op op)
{
	no_threads = true;
	expected = false;
}

static void wrong_config(enum op op)
{
	config.stall_ms = 1;
	expected = false;
	silence();
}

static void full_config(enum op op)
{
	config.reminder_hook = on_late;
	config.pending_max = UINT64_MAX;
	config.pending_bytes_max = UINT64_MAX;
	config.policy = ANYRCU_POLICY_RAW_VARIANTS;
}

static void worker_works(enum op op)
{
	worker_deep(op);
	backlog(op);
	wait_asleep();
}

/* Two pages that wait for tasks to take what is in them, and no worker any more. */
static void exchanged(enum op op)
{
	struct anyrcu_config none = { .size = sizeof(none), .workers = -1, .delay_us = 10000000 };

	worker_start(10000000);
	for (int i = 0; i < 2000; i++)
		defer_task();
	anyrcu_init(&none);
	memset((void *)scene->worker, 0, sizeof(scene->worker));
}

static void registered_in_section(enum op op)
{
	silence();
	anyrcu_read_lock();
}

static void callback_ends_thread(enum op op)
{
	in_callback = true;
	subject.accepted = anyrcu_call_headless(ends_thread, &subject);
}

/* A domain, of which each copy is to start a worker, and cannot. */
static void domain_alone(enum op op)
{
	domain = domain_new();
	if (!domain)
		wrong("no domain");
	no_threads = true;
}

static void domain_alone_exhausted(enum op op)
{
	exhaust(op);
	domain_alone(op);
}

static void domain_two(enum op op)
{
	heir = domain_new();
	domain_alone(op);
}

static void fill_domain(enum op op)
{
	anyrcu_domain_call(domain, &resident.head, on_head);
	resident.accepted = 1;
}

static void domain_worker(enum op op)
{
	domain = domain_new();
	if (!domain)
		wrong("no domain");
	wait_asleep();
	fill_domain(op);
}

#define WAITS (BIT(SYNCHRONIZE) | BIT(BARRIER))
#define SLEEPS (BIT(CALL_MIGHTSLEEP) | BIT(FREE_MIGHTSLEEP))

const struct state task_states[] = {
	{ "nothing waits", WAITS | SLEEPS | BIT(RECLAIM) | BIT(INIT) | BIT(THREAD_END),
	  .prepare = registered, .alone = true },
	{ "no domain", BIT(DOMAIN_LIFE), .prepare = registered, .alone = true, .worker = true },
	{ "no thread has read yet", WAITS | SLEEPS | BIT(THREAD_END), .alone = true },
	{ "something of each sort waits",
	  WAITS | SLEEPS | BIT(RECLAIM) | BIT(INIT) | BIT(THREAD_END), .prepare = backlog,
	  .alone = true },
	{ "under a reader", SLEEPS | BIT(RECLAIM) | BIT(INIT), .prepare = backlog },
	{ "a reader leaves", WAITS | BIT(GP_WAIT), .prepare = asked, .leaves = true },
	{ "something waits for a reader, which leaves", BIT(BARRIER), .prepare = backlog,
	  .leaves = true },
	{ "a reader is reminded, and leaves", WAITS | BIT(GP_WAIT), .prepare = reminders,
	  .leaves = true },
	{ "a reader takes long, and leaves", WAITS | BIT(GP_WAIT), .arrange = long_reader,
	  .leaves = true },
	{ "a grace period was asked for, no reader", BIT(GP_WAIT) | BIT(SYNCHRONIZE) | BIT(RECLAIM),
	  .prepare = asked, .alone = true },
	{ "a grace period is over, no reader", BIT(GP_WAIT), .prepare = done, .alone = true },
	{ "online, no other reader", WAITS | BIT(THREAD_END), .prepare = be_online, .alone = true },
	{ "objects in the chain", BIT(BARRIER) | BIT(RECLAIM) | SLEEPS,
	  .prepare = exhausted_backlog, .alone = true },
	{ "no memory", SLEEPS, .prepare = exhausted_all, .arrange = refuse_memory, .alone = true },
	{ "pages take all that they may, no reader", SLEEPS, .prepare = at_bytes_max,
	  .alone = true },
	{ "a flood, no reader", SLEEPS | BIT(RECLAIM), .prepare = flood_past_bound, .alone = true },
	{ "a page that handlers fill", BIT(RECLAIM), .prepare = open_filled_page, .alone = true,
	  .each = true },
	{ "objects were exchanged", BIT(BARRIER) | BIT(RECLAIM), .arrange = exchanged,
	  .alone = true },
	{ "the worker sleeps, no reader", WAITS, .arrange = worker_works, .worker = true,
	  .alone = true },
	{ "a worker is to be started", BIT(INIT), .prepare = worker_wanted, .alone = true,
	  .worker = true },
	{ "no worker can be started", BIT(INIT), .prepare = worker_refused, .alone = true,
	  .worker = true },
	{ "a worker is to end", BIT(INIT), .arrange = worker_deep, .alone = true, .worker = true },
	{ "a wrong configuration", BIT(INIT), .prepare = wrong_config, .alone = true },
	{ "a configuration of all there is", BIT(INIT), .prepare = full_config, .alone = true },
	{ "no thread can be started", BIT(DOMAIN_LIFE), .prepare = threads_refused, .alone = true },
	{ "a domain without a worker", BIT(DOMAIN_BARRIER) | BIT(DOMAIN_DESTROY),
	  .prepare = domain_alone, .arrange = fill_domain, .alone = true },
	{ "a domain without a worker or pages", BIT(DOMAIN_BARRIER) | BIT(DOMAIN_DESTROY),
	  .prepare = domain_alone_exhausted, .arrange = fill_domain, .alone = true },
	{ "a domain, and another", BIT(DOMAIN_DESTROY), .prepare = domain_two,
	  .arrange = fill_domain, .alone = true },
	{ "a domain with a worker", BIT(DOMAIN_BARRIER) | BIT(DOMAIN_DESTROY),
	  .arrange = domain_worker, .alone = true, .worker = true },
	{ "in a section that does not end", BIT(THREAD_END), .prepare = registered_in_section,
	  .alone = true },
	{ "in a callback", BIT(THREAD_END), .prepare = callback_ends_thread, .alone = true },
	{ "a reader has died", BIT(BURIAL), .arrange = dead_reader, .alone = true },
};
const int ntask_states = sizeof(task_states) / sizeof(task_states[0]);
