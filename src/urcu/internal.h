/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Inside libanyrcu-urcu, which is to a program that was written for liburcu what that was to it. It uses libanyrcu by its public headers, and so
 * does not share its layers.
 */
#ifndef ANYRCU_URCU_INTERNAL_H
#define ANYRCU_URCU_INTERNAL_H

#include <stdint.h>
#include <urcu/anyrcu/urcu.h>

#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
/* And a full fence, which on aarch64 an exchange alone is not: a later load may come before its store. */
#define set(p, v) (store(p, v), anyrcu_full_fence())

/* A thread that waits, in the flavour qsbr, holds nothing meanwhile. Returns what rest_end() takes. */
bool rest_begin(enum anyrcu_urcu_flavor f);
void rest_end(bool online);

/* Sleep while the word is @was; wake one who does. */
void futex_wait(uint32_t *word, uint32_t was);
void futex_wake(uint32_t *word);

/*
 * A thread that sleeps until there is something to do. It sets the word to 1, looks once more in a way that is ordered against whoever makes
 * work, and sleeps; who has made work and sees 1 wakes it. wake() itself orders nothing: its callers see to it that the work comes before its look.
 */
void sleep_on(uint32_t *asleep);
void wake(uint32_t *asleep);

/* Start a thread that takes no signals, on the CPUs of the process: its creator may be a worker that is kept on one. 0 or an error number. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg, int cpu);

/* The caller has broken the contract: say so and end the program. */
_Noreturn void broken(const char *what);

#endif
