/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Contexts: may the caller wait? Preemption models, and signal handlers that correspond to a
 * kernel's interrupt handlers.
 *
 * A program runs under one of three models, chosen when it starts, by ANYRCU_PREEMPT=none, full or
 * rt in the environment or by anyrcu_init():
 *
 *     none    nothing is counted, and code cannot find out whether it may wait
 *     full    each thread counts the contexts in which it must not wait
 *     rt      as full; anyrcu_spinlock_t and anyrcu_rwlock_t are locks that sleep, and signal
 *             handlers run in threads
 *
 * Nothing here prevents the system from preempting a thread: a counted context is a promise of the
 * thread not to wait.
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
 * anyrcu_preemptible() - may the caller wait, as far as the library knows?
 *
 * False in the hard part of a handler, and, if the model counts them, while the caller holds a raw
 * spinlock, or a spinlock or rwlock that spins, or has disabled preemption. Under the model none
 * the library does not know. It does not detect handlers that were not installed by
 * anyrcu_signal_action().
 *
 * Context: any.
 * Return: true if the caller may wait; false if it may not, or the library does not know.
 */
ANYRCU_API bool anyrcu_preemptible(void);

/**
 * anyrcu_in_signal() - is the caller in the hard part of a handler that anyrcu_signal_action()
 * installed?
 *
 * Context: any.
 * Return: true there, and in handlers that interrupt it.
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
 * anyrcu_preempt_enable() - end the effect of one anyrcu_preempt_disable()
 *
 * One call too many is reported if the model counts, and ends the program.
 *
 * Context: any, in the context that disabled.
 */
ANYRCU_API void anyrcu_preempt_enable(void);

/* This needs declarations of <signal.h>: compile with POSIX.1-2001 or later. */
#if defined(__cplusplus) || defined(_GNU_SOURCE) || defined(_DEFAULT_SOURCE) || \
	defined(_BSD_SOURCE) || (defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 199309L)

#define ANYRCU_SIGNAL_NO_THREAD 1

/**
 * struct anyrcu_signal_action - how a signal is to be handled
 * @size: sizeof(struct anyrcu_signal_action), so that later versions may add fields
 * @hard: called in the handler, as sa_sigaction of sigaction(); any context. NULL: no hard part.
 *        Under the model rt it is called in the thread before @thread, with NULL as its last
 *        argument, unless @flags keep it in the handler
 * @thread: called in a thread that may sleep, once for each signal, one after the other. NULL: no
 *          thread part. All signals but those that faults raise are blocked in that thread. The
 *          function may end its thread: another one takes its place
 * @mask: signals that are blocked during the handler, in addition to this one
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
 * @action: how to handle it, copied; NULL: restore the action from before the first call for this
 *          signal
 *
 * System calls that the handler interrupts are restarted, and an alternate stack is used if the
 * thread has one. The hard part must return: siglongjmp() out of it is not supported.
 *
 * Signals for the thread are queued with their siginfo_t in the handler, and the thread handles
 * them in the order in which they were queued. Of a standard signal (below SIGRTMIN) at most one is
 * queued: as in the kernel, further ones that arrive while it waits are merged with it. No other
 * signal is lost: signals beyond a queue of 64 get memory from the system, and are reported if the
 * system refuses it.
 *
 * When the call returns, no thread is in a hard part of the former action, and the signals queued
 * for its thread have been handled. If the call comes from that thread itself, the former thread
 * part is still running. The child of a fork() has the same handlers, threads of its own, and
 * nothing queued: pending signals were sent to its parent. Signals that are queued when the process
 * ends are not handled.
 *
 * A thread that is online (anyrcu_thread_online()) counts as quiescent during the call.
 *
 * Context: a task that may sleep, not in a hard part.
 * Return: 0; -EINVAL if @sig cannot be handled, or @action has neither part, or a flag or field set
 *         that this version does not know; -EAGAIN if no thread could be started. On an error
 *         nothing has changed.
 */
#ifdef __cplusplus /* g++ warns of a function with the name of a struct */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
ANYRCU_API int anyrcu_signal_action(int sig, const struct anyrcu_signal_action *action);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#endif

ANYRCU_END_DECLS

#endif
