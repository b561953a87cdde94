/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the explorer's scenes share. */
#ifndef TESTS_EXPLORE_SCENES_H
#define TESTS_EXPLORE_SCENES_H

#include <anyrcu/anyrcu.h>
#include <base/compiler.h>
#include "platform.h"
#include "sim.h"

#define MS UINT64_C(1000000)

/*
 * An object that readers look at. When it is invoked, whoever may still read it must be done: its
 * content is then overwritten. In the child of a fork what another thread had begun to defer may be
 * there or not.
 */
struct object {
	struct anyrcu_head head;
	uint64_t content;
	uint32_t begun, accepted, invoked, by;
};

/* ---- objects.c ---- */

void objects_begin(void);
/* A new one; what its invocation does; defer it, or a new one, in one of five forms. */
struct object *object_new(void);
void invoked(struct object *o);
void on_head(struct anyrcu_head *head);
void defer(struct object *o, unsigned how);
void defer_new(unsigned how);
/* As often as it was accepted; all of them. */
bool is_invoked(struct object *o);
void all_invoked(void);
/*
 * It is invoked by a worker, with nobody to help, within so much time, which does not pass while
 * anybody works.
 */
void soon(struct object *o, uint64_t ns);
uint32_t now(uint32_t *p);
struct anyrcu_stats stats(void);

/* What readers find; a look at it, in a section, in a section of @n of a thread. */
extern struct object *published[2];
void look(unsigned i);
void section(void);
void reader(void *n);
/* Replace one; wait for a grace period (0, 1), or defer what was there. A thread does so @n times.
 */
void update(unsigned i, unsigned how);
void updater(void *n);
void deferring_updater(void *n);
void publish_two(void);

/* Threads of these kinds, to their ends. */
void play(int n, void (*const f[])(void *), uintptr_t rounds);
#define PLAY(rounds, ...)                                                  \
	play(sizeof((void (*[])(void *)){ __VA_ARGS__ }) / sizeof(void *), \
	     (void (*[])(void *)){ __VA_ARGS__ }, rounds)

void configure(struct anyrcu_config c);
/* No pages but those that are freed from here on. */
void take_all_pages(void);
/* All records of the first block but one are others', living or dead. */
void claim_all(void);

/* At the instant of a fork; at the ends of scenes. */
void nobody_calls(void);
void barrier_all(void);
void barrier_and_sums(void);

/* ---- readers.c ---- */

void handler_defers(void);
void short_lived(void *unused);

/* ---- workers.c ---- */

/* Threads: defer and wait; wait by barriers; change the configuration; poll for grace periods. */
void caller(void *n);
void barrier_thread(void *n);
void restarted(void *unused);
void poller(void *n);

/* ---- forks.c ---- */

void handler_only_forks(void);
void forks_in_turn(void *n);

/* ---- domains.c ---- */

/* The domain that a scene makes, in which a thread's objects must be invoked in their order. */
extern struct anyrcu_domain *domain;
void domain_make_one(struct anyrcu_domain_config c);
struct ordered *domain_defer(void);
void domain_finish(void);

/* ---- windows.c ---- */

/* The turns that the threads of a scene take, from 0 on. */
void wait_turn(uint32_t n);
void next_turn(void);

/* ---- the scenes; the last of each has no name ---- */

#define NO_WORKERS                 \
	{                          \
		"ANYRCU_WORKERS=0" \
	}
extern const struct sim_scene readers_scenes[], workers_scenes[], forks_scenes[], domains_scenes[],
	windows_scenes[], windows_store_scenes[], windows_tasks_scenes[];

#endif
