/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Contexts: may the caller wait? Preemption models, and handlers of signals as a kernel has handlers of interrupts.
 *
 * A program runs under one of three models, chosen when it starts, by ANYRCU_PREEMPT=none, full or rt in the environment or by
 * anyrcu_init():
 *
 *     none    nothing is counted, and code cannot ask whether it may wait
 *     full    each thread counts what forbids it to wait
 *     rt      as full; anyrcu_spinlock_t and anyrcu_rwlock_t are locks that sleep, and handlers of signals run in threads
 *
 * Nothing here keeps the system from taking the CPU away from a thread: what is counted is what the thread has promised not to do.
 */
#ifndef ANYRCU_CONTEXT_H
#define ANYRCU_CONTEXT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

/* The models, as anyrcu_init() takes them; 0 there is the default, NONE. */
enum anyrcu_preempt { ANYRCU_PREEMPT_NONE = 1, ANYRCU_PREEMPT_FULL, ANYRCU_PREEMPT_RT };

/**
 * anyrcu_preemptible() - may the caller wait, for all that is known?
 *
 * Not in the hard part of a handler, nor, where that is counted, with a raw spinlock held, a spinlock or rwlock that spins, or preemption
 * disabled. Under the model none that cannot be told. A handler that was not installed by anyrcu_signal_action() is not known.
 *
 * Context: any.
 * Return: true when the caller may wait; false when it may not or that cannot be told.
 */
ANYRCU_API bool anyrcu_preemptible(void);

/**
 * anyrcu_in_signal() - is the caller in the hard part of a handler that anyrcu_signal_action() installed?
 *
 * Context: any.
 * Return: true there, and in what interrupts it.
 */
ANYRCU_API bool anyrcu_in_signal(void);

/**
 * anyrcu_preempt_disable() - promise not to wait until anyrcu_preempt_enable()
 *
 * Nests. Under the model none nothing is counted.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_preempt_disable(void);

/**
 * anyrcu_preempt_enable() - end what anyrcu_preempt_disable() began
 *
 * One too many is reported where it is counted, and ends the program.
 *
 * Context: any, in the context that disabled.
 */
ANYRCU_API void anyrcu_preempt_enable(void);

/* What <signal.h> does not declare cannot be used here: compile with POSIX.1-2001 or later. */
#if defined(__cplusplus) || defined(_GNU_SOURCE) || defined(_DEFAULT_SOURCE) ||                                       \
	(defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 199309L)

#define ANYRCU_SIGNAL_NO_THREAD 1

/**
 * struct anyrcu_signal_action - how a signal is to be handled
 * @size: sizeof(struct anyrcu_signal_action), so that later versions may add fields
 * @hard: called in the handler, as sa_sigaction of sigaction(); any context. NULL: nothing to be done there. Under the model rt it is called
 *        in the thread before @thread, its last argument NULL, unless @flags keep it hard
 * @thread: called in a thread that may sleep, once for each signal, one after the other. NULL: nothing to be done there. All signals are
 *          blocked in that thread but those that faults raise. It may end its thread: another takes its place
 * @mask: signals that are blocked during the handler, beside this one
 * @flags: ANYRCU_SIGNAL_NO_THREAD: @hard is called in the handler under the model rt too; or 0
 */
struct anyrcu_signal_action {
	size_t size;
	void (*hard)(int sig, siginfo_t *info, void *context);
	void (*thread)(int sig, const siginfo_t *info);
	sigset_t mask;
	int flags;
};

/**
 * anyrcu_signal_action() - install a handler for a signal
 * @sig: the signal
 * @action: how to handle it, copied; NULL: as before the first call for this signal
 *
 * System calls that the handler interrupts are restarted, and an alternate stack is used where the thread has one. The hard part must
 * return: siglongjmp() out of it is not supported.
 *
 * What is for the thread is queued with its siginfo_t in the handler, by whatever it interrupted, and the thread handles it in that
 * order. Of a standard signal (below SIGRTMIN) no more than one waits: as in the kernel, those that come while it does count as one with
 * it. Nothing else is lost: what there is no room for in a queue of 64 gets memory from the system, and is reported if that refuses.
 *
 * When the call returns, no thread is in a hard part of the former action, and what was queued for its thread has been handled; the
 * former thread part may still be running once when the call comes from that thread itself. The child of a fork() has the same
 * handlers and threads of its own, and nothing queued: what waits was sent to its parent. What waits when the process ends is not handled.
 *
 * Context: a task that may sleep, not in a hard part.
 * Return: 0; -EINVAL when @sig cannot be handled or @action has neither part, or a flag or field set that this version does not know;
 *         -EAGAIN when no thread could be started. Then nothing has changed.
 */
ANYRCU_API int anyrcu_signal_action(int sig, const struct anyrcu_signal_action *action);

#endif

ANYRCU_END_DECLS

#endif
