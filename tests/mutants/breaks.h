/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Mistakes on purpose, which mistakes.py puts into copies of the sources. "anyrcu torture" runs a
 * program that is built from them and makes one of these mistakes when it is told to, so that
 * torture is seen to find it; and that is put into trouble which it must bear. What happens at each
 * place is up to the program: see breaks_now().
 */
#ifndef ANYRCU_TESTS_MUTANTS_BREAKS_H
#define ANYRCU_TESTS_MUTANTS_BREAKS_H

#include <base/compiler.h>
#include <stdbool.h>
#include <stdint.h>

/* Name, the environment in which it shows, and what is wrong. */
#define BREAKS_MISTAKES(X)                                                                         \
	X(GP_NO_WAIT, "", "a grace period waits for no reader")                                    \
	X(GP_COOKIE_EARLY, "", "a cookie names the grace period that has begun already")           \
	X(GP_COOKIE_NO_FENCE, "", "a cookie is read before what the caller unlinked is visible")   \
	X(GP_NO_MEMBARRIER, "", "a grace period begins without a fence in all threads")            \
	X(GP_SKIPS_RECORD, "", "the scan of a grace period skips records")                         \
	X(GP_SKIPS_ONLINE, "", "a grace period does not wait for threads in quiescent-state mode") \
	X(GP_SKIPS_CROWD, "", "a grace period does not wait for readers that have no record")      \
	X(GP_BURIES_LIVING, "", "a reader that takes long is taken for dead")                      \
	X(GP_TWO_DRIVERS, "", "two threads drive grace periods at once")                           \
	X(READER_NO_FENCE, "ANYRCU_MEMBARRIER=0",                                                  \
	  "readers do without a fence though there is no membarrier")                              \
	X(READER_TORN, "", "a record is claimed by a load and a store")                            \
	X(SEAL_TORN, "", "a page is opened in place of the full one by a load and a store")        \
	X(COLLECT_NO_RSEQ_FENCE, "", "pages are taken away while sequences append to them")        \
	X(COLLECT_OPEN_TORN, "", "the open page is taken away by a load and a store")              \
	X(COLLECT_CHAIN_TORN, "", "the chain is taken away by a load and a store")                 \
	X(COLLECT_LEAVES_OPEN, "",                                                                 \
	  "a page that was taken away to be drained and freed is still open")                      \
	X(SETTLE_ONCE, "ANYRCU_RSEQ=0",                                                            \
	  "a page filled by atomics is drained after one grace period")                            \
	X(DRAIN_DROPS_PAGE, "", "a page that is ready is forgotten")                               \
	X(DRAIN_DOUBLES_PAGE, "", "a page that is drained is drained again")                       \
	X(DRAIN_CURSOR_LATE, "", "the cursor moves after the callback")                            \
	X(DRAIN_EXIT_DROPS, "",                                                                    \
	  "what a thread had taken to drain is dropped when a callback ends the thread")           \
	X(FORK_DROPS_TAKEN, "", "what was taken to be drained is dropped in the child of a fork")  \
	X(FORK_NO_REST, "", "a fork does not wait until callbacks rest")                           \
	X(BARRIER_EARLY, "", "a barrier waits for the collection before its own")                  \
	X(BARRIER_SKIPS_DRAINERS, "", "a barrier does not wait for what is being drained")         \
	X(SLEEP_NO_LOOK, "", "a worker does not look again after it has announced that it sleeps") \
	X(REFUSED_DROPS, "", "an object is dropped when a page is refused")                        \
	X(BOUND_IGNORED, "", "pages of pointers take more than page_bytes_max")                    \
	X(SLOT_TORN, "", "a free page is taken by a load and a store")                             \
	X(CACHE_EARLY, "", "a page becomes the magazine before its grace period is over")          \
	X(CACHE_FULL_TORN, "", "a full magazine is taken by a load and a store")                   \
	X(EXCHANGE_EARLY, "", "tasks free a page before its grace period is over")

/* What happens without anybody's mistake: memory is refused. */
#define BREAKS_FAULTS(X) X(PAGE_REFUSED) X(RECORD_REFUSED)

/*
 * A mistake that harms nobody but who is in the wrong context: the zone's lock is taken in NO_LOCKS
 * mode. The validator finds it.
 */
#define BREAKS_UNSEEN(X) X(NO_LOCKS_LOCKS)

#define BREAKS_ENUM(name, ...) BREAK_##name,
enum breaks {
	BREAKS_MISTAKES(BREAKS_ENUM) BREAKS_FAULTS(BREAKS_ENUM) BREAKS_UNSEEN(BREAKS_ENUM) BREAKS
};

/*
 * A bit for each that may happen. Set by the program before there is a second thread that uses the
 * library.
 */
extern uint64_t breaks_armed;
/* Is it to happen, here and now? Given by the program. Any context. */
bool breaks_now(enum breaks which);
/*
 * Stop for a while between the load and the store of what should have been one operation. Given by
 * the program. Any context.
 */
void breaks_linger(void);
#define breaks(name) (unlikely(load(&breaks_armed) >> BREAK_##name & 1) && breaks_now(BREAK_##name))
#define breaks_xchg(name, p, v)                       \
	({                                            \
		__typeof__(*(p)) breaks_old_;         \
		if (breaks(name)) {                   \
			breaks_old_ = load(p);        \
			breaks_linger();              \
			store((p), (v));              \
		} else {                              \
			breaks_old_ = xchg((p), (v)); \
		}                                     \
		breaks_old_;                          \
	})
#define breaks_cmpxchg(name, p, old, new)                                                \
	(breaks(name) ? load(p) == (old) && (breaks_linger(), store((p), (new)), true) : \
			cmpxchg((p), (old), (new)))

#endif
