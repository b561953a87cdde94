/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Collecting from the store, and waiting for the grace periods. See pipe.h. */
#include <defer/pipe.h>

/* Add the objects that were appended since the pages were last counted. */
static void count_pages(struct store_page *list)
{
	uint64_t n = 0;

	for (struct store_page *p = list; p; p = p->next)
		n += store_count(p);
	count_add(&defer_stats.page, n);
}

static void collect(bool all)
{
	struct store_page *list = NULL;
	uint32_t sealed = store_collect(&defer_store, all, &list);

	count_pages(list);
	defer_pipe.waiting_chain = store_chain_collect(&defer_store);
	if (list)
		port_rseq_fence();
	port_acquire(&defer_store.chain);
	/*
	 * From here on sequences append nothing: the pages that were open can be counted, and the
	 * cookie covers all their objects.
	 */
	count_pages(list);
	defer_pipe.gen++;
	for (struct store_page *p = list; p; p = p->next)
		p->gen = defer_pipe.gen;
	if (all) {
		store(&defer_pipe.force, false);
		store(&defer_pipe.due, port_now() + load(&defer_limits.delay_ns));
	}
	defer_flood_check();
	while (defer_pipe.unsettled) { /* in front, as they are of an older generation */
		struct store_page *p = defer_pipe.unsettled;

		defer_pipe.unsettled = p->next;
		p->next = list;
		list = p;
	}
	defer_pipe.waiting = list;
	store(&defer_pipe.waits, list || defer_pipe.waiting_chain);
	if (!defer_pipe.waits)
		return;
	defer_pipe.cookie = gp_cookie();
	count_add(&defer_stats.batches, 1);
	port_probe2(collect, defer_pipe.gen, sealed);
}

/*
 * The waiting generation has had its grace period. If no slot is free for its chain, it stays
 * waiting until a drainer frees one.
 */
static void make_ready(void)
{
	if (defer_pipe.waiting_chain && !ready_chain(defer_pipe.waiting_chain, defer_pipe.gen))
		return;
	defer_pipe.waiting_chain = NULL;
	while (defer_pipe.waiting) {
		struct store_page *p = defer_pipe.waiting;

		defer_pipe.waiting = p->next;
		if (p->settled) {
			ready_page(p);
		} else {
			p->settled = true;
			count_add(&defer_stats.page, store_count(p));
			p->next = defer_pipe.unsettled;
			defer_pipe.unsettled = p;
		}
	}
	store(&defer_pipe.waits, false);
}

/*
 * Must the open pages be collected? If full pages are collected anyway, they are collected after
 * half of the delay already. Then a busy worker is always woken by the caller that fills a page,
 * which it preempts at once. Its timer would wake it in the middle of a caller's time slice, and it
 * would wait for the end of the slice while pages accumulate.
 */
static bool due(bool backlog)
{
	uint64_t early = backlog ? load(&defer_limits.delay_ns) / 2 : 0;

	return (int64_t)(port_now() + early - load(&defer_pipe.due)) >= 0 &&
	       store_any(&defer_store);
}

/* Is so much pending that the delay is cut short? */
static bool presses(void)
{
	return defer_bytes_pending() > load(&defer_limits.pending_bytes_max) / 2 &&
	       store_any(&defer_store);
}

/*
 * As long as a generation waits, perhaps for a drainer, haste collects nothing; who moves that on
 * also collects what is there then.
 */
bool defer_hurries(void)
{
	bool full = !load(&defer_pipe.waits) && (store_has_backlog(&defer_store) || presses());

	return full || gp_wanted();
}

/* Returns whether there is a new generation. */
static bool advance(void)
{
	bool collected = false;

	if (load(&defer_pipe.waits))
		gp_step();
	lock_pipe();
	if (defer_pipe.waits && anyrcu_gp_done(defer_pipe.cookie))
		make_ready();
	if (!defer_pipe.waits) {
		bool backlog = store_has_backlog(&defer_store),
		     all = defer_pipe.force || due(backlog) || presses();

		if (all || backlog || defer_pipe.unsettled)
			collect(all);
		collected = defer_pipe.waits;
	} else if (store_has_backlog(&defer_store)) {
		/* while a reader stalls, nothing is collected, but a flood may come */
		defer_flood_check();
	}
	unlock_pipe();
	return collected;
}

/*
 * If no reader is in the way, a grace period takes one step: the generation that was just collected
 * is then ready at once.
 */
void defer_advance(void)
{
	if (advance())
		advance();
}

bool defer_waiting(anyrcu_gp_t *cookie)
{
	bool waits;

	lock_pipe();
	*cookie = defer_pipe.cookie;
	waits = defer_pipe.waits && !anyrcu_gp_done(defer_pipe.cookie);
	unlock_pipe();
	return waits;
}

bool defer_empty(void)
{
	bool empty;

	lock_pipe();
	empty = !defer_pipe.waits && !defer_pipe.unsettled && !defer_pipe.nready &&
		!defer_pipe.force && !store_any(&defer_store);
	unlock_pipe();
	return empty;
}

bool defer_moving(void)
{
	return load(&defer_pipe.force) || load(&defer_pipe.waits) || load(&defer_pipe.nready);
}

bool defer_ready(void)
{
	return load(&defer_pipe.nready);
}

uint64_t defer_due(void)
{
	return load(&defer_pipe.due);
}

void defer_delay_starts(void)
{
	lock_pipe();
	store(&defer_pipe.due, port_now() + load(&defer_limits.delay_ns));
	unlock_pipe();
}
