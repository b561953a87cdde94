/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The one contract with the platform. base, pages, gp and defer call this and mem*, nothing else.
 *
 * "any" as a context means: a signal handler that interrupted anything, the function itself included. Nothing here
 * changes errno.
 */
#ifndef ANYRCU_PORT_H
#define ANYRCU_PORT_H

#include <base/compiler.h>

#define PORT_CPUS_MAX 1024 /* per-CPU arrays have this size; a power of two */

/* A CPU number below PORT_CPUS_MAX, the current one most of the time. A hint for locality: any value is right. Any context. */
unsigned port_cpu(void);

/* CPUs that this process could run on when it started, at least 1. Any context. */
unsigned port_ncpus(void);

/* Nanoseconds of a clock that does not jump. Any context. */
uint64_t port_now(void);

/* A hint to the CPU that this is a spin loop. */
static inline void port_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/* Which signals the calling thread has blocked, a bit for each from 1 on. A system call. Any context. */
uint64_t port_signals_blocked(void);

/* ---- memory ---- */

/* Map @size zeroed bytes aligned to @align, both powers of two of at least 4096. NULL when refused. Any context: system calls only. */
void *port_map(size_t size, size_t align);
void port_unmap(void *p, size_t size);
/* Free an object as its owner's malloc() wants it. Task. */
void port_free(void *p);

/* ---- threads ---- */

#define PORT_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

/*
 * A value that differs between any two live threads, never 0, and stays the same in the child of a fork(). What a thread leaves behind
 * must not be told by it, as the next one may get it. Any context.
 */
uintptr_t port_self(void);
/* The thread's number in this process, never 0. A system call. Any context. */
uint32_t port_tid(void);
/* Is this the child of a fork() that ran no handlers? A system call. Any context. */
bool port_forked_raw(void);
/*
 * Has the thread ended? A recycled number counts as living, and so does each after port_forked_raw(), as the one thread that is there
 * still goes by its former number. System calls. Any context.
 */
bool port_tid_dead(uint32_t tid);
/*
 * Have the calling thread run port_thread_exit_hook() when it ends, as long as that can be had: before initialisation and in a thread that
 * ends by a raw system call it cannot, and the end will only be seen by port_tid_dead(). Any context.
 */
void port_thread_exit_arm(void);
extern void (*port_thread_exit_hook)(void);

/*
 * Start a thread that runs @main(@arg) with all signals blocked. @cpu: pin it there, or -1. @rt: real-time priority or 0. Task.
 * 0, or -errno; -EPERM means that it runs, but without the priority.
 */
#define PORT_EPERM 1
int port_thread_start(void (*main)(void *), void *arg, int cpu, int rt);
/*
 * Run the calling thread, one of port_thread_start() with @cpu -1, on @cpu from now on, if it is one of those it was started on. Task.
 * port_follow_end(): on all of those again; nothing in other threads. Any context.
 */
void port_follow(unsigned cpu);
void port_follow_end(void);
/* Cancellation off around callbacks in a thread of the application. Task. Returns the former state, for _on. */
int port_cancel_off(void);
void port_cancel_on(int former);

/*
 * A lock for tasks, which sleeps. Its holder takes no signals: so no handler finds it held by the thread that it interrupted, and one that
 * calls fork() may take it as any task. Locks nest, the last taken is the first released. All zero: unlocked.
 */
struct port_lock {
	uint32_t word;
	uint64_t signals; /* which the holder had blocked before */
	bool unwatched;
	bool told; /* that it is held */
};
/* For the validator, if it is on: a lock that is not unwatched is about to be taken, or released; then these signals are blocked. */
extern void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);
void port_lock(struct port_lock *lock);
void port_unlock(struct port_lock *lock);

/*
 * Sleep while *@word is @value, at most @ns nanoseconds (0: without bound). May return early. Task.
 * Ordering: the value is compared after all that the caller did before.
 */
void port_wait(uint32_t *word, uint32_t value, uint64_t ns);
/* Wake all that sleep on @word, or one. A system call that does not wait. Any context. */
void port_wake(uint32_t *word);
void port_wake_one(uint32_t *word);
/* Sleep. Task. */
void port_sleep(uint64_t ns);
/* Let others run, in the @round-th round of waiting for one of them: lets go of the CPU, and after many rounds sleeps 50 us. Any context. */
void port_yield(unsigned round);

/*
 * Locks whose holder inherits the priority of those that wait. The word is 0, or the port_tid() of the holder with PORT_PI_WAITERS added when
 * others wait. Who finds it 0 stores its number, who finds its number alone stores 0; otherwise these do. 0, or -errno: -PORT_EDEADLK when the
 * caller holds it, -PORT_ESRCH when the holder has ended, -PORT_EPERM when it is not the caller's to unlock.
 */
#define PORT_PI_WAITERS 0x80000000u
#define PORT_ESRCH 3
#define PORT_EDEADLK 35
int port_pi_lock(uint32_t *word);   /* sleeps */
int port_pi_unlock(uint32_t *word); /* a system call that does not wait */
/* Does the system have them? Two system calls. Any context. */
bool port_pi_works(void);

/* ---- signals ---- */

/* What port_signals_block() blocks: all but what a fault raises, and libc's own. A bit for each signal from 1 on. */
extern const uint64_t port_signals;
/* Block these in the calling thread; returns which were blocked before, which _restore() takes. A system call each. Any context. */
uint64_t port_signals_block(void);
void port_signals_restore(uint64_t former);

/*
 * Have @sig run port_signal_hook(), @mask (a sigset_t) blocked; what was there before is remembered the first time. port_signal_leave(): as
 * it was before. Task. False when the system refuses.
 * The hook gets the siginfo_t, of PORT_SIGINFO bytes, the context, and which signals were blocked in what it interrupted.
 */
#define PORT_SIGINFO 128
#define PORT_NSIG 65
extern void (*port_signal_hook)(int sig, void *info, void *context, uint64_t before);
bool port_signal_take(int sig, const void *mask);
void port_signal_leave(int sig);

/* ---- fences in other threads ---- */

/*
 * Does port_fence_all() work? Constant after initialisation, false before. While it is false readers need their own fences:
 * see PORT_FENCE_ALL's user in gp/.
 */
extern bool port_fence_all_works;
/* A full fence in every running thread of the process, between the call and the return. Task. */
void port_fence_all(void);

/*
 * A restartable append to a page of the current CPU.
 *
 * port_rseq_cpus: CPUs below it may use port_rseq_append(); 0 where restartable sequences do not work, which is always a
 * correct value. Constant after initialisation, 0 before: then nothing may be appended. Read it with acquire.
 * port_rseq_fence(): when it returns, every append that had begun before has either committed, visibly to the caller, or will
 * start over. Task.
 */
extern uint32_t port_rseq_cpus;
void port_rseq_fence(void);

/* ---- reports ---- */

/*
 * A line (or more) on standard error, "anyrcu: " before it. Takes %s, %u (uint64_t), %d (int64_t), %x (uint64_t), %p and %a (a code
 * address, with its symbol where it is known). Any context.
 */
void port_report(const char *format, ...);
/* The same, then the caller's stack, and the program ends by abort(). Any context. */
_Noreturn void port_bug(const char *format, ...);
/*
 * The stack of another thread of the process, innermost first; as far as it can be had within @ns nanoseconds. Returns the number of
 * frames. Task.
 */
uint32_t port_stack_of(uint32_t tid, void **frames, uint32_t max, uint64_t ns);

/* Text on standard error, or wherever port_text_to() (port/posix/init.h) said. Any context. */
void port_text(const char *text);

/* The caller's stack, innermost first, without the library's own part; empty before port_stack_prime(). Returns how many. Any context. */
uint32_t port_stack(void **frames, uint32_t max);

/* What an address lies in. Any context. */
struct port_where {
	const char *module, *symbol; /* symbol: NULL when it is not known */
	uint64_t module_offset, symbol_offset;
};
bool port_where(const void *address, struct port_where *where);
/* Is the address in a program or library that is loaded, rather than on a heap or stack? Any context. */
bool port_in_object(const void *address);

/* ---- probes ---- */

#if defined(ANYRCU_USDT)
#include <sys/sdt.h>
#define port_probe0(name) DTRACE_PROBE(anyrcu, name)
#define port_probe1(name, a) DTRACE_PROBE1(anyrcu, name, a)
#define port_probe2(name, a, b) DTRACE_PROBE2(anyrcu, name, a, b)
#else
#define port_probe0(name) ((void)0)
#define port_probe1(name, a) ((void)(a))
#define port_probe2(name, a, b) ((void)(a), (void)(b))
#endif

#endif
