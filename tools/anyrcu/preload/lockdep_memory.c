/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Memory that goes away with locks in it: those held are reported, the others forgotten, so that what comes to lie at their addresses is
 * not taken for them. What realloc() moves is not seen: whether it does is known when others may have the old place already.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "lockdep.h"

/* Bytes at @p, as its allocator has it. One that has free() but does not say gets the answer of none. */
static size_t size_of(void *p)
{
	return real.malloc_usable_size ? real.malloc_usable_size(p) : 1;
}

/* dlsym() may free before it could say by what: that is lost. */
EXPORT void free(void *p)
{
	if (!p)
		return;
	if (likely(watched()))
		lockdep_engine.free(p, size_of(p), CALLER);
	else if (!real.free)
		return;
	real.free(p);
}

EXPORT int munmap(void *p, size_t size)
{
	if (watched())
		lockdep_engine.free(p, size, CALLER);
	return real.munmap(p, size);
}
