/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sequences of <port/magazine.h>. */
#ifndef ANYRCU_PORT_POSIX_X86_64_MAGAZINE_H
#define ANYRCU_PORT_POSIX_X86_64_MAGAZINE_H

#include <port/magazine.h>

static inline uintptr_t port_rseq_pop(struct port_rseq_page **pages)
{
	uintptr_t word;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"cmpl %[cpus], %%eax\n\t"
		"jae 5f\n\t"
		"shlq %[shift], %%rax\n\t"
		"movq (%[pages], %%rax), %%rax\n\t"
		"testq %%rax, %%rax\n\t"
		"jz 5f\n\t"
		"movl %c[n](%%rax), %%ecx\n\t"
		"subl $1, %%ecx\n\t"
		"jc 5f\n\t"
		"movq %c[words](%%rax, %%rcx, 8), %[word]\n\t"
		"movl %%ecx, %c[n](%%rax)\n" /* the commit */
		PORT_RSEQ_END
		"\n5:\txorl %k[word], %k[word]\n\t"
		"jmp 2b\n\t"
		".popsection"
		: [word] "=&r"(word)
		: [rseq] "r"(port_rseq_offset), [cpus] "m"(port_rseq_cpus), [pages] "r"(pages),
		  [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [n] "i"(offsetof(struct port_rseq_page, count)), [words] "i"(PORT_RSEQ_WORDS)
		: "rax", "rcx", "memory", "cc");
	return word;
}

static inline bool port_rseq_push(struct port_rseq_page **pages, uintptr_t word)
{
	__asm__ goto volatile(
		PORT_RSEQ_BEGIN
		"cmpl %[cpus], %%eax\n\t"
		"jae %l[refuse]\n\t"
		"shlq %[shift], %%rax\n\t"
		"movq (%[pages], %%rax), %%rax\n\t"
		"testq %%rax, %%rax\n\t"
		"jz %l[refuse]\n\t"
		"movl %c[n](%%rax), %%ecx\n\t"
		"cmpl %c[cap](%%rax), %%ecx\n\t"
		"jae %l[refuse]\n\t"
		"movq %[word], %c[words](%%rax, %%rcx, 8)\n\t"
		"addl $1, %%ecx\n\t"
		"movl %%ecx, %c[n](%%rax)\n" /* the commit */
		PORT_RSEQ_END
		"jmp %l[refuse]\n\t"
		".popsection"
		:
		: [rseq] "r"(port_rseq_offset), [cpus] "m"(port_rseq_cpus), [pages] "r"(pages),
		  [word] "r"(word), [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [n] "i"(offsetof(struct port_rseq_page, count)),
		  [cap] "i"(offsetof(struct port_rseq_page, cap)), [words] "i"(PORT_RSEQ_WORDS)
		: "rax", "rcx", "memory", "cc"
		: refuse);
	return true;
refuse:
	return false;
}

static inline bool port_rseq_change(const struct port_change *change)
{
	__asm__ goto volatile(
		PORT_RSEQ_BEGIN
		"cmpl (%[c]), %%eax\n\t"
		"jne %l[other]\n\t"
		"movl 4(%[c]), %%ecx\n\t"
		"leaq 8(%[c]), %%rdx\n"
		"5:\tmovq (%%rdx), %%rax\n\t"
		"movq 8(%%rdx), %%rsi\n\t"
		"cmpq (%%rax), %%rsi\n\t"
		"jne %l[other]\n\t"
		"addq $16, %%rdx\n\t"
		"subl $1, %%ecx\n\t"
		"jnz 5b\n\t"
		"movq 104(%[c]), %%rax\n\t"
		"movq 112(%[c]), %%rsi\n\t"
		"movq %%rsi, (%%rax)\n\t"
		"movq 120(%[c]), %%rax\n\t"
		"movq 128(%[c]), %%rsi\n\t"
		"movq %%rsi, (%%rax)\n\t"
		"movq 136(%[c]), %%rax\n\t"
		"movq 144(%[c]), %%rsi\n\t"
		"movq %%rsi, (%%rax)\n" /* the commit */
		PORT_RSEQ_END
		"jmp %l[other]\n\t"
		".popsection"
		:
		: [rseq] "r"(port_rseq_offset), [c] "r"(change), [sig] "i"(PORT_RSEQ_SIG)
		: "rax", "rcx", "rdx", "rsi", "memory", "cc"
		: other);
	return true;
other:
	return false;
}

#endif
