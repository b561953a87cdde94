/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* ANYRCU_DEBUG=1: mistakes with objects of caches are found, and named by both places. */
#include "test.h"

struct headed {
	struct anyrcu_head head;
	unsigned char rest[];
};

static struct anyrcu_cache *cache_of(size_t size, size_t align)
{
	struct anyrcu_cache_config c = {
		.size = sizeof(c), .name = "tested", .object_size = size, .align = align
	};
	struct anyrcu_cache *cache = anyrcu_cache_create(&c);

	CHECK(cache);
	return cache;
}

/* Exported, as reports name what the dynamic linker knows. */
__attribute__((noinline)) void *alloc_place(struct anyrcu_cache *c)
{
	void *p =
		c ? anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL) : anyrcu_alloc(100, ANYRCU_GFP_KERNEL);

	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline)) void free_place(struct anyrcu_cache *c, void *p)
{
	if (c)
		anyrcu_cache_free(c, p);
	else
		anyrcu_dealloc(p);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void defer_place(struct headed *p)
{
	anyrcu_free(p, head);
	__asm__ volatile("" ::: "memory");
}

static void overrun_at_free(void)
{
	struct anyrcu_cache *c = cache_of(60, 0);
	char *volatile p = alloc_place(c);

	p[60] = 0;
	free_place(c, p);
}

static void underrun_at_free(void)
{
	struct anyrcu_cache *c = cache_of(64, 64);
	char *p[2] = { alloc_place(c), alloc_place(c) };

	/* It is the one behind, whose begin was missed, that is named. */
	p[1][-1] = 0;
	free_place(c, p[0]);
	anyrcu_cache_free(c, p[1]);
}

static void overrun_at_maturity(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	char *p = alloc_place(c);

	defer_place((struct headed *)(void *)p);
	p[64] = 0;
	anyrcu_cache_shrink(c);
}

/* Nobody allocates it again: all of its slab goes back. */
static void overrun_of_what_goes_back(void)
{
	enum { N = 5000 };
	struct anyrcu_cache *c = cache_of(64, 0);
	static char *p[N];

	for (int i = 0; i < N; i++)
		p[i] = alloc_place(c);
	for (int i = 0; i < N; i++)
		defer_place((struct headed *)(void *)p[i]);
	p[10][64] = 0;
	anyrcu_cache_shrink(c);
}

static void overrun_of_any_size(void)
{
	char *p = alloc_place(NULL);

	memset(p, 1, 100);
	p[100] = 1;
	defer_place((struct headed *)(void *)p);
}

static void overrun_of_zeroes(void)
{
	char *volatile p = anyrcu_alloc(100, ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO);

	CHECK(p[99] == 0);
	p[100] = 0;
	free_place(NULL, p);
}

static void twice_named(void)
{
	struct headed *p = alloc_place(NULL);

	defer_place(p);
	free_place(NULL, p);
}

static void foreign_named(void)
{
	struct anyrcu_cache *c = cache_of(64, 0), *other = cache_of(64, 0);

	free_place(c, alloc_place(other));
}

static void inside_named(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);

	defer_place((struct headed *)(void *)((char *)alloc_place(c) + 8));
}

static void never_allocated(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);

	free_place(c, (char *)alloc_place(c) + 96);
}

static void used_when_freed(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	struct headed *p = alloc_place(c);

	defer_place(p);
	anyrcu_cache_shrink(c);
	p->rest[0] = 0;
	anyrcu_cache_shrink(c);
}

static void leaked_named(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);

	for (int i = 0; i < 3; i++)
		CHECK(alloc_place(c));
	anyrcu_cache_free_deferred(c, anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
	CHECK(anyrcu_cache_destroy(c) == -EBUSY);
}

static void leaked_at_exit(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	void *p[20];

	for (int i = 0; i < 20; i++)
		p[i] = alloc_place(NULL);
	for (int i = 0; i < 13; i++)
		defer_place(p[i]);
	for (int i = 0; i < 1000; i++)
		alloc_place(c);
}

static void twice(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	void *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

	anyrcu_cache_free_deferred(c, p);
	anyrcu_cache_free_deferred(c, p);
}

static void written_when_free(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	char *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

	anyrcu_cache_free(c, p);
	p[63] = 1;
	CHECK(anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
}

/* Until the grace period is over its content stays; then it is nobody's. */
static void written_when_matured(void)
{
	struct anyrcu_cache *c = cache_of(64, 0);
	char *p = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL);

	memset(p, 5, 64);
	anyrcu_cache_free_deferred(c, p);
	CHECK(p[0] == 5 && p[63] == 5);
	anyrcu_cache_shrink(c);
	p[0] = 5;
	for (int i = 0; i < 2000; i++)
		CHECK(anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL));
}

#define DEBUG(...) .env = { "ANYRCU_DEBUG=1" }, .sig = SIGABRT, .says = { __VA_ARGS__ }

static const struct test_case cases[] = {
	CASE(overrun_at_free,
	     DEBUG("0 bytes behind the end of", "of 60 bytes", "allocated at 0x", "alloc_place+")),
	CASE(underrun_at_free,
	     DEBUG("1 bytes before 0x", "alloc_place+", "found when it was freed")),
	CASE(overrun_at_maturity, DEBUG("0 bytes behind the end of", "alloc_place+", "defer_place+",
					"grace period is over")),
	CASE(overrun_of_what_goes_back,
	     DEBUG("0 bytes behind the end of", "alloc_place+", "defer_place+")),
	CASE(overrun_of_any_size, DEBUG("0 bytes behind the end of", "of 100 bytes", "alloc_place+",
					"found when it was freed")),
	CASE(overrun_of_zeroes, DEBUG("0 bytes behind the end of", "of 100 bytes")),
	CASE(twice_named,
	     DEBUG("was freed twice", "alloc_place+", "defer_place+", "freed again at 0x")),
	CASE(foreign_named,
	     DEBUG("is not an object of it", "points 0 bytes into", "alloc_place+", "free_place+")),
	CASE(inside_named, DEBUG("is not an object of it", "points 8 bytes into", "alloc_place+",
				 "defer_place+")),
	CASE(never_allocated, DEBUG("never allocated", "freed to it at", "free_place+")),
	CASE(used_when_freed, DEBUG("was written to after it was free", "16 bytes from its begin",
				    "alloc_place+", "defer_place+")),
	CASE(leaked_named, .env = { "ANYRCU_DEBUG=1" },
	     .says = { "3 objects of the cache tested were not freed", "  3 allocated at 0x",
		       "alloc_place+" }),
	CASE(leaked_at_exit, .env = { "ANYRCU_DEBUG=1" },
	     .says = { "7 objects of the cache of anyrcu_alloc() were not freed before the process exits",
		       "1000 objects of the cache tested", "  7 allocated at 0x", "alloc_place+" }),
	CASE(twice, DEBUG("was freed twice")),
	CASE(written_when_free,
	     DEBUG("was written to after it was free", "found when it was allocated")),
	CASE(written_when_matured, DEBUG("was written to after it was free")),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
