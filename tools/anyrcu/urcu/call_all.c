/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What concerns all queues of a flavour at once: rcu_barrier(), and fork() as the program announces
 * it.
 */
#define _GNU_SOURCE
#include <string.h>

#include "urcu/flavour.h"

/* Over all queues, none of which is about to end. */
static void lock_all(struct flavour *f)
{
	struct call_rcu_data *c;

	for (;;) {
		pthread_mutex_lock(&f->lock);
		for (c = load_acquire(&f->all); c && !c->ends; c = c->next)
			;
		if (!c)
			return;
		pthread_mutex_unlock(&f->lock);
		port_sleep(100000);
	}
}

/* ---- barrier ---- */

/*
 * With the lock held: have a worker at each queue, and keep all of them. False: there are queues
 * without one.
 */
static bool hold_all(struct flavour *f, struct call_rcu_data *first)
{
	bool workers = true;

	for (struct call_rcu_data *c = first; c; c = c->next) {
		if (domain_is_worker(c->domain))
			port_bug("rcu_barrier() inside a callback would wait for itself");
		workers &= call_have_worker(c);
		c->users++;
	}
	return workers;
}

void call_barrier(struct flavour *f)
{
	struct call_rcu_data *first, *c;
	bool was, guest;

	if (!load(&f->all))
		return;
	flavour_need(f);
	was = flavour_offline(f);
	if (f->read_ongoing && f->read_ongoing()) {
		port_report(
			"rcu_barrier() inside a read-side critical section of flavour %s would wait for itself: it does nothing",
			f->name);
		flavour_online(f, was);
		return;
	}
	lock_all(f);
	/* what comes in front of it meanwhile has nothing that was deferred before */
	first = load_acquire(&f->all);
	guest = !hold_all(f, first) && !flavour_registered[f - flavours];
	pthread_mutex_unlock(&f->lock);
	if (guest) { /* callbacks that are invoked here may read */
		f->register_thread();
		flavour_offline(f);
	}
	/*
	 * Each is hurried on before any is waited for, and who asks twice is waited for once more
	 * at most.
	 */
	for (c = first; c; c = c->next)
		domain_barrier_begin(c->domain);
	for (c = first; c; c = c->next)
		domain_barrier_end(c->domain, domain_barrier_begin(c->domain));
	if (guest)
		f->unregister_thread();
	pthread_mutex_lock(&f->lock);
	for (c = first; c; c = c->next)
		c->users--;
	pthread_mutex_unlock(&f->lock);
	flavour_online(f, was);
}

/* ---- fork, as the program says ---- */

void call_before_fork(struct flavour *f)
{
	bool was;

	lock_all(f);
	if (f->atfork)
		f->atfork->before_fork(f->atfork->priv);
	f->forks = true;
	was = load(&f->loaded) && flavour_offline(f);
	for (struct call_rcu_data *c = f->all; c; c = c->next)
		domain_pause(c->domain, 0);
	flavour_online(f, was);
}

void call_after_fork_parent(struct flavour *f)
{
	for (struct call_rcu_data *c = f->all; c; c = c->next)
		domain_resume(c->domain);
	if (f->atfork)
		f->atfork->after_fork_parent(f->atfork->priv);
	f->forks = false;
	pthread_mutex_unlock(&f->lock);
}

/* The child keeps the default queue, and in it what waited in all of them. */
void call_after_fork_child(struct flavour *f)
{
	struct call_rcu_data *c, *next;

	for (c = f->all; c; c = c->next)
		domain_resume(c->domain);
	if (f->atfork)
		f->atfork->after_fork_child(f->atfork->priv);
	f->forks = false;
	pthread_mutex_unlock(&f->lock);
	if (!f->all)
		return;
	memset(f->cpu, 0, sizeof(f->cpu));
	f->per_cpu = false;
	call_of_thread[f - flavours] = NULL;
	call_default(f);
	for (c = f->all; c; c = next) {
		next = c->next;
		call_destroy(f, c);
	}
}

void call_register_atfork(struct flavour *f, struct urcu_atfork *atfork)
{
	pthread_mutex_lock(&f->lock);
	f->atfork = atfork;
	pthread_mutex_unlock(&f->lock);
}
