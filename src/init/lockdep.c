/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Connects the validator with the other layers of the library. */
#include <context/context.h>
#include <defer/defer.h>
#include <gp/gp.h>
#include <init/init.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/process.h>
#include <store/store.h>
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

static struct lockdep_host library = { .emit = emit,
				       .in_reader = anyrcu_read_lock_held,
				       .rt = context_rt_so_far,
				       .raw_nesting = true };

/* ---- events of the layers below ---- */

static void waits(const char *what, bool waits, const void *ip)
{
	lockdep(rcu_wait, what, gp_in_section(), ip);
	if (waits)
		lockdep(gp_wait, ip);
}

/*
 * The callbacks of a store are a lock in the orders of locks: who invokes them holds it, and who
 * waits for all of them acquires it, and gives it back at once. So a lock that a callback takes is
 * not to be held in a barrier.
 */
static const struct anyrcu_lock_type callbacks = { "callbacks", ANYRCU_WAIT_INV, 0 };

static void stores(const struct store *s, enum store_event event, const void *ip)
{
	switch (event) {
	case STORE_INVOKES:
		lockdep(acquire, s, &callbacks, ANYRCU_LOCK_RECURSIVE_READ | ANYRCU_LOCK_TRY, 0,
			NULL, ip);
		return;
	case STORE_BARRIER:
		lockdep(acquire, s, &callbacks, ANYRCU_LOCK_WRITE, 0, NULL, ip);
		lockdep(release, s, ip);
		return;
	case STORE_INVOKED: /* the validator may have been turned on in between */
		if (anyrcu_lockdep_is_held(s) == 1)
			lockdep(release, s, ip);
		return;
	case STORE_GONE:
		lockdep(destroy, s, ip);
		return;
	}
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
	store_watch = stores;
	store_release(&port_lock_watch, locks);
	lockdep(init, &defer_store, &callbacks, "anyrcu",
		(const struct anyrcu_lock_class_key *)&defer_store, NULL);
}

void anyrcu_lockdep_attach(const struct lockdep_ops *ops)
{
	if (ops->size != sizeof(*ops))
		return;
	store_release(&lockdep_ops, ops);
	store(&anyrcu_lockdep_watching, 1);
	attached();
}

void init_lockdep_preloaded(void)
{
	if (anyrcu_lockdep_preloaded)
		anyrcu_lockdep_preloaded(anyrcu_lockdep_attach, anyrcu_read_lock_held);
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
