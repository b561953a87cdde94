/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "anyrcu urcu --report" shows: each queue of callbacks, and each flavour's defer_rcu(), has a
 * line in a table that the tool has mapped too. A line is written by one thread at a time: the
 * worker of the queue, or whoever holds the lock of what was deferred; its counts are a copy.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "urcu/flavour.h"

struct urcu_table *statistics_table;

static struct urcu_line *new_line(struct flavour *f, enum urcu_kind kind)
{
	uint32_t n = statistics_table ? atomic_fetch_add(&statistics_table->lines, 1) : URCU_LINES;
	struct urcu_line *l;

	if (n >= URCU_LINES)
		return NULL;
	l = &statistics_table->line[n];
	l->process = getpid();
	snprintf(l->program, sizeof(l->program), "%s", program_invocation_short_name);
	snprintf(l->flavour, sizeof(l->flavour), "%s", f->name);
	atomic_store(&l->kind, kind);
	return l;
}

void statistics_call(struct call_rcu_data *c)
{
	struct anyrcu_domain_stats s = { .size = sizeof(s) };

	if (!statistics_table || (!c->line && !(c->line = new_line(c->flavour, URCU_CALL))))
		return;
	anyrcu_domain_stats_get(c->domain, &s);
	c->line->page = s.collected_page - c->base.collected_page;
	c->line->chain = s.collected_chain - c->base.collected_chain;
	c->line->deferred = c->line->page + c->line->chain;
	c->line->invoked = s.invoked - c->base.invoked;
	c->line->left =
		c->line->deferred > c->line->invoked ? c->line->deferred - c->line->invoked : 0;
	c->line->pending_high = s.pending_high;
	c->line->bytes_high = s.bytes_high;
	c->line->gp_done = s.gp_done - c->base.gp_done;
	c->line->gp_ns_total = s.gp_ns_total - c->base.gp_ns_total;
	c->line->gp_ns_max = s.gp_ns_max;
	c->line->wait_ns_total = s.wait_ns_total - c->base.wait_ns_total;
	c->line->wait_ns_max = s.wait_ns_max;
	c->line->gave_way = s.gave_way - c->base.gave_way;
	c->line->wakes = s.worker_wakes - c->base.worker_wakes;
}

void statistics_defer(struct flavour *f)
{
	if (!statistics_table || (!f->line && !(f->line = new_line(f, URCU_DEFER))))
		return;
	f->line->deferred = f->line->page = f->line->invoked = load(&f->defer_invoked);
	f->line->pending_high = load(&f->defer_high);
	f->line->gp_done = load(&f->defer_gps);
	f->line->gp_ns_total = load(&f->defer_gp_ns);
	f->line->gp_ns_max = load(&f->defer_gp_max);
}
