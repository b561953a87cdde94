/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * In the kernel nothing is freed one for one by whoever defers: its caches have what that is for.
 */
#ifndef ANYRCU_DEFER_EXCHANGE_H
#define ANYRCU_DEFER_EXCHANGE_H

#include <base/compiler.h>

static inline void exchange_begin(bool (*move)(void *p))
{
	(void)move;
}

struct exchange_cpu;
static struct exchange_cpu *const exchange_cpus __attribute__((unused));

static inline bool exchange_free(void *p)
{
	(void)p;
	return false;
}

static inline bool exchange_slow(void *p, bool *first)
{
	(void)p;
	*first = false;
	return false;
}

static inline bool exchange_used(void)
{
	return false;
}

static inline bool exchange_collect(void)
{
	return true;
}

static inline void exchange_free_rest(void)
{
}

static inline void exchange_free_matured(void)
{
}

static inline void exchange_look(void)
{
}

#endif
