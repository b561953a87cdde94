/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The restartable sequence of an exchange: store a word in the page that the current CPU fills, and
 * take the word at the same place of the page that it empties.
 *
 * Both pages share one count, in the CPU's struct. Its store commits both changes; earlier stores
 * are beyond the count, where no thread reads. append.h explains sequences.
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

#if PORT_RSEQ
/*
 * In the current CPU's struct, at cpus + (cpu << PORT_RSEQ_CPU_SHIFT), store @word, and return the
 * word taken in exchange, or 0 if "out" is NULL. PORT_EXCHANGE_REFUSED: nothing has changed; there
 * is no room, or sequences do not work on this CPU, or this one was interrupted. Prefetches the
 * object that will be taken PORT_EXCHANGE_AHEAD calls later. Any context.
 */
static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	uintptr_t taken;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"cmpl %[limit], %%eax\n\t"
		"jae 5f\n\t"
		"shlq %[shift], %%rax\n\t"
		"addq %[cpus], %%rax\n\t"
		"movl %c[n](%%rax), %%ecx\n\t"
		"cmpl %c[cap](%%rax), %%ecx\n\t"
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
		  [ahead] "i"(PORT_EXCHANGE_AHEAD)
		: "rax", "rcx", "rdx", "memory", "cc");
	return taken;
}
#else
static inline uintptr_t port_exchange(struct port_exchange *cpus, uintptr_t word)
{
	(void)cpus, (void)word;
	return PORT_EXCHANGE_REFUSED;
}
#endif

#endif
