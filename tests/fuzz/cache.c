/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Sequences of calls of caches and of anyrcu_alloc() against a plain model: which objects are
 * allocated, which were freed with a deferral, and when. There is no worker, and the threads are
 * those of threads.h.
 *
 * What is allocated is aligned, overlaps no other object that is, and keeps its content until it is
 * freed. What was freed with a deferral keeps its content, and is not allocated again, while a
 * section goes on that began before. A new object of the cache with a constructor is as that has
 * left it. In the end all is freed, and each object is found when its cache is destroyed.
 */
#include <anyrcu/cache.h>
#include <cache/cache.h>

#include "threads.h"

#define OBJECTS 640
#define KINDS 4
#define ANY KINDS /* of anyrcu_alloc() */
#define BOUND (1u << 20)
#define CONSTRUCTED UINT64_C(0x636f6e7374727563)

static void construct(void *p)
{
	*(uint64_t *)p = CONSTRUCTED;
}

static const struct anyrcu_cache_config kinds[KINDS] = {
	{ sizeof(kinds[0]), "plain", 64, 0, 0, 0, NULL },
	{ sizeof(kinds[0]), "typesafe", 2000, 64, ANYRCU_CACHE_TYPESAFE, 0, NULL },
	{ sizeof(kinds[0]), "bounded", 8000, 0, 0, BOUND, NULL },
	{ sizeof(kinds[0]), "constructed", 48, 16, 0, 0, construct },
};
static struct anyrcu_cache *cache[KINDS];

static struct object {
	char *p; /* NULL: of no interest any more */
	size_t size;
	uint64_t tag, when; /* when: it was freed with a deferral; 0: it is allocated */
	uint8_t kind;
} object[OBJECTS];
static size_t live[KINDS + 1];
static uint64_t deferred;
static bool refuse_memory;

bool __real_port_commit(void *p, size_t size);

bool __wrap_port_commit(void *p, size_t size)
{
	return !refuse_memory && __real_port_commit(p, size);
}

/* ---- content ---- */

/* The first word is the constructor's. */
static size_t first_tag(const struct object *o)
{
	return o->kind == 3 ? 8 : 0;
}

static void fill(const struct object *o)
{
	for (size_t at = first_tag(o); at + 8 <= o->size; at += o->size < 512 ? 8 : 512)
		*(uint64_t *)(o->p + at) = o->tag + at;
}

static bool is_whole(const struct object *o)
{
	for (size_t at = first_tag(o); at + 8 <= o->size; at += o->size < 512 ? 8 : 512)
		if (*(uint64_t *)(o->p + at) != o->tag + at)
			return false;
	return o->kind != 3 || *(uint64_t *)o->p == CONSTRUCTED;
}

static void look(const struct object *o)
{
	if (!o->p)
		return;
	if (!o->when)
		MUST(is_whole(o));
	else if (read_since_before(o->when) && !is_whole(o))
		FOUND("early: written to while a section goes on");
}

/* ---- allocation ---- */

static bool overlap(const struct object *a, const struct object *b)
{
	return a->p < b->p + b->size && b->p < a->p + a->size;
}

static void appears(const struct object *new)
{
	for (struct object *o = object; o < object + OBJECTS; o++) {
		if (o == new || !o->p || !overlap(o, new))
			continue;
		if (!o->when)
			FOUND("twice: overlaps another object");
		if (read_since_before(o->when))
			FOUND("early: allocated while a section goes on");
		o->p = NULL;
	}
}

static void *allocate(const struct object *o, unsigned gfp)
{
	bool may_sleep = (gfp & 3) == ANYRCU_GFP_KERNEL;
	void *p;

	if (may_sleep)
		thread[me].since = 0;
	p = o->kind == ANY ? anyrcu_alloc(o->size, gfp) : anyrcu_cache_alloc(cache[o->kind], gfp);
	if (may_sleep)
		has_waited(0);
	return p;
}

static void alloc(unsigned kind, unsigned gfp, size_t size)
{
	struct object *o = object;
	size_t align = kind == ANY ? 16 : kinds[kind].align ?: 16;

	if ((gfp & 3) == ANYRCU_GFP_KERNEL && thread[me].nest)
		return;
	while (o < object + OBJECTS && o->p)
		o++;
	if (o == object + OBJECTS)
		return;
	*o = (struct object){ .size = kind == ANY ? size : kinds[kind].object_size,
			      .tag = ++now,
			      .kind = kind };
	o->p = allocate(o, gfp);
	if (!o->p) {
		MUST(refuse_memory || (gfp & 3) != ANYRCU_GFP_KERNEL || kind == 2 ||
		     size > ANYRCU_CACHE_OBJECT_MAX);
		return;
	}
	MUST((gfp & 3) <= ANYRCU_GFP_NO_LOCKS && o->size <= ANYRCU_CACHE_OBJECT_MAX);
	for (unsigned i = 0; broken("twice") && i < OBJECTS; i++)
		if (object + i != o && object[i].p && !object[i].when)
			o->p = object[i].p;
	MUST((uintptr_t)o->p % align == 0);
	appears(o);
	if (gfp & ANYRCU_GFP_ZERO)
		MUST(!*o->p && !memcmp(o->p, o->p + 1, o->size - 1));
	else if (kind == 3)
		MUST(*(uint64_t *)o->p == CONSTRUCTED);
	if (kind == 3)
		construct(o->p);
	fill(o);
	live[kind]++;
}

/* ---- freeing ---- */

static void free_now(struct object *o, bool general)
{
	if (o->kind == ANY && general)
		anyrcu_dealloc_sized(o->p, o->size);
	else if (o->kind == ANY || general)
		anyrcu_dealloc(o->p);
	else
		anyrcu_cache_free(cache[o->kind], o->p);
	o->p = NULL;
}

struct headed {
	struct anyrcu_head head;
};

static void free_deferred(struct object *o, unsigned how)
{
	/* the head is written at once */
	bool headed = o->size >= sizeof(struct headed) && o->kind != 3;

	o->when = ++now;
	if (++deferred % 16 == 0 && broken("lost"))
		return;
	if (how == 0 && headed) {
		anyrcu_free((struct headed *)o->p, head);
		o->p = NULL; /* so its content is no longer ours to check */
	} else if (how == 1) {
		MUST(anyrcu_free_headless(o->p));
	} else if (o->kind == ANY || how == 2) {
		anyrcu_dealloc_deferred(o->p);
	} else {
		anyrcu_cache_free_deferred(cache[o->kind], o->p);
	}
}

/* @n of them, from number @i on. */
static void free_some(unsigned i, unsigned n, unsigned how)
{
	for (unsigned seen = 0; n && seen < OBJECTS; seen++, i++) {
		struct object *o = object + i % OBJECTS;

		if (!o->p || o->when)
			continue;
		look(o);
		live[o->kind]--;
		n--;
		if (how < 6)
			free_deferred(o, how);
		else
			free_now(o, how == 6);
	}
}

/* ---- all of a cache ---- */

static void shrink(unsigned kind)
{
	if (thread[me].nest)
		return;
	thread[me].since = 0;
	anyrcu_cache_shrink(cache[kind]);
	has_waited(0);
	for (struct object *o = object; o < object + OBJECTS; o++)
		if (o->kind == kind)
			look(o);
}

static void begin(unsigned kind)
{
	if (!cache[kind])
		cache[kind] = anyrcu_cache_create(&kinds[kind]);
	MUST(cache[kind]);
}

static void end(unsigned kind)
{
	if (thread[me].nest || live[kind])
		return;
	thread[me].since = 0;
	if (anyrcu_cache_destroy(cache[kind]))
		FOUND("lost: objects of the cache %s", kinds[kind].name);
	cache[kind] = NULL;
	has_waited(0);
	for (struct object *o = object; o < object + OBJECTS; o++) {
		if (o->kind != kind)
			continue;
		look(o);
		o->p = NULL;
	}
}

static void count(void)
{
	struct anyrcu_cache_stats s = { .size = sizeof(s) };
	uint64_t any = 0;

	if (broken("lost"))
		return; /* which would be seen here first */
	for (struct anyrcu_cache *c = cache_all; c; c = c->next) {
		unsigned kind = 0;

		while (kind < KINDS && cache[kind] != c)
			kind++;
		anyrcu_cache_stats_get(c, &s);
		if (kind < KINDS)
			MUST(s.objects == live[kind]);
		else
			any += s.objects;
	}
	MUST(any == live[ANY]);
}

static void step(struct input *in)
{
	uint8_t op = byte(in);
	anyrcu_gp_t cookie;
	size_t size;
	unsigned n;

	if (op % 18 < THREAD_STEPS)
		thread_step(op % 18, op, in);
	switch (op % 18) {
	case 8:
	case 9:
	case 10:
		n = op & 128 ? byte(in) * 2 : 1;
		op = byte(in);
		size = 1 + (op & 64 ? number(in, 2) % 20000 : byte(in));
		while (n--)
			alloc(op % (KINDS + 1), op / 8 % 4 | (op & 128 ? ANYRCU_GFP_ZERO : 0),
			      size);
		break;
	case 11: /* as many as make a cache use what was freed */
		n = byte(in) * 2;
		for (unsigned i = 0; i < n; i++)
			alloc(op / 18 % KINDS,
			      thread[me].nest ? ANYRCU_GFP_NO_LOCKS : ANYRCU_GFP_KERNEL, 0);
		free_some(0, n, 3);
		break;
	case 12:
	case 13:
		n = op & 128 ? byte(in) * 2 : 1;
		op = byte(in);
		free_some(number(in, 2), n, op % 8);
		break;
	case 14:
		shrink(op / 18 % KINDS);
		break;
	case 15:
		end(op / 18 % KINDS);
		begin(op / 18 % KINDS);
		break;
	case 16:
		refuse_memory = op & 128;
		clock_ns += (uint64_t)byte(in) * byte(in) * MS / 8;
		break;
	case 17: /* grace periods go on, as by a worker */
		cookie = anyrcu_gp_start();
		for (n = 0; n < 8 && !anyrcu_gp_done(cookie); n++)
			clock_ns += MS;
		break;
	}
	count();
}

static void finish(void)
{
	refuse_memory = false;
	for (unsigned i = 0; i < THREADS; i++) {
		run(i);
		for (struct object *o = object; o < object + OBJECTS; o++)
			look(o);
		leave_sections();
		lock();
		unlock();
	}
	free_some(0, OBJECTS, 3);
	for (unsigned kind = 0; kind < KINDS; kind++)
		end(kind);
	count();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	threads_begin();
	for (unsigned kind = 0; kind < KINDS; kind++)
		begin(kind);
	anyrcu_dealloc(anyrcu_alloc(1, ANYRCU_GFP_KERNEL));
	while (in.at < in.end)
		step(&in);
	finish();
	threads_end();
	memset(object, 0, sizeof(object));
	return 0;
}
