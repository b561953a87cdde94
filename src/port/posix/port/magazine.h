/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Restartable sequences on the magazines of object caches: append a word to the current CPU's page,
 * take the last one, and change how a CPU's pages are linked.
 *
 * A sequence runs to its last store without a signal, a preemption or a migration, or starts over.
 * Only sequences on a CPU change that CPU's pages and links, so they exclude each other. A thread
 * on another CPU first makes the links constant and then calls port_rseq_fence(): see
 * src/cache/shrink.c.
 */
#ifndef ANYRCU_PORT_POSIX_RSEQ_MAGAZINE_H
#define ANYRCU_PORT_POSIX_RSEQ_MAGAZINE_H

#include <port/append.h>

/*
 * What port_rseq_change() does: if the caller is on @cpu, and each *is[i].p equals its value, in
 * this order, make the two early stores and then the last one. The early ones must do no harm if
 * the sequence is interrupted after them.
 */
struct port_change {
	uint32_t cpu, n;
	struct {
		const uint64_t *p;
		uint64_t value;
	} is[6];
	struct {
		uint64_t *p;
		uint64_t value;
	} early[2], last;
};
_Static_assert(offsetof(struct port_change, early) == 104, "as the sequence has it");

/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), is not empty, take its last
 * word, which is not 0. 0: there is no page, or it is empty, or sequences do not work on this CPU,
 * or this one was interrupted. Any context.
 */
static inline uintptr_t port_rseq_pop(struct port_rseq_page **pages);
/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), has room, append @word to it.
 * False: there is no page, or it is full, or sequences do not work on this CPU, or this one was
 * interrupted. Any context.
 */
static inline bool port_rseq_push(struct port_rseq_page **pages, uintptr_t word);
/* False: a value differs, or the caller is not on that CPU, or was interrupted. Any context. */
static inline bool port_rseq_change(const struct port_change *change);

#if PORT_RSEQ && defined(__x86_64__)
#include <port/x86_64/magazine.h>
#elif PORT_RSEQ
#include <port/aarch64/magazine.h>
#else
static inline uintptr_t port_rseq_pop(struct port_rseq_page **pages)
{
	(void)pages;
	return 0;
}

static inline bool port_rseq_push(struct port_rseq_page **pages, uintptr_t word)
{
	(void)pages, (void)word;
	return false;
}

static inline bool port_rseq_change(const struct port_change *change)
{
	(void)change;
	return false;
}
#endif

#endif
