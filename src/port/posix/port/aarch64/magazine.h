/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sequences of <port/magazine.h>. */
#ifndef ANYRCU_PORT_POSIX_AARCH64_MAGAZINE_H
#define ANYRCU_PORT_POSIX_AARCH64_MAGAZINE_H

#include <port/magazine.h>

static inline uintptr_t port_rseq_pop(struct port_rseq_page **pages)
{
	uintptr_t word;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"mov %[word], 0\n\t"
		"cmp w9, %w[cpus]\n\t"
		"b.hs 2f\n\t"
		"lsl x9, x9, %[shift]\n\t"
		"ldr x9, [%[pages], x9]\n\t"
		"cbz x9, 2f\n\t"
		"ldr w10, [x9, %[n]]\n\t"
		"cbz w10, 2f\n\t"
		"sub w10, w10, 1\n\t"
		"add x11, x9, x10, lsl 3\n\t"
		"ldr %[word], [x11, %[words]]\n\t"
		"add x9, x9, %[n]\n\t"
		"stlr w10, [x9]\n" /* the commit */
		PORT_RSEQ_END
		"mov %[word], 0\n\t"
		"b 2b\n\t"
		".popsection"
		: [word] "=&r"(word)
		: [rseq] "r"(port_rseq_area()), [cpus] "r"(port_rseq_cpus), [pages] "r"(pages),
		  [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [n] "i"(offsetof(struct port_rseq_page, count)), [words] "i"(PORT_RSEQ_WORDS)
		: "x9", "x10", "x11", "memory", "cc");
	return word;
}

static inline bool port_rseq_push(struct port_rseq_page **pages, uintptr_t word)
{
	uint32_t pushed;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"mov %w[pushed], 0\n\t"
		"cmp w9, %w[cpus]\n\t"
		"b.hs 2f\n\t"
		"lsl x9, x9, %[shift]\n\t"
		"ldr x9, [%[pages], x9]\n\t"
		"cbz x9, 2f\n\t"
		"ldr w10, [x9, %[n]]\n\t"
		"ldr w11, [x9, %[cap]]\n\t"
		"cmp w10, w11\n\t"
		"b.hs 2f\n\t"
		"add x11, x9, x10, lsl 3\n\t"
		"str %[word], [x11, %[words]]\n\t"
		"add w10, w10, 1\n\t"
		"add x9, x9, %[n]\n\t"
		"mov %w[pushed], 1\n\t"
		"stlr w10, [x9]\n" /* the commit */
		PORT_RSEQ_END
		"mov %w[pushed], 0\n\t"
		"b 2b\n\t"
		".popsection"
		: [pushed] "=&r"(pushed)
		: [rseq] "r"(port_rseq_area()), [cpus] "r"(port_rseq_cpus), [pages] "r"(pages),
		  [word] "r"(word), [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [n] "i"(offsetof(struct port_rseq_page, count)),
		  [cap] "i"(offsetof(struct port_rseq_page, cap)), [words] "i"(PORT_RSEQ_WORDS)
		: "x9", "x10", "x11", "memory", "cc");
	return pushed;
}

static inline bool port_rseq_change(const struct port_change *change)
{
	uint32_t changed;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"mov %w[changed], 0\n\t"
		"ldp w10, w11, [%[c]]\n\t"
		"cmp w9, w10\n\t"
		"b.ne 2f\n\t"
		"add x10, %[c], 8\n"
		"5:\tldp x9, x12, [x10], 16\n\t"
		"ldar x9, [x9]\n\t"
		"cmp x9, x12\n\t"
		"b.ne 2f\n\t"
		"subs w11, w11, 1\n\t"
		"b.ne 5b\n\t"
		"ldp x9, x12, [%[c], 104]\n\t"
		"str x12, [x9]\n\t"
		"ldp x9, x12, [%[c], 120]\n\t"
		"str x12, [x9]\n\t"
		"ldp x9, x12, [%[c], 136]\n\t"
		"mov %w[changed], 1\n\t"
		"stlr x12, [x9]\n" /* the commit */
		PORT_RSEQ_END
		"mov %w[changed], 0\n\t"
		"b 2b\n\t"
		".popsection"
		: [changed] "=&r"(changed)
		: [rseq] "r"(port_rseq_area()), [c] "r"(change), [sig] "i"(PORT_RSEQ_SIG)
		: "x9", "x10", "x11", "x12", "memory", "cc");
	return changed;
}

#endif
