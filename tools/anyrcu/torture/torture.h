/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu-torture: attack the library, broken on purpose or not, and see whether anything is lost,
 * invoked twice or early.
 *
 *     object.c   what is deferred, and what is found out about each
 *     cache.c    objects of caches
 *     fault.c    trouble, and the mistakes of a broken variant: what breaks_now() says
 *     role.c     what the threads do
 *     main.c     rounds of them, and the result
 */
#ifndef ANYRCU_TORTURE_H
#define ANYRCU_TORTURE_H

#include <anyrcu/anyrcu.h>
#include <base/test_point.h>
#include <breaks.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "torture/faults.h"

#define PLACES 64
#define TASK_PLACES 4 /* whose objects are freed by anyrcu_free_task() */
#define THREADS_MAX 64

struct object {
	/* one of these, and above it a generation, which differs for each use of the object */
	_Atomic uint64_t state;
	struct anyrcu_head head;
	bool by_task; /* by anyrcu_free_task() or its kin */
};
enum { FREE, LIVE, DEFERRING, DEFERRED, INVOKED, STATES = 8 };

extern struct run {
	uint64_t seed;
	unsigned seconds, threads, faults;
	int mistake; /* of enum breaks, or -1 */
	bool json;

	_Atomic bool stop; /* the threads of a round are to end */
	/*
	 * callbacks do nothing but note that they were invoked; so they do in the child of a fork
	 */
	_Atomic bool calm;
	_Atomic bool no_workers; /* are configured, so whoever waits for memory calls reclaim */
	pid_t pid;
	_Atomic bool failed; /* something has been found, and said */
	_Atomic uint64_t deferred, invoked, lost, twice, early;
	_Atomic uint64_t done[FAULTS];
} run;

/* The calling thread. A worker of the library is not known. */
struct me {
	uint64_t random;
	bool known;
	bool may_exit; /* a callback may end it here */
	/* as a reader: what it has, or shall have */
	enum { RECORD_MAYBE, RECORD_HAS, RECORD_NEVER } record;
	/* a place from which it has unlinked, but nobody need have seen that yet */
	struct object **unlinking;
};
extern __thread struct me me __attribute__((tls_model("initial-exec")));

/*
 * What readers find. Those of the second kind have one writer each, a thread outside its handlers.
 */
extern struct object *places[PLACES], *own[THREADS_MAX], *task_places[TASK_PLACES];

/* ---- object.c ---- */

/* Contexts: what an update may do. */
enum context { ANY, TASK };

/* An object that nobody has, for a place; or NULL. Any context. */
struct object *object_take(void);
/* What was unlinked, to be deferred in some form. */
void object_defer(struct object *o, enum context context);
/* The same, but only in the form that never fails. Any context. */
void object_call(struct object *o);
/* The same, by a task, which frees another one that is ready. */
void object_free_task(struct object *o);
/* A grace period has been waited for since it was unlinked. */
void object_waited(struct object *o);
/*
 * Begin to look at an object inside a section; look again. False: it is not there any more, and
 * this is noted. Any context.
 */
uint64_t object_look(struct object *o);
bool object_still(struct object *o, uint64_t first);
/* Has this use of the object, whose state was @state, come to its end? */
bool object_over(struct object *o, uint64_t state);
/* How many have been deferred, by tasks or not, and not invoked, though all should have been. */
unsigned objects_forgotten(bool by_task);
/* Replace what is in a shared place, and defer what was there. */
void update(enum context context);

/* ---- cache.c ---- */

/*
 * Replace what is in a place, and free what was there; look at one. In any context, but for TASK.
 */
void cache_update(enum context context);
void cache_look(bool dwell);
/* A task's, as all that follows. */
void cache_give_back(void);
/* Around a round. */
void cache_begin(void);
void cache_end(void);
/* In the child of a fork, whose parent has so many threads: is it all there? */
void cache_child(unsigned threads);

/* ---- fault.c ---- */

uint64_t rnd(void);
static inline bool one_in(uint64_t n)
{
	return rnd() % n == 0;
}
bool faults_on(unsigned fault);
void fault_done(unsigned fault);
void faults_arm(void);
void faults_refuse(bool on); /* if pages are refused at all */
void pause_us(uint64_t us);
/* The store that unlinks becomes visible, if it has not yet. */
void unlink_now(void);
/* Note what was found, and say the first. */
void found(_Atomic uint64_t *count, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- role.c ---- */

void roles_prepare(void);
/*
 * Let threads do what they do, until they are told to stop, and have stopped. @round: they choose
 * by it.
 */
void roles_start(unsigned round);
void roles_start_three(unsigned round);
void roles_join(void);
/*
 * One deferral at a time, in a process that is idle otherwise: the worker must be woken for each.
 */
void role_alone(unsigned times);

#endif
