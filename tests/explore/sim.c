/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The explorer's threads; memory.c has their memory.
 *
 * The core is compiled with -fsanitize=thread, so that each of its accesses to memory calls a
 * function; those functions are in memory.c, not the sanitizer's. Threads are coroutines in one
 * thread of the system. At each atomic access, fence and call of the platform another thread may be
 * chosen to go on, or a handler may be run on top of this one. A seed decides, so what was found
 * once is found again.
 *
 * A thread may also stop for milliseconds anywhere, a few times in an execution, while all others
 * go on.
 *
 * Time stands still while any thread can run, but for 20 ns at each look at the clock. A sleep that
 * only its time-out ends is therefore seen by how much time has gone by.
 */
#define _GNU_SOURCE
#include "memory.h"
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK 131072
#define STEPS 1500000

static struct thread {
	ucontext_t context;
	char *stack;
	void *tls;
	void *(*f)(void *);
	void *arg;
	uint64_t id;
	bool live, blocked, ours, dead_raw;
	uint32_t *word;
	uint64_t until;
	uint32_t tid;
	int masked, depth;
	bool eager; /* signals come often */
	unsigned stop_at; /* after so many points, if not 0, it stops */
	uint64_t stop_ns;
	unsigned priority;
} threads[SIM_THREADS];

static const struct sim_scene *scene;
static int forked;
static uint64_t random_state, steps;
static unsigned switching, stops, stopping, change_at[4], interrupting;
static bool by_priority;
static struct {
	uintptr_t addr; /* where a thread stops, the n-th time */
	unsigned n;
	uint64_t ns;
	enum sim_access access;
	int thread, but; /* -1: any, but for this one */
} watched;
static uint32_t next_tid, tid_base = 100;
static char *why; /* shared with the process that started this one */
static char *tls, *tls_first;
static size_t tls_size;
static void (*fork_prepare)(void), (*fork_parent)(void), (*fork_child)(void);

bool sim_child, sim_child_of_worker, sim_quiet, sim_others_dead, sim_tracing;
int sim_handlers, sim_current = -1;
static int reuse_tid = -1;
uint64_t sim_time;
void (*sim_exit_hook)(void);

_Noreturn void sim_fail(const char *format, ...)
{
	va_list args;

	if (!*why) {
		va_start(args, format);
		vsnprintf(why, 400, format, args);
		va_end(args);
	}
	_exit(1);
}

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

unsigned sim_random(unsigned n)
{
	return (random_next() >> 20) % n;
}

/* ---- threads ---- */

static void switch_to(int to)
{
	int from = sim_current;

	if (to == from)
		return;
	memcpy(threads[from].tls, tls, tls_size);
	memcpy(tls, threads[to].tls, tls_size);
	sim_current = to;
	if (swapcontext(&threads[from].context, &threads[to].context))
		abort();
}

static bool runnable(struct thread *t)
{
	return t->live && (!t->blocked || (t->until && t->until <= sim_time));
}

static int choose(bool stay)
{
	int ready[SIM_THREADS], n = 0, best;

	for (int i = 0; i < SIM_THREADS; i++)
		if (runnable(&threads[i]) && (stay || i != sim_current))
			ready[n++] = i;
	if (!n)
		return -1;
	if (!by_priority)
		return ready[sim_random(n)];
	best = ready[0];
	for (int i = 1; i < n; i++)
		if (threads[ready[i]].priority > threads[best].priority)
			best = ready[i];
	return best;
}

static int next_or_time(void)
{
	for (;;) {
		uint64_t first = 0;
		int next = choose(true);

		if (next >= 0)
			return next;
		for (int i = 0; i < SIM_THREADS; i++)
			if (threads[i].live && threads[i].blocked && threads[i].until &&
			    (!first || threads[i].until < first))
				first = threads[i].until;
		if (!first)
			sim_fail("all threads wait for ever");
		sim_time = first;
	}
}

void sim_signal(void)
{
	struct thread *t = &threads[sim_current];

	if (((t->masked || t->ours) && !scene->faults) || t->depth > 1 || sim_handlers <= 0 ||
	    !scene->handler || sim_random(t->eager ? 2 : interrupting))
		return;
	sim_handlers--;
	t->depth++;
	scene->handler();
	t->depth--;
}

void sim_point(void)
{
	struct thread *t;

	if (sim_off())
		return;
	t = &threads[sim_current];
	if (++steps > STEPS)
		sim_fail("it does not come to an end");
	if (t->stop_at && --t->stop_at == 0)
		sim_block(NULL, t->stop_ns);
	sim_signal();
	if (stops && sim_random(stopping) == 0) {
		stops--;
		sim_linger();
	}
	if (by_priority) {
		for (int i = 0; i < 4; i++)
			if (steps == change_at[i])
				t->priority = i;
		switch_to(choose(true));
	} else if (sim_random(switching) == 0) {
		switch_to(choose(true));
	}
}

void sim_linger(void)
{
	sim_block(NULL, 1 + sim_random(4000000));
}

void sim_stop_at(unsigned n, uint64_t ns)
{
	threads[sim_current].stop_at = n;
	threads[sim_current].stop_ns = ns;
}

void sim_stop_after(int thread, enum sim_access access, const void *location, unsigned n,
		    uint64_t ns)
{
	watched.thread = thread;
	watched.addr = (uintptr_t)location;
	watched.access = access;
	watched.n = n;
	watched.ns = ns;
	watched.but = sim_current;
}

void sim_wait_stop(void)
{
	for (int i = 0; watched.addr; i++) {
		if (i == 10000)
			sim_fail("no thread comes to where it shall stop");
		sim_block(NULL, 50000);
	}
}

void sim_accesses(uintptr_t addr, enum sim_access access)
{
	if (addr != watched.addr || access != watched.access ||
	    (watched.thread < 0 ? sim_current == watched.but : sim_current != watched.thread) ||
	    --watched.n)
		return;
	watched.addr = 0;
	sim_stop_at(1, watched.ns);
}

void sim_yield(void)
{
	int next;

	sim_point();
	threads[sim_current].priority = sim_random(100);
	next = choose(false);
	if (next >= 0)
		switch_to(next);
}

void sim_block(uint32_t *word, uint64_t ns)
{
	struct thread *t = &threads[sim_current];

	t->blocked = true;
	t->word = word;
	t->until = ns ? sim_time + ns : 0;
	switch_to(next_or_time());
	t->blocked = false;
}

void sim_wake(uint32_t *word, bool all)
{
	for (int i = 0; i < SIM_THREADS; i++) {
		struct thread *t = &threads[i];

		if (!t->live || !t->blocked || !word || t->word != word)
			continue;
		t->blocked = false;
		if (!all)
			return;
	}
}

_Noreturn void sim_finish(void)
{
	sim_handlers = 0;
	if (scene->finish)
		scene->finish();
	_exit(0);
}

/* The end of a thread is a full fence: what it stored is seen behind the next one. */
static void ended(void)
{
	struct thread *t = &threads[sim_current];
	int next;

	sim_fence();
	t->live = false;
	for (int i = 0; i < SIM_THREADS; i++)
		if (threads[i].live && threads[i].blocked && threads[i].word == &t->tid)
			threads[i].blocked = false;
	next = next_or_time();
	switch_to(next);
	abort();
}

_Noreturn void sim_exit(void)
{
	int self = sim_current;

	if (sim_exit_hook)
		sim_exit_hook();
	if (sim_child && self == forked) {
		threads[self].tid =
			tid_base + next_tid++; /* what is left to do is done by a new thread */
		memcpy(tls, tls_first, tls_size);
		sim_finish();
	}
	ended();
	abort();
}

_Noreturn void sim_die(void)
{
	threads[sim_current].dead_raw = true;
	ended();
	abort();
}

static void body(void)
{
	struct thread *t = &threads[sim_current];

	t->f(t->arg);
	sim_exit();
}

int sim_spawn(void *(*f)(void *), void *arg, bool ours)
{
	static uint64_t last_id;
	struct thread *t = threads;

	while (t < threads + SIM_THREADS && (t->live || t->stack))
		t++;
	if (t == threads + SIM_THREADS)
		for (t = threads + 1; t < threads + SIM_THREADS && t->live; t++)
			;
	if (t == threads + SIM_THREADS)
		return -1;
	if (!t->stack) {
		t->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
		t->tls = malloc(tls_size + 1);
	}
	memcpy(t->tls, tls_first, tls_size);
	t->id = ++last_id;
	t->f = f;
	t->arg = arg;
	t->blocked = t->dead_raw = false;
	t->ours = ours;
	t->masked = t->depth = 0;
	t->eager = false;
	t->tid = reuse_tid >= 0 ? (uint32_t)reuse_tid : tid_base + next_tid++;
	reuse_tid = -1;
	t->priority = 10 + sim_random(90);
	memory_thread_begins(t - threads, sim_off() ? -1 : sim_current);
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK;
	makecontext(&t->context, body, 0);
	t->live = true;
	return t - threads;
}

struct start {
	void (*f)(void *);
	void *arg;
};

static void *started(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	s.f(s.arg);
	return NULL;
}

int sim_start(void (*f)(void *), void *arg)
{
	struct start *s = malloc(sizeof(*s));
	int i;

	*s = (struct start){ f, arg };
	i = sim_spawn(started, s, false);
	SIM_CHECK(i >= 0);
	sim_point();
	return i;
}

void sim_join(int thread)
{
	struct thread *t = &threads[thread];

	while (t->live)
		sim_block(&t->tid, 0);
	memory_thread_is_joined(thread);
}

int sim_self(void)
{
	return sim_current < 0 ? 0 : sim_current;
}

uint64_t sim_id(void)
{
	return sim_current < 0 ? 1000 : threads[sim_current].id;
}

uint32_t sim_tid(void)
{
	return sim_current < 0 ? tid_base : threads[sim_current].tid;
}

void sim_reuse(uint32_t tid)
{
	reuse_tid = tid;
}

void sim_eager(void)
{
	threads[sim_current].eager = true;
}

void sim_rename(uint32_t tid)
{
	threads[sim_current].tid = tid;
}

bool sim_tid_dead(uint32_t tid)
{
	if (tid >= SIM_OTHERS)
		return sim_others_dead;
	for (int i = 0; i < SIM_THREADS; i++)
		if (threads[i].live && threads[i].tid == tid)
			return false;
	return true;
}

int sim_mask(int held_off)
{
	int former = sim_current >= 0 ? threads[sim_current].masked : 0;

	if (sim_current >= 0)
		threads[sim_current].masked = held_off;
	return former;
}

bool sim_live(int thread)
{
	return threads[thread].live;
}

bool sim_own(uintptr_t addr)
{
	return addr - (uintptr_t)tls < tls_size ||
	       addr - (uintptr_t)threads[sim_current].stack < STACK;
}

uint64_t sim_now(void)
{
	return sim_time;
}

int sim_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	fork_prepare = prepare;
	fork_parent = parent;
	fork_child = child;
	return 0;
}

static int fork_with(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	int status;
	pid_t pid;

	prepare();
	if (scene->at_fork)
		scene->at_fork();
	if (!child) {
		parent();
		return -1;
	}
	pid = fork();
	if (pid < 0)
		sim_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		sim_child = true;
		forked = sim_current;
		sim_handlers = 0;
		tid_base += 1000;
		memory_is_copied();
		for (int i = 0; i < SIM_THREADS; i++)
			if (i != sim_current)
				threads[i].live = false;
		threads[sim_current].tid += 1000;
		sim_child_of_worker = threads[sim_current].ours;
		threads[sim_current].ours = false;
		child();
		return 0;
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	if (status) {
		if (!*why)
			snprintf(why, 400, "the child of a fork ended with status %#x", status);
		_exit(1);
	}
	parent();
	return pid;
}

int sim_fork(void)
{
	return fork_with(fork_prepare, fork_parent, fork_child);
}

/* fork() that fails: the handlers before and behind it run. */
void sim_fork_fails(void)
{
	fork_with(fork_prepare, fork_parent, NULL);
}

static void nothing(void)
{
}

int sim_fork_raw(void)
{
	return fork_with(nothing, nothing, nothing);
}

/* ---- one execution ---- */

static int find_tls(struct dl_phdr_info *info, size_t size, void *unused)
{
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS) {
			tls = info->dlpi_tls_data;
			tls_size = info->dlpi_phdr[i].p_memsz;
		}
	return 1; /* the program comes first */
}

static void *first_body(void *unused)
{
	sim_quiet = true; /* there is nobody else yet */
	sim_library_start();
	sim_quiet = false;
	scene->run();
	sim_finish();
}

static void prepare(uint64_t seed)
{
	static ucontext_t here;
	unsigned how, old_values;

	random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 0x1234567;
	for (int i = 0; i < 8; i++)
		random_next();
	how = sim_random(4);
	by_priority = how == 0;
	switching = how == 1 ? 2 : how == 2 ? 6 : 24;
	for (int i = 0; i < 4; i++)
		change_at[i] = 1 + sim_random(i % 2 ? 3000 : 600);
	old_values = scene->strong ? 0 : (unsigned[]){ 0, 2, 5 }[sim_random(3)];
	stops = sim_random(4) ? sim_random(30) : 0;
	stopping = (unsigned[]){ 20, 100, 400 }[sim_random(3)];
	interrupting = (unsigned[]){ 20, 100, 500 }[sim_random(3)];
	sim_time = 1000000000;
	dl_iterate_phdr(find_tls, NULL);
	tls_first = malloc(tls_size + 1);
	memcpy(tls_first, tls, tls_size);
	memory_begin(old_values);
	sim_spawn(first_body, NULL, false);
	sim_current = 0;
	swapcontext(&here, &threads[0].context);
}

bool sim_run(const struct sim_scene *s, uint64_t seed, bool trace)
{
	struct itimerval limit = { .it_value.tv_sec = 4 };
	int status;
	pid_t pid;

	if (!why)
		why = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*why = 0;
	pid = fork();
	if (pid == 0) {
		setitimer(ITIMER_PROF, &limit, NULL);
		scene = s;
		sim_tracing = trace;
		for (int i = 0; i < 3 && s->env[i]; i++)
			putenv((char *)s->env[i]);
		prepare(seed);
		abort();
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	if (status == 0)
		return true;
	printf("%s, seed %lu: %s", s->name, (unsigned long)seed, *why ? why : "");
	if (WIFSIGNALED(status))
		printf(" ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	printf("\n");
	return false;
}
