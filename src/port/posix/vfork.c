/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * vfork(), in place of libc's. Its child has the memory and the thread-local variables of the
 * thread that called it, so a handler in the child that defers uses that thread's area for
 * restartable sequences. But the kernel has registered that area for the parent alone: in the child
 * the CPU number in it is stale, and sequences are not restarted. So the area is unregistered while
 * there is a child: then the number in it says that sequences cannot be used, and all code takes
 * the path without them.
 *
 * libc's posix_spawn(), and functions built on it, do not call this vfork(): they let no handler
 * run in the child.
 */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/append.h>
#include <port/posix/sys.h>

#if PORT_RSEQ
#include <sys/auxv.h>

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif
#define UNREGISTER 1

/* With which libc has registered areas; the kernel compares it. 0: not known yet. */
static uint32_t size;

static long area(uint32_t with, int flags)
{
	return sys(SYS_rseq, (char *)__builtin_thread_pointer() + port_rseq_offset, with, flags,
		   PORT_RSEQ_SIG);
}

/* Called by vfork() below. Returns whether the area has to be registered again. */
__attribute__((visibility("hidden"), used)) int port_vfork_begin(void)
{
	uint32_t features = getauxval(AT_RSEQ_FEATURE_SIZE), align = getauxval(AT_RSEQ_ALIGN);
	uint32_t known = load(&size),
		 sizes[] = { known ?: 32,
			     features && align ? (features + align - 1) / align * align : 32 };

	if (port_rseq_cpu() < 0)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (area(sizes[i], UNREGISTER) == 0) {
			store(&size, sizes[i]);
			return 1;
		}
	}
	return 0;
}

/* Called in the parent, with the result of the system call. */
__attribute__((visibility("hidden"), used)) long port_vfork_end(long result, int again)
{
	if (again)
		area(load(&size), 0);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

/*
 * The child returns first, and its calls overwrite the stack from here on. So what the parent needs
 * after it is in registers, which the kernel keeps: the return address, and what
 * port_vfork_begin() has said.
 */
#ifdef __x86_64__
__asm__(".text\n\t"
	".globl vfork\n\t"
	".type vfork, @function\n"
	"vfork:\n\t"
	".cfi_startproc\n\t"
	"subq $8, %rsp\n\t"
	".cfi_adjust_cfa_offset 8\n\t"
	"call port_vfork_begin\n\t"
	"addq $8, %rsp\n\t"
	".cfi_adjust_cfa_offset -8\n\t"
	"movl %eax, %esi\n\t"
	"popq %rdi\n\t"
	".cfi_adjust_cfa_offset -8\n\t"
	".cfi_register %rip, %rdi\n\t"
	"movl $58, %eax\n\t" /* SYS_vfork */
	"syscall\n\t"
	"pushq %rdi\n\t"
	".cfi_adjust_cfa_offset 8\n\t"
	".cfi_rel_offset %rip, 0\n\t"
	"testq %rax, %rax\n\t"
	"jz 1f\n\t"
	"movq %rax, %rdi\n\t"
	"subq $8, %rsp\n\t"
	".cfi_adjust_cfa_offset 8\n\t"
	"call port_vfork_end\n\t"
	"addq $8, %rsp\n\t"
	".cfi_adjust_cfa_offset -8\n"
	"1:\tret\n\t"
	".cfi_endproc\n\t"
	".size vfork, . - vfork");
#else
__asm__(".text\n\t"
	".globl vfork\n\t"
	".type vfork, %function\n"
	"vfork:\n\t"
	".cfi_startproc\n\t"
	"hint 34\n\t" /* bti c */
	"str x30, [sp, -16]!\n\t"
	".cfi_adjust_cfa_offset 16\n\t"
	".cfi_rel_offset x30, 0\n\t"
	"bl port_vfork_begin\n\t"
	"mov w9, w0\n\t"
	"ldr x10, [sp], 16\n\t"
	".cfi_adjust_cfa_offset -16\n\t"
	".cfi_register x30, x10\n\t"
	"mov x0, 0x4111\n\t" /* CLONE_VM | CLONE_VFORK | SIGCHLD */
	"mov x1, 0\n\t" /* on the same stack */
	"mov x8, 220\n\t" /* SYS_clone */
	"svc 0\n\t"
	"cbz x0, 1f\n\t"
	"str x10, [sp, -16]!\n\t"
	".cfi_adjust_cfa_offset 16\n\t"
	".cfi_rel_offset x30, 0\n\t"
	"mov w1, w9\n\t"
	"bl port_vfork_end\n\t"
	"ldr x10, [sp], 16\n\t"
	".cfi_adjust_cfa_offset -16\n\t"
	".cfi_register x30, x10\n"
	"1:\tret x10\n\t"
	".cfi_endproc\n\t"
	".size vfork, . - vfork");
#endif
#endif
