/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "anyrcu urcu --report" shares with the processes that it looks after: a table of counts. A
 * line belongs to one queue of callbacks of one process, which alone writes to it, so what one that
 * is killed has counted until then is there.
 */
#ifndef ANYRCU_TOOL_URCU_H
#define ANYRCU_TOOL_URCU_H

#include <stdatomic.h>
#include <stdint.h>

#define URCU_ENV "ANYRCU_URCU_REPORT" /* names the file to map */
#define URCU_MAGIC 0x616e797263750c01ull
#define URCU_LINES 2048

enum urcu_kind { URCU_CALL = 1, URCU_DEFER };

struct urcu_line {
	_Atomic uint32_t kind; /* set last; 0: nothing there yet */
	uint32_t process;
	char program[16], flavour[8];
	uint64_t deferred, page, chain; /* taken up by the worker, and how they were stored */
	/* of these not invoked at the end; and in open pages then */
	uint64_t left;
	uint64_t invoked, pending_high, bytes_high;
	uint64_t gp_done, gp_ns_total, gp_ns_max;
	uint64_t wait_ns_total, wait_ns_max;
	uint64_t gave_way, wakes;
};

struct urcu_table {
	uint64_t magic;
	_Atomic uint32_t lines; /* given out; may exceed URCU_LINES */
	_Alignas(64) struct urcu_line line[URCU_LINES];
};

#endif
