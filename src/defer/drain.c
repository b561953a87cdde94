/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Invoking the callbacks of ready pages and chains. See pipe.h. */
#include <anyrcu/page.h>
#include <base/test_point.h>
#include <defer/pipe.h>
#include <pages/pages.h>

/*
 * Words that are prefetched ahead of the callback. Measured: no difference from 12 to 40 on a quiet
 * machine; a higher value is better under memory load.
 */
#define AHEAD 32

/*
 * Give back the rest of @d, unless NULL, and take the next page or chain, if @more. A thread that
 * waits for the lock here is between callbacks, so it counts as paused. A thread that follows moves
 * before it takes a page: if a real-time thread keeps it from running there, it holds no page.
 */
static struct drainer *drainer_next(struct drainer *d, bool more, unsigned how)
{
	struct store_page *drained = NULL;
	bool follow = how & DEFER_FOLLOW;
	unsigned cpu;

	if (!d && (!more || !load(&defer_pipe.nready)))
		return NULL;
	if (d)
		store_release(&d->paused, 1);
	lock_pipe();
	if (d)
		drained = drainer_release(d);
	while (more && follow && (cpu = ready_cpu()) != port_cpu()) {
		unlock_pipe();
		port_follow(cpu);
		follow = false;
		lock_pipe();
	}
	d = more ? drainer_acquire(how & DEFER_ONLY_FREE) : NULL;
	unlock_pipe();
	page_free(drained, 0);
	return d;
}

static noinline void pause_for_fork(struct drainer *d)
{
	do {
		store_release(&d->paused, 1);
		while (load_acquire(&defer_pipe.pause))
			port_wait(&defer_pipe.pause, 1, 0);
		store(&d->paused, 0);
		/*
		 * pairs with that in defer_fork_paused(): the next fork sees us running, or we see
		 * its "pause"
		 */
		full_fence();
	} while (load(&defer_pipe.pause));
}

static inline void invoke(uintptr_t func, uintptr_t arg)
{
	if (func == KEY_FREE)
		port_free((void *)arg);
	else
		((void (*)(void *))func)((void *)arg);
}

/*
 * The cursor moves first: the release fence orders it before the callback's stores, so the child of
 * a fork never sees those stores without the cursor.
 */
static inline void advance_cursor(struct drainer *d, struct store_page *p, uint32_t to)
{
	store(&p->cursor, to);
	store(&d->done, d->done + 1);
	release_fence();
}

/* The thread that reserved the slot ended before filling it (see store.h): there is no object. */
static noinline void skip_slot(struct store_page *p, uint32_t to)
{
	store(&p->cursor, to);
	count_add(&defer_stats.page, -UINT64_C(1));
}

/* malloc() keeps an object's size in the words before it. */
static inline void prefetch(uintptr_t func, uintptr_t arg)
{
	__builtin_prefetch((void *)arg, 1);
	if (func == KEY_FREE)
		__builtin_prefetch((void *)(arg - sizeof(size_t)), 1);
}

static void drain_uniform(struct drainer *d, struct store_page *p, size_t budget)
{
	uint32_t used = store_used(p);
	uintptr_t func = p->open.key;

	for (uint32_t i = p->cursor; i < used && d->done < budget; i++) {
		uintptr_t arg = load_acquire(&p->word[i]);

		if (unlikely(load(&defer_pipe.pause)))
			pause_for_fork(d);
		if (i + AHEAD < used)
			prefetch(func, load(&p->word[i + AHEAD]));
		if (likely(arg || !p->shared)) {
			advance_cursor(d, p, i + 1);
			test_point(INVOKE);
			invoke(func, arg);
		} else {
			skip_slot(p, i + 1);
		}
	}
}

/*
 * A page of objects for free(), on a platform that frees many together, and does not fork. The
 * objects move up to the cursor, so that empty slots are left out.
 */
static inline void drain_bulk(struct drainer *d, struct store_page *p, size_t budget)
{
	uint32_t from = p->cursor, i = from, used = store_used(p), n = 0;

	for (; i < used && n < budget; i++) {
		uintptr_t arg = load_acquire(&p->word[i]);

		if (arg)
			store(&p->word[from + n++], arg);
	}
	count_add(&defer_stats.page, -(uint64_t)(i - from - n));
	port_free_bulk(&p->word[from], n);
	store(&p->cursor, i);
	store(&d->done, n);
}

static noinline void advance_wide(struct drainer *d, struct store_page *p, uint32_t i,
				  uintptr_t func)
{
	uint64_t bytes = load(&p->word[i + 4]);

	if (p->word[i + 2])
		store_debug_unmark((struct anyrcu_head *)p->word[i + 2], func, p->word[i + 3]);
	advance_cursor(d, p, i + store_width(KEY_WIDE));
	if (bytes)
		defer_bytes_subtract(bytes);
}

static void drain_mixed(struct drainer *d, struct store_page *p, size_t budget, bool only_free)
{
	uint32_t used = store_used(p), width = store_width(p->open.key);

	for (uint32_t i = p->cursor; i < used && d->done < budget; i += width) {
		uintptr_t func = load_acquire(&p->word[i]), arg = load(&p->word[i + 1]);

		if (only_free && func > KEY_FREE)
			break;
		if (unlikely(load(&defer_pipe.pause)))
			pause_for_fork(d);
		if (i + AHEAD * width < used)
			prefetch(load(&p->word[i + AHEAD * width]),
				 load(&p->word[i + AHEAD * width + 1]));
		if (!func) {
			skip_slot(p, i + width);
			continue;
		}
		if (p->open.key == KEY_WIDE)
			advance_wide(d, p, i, func);
		else
			advance_cursor(d, p, i + width);
		invoke(func, arg);
	}
}

static void drain_chain(struct drainer *d, size_t budget)
{
	while (d->head && d->done < budget) {
		struct anyrcu_head *head = d->head;
		uintptr_t func = (uintptr_t)head->func;
		uint64_t bytes = defer_chain_bytes(&func);

		if (unlikely(load(&defer_pipe.pause)))
			pause_for_fork(d);
		store(&d->head, head->next);
		store(&d->done, d->done + 1);
		release_fence();
		if (bytes)
			defer_bytes_subtract(bytes);
		if (func <= 4096)
			port_free((char *)head - (func - KEY_FREE));
		else
			((void (*)(struct anyrcu_head *))func)(head);
	}
}

size_t defer_drain(size_t budget, unsigned how)
{
	int cancel = port_cancel_off();
	struct drainer *d = NULL;
	size_t n = 0;

	/* a callback may end the thread, which need not have been a reader yet */
	port_thread_exit_arm_task();
	while ((d = drainer_next(d, n < budget, how))) {
		store_tells(&defer_store, STORE_INVOKES, __builtin_return_address(0));
		if (!d->page)
			drain_chain(d, budget - n);
		else if (PORT_FREE_BULK && d->page->open.key == KEY_FREE)
			drain_bulk(d, d->page, budget - n);
		else if (store_width(d->page->open.key) == 1)
			drain_uniform(d, d->page, budget - n);
		else
			drain_mixed(d, d->page, budget - n, how & DEFER_ONLY_FREE);
		store_tells(&defer_store, STORE_INVOKED, NULL);
		n += d->done;
	}
	port_cancel_on(cancel);
	return n;
}

/* A callback may end its thread: give back the rest of the page. */
void defer_thread_exit(void)
{
	struct store_page *drained = NULL;
	struct drainer *d;

	/* more than one if the callback has called anyrcu_barrier() */
	while ((d = drainer_of(port_id()))) {
		store_tells(&defer_store, STORE_INVOKED, NULL);
		lock_pipe();
		drained = drainer_release(d);
		unlock_pipe();
		page_free(drained, 0);
	}
}
