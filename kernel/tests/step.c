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
#include <linux/slab.h>

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

struct freed {
	char text[100];
	struct rcu_head head;
};

#define FREED 200
static struct freed *freed[FREED];
static unsigned int freed_next;

static bool one_free(void)
{
	struct freed *p = freed[freed_next++];

	if (freed_next % 2)
		anyrcu_free(p, head);
	else if (!anyrcu_free_headless(p))
		anyrcu_raw_free(p, head);
	return true;
}

#define ORDERS 3
static unsigned int allocated, held_twice, not_allocated;

/* Hold pages for a moment: nobody else writes to them. */
static bool pages_held(u64 mark)
{
	for (unsigned int order = 0; order < ORDERS; order++) {
		unsigned int last = (PAGE_SIZE << order) / sizeof(u64) - 1;
		u64 *p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, order);

		if (!p) {
			not_allocated++;
			continue;
		}
		allocated++;
		WRITE_ONCE(p[0], mark);
		WRITE_ONCE(p[1], mark);
		WRITE_ONCE(p[last], mark);
		held_twice += READ_ONCE(p[0]) != mark || READ_ONCE(p[1]) != mark ||
			      READ_ONCE(p[last]) != mark;
		anyrcu_page_free(p, order);
	}
	return true;
}

static bool pages_stepped(void)
{
	return pages_held(1);
}

static bool pages_and_one(void)
{
	return pages_held(2) & one();
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

/* What is freed says nothing: the kernel complains of objects that are left in the cache. */
bool test_step_free(char *note)
{
	struct kmem_cache *cache = cache_make("anyrcu_test", sizeof(struct freed));
	bool good = cache;

	freed_next = 0;
	for (int i = 0; good && i < FREED; i++) {
		freed[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		good = freed[i];
	}
	good = good && run(note, FREED, one_free, one);
	anyrcu_barrier();
	kmem_cache_destroy(cache);
	return good;
}

/* Pages are allocated and given back, and so are others after each instruction. */
bool test_step_pages(char *note)
{
	allocated = held_twice = not_allocated = 0;
	if (!run(note, 50, pages_stepped, pages_and_one))
		return false;
	snprintf(note + strlen(note), NOTE - strlen(note), ", %u pages, %u held twice, %u refused",
		 allocated, held_twice, not_allocated);
	return allocated && !held_twice;
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
