/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the programs here share. They are written as programs for liburcu are, in what C and C++
 * have in common, and know nothing of anyrcu: each is compiled with liburcu's headers and with
 * anyrcu's, and must print the same.
 */
#ifndef TESTS_COMPAT_FLAVOR_H
#define TESTS_COMPAT_FLAVOR_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(FLAVOR_QSBR)
#include <urcu-qsbr.h>
#define FLAVOR "qsbr"
#elif defined(FLAVOR_BP)
#include <urcu-bp.h>
#define FLAVOR "bp"
#elif defined(FLAVOR_MB)
#define RCU_MB
#include <urcu.h>
#define FLAVOR "mb"
#elif defined(FLAVOR_SIGNAL)
#define RCU_SIGNAL
#include <urcu.h>
#define FLAVOR "signal"
#else
#define RCU_MEMBARRIER
#include <urcu.h>
#define FLAVOR "memb"
#endif

/* liburcu's asserts and what is checked here mean the same. */
#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x)) {                                                    \
			printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #x); \
			exit(1);                                               \
		}                                                              \
	} while (0)

static inline pthread_t thread_start(void *(*f)(void *), void *arg)
{
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, f, arg));
	return t;
}

static inline void thread_join(pthread_t t)
{
	CHECK(!pthread_join(t, NULL));
}

#endif
