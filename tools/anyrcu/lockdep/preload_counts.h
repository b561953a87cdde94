/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What locks cost: counted in place of being checked, when "anyrcu lockstat" is who asks. */
#ifndef ANYRCU_PRELOAD_COUNTS_H
#define ANYRCU_PRELOAD_COUNTS_H

#include <errno.h>

#include "lockdep/preload.h"

/* A wait for a lock that was not free. 0: there was none. */
struct count_wait {
	uint64_t begin, end;
	uint32_t holder; /* site + 1 */
	uint32_t stack; /* number + 1 */
};

/* Map the counts, if they are asked for. False: that is not so. */
bool counts_start(void);
void count_wait_begin(struct count_wait *w, const volatile void *lock);
void count_wait_end(struct count_wait *w);
/* @had: it was acquired; else only the wait counts. Any context, all of them. */
void count_acquired(const volatile void *lock, const struct anyrcu_lock_type *type, unsigned how,
		    const void *ip, const struct count_wait *w, bool had);
void count_released(const volatile void *lock);
void count_init(const volatile void *lock, const struct anyrcu_lock_type *type, const void *ip);
/* What lies there is no more. */
void count_forget(const void *p, size_t size);

/* Another object may come to lie where one was. */
void counts_unloaded(void);
void counts_thread_exit(void);

/* The owner of a robust mutex has died: it is had all the same. */
static inline bool had(int error)
{
	return likely(error == 0) || error == EOWNERDEAD;
}

/*
 * Acquire by @lock, which waits, if @try does not have it; both say so by an error. A lock that is
 * free is had by @try as by @lock.
 */
#define count_lock(l, type, how, ip, try, lock)                                  \
	({                                                                       \
		struct count_wait wait_ = { 0 };                                 \
		int counted_ = (try);                                            \
                                                                                 \
		if (unlikely(counted_ == EBUSY)) {                               \
			count_wait_begin(&wait_, l);                             \
			counted_ = (lock);                                       \
			count_wait_end(&wait_);                                  \
		}                                                                \
		if (likely(had(counted_)) || wait_.begin)                        \
			count_acquired(l, type, how, ip, &wait_, had(counted_)); \
		counted_;                                                        \
	})

/* The same for @lock that waits for a bounded time if @waits, and else not: then @try is all. */
#define count_try(l, type, how, ip, waits, try, lock)                                   \
	({                                                                              \
		struct count_wait none_ = { 0 };                                        \
		int tried_ = (waits) ? count_lock(l, type, how, ip, try, lock) : (try); \
                                                                                        \
		if (!(waits) && had(tried_))                                            \
			count_acquired(l, type, how, ip, &none_, true);                 \
		tried_;                                                                 \
	})

#endif
