/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Sequences of calls against a plain model of what must be invoked when. There is no worker: who
 * reclaims is the sequence.
 *
 * The threads are those of threads.h; whether there is memory is said here, too.
 *
 * The model: the threads' sections and the objects have the numbers of the calls that began them.
 * An object must not be invoked while a section is open that began before it was deferred, nor
 * twice, nor in another way than it was deferred; a cookie must not be done; and in the end, all
 * have been invoked. Statistics are exact between two calls. Pages do not overlap, and are nobody
 * else's.
 */
#include <pages/pages.h>

#include "threads.h"

#define OBJECTS 8192
#define FARS 16
#define COOKIES 8
#define PAGES 32
#define PENDING_MIN 1024

enum how {
	CALL,
	CALL_OTHER,
	FREE,
	FREE_SECOND,
	FREE_FAR,
	HEADLESS,
	HEADLESS_OTHER,
	HEADLESS_NULL,
	FREE_HEADLESS,
	HOWS,
	CALL_MIGHTSLEEP = HOWS,
	FREE_MIGHTSLEEP,
	ALL_HOWS
};

static struct object {
	struct anyrcu_head head, second;
	uint64_t when;
	uint8_t how, then; /* then: what the callback does */
	bool pending;
} pool[OBJECTS], null_object;
static struct {
	struct object o;
	char room[4088 - sizeof(struct object)];
	struct anyrcu_head far;
} far_pool[FARS];
_Static_assert(offsetof(__typeof__(far_pool[0]), far) == 4088, "as far as a head can be");

static struct {
	size_t pool, far, pending;
	uint64_t deferred, refused, invoked;
} model;
static struct {
	anyrcu_gp_t gp;
	uint64_t when;
	bool taken, done;
} cookie[COOKIES];
static struct {
	char *p;
	unsigned order;
	uint64_t tag;
} page[PAGES];
static struct anyrcu_stats first;
/* few_bytes: for pages, and few that may be pending */
static bool refuse_pages, refuse_maps, few_bytes;

/* ---- the platform ---- */

void *__real_page_alloc(unsigned gfp, unsigned order);
void *__real_port_map(size_t size, size_t align);

void *__wrap_page_alloc(unsigned gfp, unsigned order)
{
	return refuse_pages ? NULL : __real_page_alloc(gfp, order);
}

void *__wrap_port_map(size_t size, size_t align)
{
	return refuse_maps ? NULL : __real_port_map(size, align);
}

/* ---- deferral and invocation ---- */

static void defer(enum how how, unsigned then);

static void invoked(struct object *o, bool right)
{
	if (!o->pending)
		FOUND("twice: %zu", (size_t)(o - pool));
	MUST(right || broken("twice")); /* then it comes in two ways */
	if (read_since_before(o->when))
		FOUND("early: %zu", (size_t)(o - pool));
	o->pending = false;
	model.pending--;
	model.invoked++;
	if (o->then == 1)
		defer(CALL, 0);
	else if (o->then == 2)
		defer(HEADLESS, 0);
	if (o->then == 3) {
		anyrcu_read_lock();
		anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0), 0);
		(void)anyrcu_gp_start();
		anyrcu_read_unlock();
	}
}

static void call(struct anyrcu_head *head)
{
	invoked((struct object *)head, ((struct object *)head)->how == CALL);
}

static void call_other(struct anyrcu_head *head)
{
	invoked((struct object *)head, ((struct object *)head)->how == CALL_OTHER);
}

static void headless(void *o)
{
	invoked(o, ((struct object *)o)->how == HEADLESS ||
			   ((struct object *)o)->how == CALL_MIGHTSLEEP);
}

static void headless_other(void *o)
{
	invoked(o, ((struct object *)o)->how == HEADLESS_OTHER);
}

static void headless_null(void *nothing)
{
	MUST(!nothing);
	invoked(&null_object, true);
}

void __wrap_port_free(void *p)
{
	uintptr_t at = (char *)p - (char *)pool, far_at = (char *)p - (char *)far_pool;
	struct object *o = p;

	if (far_at < sizeof(far_pool)) {
		MUST(far_at % sizeof(far_pool[0]) == 0);
		invoked(o, o->how == FREE_FAR);
		return;
	}
	MUST(at < sizeof(pool) && at % sizeof(pool[0]) == 0);
	invoked(o, o->how == FREE || o->how == FREE_SECOND || o->how == FREE_HEADLESS ||
			   o->how == FREE_MIGHTSLEEP);
}

static struct object *object_for(enum how how)
{
	if (how == HEADLESS_NULL)
		return null_object.pending ? NULL : &null_object;
	if (how == FREE_FAR)
		return model.far < FARS ? &far_pool[model.far++].o : NULL;
	return model.pool < OBJECTS ? &pool[model.pool++] : NULL;
}

static void defer_in_library(enum how how, struct object *o)
{
	bool done = true;

	switch (how) {
	case CALL:
		anyrcu_call(&o->head, call);
		break;
	case CALL_OTHER:
		anyrcu_call(&o->head, call_other);
		break;
	case FREE:
		anyrcu_free(o, head);
		break;
	case FREE_SECOND:
		anyrcu_free(o, second);
		break;
	case FREE_FAR:
		anyrcu_free((__typeof__(&far_pool[0]))(void *)o, far);
		break;
	case HEADLESS:
		done = anyrcu_call_headless(headless, o);
		break;
	case HEADLESS_OTHER:
		done = anyrcu_call_headless(headless_other, o);
		break;
	case HEADLESS_NULL:
		done = anyrcu_call_headless(headless_null, NULL);
		break;
	case FREE_HEADLESS:
		done = anyrcu_free_headless(o);
		break;
	case CALL_MIGHTSLEEP:
		anyrcu_call_mightsleep(headless, o);
		break;
	case FREE_MIGHTSLEEP:
		anyrcu_free_mightsleep(o);
		break;
	case ALL_HOWS:
		break;
	}
	if (done)
		return;
	MUST(refuse_pages || few_bytes || model.pending > 4 * PENDING_MIN);
	o->pending = false;
	model.pending--;
	model.deferred--;
	model.refused++;
}

static void defer(enum how how, unsigned then)
{
	struct object *o = object_for(how);

	if (!o)
		return;
	o->how = how;
	o->then = then;
	o->pending = true;
	o->when = ++now;
	model.pending++;
	if (++model.deferred % 16 == 0 && broken("lost"))
		return;
	if (model.deferred % 16 == 0 && broken("twice"))
		(void)!anyrcu_call_headless(headless, o);
	defer_in_library(how, o);
}

/* It may wait for readers, and then a thread that is online does not read. */
static void defer_mightsleep(enum how how)
{
	if (thread[me].nest)
		return;
	thread[me].since = 0;
	defer(how, 0);
	has_waited(0);
}

static void reclaim(size_t budget)
{
	uint64_t before = model.invoked;
	size_t n;

	if (thread[me].nest)
		return;
	n = anyrcu_reclaim(broken("budget") && budget < SIZE_MAX ? budget + 1 : budget);
	MUST(n == model.invoked - before);
	if (n > budget)
		FOUND("budget: %zu invoked, not %zu", n, budget);
}

static bool pending_since_before(uint64_t when)
{
	bool pending = null_object.pending && null_object.when <= when;

	for (size_t i = 0; i < model.pool; i++)
		pending |= pool[i].pending && pool[i].when <= when;
	for (size_t i = 0; i < model.far; i++)
		pending |= far_pool[i].o.pending && far_pool[i].o.when <= when;
	return pending;
}

static void barrier(void)
{
	uint64_t when = now;

	if (thread[me].nest)
		return;
	thread[me].since = 0;
	anyrcu_barrier();
	has_waited(0);
	if (pending_since_before(when))
		FOUND("lost: after a barrier");
}

/* ---- grace periods ---- */

static void gp_take(unsigned i)
{
	cookie[i].when = ++now;
	cookie[i].gp = anyrcu_gp_start();
	cookie[i].taken = true;
	cookie[i].done = false;
}

static void gp_look(unsigned i)
{
	bool done = cookie[i].taken && anyrcu_gp_done(cookie[i].gp);

	MUST(done >= cookie[i].done);
	cookie[i].done = done;
	if (done && read_since_before(cookie[i].when))
		FOUND("early: a cookie");
}

static void gp_wait(unsigned i)
{
	if (thread[me].nest || !cookie[i].taken)
		return;
	thread[me].since = 0;
	anyrcu_gp_wait(cookie[i].gp);
	has_waited(cookie[i].when);
	MUST(anyrcu_gp_done(cookie[i].gp));
}

static void synchronize(void)
{
	uint64_t when = ++now;

	if (thread[me].nest)
		return;
	thread[me].since = 0;
	anyrcu_synchronize();
	has_waited(when);
}

/* ---- pages ---- */

static void page_take(unsigned i, unsigned gfp, unsigned order)
{
	size_t size = (size_t)ANYRCU_PAGE_SIZE << order;
	char *p;

	if (page[i].p)
		return;
	p = anyrcu_page_alloc(gfp, order);
	if ((gfp & 3) > ANYRCU_GFP_NO_LOCKS || order > ANYRCU_PAGE_ORDER_MAX) {
		MUST(!p);
		return;
	}
	MUST(p || refuse_maps || (gfp & 3) != ANYRCU_GFP_KERNEL);
	if (!p)
		return;
	MUST((uintptr_t)p % size == 0);
	if (gfp & ANYRCU_GFP_ZERO)
		MUST(*p == 0 && !memcmp(p, p + 1, size - 1));
	/*
	 * Said to be handed out again rather than given back twice, which would break the library
	 * in other ways, and let it hang.
	 */
	for (unsigned other = 0; broken("page") && other < PAGES; other++)
		p = page[other].p ?: p;
	for (unsigned other = 0; other < PAGES; other++)
		if (page[other].p && page[other].p < p + size &&
		    p < page[other].p + ((size_t)ANYRCU_PAGE_SIZE << page[other].order))
			FOUND("page: overlaps another");
	page[i].p = p;
	page[i].order = order;
	page[i].tag = ++now;
	for (size_t at = 0; at < size; at += 512)
		*(uint64_t *)(p + at) = page[i].tag + at;
}

static void page_give(unsigned i)
{
	size_t size = (size_t)ANYRCU_PAGE_SIZE << page[i].order;

	for (size_t at = 0; page[i].p && at < size; at += 512)
		if (*(uint64_t *)(page[i].p + at) != page[i].tag + at)
			FOUND("page: overwritten");
	anyrcu_page_free(page[i].p, page[i].order);
	page[i].p = NULL;
}

/* ---- the rest ---- */

static struct anyrcu_stats stats(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s;
}

static void stats_check(void)
{
	struct anyrcu_stats s = stats();
	unsigned readers = 0;

	if (broken("lost") || broken("twice"))
		return; /* these would be seen here first */
	for (unsigned i = 0; i < THREADS; i++)
		readers += thread[i].tid && (i == me ? anyrcu_self : thread[i].self) != nobody;
	if (s.deferred - first.deferred != model.deferred + broken("stats"))
		FOUND("stats: deferred");
	MUST(s.deferred == s.deferred_page + s.deferred_chain + s.deferred_inline);
	MUST(s.invoked - first.invoked == model.invoked);
	MUST(s.pending == model.pending);
	MUST(s.refused - first.refused == model.refused);
	MUST(s.gp_started - s.gp_done <= 1);
	MUST(s.readers >= readers);
}

static void configure(bool few)
{
	struct anyrcu_config c = { .size = sizeof(c), .workers = -1 };

	few_bytes = few;
	c.page_bytes_max = few ? 65536 : 0;
	c.pending_max = few ? PENDING_MIN : 0;
	MUST(anyrcu_init(&c) == 0);
}

static void step(struct input *in)
{
	uint8_t op = byte(in);

	if (op % 24 < THREAD_STEPS)
		thread_step(op % 24, op, in);
	switch (op % 24) {
	case 8:
	case 9:
	case 10:
		defer(byte(in) % HOWS, op / 24 % 4);
		break;
	case 11:
		op = byte(in);
		for (unsigned n = byte(in) * 8; n; n--)
			defer(op % HOWS, op / HOWS == 1);
		break;
	case 12:
		defer_mightsleep(op & 128 ? CALL_MIGHTSLEEP : FREE_MIGHTSLEEP);
		break;
	case 13:
		gp_take(byte(in) % COOKIES);
		break;
	case 14:
		for (unsigned i = 0; i < COOKIES; i++)
			gp_look(i);
		break;
	case 15:
		gp_wait(byte(in) % COOKIES);
		break;
	case 16:
		synchronize();
		break;
	case 17:
		barrier();
		break;
	case 18:
		reclaim((uint64_t)byte(in) << (op & 128 ? 6 : 0));
		break;
	case 19:
		clock_ns += (uint64_t)byte(in) * byte(in) * MS / 8;
		break;
	case 20:
		refuse_pages = op & 64;
		refuse_maps = op & 128;
		break;
	case 21:
		op = byte(in);
		page_take(op % PAGES, op / PAGES % 4 | (byte(in) & 1 ? ANYRCU_GFP_ZERO : 0),
			  byte(in) % 12);
		break;
	case 22:
		page_give(byte(in) % PAGES);
		break;
	case 23:
		configure(op & 128);
		break;
	}
	stats_check();
}

/* All that is deferred must be invoked now: by barriers, or by calls of reclaim as time goes by. */
static void finish(bool by_barrier)
{
	refuse_pages = refuse_maps = false;
	for (unsigned i = 0; i < THREADS; i++) {
		run(i);
		leave_sections();
		lock();
		unlock();
	}
	for (unsigned i = 0; i < 32 && model.pending; i++) {
		clock_ns += 200 * MS;
		if (by_barrier)
			barrier();
		else
			reclaim(SIZE_MAX);
	}
	if (model.pending)
		FOUND("lost: %zu", model.pending);
	for (unsigned i = 0; i < COOKIES; i++)
		gp_wait(i);
	for (unsigned i = 0; i < PAGES; i++)
		page_give(i);
	barrier();
	stats_check();
	MUST(stats().defer_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	bool by_barrier = byte(&in) & 1;

	threads_begin();
	first = stats();
	while (in.at < in.end)
		step(&in);
	finish(by_barrier);
	configure(false);
	threads_end();
	memset(&model, 0, sizeof(model));
	memset(cookie, 0, sizeof(cookie));
	return 0;
}
