/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Internals of libanyrcu-urcu, which replaces liburcu for programs that were written for it. It
 * uses only libanyrcu's public headers, and so is not part of its layers.
 */
#ifndef ANYRCU_URCU_INTERNAL_H
#define ANYRCU_URCU_INTERNAL_H

#include <stdint.h>
#include <urcu/anyrcu/urcu.h>

#if defined(PORT_VALGRIND)
#include <valgrind/helgrind.h>
#else
#define ANNOTATE_HAPPENS_BEFORE(p) ((void)(p))
#define ANNOTATE_HAPPENS_AFTER(p) ((void)(p))
#endif

#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
/*
 * A store and a full fence. On aarch64 an exchange alone is not a full fence: a later load may come
 * before its store.
 */
#define set(p, v) (store(p, v), anyrcu_full_fence())

/*
 * ThreadSanitizer and helgrind do not see the atomics that order a program's accesses here. What
 * the caller of checker_released() did before comes before what the caller of checker_acquired()
 * does after, for the same address.
 */
void __tsan_acquire(void *p) __attribute__((weak));
void __tsan_release(void *p) __attribute__((weak));

static inline void checker_released(void *p)
{
	if (__builtin_expect(__tsan_release != NULL, 0))
		__tsan_release(p);
	ANNOTATE_HAPPENS_BEFORE(p);
}

static inline void checker_acquired(void *p)
{
	if (__builtin_expect(__tsan_acquire != NULL, 0))
		__tsan_acquire(p);
	ANNOTATE_HAPPENS_AFTER(p);
}

/*
 * What memcheck has to find of the calling thread, lest it take the thread's memory for lost: the
 * vector of its TLS blocks, in glibc from the second element on in the thread's control block.
 */
static inline void *checker_thread(void)
{
	char *vector = NULL;

#if defined(__GLIBC__) && defined(__x86_64__)
	__asm__("movq %%fs:8, %0" : "=r"(vector));
#elif defined(__GLIBC__) && defined(__aarch64__)
	vector = *(char **)__builtin_thread_pointer();
#endif
	return vector ? vector - 2 * sizeof(void *) : NULL;
}

/*
 * A waiting thread does not read: in the flavour qsbr it goes offline meanwhile. The result is the
 * argument of rest_end().
 */
bool rest_begin(enum anyrcu_urcu_flavor f);
void rest_end(bool online);

/* Sleep while the word is @was, at most @ns nanoseconds (0: no bound); wake all sleepers. */
void futex_wait(uint32_t *word, uint32_t was, uint64_t ns);
void futex_wake(uint32_t *word);

/*
 * For a thread that sleeps until there is work. It sets the word to 1, checks for work once more,
 * ordered after that store, and sleeps. A thread that has made work and sees 1 wakes it. wake()
 * itself orders nothing: its callers must order the work before its load of the word.
 */
void sleep_on(uint32_t *asleep);
void wake(uint32_t *asleep);

/*
 * Pauses between attempts to start a thread when none can be started. An attempt costs some 35 us,
 * and may happen in any call, so there are few. All zero: the last attempt has succeeded. Any
 * thread may read and write it: one attempt more or less does no harm.
 */
struct pauses {
	uint64_t until; /* when to try again */
	uint64_t pause; /* the last one, nanoseconds */
};
bool may_try(const struct pauses *p);

/*
 * Start a thread with all signals blocked but those of faults, on the CPUs of the process (its
 * creator may be a worker that is pinned to one). On failure returns false, sets @pauses, and
 * reports it once.
 */
bool thread_start(pthread_t *thread, void *(*run)(void *), void *arg, int cpu,
		  struct pauses *pauses);

/* The caller has broken the contract: say so and end the program. */
_Noreturn void broken(const char *what);

#endif
