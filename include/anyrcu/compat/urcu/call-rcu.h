/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The types of liburcu's call_rcu(). Its functions come with a flavour's header. */
#ifndef ANYRCU_COMPAT_URCU_CALL_RCU_H
#define ANYRCU_COMPAT_URCU_CALL_RCU_H

#include <pthread.h>
#include <stdlib.h>
#include <urcu/wfcqueue.h>

/* A helper thread that invokes callbacks. */
struct call_rcu_data;

/*
 * Ignored: callers of call_rcu() never have to wake a helper, which in liburcu only this flag
 * avoids.
 */
#define URCU_CALL_RCU_RT (1U << 0)
/* States of a helper, which it does not expose. */
#define URCU_CALL_RCU_RUNNING (1U << 1)
#define URCU_CALL_RCU_STOP (1U << 2)
#define URCU_CALL_RCU_STOPPED (1U << 3)
#define URCU_CALL_RCU_PAUSE (1U << 4)
#define URCU_CALL_RCU_PAUSED (1U << 5)

/* Space for a deferral inside an object; used by the library from call_rcu() to the callback. */
struct rcu_head {
	struct cds_wfcq_node next;
	void (*func)(struct rcu_head *head);
};

#endif
