/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Things that are used as locks: each is taken before a mutex, or after it. See kinds.h. */
#ifndef KINDS_WITH_A_H
#define KINDS_WITH_A_H

#include "kinds_mutexes.h"

static void (*take)(void), (*give)(void);

THREAD(outside_of_a)
{
	take();
	lock(&a);
	unlock(&a);
	give();
	return arg;
}

THREAD(inside_of_a)
{
	if (wrong)
		lock(&a);
	take();
	give();
	if (wrong)
		unlock(&a);
	return arg;
}

static void with_a(void (*taking)(void), void (*giving)(void))
{
	take = taking;
	give = giving;
	run(outside_of_a, NULL);
	run(inside_of_a, NULL);
}

#endif
