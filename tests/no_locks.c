/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * NO_LOCKS takes no lock, as the validator sees it: pages are taken in that mode with a raw
 * spinlock held, preemption disabled and in a handler, until there are none. With an argument the
 * allocator takes the zone's lock then, and the test must fail.
 *
 * Built with the library's sources, as only in that form the allocator can be broken.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <breaks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t breaks_armed;
static unsigned found;
static anyrcu_raw_spinlock_t lock = ANYRCU_RAW_SPINLOCK_INIT;

bool breaks_now(enum breaks which)
{
	return true;
}

void breaks_linger(void)
{
}

static void reported(const struct anyrcu_lockdep_report *report, void *arg)
{
	fputs(report->text, stderr);
	found++;
}

static void take_all(void)
{
	while (anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))
		;
}

static void in_handler(int sig, siginfo_t *info, void *context)
{
	take_all();
}

int main(int argc, char **argv)
{
	struct anyrcu_config c = {
		.size = sizeof(c), .workers = -1, .lockdep = 1, .lockdep_hook = reported
	};
	struct anyrcu_signal_action a = { .size = sizeof(a),
					  .hard = in_handler,
					  .flags = ANYRCU_SIGNAL_NO_THREAD };

	if (anyrcu_init(&c) || anyrcu_signal_action(SIGUSR1, &a))
		return 2;
	breaks_armed = argc > 1 ? UINT64_C(1) << BREAK_NO_LOCKS_LOCKS : 0;
	anyrcu_raw_spin_lock(&lock);
	take_all();
	anyrcu_raw_spin_unlock(&lock);
	anyrcu_preempt_disable();
	take_all();
	anyrcu_preempt_enable();
	raise(SIGUSR1);
	printf("%u reports\n", found);
	return found ? 1 : 0;
}
