/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Marks for tools/cachesim: a nop with a number, from which on the phase is that of the number. */
#ifndef ANYRCU_CACHESIM_MARK_H
#define ANYRCU_CACHESIM_MARK_H

#define MARK_BASE 0x616e7900
#define MARK_PHASES 64 /* 0: what is not reported */

/* nopl MARK_BASE + @phase(%rax); a constant */
#define MARK(phase) \
	asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(MARK_BASE + (phase)) : "memory")

#endif
