/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The parts of libanyrcu-lockdep.so, which "anyrcu lockdep" loads into programs: it sees their
 * locks, signals and frees, and tells the validator, of which it has a copy in it.
 *
 *   preload.c          start, fork, the ends of threads and processes
 *   preload_reports.c  where reports go
 *   preload_stacks.c   stacks, and what is told from them
 *   preload_locks.c    mutexes of POSIX and C11
 *   preload_rwlocks.c  read-write locks, spinlocks
 *   preload_counts.c   what locks cost
 *   preload_signals.c  handlers and masks
 *   preload_waits.c    conditions, barriers, sleep
 *   preload_semaphores.c  semaphores of POSIX and System V
 *   preload_files.c    pipes, event counters, locked files
 *   preload_futex.c    futexes of the program's own
 *   preload_threads.c  threads, and what is done once
 *   preload_libraries.c  streams, GLib, Qt, OpenMP
 *   preload_loader.c   the dynamic loader
 *   preload_shared.c  orders of locks that processes share
 *   preload_memory.c   what frees memory
 *
 * Every interposed function calls the one it stands for, with the same arguments, and returns what
 * that returns. None changes errno, allocates memory or makes a system call of its own, but for a
 * thread's first one and in signal handlers.
 */
#ifndef ANYRCU_PRELOAD_LOCKDEP_H
#define ANYRCU_PRELOAD_LOCKDEP_H

#include <lockdep/lockdep.h>
#include <port/process.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* What is stood for; C11's are in libc, as all of it is since glibc 2.34. */
/* clang-format off */
#define REAL_FUNCTIONS(F) \
	F(pthread_mutex_init) F(pthread_mutex_destroy) F(pthread_mutex_lock) \
	F(pthread_mutex_trylock) F(pthread_mutex_timedlock) F(pthread_mutex_clocklock) \
	F(pthread_mutex_unlock) \
	F(pthread_rwlock_init) F(pthread_rwlock_destroy) F(pthread_rwlock_rdlock) \
	F(pthread_rwlock_tryrdlock) F(pthread_rwlock_timedrdlock) F(pthread_rwlock_clockrdlock) \
	F(pthread_rwlock_wrlock) F(pthread_rwlock_trywrlock) F(pthread_rwlock_timedwrlock) \
	F(pthread_rwlock_clockwrlock) F(pthread_rwlock_unlock) \
	F(pthread_spin_init) F(pthread_spin_destroy) F(pthread_spin_lock) F(pthread_spin_trylock) \
	F(pthread_spin_unlock) \
	F(pthread_cond_clockwait) \
	F(pthread_barrier_init) F(pthread_barrier_destroy) F(pthread_barrier_wait) \
	F(pthread_create) F(pthread_join) F(pthread_tryjoin_np) F(pthread_timedjoin_np) \
	F(pthread_clockjoin_np) F(pthread_once) \
	F(sem_init) F(sem_open) F(sem_destroy) F(sem_post) F(sem_wait) F(sem_trywait) \
	F(sem_timedwait) F(sem_clockwait) F(semtimedop) F(semctl) \
	F(pipe2) F(socketpair) F(eventfd) F(read) F(write) F(close) F(dup2) F(dup3) F(flock) \
	F(fcntl) F(close_range) F(closefrom) \
	F(sleep) F(usleep) F(nanosleep) F(clock_nanosleep) F(poll) F(select) F(epoll_wait) \
	F(ppoll) F(pselect) F(epoll_pwait) \
	F(fflush) F(fputs) F(fputc) F(fwrite) F(puts) F(putchar) F(vfprintf) F(flockfile) \
	F(ftrylockfile) F(funlockfile) F(fclose) \
	F(dlopen) F(dlclose) F(dl_iterate_phdr) \
	F(mtx_init) F(mtx_destroy) F(cnd_wait) \
	F(cnd_timedwait) F(cnd_signal) F(cnd_broadcast) F(thrd_create) F(thrd_join) \
	F(sigaction) F(pthread_sigmask) F(sigprocmask) F(sigsuspend) F(siglongjmp) F(setcontext) \
	F(swapcontext) \
	F(free) F(realloc) F(mmap) F(munmap) F(madvise) F(mremap) F(malloc_usable_size) F(fork) \
	F(_Fork)

#define REAL_LATER_FUNCTIONS(F) \
	F(pthread_cond_wait) F(pthread_cond_timedwait) F(pthread_cond_signal) \
	F(pthread_cond_broadcast) F(pthread_cond_init) F(pthread_cond_destroy)
/* clang-format on */

#define DECLARE(f) __typeof__(&f) f;
extern pid_t _Fork(void);
extern size_t malloc_usable_size(void *p);
struct real {
	REAL_FUNCTIONS(DECLARE)
	REAL_LATER_FUNCTIONS(DECLARE)
	int (*siginterrupt)(int sig, int interrupt); /* deprecated, but used */
	__typeof__(&longjmp) longjmp_chk;
	ssize_t (*read_chk)(int fd, void *to, size_t n, size_t room);
	int (*vfprintf_chk)(FILE *f, int flag, const char *format, va_list args);
};
#undef DECLARE
extern struct real real;

/* The thread, to us. UNKNOWN is what it starts as. */
enum watch {
	UNKNOWN,
	WATCHED,
	COUNTED, /* what its locks cost is counted, and nothing is told */
	BUSY, /* inside what must not be watched itself, as the unwinder */
	OFF,
};

struct handler_frame {
	struct handler_frame *outer;
	const stack_t *stack; /* the alternative one as it was set when the handler began */
	enum watch watch; /* what it is again when it has ended */
	bool unchecked; /* the validator was not told */
};

/* A lock on the stack, and whose variable it is: the function and where its frame is, hashed. */
struct stack_lock {
	const void *lock;
	uint64_t owner;
	/* x86-64: where the address is to which the owner returns, and that; else NULL */
	const uintptr_t *returns;
	uintptr_t to;
	/* places and frames of the thread's, hashed, that were found to be of this owner */
	uint64_t seen_from[3];
};

struct me {
	enum watch watch;
	uint32_t tid; /* as libc writes it into mutexes */
	unsigned exit_rounds;
	enum watch forks; /* what watch is again after a fork */
	/* in fork(), before the fork: how many locks it held when it was called, + 1; 0: not */
	uint32_t fork_held;
	struct handler_frame *handlers; /* that run in this thread, the innermost first */
	uintptr_t stack, stack_size; /* where its stack begins */
	/* what poll() or the like has found ready, if called with no lock held: FD_BIT() of each */
	uint64_t found;
	struct stack_lock on_stack[16];
	/* the stack pointer of the call of dlopen() that it is in, or was; 0: none */
	uintptr_t loads;
};
extern __thread __attribute__((tls_model("initial-exec"))) struct me me;

/* ---- preload_stacks.c, preload_reports.c ---- */

extern char executable[4096]; /* its path */
extern struct notices *notices;

void find_unwinder(void);
/* What lies at an address. Takes no lock, unlike dladdr(). */
const struct link_map *map_of(const void *address);
/* Where the locks of a class are initialised, if the address is one of class_of_caller(). */
const void *site_begin(const void *address);
struct notice_place place_find(const void *address);
/* The number of a place in the report that is being made; UINT32_MAX: there is no room. */
uint32_t mark_place(const void *address);
void report_emit(const struct anyrcu_lockdep_report *r);

/* ---- preload_shared.c ---- */
const void *shared_order(const struct lockdep_order *o);
/* A lock that processes share is initialised. */
void shared_forget(const void *lock);

/* It has called no other program since. */
extern bool in_forked_child;

bool introduce(void);

/* A handler of fork() is about to lock something. */
void fork_handler_locks(void);

/*
 * Is what happens to be told to the validator? Every interposed function begins by asking; after
 * that the real ones are known.
 */
static inline bool watched(void)
{
	return likely(me.watch == WATCHED) || (me.watch == UNKNOWN && introduce());
}

/* Are its locks counted? Asked where the thread is not watched(). */
static inline bool counted(void)
{
	return me.watch == COUNTED;
}

static inline bool watched_or_counted(void)
{
	return watched() || counted();
}

/*
 * A class for what is initialised by a call that will return to @ip; NULL: that is its class. Any
 * context.
 */
const struct anyrcu_lock_class_key *class_of_caller(const void *ip);

/* Threads that were created and may still run, as far as the others know; and the first. */
extern uint32_t threads;

/*
 * Can the 8 aligned bytes that @p is in be read? Asked before this reads what a program passes to
 * the kernel: it may be wrong, or gone already, and then the kernel says so, not a fault.
 */
bool readable(const void *p);

/* Signals that have handlers, but for those of faults. */
extern uint64_t handled;

/*
 * A variable on the stack dies without a word, and another lock may come to lie at its address.
 * @lock is on the caller's stack, and is taken at @ip,
 * @frame being the stack pointer there: forget it if it is not the same function's as before.
 */
void stack_lock(const void *lock, const void *ip, uintptr_t frame);
/* It is initialised by a call. */
void stack_lock_begins(const void *lock);

static inline bool on_own_stack(const void *lock)
{
	return unlikely((uintptr_t)lock - me.stack < me.stack_size);
}

/* If the call of dlopen() is over that the thread was in, it holds the loader's lock no longer. */
void loader_check(uintptr_t frame);

static inline void loader_over(void)
{
	if (unlikely(me.loads))
		loader_check((uintptr_t)__builtin_frame_address(0));
}

static inline void taken(const volatile void *lock, const struct anyrcu_lock_type *type,
			 unsigned how, const void *ip)
{
	loader_over();
	lockdep_engine.acquire((const void *)lock, type, how, 0, NULL, ip);
}

static inline void left(const volatile void *lock, const void *ip)
{
	lockdep_engine.release((const void *)lock, ip);
}

/* At its end the thread holds it no longer in any case. */
void loader_left(void);

extern struct lockdep_unsafe allocator;

/* ---- preload_files.c ---- */

/* The descriptor is about to be closed; it will be something else. */
void file_closes(int fd);
/* In the child of a fork; and at the end of a thread: locks of files are not a thread's. */
void files_fork(void);
void files_leave(void);

#define FD_BIT(fd) (UINT64_C(1) << (fd) % 64) /* other descriptors may have the same */
/* What poll(), select() or epoll_wait() has returned. The last does not say what it has found. */
int polled(int result, const struct pollfd *fds, nfds_t n);
int selected(int result, const fd_set *in, int n);
int epolled(int result);

void thread_begins(void);
/* @silent: others know of its end only if they join it. */
void thread_over(bool silent);

extern const struct anyrcu_lock_type mutex_type, rwlock_type, semaphore_type, limit_type;

/*
 * Is unlocking it, or waiting on a condition variable with it, no release, as the caller has locked
 * it more than once?
 */
bool mutex_nested(const pthread_mutex_t *m);

/* Has the stack that the thread is on, if it is a handler's own, room for so much? */
bool stack_suffices(size_t bytes);

/* Something could not be checked: said at the end. */
void not_checked(void);

/* The signal mask of the calling thread, from the kernel. */
uint64_t signal_mask(void);

#endif
