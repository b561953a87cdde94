/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Barriers, the CPU's pause and its clock, by liburcu's names.
 *
 * cmm_mb() and its kin also order what devices see; cmm_smp_mb() and its kin what other CPUs see.
 */
#ifndef ANYRCU_COMPAT_URCU_ARCH_H
#define ANYRCU_COMPAT_URCU_ARCH_H

#include <anyrcu/inline/reader.h>
#include <stdint.h>
#include <time.h>
#include <urcu/compiler.h>
#include <urcu/config.h>
#include <urcu/syscall-compat.h>

#if defined(__x86_64__)
#define URCU_ARCH_X86 1
#define URCU_ARCH_AMD64 1
#define CONFIG_RCU_HAVE_FENCE 1
#define CAA_CACHE_LINE_SIZE 128
#define cmm_mb() __asm__ __volatile__("mfence" ::: "memory")
#define cmm_rmb() __asm__ __volatile__("lfence" ::: "memory")
#define cmm_wmb() __asm__ __volatile__("sfence" ::: "memory")
#define cmm_smp_rmb() cmm_barrier()
#define cmm_smp_wmb() cmm_barrier()
#define caa_cpu_relax() __asm__ __volatile__("pause" ::: "memory")
#define rdtscll(val) ((void)((val) = __builtin_ia32_rdtsc()))
#else
#if defined(__aarch64__)
#define URCU_ARCH_AARCH64 1
#define caa_cpu_relax() __asm__ __volatile__("yield" ::: "memory")
#else
#define caa_cpu_relax() cmm_barrier()
#endif
#define CAA_CACHE_LINE_SIZE 64
#define cmm_mb() __sync_synchronize()
#define cmm_rmb() cmm_mb()
#define cmm_wmb() cmm_mb()
#define cmm_smp_rmb() cmm_mb()
#define cmm_smp_wmb() cmm_mb()
#endif

#define CONFIG_HAVE_MEM_COHERENCY
#define cmm_mc() cmm_barrier()
#define cmm_rmc() cmm_barrier()
#define cmm_wmc() cmm_barrier()
#define cmm_read_barrier_depends()
#define cmm_smp_mb() anyrcu_full_fence()
#define cmm_smp_mc() cmm_mc()
#define cmm_smp_rmc() cmm_rmc()
#define cmm_smp_wmc() cmm_wmc()
#define cmm_smp_read_barrier_depends() cmm_read_barrier_depends()

#define HAS_CAA_GET_CYCLES
typedef uint64_t caa_cycles_t;

static inline caa_cycles_t caa_get_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	caa_cycles_t ticks;

	__asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#elif defined(CLOCK_MONOTONIC) /* not in strict C */
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		return (caa_cycles_t)-1;
	return (caa_cycles_t)t.tv_sec * 1000000000 + (caa_cycles_t)t.tv_nsec;
#else
	return (caa_cycles_t)-1;
#endif
}

#endif
