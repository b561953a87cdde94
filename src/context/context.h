/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Internals of src/context, and what other layers use in addition to its public headers. */
#ifndef ANYRCU_CONTEXT_CONTEXT_H
#define ANYRCU_CONTEXT_CONTEXT_H

#include <base/compiler.h>
#include <port/process.h>

/* As enum anyrcu_preempt, and rt on a system without locks with priority inheritance. */
enum context_model { MODEL_NONE = 1, MODEL_FULL, MODEL_RT, MODEL_RT_NO_PI };
/* Added until the model is first used: another one may still be chosen. */
#define MODEL_OPEN 8u

/* Written when the library starts, by context_choose(), and once when the model is first used. */
extern uint32_t context_word;
enum context_model context_close(void);

/* The model. From now on no other one can be chosen. Any context. */
static inline enum context_model context_model(void)
{
	uint32_t m = load(&context_word);

	return likely(!(m & MODEL_OPEN)) ? (enum context_model)m : context_close();
}

/* Choose a model: false if another one is in use already. Task, one at a time. */
bool context_choose(enum context_model model);

/* Is it rt? */
static inline bool context_rt(void)
{
	return context_model() >= MODEL_RT;
}

/* The same for the present choice, for code that must not fix the model. */
static inline bool context_rt_so_far(void)
{
	return (load(&context_word) & ~MODEL_OPEN) >= MODEL_RT;
}

/* How many counted contexts forbid the calling thread to wait. */
extern PORT_THREAD_LOCAL uint32_t context_nest;
/* In how many hard parts of handlers the calling thread is. */
extern PORT_THREAD_LOCAL uint32_t context_signals;

/* May the caller wait? */
enum context_answer { CONTEXT_NO, CONTEXT_YES, CONTEXT_CANNOT_TELL };
enum context_answer context_preemptible(void);

/* For contexts that count under the models full and rt. */
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

/* The calling thread's port_tid(), cached. */
extern PORT_THREAD_LOCAL uint32_t context_tid_kept;
static inline uint32_t context_tid(void)
{
	if (unlikely(!context_tid_kept))
		context_tid_kept = port_tid();
	return context_tid_kept;
}

/* ---- for the layer above ---- */

extern struct port_lock context_lock;
void context_fork_child(bool start); /* @start: start the threads of handlers */
/* The calling thread ends. */
void context_thread_exit(void);
/* Have each thread of a handler look whether there is anything to do. Task. */
void context_wake_all(void);

#endif
