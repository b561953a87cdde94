/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The memory that "anyrcu record" shares with all processes that it records.
 *
 * Each CPU has an open chunk of events. To record one, a process reserves a place in the chunk of
 * its CPU by an atomic add, and fills it; the stamp goes in last, so that an event with a stamp is
 * whole. Whoever finds the chunk full opens another. The recorder, which runs beside the program,
 * empties full chunks and hands them out again.
 *
 * Why it is right:
 * - Nothing belongs to a thread or a process, so there is nothing to give back when one exits,
 *   execs or is killed. One that dies between reserving and filling leaves a place without a stamp;
 *   its chunk is not handed out again, for one that is merely stopped may fill it yet.
 * - The order of events can be had from the stamps. A free is stamped and recorded before the
 *   memory is really freed, an allocation after it was really made; so the free of an address comes
 *   before its next allocation, whichever CPUs and threads they happen on. That holds for the
 *   stamp, and for any moment between it and the event's being reserved: within a chunk, the place
 *   decides, and a stamp older than one before it counts as that.
 * - Nobody waits for another process or thread, only for the recorder, when it does not keep up;
 *   and not for one that is dead.
 */
#ifndef ANYRCU_TOOL_POOL_H
#define ANYRCU_TOOL_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#define POOL_ENV "ANYRCU_RECORD" /* names the file to map */
#define POOL_MAGIC 0x616e79726375501dull

#define POOL_CPUS 256 /* CPUs beyond it share */
#define POOL_CHUNKS 512
#define POOL_CHUNK_EVENTS 2048

struct pool_event {
	_Atomic uint64_t stamp; /* nanoseconds of CLOCK_MONOTONIC; 0 until the rest is there */
	uint64_t address; /* 0: nothing happened */
	uint64_t size; /* or POOL_FREE */
	uint32_t process;
	uint32_t thread;
};

#define POOL_FREE UINT64_MAX

struct pool {
	uint64_t magic;
	_Atomic uint32_t processes; /* numbers given out, from 1 */
	_Atomic uint32_t threads;
	_Atomic uint64_t end; /* not 0: recording ended at this stamp */
	_Atomic uint64_t beat; /* changes as long as the recorder lives */
	/* a bit for each chunk that nobody has, and which is all zeros */
	_Atomic uint64_t unused[POOL_CHUNKS / 64];
	struct {
		/*
		 * Chunk in the upper half, places reserved in it in the lower one, which may exceed
		 * its size.
		 */
		_Alignas(64) _Atomic uint64_t open;
	} cpu[POOL_CPUS];
	_Alignas(4096) struct pool_event chunk[POOL_CHUNKS][POOL_CHUNK_EVENTS];
};

/* What a CPU without a chunk has: a full one. */
#define POOL_NO_CHUNK ((uint64_t)POOL_CHUNK_EVENTS)

#endif
