/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Scenes of pages, and of domains. */
#define _GNU_SOURCE
#include <pages/pages.h>
#include <port/process.h>
#include "scenes.h"

/* ---- pages ---- */

struct mine {
	uint64_t by;
};

static void pages_user(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		unsigned order = sim_random(3),
			 gfp = (unsigned[]){ ANYRCU_GFP_NO_LOCKS, ANYRCU_GFP_NOWAIT,
					     ANYRCU_GFP_KERNEL }[sim_random(3)];
		struct mine *p = anyrcu_page_alloc(gfp, order),
			    *q = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, order);

		SIM_CHECK(q && p != q);
		q->by = (uintptr_t)q;
		if (p)
			p->by = (uintptr_t)p;
		if (sim_random(4) == 0)
			pages_refill();
		SIM_CHECK(q->by == (uintptr_t)q);
		SIM_CHECK(!p || p->by == (uintptr_t)p);
		anyrcu_page_free(p, order);
		anyrcu_page_free(q, order);
	}
}

static void handler_allocates(void)
{
	struct mine *p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0);

	if (p) {
		p->by = 1;
		sim_point();
		SIM_CHECK(p->by == 1);
		anyrcu_page_free(p, 0);
	}
}

static void pages(void)
{
	sim_handlers = 15;
	PLAY(4, pages_user, pages_user);
}

/* ---- domains ---- */

struct anyrcu_domain *domain;
static uint32_t source_calls;

static void source_synchronize(void *unused)
{
	count_add(&source_calls, 1);
	anyrcu_synchronize();
}

/* Each thread's objects are invoked in the order in which it deferred them. */
struct ordered {
	struct object o;
	uint32_t thread, number;
};
static struct ordered ordered[SIM_THREADS][400];
static uint32_t made[SIM_THREADS], next_ordered[SIM_THREADS], last_ordered[SIM_THREADS];

static void on_ordered(struct anyrcu_head *head)
{
	struct ordered *o = (struct ordered *)head;

	if (o->number != last_ordered[o->thread] + 1)
		sim_fail("number %u of thread %u is invoked behind %u", o->number, o->thread,
			 last_ordered[o->thread]);
	SIM_CHECK(o->o.content == 4711);
	o->o.content = 0;
	store_release(&last_ordered[o->thread], o->number);
}

static struct ordered *ordered_new(void)
{
	uint32_t t = sim_self(), n = ++made[t];
	struct ordered *o = &ordered[t][n];

	SIM_CHECK(n < 400);
	o->o.content = 4711;
	o->thread = t;
	return o;
}

static struct ordered *ordered_defer(struct ordered *o)
{
	o->number = ++next_ordered[o->thread];
	anyrcu_domain_call(domain, &o->o.head, on_ordered);
	return o;
}

struct ordered *domain_defer(void)
{
	return ordered_defer(ordered_new());
}

void domain_make_one(struct anyrcu_domain_config c)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_synchronize };

	c.size = sizeof(c);
	domain = anyrcu_domain_create(&source, &c);
	SIM_CHECK(domain);
}

static void domain_caller(void *n)
{
	for (uintptr_t i = 0; i < 2 * (uintptr_t)n; i++)
		domain_defer();
}

static void domain_updater(void *n)
{
	struct ordered *old = NULL;

	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		struct ordered *new = ordered_new();

		store_release(&published[0], &new->o);
		if (old)
			ordered_defer(old);
		old = new;
	}
	store(&published[0], NULL);
	ordered_defer(old);
}

static void domain_barrier_thread(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		struct ordered *o = domain_defer();

		anyrcu_domain_barrier(domain);
		SIM_CHECK(o->o.content == 0);
	}
}

static void domain_order(void)
{
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	PLAY(3, domain_caller, domain_barrier_thread, domain_updater, reader);
}

/* A page comes and goes, so that chain and pages take turns. */
static void *the_page;

static void page_giver(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++) {
		port_sleep(1 + sim_random(1000000));
		page_free(the_page, 0);
		port_sleep(1 + sim_random(1000000));
		the_page = page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
	}
}

static void domain_chain(void)
{
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	the_page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);
	take_all_pages();
	PLAY(4, domain_caller, domain_barrier_thread, domain_updater, page_giver, reader);
}

void domain_finish(void)
{
	static uint32_t goes;

	if (!domain || load(&goes))
		return; /* the child of a fork while another thread made or destroyed it */
	anyrcu_domain_barrier(domain);
	for (int t = 0; t < SIM_THREADS; t++)
		if (next_ordered[t] != last_ordered[t] &&
		    !(sim_child && next_ordered[t] == last_ordered[t] + 1))
			sim_fail("of thread %d's %u, %u were invoked%s", t, next_ordered[t],
				 last_ordered[t], sim_child ? ", in a child" : "");
	if (!sim_child) {
		struct anyrcu_domain_stats s = { .size = sizeof(s) };
		uint64_t all = 0;

		anyrcu_domain_stats_get(domain, &s);
		for (int t = 0; t < SIM_THREADS; t++)
			all += next_ordered[t];
		if (s.collected != all || s.invoked != all || s.bytes)
			sim_fail("of %lu, collected %lu, invoked %lu, bytes %lu", all, s.collected,
				 s.invoked, s.bytes);
	}
	store(&goes, 1);
	anyrcu_domain_destroy(domain, NULL);
}

static void domain_worker_wakes(void)
{
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	for (int i = 0; i < 3; i++) {
		struct ordered *o = domain_defer();
		uint64_t begun = sim_now();

		while (load_acquire(&last_ordered[0]) < o->number) {
			SIM_CHECK(sim_now() - begun < 200 * MS);
			port_sleep(100000);
		}
		if (sim_random(2))
			port_sleep(20 * MS);
	}
}

static void domain_forker(void *n)
{
	domain_defer();
	sim_fork();
	domain_defer();
}

static void domain_fork(void)
{
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	PLAY(2, domain_caller, domain_forker);
}

static void domain_fork_in_handler(void)
{
	sim_handlers = 1;
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	PLAY(2, domain_caller, domain_barrier_thread);
}

static void domain_comes_and_goes(void *n)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_synchronize };

	for (uintptr_t i = 0; i < (uintptr_t)n; i += 5) {
		struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL);
		struct object *o = object_new();

		SIM_CHECK(d);
		store(&o->begun, 1);
		anyrcu_domain_call(d, &o->head, on_head);
		store(&o->accepted, 1);
		store(&o->begun, 0);
		anyrcu_domain_destroy(d, NULL);
		SIM_CHECK(is_invoked(o));
	}
}

/* In a child there is nobody who waits for the domains of others: their workers have so much time.
 */
static void invoked_in_time(void)
{
	if (sim_child)
		port_sleep(500 * MS);
	all_invoked();
}

static void domains_come_and_go(void)
{
	PLAY(2, domain_comes_and_goes, domain_comes_and_goes, forks_in_turn);
}

static void domains_come_and_go_forked(void)
{
	sim_handlers = 1;
	PLAY(2, domain_comes_and_goes, domain_comes_and_goes);
}

static void domain_destroyed_into(void)
{
	struct anyrcu_domain *first;

	domain_make_one((struct anyrcu_domain_config){ .delay_us = 10000 });
	first = domain;
	PLAY(1, domain_caller, domain_caller);
	domain_make_one((struct anyrcu_domain_config){ .delay_us = 1000 });
	anyrcu_domain_destroy(first, domain);
	domain_defer();
	anyrcu_domain_barrier(domain);
	for (int t = 0; t < SIM_THREADS; t++)
		SIM_CHECK(next_ordered[t] == last_ordered[t]);
}

const struct sim_scene domains_scenes[] = {
	{ "pages", pages, .handler = handler_allocates, .seeds = 60 },
	{ "domain_order", domain_order, domain_finish, .seeds = 80 },
	{ "domain_chain", domain_chain, domain_finish, .seeds = 80 },
	{ "domain_worker_wakes", domain_worker_wakes, domain_finish, .seeds = 60 },
	{ "domain_fork", domain_fork, domain_finish, .seeds = 60 },
	{ "domain_fork_in_handler", domain_fork_in_handler, domain_finish, handler_only_forks,
	  .seeds = 60 },
	{ "domain_fork_in_fault", domain_fork_in_handler, domain_finish, handler_only_forks,
	  .seeds = 60, .faults = true },
	{ "domains_come_and_go", domains_come_and_go, invoked_in_time, .seeds = 60 },
	{ "domains_come_and_go_forked", domains_come_and_go_forked, invoked_in_time,
	  handler_only_forks, .seeds = 60 },
	{ "domains_come_and_go_fault", domains_come_and_go_forked, invoked_in_time,
	  handler_only_forks, .seeds = 60, .faults = true },
	{ "domain_destroyed_into", domain_destroyed_into, .seeds = 40 },
	{ 0 },
};
