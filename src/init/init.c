/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The start of the library, its configuration, and fork().
 *
 * Before the constructor has run, the library works with its fallbacks: readers fence, deferrals
 * append by atomics, and no worker drains yet. So other constructors, and preloaded libraries that
 * run earlier, may use it.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <cache/cache.h>
#include <context/context.h>
#include <defer/defer.h>
#include <defer/exchange.h>
#include <domain/domain.h>
#include <errno.h>
#include <init/init.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/process.h>
#include <port/posix/init.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__) && !defined(pthread_atfork)
/*
 * glibc's pthread_atfork() is linked statically into each library, at the library's end, on a page
 * that a process needs for nothing else. So call the function that it calls.
 */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			     void *library);
extern void *__dso_handle __attribute__((visibility("hidden")));
#define pthread_atfork(prepare, parent, child) \
	__register_atfork(prepare, parent, child, &__dso_handle)
#endif

extern const int anyrcu_workers_at_start __attribute__((weak));

static const struct anyrcu_config defaults = {
	.size = sizeof(defaults),
	.workers = 1,
	.delay_us = STORE_DELAY_US,
	.pending_max = STORE_PENDING_MAX,
	.page_bytes_max = STORE_BYTES_MAX,
	.pending_bytes_max = DEFER_PENDING_BYTES_MAX,
	.stall_ms = 10000,
	.reminder_ms = 10,
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
	c->pending_bytes_max = c->pending_bytes_max ?: defaults.pending_bytes_max;
	c->stall_ms = c->stall_ms ?: defaults.stall_ms;
	c->reminder_ms = c->reminder_ms ?: defaults.reminder_ms;
	c->policy = c->policy ?: defaults.policy;
}

static bool cpus_usable(const struct anyrcu_config *c)
{
	if (c->nworker_cpus > ANYRCU_WORKERS_MAX || (c->nworker_cpus && !c->worker_cpus))
		return false;
	for (size_t i = 0; i < c->nworker_cpus; i++)
		if (!port_cpu_usable(c->worker_cpus[i]))
			return false;
	return true;
}

/* The first field that is out of range; NULL: there is none. */
static const char *wrong_field(const struct anyrcu_config *c)
{
	const struct {
		const char *name;
		bool right;
	} fields[] = {
		{ "workers", c->workers == -1 || in_range(c->workers, 1, ANYRCU_WORKERS_MAX) },
		{ "worker_rt_priority",
		  c->worker_rt_priority == 0 || in_range(c->worker_rt_priority, 1, 99) },
		{ "worker_cpus or nworker_cpus", cpus_usable(c) },
		{ "delay_us", in_range(c->delay_us, 1, 10000000) },
		{ "pending_max", c->pending_max >= 1024 },
		{ "page_bytes_max", c->page_bytes_max >= 65536 },
		{ "pending_bytes_max", c->pending_bytes_max >= 65536 },
		{ "stall_ms", in_range(c->stall_ms, 10, 86400000) },
		{ "reminder_ms", in_range(c->reminder_ms, 1, 86400000) },
		{ "lockdep", c->lockdep == 0 || c->lockdep == 1 },
		{ "preempt", in_range(c->preempt, 0, ANYRCU_PREEMPT_RT) },
		{ "policy",
		  in_range(c->policy, ANYRCU_POLICY_NOLOCKS, ANYRCU_POLICY_RAW_VARIANTS) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!fields[i].right)
			return fields[i].name;
	return NULL;
}

/*
 * A program built against an older header passes a shorter struct, one built against a newer header
 * a longer struct, whose additional fields must be unused. Returns what is wrong, or NULL.
 */
static const char *copy(struct anyrcu_config *to, const struct anyrcu_config *from)
{
	size_t size = from->size;

	if (size < offsetof(struct anyrcu_config, worker_rt_priority) || size > 4096)
		return "size";
	for (size_t i = sizeof(*to); i < size; i++)
		if (((const char *)from)[i])
			return "a field that this version does not know";
	*to = (struct anyrcu_config){ 0 };
	memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
	return NULL;
}

static int invalid(const char *field)
{
	if (store_debug)
		port_report("anyrcu_init(): %s is out of range", field);
	return -EINVAL;
}

static int env_workers(int workers)
{
	const char *s = secure_getenv("ANYRCU_WORKERS");
	char *end;
	long n;

	if (!s || !*s)
		return workers;
	n = strtol(s, &end, 10);
	if (*end || n < -1 || n > ANYRCU_WORKERS_MAX) {
		port_report("ANYRCU_WORKERS=%s is not a number from -1 to %u; ignored", s,
			    (uint64_t)ANYRCU_WORKERS_MAX);
		return workers;
	}
	return n == 0 ? -1 : n;
}

static bool env_switch(const char *name, bool otherwise)
{
	const char *s = secure_getenv(name);

	if (s && (!strcmp(s, "0") || !strcmp(s, "1")))
		return *s == '1';
	if (s && *s)
		port_report("%s=%s is neither 0 nor 1; ignored", name, s);
	return otherwise;
}

/* The variable's value as a number of @names, counted from 1; @otherwise if it is not set. */
static int env_word(const char *name, const char *const *names, int n, int otherwise)
{
	const char *s = secure_getenv(name);

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
	const char *wrong = config ? copy(&c, config) : NULL;
	int workers, preempt, err;
	bool failed;

	if (wrong)
		return invalid(wrong);
	complete(&c);
	wrong = wrong_field(&c);
	if (wrong)
		return invalid(wrong);
	if (defer_in_callback())
		return invalid("the context, a callback,");
	preempt = env_preempt(c.preempt);
	if (preempt && !context_choose((enum context_model)preempt))
		return -EBUSY;
	if (c.lockdep && !init_lockdep())
		return -EAGAIN;
	port_lock(&configuring);
	if (c.lockdep_hook)
		init_lockdep_hook(c.lockdep_hook, c.lockdep_arg);
	store(&defer_policy, env_policy(c.policy));
	store(&defer_limits.delay_ns, c.delay_us * 1000);
	/* bounded, as it is multiplied */
	store(&defer_limits.pending_max,
	      c.pending_max < UINT64_MAX / 8 ? c.pending_max : UINT64_MAX / 8);
	store(&defer_store.bytes_max, c.page_bytes_max);
	store(&defer_limits.pending_bytes_max,
	      c.pending_bytes_max < UINT64_MAX / 8 ? c.pending_bytes_max : UINT64_MAX / 8);
	gp_configure(&c);
	workers = env_workers(c.workers);
	err = defer_workers_start(workers > 0 ? workers : 0, c.worker_rt_priority, c.worker_cpus,
				  c.nworker_cpus);
	port_unlock(&configuring);
	failed = err && err != -EPERM;
	if (workers < 0 || failed) {
		bool online = gp_waits_begin(); /* a callback may wait for a grace period */

		if (failed)
			err = defer_workers_start_behind();
		else
			defer_workers_wait();
		gp_waits_end(online);
	}
	return err == 0 || err == -EPERM ? err : -EAGAIN;
}

/* ---- start and fork ---- */

static void thread_exit(void)
{
	/* a handler may have ended the thread between a deferral and its wake */
	defer_wake(false);
	/* the process continues as long as other threads of the program exist */
	if (port_main_ends()) {
		defer_wake(true);
		domain_wake_all();
		context_wake_all();
	}
	defer_thread_exit();
	worker_thread_exit();
	domain_thread_exit();
	cache_thread_exit();
	lockdep(thread_exit, gp_in_section());
	context_thread_exit();
	gp_thread_exit();
}

/* All locks whose state another thread may be changing when this one forks. */
static struct port_lock *const locks[] = { &domain_lock, &configuring,	 &context_lock, &defer_lock,
					   &gp_lock,	 &exchange_lock, &cache_lock,	&arena_lock,
					   &pages_lock,	 &lockdep_lock,	 NULL };

static bool fork_paused(void)
{
	bool domains = domain_fork_paused();

	return defer_fork_paused() && domains;
}

static void fork_prepare(void)
{
	port_fork_begin(locks, fork_paused);
	gp_fork_prepare();
	lockdep_fork_prepare();
}

static void fork_parent(void)
{
	lockdep_fork_parent();
	if (!port_fork_nested()) { /* the outer one still relies on the pause */
		defer_fork_done();
		domain_fork_done();
	}
	port_fork_end(locks);
}

/*
 * State under the locks is not touched: a handler that forks may have interrupted their holder.
 * docs/design/fork.md lists all states.
 */
static void child(bool threads)
{
	port_fork_child();
	/* this thread is the main one now, at whose end workers must be told */
	port_thread_exit_arm();
	lockdep_fork_child();
	gp_fork_child();
	defer_fork_done();
	domain_fork_child(threads);
	cache_fork_child();
	worker_fork_child(threads);
	context_fork_child(threads);
}

static void fork_child(void)
{
	if (port_fork_complete())
		child(true);
	port_fork_end(locks);
}

/*
 * In the child of a fork that ran no handlers, the first call that waits does what the handlers
 * would have done, but starts no threads, as libc's own locks may be held for ever: there, barriers
 * and anyrcu_reclaim() invoke callbacks. It cannot do so if an absent thread held a lock of the
 * library at the fork: the state that the lock protects may be half changed for ever.
 */
static bool rest_already(void)
{
	return true;
}

static noinline void adopt(void)
{
	port_fork_begin(locks, rest_already);
	if (!port_fork_complete())
		port_bug(
			"this child of _Fork(), or of a raw clone(), cannot wait: a thread that it does not have held a lock of anyrcu");
	if (port_forked_raw()) {
		gp_fork_prepare();
		lockdep_fork_prepare();
		child(false);
	}
	port_fork_end(locks);
}

static void polled(void)
{
	if (defer_in_callback() && !defer_driven())
		gp_step();
}

static void task(void)
{
	if (unlikely(port_forked_raw()))
		adopt();
	defer_workers_retry();
	domain_retry();
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

	port_init(env_switch("ANYRCU_MEMBARRIER", true),
		  env_switch("ANYRCU_RSEQ", true) && !port_checked);
	port_process();
	port_thread_exit_hook = thread_exit;
	gp_hooks.kick = wake_urgent;
	gp_hooks.pending = defer_pending;
	gp_hooks.polled = polled;
	gp_hooks.task = task;
	pages_kick = wake_deep;
	gp_init();
	init_lockdep_preloaded();
	init_lockdep_raw_nesting(env_switch("ANYRCU_LOCKDEP_RAW_NESTING", true));
	if (env_switch("ANYRCU_LOCKDEP", false)) {
		port_text_to(secure_getenv("ANYRCU_LOCKDEP_LOG"));
		if (!init_lockdep())
			port_report("no memory for the validator");
	} else if (debug) {
		port_stack_prime();
	}
	store(&store_debug, debug);
	store(&cache_debug, debug);
	pages_refill();
	port_thread_exit_arm_task();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	if (anyrcu_init(&(struct anyrcu_config){
		    .size = sizeof(struct anyrcu_config),
		    .workers = &anyrcu_workers_at_start ? anyrcu_workers_at_start : 0 }) == -EAGAIN)
		port_report(
			"no worker could be started; anyrcu_reclaim(), anyrcu_barrier() and anyrcu_synchronize() still work, "
			"and try again");
}

__attribute__((destructor(102))) static void end(void)
{
	cache_exit();
}

/* ---- domains ---- */

struct anyrcu_domain *anyrcu_domain_create(const struct anyrcu_source *source,
					   const struct anyrcu_domain_config *config)
{
	struct anyrcu_domain *d;
	int err = domain_make(&d, source, config);

	if (err) {
		errno = err == DOMAIN_EINVAL ? EINVAL : ENOMEM;
		return NULL;
	}
	err = domain_start(d, port_thread_start);
	if (err) {
		domain_stop(d); /* domain_retry() may have started a worker meanwhile */
		domain_unmake(d);
		errno = EAGAIN;
		return NULL;
	}
	return d;
}

/* ---- caches ---- */

struct anyrcu_cache *anyrcu_cache_create(const struct anyrcu_cache_config *config)
{
	struct anyrcu_cache *c;
	int err = cache_make(&c, config);

	if (!err)
		return c;
	errno = err == CACHE_EINVAL ? EINVAL : ENOMEM;
	return NULL;
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
		.defer_bytes = load(&defer_store.bytes),
		.defer_bytes_high = load(&defer_store.bytes_high),
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
		.pending_bytes = defer_bytes_pending(),
		.pending_bytes_high = load(&defer_stats.pending_bytes_high),
		.refused_bytes = load(&defer_stats.refused_bytes),
	};

	s.invoked = exchange_freed();
	s.deferred_page += s.invoked + exchange_pending();
	s.invoked += load(&defer_stats.invoked);
	s.deferred = s.deferred_page + s.deferred_chain + s.deferred_inline;
	s.pending = defer_pending() + exchange_pending();
	memcpy(out, &s, s.size < sizeof(s) ? s.size : sizeof(s));
}
