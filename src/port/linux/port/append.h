/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Appending to the page that is open on the current CPU, in the kernel. The interface is that of a
 * restartable sequence (port.h), including the names, but nothing restarts here. See append.c.
 */
#ifndef ANYRCU_PORT_LINUX_APPEND_H
#define ANYRCU_PORT_LINUX_APPEND_H

#include <port/port.h>

/* The head of a page; its words begin PORT_RSEQ_WORDS bytes into it. */
struct port_rseq_page {
	uintptr_t key;
	uint32_t count; /* words that are reserved; may pass cap */
	uint32_t cap; /* append only while count < cap */
};
#define PORT_RSEQ_WORDS 64

#define PORT_RSEQ_CPU_SHIFT 6 /* each CPU's page pointers are this far apart */

enum port_rseq_result {
	PORT_RSEQ_DONE, /* appended */
	PORT_RSEQ_REFUSE, /* no page, or it is full, or this CPU cannot */
	PORT_RSEQ_OTHER, /* the page has another key */
	PORT_RSEQ_ABORT, /* never, here */
};

/*
 * The current CPU if the caller may append there, or -1. A hint: the caller may migrate at once.
 * Any context.
 */
int port_rseq_cpu(void);

/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), has this key and room, append
 * @a and, if @width is 2, @b to it. Any context.
 */
enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key, uintptr_t a,
				       uintptr_t b, uint32_t width);

#endif
