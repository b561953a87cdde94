// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Every instruction of a deferral is interrupted: the trap flag is set around it, and the debug
 * exception after each instruction, which is to RCU and to the module what an NMI is, defers
 * another object. A "rep" instruction traps once for each of its rounds.
 *
 * The chain is pushed to by a loop that starts over when another push comes in between: interrupted
 * after each instruction it would not end. So there the first call is interrupted after its first
 * instruction, the second after its second, until one ends before.
 */
#include <linux/kdebug.h>
#include <linux/preempt.h>

#include <asm/debugreg.h>

#include "test.h"

static struct objects objects;
static struct task_struct *stepped;
static unsigned int steps;
static bool (*stepping)(void); /* what the handler defers by */
static unsigned int only; /* after this instruction alone, counted from 1; 0: after each */
static unsigned int step_in_call;

static int on_step(struct notifier_block *block, unsigned long event, void *data)
{
	struct die_args *args = data;

	/* args->err points to DR6 */
	if (event != DIE_DEBUG || stepped != current || !(*(unsigned long *)args->err & DR_STEP))
		return NOTIFY_DONE;
	*(unsigned long *)args->err &= ~DR_STEP;
	if (++step_in_call == only || !only) {
		steps++;
		stepping();
	}
	return NOTIFY_STOP;
}

static struct notifier_block notifier = { .notifier_call = on_step, .priority = INT_MAX };

static __always_inline void trap_on(void)
{
	asm volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(X86_EFLAGS_TF) : "memory", "cc");
}

static __always_inline void trap_off(void)
{
	asm volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~X86_EFLAGS_TF) : "memory", "cc");
}

static bool one(void)
{
	return objects_defer(&objects);
}

static bool one_headless(void)
{
	return objects_defer_headless(&objects);
}

static void mixed(struct rcu_head *head)
{
	object_invoked(head);
}

static bool one_mixed(void)
{
	struct object *object = objects_take(&objects);

	if (object)
		anyrcu_call(&object->head, mixed);
	return object;
}

static noinline void step(bool (*defer)(void))
{
	preempt_disable();
	step_in_call = 0;
	stepped = current;
	trap_on();
	defer();
	trap_off();
	stepped = NULL;
	preempt_enable();
}

static bool begin(bool (*handler)(void))
{
	steps = only = 0;
	stepping = handler;
	return !objects_make(&objects, 1000000) && !register_die_notifier(&notifier);
}

static bool end(char *note, unsigned int most)
{
	bool good;

	unregister_die_notifier(&notifier);
	good = objects_settle(&objects) && steps > 50;
	snprintf(note, NOTE, "%u instructions interrupted, up to %u in a call, %d objects", steps,
		 most, atomic_read(&objects.invoked));
	objects_free(&objects);
	return good;
}

/* Step @defer @rounds times; each of its instructions is interrupted by @handler. */
static bool run(char *note, unsigned int rounds, bool (*defer)(void), bool (*handler)(void))
{
	unsigned int most = 0;

	if (!begin(handler))
		return false;
	for (unsigned int i = 0; i < rounds; i++) {
		step(defer);
		most = max(most, step_in_call);
	}
	return end(note, most);
}

static bool run_one_by_one(char *note, bool (*defer)(void), bool (*handler)(void))
{
	unsigned int most = 0;

	if (!begin(handler))
		return false;
	do {
		only++;
		step(defer);
		most = max(most, step_in_call);
	} while (step_in_call >= only);
	return end(note, most);
}

bool test_step_fast(char *note)
{
	return run(note, 100, one, one);
}

/* Pages fill up meanwhile: every fifth call or so opens one. */
bool test_step_open(char *note)
{
	return run(note, 300, one, one);
}

bool test_step_mixed(char *note)
{
	return run(note, 200, one_mixed, one);
}

bool test_step_chain(char *note)
{
	bool good;

	anyrcu_barrier();
	parameter_set("page_bytes_max", "0");
	good = run_one_by_one(note, one, one);
	parameter_set("page_bytes_max", "67108864");
	return good;
}

bool test_step_refused(char *note)
{
	bool good;

	anyrcu_barrier();
	parameter_set("page_bytes_max", "0");
	good = run(note, 100, one_headless, one_headless);
	parameter_set("page_bytes_max", "67108864");
	return good;
}
