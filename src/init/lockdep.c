/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Connects the validator with the other layers of the library. */
#include <context/context.h>
#include <gp/gp.h>
#include <init/init.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/process.h>
#include <port/posix/init.h>

static struct {
	void (*hook)(const struct anyrcu_lockdep_report *report, void *arg);
	void *arg;
} reports;

static void emit(const struct anyrcu_lockdep_report *report)
{
	void (*hook)(const struct anyrcu_lockdep_report *, void *) = load_acquire(&reports.hook);

	if (hook)
		hook(report, load(&reports.arg));
	else
		port_text(report->text);
}

static struct lockdep_host library = {
	.emit = emit, .in_reader = gp_in_section, .rt = context_rt_so_far, .raw_nesting = true
};

/* ---- events of the layers below ---- */

static void waits(const char *what, const void *ip)
{
	lockdep(rcu_wait, what, ip);
}

static void allocates(unsigned gfp, const void *ip)
{
	if (gfp == ANYRCU_GFP_KERNEL)
		lockdep(might_sleep, "anyrcu_page_alloc(ANYRCU_GFP_KERNEL)", ip);
	else if (gfp == ANYRCU_GFP_NOWAIT)
		lockdep(might_spin, "anyrcu_page_alloc(ANYRCU_GFP_NOWAIT)", ip);
}

/*
 * The zone's lock is a spinlock. The other locks are only taken by tasks, and by threads that fork,
 * perhaps in a handler. As their holders take no signals, and wait for nothing that waits for other
 * locks, there is no wait type to check.
 */
static const struct anyrcu_lock_type zone = { "anyrcu zone lock", ANYRCU_WAIT_CONFIG, 0 };
static const struct anyrcu_lock_type other = { "anyrcu lock", ANYRCU_WAIT_INV, ANYRCU_WAIT_SLEEP };

static void locks(const struct port_lock *lock, bool take, uint64_t blocked)
{
	if (take) {
		lockdep(signals_blocked, UINT64_MAX);
		lockdep(acquire, lock, lock == &pages_lock ? &zone : &other, ANYRCU_LOCK_WRITE, 0,
			NULL, __builtin_return_address(0));
	} else {
		lockdep(release, lock, __builtin_return_address(0));
		lockdep(signals_blocked, blocked);
	}
}

static void attached(void)
{
	gp_hooks.waits = waits;
	pages_watch = allocates;
	store_release(&port_lock_watch, locks);
}

void anyrcu_lockdep_attach(const struct lockdep_ops *ops)
{
	if (ops->size != sizeof(*ops))
		return;
	store_release(&lockdep_ops, ops);
	store(&anyrcu_lockdep_watching, 1);
	attached();
}

void init_lockdep_hook(void (*hook)(const struct anyrcu_lockdep_report *, void *), void *arg)
{
	store(&reports.arg, arg);
	store_release(&reports.hook, hook);
}

void init_lockdep_raw_nesting(bool report)
{
	library.raw_nesting = report;
}

bool init_lockdep(void)
{
	if (load(&lockdep_ops))
		return true;
	port_stack_prime();
	if (!lockdep_start(&library))
		return false;
	anyrcu_lockdep_attach(&lockdep_engine);
	return true;
}
