/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The restartable sequence of an exchange: store a word in the page that the current CPU fills, and
 * take the word at the same place of the page that it empties.
 *
 * Both pages share one count, in the CPU's struct. Its store commits both changes; earlier stores
 * are beyond the count, where no thread reads. append.h explains sequences.
 *
 * A thread on another CPU stores cap = 0 and calls port_rseq_fence() before it changes the rest;
 * when all is done, it stores cap again, as a release. So the sequence loads cap first, then, by
 * acquire, the count: a count from before the change is never compared with a cap from after it.
 */
#ifndef ANYRCU_PORT_POSIX_EXCHANGE_H
#define ANYRCU_PORT_POSIX_EXCHANGE_H

#include <port/append.h>

struct port_exchange {
	uint32_t count; /* words filled in "in", and taken from "out" */
	uint32_t cap; /* exchange only while count < cap */
	char *in, *out; /* pages; words begin PORT_RSEQ_WORDS bytes into them; out may be NULL */
};

/* Words beyond the cap that the sequence may read. */
#define PORT_EXCHANGE_AHEAD 4
#define PORT_EXCHANGE_REFUSED ((uintptr_t)1)

/*
 * In the current CPU's struct, at cpus + (cpu << PORT_RSEQ_CPU_SHIFT), store @word, and return the
 * word taken in exchange, or 0 if "out" is NULL. PORT_EXCHANGE_REFUSED: nothing has changed; there
 * is no room, or sequences do not work on this CPU, or this one was interrupted. Prefetches the
 * object that will be taken PORT_EXCHANGE_AHEAD calls later. Any context.
 */
static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word);

#if PORT_RSEQ && defined(__x86_64__)
#include <port/x86_64/exchange.h>
#elif PORT_RSEQ
#include <port/aarch64/exchange.h>
#else
static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	(void)cpus, (void)word;
	return PORT_EXCHANGE_REFUSED;
}
#endif

#endif
