/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The public calls that defer, from any context. store.h says how an object is stored, and why that
 * is safe; this file chooses the place and the kind of page.
 *
 * The first attempt is a restartable sequence on the calling CPU's UNIFORM page, then on its MIXED
 * page. append_slow() opens pages. The thread may have migrated since the CPU number was read; a
 * page opened on another CPU is just as correct. A round starts over only if a handler or another
 * thread has deferred in between. After a few rounds the object goes into a page that is appended
 * to by atomics, and at last into the chain, whose loop is the only one without a bound
 * (lock-free).
 *
 * If no page is available, the functions with a head push to the chain, and the headless functions
 * fail. MIXED is tried before that, as its open page may have room.
 */
#include <anyrcu/page.h>
#include <cache/cache.h>
#include <defer/defer.h>
#include <defer/exchange.h>
#include <pages/pages.h>
#include <port/port.h>

/* Append by atomics to the open page of this kind. In a read-side critical section. */
static inline enum store_result append_shared(unsigned cpu, unsigned kind, uintptr_t key,
					      struct store_object *o)
{
	struct store_page **where = &defer_places[cpu].open[SHARED + kind];
	enum store_result result = store_append(load_acquire(where), key, o);

	if (likely(result == STORE_DONE))
		return STORE_DONE;
	for (int i = 0; i < STORE_TRIES && (result == STORE_FULL || result == STORE_AGAIN); i++)
		result = store_append_or_open(&defer_store, where, key, cpu, o);
	return result;
}

/* The sequence found no room in a page of its CPU: open one. In a read-side critical section. */
static enum store_result append_cpu(unsigned kind, uintptr_t key, struct store_object *o)
{
	enum store_result result = STORE_AGAIN;

	for (int i = 0; i < STORE_TRIES && result == STORE_AGAIN; i++) {
		int cpu = port_rseq_cpu();
		struct store_page **where, *p;

		if (cpu < 0)
			return STORE_REFUSED;
		store_place_used(&defer_store, cpu);
		where = &defer_places[cpu].open[kind];
		p = load_acquire(where);
		if (store_page_full(p))
			result = store_open(&defer_store, where, p, key, false, cpu, o);
		else if (p->open.key != key)
			return STORE_OTHER;
		if (result == STORE_AGAIN &&
		    (kind == UNIFORM ? store_append_cpu(defer_places, kind, key, o->arg, 0, 1) :
				       store_append_cpu(defer_places, kind, key, o->func, o->arg,
							2)) == STORE_DONE)
			result = STORE_DONE;
	}
	return result;
}

/*
 * Called before the page for the object is found: collect() does the acquire, once it has taken
 * that page away.
 */
static noinline void tell_checker(struct store_object *o)
{
	port_release(&defer_store.chain);
	if (!o->caller)
		o->caller = (uintptr_t)port_checker_block((void *)o->arg);
}

static inline uint64_t countable(uint64_t bytes)
{
	return bytes < DEFER_OBJECT_BYTES_MAX ? bytes : DEFER_OBJECT_BYTES_MAX;
}

/*
 * Past half of the bound, have the open pages collected now. Past the bound, flood control begins.
 */
static void press(void)
{
	uint64_t bytes = defer_bytes_pending(), max = load(&defer_limits.pending_bytes_max);

	if (bytes > max)
		defer_flood_begins(defer_pending_closed());
	if (bytes > max / 2)
		defer_wake(true);
}

static inline bool stored(enum store_result result)
{
	return result == STORE_DONE || result == STORE_OPENED;
}

/* Try each kind of page that the object may go to. In a read-side critical section. */
static enum store_result append_any(struct store_object *o, bool wide)
{
	enum store_result result = STORE_REFUSED;
	unsigned cpu;

	if (port_rseq_cpu() >= 0 && !wide) {
		result = append_cpu(UNIFORM, o->func, o);
		if (!stored(result))
			result = append_cpu(MIXED, KEY_MIXED, o);
	}
	if (stored(result))
		return result;
	cpu = port_cpu();
	store_place_used(&defer_store, cpu);
	if (wide)
		return append_shared(cpu, WIDE, KEY_WIDE, o);
	/* A word of 0 means "not filled", so a NULL argument needs a slot with its function. */
	if (o->arg)
		result = append_shared(cpu, UNIFORM, o->func, o);
	return stored(result) ? result : append_shared(cpu, MIXED, KEY_MIXED, o);
}

static noinline bool append_slow(struct store_object *o)
{
	uint64_t era = defer_era();
	enum store_result result;

	if (o->func == 0)
		port_bug("deferred call of a NULL function");
	if (unlikely(port_checked))
		tell_checker(o);
	anyrcu_read_lock();
	result = append_any(o, store_debug || o->caller || o->bytes);
	if (o->bytes && stored(result))
		defer_bytes_add(era, o->bytes); /* in the section: see bytes.c */
	anyrcu_read_unlock();
	/* Outside the section: a worker that preempts us in the wake would wait for this reader. */
	if (result == STORE_OPENED)
		defer_wake(defer_flood_begins(defer_pending_closed()) ||
			   store_completed_backlog(&defer_store, o));
	if (o->bytes)
		press();
	return stored(result);
}

static noinline bool append_other(enum store_result r, uintptr_t func, uintptr_t arg,
				  unsigned context)
{
	if (r == STORE_OTHER && func &&
	    store_append_cpu(defer_places, MIXED, KEY_MIXED, func, arg, 2) == STORE_DONE)
		return true;
	return append_slow(&(struct store_object){ .func = func, .arg = arg, .context = context });
}

/* Always inlined: a call would make a deferral a fifth dearer (docs/design/performance.md). */
static inline __attribute__((always_inline)) bool append(uintptr_t func, uintptr_t arg,
							 unsigned context)
{
	enum store_result r = store_append_cpu(defer_places, UNIFORM, func, arg, 0, 1);

	return likely(r == STORE_DONE) || append_other(r, func, arg, context);
}

static void chain_link(struct anyrcu_head *head, uintptr_t func)
{
	head->func = (void (*)(struct anyrcu_head *))func;
	count_add(&defer_stats.chain, 1);
	if (unlikely(port_checked)) {
		port_checker_atomic(head, sizeof(*head));
		port_checker_released(&defer_store.chain);
	}
	store_chain_push(&defer_store, head);
}

static noinline void chain_push(struct anyrcu_head *head, uintptr_t func)
{
	chain_link(head, func);
	defer_wake(false);
}

static noinline void chain_push_sized(struct anyrcu_head *head, uintptr_t func, uint64_t bytes)
{
	uintptr_t word = defer_chain_func(func, bytes), unused = word;
	uint64_t era = defer_era();

	anyrcu_read_lock(); /* see bytes.c */
	chain_link(head, word);
	defer_bytes_add(era, defer_chain_bytes(&unused));
	anyrcu_read_unlock();
	defer_wake(false);
	press();
}

/*
 * The object begins @offset bytes before the head; it is to be freed, or its head to be passed to
 * @func.
 */
static noinline void defer_head_wide(struct anyrcu_head *head, uintptr_t func, size_t offset,
				     uint64_t bytes, unsigned context, uintptr_t caller)
{
	struct store_object o = { .func = func,
				  .arg = (uintptr_t)head - offset,
				  .context = context };

	o.bytes = countable(bytes);
	if (load(&store_debug)) {
		o.head = (uintptr_t)head;
		o.caller = caller;
		store_debug_mark(head, caller);
	}
	if (append_slow(&o))
		return;
	func = func == KEY_FREE ? offset + KEY_FREE : func;
	if (o.bytes)
		chain_push_sized(head, func, o.bytes);
	else
		chain_push(head, func);
}

static inline void defer_call(struct anyrcu_head *head, uintptr_t func, unsigned context,
			      void *caller)
{
	if (unlikely(load(&store_debug)))
		defer_head_wide(head, func, 0, 0, context, (uintptr_t)caller);
	else if (unlikely(!append(func, (uintptr_t)head, context)))
		chain_push(head, func);
}

/*
 * In the chain, the word for the function holds the head's offset in the object, plus KEY_FREE. No
 * function has an address that low.
 */
static inline void defer_free(struct anyrcu_head *head, size_t offset, unsigned context,
			      void *caller)
{
	if (unlikely(cache_defers((char *)head - offset, caller)))
		return;
	if (unlikely(load(&store_debug)))
		defer_head_wide(head, KEY_FREE, offset, 0, context, (uintptr_t)caller);
	else if (unlikely(!append(KEY_FREE, (uintptr_t)head - offset, context)))
		chain_push(head, offset + KEY_FREE);
}

void anyrcu_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head))
{
	defer_call(head, (uintptr_t)func, ANY_CONTEXT, __builtin_return_address(0));
}

void anyrcu_raw_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head))
{
	defer_call(head, (uintptr_t)func, RAW_CONTEXT, __builtin_return_address(0));
}

void anyrcu_free_head(struct anyrcu_head *head, size_t offset)
{
	defer_free(head, offset, ANY_CONTEXT, __builtin_return_address(0));
}

void anyrcu_raw_free_head(struct anyrcu_head *head, size_t offset)
{
	defer_free(head, offset, RAW_CONTEXT, __builtin_return_address(0));
}

void anyrcu_call_sized(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head),
		       size_t bytes)
{
	defer_head_wide(head, (uintptr_t)func, 0, bytes, ANY_CONTEXT,
			(uintptr_t)__builtin_return_address(0));
}

void anyrcu_free_head_sized(struct anyrcu_head *head, size_t offset, size_t bytes)
{
	if (!cache_defers((char *)head - offset, __builtin_return_address(0)))
		defer_head_wide(head, KEY_FREE, offset, bytes, ANY_CONTEXT,
				(uintptr_t)__builtin_return_address(0));
}

static noinline bool refuse(uint64_t *why)
{
	count_add(&defer_stats.refused, 1);
	if (why)
		count_add(why, 1);
	return false;
}

static noinline bool too_many_in_flood(void)
{
	return defer_pending_closed() > 4 * load(&defer_limits.pending_max) ||
	       defer_bytes_pending() > load(&defer_limits.pending_bytes_max);
}

/* Is much more pending than flood control should have allowed? */
static inline bool too_many(void)
{
	return unlikely(load(&defer_flood)) && too_many_in_flood();
}

/* Would @bytes more exceed the bound? Never if nothing else is pending. */
static bool too_large(uint64_t bytes)
{
	uint64_t pending = defer_bytes_pending();

	return pending && pending + bytes > load(&defer_limits.pending_bytes_max);
}

static bool headless_sized(uintptr_t func, uintptr_t arg, uint64_t bytes)
{
	struct store_object o = { .func = func, .arg = arg, .context = ANY_CONTEXT };

	o.bytes = countable(bytes);
	if (too_large(o.bytes))
		return refuse(&defer_stats.refused_bytes);
	if (too_many())
		return refuse(&defer_stats.refused_bound);
	return append_slow(&o) || refuse(NULL);
}

bool anyrcu_call_headless_sized(void (*func)(void *arg), void *arg, size_t bytes)
{
	return headless_sized((uintptr_t)func, (uintptr_t)arg, bytes);
}

bool anyrcu_free_headless_sized(void *ptr, size_t bytes)
{
	return !ptr || cache_defers(ptr, __builtin_return_address(0)) ||
	       headless_sized(KEY_FREE, (uintptr_t)ptr, bytes);
}

bool anyrcu_call_headless(void (*func)(void *arg), void *arg)
{
	if (too_many())
		return refuse(&defer_stats.refused_bound);
	return append((uintptr_t)func, (uintptr_t)arg, ANY_CONTEXT) || refuse(NULL);
}

bool anyrcu_free_headless(void *ptr)
{
	if (!ptr || unlikely(cache_defers(ptr, __builtin_return_address(0))))
		return true;
	if (too_many())
		return refuse(&defer_stats.refused_bound);
	return append(KEY_FREE, (uintptr_t)ptr, ANY_CONTEXT) || refuse(NULL);
}

/* ---- by tasks ---- */

static bool free_again(void *p)
{
	return append(KEY_FREE, (uintptr_t)p, TASK_CONTEXT);
}

/*
 * The exchange is worth its memory only in a program that frees much, so it begins once a page has
 * been full. It needs a worker, which frees the objects that tasks leave behind. A program that
 * only frees by tasks gets one here if none could be started before.
 */
static noinline bool exchange_other(void *p)
{
	bool first, done = exchange_slow(p, &first);

	defer_workers_retry();
	if (first)
		defer_wake(false);
	if (done)
		return true;
	if (unlikely(load(&defer_store.sealed_objects)) && !load(&exchange_cpus) &&
	    defer_workers() && !load(&store_debug))
		exchange_begin(free_again);
	return false;
}

/* False: @p was not stored. */
static inline bool exchange(void *p)
{
	return likely(exchange_free(p)) || exchange_other(p);
}

void anyrcu_free_task_head(struct anyrcu_head *head, size_t offset)
{
	if (unlikely(cache_defers((char *)head - offset, __builtin_return_address(0))))
		return;
	if (!exchange((char *)head - offset))
		defer_free(head, offset, TASK_CONTEXT, __builtin_return_address(0));
}

bool anyrcu_free_task_headless(void *ptr)
{
	return !ptr || unlikely(cache_defers(ptr, __builtin_return_address(0))) || exchange(ptr) ||
	       anyrcu_free_headless(ptr);
}

/*
 * See mightsleep(). In a flood a task helps: it frees some of the ready objects (no callbacks, so
 * it takes no lock of the program but malloc's), and past the bound it waits for a grace period.
 */
static bool append_sized(uintptr_t func, uintptr_t arg, uint64_t bytes)
{
	struct store_object o = {
		.func = func, .arg = arg, .bytes = bytes, .context = TASK_CONTEXT
	};

	return bytes ? append_slow(&o) : append(func, arg, TASK_CONTEXT);
}

static void mightsleep(uintptr_t func, uintptr_t arg, uint64_t bytes)
{
	bool done, fits;

	bytes = countable(bytes);
	if (unlikely(load(&defer_flood))) {
		defer_advance();
		count_add(&defer_stats.helped, defer_drain(STORE_WORDS, DEFER_ONLY_FREE));
		if (too_many())
			anyrcu_synchronize();
	}
	fits = !bytes || !too_large(bytes);
	done = fits && append_sized(func, arg, bytes);
	if (fits && !done && load(&defer_store.bytes) < load(&defer_store.bytes_max)) {
		pages_refill();
		done = append_sized(func, arg, bytes);
	}
	if (done)
		return;
	anyrcu_synchronize();
	/* Counted before the callback, which may end the thread. */
	count_add(&defer_stats.inline_, 1);
	count_add(&defer_stats.invoked, 1);
	if (func == KEY_FREE)
		port_free((void *)arg);
	else
		((void (*)(void *))func)((void *)arg);
}

void anyrcu_call_mightsleep(void (*func)(void *arg), void *arg)
{
	gp_may_wait("anyrcu_call_mightsleep()");
	mightsleep((uintptr_t)func, (uintptr_t)arg, 0);
}

static void free_mightsleep(void *ptr, uint64_t bytes, const char *name, const void *caller)
{
	if (!ptr)
		return;
	gp_may_wait(name); /* for an object of a cache too, which happens not to sleep */
	if (!cache_defers(ptr, caller))
		mightsleep(KEY_FREE, (uintptr_t)ptr, bytes);
}

void anyrcu_free_mightsleep(void *ptr)
{
	free_mightsleep(ptr, 0, "anyrcu_free_mightsleep()", __builtin_return_address(0));
}

void anyrcu_call_mightsleep_sized(void (*func)(void *arg), void *arg, size_t bytes)
{
	gp_may_wait("anyrcu_call_mightsleep_sized()");
	mightsleep((uintptr_t)func, (uintptr_t)arg, bytes);
}

void anyrcu_free_mightsleep_sized(void *ptr, size_t bytes)
{
	free_mightsleep(ptr, bytes, "anyrcu_free_mightsleep_sized()", __builtin_return_address(0));
}
