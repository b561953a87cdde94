/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The contexts from which a command calls the library, and the validator beside. */
#ifndef ANYRCU_TOOL_WHERE_H
#define ANYRCU_TOOL_WHERE_H

#include <stdbool.h>
#include <stdint.h>

enum where {
	IN_TASK,
	UNDER_SPINLOCK,
	UNDER_RAW,
	PREEMPT_OFF,
	IN_HANDLER,
	IN_THREAD,
	INTERRUPTING,
	WHERES
};
extern const char *const where_names[WHERES];

enum { MODELS = 3, POLICIES = 4 };
extern const char *const model_names[MODELS], *const policy_names[POLICIES];

/* What the validator has said: how often, and the rule of the first. */
struct where_reports {
	unsigned n;
	char rule[64];
};

/*
 * Configure the library of this process, which has not used it before, without workers: @model and
 * @policy count from 0; pages of pointers may take @page_bytes, or the default if 0. With @reports,
 * the validator is on, and what it says goes there.
 */
void where_begin(int model, int policy, uint64_t page_bytes, struct where_reports *reports);

/*
 * Call @f(@arg) once in that context. IN_HANDLER: the hard part of a handler; IN_THREAD: its
 * thread, and without threads (in the thread, not in hard parts) is the same under each model.
 * INTERRUPTING: a handler that interrupted the library. False: it did not come to that.
 */
bool where_call(enum where where, void (*f)(void *arg), void *arg);

#endif
