/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/cache.h>: object caches. */
#include "test.h"

#define GFP(i) ((unsigned)(i) % 3)

static struct anyrcu_cache *cache_of(size_t size, size_t align, size_t bytes_max)
{
	struct anyrcu_cache_config c = { .size = sizeof(c),
					 .name = "tested",
					 .object_size = size,
					 .align = align,
					 .bytes_max = bytes_max };
	struct anyrcu_cache *cache = anyrcu_cache_create(&c);

	CHECK(cache);
	return cache;
}

static struct anyrcu_cache_stats stats_of(struct anyrcu_cache *c)
{
	struct anyrcu_cache_stats s = { .size = sizeof(s) };

	anyrcu_cache_stats_get(c, &s);
	return s;
}

/* No object is another's memory, at any size, and all is where the configuration says. */
static void distinct(void)
{
	static const struct {
		size_t size, align;
	} kinds[] = {
		{ 1, 0 },   { 8, 8 },	   { 24, 1 },	   { 64, 64 },	 { 100, 32 },
		{ 503, 0 }, { 1000, 128 }, { 4096, 4096 }, { 16384, 0 },
	};

	for (size_t k = 0; k < COUNT(kinds); k++) {
		enum { N = 3000 };
		static unsigned char *p[N];
		struct anyrcu_cache *c = cache_of(kinds[k].size, kinds[k].align, 0);

		for (int round = 0; round < 3; round++) {
			size_t n = 0;

			for (; n < N; n++) {
				p[n] = anyrcu_cache_alloc(c, GFP(n));
				if (!p[n])
					p[n] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);
				CHECK(p[n] &&
				      (uintptr_t)p[n] % (kinds[k].align ? kinds[k].align : 16) ==
					      0);
				memset(p[n], (int)(n % 251), kinds[k].size);
			}
			CHECK(stats_of(c).objects == N);
			for (size_t i = 0; i < n; i++) {
				CHECK(p[i][0] == i % 251 && p[i][kinds[k].size - 1] == i % 251);
				if ((i + round) % 2)
					anyrcu_cache_free(c, p[i]);
				else
					anyrcu_cache_free_deferred(c, p[i]);
			}
			CHECK(stats_of(c).objects == 0);
		}
		CHECK(anyrcu_cache_destroy(c) == 0);
	}
}

static void zeroes(void)
{
	struct anyrcu_cache *c = cache_of(100, 0, 0);

	for (int i = 0; i < 10000; i++) {
		unsigned char *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO);

		for (int j = 0; j < 100; j++)
			CHECK(p[j] == 0);
		memset(p, 255, 100);
		anyrcu_cache_free(c, p);
	}
	CHECK(anyrcu_cache_destroy(c) == 0);
}

static _Atomic int constructed;

static void construct(void *object)
{
	*(uint64_t *)object = 42;
	atomic_fetch_add(&constructed, 1);
}

static void constructor_once(void)
{
	struct anyrcu_cache_config config = {
		.size = sizeof(config), .name = "made", .object_size = 48, .constructor = construct
	};
	struct anyrcu_cache *c = anyrcu_cache_create(&config);

	for (int i = 0; i < 100000; i++) {
		uint64_t *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

		CHECK(*p == 42);
		anyrcu_cache_free_deferred(c, p);
	}
	CHECK(constructed > 0 && constructed < 20000);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

/* Stay on this CPU: what its pages hold is missed on another one, which has slabs of its own. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	CHECK(sched_setaffinity(0, sizeof(here), &here) == 0);
}

/*
 * While a reader is in its section, nothing that was deferred is allocated again or written;
 * afterwards it is.
 */
static void reader_holds(void)
{
	enum { N = 5000 };
	static uint64_t *held[N], *other[3 * N];
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	struct holder h;
	uint64_t bytes;

	stay_here();
	for (size_t i = 0; i < N; i++) {
		held[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);
		for (int j = 0; j < 8; j++)
			held[i][j] = i;
	}
	holder_enter(&h);
	for (size_t i = 0; i < N; i++)
		anyrcu_cache_free_deferred(c, held[i]);
	for (size_t i = 0; i < COUNT(other); i++) {
		other[i] = anyrcu_cache_alloc(c, i % 2 ? ANYRCU_GFP_KERNEL : ANYRCU_GFP_NO_LOCKS);
		if (other[i])
			memset(other[i], 255, 64);
	}
	for (size_t i = 0; i < N; i++)
		for (int j = 0; j < 8; j++)
			CHECK(held[i][j] == i);
	holder_leave(&h);
	for (size_t i = 0; i < COUNT(other); i++)
		anyrcu_cache_free_deferred(c, other[i]);
	bytes = stats_of(c).bytes;
	for (int i = 0; i < 100000; i++)
		anyrcu_cache_free_deferred(c, anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	/*
	 * An allocation drives a grace period and does not wait for it: if another thread drives it
	 * and was stopped, it takes from a new slab. Without reuse there would be 98 of them.
	 */
	CHECK(stats_of(c).bytes <= bytes + 8 * 65536);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

/* One thread that allocates and defers keeps a few magazines, however long. */
static void steady(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);

	for (int i = 0; i < SCALED(2000000); i++) {
		uint64_t *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

		*p = i;
		anyrcu_cache_free_deferred(c, p);
	}
	CHECK(stats_of(c).bytes <= 64 * 503 * 20 && stats_of(c).objects == 0);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

/* Readers, writers that replace what readers see, and handlers in both, which do the same. */
#define SHARED 64
struct published {
	_Atomic uint64_t stamp, copy;
	uint64_t fill[6];
};
static struct published *_Atomic shared[SHARED];
static struct anyrcu_cache *common;
static _Atomic int stop, broken, in_handlers;
static _Atomic uint64_t stamps = 1;
static long tick_us = 100, rounds = 20;

static void look(unsigned at)
{
	struct published *p;

	anyrcu_read_lock();
	p = anyrcu_dereference(shared[at % SHARED]);
	if (p) {
		uint64_t stamp = atomic_load_explicit(&p->stamp, memory_order_relaxed);

		for (int i = 0; i < 20; i++)
			if (atomic_load_explicit(&p->copy, memory_order_relaxed) != stamp)
				atomic_store(&broken, 1);
	}
	anyrcu_read_unlock();
}

static void swap(unsigned at, unsigned gfp)
{
	struct published *p = anyrcu_cache_alloc(common, gfp), *old;
	uint64_t stamp = atomic_fetch_add(&stamps, 1);

	if (!p)
		return;
	atomic_store_explicit(&p->copy, stamp, memory_order_relaxed);
	atomic_store_explicit(&p->stamp, stamp, memory_order_relaxed);
	if (at % 7 == 0) { /* nobody has seen it */
		anyrcu_cache_free(common, p);
		return;
	}
	old = atomic_exchange(&shared[at % SHARED], p);
	anyrcu_cache_free_deferred(common, old);
}

static void swap_in_handler(int sig)
{
	static _Atomic unsigned at;
	unsigned n = atomic_fetch_add(&at, 1);

	(void)sig;
	if (atomic_load(&stop))
		return;
	look(n);
	for (unsigned i = 0; i < 20; i++)
		swap(n + i, ANYRCU_GFP_NO_LOCKS);
	atomic_fetch_add(&in_handlers, 1);
}

static void *swaps(void *arg)
{
	unsigned at = (uintptr_t)arg;
	timer_t timer = ticks_start(SIGRTMIN, tick_us);

	while (!atomic_load(&stop)) {
		at = at * 1664525 + 1013904223;
		if (at >> 16 & 1)
			look(at >> 20);
		else
			swap(at >> 20, at >> 18 & 1 ? ANYRCU_GFP_KERNEL : ANYRCU_GFP_NO_LOCKS);
	}
	timer_delete(timer);
	return NULL;
}

static void all_back(void)
{
	for (size_t i = 0; i < SHARED; i++)
		anyrcu_cache_free_deferred(common, atomic_exchange(&shared[i], NULL));
	CHECK(!atomic_load(&broken));
	/* Each object is found, once. */
	CHECK(anyrcu_cache_destroy(common) == 0);
}

static void threads_and_handlers(void)
{
	pthread_t t[4];

	common = cache_of(sizeof(struct published), 0, 0);
	handle(SIGRTMIN, swap_in_handler, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(swaps, (void *)(i + 1));
	UNTIL(atomic_load(&in_handlers) > SCALED(500 * rounds));
	for (int i = 0; i < rounds; i++)
		anyrcu_cache_shrink(common);
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	all_back();
}

/* In debug mode a handler takes many times as long, and threads are to get on, too. */
static void threads_and_handlers_in_debug(void)
{
	tick_us = 1000;
	rounds = 2;
	threads_and_handlers();
}

/*
 * A slab that is used up, and all of whose objects are free, goes back or stays whole, although
 * another thread makes a new slab meanwhile.
 */
#define SLAB_OBJECTS_MAX 8192
static _Atomic unsigned shrinks, shrunk;

static void *makes_new_slab(void *arg)
{
	for (unsigned round = 1; round <= SCALED(2000); round++) {
		void *p;

		while (atomic_load(&shrinks) != round)
			sched_yield();
		for (volatile unsigned i = round * 2654435761u % 20000; i; i--)
			;
		p = anyrcu_cache_alloc(common, ANYRCU_GFP_KERNEL);
		CHECK(p);
		anyrcu_cache_free(common, p);
		atomic_store(&shrunk, round);
	}
	return arg;
}

/* All objects of the first slab of a new cache, which are @most at most; returns how many. */
static unsigned fill_slab(void **object, unsigned most)
{
	size_t bytes = 0;
	unsigned n = 0;

	common = cache_of(16, 0, 0);
	while (n < most) {
		object[n] = anyrcu_cache_alloc(common, ANYRCU_GFP_KERNEL);
		CHECK(object[n]);
		if (bytes && stats_of(common).bytes > bytes) {
			anyrcu_cache_free(common, object[n]);
			break;
		}
		bytes = stats_of(common).bytes;
		n++;
	}
	return n;
}

static void shrunk_beside_new_slab(void)
{
	static void *object[SLAB_OBJECTS_MAX];
	pthread_t t = thread_start(makes_new_slab, NULL);
	unsigned n;

	stay_here();
	n = fill_slab(object, SLAB_OBJECTS_MAX);
	CHECK(n > 100 && n < SLAB_OBJECTS_MAX);
	for (unsigned round = 1; round <= SCALED(2000); round++) {
		for (unsigned i = 0; i < n; i++)
			anyrcu_cache_free(common, object[i]);
		atomic_store(&shrinks, round);
		anyrcu_cache_shrink(common);
		UNTIL(atomic_load(&shrunk) == round);
		CHECK(anyrcu_cache_destroy(common) == 0);
		CHECK(fill_slab(object, n) == n);
	}
	for (unsigned i = 0; i < n; i++)
		anyrcu_cache_free(common, object[i]);
	CHECK(anyrcu_cache_destroy(common) == 0);
	thread_join(t);
}

/* Objects go from threads that allocate to one that frees. */
static void *consumes(void *arg)
{
	(void)arg;
	for (unsigned at = 0; !atomic_load(&stop); at++) {
		struct published *p = atomic_exchange(&shared[at % SHARED], NULL);

		if (p && at % 3)
			anyrcu_cache_free_deferred(common, p);
		else
			anyrcu_cache_free(common, p);
	}
	return NULL;
}

static void produced_and_consumed(void)
{
	pthread_t t;

	common = cache_of(sizeof(struct published), 0, 0);
	t = thread_start(consumes, NULL);
	for (uint64_t n = 0, i = 0; n < SCALED(1000000); i++) {
		struct published *p, *none = NULL;

		if (atomic_load_explicit(&shared[i % SHARED], memory_order_relaxed)) {
			if (i % SHARED == 0)
				sched_yield();
			continue;
		}
		p = anyrcu_cache_alloc(common, ANYRCU_GFP_KERNEL);
		CHECK(p);
		if (!atomic_compare_exchange_strong(&shared[i % SHARED], &none, p))
			anyrcu_cache_free(common, p);
		n++;
	}
	atomic_store(&stop, true);
	thread_join(t);
	CHECK(stats_of(common).bytes <= 8 << 20);
	all_back();
}

/* The bound holds; what waits for a grace period is waited for by a task. */
static void bound(void)
{
	enum { MAX = 256 << 10 };
	static void *p[MAX / 64];
	struct anyrcu_cache *c = cache_of(64, 0, MAX);
	size_t n = 0;

	while (n < COUNT(p) &&
	       (p[n] = anyrcu_cache_alloc(c, n % 2 ? ANYRCU_GFP_KERNEL : ANYRCU_GFP_NO_LOCKS)))
		n++;
	CHECK(n > MAX / 64 / 2 && n < COUNT(p) && stats_of(c).bytes <= MAX && stats_of(c).failed);
	for (size_t i = 0; i < n; i++)
		anyrcu_cache_free_deferred(c, p[i]);
	for (size_t i = 0; i < n; i++)
		CHECK(p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	for (size_t i = 0; i < n; i++)
		anyrcu_cache_free(c, p[i]);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

#if !ASAN && !TSAN /* which need memory where the program has none */
/* Free @small's objects where the system has no memory for pages of pointers. Returns how many. */
static size_t fill_chain(struct anyrcu_cache *small)
{
	enum { N = 200000 };
	static void *p[N];
	struct rlimit none = { 0, RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };
	size_t n = 0;

	CHECK(!setrlimit(RLIMIT_DATA, &none));
	while (n < N && (p[n] = anyrcu_cache_alloc(small, ANYRCU_GFP_NO_LOCKS)))
		n++;
	CHECK(n > 100 && n < N);
	for (size_t i = 0; i < n; i++) {
		if (i % 5)
			anyrcu_cache_free_deferred(small, p[i]);
		else
			anyrcu_cache_free(small, p[i]);
	}
	CHECK(stats_of(small).deferred_chain > 0 && stats_of(small).objects == 0);
	CHECK(!setrlimit(RLIMIT_DATA, &all));
	return n;
}

/* Then deferring goes on, and nothing is lost. */
static void no_pages(void)
{
	struct anyrcu_cache *small = cache_of(16, 0, 0);

	fill_chain(small);
	UNTIL(anyrcu_cache_shrink(small) || stats_of(small).bytes == 0);
	CHECK(anyrcu_cache_destroy(small) == 0);
}

/*
 * A program without workers gets its objects back by anyrcu_reclaim(), when the poll says so. It
 * stays on one CPU: objects in the pages of another one are made up for by new slabs.
 */
static void chain_reclaimed(void)
{
	struct anyrcu_cache *small = cache_of(16, 0, 0);
	uint64_t bytes;
	size_t n;

	stay_here();
	n = fill_chain(small);
	bytes = stats_of(small).bytes;
	anyrcu_reclaim(0);
	anyrcu_synchronize(); /* ends the grace period that the chain waits for */
	UNTIL(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_NOTHING ||
	      (anyrcu_reclaim(SIZE_MAX), false));
	while (n && anyrcu_cache_alloc(small, ANYRCU_GFP_NO_LOCKS))
		n--;
	/* One slab more, as some objects are in a page that is not full. */
	CHECK(n == 0 && stats_of(small).bytes <= bytes + 65536);
}
#endif

/* A worker could have given back some of it before. */
static void shrink_gives_back(void)
{
	enum { N = 50000 };
	static void *p[N];
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	bool alone = getenv("ANYRCU_WORKERS");
	uint64_t bytes, gone, chained;

	for (size_t i = 0; i < N; i++)
		CHECK(p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	bytes = stats_of(c).bytes;
	for (size_t i = 1; i < N; i++)
		anyrcu_cache_free_deferred(c, p[i]);
	gone = anyrcu_cache_shrink(c);
	chained = stats_of(c).deferred_chain; /* which takes more than one grace period */
	CHECK(!alone || chained || gone >= bytes * 9 / 10);
	for (int i = 0; chained && i < 8; i++)
		anyrcu_cache_shrink(c);
	CHECK(stats_of(c).bytes <= bytes / 10 && stats_of(c).objects == 1);
	for (size_t i = 1; i < N; i++)
		CHECK(p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	for (size_t i = 0; i < N; i++)
		anyrcu_cache_free(c, p[i]);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

#if !ASAN && !TSAN /* which keep memory of their own */
static uint64_t resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%*u %lu", &pages) == 1);
	fclose(f);
	return pages * 4096;
}

/* What is gathered from half-full pages does not keep a page for each object. */
static void pages_are_merged(void)
{
	enum { N = 1500 };
	static void *p[N];
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	uint64_t before;

	for (size_t i = 0; i < N; i++)
		p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);
	anyrcu_cache_free_deferred(c, anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	anyrcu_cache_shrink(c);
	before = resident();
	for (size_t i = 0; i < N; i++) {
		if (i % 100 == 0) /* no slab is ever free */
			continue;
		anyrcu_cache_free_deferred(c, p[i]);
		anyrcu_cache_shrink(c);
	}
	CHECK(resident() < before + (1 << 20));
	for (size_t i = 0; i < N; i += 100)
		anyrcu_cache_free(c, p[i]);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

static _Atomic bool head_pends;

static void head_done(struct anyrcu_head *head)
{
	atomic_store(&head_pends, false);
}

static void nothing(void)
{
}

/* The worker has something to do all the time, but with other objects. */
static void defers_task(void)
{
	struct anyrcu_head *head = malloc(64);

	anyrcu_free_task_head(head, 0);
}

static void defers_head(void)
{
	static struct anyrcu_head head;

	if (!atomic_exchange(&head_pends, true))
		anyrcu_call(&head, head_done);
}

/* After a flood, memory goes back without a call, whatever else the program does. */
static void gives_back_beside(void (*other)(void))
{
	enum { N = 500000 };
	static void *p[N];
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	uint64_t before, flooded;

	memset(p, 1, sizeof(p));
	before = resident();
	for (size_t i = 0; i < N; i++)
		memset(p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL), 1, 64);
	for (size_t i = 0; i < N; i++)
		anyrcu_cache_free_deferred(c, p[i]);
	flooded = resident();
	CHECK(flooded > before + N * 64);
	UNTIL((other(), stats_of(c).bytes <= 2 * 65536) &&
	      resident() < before + (flooded - before) / 10);
	CHECK(anyrcu_cache_destroy(c) == 0);
}

static void idle_gives_back(void)
{
	gives_back_beside(nothing);
}

static void reclaims(void)
{
	anyrcu_reclaim(SIZE_MAX);
}

/* There is no worker that could do it. */
static void gives_back_to_reclaim(void)
{
	gives_back_beside(reclaims);
}

static void gives_back_beside_tasks(void)
{
	gives_back_beside(defers_task);
}

static void gives_back_beside_calls(void)
{
	gives_back_beside(defers_head);
}

static void forked(void)
{
	pthread_t t[2];

	common = cache_of(sizeof(struct published), 0, 0);
	handle(SIGRTMIN, swap_in_handler, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(swaps, (void *)(i + 1));
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (unsigned n = 0; n < 20000; n++)
				swap(n, ANYRCU_GFP_KERNEL);
			for (unsigned n = 0; n < SHARED; n++)
				look(n);
			/* Threads that are not here may have had a page each in their hands. */
			for (size_t n = 0; n < SHARED; n++)
				anyrcu_cache_free_deferred(common,
							   atomic_exchange(&shared[n], NULL));
			anyrcu_cache_shrink(common);
			CHECK(stats_of(common).objects <= 3 * 503 + 100 && !atomic_load(&broken));
			_exit(0);
		}
		CHECK(child_ended_well(pid));
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	all_back();
}
#endif

static void bad_configuration(void)
{
	const struct anyrcu_cache_config right = { .size = sizeof(right),
						   .name = "right",
						   .object_size = 64 };
	struct anyrcu_cache_config bad[8];

	for (size_t i = 0; i < COUNT(bad); i++)
		bad[i] = right;
	bad[0].size = 8;
	bad[1].name = NULL;
	bad[2].object_size = 0;
	bad[3].object_size = ANYRCU_CACHE_OBJECT_MAX + 1;
	bad[4].object_size = SIZE_MAX;
	bad[5].align = 24;
	bad[6].align = 8192;
	bad[7].flags = 0x80;
	for (size_t i = 0; i < COUNT(bad); i++) {
		errno = 0;
		CHECK(!anyrcu_cache_create(&bad[i]) && errno == EINVAL);
	}
	CHECK(anyrcu_cache_destroy(NULL) == 0);
}

static void bad_gfp(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);

	CHECK(!anyrcu_cache_alloc(c, 3) && !anyrcu_cache_alloc(c, 0x200) &&
	      stats_of(c).objects == 0);
	anyrcu_cache_free(c, NULL);
	anyrcu_cache_free_deferred(c, NULL);
}

static void foreign_malloc(void)
{
	anyrcu_cache_free(cache_of(64, 0, 0), malloc(64));
}

/* What is deferred is looked at before it is allocated again. */
static void foreign_deferred(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	void *p = malloc(64);

	anyrcu_cache_free_deferred(c, anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	anyrcu_cache_free_deferred(c, p);
	for (int i = 0; i < 10000; i++)
		CHECK(anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL) != p);
	anyrcu_cache_shrink(c);
}

static void foreign_misaligned(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);

	anyrcu_cache_free(c, (char *)anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL) + 16);
}

static void foreign_cache(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0), *other = cache_of(64, 0, 0);

	anyrcu_cache_free(c, anyrcu_cache_alloc(other, ANYRCU_GFP_KERNEL));
}

static void leaked(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);

	CHECK(anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL) && anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	anyrcu_cache_free_deferred(c, anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	CHECK(anyrcu_cache_destroy(c) == -EBUSY);
}

/* Every size, freed in every way. */
struct any {
	struct anyrcu_head head;
	unsigned char rest[];
};

static void any_size(void)
{
	enum { N = 2000 };
	static unsigned char *p[N];
	static size_t sizes[N];

	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < N; i++) {
			sizes[i] =
				round == 0 ? i % 1025 : (i * 7919 + round * 104729) % (16384 + 1);
			if (round == 1)
				sizes[i] = ((size_t)1 << i % 15) + i / 15 % 3 - (i % 15 ? 1 : 0);
			if (sizes[i] > ANYRCU_CACHE_OBJECT_MAX)
				sizes[i] = ANYRCU_CACHE_OBJECT_MAX;
			p[i] = anyrcu_alloc(sizes[i], ANYRCU_GFP_KERNEL);
			CHECK(p[i] && (uintptr_t)p[i] % 16 == 0);
			memset(p[i], (int)(i % 251), sizes[i]);
		}
		for (size_t i = 0; i < N; i++) {
			for (size_t j = 0; j < sizes[i]; j++)
				CHECK(p[i][j] == i % 251);
			switch (sizes[i] < sizeof(struct any) ? i % 7 : i % 9) {
			case 0:
				anyrcu_dealloc(p[i]);
				break;
			case 1:
				anyrcu_dealloc_deferred(p[i]);
				break;
			case 2:
				CHECK(anyrcu_free_headless(p[i]));
				break;
			case 3:
				anyrcu_dealloc_sized(p[i], sizes[i]);
				break;
			case 4:
				CHECK(anyrcu_free_headless_sized(p[i], sizes[i]));
				break;
			case 5:
				anyrcu_free_mightsleep(p[i]);
				break;
			case 6:
				anyrcu_free_mightsleep_sized(p[i], sizes[i]);
				break;
			case 7:
				anyrcu_free((struct any *)(void *)p[i], head);
				break;
			case 8:
				anyrcu_free_sized((struct any *)(void *)p[i], head, sizes[i]);
				break;
			}
		}
	}
	CHECK(stats().deferred == 0);
}

static void any_size_out_of_range(void)
{
	void *p = anyrcu_alloc(0, ANYRCU_GFP_KERNEL);

	CHECK(p && !anyrcu_alloc((size_t)ANYRCU_CACHE_OBJECT_MAX + 1, ANYRCU_GFP_KERNEL));
	CHECK(!anyrcu_alloc(SIZE_MAX / 2, ANYRCU_GFP_KERNEL) && !anyrcu_alloc(16, 7));
	anyrcu_dealloc_sized(p, 0);
	anyrcu_dealloc(NULL);
	anyrcu_dealloc_sized(NULL, 1);
	anyrcu_dealloc_deferred(NULL);
}

/* The worker sees that allocations without locks were refused for want of caches. */
static void any_size_without_locks(void)
{
	void *p;

	UNTIL((anyrcu_gp_start(), p = anyrcu_alloc(100, ANYRCU_GFP_NO_LOCKS)));
	anyrcu_dealloc_deferred(p);
}

static void dealloc_malloc(void)
{
	anyrcu_dealloc(malloc(64));
}

static void dealloc_other_size(void)
{
	anyrcu_dealloc_sized(anyrcu_alloc(64, ANYRCU_GFP_KERNEL), 1000);
}

/* Without ANYRCU_DEBUG it is found when all that is free is counted. */
static void twice_counted(void)
{
	struct anyrcu_cache *c = cache_of(64, 0, 0);
	void *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

	anyrcu_cache_free(c, p);
	anyrcu_cache_free_deferred(c, p);
	anyrcu_cache_shrink(c);
}

static _Atomic bool reads;

static void *updates(void *arg)
{
	while (!atomic_load(&reads))
		sched_yield();
	anyrcu_call(&((struct object *)arg)->head, object_called);
	atomic_store(&reads, false);
	return NULL;
}

/* An allocation at the bound does not end the section of a thread that is online. */
static void online_section_is_kept(void)
{
	struct anyrcu_cache *c = cache_of(1000, 0, 65536);
	struct object *o = object_get();
	pthread_t t = thread_start(updates, o);

	while (anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL))
		;
	anyrcu_thread_online();
	anyrcu_read_lock();
	atomic_store(&reads, true);
	while (atomic_load(&reads))
		sched_yield();
	test_sleep_ms(100); /* the worker waits for us */
	CHECK(!anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	test_sleep_ms(100);
	CHECK(!atomic_load(&o->invoked));
	anyrcu_read_unlock();
	anyrcu_thread_offline();
	thread_join(t);
	pool_check();
}

static const struct test_case cases[] = {
	CASE(online_section_is_kept),
	CASE(distinct),
	CASE(zeroes),
	CASE(constructor_once),
	CASE(reader_holds),
	CASE(steady),
	CASE(threads_and_handlers),
	CASE(shrunk_beside_new_slab),
	CASE(produced_and_consumed),
	CASE(bound),
#if !ASAN && !TSAN
	CASE(no_pages, .env = { "ANYRCU_WORKERS=0" }),
	CASE(chain_reclaimed, .env = { "ANYRCU_WORKERS=0" }),
#endif
	CASE(shrink_gives_back, .env = { "ANYRCU_WORKERS=0" }),
#if !ASAN && !TSAN
	CASE(pages_are_merged),
	CASE(idle_gives_back),
	CASE(gives_back_beside_tasks),
	CASE(gives_back_beside_calls),
	CASE(gives_back_to_reclaim, .env = { "ANYRCU_WORKERS=0" }),
	CASE(forked),
#endif
	CASE(bad_configuration),
	CASE(bad_gfp),
	CASE(foreign_malloc, .sig = SIGABRT, .says = { "is not an object of it" }),
	CASE(foreign_deferred, .sig = SIGABRT, .says = { "is not an object of it" }),
	CASE(foreign_misaligned, .sig = SIGABRT, .says = { "is not an object of it" }),
	CASE(foreign_cache, .sig = SIGABRT, .says = { "is not an object of it" }),
	CASE(twice_counted, .sig = SIGABRT, .says = { "was freed twice" }),
	CASE(any_size),
	CASE(any_size_out_of_range),
	CASE(any_size_without_locks),
	CASE(dealloc_malloc, .sig = SIGABRT, .says = { "is not an object of a cache" }),
	CASE(dealloc_other_size, .sig = SIGABRT, .says = { "is not an object of it" }),
	CASE(distinct, .env = { "ANYRCU_DEBUG=1" }),
	CASE(zeroes, .env = { "ANYRCU_DEBUG=1" }),
	CASE(constructor_once, .env = { "ANYRCU_DEBUG=1" }),
	CASE(reader_holds, .env = { "ANYRCU_DEBUG=1" }),
	CASE(threads_and_handlers_in_debug, .env = { "ANYRCU_DEBUG=1" }),
	CASE(shrink_gives_back, .env = { "ANYRCU_DEBUG=1" }),
	CASE(any_size, .env = { "ANYRCU_DEBUG=1" }),
	CASE(any_size_out_of_range, .env = { "ANYRCU_DEBUG=1" }),
	CASE(leaked, .says = { "2 objects of the cache tested were not freed" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
