/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Scenes that stop a thread as it goes to sleep, pauses, starts or wakes another, is forked, or
 * gives a page back: each belongs to a mutant that all other tests had left.
 */
#include <defer/defer.h>
#include <defer/pipe.h>
#include <domain/private.h>
#include <pages/pages.h>
#include <pages/zone.h>
#include "scenes.h"

/* ---- a worker is about to wait for the delay; a barrier begins, and its caller stops ---- */

static void barrier_before_tick(void)
{
	configure((struct anyrcu_config){ .workers = 1, .delay_us = 10000000 });
	for (int i = 0; i < 12; i++) {
		struct object *o = object_new();

		defer(o, 0);
		port_sleep(MS);
		sim_stop_after(-1, SIM_READ, &defer_pipe.nready, 1 + sim_random(4), MS);
		defer_wake(true);
		port_sleep(sim_random(2) * 200000);
		lock_pipe();
		store(&defer_pipe.force, true);
		unlock_pipe();
		defer_wake(true);
		soon(o, 200 * MS);
	}
}

/* ---- a domain's worker that pauses for a fork wakes when the next is under way ---- */

static struct anyrcu_head heads[300];
static uint32_t went;

static void on_slow(struct anyrcu_head *head)
{
	port_sleep(100000);
	fetch_add(&went, 1);
}

static void none_goes_on(void)
{
	uint32_t before = fetch_add(&went, 0);

	port_sleep(2 * MS);
	SIM_CHECK(fetch_add(&went, 0) == before);
}

static void domain_forked_again(void)
{
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 100 });
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		anyrcu_domain_call(domain, &heads[i], on_slow);
	while (!fetch_add(&went, 0))
		port_sleep(50000);
	for (int i = 0; i < 6; i++) {
		sim_fork_fails();
		sim_stop_after(-1, SIM_READ, &domains.pause, 1 + sim_random(3), MS);
		sim_fork_fails();
	}
	anyrcu_domain_barrier(domain);
	SIM_CHECK(fetch_add(&went, 0) == ARRAY_SIZE(heads));
}

/* ---- a domain's chain is taken, and a thread may still see the page that went before ---- */

static void synchronize(void *unused)
{
	anyrcu_synchronize();
}

static void has_barrier(void *unused)
{
	anyrcu_domain_barrier(domain);
}

static void defers_one(void *unused)
{
	domain_defer();
}

static void defers_in_turn(void *unused)
{
	domain_defer(); /* into a page, */
	wait_turn(1);
	domain_defer(); /* and into the chain, as there is one */
	wait_turn(2);
	domain_defer();
}

static void page_seen_behind_chain(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	int thread, collector;

	SIM_CHECK(!domain_make(&domain, &source, NULL)); /* without a worker */
	thread = sim_start(defers_in_turn, NULL);
	port_sleep(10 * MS);
	take_all_pages();
	sim_join(sim_start(defers_one, NULL));
	next_turn();
	port_sleep(10 * MS);
	sim_stop_after(-1, SIM_WRITE, &domain->store.chain, 1, 60 * MS);
	collector = sim_start(has_barrier, NULL);
	sim_wait_stop();
	next_turn();
	sim_join(thread);
	sim_join(collector);
}

/* ---- a domain's worker is about to be started, and another thread tries it as well ---- */

static void starts_worker(void *unused)
{
	domain_start(domain, port_thread_start);
}

static void start_tried_by_two(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	int thread;

	SIM_CHECK(!domain_make(&domain, &source, NULL));
	sim_stop_after(-1, SIM_WRITE, &domain->wanted, 1, 60 * MS);
	thread = sim_start(starts_worker, NULL);
	sim_wait_stop();
	store(&domains.failing, true); /* as if another domain's could not be started */
	domain_retry();
	sim_join(thread);
	domain_defer();
}

/* ---- a program that reclaims by itself arms its bell while an object is deferred ---- */

static uint32_t rung, rung_by_deferral;

static void on_bell(void)
{
	fetch_add(&rung, 1);
}

static void defers_once(void *o)
{
	wait_turn(1);
	store(&((struct object *)o)->accepted, 1);
	anyrcu_call(o, on_head);
	store(&rung_by_deferral, fetch_add(&rung, 0)); /* the thread's end may ring as well */
}

static void bell_armed_beside_deferral(void)
{
	bool empty;
	int thread = sim_start(defers_once, object_new());

	store_release(&defer_bell, on_bell);
	sim_stop_after(thread, SIM_READ, &defer_bell_armed, 1, 60 * MS);
	next_turn();
	sim_wait_stop();
	store_release(&defer_bell_armed, BELL_ANY); /* as anyrcu_reclaim_poll() does */
	full_fence();
	empty = defer_empty();
	sim_join(thread);
	SIM_CHECK(!empty || load(&rung_by_deferral));
	store_release(&defer_bell, NULL);
	anyrcu_barrier();
}

/* ---- a thread dies while it defers to the chain: no bytes are counted for ever ---- */

static void on_any(struct anyrcu_head *head)
{
}

static void defers_and_dies(void *unused)
{
	for (int i = 0; i < 8; i++)
		anyrcu_call_sized(&heads[i], on_any, 1000);
}

static void handler_dies(void)
{
	if (sim_self() && sim_random(3) == 0)
		sim_die();
}

static void chain_pusher_dies(void)
{
	int thread;

	take_all_pages();
	sim_handlers = 10000;
	thread = sim_start(defers_and_dies, NULL);
	sim_join(thread);
	sim_handlers = 0;
	anyrcu_barrier();
	SIM_CHECK(defer_bytes_pending() == 0);
}

/* ---- a thread has put a page into the reserve, which is full now, and not counted it ---- */

#define LARGE (ANYRCU_PAGE_ORDER_MAX - 2)
#define RESERVE 32 /* pages of that order in the reserve, */
#define ON_CPU 2 /* and in the list of a CPU */

static void *large[RESERVE + ON_CPU];

static void nothing(void *unused)
{
}

static void gives_back(void *page)
{
	sim_stop_at(1 + sim_random(20), 60 * MS);
	page_free(page, LARGE);
}

static void refill_beside_uncounted(void)
{
	unsigned n = 0;
	int thread[2];

	for (unsigned round = 0; round < 10 && n < RESERVE; round++) {
		for (n = 0; n < RESERVE && (large[n] = page_alloc(ANYRCU_GFP_NO_LOCKS, LARGE));)
			n++;
		for (unsigned i = 0; n < RESERVE && i < n; i++)
			zone_return(large[i], LARGE);
		if (n < RESERVE)
			pages_refill();
	}
	SIM_CHECK(n == RESERVE);
	for (; n < ARRAY_SIZE(large); n++)
		SIM_CHECK((large[n] = zone_alloc(LARGE, true)));
	while (n > 1)
		page_free(large[--n], LARGE);
	thread[0] = sim_start(nothing, NULL);
	thread[1] = sim_start(gives_back, large[0]); /* on the CPU of this one */
	port_sleep(MS);
	pages_refill();
	sim_join(thread[0]);
	sim_join(thread[1]);
}

const struct sim_scene windows_tasks_scenes[] = {
	{ "window_barrier_before_tick", barrier_before_tick, barrier_and_sums, .seeds = 40 },
	{ "window_domain_forked_again", domain_forked_again, .at_fork = none_goes_on, .seeds = 40 },
	{ "window_page_seen_behind_chain", page_seen_behind_chain, domain_finish, .env = NO_WORKERS,
	  .seeds = 60 },
	{ "window_start_tried_by_two", start_tried_by_two, domain_finish, .env = NO_WORKERS,
	  .seeds = 20 },
	{ "window_bell_armed_beside_deferral", bell_armed_beside_deferral, barrier_and_sums,
	  .env = NO_WORKERS, .seeds = 40 },
	{ "window_chain_pusher_dies", chain_pusher_dies, .handler = handler_dies, .env = NO_WORKERS,
	  .seeds = 100 },
	{ "window_refill_beside_uncounted", refill_beside_uncounted, .env = NO_WORKERS,
	  .seeds = 40 },
	{ 0 },
};
