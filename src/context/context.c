/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The model, and the counters of a thread's context.
 *
 * The model can be chosen until its first use: a count that began under one model must not end
 * under another, and the word of a held lock has another format under rt. So the first use fixes
 * the choice, by one cmpxchg on the word that all uses read.
 *
 * Counters are thread-local and written by their thread and its handlers alone. A handler leaves
 * them as it found them, so an increment that it interrupts between load and store is correct.
 */
#include <anyrcu/context.h>
#include <context/context.h>
#include <lockdep/lockdep.h>

uint32_t context_word = MODEL_NONE | MODEL_OPEN;
PORT_THREAD_LOCAL uint32_t context_nest;
PORT_THREAD_LOCAL uint32_t context_signals;
PORT_THREAD_LOCAL uint32_t context_tid_kept;

enum context_model context_close(void)
{
	uint32_t open = load(&context_word), closed;

	while (open & MODEL_OPEN) {
		closed = open & ~MODEL_OPEN;
		if (closed == MODEL_RT && !port_pi_works())
			closed = MODEL_RT_NO_PI;
		if (__atomic_compare_exchange_n(&context_word, &open, closed, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return (enum context_model)closed;
	}
	return (enum context_model)open;
}

bool context_choose(enum context_model model)
{
	uint32_t open = load(&context_word);

	while (open & MODEL_OPEN)
		if (__atomic_compare_exchange_n(&context_word, &open, model | MODEL_OPEN, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return true;
	return open == model || (open == MODEL_RT_NO_PI && model == MODEL_RT);
}

enum context_answer context_preemptible(void)
{
	if (context_signals || context_nest)
		return CONTEXT_NO;
	return context_model() == MODEL_NONE ? CONTEXT_CANNOT_TELL : CONTEXT_YES;
}

bool anyrcu_preemptible(void)
{
	return context_preemptible() == CONTEXT_YES;
}

bool anyrcu_in_signal(void)
{
	return context_signals;
}

void anyrcu_preempt_disable(void)
{
	context_enter();
	lockdep(preempt, 1);
}

void anyrcu_preempt_enable(void)
{
	if (unlikely(!context_nest) && context_model() != MODEL_NONE)
		port_bug("anyrcu_preempt_enable() without anyrcu_preempt_disable()");
	lockdep(preempt, -1);
	context_exit();
}
