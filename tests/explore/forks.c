/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Scenes of forks: beside all the rest, in callbacks, in handlers that come anywhere. */
#define _GNU_SOURCE
#include <port/process.h>
#include "scenes.h"

/* In the child the callback or handler goes on, in what was a worker; somebody else looks. */
static void child(void *unused)
{
	sim_finish();
}

void handler_only_forks(void)
{
	if (!sim_fork() && sim_child_of_worker)
		sim_start(child, NULL);
}

static void handler_forks(void)
{
	if (sim_fork())
		return;
	defer_new(sim_random(5));
	if (sim_child_of_worker)
		sim_start(child, NULL);
}

static void forker(void *n)
{
	defer_new(0);
	if (!sim_fork()) {
		struct object *o = object_new();

		defer(o, 1);
		soon(o, 200 * MS); /* by the child's own worker, */
		port_sleep(100 * MS);
		o = object_new();
		defer(o, 1);
		soon(o, 200 * MS); /* also when that has gone to sleep */
	}
}

/*
 * It is in a section while it forks, so the child's worker has to wait for it, whatever the
 * parent's driver was doing.
 */
static void forker_inside(void *unused)
{
	struct object *o;

	anyrcu_read_lock();
	o = load_acquire(&published[0]);
	for (int i = 0; i < 300 && load(&published[0]) == o; i++)
		sim_yield();
	for (int i = sim_random(60); i; i--)
		sim_yield();
	if (!sim_fork())
		port_sleep(50 * MS);
	SIM_CHECK(!o || o->content == 4711);
	anyrcu_read_unlock();
}

static void forcing_updater(void *unused)
{
	for (int i = 0; i < 3; i++) {
		update(0, 2);
		anyrcu_barrier();
	}
}

static void fork_beside_deferral(void)
{
	PLAY(3, forker, deferring_updater, reader);
}

static void fork_beside_synchronizers(void)
{
	publish_two();
	PLAY(2, forker, updater, updater);
}

static void fork_beside_drainers(void)
{
	configure((struct anyrcu_config){ .workers = 2, .delay_us = 100 });
	PLAY(2, caller, forker, deferring_updater);
}

static void fork_in_section(void)
{
	publish_two();
	PLAY(1, forker_inside, forcing_updater);
}

static void two_forks(void)
{
	PLAY(2, forker, forker, caller);
}

static void fork_in_handler_of_synchronize(void)
{
	sim_handlers = 1;
	publish_two();
	PLAY(2, updater, reader);
}

static void fork_in_handler_of_deferral(void)
{
	sim_handlers = 1;
	PLAY(3, deferring_updater, reader);
}

static void fork_in_handler_of_barrier(void)
{
	sim_handlers = 1;
	PLAY(2, barrier_thread, deferring_updater);
}

static void fork_in_handler_of_init(void)
{
	sim_handlers = 1;
	PLAY(2, restarted, deferring_updater);
}

static void forker_raw(void *unused)
{
	defer_new(0);
	if (!sim_fork_raw()) {
		platform.bug_ends = true; /* where a thread that is not there had a lock */
		anyrcu_barrier();
		defer_new(1);
	}
}

static void fork_raw(void)
{
	PLAY(2, forker_raw, reader, deferring_updater);
}

void forks_in_turn(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i += 5) {
		sim_fork();
		if (sim_child)
			return;
	}
}

static void fails_to_fork(void *n)
{
	for (uintptr_t i = 0; i < 2 * (uintptr_t)n; i++) {
		sim_fork_fails();
		if (sim_random(2))
			port_sleep(sim_random(100000));
	}
}

static void forks_beside_drainers(void)
{
	configure((struct anyrcu_config){ .workers = 2, .delay_us = 50 });
	PLAY(3, deferring_updater, fails_to_fork, fails_to_fork, deferring_updater);
}

static void on_fork(void *o)
{
	invoked(o);
	if (sim_random(2) == 0 && !sim_fork())
		sim_start(child, NULL);
}

static void fork_in_callback(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct object *o = object_new();

		store(&o->begun, 1);
		store(&o->accepted, anyrcu_call_headless(on_fork, o));
		store(&o->begun, 0);
		defer_new(i);
	}
	PLAY(2, deferring_updater);
}

const struct sim_scene forks_scenes[] = {
	{ "fork_beside_deferral", fork_beside_deferral, barrier_all, .seeds = 60 },
	{ "fork_beside_synchronizers", fork_beside_synchronizers, barrier_all, .seeds = 60 },
	{ "fork_beside_drainers", fork_beside_drainers, barrier_all, .seeds = 60 },
	{ "fork_in_section", fork_in_section, barrier_all, .seeds = 150 },
	{ "two_forks", two_forks, barrier_all, .seeds = 40 },
	{ "fork_in_callback", fork_in_callback, barrier_all, .seeds = 40 },
	{ "fork_in_handler_of_synchronize", fork_in_handler_of_synchronize, barrier_all,
	  handler_forks, .seeds = 60 },
	{ "fork_in_handler_of_deferral", fork_in_handler_of_deferral, barrier_all, handler_forks,
	  .seeds = 60 },
	{ "fork_in_handler_of_barrier", fork_in_handler_of_barrier, barrier_all, handler_forks,
	  .seeds = 60 },
	{ "fork_in_handler_of_init", fork_in_handler_of_init, barrier_all, handler_forks,
	  .seeds = 60 },
	{ "fork_in_fault", fork_in_handler_of_deferral, barrier_all, handler_forks, .seeds = 80,
	  .faults = true },
	{ "fork_in_fault_of_barrier", fork_in_handler_of_barrier, barrier_all, handler_forks,
	  .seeds = 80, .faults = true },
	{ "fork_in_fault_of_init", fork_in_handler_of_init, barrier_all, handler_forks, .seeds = 60,
	  .faults = true },
	{ "fork_in_fault_of_synchronize", fork_in_handler_of_synchronize, barrier_all,
	  handler_forks, .seeds = 60, .faults = true },
	{ "fork_raw", fork_raw, barrier_all, .seeds = 60 },
	{ "forks_beside_drainers", forks_beside_drainers, barrier_all, .at_fork = nobody_calls,
	  .seeds = 60 },
	{ 0 },
};
