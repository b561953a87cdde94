/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Queues of callbacks: what liburcu names struct call_rcu_data is a domain whose source is the
 * flavour's own synchronize_rcu().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "urcu/flavour.h"

#define CALL_RCU_RT 1ul

PORT_THREAD_LOCAL struct call_rcu_data *call_of_thread[FLAVOURS];

static void source_synchronize(void *arg)
{
	struct call_rcu_data *c = arg;

	c->flavour->synchronize();
}

static PORT_THREAD_LOCAL bool known; /* this thread, as a queue's */

static void source_begin(void *arg)
{
	struct call_rcu_data *c = arg;

	known = true;
	c->thread = pthread_self();
	store_release(&c->begun, 1);
	port_wake(&c->begun);
	c->flavour->register_thread();
}

static void source_end(void *arg)
{
	struct call_rcu_data *c = arg;

	statistics_call(c);
	if (c->flavour->unregister_thread)
		c->flavour->unregister_thread();
}

static void source_sleeps(void *arg)
{
	struct call_rcu_data *c = arg;

	statistics_call(c);
	if (c->flavour->thread_offline)
		c->flavour->thread_offline();
}

static void source_wakes(void *arg)
{
	struct call_rcu_data *c = arg;

	if (c->flavour->thread_online)
		c->flavour->thread_online();
}

/* Not yet known to anybody, and without a worker. Any context. */
static struct call_rcu_data *make(struct flavour *f, unsigned long flags, int cpu)
{
	struct call_rcu_data *c = port_map(ANYRCU_PAGE_SIZE, ANYRCU_PAGE_SIZE);
	struct anyrcu_source source = { .size = sizeof(source),
					.synchronize = source_synchronize,
					.thread_begin = source_begin,
					.thread_end = source_end,
					.thread_sleeps = source_sleeps,
					.thread_wakes = source_wakes,
					.arg = c };
	struct anyrcu_domain_config config = { .size = sizeof(config),
					       .pinned =
						       cpu < PORT_CPUS_MAX && port_cpu_usable(cpu),
					       .cpu = cpu,
					       .poll = flags & CALL_RCU_RT };

	if (c)
		c->flavour = f;
	if (!c || domain_make(&c->domain, &source, &config))
		port_bug("no memory for a queue of callbacks");
	return c;
}

/*
 * A thread that found its work done by another, or given up, before it could take it is not known,
 * and so not joined.
 */
static void *(*domain_main)(void *);

static void *run_worker(void *domain)
{
	load (&domain_main)(domain);
	if (!known)
		pthread_detach(pthread_self());
	return NULL;
}

/* the calling thread has just started a worker, which is to arrive */
static PORT_THREAD_LOCAL bool started;

static int start_worker(void *(*main)(void *), void *arg, int rt)
{
	int err;

	store(&domain_main, main); /* always the same */
	err = flavour_thread_start(run_worker, arg, PTHREAD_CREATE_JOINABLE);
	started = !err;
	return err;
}

/*
 * Have a worker on its way, unless there is one or it is too early to try again. False: the last
 * attempt has failed.
 */
static bool start(struct call_rcu_data *c)
{
	static uint32_t told;
	int err;

	if (domain_runs(c->domain))
		return true;
	started = false;
	err = domain_start(c->domain, start_worker);
	if (err || started)
		store(&c->failed, err != 0);
	if (err && !xchg(&told, 1))
		port_report(
			"no worker could be started for call_rcu(): error %d; calls and rcu_barrier() try again, and "
			"rcu_barrier() invokes the callbacks itself meanwhile",
			(int64_t)-err);
	return !load(&c->failed);
}

/* The same, and wait until it has arrived. Task. */
bool call_have_worker(struct call_rcu_data *c)
{
	while (!domain_runs(c->domain)) {
		if (!start(c))
			return false;
		port_wait(&c->begun, 0, 1000000);
	}
	return true;
}

/* Any context, but for the start of the worker. */
struct call_rcu_data *call_default(struct flavour *f)
{
	struct call_rcu_data *c = load_acquire(&f->standard), *all;

	flavour_need(f);
	if (!c) {
		struct call_rcu_data *mine = make(f, 0, -1);

		if (cmpxchg(&f->standard, NULL, mine)) {
			do
				mine->next = all = load(&f->all);
			while (!cmpxchg(&f->all, all, mine));
		} else {
			domain_unmake(mine->domain);
			port_unmap(mine, ANYRCU_PAGE_SIZE);
		}
		c = load_acquire(&f->standard);
	}
	start(c);
	return c;
}

static inline struct call_rcu_data *chosen(struct flavour *f)
{
	struct call_rcu_data *c = call_of_thread[f - flavours];

	if (likely(!c) && load(&f->per_cpu))
		c = load_acquire(&f->cpu[port_cpu()]);
	if (likely(!c))
		c = load_acquire(&f->standard);
	if (unlikely(!c))
		return call_default(f);
	if (unlikely(!domain_runs(c->domain)))
		start(c);
	return c;
}

void call_defer(struct flavour *f, struct rcu_head *head, void (*func)(struct rcu_head *),
		uintptr_t caller)
{
	domain_call(chosen(f)->domain, (struct anyrcu_head *)head,
		    (void (*)(struct anyrcu_head *))(void *)func, caller);
}

struct call_rcu_data *call_create(struct flavour *f, unsigned long flags, int cpu)
{
	struct call_rcu_data *c, *all;

	flavour_need(f);
	c = make(f, flags, cpu);
	do
		c->next = all = load(&f->all);
	while (!cmpxchg(&f->all, all, c));
	start(c);
	return c;
}

void call_destroy(struct flavour *f, struct call_rcu_data *c)
{
	struct call_rcu_data **at;
	bool was;

	if (!c || c == load(&f->standard))
		return;
	call_default(f);
	was = flavour_offline(f);
	pthread_mutex_lock(&f->lock);
	while (c->users) {
		pthread_mutex_unlock(&f->lock);
		port_sleep(100000);
		pthread_mutex_lock(&f->lock);
	}
	/*
	 * and is in the list until the others have what waits in it, so that no barrier misses it
	 */
	c->ends = true;
	pthread_mutex_unlock(&f->lock);
	anyrcu_domain_destroy(c->domain, f->standard->domain);
	pthread_mutex_lock(&f->lock);
	/* Others only put themselves in front, by cmpxchg. */
	if (!cmpxchg(&f->all, c, c->next)) {
		for (at = &load(&f->all)->next; *at != c; at = &(*at)->next)
			;
		store(at, c->next);
	}
	pthread_mutex_unlock(&f->lock);
	if (load_acquire(&c->begun) && f->joins)
		pthread_join(c->thread, NULL);
	else if (load_acquire(&c->begun) && !c->asked)
		pthread_detach(c->thread);
	flavour_online(f, was);
	if (c->line) { /* what has moved is counted where it is now */
		c->line->page -= c->line->left;
		c->line->deferred -= c->line->left;
		c->line->left = 0;
	}
	port_unmap(c, ANYRCU_PAGE_SIZE);
}

/*
 * Where none could be started: the caller's own, with which nothing that is done to a thread from
 * outside does harm.
 */
pthread_t call_thread(struct call_rcu_data *c)
{
	c->asked = true;
	while (!load_acquire(&c->begun)) {
		if (!call_have_worker(c))
			return pthread_self();
		port_wait(&c->begun, 0, 1000000);
	}
	return c->thread;
}

struct call_rcu_data *call_get_cpu(struct flavour *f, int cpu)
{
	return cpu >= 0 && cpu < PORT_CPUS_MAX ? load_acquire(&f->cpu[cpu]) : NULL;
}

struct call_rcu_data *call_get(struct flavour *f)
{
	flavour_need(f);
	return chosen(f);
}

static int ncpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n < PORT_CPUS_MAX ? n : PORT_CPUS_MAX;
}

int call_set_cpu(struct flavour *f, int cpu, struct call_rcu_data *c)
{
	int err = 0;

	if (cpu < 0 || cpu >= ncpus()) {
		errno = EINVAL;
		return -EINVAL;
	}
	pthread_mutex_lock(&f->lock);
	if (f->cpu[cpu] && c) {
		err = EEXIST;
	} else {
		store_release(&f->cpu[cpu], c);
		store(&f->per_cpu, true);
	}
	pthread_mutex_unlock(&f->lock);
	if (err)
		errno = err;
	return -err;
}

int call_create_all_cpu(struct flavour *f, unsigned long flags)
{
	for (int cpu = 0; cpu < ncpus(); cpu++) {
		struct call_rcu_data *c;
		int err;

		if (call_get_cpu(f, cpu))
			continue;
		c = call_create(f, flags, cpu);
		err = call_set_cpu(f, cpu, c);
		if (err) {
			call_destroy(f, c);
			if (err != -EEXIST)
				return err;
		}
	}
	return 0;
}

void call_free_all_cpu(struct flavour *f)
{
	struct call_rcu_data *c[PORT_CPUS_MAX];
	bool any = false;

	pthread_mutex_lock(&f->lock);
	for (int cpu = 0; cpu < PORT_CPUS_MAX; cpu++) {
		c[cpu] = xchg(&f->cpu[cpu], NULL);
		any = any || c[cpu];
	}
	pthread_mutex_unlock(&f->lock);
	if (!any)
		return;
	f->synchronize(); /* who is a reader, and has found one, has deferred to it */
	for (int cpu = 0; cpu < PORT_CPUS_MAX; cpu++)
		call_destroy(f, c[cpu]);
}
