// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The states in which calls for any context find the library, and what brings them about. See
 * interrupt_scene.c.
 */
#define _GNU_SOURCE
#include "interrupt_scene.h"
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Defer one more in the way that the operation does. */
bool defer_like(enum op op)
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
	case CALL_SIZED:
		anyrcu_call_sized(&o->head, on_head, sized_bytes);
		o->accepted = 1;
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
bool defer_stranger(void)
{
	struct object *o = &former[nformer++];

	o->accepted = anyrcu_call_headless(on_stranger, o);
	return o->accepted;
}

bool defer_task(void)
{
	struct object *o = &former[nformer++];

	o->accepted = anyrcu_free_task_headless(o);
	return o->accepted;
}

/* What handlers fill pages with: theirs go into the page that this opens, and fill it. */
void open_filled_page(enum op op)
{
	struct visit *v = &visits[nvisits++];

	for (int i = 0; i < 3; i++)
		v->bulk_accepted += anyrcu_call_headless(on_bulk, &bulk_invoked);
}

static uint64_t defer_bytes(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s.defer_bytes;
}

/*
 * How many go into a page, the last that is opened by @defer; found in a process that ends with it.
 */
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

void registered(enum op op)
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

void exhaust(enum op op)
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

void at_bytes_max(enum op op)
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

void flood_past_bound(enum op op)
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

/* A copy is the child of a fork, which counts bytes once somebody has taken the lock. */
static void count_bytes(enum op op)
{
	anyrcu_reclaim(0);
}

/* Half of the bound, all of it, and what the chain has to shift. */
static void half_of_bytes(enum op op)
{
	sized_bytes = 40 << 20;
}

static void past_bytes(enum op op)
{
	sized_bytes = 70 << 20;
}

static void large_and_exhausted(enum op op)
{
	sized_bytes = 1234567;
	exhaust(op);
}

static void count_bytes_and_exhaust(enum op op)
{
	count_bytes(op);
	exhaust(op);
}

static void in_section_exhausted(enum op op)
{
	exhaust(op);
	anyrcu_read_lock();
	nested = 1;
}

static void online_exhausted(enum op op)
{
	exhaust(op);
	anyrcu_thread_online();
	online = true;
}

static void sized_page(enum op op)
{
	defer_like(CALL_SIZED);
}

static void full_sized_page(enum op op)
{
	full_page(CALL_SIZED);
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

void be_online(enum op op)
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

void asked(enum op op)
{
	cookie = anyrcu_gp_start();
}

void done(enum op op)
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

/*
 * The reserve has one slot left: who comes while it is filled and not counted yet looks at all of
 * them.
 */
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

/*
 * The lists are empty, and what is on its way home is all that there is for one that may take the
 * zone's lock.
 */
static void exhausted_but_lock(enum op op)
{
	fill_lists(op, 4200);
	exhaust(op);
	gfp = ANYRCU_GFP_NOWAIT;
}

void exhausted_all(enum op op)
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

static void is_worker(pid_t tid)
{
	int i = 0;

	while (scene->worker[i] && scene->worker[i] != tid)
		if (++i == WORKERS_MAX)
			wrong("more workers than there is room for");
	scene->worker[i] = tid;
}

/* Threads beside this one and the other that sleep, and for how long they have, in looks. */
void wait_asleep(void)
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
				is_worker(tid);
		}
		closedir(d);
		usleep(400);
	}
	if (!scene->worker[0])
		wrong("there is no worker");
}

struct anyrcu_domain *domain_new(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_synchronize };

	return anyrcu_domain_create(&source, NULL);
}

static void make_domain(enum op op)
{
	domain = domain_new();
	if (!domain)
		wrong("no domain");
	wait_asleep();
}

void worker_start(uint64_t delay_us)
{
	struct anyrcu_config c = { .size = sizeof(c), .workers = 1, .delay_us = delay_us };

	unsetenv("ANYRCU_WORKERS");
	if (anyrcu_init(&c))
		wrong("no worker");
	wait_asleep();
}

void worker_deep(enum op op)
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
	for (uint64_t bytes = defer_bytes(); bytes <= 31 * 4096;
	     bytes = n % 100 ? bytes : defer_bytes(), n++)
		defer_stranger();
	while (defer_bytes() <= 32 * 4096 - 4096)
		defer_stranger();
	for (int left = capacity(op, nothing) - 1; left; left--)
		defer_stranger();
	wait_asleep();
}

#define ALL (BIT(DOMAIN_CALL) - 1)
#define LOCKS (BIT(READ_LOCK) | BIT(READ_HELD))
#define UNLOCK BIT(READ_UNLOCK)

const struct state states[] = {
	{ "a domain", BIT(DOMAIN_CALL), .arrange = make_domain, .worker = true },
	{ "nothing was used yet", ALL & ~(UNLOCK | BIT(GP_DONE) | FREES), .prepare = NULL },
	{ "the thread is registered", LOCKS | BIT(GP_START) | BIT(STATS_GET),
	  .prepare = registered },
	{ "a page with room", DEFERS, .prepare = open_page },
	{ "a page of another function", DEFERS, .prepare = strangers_page },
	{ "that, and a mixed page", DEFERS | BIT(STATS_GET), .prepare = mixed_page },
	{ "a full page", DEFERS, .prepare = full_page },
	{ "a full mixed page", DEFERS, .prepare = full_mixed_page },
	{ "no page to be had", DEFERS, .prepare = exhaust },
	{ "a full page, no other to be had", DEFERS, .prepare = full_and_exhausted },
	{ "a page of another function, no other to be had", DEFERS,
	  .prepare = strangers_and_exhausted },
	{ "pages take all that they may", DEFERS, .prepare = at_bytes_max },
	{ "a flood past the bound", HEADLESS, .prepare = flood_past_bound },
	{ "a flood", HEADLESS, .prepare = flood_in_bound },
	{ "a full page, and as many wait as makes a flood", DEFERS, .prepare = flood_begins },
	{ "half of the bytes that may be pending", BIT(CALL_SIZED), .prepare = half_of_bytes,
	  .arrange = count_bytes },
	{ "more bytes than may be pending", BIT(CALL_SIZED), .prepare = past_bytes,
	  .arrange = count_bytes },
	{ "a large object, and no page to be had", BIT(CALL_SIZED),
	  .prepare = large_and_exhausted },
	{ "half of the bytes, and no page to be had", BIT(CALL_SIZED), .prepare = half_of_bytes,
	  .arrange = count_bytes_and_exhaust },
	{ "more bytes, and no page to be had", BIT(CALL_SIZED), .prepare = past_bytes,
	  .arrange = count_bytes_and_exhaust },
	{ "in a section, and no page to be had", BIT(CALL_SIZED), .prepare = in_section_exhausted },
	{ "online, and no page to be had", BIT(CALL_SIZED), .prepare = online_exhausted },
	{ "a page with sizes", BIT(STATS_GET), .prepare = sized_page },
	{ "a full page with sizes", BIT(STATS_GET), .prepare = full_sized_page },
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
	{ "the worker sleeps", BIT(CALL) | BIT(GP_START) | FREES, .arrange = worker_deep,
	  .worker = true },
	{ "the worker waits", BIT(GP_START), .arrange = worker_ticks, .worker = true },
	{ "the worker waits, and a page is full", BIT(CALL_HEADLESS),
	  .arrange = worker_ticks_sealed, .worker = true },
};
const int nstates = sizeof(states) / sizeof(states[0]);
