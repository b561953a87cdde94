/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What call.c and helper.c share: helpers, which are the struct call_rcu_data of programs. See
 * call.c.
 */
#ifndef ANYRCU_URCU_CALL_H
#define ANYRCU_URCU_CALL_H

#include "internal.h"
#include <anyrcu/defer.h>
#include <stdbool.h>
#include <urcu/urcu-qsbr.h>

struct queue {
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
};

struct call_rcu_data {
	struct queue ready __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	uint32_t asleep __attribute__((aligned(CAA_CACHE_LINE_SIZE)));
	bool gone, stop, pause, paused;
	bool asked; /* the program knows its thread, and may join it */
	bool alone; /* no thread waits for its end */
	uint32_t ended; /* 1: its thread does not access it any more */
	uint32_t state; /* of its thread, below */
	uint32_t advancing; /* 1: head is deferred */
	struct pauses pauses;
	struct queue late, second;
	struct anyrcu_head head;
	struct rcu_head mark; /* for a barrier */
	pthread_t thread;
	void *kept; /* of the thread, for memcheck */
	int cpu;
	enum anyrcu_urcu_flavor f;
	struct call_rcu_data *next; /* in the flavour's list, or NULL */
};

/* No thread; one is being started, or another stands in for it; it runs. */
enum { NONE, BUSY, RUNS };

struct cpus {
	int n;
	struct call_rcu_data *helper[];
};

struct flavor {
	pthread_mutex_t barrier, lock;
	struct call_rcu_data *helpers, *gone; /* the default one is the last of the first list */
	struct cpus *cpus; /* NULL until one is set */
	uint32_t marks; /* of a barrier, which are not reached yet */
	struct urcu_atfork *atfork;
	unsigned atforks;
};

/* Nothing here needs a constructor, as those of the program may run earlier. */
extern struct call_rcu_data helper_defaults[ANYRCU_URCU_FLAVORS];
extern struct flavor call_flavors[ANYRCU_URCU_FLAVORS];
extern __thread struct call_rcu_data *helper_chosen[ANYRCU_URCU_FLAVORS]
	__attribute__((tls_model("initial-exec")));
/* The helper whose thread the calling thread is, and whether it only stands in for it. */
extern __thread struct call_rcu_data *helper_running __attribute__((tls_model("initial-exec")));
extern __thread bool helper_stands_in __attribute__((tls_model("initial-exec")));

static inline void queue_init(struct queue *q)
{
	__cds_wfcq_init(&q->head, &q->tail);
}

static inline bool queue_empty(struct queue *q)
{
	return cds_wfcq_empty(&q->head, &q->tail);
}

static inline void queue_push(struct queue *q, struct rcu_head *head)
{
	cds_wfcq_node_init(&head->next);
	cds_wfcq_enqueue(&q->head, &q->tail, &head->next);
}

static inline void queue_move(struct queue *to, struct queue *from)
{
	__cds_wfcq_splice_blocking(&to->head, &to->tail, &from->head, &from->tail);
}

/* Wake it: there is something to do, or it must end. */
void helper_notify(struct call_rcu_data *c);
/* The helper's thread. */
void *helper_main(void *helper);
/* Start the default helper's thread, if it has none and one can be started. */
void helper_starts(struct call_rcu_data *c);
/* Something has been made ready for it. */
void helper_made_ready(struct call_rcu_data *c);

#endif
