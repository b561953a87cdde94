/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Configuration. Optional: a program that never calls anyrcu_init() gets the defaults. */
#ifndef ANYRCU_CONFIG_H
#define ANYRCU_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/lockdep.h>

ANYRCU_BEGIN_DECLS

#define ANYRCU_WORKERS_MAX 32

/*
 * How a deferral comes by a page when it needs one. For those who compare; the first is the one that is right everywhere.
 *
 * NOLOCKS: by an allocation that takes no lock, from any context.
 * PREEMPTIBLE: by one that may take a lock, if anyrcu_preemptible() says that the caller may wait; under the model none it never does.
 * RT_OFF: by one that may take a lock, but not under the model rt nor while the validator is on: then never.
 * RAW_VARIANTS: by one that may take a lock; callers in raw context must use anyrcu_raw_call() and anyrcu_raw_free(), which use the room
 * that there is in open pages.
 *
 * The mightsleep forms get pages under each policy.
 */
enum anyrcu_policy {
	ANYRCU_POLICY_NOLOCKS = 1,
	ANYRCU_POLICY_PREEMPTIBLE,
	ANYRCU_POLICY_RT_OFF,
	ANYRCU_POLICY_RAW_VARIANTS,
};

/**
 * struct anyrcu_stall - a reader that holds up a grace period
 * @tid: the thread, as gettid() names it; 0 when it is not known
 * @ns: for how long it has held up this grace period, nanoseconds
 * @pending: deferrals that wait
 * @nframes: how many of @frames are valid
 * @frames: return addresses of its stack, innermost first; the stack as it was when the thread was asked
 */
struct anyrcu_stall {
	uint32_t tid;
	uint64_t ns;
	uint64_t pending;
	uint32_t nframes;
	void *frames[32];
};

/**
 * struct anyrcu_config - what can be set; zero means the default, in every field but @size
 * @size: sizeof(struct anyrcu_config), so that later versions may add fields; a smaller one means that those behind are not set
 * @workers: threads that reclaim: 1 by default, at most ANYRCU_WORKERS_MAX; -1 for none (anyrcu_reclaim()). In a flood they call helpers,
 *           one for each CPU at most, which end with it
 * @worker_rt_priority: SCHED_FIFO priority 1 to 99 of the workers; by default they are ordinary threads
 * @worker_cpus: CPUs to pin the workers to, of those this process may use: worker i to worker_cpus[i % nworker_cpus]; copied
 * @nworker_cpus: how many, at most ANYRCU_WORKERS_MAX; by default they are not pinned
 * @delay_us: how long a page that is not full may wait to be drained, microseconds: 1 to 10,000,000; 10,000 by default
 * @pending_max: deferrals pending at which flood control begins (helpers; callers of mightsleep forms lend a hand): at least 1024;
 *               131,072 by default. Past four times as many, the headless forms return false
 * @page_bytes_max: bytes that pages of pointers may take: at least 65,536; 64 MiB by default. While they do, what needs one more page
 *                  goes to the chain, or is refused where there is no head
 * @stall_ms: milliseconds after which a reader that holds up a grace period is reported: 10 to 86,400,000; 10,000 by default
 * @stall_hook: takes the report of a stall over from stderr; called from a worker or a thread that waits for the grace period
 * @stall_arg: given to @stall_hook
 * @lockdep: 1 turns the validator of locks on (anyrcu/lockdep.h), for good; 0 leaves it as it is, off by default
 * @lockdep_hook: takes its reports over from stderr; called from whoever made the mistake, in any context, all signals blocked; it must not wait
 *                for other threads
 * @lockdep_arg: given to @lockdep_hook
 * @preempt: the preemption model, of enum anyrcu_preempt in anyrcu/context.h; by default none, or what was chosen before
 * @policy: how deferrals come by pages, of enum anyrcu_policy; by default ANYRCU_POLICY_NOLOCKS
 */
struct anyrcu_config {
	size_t size;
	int workers;
	int worker_rt_priority;
	const int *worker_cpus;
	size_t nworker_cpus;
	uint64_t delay_us;
	uint64_t pending_max;
	uint64_t page_bytes_max;
	uint64_t stall_ms;
	void (*stall_hook)(const struct anyrcu_stall *stall, void *arg);
	void *stall_arg;
	int lockdep;
	void (*lockdep_hook)(const struct anyrcu_lockdep_report *report, void *arg);
	void *lockdep_arg;
	int preempt;
	int policy;
};

/**
 * anyrcu_init() - set the configuration
 * @config: NULL for the defaults
 *
 * May be called again to change it; workers then stop or start. The environment can override for one run: ANYRCU_WORKERS=N, where 0
 * and -1 mean none; ANYRCU_PREEMPT=none, full or rt; ANYRCU_POLICY=nolocks, preemptible, rt-off or raw-variants; ANYRCU_DEBUG=1 (find
 * double deferral and misuse of heads, while they wait in pages), ANYRCU_RSEQ=0 and ANYRCU_MEMBARRIER=0 (do as on a machine without them),
 * ANYRCU_LOCKDEP=1 (the validator is on), ANYRCU_LOCKDEP_LOG=FILE (where its reports go) and ANYRCU_LOCKDEP_RAW_NESTING=0 (spinlocks under raw
 * ones are reported under the model rt alone). The last six are read when the library is loaded. A value that is none is reported and ignored.
 *
 * A worker that is not pinned moves to the CPU on which objects were deferred before it frees them, and takes its time there. Pin the
 * workers elsewhere where real-time threads defer on CPUs of their own.
 *
 * For its stack, a stall report sends SIGURG to the stalled thread, if the program has left that signal at its default.
 *
 * Context: a task that may sleep.
 * The preemption model can be chosen as long as nothing has gone by it: no lock was used, no signal handler installed, nothing asked.
 *
 * Return: 0; -EINVAL when a field is out of range, or @config has a field set that this version does not know, or in a callback, and
 *         nothing has changed; -EBUSY when another preemption model is in use, and nothing has changed; -EPERM when the priority is not permitted; -EAGAIN when
 *         a worker could not be started. After the last two, the rest of the configuration holds.
 */
ANYRCU_API int anyrcu_init(const struct anyrcu_config *config);

ANYRCU_END_DECLS

#endif
