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
 * How a deferral obtains a page when it needs one. For comparison; only the first is correct in all
 * contexts.
 *
 * NOLOCKS: by an allocation that takes no lock, in any context. PREEMPTIBLE: by an allocation that
 * may take a lock, and only if anyrcu_preemptible() says that the caller may wait (under the model
 * none it never says so). RT_OFF: by an allocation that may take a lock; under the model rt, and
 * while the validator is on, not at all. RAW_VARIANTS: by an allocation that may take a lock;
 * callers in raw context must use anyrcu_raw_call() and anyrcu_raw_free(), which only use free
 * slots of open pages.
 *
 * The mightsleep functions allocate pages under each policy.
 */
enum anyrcu_policy {
	ANYRCU_POLICY_NOLOCKS = 1,
	ANYRCU_POLICY_PREEMPTIBLE,
	ANYRCU_POLICY_RT_OFF,
	ANYRCU_POLICY_RAW_VARIANTS,
};

/**
 * struct anyrcu_stall - a reader that delays a grace period
 * @tid: the thread, as gettid() names it
 * @ns: for how long it has been seen to delay this grace period, nanoseconds; time in which the
 *      process was stopped or the machine suspended does not count
 * @pending: pending deferrals
 * @nframes: how many of @frames are valid
 * @frames: return addresses of its stack, innermost first, at the time of the report
 */
struct anyrcu_stall {
	uint32_t tid;
	uint64_t ns;
	uint64_t pending;
	uint32_t nframes;
	void *frames[32];
};

/**
 * struct anyrcu_config - the configuration; zero means the default, in every field but @size
 * @size: sizeof(struct anyrcu_config), so that later versions may add fields; if it is smaller, the
 *        fields beyond it are not set
 * @workers: threads that reclaim: 1 by default, at most ANYRCU_WORKERS_MAX; -1 for none
 *           (anyrcu_reclaim()). In a flood they start helper threads, at most one for each CPU,
 *           which end with the flood
 * @worker_rt_priority: SCHED_FIFO priority 1 to 99 of the workers; by default they have ordinary
 *                      scheduling
 * @worker_cpus: CPUs to pin the workers to, of those this process may use: worker i to
 *               worker_cpus[i % nworker_cpus]; copied
 * @nworker_cpus: how many, at most ANYRCU_WORKERS_MAX; by default workers are not pinned
 * @delay_us: after how many microseconds a page that is not full is collected: 1 to 10,000,000;
 *            10,000 by default. Full pages are collected earlier, once there are 64 of them, or
 *            a quarter of all that @page_bytes_max allows
 * @pending_max: pending deferrals at which flood control begins (helpers; callers of mightsleep
 *               functions free ready objects): at least 1024; 131,072 by default. Past four times
 *               as many, the headless functions return false
 * @page_bytes_max: bytes that pages of pointers may take: at least 65,536; 64 MiB by default. At
 *                  the bound, objects that need one more page go to the chain; headless functions
 *                  return false
 * @stall_ms: milliseconds after which a reader that delays a grace period is reported: 10 to
 *            86,400,000; 10,000 by default
 * @stall_hook: gets the report of a stall in place of stderr; called by a worker or a thread that
 *              waits for the grace period
 * @stall_arg: passed to @stall_hook
 * @lockdep: 1 turns the validator of locks on (anyrcu/lockdep.h) for good; 0 leaves it as it is,
 *           off by default
 * @lockdep_hook: gets the validator's reports in place of stderr; called in the thread that made
 *                the mistake, in any context, all signals blocked; it must not wait for other
 *                threads
 * @lockdep_arg: passed to @lockdep_hook
 * @preempt: the preemption model, of enum anyrcu_preempt in anyrcu/context.h; by default none, or
 *           the one chosen before
 * @policy: how deferrals obtain pages, of enum anyrcu_policy; by default ANYRCU_POLICY_NOLOCKS
 * @pending_bytes_max: bytes that pending objects may take, as given to the sized functions: at
 *                     least 65,536; 64 MiB by default. Past half of that, open pages are collected
 *                     without the delay. Past it, flood control begins, the headless functions
 *                     return false, and the sized mightsleep functions wait for a grace period; the
 *                     functions with a head never fail
 * @reminder_ms: after how many milliseconds, and how often after that, @reminder_hook is called for
 *               readers that delay a grace period: 1 to 86,400,000; 10 by default
 * @reminder_hook: asks a reader that delays a grace period to end its section or to pass a
 *                 quiescent state; none by default. It is called for each such reader, with the
 *                 reader's thread, as gettid() names it, and the time for which the grace period
 *                 has waited, in nanoseconds. It is called by a worker, by a thread that waits for
 *                 the grace period, or in anyrcu_reclaim(), perhaps by several of them at a time,
 *                 without locks of the library. It may read, defer, send a signal or write to a
 *                 descriptor. It must not wait for a grace period, call anyrcu_init(), or take a
 *                 lock that is held by a thread that waits for a grace period. By the time of the
 *                 call the reader may have ended its section, or its thread
 * @reminder_arg: passed to @reminder_hook
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
	uint64_t pending_bytes_max;
	uint64_t reminder_ms;
	void (*reminder_hook)(uint32_t tid, uint64_t ns, void *arg);
	void *reminder_arg;
};

/**
 * ANYRCU_WORKERS_AT_START() - how many workers the program starts with, for use in one of its
 * source files, outside of functions
 * @n: as @workers of struct anyrcu_config; -1 for none
 *
 * By default a worker is started before main(). A second thread makes unshare(CLONE_NEWUSER) fail,
 * and is not confined by restrictions that the program enters later, such as Landlock or a seccomp
 * filter. With -1 there is no worker before the program calls anyrcu_init(); a worker that is
 * started then is confined as the calling thread is. The environment variable ANYRCU_WORKERS
 * overrides this.
 */
#define ANYRCU_WORKERS_AT_START(n)                            \
	ANYRCU_BEGIN_DECLS                                    \
	extern ANYRCU_DATA const int anyrcu_workers_at_start; \
	const int anyrcu_workers_at_start = (n);              \
	ANYRCU_END_DECLS                                      \
	extern int anyrcu_workers_at_start_ends_with_a_semicolon

/**
 * anyrcu_init() - set the configuration
 * @config: NULL for the defaults
 *
 * May be called again to change it; workers then stop or start. The environment can override for
 * one run: ANYRCU_WORKERS=N, where 0 and -1 mean none; ANYRCU_PREEMPT=none, full or rt;
 * ANYRCU_POLICY=nolocks, preemptible, rt-off or raw-variants; ANYRCU_DEBUG=1 (find double deferral
 * and misuse of heads, while they wait in pages), ANYRCU_RSEQ=0 and ANYRCU_MEMBARRIER=0 (do as on a
 * machine without them), ANYRCU_LOCKDEP=1 (the validator is on), ANYRCU_LOCKDEP_LOG=FILE (where its
 * reports go) and ANYRCU_LOCKDEP_RAW_NESTING=0 (spinlocks under raw ones are reported under the
 * model rt alone). The last six are read when the library is loaded. An invalid value is reported
 * and ignored.
 *
 * A worker that is not pinned moves to the CPU on which objects were deferred before it frees them,
 * and uses CPU time there. If real-time threads defer on CPUs of their own, pin the workers to
 * other CPUs.
 *
 * To get the stalled thread's stack, a stall report sends it SIGURG, if the program has left that
 * signal at its default.
 *
 * A thread that is online (anyrcu_thread_online()) and takes the workers away counts as quiescent
 * while it waits for their callbacks.
 *
 * Context: a task that may sleep. The preemption model can be chosen until its first use: as long
 * as no lock was used, no signal handler installed, and no function called that depends on the
 * model.
 *
 * Return: 0; -EINVAL if a field is out of range, if @config has a field set that this version does
 *         not know, or in a callback, and -EBUSY if another preemption model is in use: then
 *         nothing has changed. -EPERM if the priority is not permitted, -EAGAIN if a worker could
 *         not be started: then the rest of the configuration is in effect. -EAGAIN if there is no
 *         memory for the validator: then only the preemption model is.
 */
ANYRCU_API int anyrcu_init(const struct anyrcu_config *config);

ANYRCU_END_DECLS

#endif
