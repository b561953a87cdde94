/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Contexts: handlers, blocked signals, preemption; and in which of them code may sleep or spin.
 * engine.c explains how a handler and the code that it interrupted share a thread's state.
 */
#include <lockdep/engine.h>

/* ---- what may be waited for ---- */

uint8_t context_limit(struct thread *t)
{
	struct held *h = top(t);
	uint8_t l = h ? h->limit : t->limit;

	return t->preempt ? least(l, ANYRCU_WAIT_SPIN) : l;
}

/* Under rt, spinlocks alone do not forbid to sleep. */
static bool may_sleep(struct thread *t)
{
	return context_limit(t) >= ANYRCU_WAIT_SLEEP ||
	       (context_limit(t) == ANYRCU_WAIT_CONFIG && t->limit >= ANYRCU_WAIT_SLEEP &&
		!t->preempt && host->rt && host->rt());
}

static void say_context(struct thread *t)
{
	if (t->handles)
		say("  the context is a signal handler\n");
	if (t->preempt)
		say("  preemption is disabled\n");
	for (uint32_t i = t->base; i < t->depth; i++)
		if (t->held[i].class > UNVALIDATED)
			say_lock(&t->held[i]);
}

static const char *wait_name(uint8_t w)
{
	static const char *const names[] = { "any", "free", "spin", "config", "sleep" };

	return names[w];
}

noinline void context_wrong(struct thread *t, struct held *n, uint8_t outer)
{
	if (!slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_WAIT, (uint64_t)n->class << 8 | context_limit(t),
			 (uintptr_t)n->ip)) {
		say("thread %u is trying to take a lock of wait type %s:\n", (uint64_t)t->tid,
		    wait_name(outer));
		say_lock(n);
		say("in a context that allows %s:\n", wait_name(context_limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

static noinline void sleep_wrong(struct thread *t, const char *what, const void *ip)
{
	if (!slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_ATOMIC, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s may sleep, called by thread %u at %a\n", what ? what : "this place",
		    (uint64_t)t->tid, ip);
		say("in a context that allows %s:\n", wait_name(context_limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

void lockdep_might_sleep(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (t && !may_sleep(t))
		sleep_wrong(t, what, ip);
}

void lockdep_might_spin(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (!t || context_limit(t) >= wait_type(ANYRCU_WAIT_CONFIG) || !slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_WAIT, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s may take a spinlock, called by thread %u at %a\n", what, (uint64_t)t->tid,
		    ip);
		say("in a context that allows %s:\n", wait_name(context_limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

/* ---- RCU ---- */

void lockdep_rcu_suspicious(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (!t || !slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_RCU, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s, by thread %u at %a\n", what, (uint64_t)t->tid, ip);
		report_end(t);
	}
	slow_end(t);
}

void lockdep_rcu_wait(const char *what, bool in_section, const void *ip)
{
	struct thread *t = thread();

	if (!t)
		return;
	if (!may_sleep(t)) {
		sleep_wrong(t, what, ip);
	} else if (in_section) {
		if (!slow_begin(t))
			return;
		if (report_begin(ANYRCU_LOCKDEP_RCU, (uintptr_t)what, (uintptr_t)ip)) {
			say("%s inside a read-side critical section, for whose end it waits, by thread %u at %a\n",
			    what, (uint64_t)t->tid, ip);
			report_end(t);
		}
		slow_end(t);
	}
}

/* ---- contexts ---- */

void lockdep_signal_enter(int sig, uint64_t blocked, bool threaded)
{
	struct thread *t = thread();
	struct interrupted *i;

	if (!t)
		return;
	if (t->nesting == NESTING) {
		t->unnested++;
		return;
	}
	i = &t->interrupted[t->nesting++];
	compiler_barrier();
	*i = (struct interrupted){ t->handles, t->blocked, t->base, t->preempt, t->limit };
	compiler_barrier();
	t->base = t->depth;
	t->preempt = 0;
	/*
	 * Not the signals whose handlers it has interrupted: it can interrupt these only where its
	 * own signal is unblocked as well.
	 */
	t->handles = sig ? UINT64_C(1) << (sig - 1) : 0;
	t->blocked = blocked;
	t->limit = threaded ? wait_type(ANYRCU_WAIT_CONFIG) : ANYRCU_WAIT_SPIN;
	compiler_barrier();
}

/* Restore the state of the interrupted code. */
static void leave_handler(struct thread *t, uint64_t blocked)
{
	struct interrupted *i = &t->interrupted[t->nesting - 1];

	t->limit = i->limit;
	t->blocked = blocked;
	t->handles = i->handles;
	t->preempt = i->preempt;
	t->base = i->base;
	compiler_barrier();
	t->nesting--;
}

void lockdep_signal_exit(uint64_t blocked)
{
	struct thread *t = thread();

	if (!t || !t->nesting)
		return;
	if (t->unnested) {
		t->unnested--;
		return;
	}
	lockdep_held_drop(t->base);
	leave_handler(t, blocked);
}

/*
 * The thread keeps the handler's locks, on top of the others. A handler that comes in between uses
 * only held[] above its own base.
 */
void lockdep_signal_jump(uint64_t blocked)
{
	struct thread *t = lockdep_thread();
	uint32_t base;

	if (!t || !t->nesting)
		return;
	if (t->unnested) {
		t->unnested--;
		return;
	}
	base = t->base;
	leave_handler(t, blocked);
	held_relink(t, base);
}

void lockdep_signals_blocked(uint64_t mask)
{
	struct thread *t = thread();
	uint64_t opened;

	if (!t)
		return;
	opened = t->blocked & ~mask;
	t->blocked = mask;
	opened &= signals_open(t);
	for (uint32_t i = t->base; opened && i < t->depth; i++)
		if (t->held[i].class > UNVALIDATED)
			held_use(t, &t->held[i], 0, opened);
}

void lockdep_handlers_changed(uint64_t signals)
{
	struct thread *t = lockdep_thread();

	if (!t || !slow_begin(t))
		return;
	uses_forget(signals);
	slow_end(t);
}

void lockdep_preempt(int change)
{
	struct thread *t = thread();

	if (t)
		t->preempt += change;
}
