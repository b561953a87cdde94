/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the layers above use of domains, beside anyrcu/domain.h. */
#ifndef ANYRCU_DOMAIN_DOMAIN_H
#define ANYRCU_DOMAIN_DOMAIN_H

#include <anyrcu/domain.h>
#include <base/compiler.h>

enum { DOMAIN_EINVAL = 1, DOMAIN_ENOMEM };

/* Make a domain that has no worker yet. Task. 0 or one of the above. */
int domain_make(struct anyrcu_domain **out, const struct anyrcu_source *source, const struct anyrcu_domain_config *config);
/* Give it back; without a worker, and empty. Task. */
void domain_unmake(struct anyrcu_domain *d);
/* Start the worker, if there is none, by port_thread_start() or what does as it. Task. 0 or -errno. */
typedef int domain_starter_t(void (*main)(void *), void *arg, int cpu, int rt);
int domain_start(struct anyrcu_domain *d, domain_starter_t *starter);
/* Is there one? Any context. */
bool domain_runs(const struct anyrcu_domain *d);
/* Is the caller it? Any context. */
bool domain_is_worker(const struct anyrcu_domain *d);
/* anyrcu_domain_call(); @caller: who is told of in reports. */
void domain_call(struct anyrcu_domain *d, struct anyrcu_head *head, void (*func)(struct anyrcu_head *head), uintptr_t caller);
/*
 * anyrcu_domain_barrier(), in two, so that several domains do their work at a time. The second takes what the first returned. Task.
 */
uint32_t domain_barrier_begin(struct anyrcu_domain *d);
void domain_barrier_end(struct anyrcu_domain *d, uint32_t want);
/*
 * Have the worker rest outside of callbacks and of the source, ended as one of its threads, until as many calls of domain_resume(). False: it
 * has not come to rest in @ns nanoseconds (0: without bound), but will. Task.
 */
bool domain_pause(struct anyrcu_domain *d, uint64_t ns);
void domain_resume(struct anyrcu_domain *d);
/* How much is in pages and not yet in the statistics. Task. */
uint64_t domain_open(struct anyrcu_domain *d);

/* Around fork(), for all domains. @start: a child's domains have workers where the parent's had. */
void domain_fork_prepare(void);
void domain_fork_parent(void);
void domain_fork_child(bool start);

#endif
