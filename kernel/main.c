// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The module: its parameters, its beginning and its end. */
#include <linux/module.h>

#include <defer/defer.h>
#include <pages/pages.h>
#include <port/linux/init.h>

#include "module.h"

static unsigned int delay_us = STORE_DELAY_US;
module_param(delay_us, uint, 0444);
MODULE_PARM_DESC(delay_us, "how long an open page may wait before it is collected");

static unsigned int workers = 1;
module_param(workers, uint, 0444);
MODULE_PARM_DESC(workers, "threads that invoke callbacks, 1 to 32");

module_param_named(page_bytes_max, defer_store.bytes_max, ullong, 0644);
MODULE_PARM_DESC(page_bytes_max,
		 "bytes of pages that wait, at most; beyond it objects are chained");

module_param_named(pending_max, defer_limits.pending_max, ullong, 0644);
MODULE_PARM_DESC(pending_max, "objects that wait, beyond which flood control begins");

static char *policy = "nolocks";
module_param(policy, charp, 0444);
MODULE_PARM_DESC(policy, "where pages come from: nolocks, preemptible, rt_off or raw_variants");

/* In the order of enum anyrcu_policy. */
static const char *const policies[] = { "nolocks", "preemptible", "rt_off", "raw_variants" };

static void wake_deep(void)
{
	defer_wake(false);
}

static int __init anyrcu_start(void)
{
	int chosen = match_string(policies, ARRAY_SIZE(policies), policy), err;

	if (chosen < 0 || workers < 1 || workers > ANYRCU_WORKERS_MAX)
		return -EINVAL;
	port_lock_init(&pages_lock);
	port_lock_init(&defer_lock);
	defer_policy = ANYRCU_POLICY_NOLOCKS + chosen;
	defer_limits.delay_ns = delay_us * NSEC_PER_USEC;
	pages_kick = wake_deep;
	port_linux_init();
	pages_refill();
	err = defer_workers_start(workers, 0, NULL, 0);
	if (!err)
		err = shrink_start();
	if (err) {
		defer_workers_start(0, 0, NULL, 0);
		defer_workers_wait();
		zone_close();
		port_linux_exit();
		return err;
	}
	stats_start();
	return 0;
}

/*
 * Users of the module are gone, as they use its symbols. What they have deferred is invoked here,
 * so their own rule is the kernel's: who defers a function of a module calls anyrcu_barrier()
 * before that module goes.
 */
static void __exit anyrcu_stop(void)
{
	stats_stop();
	shrink_stop();
	anyrcu_barrier();
	defer_workers_start(0, 0, NULL, 0);
	defer_workers_wait();
	zone_close();
	port_linux_exit();
}

module_init(anyrcu_start);
module_exit(anyrcu_stop);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Deferred free and deferred call, in pages of pointers, from any context");
MODULE_AUTHOR("The anyrcu project");
