/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Shared by process.c, thread.c and lock.c. */
#ifndef ANYRCU_PORT_POSIX_PROCESS_H
#define ANYRCU_PORT_POSIX_PROCESS_H

#include <port/process.h>
#include <stdbool.h>

/*
 * The calling thread is one of port_thread_start(), which always has port_signals blocked. Written
 * in thread.c, by the thread itself.
 */
extern PORT_THREAD_LOCAL bool thread_ours;

/* Has the main thread ended while others run (is it a zombie)? System calls. Any context. */
bool process_main_dead(void);
/*
 * In the child of a fork, before anything else: from now on the calling thread belongs to the
 * program, and is the only one.
 */
void thread_fork_child(void);

#endif
