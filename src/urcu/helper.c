/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Helpers of call_rcu(): creation, choice, end, and fork(). See call.c. */
#define _GNU_SOURCE
#include "call.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anyrcu/defer.h>
#include <urcu/urcu-qsbr.h>

static int ncpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n > 0 ? (int)n : 1;
}

struct call_rcu_data *anyrcu_urcu_create(enum anyrcu_urcu_flavor which, unsigned long flags,
					 int cpu)
{
	struct flavor *f = &call_flavors[which];
	struct pauses none = { 0 }; /* the caller has asked for the attempt */
	struct call_rcu_data *c;

	(void)flags;
	if (posix_memalign((void **)&c, CAA_CACHE_LINE_SIZE, sizeof(*c)))
		return NULL;
	memset(c, 0, sizeof(*c));
	queue_init(&c->ready);
	queue_init(&c->late);
	queue_init(&c->second);
	c->f = which;
	c->cpu = cpu;
	c->state = RUNS;
	if (!thread_start(&c->thread, helper_main, c, cpu, &none)) {
		free(c);
		errno = EAGAIN;
		return NULL;
	}
	pthread_mutex_lock(&f->lock);
	c->next = f->helpers;
	f->helpers = c;
	pthread_mutex_unlock(&f->lock);
	return c;
}

/*
 * In liburcu up to 0.13 the program joins the thread; since 0.14 call_rcu_data_free() does. A
 * program that joins the thread must have asked for it before: then it is left joinable, unless the
 * program says by ANYRCU_URCU_VERSION that it follows 0.14's rule (@joins). Other programs cannot
 * join it.
 */
static void helper_free(enum anyrcu_urcu_flavor f, struct call_rcu_data *c, bool joins)
{
	pthread_t thread;
	bool online, asked;

	if (!c || c == &helper_defaults[f] || load(&c->gone))
		return;
	online = rest_begin(f);
	thread = c->thread;
	asked = c->asked = load(&c->asked) && !joins;
	/*
	 * The thread waits for a grace period before it ends. In a read-side section (where liburcu
	 * allows this call too) and in its own callbacks, do not wait for it.
	 */
	c->alone = anyrcu_read_lock_held() || c == helper_running;
	if (c->alone) {
		/* which it takes before it frees what is touched here */
		pthread_mutex_lock(&call_flavors[f].lock);
		store_release(&c->stop, true);
		helper_notify(c);
		pthread_mutex_unlock(&call_flavors[f].lock);
	} else {
		store_release(&c->stop, true);
		helper_notify(c);
		while (!load_acquire(&c->ended))
			futex_wait(&c->ended, 0, 0);
		checker_acquired(&c->ended);
		if (joins)
			pthread_join(thread, NULL);
		else if (!asked)
			pthread_detach(thread);
		free(c);
	}
	rest_end(online);
}

void anyrcu_urcu_free(enum anyrcu_urcu_flavor f, struct call_rcu_data *c)
{
	helper_free(f, c, false);
}

void anyrcu_urcu_free_joining(enum anyrcu_urcu_flavor f, struct call_rcu_data *c)
{
	helper_free(f, c, true);
}

/*
 * The default helper may have no thread: then return the calling thread, for which it is harmless
 * what a caller may do with a thread.
 */
pthread_t anyrcu_urcu_thread(struct call_rcu_data *c)
{
	store(&c->asked, true);
	return load_acquire(&c->state) == RUNS ? c->thread : pthread_self();
}

struct call_rcu_data *anyrcu_urcu_get_default(enum anyrcu_urcu_flavor f)
{
	struct call_rcu_data *c = &helper_defaults[f];

	if (load_acquire(&c->state) == NONE)
		helper_starts(c);
	while (load_acquire(&c->state) == BUSY && c != helper_running) /* another thread is at it */
		sched_yield();
	return c;
}

struct call_rcu_data *anyrcu_urcu_get_cpu(enum anyrcu_urcu_flavor f, int cpu)
{
	struct cpus *cpus = load_acquire(&call_flavors[f].cpus);

	return cpus && cpu >= 0 && cpu < cpus->n ? load_acquire(&cpus->helper[cpu]) : NULL;
}

struct call_rcu_data *anyrcu_urcu_get_thread(enum anyrcu_urcu_flavor f)
{
	return helper_chosen[f];
}

struct call_rcu_data *anyrcu_urcu_get(enum anyrcu_urcu_flavor f)
{
	struct call_rcu_data *c = helper_chosen[f];

	if (!c && load(&call_flavors[f].cpus))
		c = anyrcu_urcu_get_cpu(f, sched_getcpu());
	return c ? c : anyrcu_urcu_get_default(f);
}

void anyrcu_urcu_set_thread(enum anyrcu_urcu_flavor f, struct call_rcu_data *c)
{
	helper_chosen[f] = c;
}

int anyrcu_urcu_set_cpu(enum anyrcu_urcu_flavor which, int cpu, struct call_rcu_data *c)
{
	struct flavor *f = &call_flavors[which];
	int n = ncpus(), err = 0;

	if (cpu < 0 || cpu >= n) {
		errno = EINVAL;
		return -EINVAL;
	}
	pthread_mutex_lock(&f->lock);
	if (!f->cpus) {
		struct cpus *cpus = calloc(1, sizeof(*cpus) + (size_t)n * sizeof(*cpus->helper));

		if (cpus)
			cpus->n = n;
		store_release(&f->cpus, cpus);
	}
	if (!f->cpus)
		err = ENOMEM;
	else if (cpu >= f->cpus->n)
		err = EINVAL;
	else if (c && f->cpus->helper[cpu])
		err = EEXIST;
	else
		store_release(&f->cpus->helper[cpu], c);
	pthread_mutex_unlock(&f->lock);
	if (err)
		errno = err;
	return -err;
}

int anyrcu_urcu_create_all(enum anyrcu_urcu_flavor f, unsigned long flags)
{
	for (int cpu = 0, n = ncpus(); cpu < n; cpu++) {
		struct call_rcu_data *c;
		int err;

		if (anyrcu_urcu_get_cpu(f, cpu))
			continue;
		c = anyrcu_urcu_create(f, flags, cpu);
		err = c ? anyrcu_urcu_set_cpu(f, cpu, c) : -ENOMEM;
		if (err) {
			anyrcu_urcu_free(f, c);
			if (err != -EEXIST) /* otherwise another thread was first: as good */
				return err;
		}
	}
	return 0;
}

static void free_all(enum anyrcu_urcu_flavor f, bool joins)
{
	struct cpus *cpus = load_acquire(&call_flavors[f].cpus);
	struct call_rcu_data **old;

	if (!cpus)
		return;
	old = calloc((size_t)cpus->n, sizeof(*old));
	if (!old)
		return;
	for (int cpu = 0; cpu < cpus->n; cpu++)
		old[cpu] = xchg(&cpus->helper[cpu], NULL);
	anyrcu_urcu_synchronize(f); /* readers that have looked up a helper have stored it */
	for (int cpu = 0; cpu < cpus->n; cpu++)
		helper_free(f, old[cpu], joins);
	free(old);
}

void anyrcu_urcu_free_all(enum anyrcu_urcu_flavor f)
{
	free_all(f, false);
}

void anyrcu_urcu_free_all_joining(enum anyrcu_urcu_flavor f)
{
	free_all(f, true);
}

/* ---- fork() ---- */

void anyrcu_urcu_register_atfork(enum anyrcu_urcu_flavor f, struct urcu_atfork *atfork)
{
	pthread_mutex_lock(&call_flavors[f].lock);
	if (call_flavors[f].atforks++ == 0)
		call_flavors[f].atfork = atfork;
	pthread_mutex_unlock(&call_flavors[f].lock);
}

void anyrcu_urcu_unregister_atfork(enum anyrcu_urcu_flavor f, struct urcu_atfork *atfork)
{
	(void)atfork;
	pthread_mutex_lock(&call_flavors[f].lock);
	if (--call_flavors[f].atforks == 0)
		call_flavors[f].atfork = NULL;
	pthread_mutex_unlock(&call_flavors[f].lock);
}

/* A thread that forks in a callback that it invokes for a barrier holds that lock already. */
static bool in_barrier(enum anyrcu_urcu_flavor which)
{
	return helper_stands_in && helper_running->f == which;
}

void anyrcu_urcu_before_fork(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &call_flavors[which];

	if (!in_barrier(which))
		pthread_mutex_lock(&f->barrier);
	pthread_mutex_lock(&f->lock);
	if (f->atfork)
		f->atfork->before_fork(f->atfork->priv);
	for (struct call_rcu_data *c = f->helpers; c; c = c->next) {
		store_release(&c->pause, true);
		helper_notify(c);
	}
	/* A helper in a callback that forks is this thread. */
	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		while (load_acquire(&c->state) == RUNS && c != helper_running &&
		       !load_acquire(&c->paused))
			usleep(1000);
}

void anyrcu_urcu_after_fork_parent(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &call_flavors[which];

	for (struct call_rcu_data *c = f->helpers; c; c = c->next)
		store_release(&c->pause, false);
	if (f->atfork)
		f->atfork->after_fork_parent(f->atfork->priv);
	pthread_mutex_unlock(&f->lock);
	if (!in_barrier(which))
		pthread_mutex_unlock(&f->barrier);
}

void anyrcu_urcu_after_fork_child(enum anyrcu_urcu_flavor which)
{
	struct flavor *f = &call_flavors[which];
	struct call_rcu_data *heir = &helper_defaults[which], *c, *next;

	for (c = f->helpers; c; c = next) {
		next = c->next;
		c->asleep = 0;
		c->pause = c->paused = false;
		c->pauses = (struct pauses){ 0 };
		if (c != helper_running)
			c->state = NONE;
		if (c == heir)
			continue;
		queue_move(&heir->ready, &c->ready);
		store_release(&c->gone, true);
		c->next = f->gone;
		f->gone = c;
	}
	f->helpers = heir;
	helper_chosen[which] = NULL;
	for (int cpu = 0; f->cpus && cpu < f->cpus->n; cpu++)
		f->cpus->helper[cpu] = NULL;
	if (!queue_empty(&heir->ready))
		helper_made_ready(heir);
	if (f->atfork)
		f->atfork->after_fork_child(f->atfork->priv);
	pthread_mutex_unlock(&f->lock);
	if (!in_barrier(which))
		pthread_mutex_unlock(&f->barrier);
}
