/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Scenes of workers, barriers and reclaim, and of the chain. */
#define _GNU_SOURCE
#include <defer/defer.h>
#include <defer/worker.h>
#include <port/process.h>
#include "scenes.h"

/* ---- workers ---- */

void caller(void *n)
{
	struct object *o = NULL;

	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		o = object_new();
		defer(o, sim_random(2));
		if (sim_random(2))
			soon(o, 200 * MS);
	}
	soon(o, 200 * MS);
}

static void worker_wakes(void)
{
	PLAY(2, caller, caller);
}

/* A caller stops in the middle of waking the worker: the next one that opens a page wakes it. */
static void stops_in_wake(void *unused)
{
	defer_new(0);
}

static void caller_stops(void)
{
	struct object *o;
	int stops;

	sim_join(sim_start(short_lived, NULL)); /* so that the next has another CPU than this one */
	port_sleep(40 * MS);
	platform.wake_stops = 1000 * MS;
	stops = sim_start(stops_in_wake, NULL);
	while (platform.wake_stops)
		port_sleep(MS);
	o = object_new();
	defer(o, 0);
	soon(o, 200 * MS);
	sim_join(stops);
}

static void workers_wake(void)
{
	configure((struct anyrcu_config){ .workers = 2 });
	PLAY(2, caller, caller);
}

/* A grace period that somebody polls for ends, though the worker waits for open pages to become
 * due. */
void poller(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		anyrcu_gp_t gp = anyrcu_gp_start();
		uint64_t begun = sim_now();

		while (!anyrcu_gp_done(gp)) {
			if (sim_now() - begun > 200 * MS)
				sim_fail("a grace period that is polled for has not ended "
					 "after %lu us",
					 (sim_now() - begun) / 1000);
			if (!defer_workers())
				anyrcu_reclaim(0); /* there is nobody else who would end it */
			port_sleep(100000);
		}
		if (sim_random(3) == 0)
			port_sleep(1 + sim_random(3000000));
	}
}

static void pollers(void)
{
	PLAY(2, poller, poller, poller);
}

static void polled(void)
{
	configure((struct anyrcu_config){ .workers = 1, .delay_us = 10000000 });
	defer_new(0);
	port_sleep(MS);
	PLAY(1, poller, poller);
}

static void polled_when_idle(void)
{
	PLAY(2, poller, poller);
	port_sleep(100 * MS);
	PLAY(1, poller, poller);
}

void restarted(void *unused)
{
	for (unsigned i = 0; i < 3; i++)
		configure((struct anyrcu_config){ .workers = 1 + i % 2, .delay_us = 1000 });
}

static void workers_restarted(void)
{
	PLAY(3, caller, restarted);
}

/*
 * A thread that is one worker too many ends, as when two threads start the same worker. The caller
 * of a deferral sees it awake and wakes none; the worker sleeps until it is woken.
 */
static void surplus_thread_ends(void)
{
	for (int i = 0; i < 10; i++) {
		struct object *o = object_new();

		port_sleep(100 * MS);
		SIM_CHECK(!fetch_add(&workers.slot[1].word, 0)); /* the last one has ended */
		sim_stop_after(-1, SIM_WRITE, &workers.state[1], 1, 50 * MS);
		store(&workers.wanted, 2);
		defer_workers_start_missing();
		store(&workers.wanted, 1);
		full_fence();
		sim_wait_stop(); /* it is awake, */
		sim_stop_after(-1, SIM_WRITE, &workers.state[1], 1, MS);
		sim_wait_stop(); /* and is not any more */
		defer(o, 0);
		soon(o, 200 * MS);
	}
}

void barrier_thread(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		struct object *o = object_new();

		defer(o, sim_random(5));
		anyrcu_barrier();
		SIM_CHECK(is_invoked(o));
	}
}

static void barriers(void)
{
	PLAY(2, barrier_thread, barrier_thread);
}

static void reclaimer(void *n)
{
	for (uintptr_t i = 0; i < 4 * (uintptr_t)n; i++) {
		anyrcu_reclaim(sim_random(3));
		port_sleep(3 * MS);
	}
}

static void barriers_and_reclaimers(void)
{
	PLAY(2, barrier_thread, reclaimer, reclaimer);
}

/* A callback ends its thread: what is left is for others. */
static uint32_t ends;

static void on_end(void *o)
{
	invoked(o);
	if (sim_self() != 0 && fetch_add(&ends, 1) < 2)
		sim_exit();
}

static void callbacks_end_threads(void)
{
	for (unsigned i = 0; i < 4; i++) {
		struct object *o = object_new();

		store(&o->begun, 1);
		store(&o->accepted, anyrcu_call_headless(on_end, o));
		store(&o->begun, 0);
		defer_new(i);
	}
	PLAY(1, reclaimer, barrier_thread);
}

/* ---- the chain ---- */

/* No page of pointers: all goes by the chain. */
static void chain_deferrer(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++)
		defer_new(sim_random(3));
}

static void no_pages(void)
{
	struct anyrcu_config c = { .workers = 1, .page_bytes_max = 65536 };

	take_all_pages();
	configure(c);
}

static void chains(void)
{
	no_pages();
	PLAY(4, chain_deferrer, chain_deferrer, barrier_thread);
}

/* More collections wait than there are places for chains, as nobody drains. */
static void more_chains_than_places(void)
{
	no_pages();
	configure((struct anyrcu_config){ .workers = -1 });
	for (int i = 0; i < 12; i++) {
		defer_new(i % 3);
		defer_new(0);
		port_sleep(20 * MS);
		anyrcu_reclaim(i == 9 ? 1 : 0);
	}
	for (int i = 0; i < 40; i++) {
		anyrcu_reclaim(1);
		port_sleep(20 * MS);
	}
}

/* The same while one is held in a callback. */
static uint32_t go_on;

static void on_held(struct anyrcu_head *head)
{
	while (!now(&go_on))
		port_sleep(MS);
	invoked((struct object *)head);
}

static void more_chains_beside_callback(void)
{
	struct object *o;

	no_pages();
	o = object_new();
	store(&o->accepted, 1);
	anyrcu_call(&o->head, on_held);
	port_sleep(50 * MS);
	for (int i = 0; i < 12; i++) {
		defer_new(i % 3);
		defer_new(0);
		port_sleep(20 * MS);
		anyrcu_reclaim(0);
	}
	fetch_add(&go_on, 1);
}

const struct sim_scene workers_scenes[] = {
	{ "worker_wakes", worker_wakes, barrier_and_sums, .seeds = 80 },
	{ "worker_wakes_behind_stop", caller_stops, barrier_and_sums, .seeds = 20 },
	{ "polled_by_many", pollers, .seeds = 60 },
	{ "polled_without_worker", pollers, .env = NO_WORKERS, .seeds = 60 },
	{ "workers_wake", workers_wake, barrier_and_sums, .seeds = 80 },
	{ "polled", polled, barrier_and_sums, .seeds = 40 },
	{ "polled_when_idle", polled_when_idle, barrier_and_sums, .seeds = 40 },
	{ "workers_restarted", workers_restarted, barrier_and_sums, .seeds = 40 },
	{ "worker_surplus_ends", surplus_thread_ends, barrier_and_sums, .seeds = 20 },
	{ "barriers", barriers, barrier_and_sums, .seeds = 60 },
	{ "barriers_without_worker", barriers, barrier_and_sums, .env = NO_WORKERS, .seeds = 40 },
	{ "barriers_and_reclaimers", barriers_and_reclaimers, barrier_and_sums, .env = NO_WORKERS,
	  .seeds = 60 },
	{ "callbacks_end_threads", callbacks_end_threads, barrier_and_sums, .seeds = 60 },
	{ "callbacks_end_callers", callbacks_end_threads, barrier_and_sums, .env = NO_WORKERS,
	  .seeds = 40 },
	{ "chains", chains, barrier_and_sums, handler_defers, .seeds = 80 },
	{ "more_chains_than_places", more_chains_than_places, barrier_and_sums, .seeds = 5 },
	{ "more_chains_beside_callback", more_chains_beside_callback, barrier_and_sums,
	  .seeds = 5 },
	{ 0 },
};
