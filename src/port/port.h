/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The interface between the core and the platform: base, pages, store and defer call these
 * functions and mem*, nothing else. posix/ implements them for a process, linux/ for a kernel
 * module, and each has a <port/platform.h> and a <port/append.h>, which are found by the include
 * path. What only a process has is in port/process.h.
 *
 * <port/platform.h> defines struct port_lock; port_forked_since(); the size of the reserve of
 * pages; port_checked, port_release(), port_acquire() and port_checker_*(), for external checkers.
 *
 * "Any context" means: even a signal handler, or in the kernel an NMI, that interrupted any code,
 * including the function itself. Nothing here changes errno.
 */
#ifndef ANYRCU_PORT_H
#define ANYRCU_PORT_H

#include <base/compiler.h>
#include <port/platform.h>

#define PORT_CPUS_MAX 1024 /* per-CPU arrays have this size; a power of two */

/*
 * A CPU number below PORT_CPUS_MAX, mostly the current one. A hint for locality: any value is
 * correct. Any context.
 */
unsigned port_cpu(void);

/*
 * The number of CPUs that the machine can have, at most PORT_CPUS_MAX. port_cpu() is below it if
 * the system tells the number. 1 before initialisation. Any context.
 */
unsigned port_cpus(void);

/* CPUs that this process could run on when it started, at least 1. Any context. */
unsigned port_ncpus(void);
/* Nanoseconds of a clock that does not jump. Any context. */
uint64_t port_now(void);

/* ---- memory ---- */

/*
 * Map @size zeroed bytes aligned to @align, both powers of two of at least 4096. NULL if the system
 * refuses. Any context: system calls only.
 */
void *port_map(size_t size, size_t align);
/* free() an object of the program's malloc(). Task. */
void port_free(void *p);
/* If PORT_FREE_BULK: the same for the @n objects that @p names; changes that array. Task. */
void port_free_bulk(uintptr_t *p, uint32_t n);

/* ---- threads ---- */

/*
 * The thread's identity, never 0. No other thread of this process or of a process forked from it
 * ever has the same, and it stays the same in the child of a fork(). Identities are consecutive
 * numbers below 2^40, which no process reaches, as a thread takes microseconds to start. Any
 * context.
 */
uint64_t port_id(void);
/* The kernel's number of the thread, never 0. A system call. Any context. */
uint32_t port_tid(void);
/*
 * Has the thread ended? False if its number is in use again, and in a child for which
 * port_forked_raw() is true. System calls. Any context.
 */
bool port_tid_dead(uint32_t tid);

/*
 * Is this the child of a fork that ran no handlers (_Fork(), clone() without CLONE_VM)? Any
 * context.
 */
bool port_forked_raw(void);
/* Is the calling thread in exit()? False if its stack cannot be walked. Task. */
bool port_exiting(void);

/* Have the calling thread run port_thread_exit_hook() when it ends: see port/process.h. Task. */
void port_thread_exit_arm_task(void);

/*
 * Start a thread that runs @main(@arg) with port_signals blocked. @rt: real-time priority, or 0.
 * Task. 0, or -errno; -EPERM means that the thread runs, but without the priority.
 *
 * Returns once the thread has called port_thread_arrives(), so that libc has set the thread up
 * before the caller installs, for example, a system call filter. But callers must not rely on that:
 * if a handler forks in here, there is no such thread in the child, and the call returns there
 * without one. So the thread itself decides what it does when it runs.
 *
 * @main first calls port_thread_arrives(), once. port_thread_begin() gives the calling thread
 * ordinary scheduling on the CPUs that the process was started on, or on @cpu if that is not -1,
 * whatever the thread that started it has.
 */
#define PORT_EPERM 1
int port_thread_start(void *(*main)(void *), void *arg, int rt);
void port_thread_arrives(void);
void port_thread_begin(int cpu, int rt);
/*
 * Move the calling thread, one of port_thread_start(), to @cpu, if it may run there. The thread is
 * not pinned there: pinned behind a real-time thread it could never leave. Task.
 */
void port_follow(unsigned cpu);
/*
 * Turn thread cancellation off around callbacks in a thread of the program. Task. Returns the
 * former state, for port_cancel_on().
 */
int port_cancel_off(void);
void port_cancel_on(int former);

/*
 * struct port_lock (port/platform.h): a sleeping lock for tasks. Locks may nest; the last one taken
 * must be the first one released.
 */
void port_lock(struct port_lock *lock);
void port_unlock(struct port_lock *lock);
/*
 * Sleep while *@word is @value, at most @ns nanoseconds (0: no bound). May return early. Task.
 * Ordering: the value is compared after all earlier accesses of the caller.
 */
void port_wait(uint32_t *word, uint32_t value, uint64_t ns);
/* Wake all threads that sleep on @word. A system call that does not wait. Any context. */
void port_wake(uint32_t *word);
/* Sleep for @ns at least, even if handlers interrupt or a filter refuses the sleep. Task. */
void port_sleep(uint64_t ns);

/*
 * Wait until the kernel has removed a thread that is about to end; a second at most, as its number
 * may be in use again. 0 is no thread. Does not wait for the calling thread, which may be in a
 * destructor of the program that the end of the thread calls. Task.
 */
static inline void port_tid_await_death(uint32_t tid)
{
	uint64_t begin = port_now();

	while (tid && tid != port_tid() && !port_tid_dead(tid) && port_now() - begin < 1000000000)
		port_sleep(100000);
}

/* ---- appending ---- */

/*
 * A restartable append to a page of the current CPU.
 *
 * port_rseq_cpus: CPUs below it may use port_rseq_append(); 0 if restartable sequences do not work,
 * which is always a correct value. Constant after initialisation, 0 before: then sequences may not
 * be used. Read it with acquire. port_rseq_fence(): when it returns, every append that had begun
 * before has either committed, visibly to the caller, or will start over. Task.
 */
extern uint32_t port_rseq_cpus;
void port_rseq_fence(void);

/* ---- reports ---- */

/*
 * Write a line (or more) to standard error, with the prefix "anyrcu: ". Takes %s, %u (uint64_t), %d
 * (int64_t), %x (uint64_t), %p and %a (a code address, with its symbol if that is known). Any
 * context.
 */
void port_report(const char *format, ...);
/* The same, then report the caller's stack and end the program by abort(). Any context. */
_Noreturn void port_bug(const char *format, ...);

/* ---- probes ---- */

#if defined(port_probe2) /* the platform's own */
#elif defined(ANYRCU_USDT)
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
