/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The n-th page allocation and every later one is refused, for each n that a full run reaches:
 * whatever was deferred, in every form, by tasks and by a signal handler, is invoked once; what a
 * headless form refused has not been taken.
 *
 * With an argument, what is refused is dropped, and the test must fail.
 *
 * Built with the library's sources, as only in that form can it be refused pages. What it frees
 * comes back by free(), which is wrapped.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <breaks.h>
#include <base/compiler.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS 6000
#define HANDLERS 2000 /* of those, for the handler */

static struct object {
	uint32_t invoked;
	struct anyrcu_head head;
} objects[OBJECTS];
static uint32_t next_in_handler;
static uint64_t allowed, asked, no;

uint64_t breaks_armed;

void __real_free(void *p);
void __wrap_free(void *p);

bool breaks_now(enum breaks which)
{
	return which == BREAK_REFUSED_DROPS || fetch_add(&asked, 1) >= load(&allowed);
}

void breaks_linger(void)
{
}

static void by_pointer(void *o)
{
	count_add(&((struct object *)o)->invoked, 1);
}

void __wrap_free(void *p)
{
	if ((uintptr_t)p - (uintptr_t)objects < sizeof(objects))
		by_pointer(p);
	else
		__real_free(p);
}

static void call_a(struct anyrcu_head *head)
{
	by_pointer((char *)head - offsetof(struct object, head));
}

static void call_b(struct anyrcu_head *head)
{
	call_a(head);
}

static bool check(bool right, const char *what)
{
	if (!right)
		printf("%lu pages allowed: %s\n", load(&allowed), what);
	return right;
}

/* Refused, it has not been taken: then another form must take it. */
static bool headless(struct object *o, unsigned form)
{
	if (form % 2 ? anyrcu_call_headless(by_pointer, o) : anyrcu_free_headless(o))
		return true;
	count_add(&no, 1);
	return false;
}

static void defer(struct object *o, unsigned form)
{
	if (form >= 6 && headless(o, form))
		return;
	if (form % 3 == 0)
		anyrcu_free(o, head);
	else
		anyrcu_call(&o->head, form % 3 == 1 ? call_a : call_b);
}

static void on_signal(int sig)
{
	uint32_t i = fetch_add(&next_in_handler, 1);

	if (i < HANDLERS)
		defer(&objects[i], i % 8);
}

/* Each takes every second one of those that are not for the handler. */
static void *task(void *first)
{
	for (unsigned i = HANDLERS + (uintptr_t)first; i < OBJECTS; i += 2) {
		if (i % 16 == 14)
			anyrcu_call_mightsleep(by_pointer, &objects[i]);
		else if (i % 16 == 15)
			anyrcu_free_mightsleep(&objects[i]);
		else
			defer(&objects[i], i % 8);
		if (i % 2)
			raise(SIGUSR1);
	}
	return NULL;
}

static bool each_once(void)
{
	unsigned lost = 0, twice = 0;

	for (unsigned i = 0; i < OBJECTS; i++) {
		lost += load(&objects[i].invoked) == 0;
		twice += load(&objects[i].invoked) > 1;
	}
	if (lost || twice)
		printf("%u lost, %u twice\n", lost, twice);
	return !lost && !twice;
}

static bool run(void)
{
	struct anyrcu_stats before = { .size = sizeof(before) }, after = before;
	pthread_t other;
	bool right;

	memset(objects, 0, sizeof(objects));
	next_in_handler = asked = no = 0;
	anyrcu_stats_get(&before);
	pthread_create(&other, NULL, task, (void *)1);
	task((void *)0);
	pthread_join(other, NULL);
	anyrcu_barrier();
	anyrcu_stats_get(&after);
	right = check(each_once(), "not each was invoked once");
	right &= check(next_in_handler == HANDLERS, "the handler did not run");
	right &= check(after.pending == 0 && after.defer_bytes == 0, "something is pending");
	right &= check((after.refused - before.refused) == no,
		       "what was refused has not been counted");
	right &= check(allowed || after.deferred_page == before.deferred_page,
		       "pages were not refused");
	/*
	 * With some pages allowed, a refused page may be made up for by an open one of the other
	 * kind.
	 */
	right &= check(allowed || after.deferred_chain > before.deferred_chain,
		       "a refusal had no effect");
	return right;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	bool right = true;

	sigaction(SIGUSR1, &sa, NULL);
	breaks_armed = UINT64_C(1) << BREAK_PAGE_REFUSED | (uint64_t)(argc > 1)
								   << BREAK_REFUSED_DROPS;
	for (allowed = 0; right; allowed++) {
		right = run();
		if (asked <= allowed)
			break;
	}
	printf("refused from the n-th page allocation on, n = 1 to %lu; a full run has %lu\n",
	       allowed, asked);
	return right && allowed > 8 ? 0 : 1;
}
