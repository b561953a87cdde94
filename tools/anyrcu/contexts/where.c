/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "contexts/where.h"

#include <anyrcu/anyrcu.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

const char *const where_names[WHERES] = {
	"task",		"spinlock",	    "raw spinlock",   "preempt off",
	"hard handler", "handler's thread", "inside library",
};
const char *const model_names[MODELS] = { "none", "full", "rt" };
const char *const policy_names[POLICIES] = { "nolocks", "preemptible", "rt-off", "raw-variants" };

/* Called from the context that made the mistake. */
static void on_report(const struct anyrcu_lockdep_report *report, void *arg)
{
	struct where_reports *reports = arg;

	if (__atomic_fetch_add(&reports->n, 1, __ATOMIC_RELAXED) == 0)
		for (size_t i = 0; i < sizeof(reports->rule) - 1 && report->rule_name[i]; i++)
			reports->rule[i] = report->rule_name[i];
}

void where_begin(int model, int policy, uint64_t page_bytes, struct where_reports *reports)
{
	struct anyrcu_config c = {
		.size = sizeof(c),
		.workers = -1,
		.page_bytes_max = page_bytes,
		.preempt = model + 1,
		.policy = policy + 1,
		.lockdep = reports != NULL,
		.lockdep_hook = reports ? on_report : NULL,
		.lockdep_arg = reports,
	};
	int err;

	/* What the environment says is for programs, not for a command that shows all there is. */
	unsetenv("ANYRCU_PREEMPT");
	unsetenv("ANYRCU_POLICY");
	unsetenv("ANYRCU_WORKERS");
	err = anyrcu_init(&c);
	if (err) {
		fprintf(stderr, "anyrcu: anyrcu_init: %s\n", strerror(-err));
		_exit(1);
	}
}

static anyrcu_spinlock_t spinlock = ANYRCU_SPINLOCK_INIT;
static anyrcu_raw_spinlock_t raw = ANYRCU_RAW_SPINLOCK_INIT;

static struct {
	void (*f)(void *arg);
	void *arg;
	volatile int done;
} call;

static void hard(int sig, siginfo_t *info, void *context)
{
	call.f(call.arg);
	__atomic_store_n(&call.done, 1, __ATOMIC_RELEASE);
}

static void thread(int sig, const siginfo_t *info)
{
	hard(sig, NULL, NULL);
}

static bool in_signal(bool threaded)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .flags = ANYRCU_SIGNAL_NO_THREAD };

	a.hard = threaded ? NULL : hard;
	a.thread = threaded ? thread : NULL;
	if (anyrcu_signal_action(SIGUSR1, &a))
		return false;
	raise(SIGUSR1);
	while (!__atomic_load_n(&call.done, __ATOMIC_ACQUIRE))
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	return anyrcu_signal_action(SIGUSR1, NULL) == 0;
}

/* ---- in the middle of the library ---- */

static uintptr_t program_counter(void *context)
{
#if defined(__x86_64__)
	return ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return ((ucontext_t *)context)->uc_mcontext.pc;
#else
	return 0;
#endif
}

static Dl_info library;

/*
 * The library's functions lie together; the tool may have them in itself, where dladdr() still
 * tells them by name.
 */
static bool in_library(uintptr_t pc)
{
	Dl_info info;

	if (!pc || !dladdr((void *)pc, &info) || info.dli_fbase != library.dli_fbase)
		return false;
	return true;
}

static void hard_inside(int sig, siginfo_t *info, void *context)
{
	if (!call.done && in_library(program_counter(context)))
		hard(sig, info, context);
}

static void invoked(struct anyrcu_head *head)
{
	free(head);
}

/* What the handler may interrupt: deferring, pages, sections, invoking. */
static void use_library(void)
{
	void *page;

	for (int i = 0; i < 100; i++) {
		struct anyrcu_head *head = malloc(sizeof(*head));

		anyrcu_read_lock();
		if (head)
			anyrcu_call(head, invoked);
		anyrcu_read_unlock();
		page = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0);
		anyrcu_page_free(page, 0);
	}
	anyrcu_reclaim(100);
}

static bool inside(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a),
					  .hard = hard_inside,
					  .flags = ANYRCU_SIGNAL_NO_THREAD };
	struct itimerspec tick = { .it_interval.tv_nsec = 91000, .it_value.tv_nsec = 91000 };
	struct sigevent e = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;

	e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (!dladdr((void *)(uintptr_t)anyrcu_call, &library) ||
	    anyrcu_signal_action(SIGUSR1, &a) || timer_create(CLOCK_MONOTONIC, &e, &timer) ||
	    timer_settime(timer, 0, &tick, NULL))
		return false;
	for (int i = 0; i < 10000 && !__atomic_load_n(&call.done, __ATOMIC_ACQUIRE); i++)
		use_library();
	timer_delete(timer);
	return call.done;
}

bool where_call(enum where where, void (*f)(void *arg), void *arg)
{
	call.f = f;
	call.arg = arg;
	call.done = 0;
	switch (where) {
	case UNDER_SPINLOCK:
		anyrcu_spin_lock(&spinlock);
		f(arg);
		anyrcu_spin_unlock(&spinlock);
		return true;
	case UNDER_RAW:
		anyrcu_raw_spin_lock(&raw);
		f(arg);
		anyrcu_raw_spin_unlock(&raw);
		return true;
	case PREEMPT_OFF:
		anyrcu_preempt_disable();
		f(arg);
		anyrcu_preempt_enable();
		return true;
	case IN_HANDLER:
	case IN_THREAD:
		return in_signal(where == IN_THREAD);
	case INTERRUPTING:
		return inside();
	default:
		f(arg);
		return true;
	}
}
