/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Scenes that lead two or three threads to the places where a mistake would show, and stop them
 * there, as chance seldom does: each belongs to a mutant of tests/mutants/named.py.
 */
#include <defer/defer.h>
#include <defer/pipe.h>
#include <domain/private.h>
#include <pages/pages.h>
#include <port/process.h>
#include "scenes.h"

static uint32_t turn;

void wait_turn(uint32_t n)
{
	while (fetch_add(&turn, 0) < n)
		port_sleep(50000);
}

void next_turn(void)
{
	fetch_add(&turn, 1);
}

static void holds_until(void *n)
{
	anyrcu_read_lock();
	wait_turn((uintptr_t)n);
	anyrcu_read_unlock();
}

/* ---- a driver stops behind its number, before it scans, and a thread in a section forks ---- */

static anyrcu_gp_t asked;

static void forks_inside(void *unused)
{
	anyrcu_read_lock();
	sim_stop_after(-1, SIM_WRITE, &anyrcu_gp.ctr, 1, 30 * MS);
	next_turn();
	port_sleep(10 * MS);
	if (!sim_fork())
		port_sleep(50 * MS);
	SIM_CHECK(!anyrcu_gp_done(load(&asked)));
	anyrcu_read_unlock();
}

static void waits_beside(void *unused)
{
	wait_turn(1);
	store(&asked, anyrcu_gp_start());
	anyrcu_gp_wait(load(&asked));
}

static void fork_beside_begin(void)
{
	int threads[2];

	threads[0] = sim_start(forks_inside, NULL);
	threads[1] = sim_start(waits_beside, NULL);
	sim_join(threads[0]);
	sim_join(threads[1]);
}

/* ---- a drainer that pauses for a fork wakes late, when the next fork is under way ---- */

static uint32_t slow;

static void on_slow(void *o)
{
	port_sleep(100000);
	fetch_add(&slow, 1);
	invoked(o);
}

/* While a fork is at its instant, no callback begins or ends. */
static void none_goes_on(void)
{
	uint32_t before = fetch_add(&slow, 0);

	port_sleep(2 * MS);
	SIM_CHECK(fetch_add(&slow, 0) == before);
}

static void forks_again(void)
{
	configure((struct anyrcu_config){ .workers = 1, .delay_us = 100 });
	for (int i = 0; i < 20; i++) {
		struct object *o = object_new();

		store(&o->accepted, anyrcu_call_headless(on_slow, o));
	}
	while (!fetch_add(&slow, 0))
		port_sleep(50000);
	for (int i = 0; i < 4; i++) {
		sim_fork_fails();
		sim_stop_after(-1, SIM_READ, &defer_pipe.pause, 1, MS);
		sim_fork_fails();
		port_sleep(3 * MS);
	}
}

/* ---- two threads ask for grace periods, and the one that asks for less is late ---- */

static void asks_late(void *unused)
{
	sim_stop_at(1 + sim_random(10), 8 * MS);
	anyrcu_gp_start();
}

static void asked_for_less(void)
{
	int late = sim_start(asks_late, NULL), holder;
	anyrcu_gp_t gp;

	port_sleep(MS);
	poller((void *)1);
	holder = sim_start(holds_until, (void *)1);
	port_sleep(MS);
	anyrcu_gp_start();
	port_sleep(MS); /* it has begun, and waits for the holder */
	gp = anyrcu_gp_start();
	sim_join(late);
	next_turn();
	for (uint64_t begun = sim_now(); !anyrcu_gp_done(gp); port_sleep(100000))
		SIM_CHECK(sim_now() - begun < 200 * MS);
	sim_join(holder);
}

/* ---- a worker that is about to wait for the delay is asked for a grace period ---- */

static void asked_before_tick(void)
{
	configure((struct anyrcu_config){ .workers = 1, .delay_us = 10000000 });
	defer_new(0);
	port_sleep(MS);
	for (int i = 0; i < 12; i++) {
		sim_stop_after(-1, SIM_READ, &defer_store.sealed, 1, MS);
		poller((void *)1);
	}
}

/* ---- domains: the chain and the pages ---- */

static void defers_one(void *unused)
{
	domain_defer();
}

static void collects(void *unused)
{
	anyrcu_domain_barrier(domain);
}

static void next_turn_alone(void)
{
	next_turn();
	port_sleep(10 * MS);
}

/*
 * Another thread has filled the chain, and this one's open page has room. This one begins a
 * deferral when the collector waits for the grace period that comes before the collection, and
 * stops somewhere while page and chain are collected.
 */
static void stops_before_page(void *unused)
{
	domain_defer();
	wait_turn(1);
	domain_defer();
	wait_turn(2);
	domain_defer();
	wait_turn(4);
	domain_defer();
}

static void page_collected_before_append(void)
{
	int thread[4], n = 0, stops;

	domain_make_one((struct anyrcu_domain_config){ .delay_us = 10000000 });
	thread[n++] = sim_start(holds_until, (void *)3);
	port_sleep(10 * MS);
	stops = thread[n++] = sim_start(stops_before_page, NULL); /* its lane is the first */
	port_sleep(10 * MS); /* the first is collected, and waits for the holder; */
	next_turn_alone(); /* the second is in a page; */
	take_all_pages();
	sim_join(sim_start(defers_one, NULL));
	next_turn_alone(); /* the third is chained; */
	next_turn_alone(); /* the first is invoked; */
	thread[n++] = sim_start(holds_until, (void *)5);
	port_sleep(10 * MS);
	thread[n++] = sim_start(collects, NULL);
	port_sleep(10 * MS); /* the collector waits for the other holder; */
	sim_stop_after(stops, SIM_READ, &domain->lane[0].open[0], 1, 100 * MS);
	next_turn_alone(); /* the fourth is begun; */
	next_turn(); /* and what is before it is collected */
	while (n)
		sim_join(thread[--n]);
}

/*
 * This one has seen no chain and has no page; while it stops, another thread chains, a page comes,
 * and the collector has taken the pages but not the chain.
 */
static void stops_before_open(void *unused)
{
	wait_turn(1);
	domain_defer();
	domain_defer();
}

static void defers_second(void *unused)
{
	wait_turn(2);
	domain_defer();
	next_turn();
}

static void chain_collected_after_append(void)
{
	void *page = page_alloc(ANYRCU_GFP_KERNEL, 0);
	int other, stops, collector;

	domain_make_one((struct anyrcu_domain_config){ .delay_us = 10000000 });
	take_all_pages();
	other = sim_start(defers_second, NULL);
	stops = sim_start(stops_before_open, NULL); /* on the CPU of this one, which frees a page */
	SIM_CHECK(stops % 2 == 0);
	sim_stop_after(stops, SIM_READ, &domain->store.chain, 2, 20 * MS);
	next_turn();
	sim_wait_stop();
	sim_stop_after(-1, SIM_READ, &domain->lane[0].open[0], 1, 60 * MS); /* of the worker */
	next_turn();
	wait_turn(3);
	page_free(page, 0);
	collector = sim_start(collects, NULL);
	sim_join(other);
	sim_join(stops);
	sim_join(collector);
}

/* ---- a thread ends, and a handler comes when its record is free for another ---- */

static struct anyrcu_reader *ending;
static uint64_t its_owner;

static void ends(void *unused)
{
	section();
	next_turn();
	wait_turn(2);
	store(&its_owner, load(&anyrcu_self->owner));
	store(&ending, anyrcu_self);
	next_turn();
	sim_eager();
}

static void handler_behind_end(void)
{
	struct anyrcu_reader *r = load(&ending);

	if (!r || load(&r->owner) == load(&its_owner))
		return;
	store(&ending, NULL);
	for (int i = 0; i < 20; i++) {
		section();
		port_sleep(1 + sim_random(2000));
	}
}

static void claims(void *unused)
{
	wait_turn(3);
	for (int i = 0; i < 40 && fetch_add(&turn, 0) < 4; i++) {
		section();
		port_sleep(1 + sim_random(2000));
	}
}

static void updates(void *unused)
{
	wait_turn(3);
	for (int i = 0; i < 40 && fetch_add(&turn, 0) < 4; i++) {
		update(0, 0);
		port_sleep(1 + sim_random(2000));
	}
}

static void record_claimed_beside_end(void)
{
	int claimer, updater, ender;

	publish_two();
	ender = sim_start(ends, NULL);
	wait_turn(1);
	claim_all(); /* but the one */
	platform.maps_allowed = 0;
	sim_handlers = 10000;
	claimer = sim_start(claims, NULL);
	updater = sim_start(updates, NULL);
	next_turn();
	sim_join(ender);
	next_turn();
	sim_join(claimer);
	sim_join(updater);
}

const struct sim_scene windows_scenes[] = {
	{ "window_fork_beside_begin", fork_beside_begin, barrier_all, .seeds = 10 },
	{ "window_forks_again", forks_again, barrier_and_sums, .at_fork = none_goes_on,
	  .seeds = 20 },
	{ "window_asked_for_less", asked_for_less, barrier_and_sums, .seeds = 40 },
	{ "window_asked_before_tick", asked_before_tick, barrier_and_sums, .seeds = 20 },
	{ "window_page_collected_before_append", page_collected_before_append, domain_finish,
	  .seeds = 20 },
	{ "window_chain_collected_after_append", chain_collected_after_append, domain_finish,
	  .seeds = 20 },
	{ "window_record_claimed_beside_end", record_claimed_beside_end,
	  .handler = handler_behind_end, .env = NO_WORKERS, .seeds = 30 },
	{ 0 },
};
