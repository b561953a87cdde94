// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Object caches in the process that is interrupted: see interrupt_scene.c. */
#include "interrupt.h"
#include <anyrcu/anyrcu.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 8
#define VISITS 80

static struct anyrcu_cache *cache, *hoard;
static uint64_t *subject; /* the operation's object */
static uint64_t *taken[60000]; /* allocated to bring the state about */
static int ntaken;
static uint64_t *kept[VISITS]; /* by handlers */
static volatile int nkept;
static unsigned mode;

static void mark(uint64_t *p, uint64_t tag)
{
	for (int i = 0; i < WORDS; i++)
		p[i] = tag + i;
}

static const char *marked(const uint64_t *p, uint64_t tag)
{
	for (int i = 0; i < WORDS; i++)
		if (p[i] != tag + i)
			return "an object of a cache was written to by another";
	return NULL;
}

/* ---- the operations ---- */

void op_cache_alloc(void)
{
	subject = anyrcu_cache_alloc(cache, mode);
}

void op_cache_free(void)
{
	anyrcu_cache_free(cache, subject);
}

void op_cache_defer(void)
{
	anyrcu_cache_free_deferred(cache, subject);
}

/* What a handler does; with @fills, so much that pages are filled and emptied. */
const char *cache_visit(bool fills)
{
	uint64_t *p, *q;
	int n = nkept++;

	if (!cache)
		return NULL;
	if (n >= VISITS)
		return "more handlers than there is room for";
	p = kept[n] = anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS);
	if (p)
		mark(p, (uint64_t)n << 32);
	q = anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS);
	if (q && q == p)
		return "an object was handed out twice";
	if (q)
		mark(q, 77);
	anyrcu_cache_free(cache, q);
	for (int i = fills ? 520 : 1; i--;) {
		q = anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS);
		if (q)
			mark(q, 78);
		anyrcu_cache_free_deferred(cache, q);
	}
	for (int i = fills ? 520 : 1; i-- && ntaken;)
		anyrcu_cache_free(cache, taken[--ntaken]);
	return NULL;
}

/*
 * Under the reader: what the operation has deferred is nobody's, and what it has allocated is
 * nobody else's.
 */
const char *cache_check_early(enum op op)
{
	const char *why = NULL;

	if (!cache)
		return NULL;
	for (int i = 0; i < nkept && !why; i++) {
		if (kept[i] && kept[i] == subject && op != CACHE_FREE)
			return op == CACHE_ALLOC ?
				       "an object was handed out twice" :
				       "a deferred object was handed out under a reader";
		why = kept[i] ? marked(kept[i], (uint64_t)i << 32) : NULL;
	}
	if (op == CACHE_DEFER && subject && !why)
		why = marked(subject, 1) ? "a deferred object was written to under a reader" : NULL;
	if (op == CACHE_ALLOC && subject)
		mark(subject, 2);
	return why;
}

/* Each object is found, once. */
const char *cache_check(enum op op)
{
	if (!cache)
		return NULL;
	if (op == CACHE_ALLOC)
		anyrcu_cache_free_deferred(cache, subject);
	for (int i = 0; i < nkept; i++)
		anyrcu_cache_free(cache, kept[i]);
	while (ntaken)
		anyrcu_cache_free_deferred(cache, taken[--ntaken]);
	if (anyrcu_cache_destroy(cache))
		return "objects of a cache were lost";
	return NULL;
}

/* ---- the states ---- */

static void take(int n)
{
	while (n-- && (taken[ntaken] = anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL)))
		ntaken++;
}

static void give(int n, bool deferred)
{
	while (n-- && ntaken) {
		if (deferred)
			anyrcu_cache_free_deferred(cache, taken[--ntaken]);
		else
			anyrcu_cache_free(cache, taken[--ntaken]);
	}
}

static void make(enum op op)
{
	struct anyrcu_cache_config c = { .size = sizeof(c),
					 .name = "interrupted",
					 .object_size = WORDS * sizeof(uint64_t) };

	cache = anyrcu_cache_create(&c);
	mode = ANYRCU_GFP_NO_LOCKS;
}

static void have_subject(enum op op)
{
	if (op == CACHE_ALLOC)
		return;
	subject = anyrcu_cache_alloc(cache, ANYRCU_GFP_KERNEL);
	mark(subject, 1);
}

/* Nothing in it; or a magazine and no open page; or both, with a few objects. */
static void cache_new(enum op op)
{
	make(op);
	have_subject(op);
}

static void cache_used(enum op op)
{
	cache_new(op);
	take(8);
	give(3, true);
	give(3, false);
}

/* While nothing is deferred: what is free is in the magazine, and is taken. */
static void empty_magazine(enum op op, int n)
{
	struct anyrcu_cache_stats s = { .size = sizeof(s) };

	cache_new(op);
	take(n);
	anyrcu_cache_stats_get(cache, &s);
	take((int)s.free);
}

static void cache_empty(enum op op)
{
	empty_magazine(op, 8);
}

static void cache_full_magazine(enum op op)
{
	empty_magazine(op, 3000);
	give(503, false);
}

static void cache_full_open(enum op op)
{
	empty_magazine(op, 3000);
	give(503, true);
}

/* The page behind the empty magazine has matured, or not. */
static void cache_behind(enum op op)
{
	empty_magazine(op, 3000);
	give(2 * 503 + 10, true);
}

static void cache_matured(enum op op)
{
	cache_behind(op);
	anyrcu_synchronize();
}

/* Many wait, and the open page is full. */
static void cache_many(enum op op)
{
	cache_new(op);
	take(30000);
	give(33 * 503, true);
}

static void cache_many_matured(enum op op)
{
	cache_new(op);
	take(6000);
	give(4 * 503, true);
	anyrcu_synchronize();
	give(503, true);
}

/*
 * Nothing is left of the memory that may be used without a lock, for objects; nor for pages of
 * pointers.
 */
static void eat_units(void)
{
	struct anyrcu_cache_config c = { .size = sizeof(c),
					 .name = "hoard",
					 .object_size = ANYRCU_CACHE_OBJECT_MAX };

	hoard = anyrcu_cache_create(&c);
	while (anyrcu_cache_alloc(hoard, ANYRCU_GFP_NO_LOCKS))
		;
}

static void cache_no_memory(enum op op)
{
	cache_empty(op);
	eat_units();
	while ((taken[ntaken] = anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS)))
		ntaken++;
}

/* How many can be given until the chain is needed; found in a process that ends with it. */
static int until_chained(bool deferred)
{
	int *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), found,
	    status;
	struct anyrcu_cache_stats s = { .size = sizeof(s) };
	pid_t pid = fork();

	if (pid == 0) {
		for (; !s.deferred_chain; ++*n) {
			give(1, deferred);
			anyrcu_cache_stats_get(cache, &s);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	found = *n;
	munmap(n, 4096);
	return found;
}

/* The magazine is empty, or full for an object that is freed, as is the open page. */
static void cache_no_pages(enum op op)
{
	bool deferred = op != CACHE_FREE;

	empty_magazine(op, 40503); /* which leaves a slab begun */
	eat_units();
	give(until_chained(deferred) - 1, deferred);
}

static void cache_bad_mode(enum op op)
{
	cache_used(op);
	mode = 77;
}

static void cache_zero(enum op op)
{
	cache_used(op);
	mode = ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO;
}

static void cache_null(enum op op)
{
	cache_used(op);
	anyrcu_cache_free(cache, subject);
	subject = NULL;
}

#define BACK (BIT(CACHE_FREE) | BIT(CACHE_DEFER))
#define ALL (BACK | BIT(CACHE_ALLOC))

const struct state cache_states[] = {
	{ "a new cache", ALL, .prepare = cache_new },
	{ "a cache in use", ALL, .prepare = cache_used },
	{ "an empty magazine", BIT(CACHE_ALLOC), .prepare = cache_empty },
	{ "a full magazine", BIT(CACHE_FREE), .prepare = cache_full_magazine },
	{ "a full open page", ALL, .prepare = cache_full_open },
	{ "sealed pages", ALL, .prepare = cache_behind },
	{ "a matured page", ALL, .prepare = cache_matured },
	{ "many sealed pages", BIT(CACHE_DEFER), .prepare = cache_many },
	{ "many matured pages", BIT(CACHE_DEFER), .prepare = cache_many_matured },
	{ "no memory for objects", BIT(CACHE_ALLOC), .prepare = cache_no_memory },
	{ "no memory for pages of a cache", ALL, .prepare = cache_no_pages },
	{ "no such mode for a cache", BIT(CACHE_ALLOC), .prepare = cache_bad_mode },
	{ "a cache, and zeroes", BIT(CACHE_ALLOC), .prepare = cache_zero },
	{ "NULL for a cache", BACK, .prepare = cache_null },
};
const int ncache_states = sizeof(cache_states) / sizeof(cache_states[0]);
