/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Calls that run the pipeline, or wait for it: anyrcu_barrier(), anyrcu_reclaim(). */
#include <defer/exchange.h>
#include <defer/pipe.h>
#include <pages/pages.h>

/* milliseconds without progress, after which a barrier invokes callbacks itself */
#define HELP_AFTER 50

/*
 * Are all callbacks of generation @gen and of older ones invoked? In each list the first page is
 * the oldest. Under the lock.
 */
static bool all_invoked(uint64_t gen)
{
	if (defer_pipe.gen < gen ||
	    (defer_pipe.waits &&
	     (defer_pipe.gen == gen || (defer_pipe.waiting && defer_pipe.waiting->gen <= gen))))
		return false;
	if (defer_pipe.unsettled && defer_pipe.unsettled->gen <= gen)
		return false;
	if (ready_until(gen))
		return false;
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &defer_pipe.drainers[i];

		if (d->owner && d->gen <= gen && !load(&d->in_barrier))
			return false;
	}
	return true;
}

/*
 * Release the slots of drainers that died without running their exit function, in a callback that
 * ended the thread by a raw system call.
 */
static void bury_drainers(void)
{
	struct store_page *drained[DRAINERS] = { 0 };

	lock_pipe();
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &defer_pipe.drainers[i];

		if (d->owner && d->owner != port_id() && port_tid_dead(d->tid))
			drained[i] = drainer_release(d);
	}
	unlock_pipe();
	for (unsigned i = 0; i < DRAINERS; i++)
		page_free(drained[i], 0);
}

/*
 * The slot of the calling thread whose callback has called a barrier. If the barrier invokes
 * callbacks itself, it does so in another slot.
 */
static struct drainer *barrier_slot(void)
{
	for (unsigned i = 0; i < DRAINERS; i++)
		if (load(&defer_pipe.drainers[i].owner) == port_id() &&
		    load(&defer_pipe.drainers[i].in_barrier))
			return &defer_pipe.drainers[i];
	return NULL;
}

/*
 * A barrier inside a callback would wait for itself. But a callback may call exit(), which runs the
 * program's exit handlers, and one of these may call a barrier. Such a barrier is allowed; it does
 * not wait for callbacks that have called exit() and are in a barrier themselves. Callbacks that it
 * invokes may not call a barrier.
 */
static void barrier_begins(const void *caller)
{
	struct drainer *d = drainer_of(port_id());

	if (!d)
		store_tells(&defer_store, STORE_BARRIER, caller);
	if (d && (!port_exiting() || barrier_slot()))
		port_bug("anyrcu_barrier() inside a callback");
	if (d)
		store(&d->in_barrier, true);
}

static void barrier_ends(void)
{
	struct drainer *d = barrier_slot();

	if (d)
		store(&d->in_barrier, false);
}

static bool barrier_over(uint64_t gen)
{
	bool over;

	lock_pipe();
	over = all_invoked(gen);
	unlock_pipe();
	return over;
}

void anyrcu_barrier(void)
{
	unsigned idle = 0;
	bool online;
	uint64_t gen;

	gp_may_wait("anyrcu_barrier()");
	barrier_begins(__builtin_return_address(0));
	online = gp_waits_begin();
	full_fence();
	if (unlikely(exchange_used()) && !exchange_collect())
		exchange_free_rest();
	lock_pipe();
	gen = defer_pipe.gen + 1;
	store(&defer_pipe.force, true);
	unlock_pipe();
	defer_wake(true);
	for (unsigned round = 0;; round++) {
		uint32_t progress = event_prepare(&defer_pipe.progress);
		anyrcu_gp_t cookie;

		defer_advance();
		/*
		 * Workers may be blocked in callbacks, or kept from running by real-time threads.
		 */
		if (!defer_workers() || idle >= HELP_AFTER)
			defer_drain(DEFER_PORTION, 0); /* others may defer without end */
		if (barrier_over(gen))
			break;
		if (defer_waiting(&cookie)) {
			gp_pause(cookie, round);
			gp_stall_check();
			continue;
		}
		port_wait(&defer_pipe.progress, progress, 1000000);
		idle = load(&defer_pipe.progress) == progress ? idle + 1 : 0;
		if (idle % 64 == 63)
			bury_drainers();
	}
	barrier_ends();
	gp_waits_end(online);
	full_fence();
}

size_t anyrcu_reclaim(size_t budget)
{
	size_t n;

	gp_must_not_read("anyrcu_reclaim()");
	if (defer_in_callback())
		port_bug("anyrcu_reclaim() inside a callback");
	if (gp_wanted()) {
		gp_step();
		gp_remind();
	}
	if (unlikely(exchange_used()) && !defer_workers() && !exchange_collect() && budget)
		exchange_free_matured();
	defer_advance();
	n = defer_drain(budget, 0);
	defer_advance();
	if (!defer_workers())
		defer_work_on_memory();
	else if (pages_want_refill())
		pages_refill();
	return n;
}
