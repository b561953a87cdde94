/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of domains, in addition to anyrcu/domain.h. */
#ifndef ANYRCU_DOMAIN_DOMAIN_H
#define ANYRCU_DOMAIN_DOMAIN_H

#include <anyrcu/domain.h>
#include <port/process.h>

enum { DOMAIN_EINVAL = 1, DOMAIN_ENOMEM };

/* Make a domain that has no worker yet. Task. 0 or one of the above. */
int domain_make(struct anyrcu_domain **out, const struct anyrcu_source *source,
		const struct anyrcu_domain_config *config);
/* Have the worker, if there is one, leave; returns when it has, and its thread is gone. Task. */
void domain_stop(struct anyrcu_domain *d);
/* Free a domain that is empty and has no worker. Task. */
void domain_unmake(struct anyrcu_domain *d);
/*
 * Start a worker, by port_thread_start() or a function like it, unless there is one or one was
 * started a moment ago. From now on another is started if this one ends or could not be started.
 * Task. 0 or -errno.
 */
typedef int domain_starter_t(void *(*main)(void *), void *arg, int rt);
int domain_start(struct anyrcu_domain *d, domain_starter_t *starter);
/* Is there a worker? Any context. */
bool domain_runs(const struct anyrcu_domain *d);
/* Is the caller the worker? Any context. */
bool domain_is_worker(const struct anyrcu_domain *d);
/* anyrcu_domain_call(); @caller: the code address that reports name. */
void domain_call(struct anyrcu_domain *d, struct anyrcu_head *head,
		 void (*func)(struct anyrcu_head *head), uintptr_t caller);
/*
 * anyrcu_domain_barrier() in two parts, so that several domains can work at the same time. @want:
 * the first part's result. Task. If there is no worker, the second part does the worker's work in
 * the calling thread, between calls of the source's thread_wakes and thread_sleeps.
 */
uint32_t domain_barrier_begin(struct anyrcu_domain *d);
void domain_barrier_end(struct anyrcu_domain *d, uint32_t want);
/*
 * Have the worker pause outside of callbacks and of the source, after the source's thread_end,
 * until domain_resume() was called as often. False: it has not paused within @ns nanoseconds (0: no
 * bound), but will. Task.
 */
bool domain_pause(struct anyrcu_domain *d, uint64_t ns);
void domain_resume(struct anyrcu_domain *d);
/* Objects that are in pages and not yet in the statistics. Task. */
uint64_t domain_open(struct anyrcu_domain *d);

/* Try again to start workers that could not be started, if it is time to. Task. */
void domain_retry(void);
/* The calling thread ends, perhaps inside a callback. */
void domain_thread_exit(void);
/* Have each worker check whether there is anything to do. Task. */
void domain_wake_all(void);

/*
 * Around fork(), for all domains. domain_fork_paused() asks workers to pause until
 * domain_fork_done(), and returns whether all have paused. Under domain_lock. domain_fork_child()
 * includes domain_fork_done(). @start: start a worker in the child for each domain that was to have
 * one in the parent.
 */
extern struct port_lock domain_lock;
bool domain_fork_paused(void);
void domain_fork_done(void);
void domain_fork_child(bool start);

#endif
