/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A plug-in that answers by settings, which it replaces beside readers. Its callback is code that
 * goes away when the plug-in is unloaded: so anyrcu_barrier() ends its stop().
 */
#include "plugin.h"

#include <anyrcu/anyrcu.h>
#include <stdlib.h>

struct settings {
	long summand;
	struct anyrcu_head rcu;
};

static struct settings *current;
static long *in_use;

static void settings_free(struct anyrcu_head *head)
{
	free(anyrcu_container_of(head, struct settings, rcu));
	__atomic_fetch_sub(in_use, 1, __ATOMIC_RELAXED);
}

/* Without memory the old settings stay. */
static void reconfigure(long summand)
{
	struct settings *s = malloc(sizeof(*s)), *old;

	if (!s)
		return;
	s->summand = summand;
	__atomic_fetch_add(in_use, 1, __ATOMIC_RELAXED);
	old = anyrcu_xchg_pointer(current, s);
	if (old)
		anyrcu_call(&old->rcu, settings_free);
}

static long answer(long question)
{
	const struct settings *s = anyrcu_dereference(current);

	return s ? question + s->summand : question;
}

static void stop(void)
{
	struct settings *old = anyrcu_xchg_pointer(current, NULL);

	if (old)
		anyrcu_call(&old->rcu, settings_free);
	anyrcu_barrier(); /* settings_free() has returned for the last time */
}

__attribute__((visibility("default"))) plugin_start_t plugin_start;

const struct plugin *plugin_start(long *settings_in_use)
{
	static const struct plugin plugin = { answer, reconfigure, stop };

	in_use = settings_in_use;
	return &plugin;
}
