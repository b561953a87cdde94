/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Objects, from a pool of our own as a signal handler may not call malloc(). What is for free()
 * comes back by free(), which is wrapped.
 *
 * The generation in the state is what makes each finding exact: an object that was invoked and used
 * again while a reader was on it, or that is invoked a second time after it was used again, does
 * not look as it should.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "torture/torture.h"

#define OBJECTS (1u << 17)

static struct object pool[OBJECTS];
struct object *places[PLACES], *own[THREADS_MAX], *task_places[TASK_PLACES];

void __real_free(void *p);
void __wrap_free(void *p);

static uint64_t state_of(uint64_t state)
{
	return state % STATES;
}

struct object *object_take(void)
{
	for (int i = 0; i < 100; i++) {
		struct object *o = &pool[rnd() % OBJECTS];
		uint64_t state = atomic_load(&o->state);

		if (state_of(state) == FREE &&
		    atomic_compare_exchange_strong(&o->state, &state, state + STATES + LIVE))
			return o;
	}
	return NULL;
}

/* Is it invoked, and was it to be? */
static bool take_over(struct object *o)
{
	uint64_t state = atomic_load(&o->state);

	do {
		if (state_of(state) != DEFERRING && state_of(state) != DEFERRED) {
			found(&run.twice, "twice: object %zu was invoked in state %d",
			      (size_t)(o - pool), (int)state_of(state));
			return false;
		}
	} while (!atomic_compare_exchange_weak(&o->state, &state,
					       state - state_of(state) + INVOKED));
	return true;
}

static void over(struct object *o)
{
	atomic_fetch_add(&run.invoked, 1);
	atomic_store(&o->state, atomic_load(&o->state) - INVOKED + FREE);
}

static void invoked(struct object *o)
{
	bool exits = false;

	if (!take_over(o))
		return;
	if (!atomic_load(&run.calm) && getpid() == run.pid) {
		if (one_in(16))
			update(ANY);
		if (faults_on(FAULT_STALL) && one_in(4096))
			pause_us(1000);
		exits = faults_on(FAULT_EXIT) && (me.may_exit || !me.known) &&
			one_in(me.known ? 256 : 16384);
	}
	over(o);
	if (exits) {
		fault_done(FAULT_EXIT);
		pthread_exit(NULL);
	}
}

static struct object *of(struct anyrcu_head *head)
{
	return (struct object *)((char *)head - offsetof(struct object, head));
}

static void call_a(struct anyrcu_head *head)
{
	invoked(of(head));
}

static void call_b(struct anyrcu_head *head)
{
	invoked(of(head));
}

static void by_pointer(void *o)
{
	invoked(o);
}

/* The first one's argument is NULL. */
static void by_number(void *i)
{
	invoked(&pool[(uintptr_t)i]);
}

void __wrap_free(void *p)
{
	if ((uintptr_t)p - (uintptr_t)pool < sizeof(pool))
		invoked(p);
	else
		__real_free(p);
}

static void any_form(struct object *o)
{
	uint64_t form = rnd() % 16;

	if (form == 0 && anyrcu_call_headless(by_pointer, o))
		return;
	if (form == 1 && anyrcu_call_headless(by_number, (void *)(uintptr_t)(o - pool)))
		return;
	if (form == 2 && anyrcu_free_headless(o))
		return;
	if (form < 6)
		anyrcu_free(o, head);
	else if (form < 8)
		anyrcu_call(&o->head, call_b);
	else
		anyrcu_call(&o->head, call_a);
}

static void task_form(struct object *o)
{
	o->by_task = true;
	if (one_in(2) || !anyrcu_free_task_headless(o))
		anyrcu_free_task(o, head);
}

static void begin(struct object *o, uint64_t *state)
{
	o->by_task = false;
	*state = atomic_load(&o->state) - LIVE + DEFERRING;
	atomic_store(&o->state, *state);
	atomic_fetch_add(&run.deferred, 1);
}

/*
 * The call has returned, so from here on it must be invoked, in the child of a fork too; unless it
 * has been already.
 */
static void accepted(struct object *o, uint64_t state)
{
	atomic_compare_exchange_strong(&o->state, &state, state - DEFERRING + DEFERRED);
}

void object_defer(struct object *o, enum context context)
{
	uint64_t state;

	begin(o, &state);
	if (context == TASK && one_in(16))
		task_form(o);
	else if (context != TASK || !one_in(16))
		any_form(o);
	else if (one_in(2))
		anyrcu_free_mightsleep(o);
	else
		anyrcu_call_mightsleep(by_pointer, o);
	accepted(o, state);
}

void object_call(struct object *o)
{
	uint64_t state;

	begin(o, &state);
	anyrcu_call(&o->head, call_a);
	accepted(o, state);
}

void object_free_task(struct object *o)
{
	uint64_t state;

	begin(o, &state);
	task_form(o);
	accepted(o, state);
}

void object_waited(struct object *o)
{
	uint64_t state;

	begin(o, &state);
	if (take_over(o))
		over(o);
}

uint64_t object_look(struct object *o)
{
	uint64_t state = atomic_load_explicit(&o->state, memory_order_relaxed);

	object_still(o, state);
	return state;
}

bool object_still(struct object *o, uint64_t first)
{
	uint64_t state = atomic_load_explicit(&o->state, memory_order_relaxed);

	if (state / STATES == first / STATES && state_of(state) >= LIVE &&
	    state_of(state) <= DEFERRED)
		return true;
	found(&run.early, "early: a reader finds object %zu in state %d, %d uses later",
	      (size_t)(o - pool), (int)state_of(state), (int)(state / STATES - first / STATES));
	return false;
}

bool object_over(struct object *o, uint64_t state)
{
	uint64_t now = atomic_load(&o->state);

	return now / STATES != state / STATES || state_of(now) == FREE;
}

unsigned objects_forgotten(bool by_task)
{
	unsigned n = 0;

	for (unsigned i = 0; i < OBJECTS; i++)
		n += state_of(atomic_load(&pool[i].state)) == DEFERRED &&
		     pool[i].by_task == by_task;
	return n;
}

void update(enum context context)
{
	struct object *next = object_take(), *old;

	if (!next)
		return;
	old = __atomic_exchange_n(&places[rnd() % PLACES], next, __ATOMIC_ACQ_REL);
	if (old)
		object_defer(old, context);
}
