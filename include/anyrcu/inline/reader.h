/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The inline part of the read side. Not an interface: use anyrcu/rcu.h.
 *
 * Each thread has one record, and a record one word, ctr, which only its own thread writes (its
 * signal handlers included) and which the grace-period engine reads:
 *
 *     63                              20 19    18   17    16     15         0
 *    | sequence number at the begin     |UNREG | QS |FENCE|  0   |  nesting   |
 *
 * Zero: not reading. The engine's word anyrcu_gp.ctr holds the current sequence number and nesting
 * 1, so the outermost lock copies it unchanged. As all of a reader's state is that one word, a
 * signal handler that comes between any two instructions finds either "not reading" or "reading",
 * may begin nested sections, and leaves the word as it found it.
 *
 * Why no fence is needed: the engine runs membarrier() between advancing the sequence number and
 * scanning the records. That is a full fence in every thread of the process, at one instant for
 * each. If a section's store to ctr comes before that instant, the engine sees it and waits for the
 * section; if it comes after, so do all of the section's loads, which therefore see the unlinking.
 * The compiler barriers keep this order in the compiled code. If the kernel has no membarrier,
 * anyrcu_gp.ctr has FENCE set, and readers execute the fence.
 *
 * Both stores are releases: an engine that reads a word written by any later section has thereby
 * also seen the ends of earlier sections, even if it never read the zero that ended them.
 */
#ifndef ANYRCU_INLINE_READER_H
#define ANYRCU_INLINE_READER_H

#include <stdint.h>

#include <anyrcu/inline/api.h>
#include <anyrcu/inline/checker.h>

ANYRCU_BEGIN_DECLS

#define ANYRCU_READER_NEST UINT64_C(0xffff)
#define ANYRCU_READER_FENCE (UINT64_C(1) << 17)
#define ANYRCU_READER_QS (UINT64_C(1) << 18)
#define ANYRCU_READER_UNREG (UINT64_C(1) << 19)
#define ANYRCU_READER_SEQ_SHIFT 20

struct anyrcu_reader {
	uint64_t ctr;
	uint64_t owner; /* the thread's number, or 0: free; a generation in the upper bits */
	uint64_t unused[6]; /* a cache line each */
};

struct anyrcu_gp_word {
	uint64_t ctr;
} __attribute__((aligned(64)));

extern ANYRCU_DATA struct anyrcu_gp_word anyrcu_gp;
extern ANYRCU_DATA __thread struct anyrcu_reader *anyrcu_self
	__attribute__((tls_model("initial-exec")));

ANYRCU_API void anyrcu_reader_enter_slow(void);
ANYRCU_API void anyrcu_reader_exit_slow(void);

/*
 * GCC refuses plain fences under ThreadSanitizer, which does not support them. There they are
 * needed for the hardware alone: the acquires and releases tell the sanitizer what it must know.
 */
static inline void anyrcu_full_fence(void)
{
#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
	__asm__ volatile("mfence" ::: "memory");
#elif defined(__SANITIZE_THREAD__) && defined(__aarch64__)
	__asm__ volatile("dmb ish" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Mostly true, but not so often that the code for online threads should be moved out of line. */
#if (defined(__clang__) && __clang_major__ >= 11) || \
	(!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 9)
#define ANYRCU_MOSTLY(x) __builtin_expect_with_probability((x), 1, 0.7)
#else
#define ANYRCU_MOSTLY(x) __builtin_expect((x), 1)
#endif

static inline void anyrcu_reader_enter(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t c = __atomic_load_n(&self->ctr, __ATOMIC_RELAXED);

	if (ANYRCU_MOSTLY(c == 0)) {
		uint64_t g = __atomic_load_n(&anyrcu_gp.ctr, __ATOMIC_ACQUIRE);

		__atomic_store_n(&self->ctr, g, __ATOMIC_RELEASE);
		if (__builtin_expect((g & ANYRCU_READER_FENCE) != 0, 0))
			anyrcu_full_fence();
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		ANYRCU_CHECKER_ACQUIRE(&anyrcu_gp.ctr);
	} else if (__builtin_expect((c & ANYRCU_READER_QS) == 0, 0)) {
		anyrcu_reader_enter_slow();
	}
}

static inline void anyrcu_reader_exit(void)
{
	struct anyrcu_reader *self = anyrcu_self;
	uint64_t c = __atomic_load_n(&self->ctr, __ATOMIC_RELAXED);

	if (ANYRCU_MOSTLY((c & (ANYRCU_READER_NEST | ANYRCU_READER_UNREG)) == 1)) {
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		ANYRCU_CHECKER_RELEASE(&self->ctr);
		__atomic_store_n(&self->ctr, 0, __ATOMIC_RELEASE);
	} else if (__builtin_expect((c & ANYRCU_READER_QS) == 0, 0)) {
		anyrcu_reader_exit_slow();
	}
}

ANYRCU_END_DECLS

#endif
