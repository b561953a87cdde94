/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Inside src/context, and what other layers use of it beside anyrcu/context.h and anyrcu/lock.h. */
#ifndef ANYRCU_CONTEXT_CONTEXT_H
#define ANYRCU_CONTEXT_CONTEXT_H

#include <base/compiler.h>
#include <port/port.h>

/* As enum anyrcu_preempt, and rt where the system has no locks with priority inheritance. */
enum context_model { MODEL_NONE = 1, MODEL_FULL, MODEL_RT, MODEL_RT_NO_PI };
/* Added as long as nothing has gone by the model, so that it may be another one. */
#define MODEL_OPEN 8u

/* Written when the library starts, by context_choose(), and once when the model is first used. */
extern uint32_t context_word;
enum context_model context_close(void);

/* The model. What goes by it may not be chosen anew from now on. Any context. */
static inline enum context_model context_model(void)
{
	uint32_t m = load(&context_word);

	return likely(!(m & MODEL_OPEN)) ? (enum context_model)m : context_close();
}

/* Choose a model: false when another one is in use already. Task, one at a time. */
bool context_choose(enum context_model model);

/* Is it rt? */
static inline bool context_rt(void)
{
	return context_model() >= MODEL_RT;
}

/* The same as far as is known now, for who must not be the first to go by it. */
static inline bool context_rt_so_far(void)
{
	return (load(&context_word) & ~MODEL_OPEN) >= MODEL_RT;
}

/* What forbids the calling thread to wait, as far as it is counted. */
extern PORT_THREAD_LOCAL uint32_t context_nest;
/* Hard parts of handlers that the calling thread is in. */
extern PORT_THREAD_LOCAL uint32_t context_signals;

/* May the caller wait? */
enum context_answer { CONTEXT_NO, CONTEXT_YES, CONTEXT_CANNOT_TELL };
enum context_answer context_preemptible(void);

/* The model counts: full and rt. */
static inline void context_enter(void)
{
	if (context_model() != MODEL_NONE)
		context_nest++;
	compiler_barrier();
}

static inline void context_exit(void)
{
	compiler_barrier();
	if (context_model() != MODEL_NONE)
		context_nest--;
}

/* The calling thread's port_tid(), kept. */
extern PORT_THREAD_LOCAL uint32_t context_tid_kept;
static inline uint32_t context_tid(void)
{
	if (unlikely(!context_tid_kept))
		context_tid_kept = port_tid();
	return context_tid_kept;
}

/* ---- for the layer above ---- */

void context_fork_prepare(void);
void context_fork_parent(void);
void context_fork_child(void);
/* The calling thread ends. */
void context_thread_exit(void);

#endif
