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

#if PORT_RSEQ
/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), is not empty, take its last
 * word, which is not 0. 0: there is no page, or it is empty, or sequences do not work on this CPU,
 * or this one was interrupted. Any context.
 */
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

/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), has room, append @word to it.
 * False: there is no page, or it is full, or sequences do not work on this CPU, or this one was
 * interrupted. Any context.
 */
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

/* False: a value differs, or the caller is not on that CPU, or was interrupted. Any context. */
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
