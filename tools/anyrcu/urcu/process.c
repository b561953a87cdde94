/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The beginning and the end of a process, and fork(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include <port/posix/init.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"
#include "urcu/flavour.h"

static struct port_lock *const locks[] = { &domain_lock, &gp_lock, &pages_lock, NULL };

static void fork_prepare(void)
{
	port_fork_begin(locks, domain_fork_paused);
	gp_fork_prepare();
}

static void fork_parent(void)
{
	domain_fork_done();
	port_fork_end(locks);
}

/*
 * Of the threads that there are not any more, none holds what it has held, and what they had
 * deferred is kept.
 */
static void fork_child(void)
{
	if (!port_fork_complete()) {
		port_fork_end(locks);
		return;
	}
	port_fork_child();
	gp_fork_child();
	domain_fork_child(false);
	port_fork_end(locks);
	for (struct flavour *f = flavours; f < flavours + FLAVOURS; f++) {
		if (!f->forks)
			pthread_mutex_init(&f->lock, NULL);
		defer_fork_child(f);
		for (struct call_rcu_data *c = f->all; c; c = c->next) {
			c->users = 0;
			c->failed = false;
			if (!domain_is_worker(c->domain))
				c->begun = 0;
			c->line = NULL;
			c->base.size = sizeof(c->base);
			anyrcu_domain_stats_get(c->domain, &c->base);
		}
	}
}

static void set_up(void)
{
	const char *debug = getenv("ANYRCU_DEBUG"), *membarrier = getenv("ANYRCU_MEMBARRIER"),
		   *path = getenv(URCU_ENV);

	defer_set_up();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	port_init(!membarrier || strcmp(membarrier, "0"), false);
	port_process();
	port_thread_exit_hook = gp_thread_exit;
	gp_init();
	if (debug && !strcmp(debug, "1")) {
		port_stack_prime();
		store(&store_debug, true);
	}
	if (path)
		statistics_table = shared_map(path, sizeof(*statistics_table), URCU_MAGIC, 0);
	for (struct flavour *f = flavours; f < flavours + FLAVOURS; f++)
		flavour_find(f);
	dlerror(); /* it is not the program's */
}

/*
 * Once in a process, by its first use or by the constructor, whichever comes first: the
 * constructors of the program's libraries run before ours, as no library depends on us.
 *
 * "state" goes from 0 over the number of the thread that does it to BEGUN, by cmpxchg and a release
 * that pairs with the acquire here. That thread takes no signals meanwhile, so no handler waits for
 * the code that it has interrupted; others wait. What set_up() calls may come here again, if it is
 * the program's, say its malloc(): then it goes on without, as what is there works before set_up()
 * too, but for queues at the ends of threads, and the report.
 */
void process_begin(void)
{
	const uint64_t BEGUN = UINT64_MAX;
	static uint64_t state;
	uint64_t self = port_id();
	uint64_t signals;
	int saved = errno;

	if (load_acquire(&state) == BEGUN)
		return;
	signals = port_signals_block();
	if (cmpxchg(&state, 0, self)) {
		set_up();
		store_release(&state, BEGUN);
	} else if (load(&state) != self) {
		for (unsigned round = 0; load_acquire(&state) != BEGUN; round++)
			port_yield(round);
	}
	port_signals_restore(signals);
	errno = saved;
}

__attribute__((constructor)) static void process_begins(void)
{
	process_begin();
}

/* What is in pages that no worker has taken up yet, and will not. */
__attribute__((destructor)) static void process_ends(void)
{
	for (struct flavour *f = flavours; statistics_table && f < flavours + FLAVOURS; f++) {
		for (struct call_rcu_data *c = load_acquire(&f->all); c; c = c->next) {
			uint64_t open;

			if (c->ends)
				continue;
			open = domain_open(c->domain);
			statistics_call(c);
			if (c->line) {
				c->line->left += open;
				c->line->page += open;
				c->line->deferred += open;
			}
		}
		if (f->queues || load(&f->defer_invoked))
			statistics_defer(f);
	}
}
