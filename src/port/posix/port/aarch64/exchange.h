/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sequence of <port/exchange.h>. */
#ifndef ANYRCU_PORT_POSIX_AARCH64_EXCHANGE_H
#define ANYRCU_PORT_POSIX_AARCH64_EXCHANGE_H

#include <port/exchange.h>

_Static_assert(offsetof(struct port_exchange, count) == 0, "as the sequence has it");

static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	uintptr_t taken;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"mov %[taken], 1\n\t"
		"cmp w9, %w[limit]\n\t"
		"b.hs 2f\n\t"
		"add x9, %[cpus], x9, lsl %[shift]\n\t"
		"add x10, x9, %[cap]\n\t"
		"ldar w11, [x10]\n\t" PORT_RSEQ_TEST_POINT
		"ldar w10, [x9]\n\t"
		"cmp w10, w11\n\t"
		"b.hs 2f\n\t"
		"ldr x11, [x9, %[out]]\n\t"
		"mov %[taken], 0\n\t"
		"cbz x11, 5f\n\t"
		"add x11, x11, x10, lsl 3\n\t"
		"ldr %[taken], [x11, %[words] + 8 * %[ahead]]\n\t"
		"prfum pstl1keep, [%[taken], -8]\n\t"
		"ldr %[taken], [x11, %[words]]\n"
		"5:\tldr x11, [x9, %[in]]\n\t"
		"add x11, x11, x10, lsl 3\n\t"
		"str %[word], [x11, %[words]]\n\t"
		"add w10, w10, 1\n\t"
		"stlr w10, [x9]\n" /* the commit */
		PORT_RSEQ_END
		"mov %[taken], 1\n\t"
		"b 2b\n\t"
		".popsection"
		: [taken] "=&r"(taken)
		: [rseq] "r"(port_rseq_area()), [limit] "r"(port_rseq_cpus), [cpus] "r"(cpus),
		  [word] "r"(word), [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [cap] "i"(offsetof(struct port_exchange, cap)),
		  [in] "i"(offsetof(struct port_exchange, in)),
		  [out] "i"(offsetof(struct port_exchange, out)), [words] "i"(PORT_RSEQ_WORDS),
		  [ahead] "i"(PORT_EXCHANGE_AHEAD) PORT_RSEQ_TEST_POINT_INPUT
		: "x9", "x10", "x11", "x13", "x14", "memory", "cc");
	return taken;
}

#endif
