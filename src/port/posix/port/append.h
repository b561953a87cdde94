/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The restartable sequence of deferrals: append one or two words to the page that is open on the
 * current CPU.
 *
 * If the kernel preempts, migrates or interrupts a thread inside the sequence, it continues the
 * thread at the sequence's abort label. So between the load of the CPU number and the commit no
 * other thread of this CPU is in the sequence: the sequence owns the CPU's page as if it held a
 * lock. It stores the words first, beyond the count, where no thread reads; the one store of the
 * count commits them. A signal handler that comes in between appends its own object, and the
 * sequence starts over.
 *
 * glibc registers the thread's rseq area (__rseq_offset); if a thread's area is not registered, the
 * CPU number in it is not below port_rseq_cpus.
 */
#ifndef ANYRCU_PORT_POSIX_RSEQ_H
#define ANYRCU_PORT_POSIX_RSEQ_H

#include <base/test_point.h>
#include <port/port.h>

/* Defined as 0 by builds that must not use sequences. */
#if defined(PORT_RSEQ)
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define PORT_RSEQ 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define PORT_RSEQ 0
#endif
#endif

#if !defined(PORT_RSEQ) && (defined(__x86_64__) || defined(__aarch64__)) && defined(__linux__)
#define PORT_RSEQ 1
#elif !defined(PORT_RSEQ)
#define PORT_RSEQ 0
#endif

/*
 * The head of a page that the sequence appends to; the words begin PORT_RSEQ_WORDS bytes into the
 * page.
 */
struct port_rseq_page {
	uintptr_t key;
	uint32_t count; /* words in use */
	uint32_t cap; /* append only while count < cap; the word behind may be written */
};
#define PORT_RSEQ_WORDS 64

#define PORT_RSEQ_CPU_SHIFT 6 /* each CPU's page pointers are this far apart */

enum port_rseq_result {
	PORT_RSEQ_DONE, /* appended */
	PORT_RSEQ_REFUSE, /* no page, or it is full, or this CPU cannot */
	PORT_RSEQ_OTHER, /* the page has another key */
	PORT_RSEQ_ABORT, /* interrupted: try again */
};

/*
 * The current CPU if the calling thread may append there, or -1. A hint: the thread may migrate at
 * once. Any context.
 */
static inline int port_rseq_cpu(void);
/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), has this key and room, append
 * @a and @b to it and advance its count by @width words, 1 or 2. Any context.
 */
static inline enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key,
						     uintptr_t a, uintptr_t b, uint32_t width);

#if PORT_RSEQ
extern ptrdiff_t port_rseq_offset; /* from the thread pointer to the thread's rseq area */

/*
 * A sequence is the code from label 1 up to the committing store, behind which is label 2. If the
 * kernel interrupts a thread in between, it continues the thread at label 4. This is the struct
 * rseq_cs, at label 3, by which the thread says so.
 */
#define PORT_RSEQ_TABLE                      \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n"                       \
	"3:\t.long 0, 0\n\t"                 \
	".quad 1f, 2f - 1f, 4f\n\t"          \
	".popsection\n\t"
#ifdef ANYRCU_TEST_POINTS
#define PORT_RSEQ_TEST_POINT_INPUT , [turns] "m"(test_point_rseq_turns)
#else
#define PORT_RSEQ_TEST_POINT_INPUT
#endif
#endif
#if PORT_RSEQ && defined(__x86_64__)
#include <port/x86_64/append.h>
#elif PORT_RSEQ
#include <port/aarch64/append.h>
#else
static inline int port_rseq_cpu(void)
{
	return -1;
}

static inline enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key,
						     uintptr_t a, uintptr_t b, uint32_t width)
{
	(void)pages, (void)key, (void)a, (void)b, (void)width;
	return PORT_RSEQ_REFUSE;
}
#endif

#endif
