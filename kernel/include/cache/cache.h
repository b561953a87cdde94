/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The core asks the object caches, which the kernel has of its own: there are none here. */
#ifndef ANYRCU_CACHE_CACHE_H
#define ANYRCU_CACHE_CACHE_H

#include <base/compiler.h>

static inline bool cache_defers(void *p, const void *ip)
{
	(void)p, (void)ip;
	return false;
}

static inline bool cache_want_timer(void)
{
	return false;
}

static inline void cache_idle(void)
{
}

static inline bool cache_wants(void)
{
	return false;
}

static inline void cache_work(void)
{
}

#endif
