/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Between interrupt_scene.c, interrupt_state.c and interrupt_task.c: the process that is
 * interrupted, and what brings its states about.
 */
#ifndef INTERRUPT_SCENE_H
#define INTERRUPT_SCENE_H

#include "interrupt.h"
#include <anyrcu/anyrcu.h>
#include <semaphore.h>

#define DEFERS (BIT(CALL) | BIT(FREE) | BIT(CALL_HEADLESS) | BIT(FREE_HEADLESS) | BIT(CALL_SIZED))
#define HEADLESS (BIT(CALL_HEADLESS) | BIT(FREE_HEADLESS))
#define ALLOCS (BIT(PAGE_ALLOC_0) | BIT(PAGE_ALLOC_N))
#define FREES (BIT(PAGE_FREE_0) | BIT(PAGE_FREE_N))
#define ORDER_N 1

struct object {
	int invoked, accepted;
	struct anyrcu_head head;
};

extern struct object subject; /* of the operation */
extern anyrcu_gp_t cookie; /* the operation's */
extern bool answer;
extern int nested; /* sections that this thread is in */
extern bool online;
extern struct anyrcu_domain *domain;
extern volatile bool is_child; /* this is what a handler has forked */

_Noreturn void wrong(const char *format, ...);
void on_head(struct anyrcu_head *head);
void on_arg(void *o);
void on_null(void *unused); /* for the subject */
void on_bulk(void *n);
void source_synchronize(void *unused); /* of domains */
extern sem_t begun; /* by the thread that was started last */

/* ---- what states bring about, and operations or handlers find ---- */

extern struct object former[24000]; /* deferred to bring the state about */
extern int nformer;
extern void *page; /* allocated, or to be freed */
extern size_t seen_size; /* for anyrcu_stats_get() */
extern unsigned gfp;
extern void *held[8192]; /* pages of order 0 taken to bring the state about, */
extern int nheld;
extern void *held_n[64]; /* of order ORDER_N, */
extern int nheld_n;
extern void *whole[8192]; /* and of any */
extern unsigned whole_order[8192];
extern int nwhole;
extern void *spare[64]; /* that a handler gives back */
extern volatile int nspare;
extern unsigned spare_order;
/* What one handler leaves to be checked. */
#define VISITS_MAX 80
extern struct visit {
	struct object call, free_, headless, free_headless, sized, other, domain;
	int bulk_accepted;
	anyrcu_gp_t cookie;
	void *page, *page_n;
} visits[VISITS_MAX];
extern volatile int nvisits;
extern int bulk_invoked;
extern void (*headless_func)(void *); /* what the operation defers: */
extern void *headless_arg;
extern size_t sized_bytes;

/* ---- interrupt_state.c ---- */

bool defer_like(enum op op);
bool defer_stranger(void);
bool defer_task(void); /* as tasks free: one for one, where it can be */
void open_filled_page(enum op op);
void registered(enum op op);
void exhaust(enum op op);
void exhausted_all(enum op op);
void at_bytes_max(enum op op);
void flood_past_bound(enum op op);
void be_online(enum op op);
void asked(enum op op);
void done(enum op op);
void worker_start(uint64_t delay_us);
void worker_deep(enum op op);
void wait_asleep(void);
struct anyrcu_domain *domain_new(void);

/* ---- interrupt_task.c: calls for tasks; what returns text says what is wrong ---- */

void op_synchronize(void);
void op_gp_wait(void);
void op_barrier(void);
void op_reclaim(void);
void op_call_mightsleep(void);
void op_free_mightsleep(void);
void op_init(void);
void op_domain_life(void);
void op_domain_barrier(void);
void op_domain_destroy(void);
void op_thread_end(void);
void op_burial(void);
const char *task_check(enum op op, const struct state *state);
extern struct object resident; /* of a domain */

#endif
