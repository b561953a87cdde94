/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The start of the library, its configuration, and fork().
 *
 * Before the constructor has run, the library works, on its fallbacks: readers fence, deferrals take the shared path, and nobody
 * drains yet. So other constructors, and what a preloaded library does earlier, need not care.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <context/context.h>
#include <defer/defer.h>
#include <domain/domain.h>
#include <errno.h>
#include <init/init.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/port.h>
#include <port/posix/init.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static const struct anyrcu_config defaults = {
	.size = sizeof(defaults),
	.workers = 1,
	.delay_us = DEFER_DELAY_US,
	.pending_max = DEFER_PENDING_MAX,
	.page_bytes_max = DEFER_BYTES_MAX,
	.stall_ms = 10000,
	.policy = ANYRCU_POLICY_NOLOCKS,
};

static bool in_range(uint64_t v, uint64_t min, uint64_t max)
{
	return v >= min && v <= max;
}

/* Zero means the default. */
static void complete(struct anyrcu_config *c)
{
	c->workers = c->workers ?: defaults.workers;
	c->delay_us = c->delay_us ?: defaults.delay_us;
	c->pending_max = c->pending_max ?: defaults.pending_max;
	c->page_bytes_max = c->page_bytes_max ?: defaults.page_bytes_max;
	c->stall_ms = c->stall_ms ?: defaults.stall_ms;
	c->policy = c->policy ?: defaults.policy;
}

static bool cpus_usable(const struct anyrcu_config *c)
{
	cpu_set_t set;

	if (c->nworker_cpus > ANYRCU_WORKERS_MAX || (c->nworker_cpus && !c->worker_cpus))
		return false;
	if (sched_getaffinity(0, sizeof(set), &set))
		return c->nworker_cpus == 0;
	for (size_t i = 0; i < c->nworker_cpus; i++)
		if (c->worker_cpus[i] < 0 || c->worker_cpus[i] >= CPU_SETSIZE || !CPU_ISSET(c->worker_cpus[i], &set))
			return false;
	return true;
}

static bool valid(const struct anyrcu_config *c)
{
	return (c->workers == -1 || in_range(c->workers, 1, ANYRCU_WORKERS_MAX)) &&
	       (c->worker_rt_priority == 0 || in_range(c->worker_rt_priority, 1, 99)) && cpus_usable(c) &&
	       in_range(c->delay_us, 1, 10000000) && c->pending_max >= 1024 &&
	       c->page_bytes_max >= 65536 && in_range(c->stall_ms, 10, 86400000) &&
	       (c->lockdep == 0 || c->lockdep == 1) &&
	       in_range(c->preempt, 0, ANYRCU_PREEMPT_RT) && in_range(c->policy, ANYRCU_POLICY_NOLOCKS, ANYRCU_POLICY_RAW_VARIANTS);
}

/* A program built against an older header has a shorter struct, against a newer one a longer, whose additions must be unused. */
static bool copy(struct anyrcu_config *to, const struct anyrcu_config *from)
{
	size_t size = from->size;

	if (size < offsetof(struct anyrcu_config, worker_rt_priority) || size > 4096)
		return false;
	for (size_t i = sizeof(*to); i < size; i++)
		if (((const char *)from)[i])
			return false;
	*to = (struct anyrcu_config){ 0 };
	memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
	return true;
}

static int env_workers(int workers)
{
	const char *s = getenv("ANYRCU_WORKERS");
	char *end;
	long n;

	if (!s || !*s)
		return workers;
	n = strtol(s, &end, 10);
	if (*end || n < -1 || n > ANYRCU_WORKERS_MAX) {
		port_report("ANYRCU_WORKERS=%s is not a number from -1 to %u; ignored", s, (uint64_t)ANYRCU_WORKERS_MAX);
		return workers;
	}
	return n == 0 ? -1 : n;
}

static bool env_switch(const char *name, bool otherwise)
{
	const char *s = getenv(name);

	if (s && (!strcmp(s, "0") || !strcmp(s, "1")))
		return *s == '1';
	if (s && *s)
		port_report("%s=%s is neither 0 nor 1; ignored", name, s);
	return otherwise;
}

/* One of @names, counted from 1; @otherwise when there is none. */
static int env_word(const char *name, const char *const *names, int n, int otherwise)
{
	const char *s = getenv(name);

	if (!s || !*s)
		return otherwise;
	for (int i = 0; i < n; i++)
		if (!strcmp(s, names[i]))
			return i + 1;
	port_report("%s=%s is not known; ignored", name, s);
	return otherwise;
}

static int env_preempt(int preempt)
{
	static const char *const names[] = { "none", "full", "rt" };

	return env_word("ANYRCU_PREEMPT", names, ARRAY_SIZE(names), preempt);
}

static int env_policy(int policy)
{
	static const char *const names[] = { "nolocks", "preemptible", "rt-off", "raw-variants" };

	return env_word("ANYRCU_POLICY", names, ARRAY_SIZE(names), policy);
}

static struct port_lock configuring;

int anyrcu_init(const struct anyrcu_config *config)
{
	struct anyrcu_config c = defaults;
	int workers, preempt, err;

	if (config && !copy(&c, config))
		return -EINVAL;
	complete(&c);
	if (!valid(&c) || defer_in_callback())
		return -EINVAL;
	if (c.lockdep && !init_lockdep())
		return -EAGAIN;
	port_lock(&configuring);
	if (c.lockdep_hook)
		init_lockdep_hook(c.lockdep_hook, c.lockdep_arg);
	preempt = env_preempt(c.preempt);
	if (preempt && !context_choose((enum context_model)preempt)) {
		port_unlock(&configuring);
		return -EBUSY;
	}
	store(&defer_policy, env_policy(c.policy));
	store(&defer_limits.delay_ns, c.delay_us * 1000);
	store(&defer_limits.pending_max, c.pending_max < UINT64_MAX / 8 ? c.pending_max : UINT64_MAX / 8); /* it is multiplied */
	store(&defer_limits.bytes_max, c.page_bytes_max);
	gp_configure(c.stall_ms, c.stall_hook, c.stall_arg);
	workers = env_workers(c.workers);
	err = defer_workers_start(workers > 0 ? workers : 0, c.worker_rt_priority, c.worker_cpus, c.nworker_cpus);
	port_unlock(&configuring);
	return err == 0 || err == -EPERM ? err : -EAGAIN;
}

/* ---- start and fork ---- */

/* Under the validator in the second round of destructors, so that what those of the program release is not missed. */
static void thread_exit(void)
{
	static PORT_THREAD_LOCAL bool again;

	if (load(&lockdep_ops) && !again) {
		again = true;
		port_thread_exit_arm();
		return;
	}
	defer_thread_exit();
	worker_thread_exit();
	lockdep(thread_exit, gp_in_section());
	context_thread_exit();
	gp_thread_exit();
}

static void fork_prepare(void)
{
	domain_fork_prepare();
	port_lock(&configuring);
	context_fork_prepare();
	defer_fork_prepare();
	gp_fork_prepare();
	pages_fork_prepare();
	lockdep_fork_prepare();
}

static void fork_parent(void)
{
	lockdep_fork_parent();
	pages_fork_done();
	defer_fork_parent();
	context_fork_parent();
	port_unlock(&configuring);
	domain_fork_parent();
}

static void fork_child(void)
{
	port_follow_end(); /* a callback forks: what the child becomes has nothing to do with where a worker ran */
	port_process();
	lockdep_fork_child();
	pages_fork_done();
	gp_fork_child();
	defer_fork_child();
	worker_fork_child();
	context_fork_child();
	port_unlock(&configuring);
	domain_fork_child(true);
}

static void wake_urgent(void)
{
	defer_wake(true);
}

static void wake_deep(void)
{
	defer_wake(false);
}

__attribute__((constructor(102))) static void start(void)
{
	bool debug = env_switch("ANYRCU_DEBUG", false);

	port_init(env_switch("ANYRCU_MEMBARRIER", true), env_switch("ANYRCU_RSEQ", true));
	port_process();
	port_thread_exit_hook = thread_exit;
	gp_hooks.kick = wake_urgent;
	gp_hooks.pending = defer_pending;
	pages_kick = wake_deep;
	gp_init();
	init_lockdep_raw_nesting(env_switch("ANYRCU_LOCKDEP_RAW_NESTING", true));
	if (env_switch("ANYRCU_LOCKDEP", false)) {
		port_text_to(getenv("ANYRCU_LOCKDEP_LOG"));
		if (!init_lockdep())
			port_report("no memory for the validator");
	} else if (debug) {
		port_stack_prime();
	}
	store(&defer_debug, debug);
	pages_refill();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	if (anyrcu_init(NULL) == -EAGAIN)
		port_report("no worker could be started; anyrcu_reclaim(), anyrcu_barrier() and anyrcu_synchronize() still work");
}

/* ---- domains ---- */

struct anyrcu_domain *anyrcu_domain_create(const struct anyrcu_source *source, const struct anyrcu_domain_config *config)
{
	struct anyrcu_domain *d;
	int err = domain_make(&d, source, config);

	if (err) {
		errno = err == DOMAIN_EINVAL ? EINVAL : ENOMEM;
		return NULL;
	}
	err = domain_start(d, port_thread_start);
	if (err) {
		domain_unmake(d);
		errno = EAGAIN;
		return NULL;
	}
	return d;
}

/* ---- statistics ---- */

void anyrcu_stats_get(struct anyrcu_stats *out)
{
	struct anyrcu_stats s = {
		.size = out->size,
		.deferred_page = defer_deferred_page(),
		.deferred_chain = load(&defer_stats.chain),
		.deferred_inline = load(&defer_stats.inline_),
		.refused = load(&defer_stats.refused),
		.refused_bound = load(&defer_stats.refused_bound),
		.pending_high = load(&defer_stats.pending_high),
		.pages_percpu = load(&pages_stats.percpu),
		.pages_reserve = load(&pages_stats.reserve),
		.pages_zone = load(&pages_stats.zone),
		.pages_failed_no_locks = load(&pages_stats.failed_no_locks),
		.pages_failed = load(&pages_stats.failed),
		.pages_mapped = load(&pages_stats.mapped),
		.pages_mapped_high = load(&pages_stats.mapped_high),
		.defer_bytes = load(&defer_stats.bytes),
		.defer_bytes_high = load(&defer_stats.bytes_high),
		.gp_started = load(&gp_stats.started),
		.gp_done = load(&gp_stats.done),
		.gp_ns_total = load(&gp_stats.ns_total),
		.gp_ns_max = load(&gp_stats.ns_max),
		.stalls = load(&gp_stats.stalls),
		.batches = load(&defer_stats.batches),
		.drained_pages = load(&defer_stats.drained_pages),
		.drained_chains = load(&defer_stats.drained_chains),
		.floods = load(&defer_stats.floods),
		.helped = load(&defer_stats.helped),
		.readers = reader_count(),
		.worker_wakes = load(&defer_stats.wakes),
	};

	s.deferred = s.deferred_page + s.deferred_chain + s.deferred_inline;
	s.pending = defer_pending();
	s.invoked = load(&defer_stats.invoked);
	memcpy(out, &s, s.size < sizeof(s) ? s.size : sizeof(s));
}
