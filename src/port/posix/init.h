/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_PORT_POSIX_INIT_H
#define ANYRCU_PORT_POSIX_INIT_H

#include <port/process.h>

/*
 * Find out what the system supports. Called once, before a second thread uses the library.
 * @membarrier, @rseq: they may be used.
 */
void port_init(bool membarrier, bool rseq);
/* Record that this process is the initialised one. Called once. */
void port_process(void);
/*
 * Before a fork: take all of @locks, up to NULL, and return once @others_paused(), called with the
 * locks held, says that no thread is in the middle of a callback, or after 100 ms. port_fork_end():
 * after the fork, in parent and child, release them. port_fork_complete(): were all locks taken? If
 * not, the child's state must be left as it is, and port_forked_raw() is true there. Any context.
 */
void port_fork_begin(struct port_lock *const *locks, bool (*others_paused)(void));
bool port_fork_complete(void);
/* Has this fork's handler interrupted the handlers of another fork of the same thread? */
bool port_fork_nested(void);
void port_fork_end(struct port_lock *const *locks);
/* Record that this process is the child of such a fork. */
void port_fork_child(void);
/*
 * The main thread ends, but not the process: once only threads of port_thread_start() remain, the
 * process must end as it would without them. Those threads check this in port_wait(), but the
 * caller must wake them once. Returns false if called in another thread. Task.
 */
bool port_main_ends(void);
/*
 * Remember which CPUs this process was started on: those of the calling thread. Called by
 * port_init().
 */
void port_cpus_remember(void);
/*
 * For a thread of the library: a pointer to the beginning of memory that libc has allocated for the
 * thread, or NULL. libc itself keeps no pointer to the beginning; the thread stores this one in a
 * variable of its own, so that memcheck does not report the memory as lost.
 */
void *port_checker_thread(void);
/* Have port_bug() show stacks; loads the unwinder now. Task. */
void port_stack_prime(void);

/*
 * Does the caller's stack contain a return address in the @size bytes from @start on? False if the
 * stack cannot be walked. May allocate memory and load libraries. Task.
 */
bool port_called_from(const void *start, size_t size);

/* Have port_text() append to a file; NULL: standard error. Task. */
void port_text_to(const char *file);

#endif
