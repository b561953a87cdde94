/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Memory that goes away with locks in it: those held are reported, the others forgotten, so that
 * what comes to lie at their addresses is not taken for them. What realloc() and mremap() may move
 * is forgotten before: when it is known whether they did, others may have the old place.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include "lockdep/preload_counts.h"

/*
 * Bytes at @p, as its allocator has it. One that has free() but does not say gets the answer of
 * none.
 */
static size_t size_of(void *p)
{
	return real.malloc_usable_size ? real.malloc_usable_size(p) : 1;
}

struct lockdep_unsafe allocator = { .name = "the allocator" };

/* dlsym() may free before it could say by what: that is lost. */
EXPORT void free(void *p)
{
	if (!p)
		return;
	if (likely(watched())) {
		lockdep_unsafe(&allocator, CALLER);
		lockdep_engine.free(p, size_of(p), CALLER);
	} else if (counted()) {
		if (unlikely(lockdep_near(p)))
			count_forget(p, size_of(p));
	} else if (!real.free) {
		return;
	}
	real.free(p);
}

EXPORT void *realloc(void *p, size_t size)
{
	if (likely(watched())) {
		lockdep_unsafe(&allocator, CALLER);
		if (p)
			lockdep_forget(p, (char *)p + size_of(p));
	} else if (counted()) {
		if (p && unlikely(lockdep_near(p)))
			count_forget(p, size_of(p));
	} else if (!real.realloc) {
		return NULL;
	}
	return real.realloc(p, size);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* What there is of arguments behind the fourth is passed on. */
EXPORT void *mremap(void *p, size_t size, size_t new_size, int flags, ...)
{
	va_list args;
	void *to;

	va_start(args, flags);
	to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
	va_end(args);
	if (watched_or_counted()) {
		lockdep_forget(p, (char *)p + size);
		if (to)
			lockdep_forget(to, (char *)to + new_size);
	}
	return real.mremap(p, size, new_size, flags, to);
}

EXPORT int munmap(void *p, size_t size)
{
	if (watched())
		lockdep_engine.free(p, size, CALLER);
	else if (counted())
		count_forget(p, size);
	return real.munmap(p, size);
}

/*
 * What was there is gone, without munmap(). The allocator calls it before real functions are known.
 */
EXPORT void *mmap(void *p, size_t size, int prot, int flags, int fd, off_t offset)
{
	bool told = watched_or_counted();

	if (told && (flags & MAP_FIXED))
		lockdep_forget(p, (char *)p + size);
	return real.mmap ? real.mmap(p, size, prot, flags, fd, offset) :
			   (void *)syscall(SYS_mmap, p, size, prot, flags, fd, offset);
}

/* With 64-bit offsets, as here, <sys/mman.h> calls it mmap64. */
extern __typeof__(mmap) plain_mmap __asm__("mmap") EXPORT
	__attribute__((alias("mmap64"), nothrow, leaf));

/* Private memory is made anew, and shared memory is left by who says so. */
EXPORT int madvise(void *p, size_t size, int advice)
{
	if (watched_or_counted() && (advice == MADV_DONTNEED || advice == MADV_FREE))
		lockdep_forget(p, (char *)p + size);
	return real.madvise ? real.madvise(p, size, advice) :
			      (int)syscall(SYS_madvise, p, size, advice);
}
