/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Before src/init/init.c: the explorer starts the library itself, and forks itself. */
#ifndef TESTS_EXPLORE_INIT_H
#define TESTS_EXPLORE_INIT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include "sim.h"

static void start(void);
static void (*const library_start)(void) = start;

void sim_library_start(void)
{
	library_start();
}

#define pthread_atfork sim_atfork
#define constructor(priority) unused

#endif
