/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Tests of anyrcu.ko in the kernel. They report in KTAP. */
#ifndef ANYRCU_KERNEL_TEST_H
#define ANYRCU_KERNEL_TEST_H

#include <linux/atomic.h>
#include <linux/types.h>

#include <anyrcu/linux.h>

/*
 * Objects whose state says whether a deferral was lost or doubled. All is right when as many have
 * been invoked as were taken, none twice.
 */
struct object {
	struct rcu_head head;
	atomic_t state; /* see object.c */
};

struct objects {
	struct object *all;
	unsigned int n;
	atomic_t taken, invoked; /* taken: or more */
};

/* For @n deferrals. Task. */
int objects_make(struct objects *o, unsigned int n);
void objects_free(struct objects *o);
/* Take the next one and defer it. False: there is none left. Any context. */
bool objects_defer(struct objects *o);
/* The same without a head; also false, and the object is not counted, when it is refused. */
bool objects_defer_headless(struct objects *o);
/* Take one for a deferral by other means, by @func. NULL: there is none left. Any context. */
struct object *objects_take(struct objects *o);
void object_invoked(struct rcu_head *head);
void object_invoked_headless(void *object);
/* anyrcu_barrier(), and is all right? Says what is not. Task. */
bool objects_settle(struct objects *o);

/*
 * A cache that is merged with no other, which would hide losses, as it has a constructor. The
 * kernel complains when it is destroyed before all its objects are free. Task.
 */
struct kmem_cache *cache_make(const char *name, unsigned int size);

/* Doubled invocations, of all objects. */
extern atomic_t objects_doubled;

/* Write a parameter of anyrcu.ko. Task. */
int parameter_set(const char *name, const char *value);

/* x86: between begin and end, call @function in an NMI on @cpu, and wait until it returns. Task. */
bool nmi_begin(void (*function)(void));
void nmi_call(unsigned int cpu);
void nmi_end(void);

/* How often what can be repeated is: the parameter rounds=. */
extern unsigned int rounds;
/* How long torture lasts: the parameter seconds=. */
extern unsigned int seconds;
/* The parameter drain=: see policies.c. */
extern bool drain;

/* The parameter slow=: see load.c. */
extern bool slow;

/* load.c. Task. */
int load_start(void);
void load_stop(void);

/*
 * hook.c. Defer an object by the kernel's own functions, some of the cache if there is one; false:
 * there is no memory. Task.
 */
struct kmem_cache *cache_for_kernel(const char *name);
bool defer_by_kernel(struct kmem_cache *cache, unsigned int how);
void cache_for_kernel_destroy(struct kmem_cache *cache);

/* bpf.c. Task. */
int bpf_start(void);
void bpf_stop(void);

/* The tests. Each returns whether it has passed; what it measured is in @note. */
#define NOTE 160
bool test_task(char *note);
bool test_softirq(char *note);
bool test_spinlock(char *note);
bool test_raw_spinlock(char *note);
bool test_hard_timer(char *note);
bool test_hard_irq_work(char *note);
bool test_threaded_irq(char *note);
bool test_headless(char *note);
bool test_mightsleep(char *note);
bool test_free_forms(char *note);
bool test_mixed(char *note);
bool test_chain(char *note);
bool test_refused(char *note);
bool test_refusal_storm(char *note);
bool test_exhausted(char *note);
bool test_pages(char *note);
bool test_readers(char *note);
bool test_hook(char *note);
bool test_policy_task(char *note);
bool test_policy_spinlock(char *note);
bool test_policy_raw(char *note);
bool test_policy_variant(char *note);
bool test_policy_irq(char *note);
/* x86 alone: */
bool test_policy_nmi(char *note);
bool test_misses(char *note);
bool test_nmi(char *note);
bool test_nmi_storm(char *note);
bool test_torture(char *note);
bool test_step_fast(char *note);
bool test_step_open(char *note);
bool test_step_mixed(char *note);
bool test_step_chain(char *note);
bool test_step_free(char *note);
bool test_step_pages(char *note);
bool test_step_refused(char *note);

#endif
