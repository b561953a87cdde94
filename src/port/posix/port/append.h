/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The restartable sequence of deferrals: append one or two words to the page that is open on the
 * current CPU.
 *
 * If the kernel preempts, migrates or interrupts a thread inside the sequence, it continues the
 * thread at the sequence's abort label. So between the load of the CPU number and the commit no
 * other thread of this CPU is in the sequence: the sequence owns the CPU's page as if it held a
 * lock. It stores the words first, beyond the count, where no thread reads; the one store of the
 * count commits them. A signal handler that comes in between appends its own object, and the
 * sequence starts over.
 *
 * glibc registers the thread's rseq area (__rseq_offset); if a thread's area is not registered, the
 * CPU number in it is not below port_rseq_cpus.
 */
#ifndef ANYRCU_PORT_POSIX_RSEQ_H
#define ANYRCU_PORT_POSIX_RSEQ_H

#include <base/test_point.h>
#include <port/port.h>

/* Defined as 0 by builds that must not use sequences. */
#if defined(PORT_RSEQ)
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define PORT_RSEQ 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define PORT_RSEQ 0
#endif
#endif

#if !defined(PORT_RSEQ) && defined(__x86_64__) && defined(__linux__)
#define PORT_RSEQ 1
#elif !defined(PORT_RSEQ)
#define PORT_RSEQ 0
#endif

/*
 * The head of a page that the sequence appends to; the words begin PORT_RSEQ_WORDS bytes into the
 * page.
 */
struct port_rseq_page {
	uintptr_t key;
	uint32_t count; /* words in use */
	uint32_t cap;	/* append only while count < cap; the word behind may be written */
};
#define PORT_RSEQ_WORDS 64

#define PORT_RSEQ_CPU_SHIFT 6 /* each CPU's page pointers are this far apart */

enum port_rseq_result {
	PORT_RSEQ_DONE,	  /* appended */
	PORT_RSEQ_REFUSE, /* no page, or it is full, or this CPU cannot */
	PORT_RSEQ_OTHER,  /* the page has another key */
	PORT_RSEQ_ABORT,  /* interrupted: try again */
};

#if PORT_RSEQ
#define PORT_RSEQ_SIG 0x53053053
#ifdef ANYRCU_TEST_POINTS
/* Time between the look at the page and the commit, in which the page may be taken away. */
#define PORT_RSEQ_TEST_POINT \
	"movl %[turns], %%ecx\n5:\tsubl $1, %%ecx\n\tjs 6f\n\tpause\n\tjmp 5b\n6:\n\t"
#define PORT_RSEQ_TEST_POINT_INPUT , [turns] "m"(test_point_rseq_turns)
#else
#define PORT_RSEQ_TEST_POINT
#define PORT_RSEQ_TEST_POINT_INPUT
#endif
/*
 * Every sequence begins and ends in the same way. It is the code from label 1 up to the committing
 * store, behind which is label 2; if the kernel interrupts a thread in between, it continues the
 * thread at label 4. struct rseq has cpu_id at offset 4 and rseq_cs at 8; the sequence sets rseq_cs
 * before it loads the CPU number into eax. The kernel requires a signature in front of label 4,
 * here an operand of ud1, and reads it whenever it has interrupted a sequence. The linker places it
 * beside code that is always in memory. The section is not .text.unlikely itself, where a compiler
 * may place a sequence as well.
 */
#define PORT_RSEQ_BEGIN                           \
	".pushsection __rseq_cs, \"aw\"\n\t"       \
	".balign 32\n"                            \
	"3:\t.long 0, 0\n\t"                     \
	".quad 1f, 2f - 1f, 4f\n\t"              \
	".popsection\n\t"                        \
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
extern ptrdiff_t port_rseq_offset; /* from the thread pointer to the thread's rseq area */

/*
 * The current CPU if the calling thread may append there, or -1. A hint: the thread may migrate at
 * once. Any context.
 */
static inline int port_rseq_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile("movl %%fs:4(%1), %0" : "=r"(cpu) : "r"(port_rseq_offset));
	return cpu < port_rseq_cpus ? (int)cpu : -1;
}

/*
 * If the current CPU's page, at pages + (cpu << PORT_RSEQ_CPU_SHIFT), has this key and room, append
 * @a and @b to it and advance its count by @width words, 1 or 2. Any context.
 */
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
#else
static inline int port_rseq_cpu(void)
{
	return -1;
}

static inline enum port_rseq_result port_rseq_append(struct port_rseq_page **pages, uintptr_t key,
						     uintptr_t a, uintptr_t b, uint32_t width)
{
	(void)pages, (void)key, (void)a, (void)b, (void)width;
	return PORT_RSEQ_REFUSE;
}
#endif

#endif
