// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The process that is interrupted: one operation in a known state, a handler that calls every
 * any-context entry point, and the checks afterwards. A second thread is in a read-side critical
 * section all the while, so nothing may be invoked, and no grace period may end, before it says so.
 * It runs no code of the library while there are breakpoints in it.
 */
#define _GNU_SOURCE
#include "interrupt_scene.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const op_name[OPS] = {
	"anyrcu_read_lock",
	"anyrcu_read_unlock",
	"anyrcu_read_lock_held",
	"anyrcu_gp_start",
	"anyrcu_gp_done",
	"page_alloc, order 0",
	"page_alloc, order 1",
	"page_free, order 0",
	"page_free, order 1",
	"anyrcu_stats_get",
	"anyrcu_call",
	"anyrcu_free",
	"anyrcu_call_headless",
	"anyrcu_free_headless",
	"anyrcu_call_sized",
	"anyrcu_domain_call",
	"anyrcu_cache_alloc",
	"anyrcu_cache_free",
	"anyrcu_cache_free_deferred",
	"anyrcu_hash_add",
	"anyrcu_hash_add_unique",
	"anyrcu_hash_replace",
	"anyrcu_hash_del",
	"anyrcu_hash_first and next",
	"anyrcu_synchronize",
	"anyrcu_gp_wait",
	"anyrcu_barrier",
	"anyrcu_reclaim",
	"anyrcu_call_mightsleep",
	"anyrcu_free_mightsleep",
	"anyrcu_init",
	"a domain's life",
	"anyrcu_domain_barrier",
	"anyrcu_domain_destroy",
	"a thread's end",
	"a dead reader's burial",
};

struct scene *scene;

struct object subject;
struct object former[24000]; /* deferred to bring the state about */
int nformer;
static struct object late; /* deferred by the other thread */

anyrcu_gp_t cookie;
bool answer;
void *page; /* allocated, or to be freed */
static struct anyrcu_stats seen;
size_t seen_size = sizeof(seen);
unsigned gfp = ANYRCU_GFP_NO_LOCKS;
void *held[8192]; /* pages of order 0 taken to bring the state about */
int nheld;
void *held_n[64]; /* and of the other order */
int nheld_n;
void *whole[8192]; /* and of any */
unsigned whole_order[8192];
int nwhole;
void *spare[64]; /* pages that a handler gives back */
volatile int nspare;
unsigned spare_order;
int nested;
bool online;
static bool resizes; /* deferred by a hash table */

struct visit visits[VISITS_MAX];
volatile int nvisits;
int bulk_invoked;

_Noreturn void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(scene->why, sizeof(scene->why), format, args);
	va_end(args);
	_exit(1);
}

static void right(const char *why)
{
	if (why)
		wrong("%s", why);
}

/* ---- callbacks ---- */

void on_head(struct anyrcu_head *head)
{
	((struct object *)((char *)head - offsetof(struct object, head)))->invoked++;
}

static void on_other_head(struct anyrcu_head *head)
{
	on_head(head);
}

void on_arg(void *o)
{
	((struct object *)o)->invoked++;
}

void on_null(void *o)
{
	subject.invoked++;
}

void on_bulk(void *n)
{
	++*(int *)n;
}

extern void __libc_free(void *p);

/* In place of libc's, for what the library frees. */
void free(void *p)
{
	uintptr_t at = (uintptr_t)p;

	if (at - (uintptr_t)&subject < sizeof(subject) || at - (uintptr_t)former < sizeof(former) ||
	    at - (uintptr_t)visits < sizeof(visits))
		((struct object *)p)->invoked++;
	else
		__libc_free(p);
}

/* ---- the operations ---- */

#define OP static __attribute__((noinline)) void

OP op_call(void)
{
	anyrcu_call(&subject.head, on_head);
}

OP op_free(void)
{
	struct object *o = &subject;

	__asm__("" : "+r"(o));
	anyrcu_free(o, head);
}

void (*headless_func)(void *) = on_arg;
void *headless_arg = &subject;

OP op_call_headless(void)
{
	answer = anyrcu_call_headless(headless_func, headless_arg);
}

OP op_free_headless(void)
{
	answer = anyrcu_free_headless(headless_arg);
}

size_t sized_bytes = 1000;

OP op_call_sized(void)
{
	anyrcu_call_sized(&subject.head, on_head, sized_bytes);
}

OP op_gp_start(void)
{
	cookie = anyrcu_gp_start();
}

OP op_gp_done(void)
{
	answer = anyrcu_gp_done(cookie);
}

OP op_read_lock(void)
{
	anyrcu_read_lock();
}

OP op_read_unlock(void)
{
	anyrcu_read_unlock();
}

OP op_read_held(void)
{
	answer = anyrcu_read_lock_held();
}

OP op_page_alloc_0(void)
{
	page = anyrcu_page_alloc(gfp, 0);
}

OP op_page_alloc_n(void)
{
	page = anyrcu_page_alloc(gfp, ORDER_N);
}

OP op_page_free_0(void)
{
	anyrcu_page_free(page, 0);
}

OP op_page_free_n(void)
{
	anyrcu_page_free(page, ORDER_N);
}

OP op_stats_get(void)
{
	seen.size = seen_size;
	anyrcu_stats_get(&seen);
}

struct anyrcu_domain *domain;

OP op_domain_call(void)
{
	anyrcu_domain_call(domain, &subject.head, on_head);
}

void source_synchronize(void *unused)
{
	anyrcu_synchronize();
}

static void (*const op_run[OPS])(void) = {
	op_read_lock,	 op_read_unlock,  op_read_held,	     op_gp_start,	 op_gp_done,
	op_page_alloc_0, op_page_alloc_n, op_page_free_0,    op_page_free_n,	 op_stats_get,
	op_call,	 op_free,	  op_call_headless,  op_free_headless,	 op_call_sized,
	op_domain_call,	 op_cache_alloc,  op_cache_free,     op_cache_defer,	 op_hash_add,
	op_hash_unique,	 op_hash_replace, op_hash_del,	     op_hash_find,	 op_synchronize,
	op_gp_wait,	 op_barrier,	  op_reclaim,	     op_call_mightsleep, op_free_mightsleep,
	op_init,	 op_domain_life,  op_domain_barrier, op_domain_destroy,	 op_thread_end,
	op_burial,
};

static const struct state *playing;

/*
 * This is what a handler has forked. It goes on as its parent does, but tells the tracer nothing.
 */
volatile bool is_child;

/* ---- the handler ---- */

/* More than a page holds, so that another is open than before. */
static void fill(struct visit *v)
{
	for (int i = 0; i < 510 && anyrcu_call_headless(on_bulk, &bulk_invoked); i++)
		v->bulk_accepted++;
}

static void visit(struct visit *v)
{
	struct anyrcu_stats s = { .size = sizeof(s) };
	void *p;

	anyrcu_read_lock();
	if (!anyrcu_read_lock_held())
		wrong("a section in a handler is not seen");
	v->call.accepted = v->free_.accepted = v->sized.accepted = v->other.accepted = 1;
	anyrcu_call(&v->call.head, on_head);
	v->page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	if (v->page)
		memset(v->page, 0x55, ANYRCU_PAGE_SIZE);
	v->page_n = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, ORDER_N);
	if (scene->handlers % 2)
		raise(SIGUSR2);
	anyrcu_free(&v->free_, head);
	anyrcu_call_sized(&v->sized.head, on_head, 12345);
	v->headless.accepted = anyrcu_call_headless(on_arg, &v->headless);
	v->free_headless.accepted = anyrcu_free_headless(&v->free_headless);
	p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	if (p && p == v->page)
		wrong("a page was handed out twice");
	anyrcu_page_free(p, 0);
	p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, ORDER_N);
	if (p && p == v->page_n)
		wrong("a page was handed out twice");
	anyrcu_page_free(p, ORDER_N);
	anyrcu_stats_get(&s);
	anyrcu_read_unlock();
	v->cookie = anyrcu_gp_start();
	if (anyrcu_gp_done(v->cookie) && !playing->alone && !scene->left)
		wrong("a grace period ended under a reader");
	anyrcu_call(&v->other.head, on_other_head);
	right(cache_visit(scene->fills));
	right(hash_visit(scene->op));
	if (scene->op == DOMAIN_BARRIER) {
		v->domain.accepted = 1;
		anyrcu_domain_call(domain, &v->domain.head, on_head);
	}
	if (scene->fills)
		fill(v);
	for (int i = 0; i < 40 && nspare; i++)
		anyrcu_page_free(spare[--nspare], spare_order);
}

/*
 * The child goes on from here, in the middle of the operation, while the parent waits for its end.
 */
static void visit_and_fork(struct visit *v)
{
	int status;
	pid_t pid;

	visit(v);
	scene->children++;
	pid = fork();
	if (pid < 0)
		wrong("the handler cannot fork");
	if (pid == 0) {
		is_child = true;
		alarm(60);
		return;
	}
	scene->child_runs = true;
	while (waitpid(pid, &status, 0) < 0)
		;
	scene->child_runs = false;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		if (!scene->why[0])
			wrong("the handler's child ended with status %#x", status);
		_exit(1);
	}
}

static void on_signal(int sig)
{
	static volatile int depth;
	int interrupted = errno;

	depth++;
	scene->handlers++;
	if (nvisits == VISITS_MAX)
		wrong("more handlers than there is room for");
	errno = 4711;
	if (scene->forks && sig == SIGSYS)
		visit_and_fork(&visits[nvisits++]);
	else
		visit(&visits[nvisits++]);
	if (errno != 4711 && !scene->children)
		wrong("errno has changed in a handler");
	if (--depth == 0 && scene->mark && !is_child) {
		scene->stage = HANDLED;
		__asm__ volatile("int3" ::: "memory");
	}
	errno = interrupted;
}

/* ---- the other thread ---- */

sem_t begun;
static sem_t go, gone;
static enum { LEAVE, ATTACK } order;

static void *other(void *unused)
{
	anyrcu_read_lock();
	sem_post(&begun);
	if (playing->leaves) {
		while (!scene->leave)
			usleep(200);
		anyrcu_read_unlock();
		scene->left = true;
		return NULL;
	}
	while (sem_wait(&go))
		;
	anyrcu_read_unlock();
	if (order == ATTACK) {
		late.accepted = 1;
		anyrcu_call(&late.head, on_head);
		for (int i = 0; i < 3; i++)
			anyrcu_reclaim(SIZE_MAX);
	}
	sem_post(&gone);
	return NULL;
}

/* Its one order. */
static void tell(int what)
{
	order = what;
	sem_post(&go);
	while (sem_wait(&gone))
		;
}

/* ---- what is checked ---- */

static void each(void (*check)(const char *what, const struct object *o))
{
	check("the operation's object", &subject);
	check("an object of another thread", &late);
	check("a domain's object", &resident);
	for (int i = 0; i < nvisits; i++) {
		check("a handler's called object", &visits[i].call);
		check("a handler's freed object", &visits[i].free_);
		check("a handler's object without a head", &visits[i].headless);
		check("a handler's freed object without a head", &visits[i].free_headless);
		check("a handler's object with a size", &visits[i].sized);
		check("a handler's object for another function", &visits[i].other);
		check("a handler's object in a domain", &visits[i].domain);
	}
}

static void not_yet(const char *what, const struct object *o)
{
	if (o->invoked)
		wrong("%s was handed to its callback under a reader", what);
}

static void once(const char *what, const struct object *o)
{
	if (o->invoked != o->accepted)
		wrong("%s was deferred %d times and invoked %d times", what, o->accepted,
		      o->invoked);
}

/* In a handler's child, and where no other thread reads. */
static void check_alone(void)
{
	if (online)
		anyrcu_thread_offline();
	for (; nested; nested--)
		anyrcu_read_unlock();
	if (anyrcu_read_lock_held())
		wrong("still in a section after the last unlock");
}

static void check_early(enum op op)
{
	if (nested || online) {
		tell(ATTACK); /* it is this thread now that nothing may pass */
	} else {
		for (int i = 0; i < 3; i++)
			anyrcu_reclaim(SIZE_MAX);
	}
	each(not_yet);
	right(cache_check_early(op));
	if (bulk_invoked)
		wrong("a filler was handed to its callback under a reader");
	if (op == GP_START && anyrcu_gp_done(cookie))
		wrong("the operation's grace period ended under a reader");
	/* One that a handler asked for may have begun before this thread's section did. */
	for (int i = 0; i < nvisits && !nested && !online; i++)
		if (anyrcu_gp_done(visits[i].cookie))
			wrong("a handler's grace period ended under a reader");
	if (nested == 0 && !online)
		tell(LEAVE);
	if (online)
		anyrcu_thread_offline();
	for (; nested; nested--)
		anyrcu_read_unlock();
	if (anyrcu_read_lock_held())
		wrong("still in a section after the last unlock");
}

static void check_all_invoked(enum op op)
{
	long accepted = (op == DOMAIN_CALL ? 0 : subject.accepted) + late.accepted, bulk = 0;
	struct anyrcu_stats s = { .size = sizeof(s) };

	if (op == DOMAIN_CALL)
		anyrcu_domain_barrier(domain);
	if (op == GP_START) {
		anyrcu_gp_wait(cookie);
		if (!anyrcu_gp_done(cookie))
			wrong("the operation's grace period was waited for and is not over");
	}
	anyrcu_barrier();
	each(once);
	for (int i = 0; i < nformer; i++) {
		once("an object deferred before", &former[i]);
		accepted += former[i].accepted;
	}
	for (int i = 0; i < nvisits; i++) {
		struct visit *v = &visits[i];

		bulk += v->bulk_accepted;
		accepted += v->call.accepted + v->free_.accepted + v->headless.accepted +
			    v->free_headless.accepted + v->sized.accepted + v->other.accepted +
			    v->bulk_accepted;
	}
	if (bulk != bulk_invoked)
		wrong("%ld fillers were deferred, %d invoked", bulk, bulk_invoked);
	anyrcu_stats_get(&s);
	if ((s.deferred != (uint64_t)accepted && !resizes) || s.invoked != s.deferred || s.pending)
		wrong("%ld were deferred; counted are %lu, invoked %lu, pending %lu", accepted,
		      s.deferred, s.invoked, s.pending);
	if (s.pending_bytes)
		wrong("%lu bytes are pending though nothing is", s.pending_bytes);
	if (s.defer_bytes)
		wrong("%lu bytes in pages of pointers though nothing waits", s.defer_bytes);
}

/* Where pages have been seen, so that none comes twice. */
static struct {
	uintptr_t chunk;
	uint8_t pages[512];
} chunks[64];

static void see_page(uintptr_t p, unsigned pages)
{
	uintptr_t chunk = p & ~(uintptr_t)0x1fffff;

	for (int i = 0; i < 64; i++) {
		if (!chunks[i].chunk)
			chunks[i].chunk = chunk;
		if (chunks[i].chunk != chunk)
			continue;
		for (unsigned n = 0; n < pages; n++)
			if (chunks[i].pages[(p & 0x1fffff) / 4096 + n]++)
				wrong("page %#lx is in the allocator twice", p);
		return;
	}
	wrong("more memory is mapped than the test has room for");
}

/*
 * Everything comes home: what can be had without mapping more is all that is mapped, but for the
 * first page of each chunk of 2 MiB, or, of one, 1 MiB; and an allocation of the largest order is a
 * mapping of its own.
 */
static void check_pages(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };
	uint64_t bytes = 0, whole = 0, headers;
	void *p;

	for (unsigned order = ANYRCU_PAGE_ORDER_MAX + 1; order--;) {
		while ((p = anyrcu_page_alloc(ANYRCU_GFP_NOWAIT, order))) {
			see_page((uintptr_t)p, 1u << order);
			bytes += (uint64_t)ANYRCU_PAGE_SIZE << order;
			whole += order == ANYRCU_PAGE_ORDER_MAX;
		}
	}
	anyrcu_stats_get(&s);
	headers = ((s.pages_mapped + (1 << 20)) >> 21) - whole;
	if (s.pages_mapped - bytes != headers * ANYRCU_PAGE_SIZE)
		wrong("of %lu bytes mapped %lu can be had again", s.pages_mapped, bytes);
}

static void give_back(void)
{
	for (int i = 0; i < nvisits; i++) {
		struct visit *v = &visits[i];

		for (int at = 0; v->page && at < ANYRCU_PAGE_SIZE; at++)
			if (((uint8_t *)v->page)[at] != 0x55)
				wrong("a handler's page was written to by another");
		anyrcu_page_free(v->page, 0);
		anyrcu_page_free(v->page_n, ORDER_N);
	}
	while (nspare)
		anyrcu_page_free(spare[--nspare], spare_order);
	while (nwhole)
		nwhole--, anyrcu_page_free(whole[nwhole], whole_order[nwhole]);
	while (nheld)
		anyrcu_page_free(held[--nheld], 0);
	while (nheld_n)
		anyrcu_page_free(held_n[--nheld_n], ORDER_N);
}

static void check_result(enum op op, const struct state *state)
{
	bool alloc = BIT(op) & ALLOCS;

	if (BIT(op) & HEADLESS) {
		subject.accepted = answer && (headless_arg || op == CALL_HEADLESS);
	}
	if (op == CALL || op == FREE || op == CALL_SIZED || op == DOMAIN_CALL)
		subject.accepted = 1;
	if (op == READ_HELD && answer != (nested || online))
		wrong("whether in a section is told wrong");
	nested += op == READ_LOCK && !online;
	nested -= op == READ_UNLOCK && !online;
	if (anyrcu_read_lock_held() != (nested || online))
		wrong("in a section or not, and it should be the other");
	if (alloc && page) {
		for (size_t i = 0;
		     gfp & ANYRCU_GFP_ZERO && i < (size_t)ANYRCU_PAGE_SIZE
							      << (op == PAGE_ALLOC_N ? ORDER_N : 0);
		     i++)
			if (((char *)page)[i])
				wrong("a page that should be zero is not");
		for (int i = 0; i < nvisits; i++)
			if (page == visits[i].page || page == visits[i].page_n)
				wrong("a page was handed out twice");
		memset(page, 0xaa, ANYRCU_PAGE_SIZE);
		anyrcu_page_free(page, op == PAGE_ALLOC_N ? ORDER_N : 0);
	}
}

static void check(enum op op, const struct state *state)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_AS, &all);
	alarm(200);
	right(task_check(op, state));
	check_result(op, state);
	if (is_child || state->alone || state->leaves)
		check_alone();
	else
		check_early(op);
	give_back();
	right(cache_check(op));
	resizes = hash_used();
	right(hash_check(op));
	check_all_invoked(op);
	if (!state->worker && !is_child)
		check_pages();
}

void scene_init(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	cpu_set_t set, one;

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGSYS, &sa, NULL);
	/*
	 * One CPU, so that what one has prepared another finds; which one matters only for the
	 * time.
	 */
	sched_getaffinity(0, sizeof(set), &set);
	CPU_ZERO(&one);
	for (int cpu = 0, skip = getpid() % CPU_COUNT(&set); cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set) && skip-- == 0)
			CPU_SET(cpu, &one);
	}
	sched_setaffinity(0, sizeof(one), &one);
}

_Noreturn void scene_play(enum op op, const struct state *state, pid_t tracer)
{
	static char stack[65536] __attribute__((aligned(4096)));
	pthread_attr_t attr;
	pthread_t t;
	int after;

	playing = state;
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	sem_init(&gone, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, sizeof(stack));
	if (pthread_create(&t, &attr, other, NULL))
		wrong("no thread");
	while (sem_wait(&begun))
		;
	if (state->alone) {
		tell(LEAVE);
		pthread_join(t, NULL); /* it has run the library's code to its end */
	}
	if (state->arrange)
		state->arrange(op);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	/* it is no more, and whoever traces this process in its place does not know of it */
	if (getppid() != tracer)
		_exit(0);
	scene->stage = READY;
	__asm__ volatile("int3" ::: "memory");
	scene->op = op;
	errno = 815;
	op_run[op]();
	after = errno;
	if (!is_child) {
		scene->stage = DONE;
		__asm__ volatile("int3" ::: "memory");
	}
	if (after != 815 && op < TASKS)
		wrong("errno was 815 and is %d", after);
	check(op, state);
	_exit(0);
}
