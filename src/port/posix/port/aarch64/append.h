/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The sequences of <port/append.h>, and how each of them begins and ends.
 *
 * Conditional branches reach 1 MiB only, and a compiler may move the target of an asm goto to a
 * section that the linker places farther away. So a sequence has its result in a register and
 * branches to its own end.
 */
#ifndef ANYRCU_PORT_POSIX_AARCH64_APPEND_H
#define ANYRCU_PORT_POSIX_AARCH64_APPEND_H

#include <port/append.h>

#define PORT_RSEQ_SIG 0xd428bc00 /* brk #0x45e0 */
#ifdef ANYRCU_TEST_POINTS
/* Time between two loads of a sequence, in which another CPU may change what they load. */
#define PORT_RSEQ_TEST_POINT                                                  \
	"ldr w13, %[turns]\n8:\tcbz w13, 9f\n\tsub w13, w13, 1\n\tyield\n\t" \
	"ldr w14, %[turns]\n\tcbnz w14, 8b\n9:\n\t"
#else
#define PORT_RSEQ_TEST_POINT
#endif
/*
 * Every sequence begins and ends in the same way. struct rseq has cpu_id at offset 4 and rseq_cs at
 * 8; the sequence sets rseq_cs before it loads the CPU number into w9. In front of label 4 is the
 * signature that the kernel requires.
 *
 * The commit is a release: a thread on another CPU that has loaded it with acquire, or that has
 * called port_rseq_fence(), sees the stores before it.
 */
#define PORT_RSEQ_BEGIN                           \
	PORT_RSEQ_TABLE                           \
	"adrp x9, 3b\n\t"                        \
	"add x9, x9, :lo12:3b\n\t"               \
	"str x9, [%[rseq], 8]\n"                 \
	"1:\n\t"                                 \
	"ldr w9, [%[rseq], 4]\n\t"
#define PORT_RSEQ_END                             \
	"2:\n\t"                                 \
	".pushsection .text.unlikely.rseq_failure, \"ax\"\n" \
	"port_rseq_failure.%=:\n\t"              \
	".inst %c[sig]\n"                        \
	"4:\t"

static inline char *port_rseq_area(void)
{
	return (char *)__builtin_thread_pointer() + port_rseq_offset;
}

static inline int port_rseq_cpu(void)
{
	uint32_t cpu = *(volatile uint32_t *)(port_rseq_area() + 4);

	return cpu < port_rseq_cpus ? (int)cpu : -1;
}

static inline enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key,
						     uintptr_t a, uintptr_t b, uint32_t width)
{
	uint32_t result;

	__asm__ volatile(
		PORT_RSEQ_BEGIN
		"mov %w[result], %[refuse]\n\t"
		"cmp w9, %w[cpus]\n\t"
		"b.hs 2f\n\t"
		"lsl x9, x9, %[shift]\n\t"
		"ldr x9, [%[pages], x9]\n\t"
		"cbz x9, 2f\n\t" PORT_RSEQ_TEST_POINT
		"ldr x10, [x9, %[k]]\n\t"
		"mov %w[result], %[other]\n\t"
		"cmp x10, %[key]\n\t"
		"b.ne 2f\n\t"
		"mov %w[result], %[refuse]\n\t"
		"ldr w10, [x9, %[n]]\n\t"
		"ldr w11, [x9, %[cap]]\n\t"
		"cmp w10, w11\n\t"
		"b.hs 2f\n\t"
		"add x11, x9, x10, lsl 3\n\t"
		"stp %[a], %[b], [x11, %[words]]\n\t"
		"add w10, w10, %w[width]\n\t"
		"add x9, x9, %[n]\n\t"
		"mov %w[result], %[done]\n\t"
		"stlr w10, [x9]\n" /* the commit */
		PORT_RSEQ_END
		"mov %w[result], %[abort]\n\t"
		"b 2b\n\t"
		".popsection"
		: [result] "=&r"(result)
		: [rseq] "r"(port_rseq_area()), [cpus] "r"(port_rseq_cpus), [pages] "r"(pages),
		  [key] "r"(key), [a] "r"(a), [b] "r"(b), [width] "r"(width),
		  [shift] "i"(PORT_RSEQ_CPU_SHIFT), [sig] "i"(PORT_RSEQ_SIG),
		  [k] "i"(offsetof(struct port_rseq_page, key)),
		  [n] "i"(offsetof(struct port_rseq_page, count)),
		  [cap] "i"(offsetof(struct port_rseq_page, cap)), [words] "i"(PORT_RSEQ_WORDS),
		  [done] "i"(PORT_RSEQ_DONE), [refuse] "i"(PORT_RSEQ_REFUSE),
		  [other] "i"(PORT_RSEQ_OTHER),
		  [abort] "i"(PORT_RSEQ_ABORT) PORT_RSEQ_TEST_POINT_INPUT
		: "x9", "x10", "x11", "x13", "x14", "memory", "cc");
	return (enum port_rseq_result)result;
}

#endif
