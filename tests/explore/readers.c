/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Scenes of grace periods and readers: those without a record, in handlers, that end or die. */
#define _GNU_SOURCE
#include <gp/gp.h>
#include <port/process.h>
#include "scenes.h"

static void online_reader(void *n)
{
	anyrcu_thread_online();
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		section();
		if (sim_random(3))
			anyrcu_quiescent_state();
		if (sim_random(4) == 0) {
			anyrcu_thread_offline();
			section();
			anyrcu_thread_online();
		}
	}
	anyrcu_thread_offline();
}

static void synchronize_waits(void)
{
	publish_two();
	PLAY(4, reader, updater, reader);
}

static void synchronizers_meet(void)
{
	publish_two();
	PLAY(3, updater, updater, reader);
}

static void online_is_waited_for(void)
{
	publish_two();
	PLAY(3, online_reader, updater, reader);
}

static void deferred_waits(void)
{
	publish_two();
	PLAY(3, reader, deferring_updater, reader);
}

static void deferred_and_reclaimed(void)
{
	publish_two();
	PLAY(3, reader, deferring_updater, deferring_updater);
}

static void crowd_is_waited_for(void)
{
	claim_all();
	platform.maps_allowed = 0;
	publish_two();
	PLAY(4, reader, updater, reader);
}

static void new_block_is_scanned(void)
{
	claim_all();
	store(&published[0], object_new());
	store(&published[1], object_new());
	PLAY(2, reader, updater, reader, reader);
}

static void records_of_the_dead(void)
{
	claim_all();
	sim_others_dead = true;
	publish_two();
	PLAY(2, reader, updater, reader);
}

/* ---- handlers ---- */

static void handler_reads(void)
{
	section();
}

void handler_defers(void)
{
	section();
	defer_new(sim_random(5));
}

static void synchronize_interrupted(void)
{
	sim_handlers = 20;
	publish_two();
	PLAY(3, reader, updater);
}

static void crowd_interrupted(void)
{
	claim_all();
	platform.maps_allowed = 0;
	sim_handlers = 20;
	publish_two();
	PLAY(4, reader, updater);
}

static void deferral_interrupted(void)
{
	sim_handlers = 25;
	PLAY(3, reader, deferring_updater, deferring_updater);
}

/* ---- the ends of threads ---- */

void short_lived(void *unused)
{
	section();
	if (sim_random(2))
		sim_eager(); /* also while it ends */
}

static void generations_of_readers(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		if (sim_random(2))
			sim_reuse(300 + 2 * sim_self() +
				  sim_random(2)); /* the same number again, as the kernel may */
		sim_join(sim_start(short_lived, NULL));
	}
}

static void threads_end(void)
{
	sim_handlers = 15;
	publish_two();
	PLAY(4, generations_of_readers, updater);
}

static void threads_end_and_begin(void)
{
	sim_handlers = 15;
	publish_two();
	PLAY(2, generations_of_readers, updater, reader, generations_of_readers);
}

static void dies_inside(void *unused)
{
	anyrcu_read_lock();
	look(0);
	sim_die();
}

static void dead_is_buried(void)
{
	publish_two();
	for (int i = 0; i < 2; i++) {
		int t;

		sim_reuse(300);
		t = sim_start(dies_inside, NULL);
		sim_join(t);
		sim_reuse(sim_random(2) ? 300 : 301);
		t = sim_start(reader, (void *)2);
		update(0, 0);
		update(1, 1);
		sim_join(t);
	}
	/* What the dead had is for others to have. */
	SIM_CHECK(stats().readers <= 4);
}

static void sweeper(void *unused)
{
	gp_sweep();
}

/* A record is given back by the sweep while another thread has the number of the dead, and reads.
 */
static void dead_is_swept(void)
{
	publish_two();
	for (int i = 0; i < 8; i++) {
		int sweeps, reads, updates;

		sim_reuse(300);
		sim_join(sim_start(dies_inside, NULL));
		sweeps = sim_start(sweeper, NULL);
		sim_reuse(sim_random(4) ? 300 : 301);
		reads = sim_start(reader, (void *)3);
		updates = sim_start(updater, (void *)2);
		sim_join(sweeps);
		sim_join(reads);
		sim_join(updates);
	}
}

#define FENCES                                            \
	{                                                 \
		"ANYRCU_WORKERS=0", "ANYRCU_MEMBARRIER=0" \
	}

const struct sim_scene readers_scenes[] = {
	{ "synchronize_waits", synchronize_waits, .env = NO_WORKERS, .seeds = 150 },
	{ "synchronize_waits_fences", synchronize_waits, .env = FENCES, .seeds = 150 },
	{ "synchronizers_meet", synchronizers_meet, .env = NO_WORKERS, .seeds = 100 },
	{ "online_is_waited_for", online_is_waited_for, .env = NO_WORKERS, .seeds = 60 },
	{ "online_is_waited_for_fences", online_is_waited_for, .env = FENCES, .seeds = 60 },
	{ "crowd_is_waited_for", crowd_is_waited_for, .env = NO_WORKERS, .seeds = 60 },
	{ "crowd_is_waited_for_fences", crowd_is_waited_for, .env = FENCES, .seeds = 60 },
	{ "new_block_is_scanned", new_block_is_scanned, .env = NO_WORKERS, .seeds = 200 },
	{ "records_of_the_dead", records_of_the_dead, .env = NO_WORKERS, .seeds = 30 },
	{ "synchronize_interrupted", synchronize_interrupted, .handler = handler_reads,
	  .env = NO_WORKERS, .seeds = 60 },
	{ "crowd_interrupted", crowd_interrupted, .handler = handler_reads, .env = NO_WORKERS,
	  .seeds = 100 },
	{ "threads_end", threads_end, .handler = handler_reads, .env = NO_WORKERS, .seeds = 100 },
	{ "threads_end_and_begin", threads_end_and_begin, .handler = handler_reads,
	  .env = NO_WORKERS, .seeds = 100 },
	{ "dead_is_buried", dead_is_buried, .env = NO_WORKERS, .seeds = 60 },
	{ "dead_is_swept", dead_is_swept, .env = NO_WORKERS, .seeds = 60 },
	{ "deferral_interrupted", deferral_interrupted, barrier_and_sums, handler_defers,
	  .seeds = 80 },
	{ "deferred_waits", deferred_waits, barrier_and_sums, .seeds = 80 },
	{ "deferred_without_worker", deferred_waits, barrier_and_sums, .env = NO_WORKERS,
	  .seeds = 80 },
	{ "deferred_and_reclaimed", deferred_and_reclaimed, barrier_and_sums, .seeds = 80 },
	{ 0 },
};
