/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs that wait for grace periods, or for callbacks, with a lock held, in pairs; see
 * kinds.h.
 */
#define _GNU_SOURCE
#include <anyrcu/defer.h>
#include <anyrcu/domain.h>
#include <anyrcu/rcu.h>
#include <semaphore.h>

#include "kinds_mutexes.h"

/* ---- grace periods ---- */

THREAD(reads_and_takes_a)
{
	anyrcu_read_lock();
	lock(&a);
	unlock(&a);
	anyrcu_read_unlock();
	return arg;
}

THREAD(waits_with_a)
{
	lock(&a);
	if (wrong)
		anyrcu_synchronize();
	unlock(&a);
	if (!wrong)
		anyrcu_synchronize();
	return arg;
}

static void reader_then_updater(void)
{
	run(reads_and_takes_a, NULL);
	run(waits_with_a, NULL);
}

static void updater_then_reader(void)
{
	run(waits_with_a, NULL);
	run(reads_and_takes_a, NULL);
}

/* That a thread has taken the lock outside of sections, too, says nothing. */
THREAD(takes_a_often)
{
	for (int i = 0; i < 100; i++) {
		lock(&a);
		unlock(&a);
	}
	return wrong ? reads_and_takes_a(arg) : arg;
}

THREAD(always_waits_with_a)
{
	lock(&a);
	anyrcu_synchronize();
	unlock(&a);
	return arg;
}

static void outside_first(void)
{
	run(takes_a_often, NULL);
	run(always_waits_with_a, NULL);
}

/* The reader's lock is the first of two. */
static pthread_mutex_t c = PTHREAD_MUTEX_INITIALIZER;

THREAD(waits_with_another)
{
	lock(wrong ? &b : &c);
	anyrcu_gp_wait(anyrcu_gp_start());
	unlock(wrong ? &b : &c);
	return arg;
}

static void behind_another(void)
{
	run(reads_and_takes_a, NULL);
	run(a_then_b, NULL);
	run(waits_with_another, NULL);
}

/* A lock that only updaters take may be held. */
THREAD(updates)
{
	for (int i = 0; i < 10; i++) {
		lock(&b);
		lock(&a);
		unlock(&a);
		anyrcu_synchronize();
		unlock(&b);
	}
	if (wrong)
		waits_with_a(NULL);
	return arg;
}

static void updaters_lock(void)
{
	run(reads_and_takes_a, NULL);
	run(updates, NULL);
}

/* With both locks held a reader may begin; only what it takes inside of its section counts. */
THREAD(reads_with_a)
{
	lock(&a);
	anyrcu_read_lock();
	if (wrong) {
		lock(&b);
		unlock(&b);
	}
	anyrcu_read_unlock();
	unlock(&a);
	return arg;
}

THREAD(waits_with_b)
{
	lock(&b);
	anyrcu_synchronize();
	unlock(&b);
	return arg;
}

static void section_inside_lock(void)
{
	run(reads_with_a, NULL);
	run(waits_with_b, NULL);
}

/* Grace periods wait for who is online as for a section. */
THREAD(takes_a_online)
{
	anyrcu_thread_online();
	if (!wrong)
		anyrcu_thread_offline();
	lock(&a);
	unlock(&a);
	return arg;
}

THREAD(waits_online)
{
	anyrcu_thread_online();
	anyrcu_synchronize();
	anyrcu_thread_offline();
	lock(&a);
	anyrcu_synchronize();
	unlock(&a);
	return arg;
}

static void online(void)
{
	run(takes_a_online, NULL);
	run(waits_online, NULL);
}

THREAD(frees_with_a)
{
	void *p = malloc(1);

	lock(&a);
	if (wrong)
		anyrcu_free_mightsleep(p);
	unlock(&a);
	if (!wrong)
		anyrcu_free_mightsleep(p);
	return arg;
}

static void free_that_may_sleep(void)
{
	run(reads_and_takes_a, NULL);
	run(frees_with_a, NULL);
}

/* ---- events ---- */

static sem_t told;

THREAD(waits_then_tells)
{
	if (!wrong)
		sem_post(&told);
	anyrcu_synchronize();
	if (wrong)
		sem_post(&told);
	return arg;
}

THREAD(awaits_in_section)
{
	anyrcu_read_lock();
	sem_wait(&told);
	anyrcu_read_unlock();
	return arg;
}

static void awaited_by_reader(void)
{
	sem_init(&told, 0, 0);
	run(waits_then_tells, NULL);
	run(awaits_in_section, NULL);
}

/* ---- callbacks ---- */

static void takes_a(void *arg)
{
	lock(&a);
	unlock(&a);
}

THREAD(defers_and_waits)
{
	anyrcu_call_mightsleep(takes_a, &a);
	anyrcu_barrier();
	lock(&a);
	if (wrong)
		anyrcu_barrier();
	unlock(&a);
	return arg;
}

static void callback(void)
{
	run(defers_and_waits, NULL);
}

static void takes_b(struct anyrcu_head *head)
{
	lock(&b);
	unlock(&b);
}

static void synchronize(void *arg)
{
	anyrcu_synchronize();
}

static void takes_nothing(struct anyrcu_head *head)
{
}

THREAD(waits_for_domain)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	struct anyrcu_domain *d[2] = { anyrcu_domain_create(&source, NULL),
				       anyrcu_domain_create(&source, NULL) };
	struct anyrcu_head head[2];

	for (int i = 0; i < 2; i++) {
		anyrcu_domain_call(d[i], &head[i], i ? takes_nothing : takes_b);
		anyrcu_domain_barrier(d[i]);
	}
	lock(&b);
	anyrcu_domain_barrier(d[!wrong]);
	unlock(&b);
	for (int i = 0; i < 2; i++)
		anyrcu_domain_destroy(d[i], NULL);
	return arg;
}

static void domain(void)
{
	run(waits_for_domain, NULL);
}

/*
 * Another domain in the memory of one that is gone. Both are used at one place, whichever loops the
 * compiler unrolls, so they are of one class.
 */
static noinline struct anyrcu_domain *next(struct anyrcu_domain *former)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL);
	struct anyrcu_head head;

	anyrcu_domain_call(d, &head, !former || wrong ? takes_b : takes_nothing);
	anyrcu_domain_barrier(d);
	if (d == former) {
		lock(&b);
		anyrcu_domain_barrier(d);
		unlock(&b);
	}
	anyrcu_domain_destroy(d, NULL);
	return d;
}

THREAD(waits_for_next_domain)
{
	struct anyrcu_domain *d = NULL;

	for (volatile int i = 0; i < 2; i++)
		d = next(d);
	return arg;
}

static void next_domain(void)
{
	run(waits_for_next_domain, NULL);
}

static const struct kind kinds[] = {
	KIND(reader_then_updater),
	KIND(updater_then_reader),
	KIND(outside_first),
	KIND(behind_another),
	KIND(updaters_lock),
	KIND(section_inside_lock),
	KIND(online),
	KIND(free_that_may_sleep),
	KIND(awaited_by_reader),
	KIND(callback),
	KIND(domain),
	KIND(next_domain),
};
KINDS_MAIN(kinds)
