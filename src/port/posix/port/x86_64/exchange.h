/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sequence of <port/exchange.h>. */
#ifndef ANYRCU_PORT_POSIX_X86_64_EXCHANGE_H
#define ANYRCU_PORT_POSIX_X86_64_EXCHANGE_H

#include <port/exchange.h>

static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	uintptr_t taken;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"cmpl %[limit], %%eax\n\t"
		"jae 5f\n\t"
		"shlq %[shift], %%rax\n\t"
		"addq %[cpus], %%rax\n\t"
		"movl %c[cap](%%rax), %%edx\n\t" PORT_RSEQ_TEST_POINT
		"movl %c[n](%%rax), %%ecx\n\t"
		"cmpl %%edx, %%ecx\n\t"
		"jae 5f\n\t"
		"movq %c[out](%%rax), %%rdx\n\t"
		"xorl %k[taken], %k[taken]\n\t"
		"testq %%rdx, %%rdx\n\t"
		"jz 6f\n\t"
		"movq %c[words] + 8 * %c[ahead](%%rdx, %%rcx, 8), %[taken]\n\t"
		"prefetchw -8(%[taken])\n\t"
		"movq %c[words](%%rdx, %%rcx, 8), %[taken]\n"
		"6:\tmovq %c[in](%%rax), %%rdx\n\t"
		"movq %[word], %c[words](%%rdx, %%rcx, 8)\n\t"
		"addl $1, %%ecx\n\t"
		"movl %%ecx, %c[n](%%rax)\n" /* the commit */
		PORT_RSEQ_END
		"\n5:\tmovl $1, %k[taken]\n\t"
		"jmp 2b\n\t"
		".popsection"
		: [taken] "=&r"(taken)
		: [rseq] "r"(port_rseq_offset), [limit] "m"(port_rseq_cpus), [cpus] "r"(cpus),
		  [word] "r"(word), [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [n] "i"(offsetof(struct port_exchange, count)),
		  [cap] "i"(offsetof(struct port_exchange, cap)),
		  [in] "i"(offsetof(struct port_exchange, in)),
		  [out] "i"(offsetof(struct port_exchange, out)), [words] "i"(PORT_RSEQ_WORDS),
		  [ahead] "i"(PORT_EXCHANGE_AHEAD) PORT_RSEQ_TEST_POINT_INPUT
		: "rax", "rcx", "rdx", "memory", "cc");
	return taken;
}

#endif
