/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The parts of libanyrcu-lockdep.so, which "anyrcu lockdep" loads into programs: it sees their locks, signals and
 * frees, and tells the validator, of which it has a copy in it.
 *
 *   lockdep.c          start, fork, and where reports go
 *   lockdep_locks.c    what POSIX and C11 have as locks
 *   lockdep_signals.c  handlers and masks
 *   lockdep_memory.c   what frees memory
 *
 * Every interposed function calls the one it stands for, with the same arguments, and returns what that returns. None changes errno,
 * allocates memory or makes a system call of its own, but for a thread's first one and in signal handlers.
 */
#ifndef ANYRCU_PRELOAD_LOCKDEP_H
#define ANYRCU_PRELOAD_LOCKDEP_H

#include <lockdep/lockdep.h>
#include <port/port.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* What is stood for; C11's are in libc, as all of it is since glibc 2.34. */
#define REAL_FUNCTIONS(F)                                                                                              \
	F(pthread_mutex_init) F(pthread_mutex_destroy) F(pthread_mutex_lock) F(pthread_mutex_trylock)                  \
	F(pthread_mutex_timedlock) F(pthread_mutex_clocklock) F(pthread_mutex_unlock)                                  \
	F(pthread_rwlock_init) F(pthread_rwlock_destroy) F(pthread_rwlock_rdlock) F(pthread_rwlock_tryrdlock)          \
	F(pthread_rwlock_timedrdlock) F(pthread_rwlock_clockrdlock) F(pthread_rwlock_wrlock)                           \
	F(pthread_rwlock_trywrlock) F(pthread_rwlock_timedwrlock) F(pthread_rwlock_clockwrlock)                        \
	F(pthread_rwlock_unlock)                                                                                       \
	F(pthread_spin_init) F(pthread_spin_destroy) F(pthread_spin_lock) F(pthread_spin_trylock)                      \
	F(pthread_spin_unlock)                                                                                         \
	F(pthread_cond_clockwait)                                                                                     \
	F(pthread_barrier_wait) F(pthread_join) F(sem_wait) F(sem_timedwait) F(sem_clockwait)                          \
	F(mtx_init) F(mtx_destroy) F(mtx_lock) F(mtx_trylock) F(mtx_timedlock) F(mtx_unlock) F(cnd_wait)               \
	F(cnd_timedwait) F(thrd_join)                                                                                  \
	F(sigaction) F(pthread_sigmask) F(sigprocmask) F(sigsuspend) F(siglongjmp) F(setcontext)      \
	F(swapcontext)                                                                                                 \
	F(free) F(munmap) F(malloc_usable_size) F(fork) F(_Fork)

#define REAL_LATER_FUNCTIONS(F) F(pthread_cond_wait) F(pthread_cond_timedwait)

#define DECLARE(f) __typeof__(&f) f;
extern pid_t _Fork(void);
extern size_t malloc_usable_size(void *p);
struct real {
	REAL_FUNCTIONS(DECLARE) REAL_LATER_FUNCTIONS(DECLARE)
	int (*siginterrupt)(int sig, int interrupt); /* deprecated, but used */
	__typeof__(&longjmp) longjmp_chk;
};
#undef DECLARE
extern struct real real;

/* The thread, to us. UNKNOWN is what it starts as. */
enum watch {
	UNKNOWN,
	WATCHED,
	BUSY, /* inside what must not be watched itself, as the unwinder */
	OFF,
};

struct handler_frame;
struct me {
	enum watch watch;
	uint32_t tid;                   /* as libc writes it into mutexes */
	unsigned exit_rounds;
	enum watch forks;               /* what watch is again after a fork */
	struct handler_frame *handlers; /* that run in this thread, the innermost first */
};
extern __thread __attribute__((tls_model("initial-exec"))) struct me me;

/* It has called no other program since. */
extern bool in_forked_child;

bool introduce(void);

/*
 * Is what happens to be told to the validator? Every interposed function begins by asking; after that the real ones
 * are known.
 */
static inline bool watched(void)
{
	return likely(me.watch == WATCHED) || introduce();
}

/* A class for what is initialised by a call that will return to @ip; NULL: that is its class. Any context. */
const struct anyrcu_lock_class_key *class_of_caller(const void *ip);

/* The signal mask of the calling thread, from the kernel. */
uint64_t signal_mask(void);

#endif
