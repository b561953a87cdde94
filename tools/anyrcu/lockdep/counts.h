/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "anyrcu lockstat" has counted, in memory that it shares with all processes that it watches,
 * beside the notices. It is zero at first.
 *
 * An entry is claimed by its hash, which is never taken back, and described by who claimed it;
 * others count in it meanwhile. So nobody waits for anybody, and what a process has counted is
 * there however it ends. As with notices, the tool believes none of it.
 */
#ifndef ANYRCU_TOOL_COUNTS_H
#define ANYRCU_TOOL_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "lockdep/notices.h"

#define COUNTS_ENV "ANYRCU_LOCKSTAT_COUNTS" /* names the file to map */
#define COUNTS_MAGIC 0x616e79726375d101ull

#define COUNT_SITES 4096
#define COUNT_SHARDS 4
#define COUNT_BUCKETS 40
#define COUNT_BLAMES 8192
#define COUNT_STACKS 4096
#define COUNT_FRAMES 32

/* Nanoseconds. */
struct count_times {
	_Atomic uint64_t total, max;
	_Atomic uint32_t bucket[COUNT_BUCKETS]; /* i: below 2^i, not below half of that */
};

/* By some of the threads, so that not all write to the same lines. */
struct count_shard {
	_Alignas(64) _Atomic uint64_t acquired;
	_Atomic uint64_t contended; /* it was not free at once; also when the wait was given up */
	_Atomic uint64_t moved; /* it was had on another CPU before */
	struct count_times wait, hold;
};

/* A class of locks, and a place where they are acquired. */
struct count_site {
	_Atomic uint64_t hash; /* 0: free */
	_Atomic uint32_t ready; /* it is described */
	uint8_t reads;
	char type[16], program[16];
	struct notice_place class, call;
	struct count_shard shard[COUNT_SHARDS];
};

/* At one site was waited for who had acquired the lock at the other. */
struct count_blame {
	_Atomic uint64_t sites; /* numbers + 1: who waited << 32 | for whom; 0: free */
	_Atomic uint64_t times, total;
};

/* The calls that lead to a wait. */
struct count_stack {
	_Atomic uint64_t hash;
	_Atomic uint32_t ready;
	uint32_t nframes;
	char program[16];
	struct notice_place frame[COUNT_FRAMES]; /* the innermost first */
	_Atomic uint64_t times, total;
};

struct counts {
	uint64_t magic;
	uint64_t ns_per_tick; /* of the CPU's clock, * 2^32; 0: the clock of the system is asked */
	uint32_t stacks; /* wanted */
	_Atomic uint64_t lost; /* acquisitions, waits that there was no room for */
	struct count_site site[COUNT_SITES];
	struct count_blame blame[COUNT_BLAMES];
	struct count_stack stack[COUNT_STACKS];
};

/* The CPU's clock, whose readings on all CPUs agree where the system goes by it itself. */
static inline uint64_t cpu_clock(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
	return 0;
#endif
}

#endif
