/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sequences of <port/append.h>, and how each of them begins and ends. */
#ifndef ANYRCU_PORT_POSIX_X86_64_APPEND_H
#define ANYRCU_PORT_POSIX_X86_64_APPEND_H

#include <port/append.h>

#define PORT_RSEQ_SIG 0x53053053
#ifdef ANYRCU_TEST_POINTS
/* Time between two loads of a sequence, in which another CPU may change what they load. */
#define PORT_RSEQ_TEST_POINT                                              \
	"movl %[turns], %%ecx\n8:\tsubl $1, %%ecx\n\tjs 9f\n\tpause\n\t" \
	"cmpl $0, %[turns]\n\tjne 8b\n9:\n\t"
#else
#define PORT_RSEQ_TEST_POINT
#endif
/*
 * Every sequence begins and ends in the same way. struct rseq has cpu_id at offset 4 and rseq_cs at
 * 8; the sequence sets rseq_cs before it loads the CPU number into eax. The kernel requires a
 * signature in front of label 4, here an operand of ud1, and reads it whenever it has interrupted a
 * sequence. The linker places it beside code that is always in memory. The section is not
 * .text.unlikely itself, where a compiler may place a sequence as well.
 */
#define PORT_RSEQ_BEGIN                           \
	PORT_RSEQ_TABLE                           \
	"leaq 3b(%%rip), %%rax\n\t"              \
	"movq %%rax, %%fs:8(%[rseq])\n"          \
	"1:\n\t"                                 \
	"movl %%fs:4(%[rseq]), %%eax\n\t"
#define PORT_RSEQ_END                             \
	"2:\n\t"                                 \
	".pushsection .text.unlikely.rseq_failure, \"ax\"\n" \
	"port_rseq_failure.%=:\n\t"              \
	".byte 0x0f, 0xb9, 0x3d\n\t"             \
	".long %c[sig]\n"                        \
	"4:\t"

static inline int port_rseq_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile("movl %%fs:4(%1), %0" : "=r"(cpu) : "r"(port_rseq_offset));
	return cpu < port_rseq_cpus ? (int)cpu : -1;
}

static inline enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key,
						     uintptr_t a, uintptr_t b, uint32_t width)
{
	__asm__ goto volatile(
		PORT_RSEQ_BEGIN
		"cmpl %[cpus], %%eax\n\t"
		"jae %l[refuse]\n\t"
		"shlq %[shift], %%rax\n\t"
		"movq (%[pages], %%rax), %%rax\n\t"
		"testq %%rax, %%rax\n\t"
		"jz %l[refuse]\n\t" PORT_RSEQ_TEST_POINT
		"cmpq %[key], %c[k](%%rax)\n\t"
		"jne %l[other]\n\t"
		"movl %c[n](%%rax), %%ecx\n\t"
		"cmpl %c[cap](%%rax), %%ecx\n\t"
		"jae %l[refuse]\n\t"
		"movq %[a], %c[words](%%rax, %%rcx, 8)\n\t"
		"movq %[b], %c[words] + 8(%%rax, %%rcx, 8)\n\t"
		"addl %[width], %%ecx\n\t"
		"movl %%ecx, %c[n](%%rax)\n" /* the commit */
		PORT_RSEQ_END
		"jmp %l[abort]\n\t"
		".popsection"
		:
		: [rseq] "r"(port_rseq_offset), [cpus] "m"(port_rseq_cpus), [pages] "r"(pages),
		  [key] "r"(key), [a] "r"(a), [b] "r"(b), [width] "ri"(width),
		  [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [k] "i"(offsetof(struct port_rseq_page, key)),
		  [n] "i"(offsetof(struct port_rseq_page, count)),
		  [cap] "i"(offsetof(struct port_rseq_page, cap)),
		  [words] "i"(PORT_RSEQ_WORDS) PORT_RSEQ_TEST_POINT_INPUT
		: "rax", "rcx", "memory", "cc"
		: refuse, other, abort);
	return PORT_RSEQ_DONE;
refuse:
	return PORT_RSEQ_REFUSE;
other:
	return PORT_RSEQ_OTHER;
abort:
	return PORT_RSEQ_ABORT;
}

#endif
