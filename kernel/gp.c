// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Readers and grace periods of the kernel, for the core. One cookie stands for all that one
 * collection took, so a grace period is asked for once in a collection and not once for an object.
 */
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/kernel.h>

#include <gp/gp.h>

void anyrcu_read_lock(void)
{
	rcu_read_lock();
}

void anyrcu_read_unlock(void)
{
	rcu_read_unlock();
}

void anyrcu_synchronize(void)
{
	synchronize_rcu();
}

anyrcu_gp_t gp_cookie(void)
{
	return start_poll_synchronize_rcu();
}

bool anyrcu_gp_done(anyrcu_gp_t cookie)
{
	return poll_state_synchronize_rcu(cookie);
}

void gp_pause(anyrcu_gp_t cookie, unsigned round)
{
	if (!poll_state_synchronize_rcu(cookie))
		schedule_timeout_idle(1);
}

void gp_may_wait(const char *what)
{
	might_sleep();
	RCU_LOCKDEP_WARN(lock_is_held(&rcu_bh_lock_map) || lock_is_held(&rcu_lock_map) ||
				 lock_is_held(&rcu_sched_lock_map),
			 "anyrcu waits for a grace period inside a read-side critical section");
}
