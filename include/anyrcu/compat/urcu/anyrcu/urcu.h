/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What libanyrcu-urcu exports. Not an interface: the headers around it give it liburcu's names.
 *
 * The names are its own, so that a program may be linked with it and, through another library, also
 * with liburcu.
 */
#ifndef ANYRCU_COMPAT_URCU_ANYRCU_URCU_H
#define ANYRCU_COMPAT_URCU_ANYRCU_URCU_H

#include <anyrcu/rcu.h>
#include <pthread.h>
#include <stdbool.h>
#include <urcu/call-rcu.h>
#include <urcu/flavor.h>

ANYRCU_BEGIN_DECLS

/* The flavours share grace periods. Each has helpers of its own. */
enum anyrcu_urcu_flavor {
	ANYRCU_URCU_MEMB,
	ANYRCU_URCU_MB,
	ANYRCU_URCU_SIGNAL,
	ANYRCU_URCU_QSBR,
	ANYRCU_URCU_BP,
	ANYRCU_URCU_FLAVORS
};

ANYRCU_DATA extern const struct rcu_flavor_struct anyrcu_urcu_flavors[ANYRCU_URCU_FLAVORS];

/*
 * A thread that is online in the flavour qsbr is inside a section from there to the next quiescent
 * state. So if a section of another flavour contains a quiescent state, that ends nothing, and
 * waiting in another flavour while online is reported as waiting for oneself.
 */
extern ANYRCU_DATA __thread bool anyrcu_urcu_online __attribute__((tls_model("initial-exec")));

ANYRCU_API void anyrcu_urcu_synchronize(enum anyrcu_urcu_flavor f);

ANYRCU_API void anyrcu_urcu_call(enum anyrcu_urcu_flavor f, struct rcu_head *head,
				 void (*func)(struct rcu_head *head));
ANYRCU_API void anyrcu_urcu_barrier(enum anyrcu_urcu_flavor f);
ANYRCU_API struct call_rcu_data *anyrcu_urcu_create(enum anyrcu_urcu_flavor f, unsigned long flags,
						    int cpu);
ANYRCU_API void anyrcu_urcu_free(enum anyrcu_urcu_flavor f, struct call_rcu_data *helper);
ANYRCU_API void anyrcu_urcu_free_joining(enum anyrcu_urcu_flavor f, struct call_rcu_data *helper);
ANYRCU_API pthread_t anyrcu_urcu_thread(struct call_rcu_data *helper);
ANYRCU_API struct call_rcu_data *anyrcu_urcu_get_default(enum anyrcu_urcu_flavor f);
ANYRCU_API struct call_rcu_data *anyrcu_urcu_get_cpu(enum anyrcu_urcu_flavor f, int cpu);
ANYRCU_API struct call_rcu_data *anyrcu_urcu_get_thread(enum anyrcu_urcu_flavor f);
ANYRCU_API struct call_rcu_data *anyrcu_urcu_get(enum anyrcu_urcu_flavor f);
ANYRCU_API int anyrcu_urcu_set_cpu(enum anyrcu_urcu_flavor f, int cpu,
				   struct call_rcu_data *helper);
ANYRCU_API void anyrcu_urcu_set_thread(enum anyrcu_urcu_flavor f, struct call_rcu_data *helper);
ANYRCU_API int anyrcu_urcu_create_all(enum anyrcu_urcu_flavor f, unsigned long flags);
ANYRCU_API void anyrcu_urcu_free_all(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_free_all_joining(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_before_fork(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_after_fork_parent(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_after_fork_child(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_register_atfork(enum anyrcu_urcu_flavor f, struct urcu_atfork *atfork);
ANYRCU_API void anyrcu_urcu_unregister_atfork(enum anyrcu_urcu_flavor f,
					      struct urcu_atfork *atfork);

ANYRCU_API void anyrcu_urcu_defer(enum anyrcu_urcu_flavor f, void (*fct)(void *p), void *p);
ANYRCU_API int anyrcu_urcu_defer_register(void);
ANYRCU_API void anyrcu_urcu_defer_unregister(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_defer_barrier(enum anyrcu_urcu_flavor f);
ANYRCU_API void anyrcu_urcu_defer_barrier_thread(enum anyrcu_urcu_flavor f);

ANYRCU_END_DECLS

/*
 * A program may define ANYRCU_URCU_VERSION as the version of liburcu that it is written for: 13 for
 * 0.13, and so on. It matters where versions differ: since 0.14 freeing a helper joins its thread;
 * before, the program may join it.
 */
#if defined(ANYRCU_URCU_VERSION) && ANYRCU_URCU_VERSION >= 14
#define ANYRCU_URCU_FREE anyrcu_urcu_free_joining
#define ANYRCU_URCU_FREE_ALL anyrcu_urcu_free_all_joining
#else
#define ANYRCU_URCU_FREE anyrcu_urcu_free
#define ANYRCU_URCU_FREE_ALL anyrcu_urcu_free_all
#endif

#endif
