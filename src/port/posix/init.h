/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_PORT_POSIX_INIT_H
#define ANYRCU_PORT_POSIX_INIT_H

#include <stdbool.h>

/* Find out what the system has. Once, before there is a second thread that uses the library. @membarrier, @rseq: may be used. */
void port_init(bool membarrier, bool rseq);
/* This process is the one that was initialised, or a child of it whose fork handlers run. */
void port_process(void);
/* Have port_bug() show stacks, which costs loading the unwinder now. Task. */
void port_stack_prime(void);

/* Have port_text() append to a file; NULL: standard error. Task. */
void port_text_to(const char *file);

#endif
