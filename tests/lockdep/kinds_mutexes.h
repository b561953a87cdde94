/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What kinds of programs with mutexes of pthread have in common; see kinds.h. */
#ifndef KINDS_MUTEXES_H
#define KINDS_MUTEXES_H

#include "kinds.h"

#define lock pthread_mutex_lock
#define unlock pthread_mutex_unlock
#define MAYBE_UNUSED __attribute__((unused))

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER;
static MAYBE_UNUSED pthread_mutex_t b = PTHREAD_MUTEX_INITIALIZER;

static MAYBE_UNUSED noinline pthread_mutex_t *new_mutex(void)
{
	pthread_mutex_t *m = malloc(sizeof(*m));

	pthread_mutex_init(m, NULL);
	return m;
}

static noinline void in_order(pthread_mutex_t *first, pthread_mutex_t *second)
{
	lock(first);
	lock(second);
	unlock(second);
	unlock(first);
}

MAYBE_UNUSED THREAD(a_then_b)
{
	in_order(&a, &b);
	return arg;
}

#endif
