/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the explorer's scenes defer, read and replace, and what must hold at their ends. */
#define _GNU_SOURCE
#include <defer/defer.h>
#include <pages/pages.h>
#include <sys/mman.h>
#include <port/process.h>
#include "scenes.h"

#define OBJECTS 20000
static struct object *objects;
static uint32_t used;

struct object *object_new(void)
{
	uint32_t n = fetch_add(&used, 1);

	SIM_CHECK(n < OBJECTS);
	objects[n].content = 4711;
	store(&objects[n].by, sim_self());
	return &objects[n];
}

/* What is there now: a plain load might see what was there before. */
uint32_t now(uint32_t *p)
{
	return fetch_add(p, 0);
}

static uint32_t calls[SIM_THREADS]; /* callbacks that are running */

void invoked(struct object *o)
{
	SIM_CHECK(o->content == 4711);
	count_add(&calls[sim_self()], 1);
	count_add(&o->invoked, 1);
	count_add(&calls[sim_self()], -1u);
	o->content = 0; /* a plain store: a race with whoever still reads */
}

void on_head(struct anyrcu_head *head)
{
	invoked((struct object *)head);
}

static void on_other(struct anyrcu_head *head)
{
	invoked((struct object *)head);
}

static void on_arg(void *o)
{
	invoked(o);
}

static void on_free(void *o)
{
	invoked(o);
}

void defer(struct object *o, unsigned how)
{
	bool accepted = true;

	store(&o->begun, 1);
	switch (how % 5) {
	case 0:
		anyrcu_call(&o->head, on_head);
		break;
	case 1:
		anyrcu_call(&o->head, on_other);
		break;
	case 2:
		anyrcu_free(o, head);
		break;
	case 3:
		accepted = anyrcu_call_headless(on_arg, o);
		break;
	case 4:
		accepted = anyrcu_free_headless(o);
		break;
	}
	store(&o->accepted, accepted);
	store(&o->begun, 0);
}

void defer_new(unsigned how)
{
	defer(object_new(), how);
}

bool is_invoked(struct object *o)
{
	uint32_t accepted = now(&o->accepted), n = now(&o->invoked);

	return now(&o->begun) ? n <= 1 : accepted == n;
}

void all_invoked(void)
{
	for (uint32_t i = 0; i < load(&used); i++)
		if (!is_invoked(&objects[i]))
			sim_fail("object %u of thread %u was accepted %u times and invoked %u "
				 "times%s",
				 i, load(&objects[i].by), load(&objects[i].accepted),
				 load(&objects[i].invoked), sim_child ? ", in a child" : "");
}

struct anyrcu_stats stats(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	return s;
}

/* Nothing is left anywhere, and the counts say so. */
static void sums_hold(void)
{
	struct anyrcu_stats s = stats();
	uint64_t accepted = 0;

	for (uint32_t i = 0; i < load(&used); i++)
		accepted += load(&objects[i].accepted);
	if (s.deferred != accepted || s.invoked != accepted || s.pending || s.defer_bytes)
		sim_fail("%lu accepted; deferred %lu, invoked %lu, pending %lu, bytes %lu",
			 accepted, s.deferred, s.invoked, s.pending, s.defer_bytes);
}

void configure(struct anyrcu_config c)
{
	c.size = sizeof(c);
	SIM_CHECK(anyrcu_init(&c) == 0);
}

struct object *published[2];

void look(unsigned i)
{
	struct object *o = load_acquire(&published[i]);

	if (o && o->content != 4711)
		sim_fail("a reader found an object that was invoked");
}

void section(void)
{
	anyrcu_read_lock();
	look(0);
	if (sim_random(3) == 0) {
		anyrcu_read_lock();
		look(1);
		anyrcu_read_unlock();
	}
	if (sim_random(4) == 0)
		sim_linger();
	look(0);
	anyrcu_read_unlock();
}

void reader(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++)
		section();
}

static void done_with(struct object *o)
{
	store(&o->begun, 1);
	invoked(o);
	store(&o->accepted, 1);
}

/* Replace the published object; wait for a grace period, or leave that to the library. */
void update(unsigned i, unsigned how)
{
	struct object *new = object_new(), *old;

	old = __atomic_exchange_n(&published[i], new, __ATOMIC_ACQ_REL);
	if (!old)
		return;
	if (how == 0) {
		anyrcu_synchronize();
		done_with(old);
	} else if (how == 1) {
		anyrcu_gp_t gp = anyrcu_gp_start();

		while (!anyrcu_gp_done(gp))
			anyrcu_gp_wait(gp);
		done_with(old);
	} else {
		defer(old, how);
	}
}

void updater(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++)
		update(sim_random(2), sim_random(2));
}

void deferring_updater(void *n)
{
	for (uintptr_t i = 0; i < (uintptr_t)n; i++)
		update(sim_random(2), 2 + sim_random(5));
}

void publish_two(void)
{
	update(0, 0);
	update(1, 0);
}

/* Threads of @n kinds, to their ends. */
void play(int n, void (*const f[])(void *), uintptr_t rounds)
{
	int thread[SIM_THREADS];

	for (int i = 0; i < n; i++)
		thread[i] = sim_start(f[i], (void *)(rounds * 5));
	for (int i = 0; i < n; i++)
		sim_join(thread[i]);
}

void barrier_and_sums(void)
{
	anyrcu_barrier();
	all_invoked();
	if (!sim_child)
		sums_hold();
}

/* All records of the first block are others', living or dead. */
void claim_all(void)
{
	struct anyrcu_reader *unregistered = anyrcu_self;
	uint32_t tid = port_tid();

	sim_quiet = true;
	for (int i = 0; i < 63; i++) {
		sim_rename(SIM_OTHERS + i);
		anyrcu_read_lock();
		anyrcu_read_unlock();
		anyrcu_self = unregistered;
	}
	sim_rename(tid);
	sim_quiet = false;
}

/* By a worker, with nobody to help: within so much time, which does not pass while anybody works.
 */
void soon(struct object *o, uint64_t ns)
{
	uint64_t begun = sim_now();

	while (!load(&o->invoked)) {
		if (sim_now() - begun > ns)
			sim_fail("not invoked after %lu us", (sim_now() - begun) / 1000);
		port_sleep(100000);
	}
}

void take_all_pages(void)
{
	sim_quiet = true;
	platform.maps_allowed = 0;
	for (unsigned order = ANYRCU_PAGE_ORDER_MAX + 1; order--;)
		while (anyrcu_page_alloc(ANYRCU_GFP_NOWAIT, order))
			;
	sim_quiet = false;
}

void barrier_all(void)
{
	anyrcu_barrier();
	all_invoked();
}

/* At the instant of a fork no other thread is in a callback: the child would not have its end. */
void nobody_calls(void)
{
	for (int i = 0; i < SIM_THREADS; i++)
		if (i != sim_self() && now(&calls[i]))
			sim_fail("a fork while thread %d is in a callback", i);
}

void objects_begin(void)
{
	objects = mmap(NULL, OBJECTS * sizeof(*objects), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	platform.on_free = on_free;
}
