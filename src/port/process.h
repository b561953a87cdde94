/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The second part of the interface to the platform: what only a process has. gp, context, lockdep,
 * cache, domain and data call these functions, and those files of pages and defer that only a
 * process needs. See port/port.h.
 */
#ifndef ANYRCU_PORT_PROCESS_H
#define ANYRCU_PORT_PROCESS_H

#include <port/port.h>

/*
 * Can a thread be pinned to @cpu: was the process started on it, or may the caller run there? A
 * system call. Any context.
 */
bool port_cpu_usable(int cpu);

/* A hint to the CPU that this is a spin loop. */
static inline void port_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/*
 * The signals that the calling thread has blocked, one bit for each, from signal 1 on. A system
 * call. Any context.
 */
uint64_t port_signals_blocked(void);

/* ---- memory ---- */

void port_unmap(void *p, size_t size);
/*
 * port_reserve(): reserve addresses without memory, which may only be accessed after port_commit().
 * NULL if the system refuses. port_commit(): zeroed memory for a part of them; false if the system
 * refuses. port_discard(): the range reads as zeroes from now on, and takes no memory until it is
 * written. Sizes are multiples of 4096, @align is a power of two. Any context: system calls only.
 */
void *port_reserve(size_t size, size_t align);
/* Bytes of addresses that the process may have; UINT64_MAX: there is no such limit. Task. */
uint64_t port_address_space(void);
bool port_commit(void *p, size_t size);
void port_discard(void *p, size_t size);

/* ---- threads ---- */

#define PORT_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

/*
 * Have the calling thread run port_thread_exit_hook() when it ends, if possible. It is not possible
 * before initialisation, in a thread that ends by a raw system call, and if the program had used
 * more than 31 thread-specific keys before; then only port_tid_dead() detects the end. Any context.
 * port_thread_exit_arm_task() (port/port.h): for tasks, with any number of keys.
 */
void port_thread_exit_arm(void);
extern void (*port_thread_exit_hook)(void);

/*
 * port_signals are blocked in the holder of a port_lock. Handlers of other signals may interrupt
 * the holder, and may call fork(), which the lock supports: see port_fork_lock(). All zero:
 * unlocked.
 *
 * For the validator, if it is on: called when a lock that is not "unwatched" is about to be taken,
 * or is released. @blocked: the signals that are blocked while it is held, or afterwards.
 */
extern void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);
/*
 * For the thread that forks; @depth is 1, and one more for each fork whose handlers a forking
 * signal handler has interrupted. False: another thread holds the lock. True: the caller holds it
 * now, or the code that its handler interrupted held it before. In the latter case the state under
 * the lock may be half changed, and no thread may use it, in parent or child, before the handler
 * has returned and the holder has released the lock. port_fork_unlock() releases the lock, unless
 * it was held before. The caller blocks signals. Any context.
 */
bool port_lock_held(const struct port_lock *lock); /* by the calling thread. Any context. */
bool port_fork_lock(struct port_lock *lock, uint8_t depth);
void port_fork_unlock(struct port_lock *lock, uint8_t depth);

/* Wake one thread that sleeps in port_wait(). A system call that does not wait. Any context. */
void port_wake_one(uint32_t *word);
/*
 * Let other threads run, in round @round of waiting for one of them: yields the CPU, and after many
 * rounds sleeps 50 us. Any context.
 */
void port_yield(unsigned round);

/*
 * Locks whose holder inherits the priority of waiting threads. The word is 0, or the holder's
 * port_tid(), with PORT_PI_WAITERS set if other threads wait. A thread that finds 0 locks by
 * storing its number; a thread that finds exactly its number unlocks by storing 0; otherwise these
 * functions do it. 0, or -errno: -PORT_EDEADLK if the caller holds the lock already, -PORT_ESRCH if
 * the holder has ended, -PORT_EPERM if the caller does not hold the lock.
 */
#define PORT_PI_WAITERS 0x80000000u
#define PORT_ESRCH 3
#define PORT_EDEADLK 35
int port_pi_lock(uint32_t *word); /* sleeps */
int port_pi_unlock(uint32_t *word); /* a system call that does not wait */
/* Does the system support them? Two system calls. Any context. */
bool port_pi_works(void);

/* ---- processes ---- */

/*
 * The port_id() of the thread that called the last fork that led to this process: the only thread
 * of the parent that exists here. Any context.
 */
extern uint64_t port_survivor;
/*
 * Is this another process that shares memory with the one that was initialised (vfork())? A system
 * call. Any context.
 */
bool port_foreign(void);
/* ---- signals ---- */

/*
 * The signals that port_signals_block() blocks: all but those that a fault raises, and libc's own.
 * One bit for each, from signal 1 on.
 */
extern const uint64_t port_signals;
/*
 * Block these in the calling thread; returns the former mask, for port_signals_restore(). A system
 * call each. Any context.
 */
uint64_t port_signals_block(void);
void port_signals_restore(uint64_t former);

/*
 * Have @sig run port_signal_hook() with @mask (a sigset_t) blocked; the first call for a signal
 * saves its former action. port_signal_leave(): restore that action. Task. False if the system
 * refuses. The hook's arguments: the siginfo_t, of PORT_SIGINFO bytes, the context, and the signals
 * that were blocked in the interrupted code.
 */
#define PORT_SIGINFO 128
#define PORT_NSIG 65
extern void (*port_signal_hook)(int sig, void *info, void *context, uint64_t before);
bool port_signal_take(int sig, const void *mask);
void port_signal_leave(int sig);
/*
 * port_signal_taken(): would the system run port_signal_hook() for the signal now? Any context.
 * port_signal_again(): send a signal that the hook was called with, and that is blocked, to the
 * calling thread once more. False: the system refuses. Any context; a system call each.
 */
bool port_signal_taken(int sig);
bool port_signal_again(int sig, const void *info);

/* ---- fences in other threads ---- */

/*
 * Does port_fence_all() work? Constant after initialisation, false before. While it is false,
 * readers need their own fences: see gp.c.
 */
extern bool port_fence_all_works;
/* A full fence in every running thread of the process, between the call and the return. Task. */
void port_fence_all(void);

/* ---- external checkers ---- */

static inline void port_atomic(const void *p, size_t size)
{
	if (unlikely(port_checked))
		port_checker_atomic(p, size);
}
/*
 * Tell leak checkers that this memory holds pointers to the program's objects, which are therefore
 * not lost; or, unless @add, that it no longer does. Task.
 */
void port_checker_root(const void *p, size_t size, bool add);
/*
 * port_memory_checked: does AddressSanitizer or memcheck watch this process? Constant after
 * initialisation, false before. If not, the functions below do nothing. port_checker_access():
 * these bytes may be accessed from now on, or may not. port_checker_alloc() and _free(): an object
 * of a pool, whose bytes may not be accessed before the first, nor after the second. Any context.
 */
extern bool port_memory_checked;
void port_checker_access(const void *p, size_t size, bool may);
void port_checker_pool(const void *pool, bool begins);
void port_checker_alloc(const void *pool, const void *p, size_t size);
void port_checker_free(const void *pool, const void *p, size_t size);

/* ---- reports ---- */

/*
 * The stack of another thread of the process, innermost frame first, if it is available within @ns
 * nanoseconds. Returns the number of frames. Task.
 */
uint32_t port_stack_of(uint32_t tid, void **frames, uint32_t max, uint64_t ns);

/*
 * Write text to standard error, or to the file of port_text_to() (port/posix/init.h). Any context.
 */
void port_text(const char *text);

/*
 * The caller's stack, innermost frame first, without frames of the library; empty before
 * port_stack_prime(). Returns the number of frames. Any context.
 */
uint32_t port_stack(void **frames, uint32_t max);

/* The module and symbol that contain an address. Any context. */
struct port_where {
	const char *module, *symbol; /* symbol: NULL when it is not known */
	uint64_t module_offset, symbol_offset;
};
bool port_where(const void *address, struct port_where *where);
/* Is the address in a loaded program or library, rather than on a heap or stack? Any context. */
bool port_in_object(const void *address);

#endif
