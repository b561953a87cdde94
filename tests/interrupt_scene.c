// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The process that is interrupted: one operation in a known state, a handler that calls every any-context entry
 * point, and the checks afterwards. A second thread is in a read-side critical section all the while, so nothing may
 * be invoked, and no grace period may end, before it says so. It runs no code of the library while there are
 * breakpoints in it.
 */
#define _GNU_SOURCE
#include "interrupt.h"
#include <anyrcu/anyrcu.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(op) (1u << (op))
#define DEFERS (BIT(CALL) | BIT(FREE) | BIT(CALL_HEADLESS) | BIT(FREE_HEADLESS))
#define HEADLESS (BIT(CALL_HEADLESS) | BIT(FREE_HEADLESS))
#define ALLOCS (BIT(PAGE_ALLOC_0) | BIT(PAGE_ALLOC_N))
#define FREES (BIT(PAGE_FREE_0) | BIT(PAGE_FREE_N))
#define ORDER_N 1

const char *const op_name[OPS] = {
	"anyrcu_read_lock", "anyrcu_read_unlock", "anyrcu_read_lock_held", "anyrcu_gp_start", "anyrcu_gp_done",
	"page_alloc, order 0", "page_alloc, order 1", "page_free, order 0", "page_free, order 1", "anyrcu_stats_get",
	"anyrcu_call", "anyrcu_free", "anyrcu_call_headless", "anyrcu_free_headless",
};

struct scene *scene;

struct object {
	int invoked, accepted;
	struct anyrcu_head head;
};

static struct object subject;	     /* of the operation */
static struct object former[24000];  /* deferred to bring the state about */
static int nformer;
static struct object late;	     /* deferred by the other thread */

static anyrcu_gp_t cookie;	     /* the operation's */
static bool answer;
static void *page;		     /* allocated, or to be freed */
static struct anyrcu_stats seen;
static size_t seen_size = sizeof(seen);
static unsigned gfp = ANYRCU_GFP_NO_LOCKS;
static void *held[8192];	     /* pages of order 0 taken to bring the state about */
static int nheld;
static void *held_n[64];	     /* and of the other order */
static int nheld_n;
static void *whole[8192];	     /* and of any */
static unsigned whole_order[8192];
static int nwhole;
static void *spare[64];		     /* pages that a handler gives back */
static volatile int nspare;
static unsigned spare_order;
static int nested;		     /* sections that this thread is in */
static bool online;

/* What one handler leaves to be checked. */
#define VISITS_MAX 80
static struct visit {
	struct object call, free_, headless, free_headless, other;
	int bulk_accepted;
	anyrcu_gp_t cookie;
	void *page, *page_n;
} visits[VISITS_MAX];
static volatile int nvisits;
static int bulk_invoked;

static _Noreturn void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(scene->why, sizeof(scene->why), format, args);
	va_end(args);
	_exit(1);
}

/* ---- callbacks ---- */

static void on_head(struct anyrcu_head *head)
{
	((struct object *)((char *)head - offsetof(struct object, head)))->invoked++;
}

static void on_other_head(struct anyrcu_head *head)
{
	on_head(head);
}

static void on_arg(void *o)
{
	((struct object *)o)->invoked++;
}

static void on_null(void *o)
{
	subject.invoked++;
}

static void on_bulk(void *n)
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

static void (*headless_func)(void *) = on_arg;
static void *headless_arg = &subject;

OP op_call_headless(void)
{
	answer = anyrcu_call_headless(headless_func, headless_arg);
}

OP op_free_headless(void)
{
	answer = anyrcu_free_headless(headless_arg);
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

static void (*const op_run[OPS])(void) = {
	op_read_lock, op_read_unlock, op_read_held, op_gp_start, op_gp_done, op_page_alloc_0, op_page_alloc_n, op_page_free_0,
	op_page_free_n, op_stats_get, op_call, op_free, op_call_headless, op_free_headless,
};

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
	v->call.accepted = v->free_.accepted = v->other.accepted = 1;
	anyrcu_call(&v->call.head, on_head);
	v->page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	if (v->page)
		memset(v->page, 0x55, ANYRCU_PAGE_SIZE);
	v->page_n = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, ORDER_N);
	if (scene->handlers % 2)
		raise(SIGUSR2);
	anyrcu_free(&v->free_, head);
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
	if (anyrcu_gp_done(v->cookie))
		wrong("a grace period ended under a reader");
	anyrcu_call(&v->other.head, on_other_head);
	if (scene->fills)
		fill(v);
	for (int i = 0; i < 40 && nspare; i++)
		anyrcu_page_free(spare[--nspare], spare_order);
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
	visit(&visits[nvisits++]);
	if (errno != 4711)
		wrong("errno has changed in a handler");
	if (--depth == 0 && scene->mark) {
		scene->stage = HANDLED;
		__asm__ volatile("int3" ::: "memory");
	}
	errno = interrupted;
}

/* ---- the other thread ---- */

static sem_t begun, go, gone;
static enum { LEAVE, ATTACK } order;

static void *other(void *unused)
{
	anyrcu_read_lock();
	sem_post(&begun);
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
	for (int i = 0; i < nvisits; i++) {
		check("a handler's called object", &visits[i].call);
		check("a handler's freed object", &visits[i].free_);
		check("a handler's object without a head", &visits[i].headless);
		check("a handler's freed object without a head", &visits[i].free_headless);
		check("a handler's object for another function", &visits[i].other);
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
		wrong("%s was deferred %d times and invoked %d times", what, o->accepted, o->invoked);
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
	if (bulk_invoked)
		wrong("a filler was handed to its callback under a reader");
	if (op == GP_START && anyrcu_gp_done(cookie))
		wrong("the operation's grace period ended under a reader");
	for (int i = 0; i < nvisits; i++)
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
	long accepted = subject.accepted + late.accepted, bulk = 0;
	struct anyrcu_stats s = { .size = sizeof(s) };

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
		accepted += v->call.accepted + v->free_.accepted + v->headless.accepted + v->free_headless.accepted +
			    v->other.accepted + v->bulk_accepted;
	}
	if (bulk != bulk_invoked)
		wrong("%ld fillers were deferred, %d invoked", bulk, bulk_invoked);
	anyrcu_stats_get(&s);
	if (s.deferred != (uint64_t)accepted || s.invoked != s.deferred || s.pending)
		wrong("%ld were deferred; counted are %lu, invoked %lu, pending %lu", accepted, s.deferred, s.invoked, s.pending);
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
 * Everything comes home: what can be had without mapping more is all that is mapped, but for the first page of each
 * chunk of 2 MiB; and an allocation of the largest order is a mapping of its own.
 */
static void check_pages(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };
	uint64_t bytes = 0, whole = 0;
	void *p;

	for (unsigned order = ANYRCU_PAGE_ORDER_MAX + 1; order--;) {
		while ((p = anyrcu_page_alloc(ANYRCU_GFP_NOWAIT, order))) {
			see_page((uintptr_t)p, 1u << order);
			bytes += (uint64_t)ANYRCU_PAGE_SIZE << order;
			whole += order == ANYRCU_PAGE_ORDER_MAX;
		}
	}
	anyrcu_stats_get(&s);
	if (s.pages_mapped - bytes != ((s.pages_mapped >> 21) - whole) * ANYRCU_PAGE_SIZE)
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
	if (op == CALL || op == FREE)
		subject.accepted = 1;
	if (op == READ_HELD && answer != (nested || online))
		wrong("whether in a section is told wrong");
	nested += op == READ_LOCK && !online;
	nested -= op == READ_UNLOCK && !online;
	if (anyrcu_read_lock_held() != (nested || online))
		wrong("in a section or not, and it should be the other");
	if (alloc && page) {
		for (size_t i = 0; gfp & ANYRCU_GFP_ZERO && i < (size_t)ANYRCU_PAGE_SIZE << (op == PAGE_ALLOC_N ? ORDER_N : 0); i++)
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
	alarm(20);
	check_result(op, state);
	check_early(op);
	give_back();
	check_all_invoked(op);
	if (!state->worker)
		check_pages();
}

/* ---- the states ---- */

/* Defer one more in the way that the operation does. */
static bool defer_like(enum op op)
{
	struct object *o = &former[nformer++];

	switch (op) {
	case CALL:
		anyrcu_call(&o->head, on_head);
		o->accepted = 1;
		break;
	case FREE:
		anyrcu_free(o, head);
		o->accepted = 1;
		break;
	case FREE_HEADLESS:
		o->accepted = anyrcu_free_headless(o);
		break;
	default:
		o->accepted = anyrcu_call_headless(on_arg, o);
	}
	return o->accepted;
}

static void on_stranger(void *o)
{
	on_arg(o);
}

/* And for a function that is nobody else's. */
static bool defer_stranger(void)
{
	struct object *o = &former[nformer++];

	o->accepted = anyrcu_call_headless(on_stranger, o);
	return o->accepted;
}

static uint64_t defer_bytes(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s.defer_bytes;
}

/* How many go into a page, the last that is opened by @defer; found in a process that ends with it. */
static int capacity(enum op op, void (*before)(enum op))
{
	int *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), found;
	pid_t pid = fork();

	if (pid == 0) {
		uint64_t bytes;

		before(op);
		defer_like(op);
		bytes = defer_bytes();
		for (*n = 1; defer_like(op) && defer_bytes() == bytes; ++*n)
			;
		_exit(0);
	}
	syscall(SYS_wait4, pid, NULL, 0, NULL);
	found = *n;
	munmap(n, 4096);
	return found;
}

static void registered(enum op op)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
}

static void open_page(enum op op)
{
	defer_like(op);
}

static void strangers_page(enum op op)
{
	defer_stranger();
}

static void mixed_page(enum op op)
{
	defer_stranger();
	defer_like(op);
}

static void nothing(enum op op)
{
}

static void full_page(enum op op)
{
	for (int n = capacity(op, nothing); n; n--)
		defer_like(op);
}

static void full_mixed_page(enum op op)
{
	int n = capacity(op, strangers_page);

	defer_stranger();
	while (n--)
		defer_like(op);
}

static void exhaust(enum op op)
{
	while (nheld < 8192 && (held[nheld] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		nheld++;
}

static void exhaust_n(enum op op)
{
	while (nheld_n < 64 && (held_n[nheld_n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, ORDER_N)))
		nheld_n++;
}

static void full_and_exhausted(enum op op)
{
	full_page(op);
	exhaust(op);
}

static void strangers_and_exhausted(enum op op)
{
	defer_stranger();
	exhaust(op);
}

static void at_bytes_max(enum op op)
{
	struct anyrcu_config c = { .size = sizeof(c), .page_bytes_max = 65536 };

	anyrcu_init(&c);
	while (defer_stranger())
		;
}

static void flood(int n)
{
	struct anyrcu_config c = { .size = sizeof(c), .pending_max = 1024 };

	anyrcu_init(&c);
	while (n--)
		defer_stranger();
	anyrcu_reclaim(0);
}

static void flood_past_bound(enum op op)
{
	flood(5000);
}

static void flood_in_bound(enum op op)
{
	flood(2000);
}

static void strangers(enum op op)
{
	for (int n = 2000; n; n--)
		defer_stranger();
}

static void flood_begins(enum op op)
{
	struct anyrcu_config c = { .size = sizeof(c), .pending_max = 1024 };
	int n = capacity(op, strangers);

	strangers(op);
	while (n--)
		defer_like(op);
	anyrcu_init(&c);
}

static void null_arg(enum op op)
{
	headless_func = on_null;
	headless_arg = NULL;
}

static void null_arg_mixed(enum op op)
{
	mixed_page(op);
	null_arg(op);
}

static void wide_sections(enum op op)
{
	anyrcu_read_lock();
	anyrcu_read_lock();
	nested = 2;
}

static void in_section(enum op op)
{
	anyrcu_read_lock();
	nested = 1;
}

static void be_online(enum op op)
{
	anyrcu_thread_online();
	online = true;
}

static void *claims_record(void *arg)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
	sem_post(&begun);
	while (!arg)
		pause();
	syscall(SYS_exit, 0); /* behind the back of all that would give its record back */
	return NULL;
}

/* All records of the first block are others'. */
static void claim_all(bool die)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < 62; i++) {
		if (pthread_create(&t, &attr, claims_record, die ? "" : NULL))
			wrong("no thread");
		while (sem_wait(&begun))
			;
	}
	if (die)
		usleep(2000);
}

static void no_record(enum op op)
{
	claim_all(false);
}

static void dead_records(enum op op)
{
	claim_all(true);
}

static void no_memory(enum op op)
{
	struct rlimit none = { 0, RLIM_INFINITY };

	claim_all(false);
	setrlimit(RLIMIT_AS, &none);
}

static void in_crowd(enum op op)
{
	no_memory(op);
	in_section(op);
}

static void in_crowd_twice(enum op op)
{
	no_memory(op);
	wide_sections(op);
}

static void asked(enum op op)
{
	cookie = anyrcu_gp_start();
}

static void done(enum op op)
{
	cookie = anyrcu_gp_start();
	anyrcu_synchronize();
}

static void page_at_hand(enum op op)
{
	page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, op == PAGE_FREE_N ? ORDER_N : 0);
}

static void cpu_list(enum op op)
{
	void *p[4];

	for (int i = 0; i < 4; i++)
		p[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, op == PAGE_ALLOC_N ? ORDER_N : 0);
	for (int i = 0; i < 4; i++)
		anyrcu_page_free(p[i], op == PAGE_ALLOC_N ? ORDER_N : 0);
}

static void cpu_list_dirty(enum op op)
{
	void *p[2];
	unsigned order = op == PAGE_ALLOC_N ? ORDER_N : 0;

	for (int i = 0; i < 2; i++) {
		p[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, order);
		memset(p[i], 0x77, (size_t)ANYRCU_PAGE_SIZE << order);
	}
	for (int i = 0; i < 2; i++)
		anyrcu_page_free(p[i], order);
	gfp |= ANYRCU_GFP_ZERO;
}

static void exhausted(enum op op)
{
	if (op == PAGE_ALLOC_N)
		exhaust_n(op);
	else
		exhaust(op);
}

static void bad_gfp(enum op op)
{
	gfp = 2 * ANYRCU_GFP_NO_LOCKS;
}

static void fill_lists(enum op op, int n)
{
	static void *p[8192];
	unsigned order = op == PAGE_FREE_N ? ORDER_N : 0;

	if (BIT(op) & FREES)
		page_at_hand(op);
	for (int i = 0; i < n; i++)
		p[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, order);
	for (int i = 0; i < n; i++)
		anyrcu_page_free(p[i], order);
}

static void take_spare(enum op op)
{
	spare_order = op == PAGE_FREE_N ? ORDER_N : 0;
	while (nspare < 64)
		spare[nspare++] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, spare_order);
}

static void cpu_list_full(enum op op)
{
	take_spare(op);
	fill_lists(op, op == PAGE_FREE_N ? 4 : 40);
}

static void all_lists_full(enum op op)
{
	take_spare(op);
	fill_lists(op, op == PAGE_FREE_N ? 60 : 4200);
}

/* The reserve has one slot left: who comes while it is filled and not counted yet looks at all of them. */
static void one_slot_left(enum op op)
{
	unsigned order = op == PAGE_FREE_N ? ORDER_N : 0;
	int in_cpu_list = op == PAGE_FREE_N ? 2 : 32;
	void *p[32];

	all_lists_full(op);
	for (int i = 0; i < in_cpu_list; i++)
		p[i] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order);
	if (op == PAGE_FREE_N)
		held_n[nheld_n++] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order);
	else
		held[nheld++] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order);
	for (int i = 0; i < in_cpu_list; i++)
		anyrcu_page_free(p[i], order);
}

static void cpu_list_begun(enum op op)
{
	take_spare(op);
	fill_lists(op, 1);
}

/* The lists are empty, and what is on its way home is all that there is for one that may take the zone's lock. */
static void exhausted_but_lock(enum op op)
{
	fill_lists(op, 4200);
	exhaust(op);
	gfp = ANYRCU_GFP_NOWAIT;
}

static void exhausted_all(enum op op)
{
	gfp = ANYRCU_GFP_NOWAIT;
	for (unsigned order = ANYRCU_PAGE_ORDER_MAX; order--;)
		while ((whole[nwhole] = anyrcu_page_alloc(gfp, order)))
			whole_order[nwhole++] = order;
}

static void no_page(enum op op)
{
	page = NULL;
}

static void small_stats(enum op op)
{
	seen_size = offsetof(struct anyrcu_stats, invoked);
	mixed_page(op);
}

static void five_bytes(enum op op)
{
	seen_size = 5;
}

static void three_bytes(enum op op)
{
	seen_size = 3;
}

static void no_bytes(enum op op)
{
	seen_size = 0;
}

/* ---- with a worker ---- */

/* Threads beside this one and the other that sleep, and for how long they have, in looks. */
static void wait_asleep(void)
{
	pid_t me = getpid();

	for (int still = 0; still < 8;) {
		DIR *d = opendir("/proc/self/task");
		struct dirent *e;

		still++;
		while ((e = readdir(d))) {
			pid_t tid = atoi(e->d_name);
			char path[64], text[256] = "", *p;
			FILE *f;

			snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
			if (tid == 0 || tid == me || !(f = fopen(path, "r")))
				continue;
			if (!fgets(text, sizeof(text), f))
				text[0] = '\0';
			fclose(f);
			p = strrchr(text, ')');
			if (!p || p[2] != 'S')
				still = 0;
			if (strstr(text, "(anyrcu)"))
				scene->worker = tid;
		}
		closedir(d);
		usleep(400);
	}
	if (!scene->worker)
		wrong("there is no worker");
}

static void worker_start(uint64_t delay_us)
{
	struct anyrcu_config c = { .size = sizeof(c), .workers = 1, .delay_us = delay_us };

	unsetenv("ANYRCU_WORKERS");
	if (anyrcu_init(&c))
		wrong("no worker");
	wait_asleep();
}

static void worker_deep(enum op op)
{
	if (BIT(op) & FREES)
		page_at_hand(op);
	worker_start(1);
}

/* It waits for the open pages to become due, which they do not. */
static void worker_ticks(enum op op)
{
	worker_start(10000000);
	defer_stranger();
	wait_asleep();
}

/* And the next page that is full calls for it. */
static void worker_ticks_sealed(enum op op)
{
	int n = 0;

	worker_ticks(op);
	for (uint64_t bytes = defer_bytes(); bytes <= 31 * 4096; bytes = n % 100 ? bytes : defer_bytes(), n++)
		defer_stranger();
	while (defer_bytes() <= 32 * 4096 - 4096)
		defer_stranger();
	for (int left = capacity(op, nothing) - 1; left; left--)
		defer_stranger();
	wait_asleep();
}

#define ALL ((1u << OPS) - 1)
#define LOCKS (BIT(READ_LOCK) | BIT(READ_HELD))
#define UNLOCK BIT(READ_UNLOCK)

const struct state states[] = {
	{ "nothing was used yet", ALL & ~(UNLOCK | BIT(GP_DONE) | FREES), .prepare = NULL },
	{ "the thread is registered", LOCKS | BIT(GP_START) | BIT(STATS_GET), .prepare = registered },
	{ "a page with room", DEFERS, .prepare = open_page },
	{ "a page of another function", DEFERS, .prepare = strangers_page },
	{ "that, and a mixed page", DEFERS | BIT(STATS_GET), .prepare = mixed_page },
	{ "a full page", DEFERS, .prepare = full_page },
	{ "a full mixed page", DEFERS, .prepare = full_mixed_page },
	{ "no page to be had", DEFERS, .prepare = exhaust },
	{ "a full page, no other to be had", DEFERS, .prepare = full_and_exhausted },
	{ "a page of another function, no other to be had", DEFERS, .prepare = strangers_and_exhausted },
	{ "pages take all that they may", DEFERS, .prepare = at_bytes_max },
	{ "a flood past the bound", HEADLESS, .prepare = flood_past_bound },
	{ "a flood", HEADLESS, .prepare = flood_in_bound },
	{ "a full page, and as many wait as makes a flood", DEFERS, .prepare = flood_begins },
	{ "a NULL argument", HEADLESS, .prepare = null_arg },
	{ "a NULL argument, and a mixed page", HEADLESS, .prepare = null_arg_mixed },
	{ "in a section", LOCKS | UNLOCK | DEFERS | BIT(STATS_GET), .prepare = in_section },
	{ "in two sections", UNLOCK, .prepare = wide_sections },
	{ "online", LOCKS | UNLOCK | BIT(STATS_GET), .prepare = be_online },
	{ "no record is free", BIT(READ_LOCK), .arrange = no_record },
	{ "records are of the dead", BIT(READ_LOCK), .arrange = dead_records },
	{ "no record is free, and no memory", LOCKS, .arrange = no_memory },
	{ "a section without a record", LOCKS | UNLOCK, .arrange = in_crowd },
	{ "two sections without a record", UNLOCK, .arrange = in_crowd_twice },
	{ "a grace period was asked for", BIT(GP_START) | BIT(GP_DONE), .prepare = asked },
	{ "a grace period is over", BIT(GP_START) | BIT(GP_DONE), .prepare = done },
	{ "pages in the CPU's list", ALLOCS, .prepare = cpu_list },
	{ "used pages in the CPU's list", ALLOCS, .prepare = cpu_list_dirty },
	{ "no page left", ALLOCS, .prepare = exhausted },
	{ "no such mode", ALLOCS, .prepare = bad_gfp },
	{ "a page", FREES, .prepare = page_at_hand },
	{ "the CPU's list is full", FREES, .prepare = cpu_list_full },
	{ "all lists are full", FREES, .prepare = all_lists_full },
	{ "one slot is left", FREES, .prepare = one_slot_left },
	{ "a page in the CPU's list", FREES, .prepare = cpu_list_begun },
	{ "no page left without a lock", BIT(PAGE_ALLOC_0), .prepare = exhausted_but_lock },
	{ "no page left with a lock either", BIT(PAGE_ALLOC_0), .prepare = exhausted_all },
	{ "NULL", FREES, .prepare = no_page },
	{ "a small struct", BIT(STATS_GET), .prepare = small_stats },
	{ "a struct of five bytes", BIT(STATS_GET), .prepare = five_bytes },
	{ "a struct of three bytes", BIT(STATS_GET), .prepare = three_bytes },
	{ "a struct of no bytes", BIT(STATS_GET), .prepare = no_bytes },
	{ "the worker sleeps", BIT(CALL) | BIT(GP_START) | FREES, .arrange = worker_deep, .worker = true },
	{ "the worker waits", BIT(GP_START), .arrange = worker_ticks, .worker = true },
	{ "the worker waits, and a page is full", BIT(CALL_HEADLESS), .arrange = worker_ticks_sealed, .worker = true },
};
const int nstates = sizeof(states) / sizeof(states[0]);

void scene_init(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	cpu_set_t set, one;

	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	/* One CPU, so that what one has prepared another finds; which one matters only for the time. */
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

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	sem_init(&gone, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, sizeof(stack));
	if (pthread_create(&t, &attr, other, NULL))
		wrong("no thread");
	while (sem_wait(&begun))
		;
	if (state->arrange)
		state->arrange(op);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	if (getppid() != tracer)
		_exit(0); /* it is no more, and whoever traces this process in its place does not know of it */
	scene->stage = READY;
	__asm__ volatile("int3" ::: "memory");
	errno = 815;
	op_run[op]();
	after = errno;
	scene->stage = DONE;
	__asm__ volatile("int3" ::: "memory");
	if (after != 815)
		wrong("errno was 815 and is %d", after);
	check(op, state);
	_exit(0);
}
