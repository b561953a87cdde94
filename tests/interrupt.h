/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Between the parts of the test that interrupts the library at each instruction; see interrupt.c. */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- interrupt_code.c: where instructions begin ---- */

enum {
	IN_LIBRARY = 1,
	IN_OP = 2,	/* of this test: the call itself, and what the headers inline */
	IN_RSEQ = 4,	/* in a restartable sequence */
	COMMITS = 8,	/* the last one of it */
	SWAPS = 16,	/* a compare and swap, which somebody may have to do again */
	REACHABLE = 32, /* in a function that an any-context entry point can call */
	POSSIBLE = 128, /* and in one that only its modes for tasks call */
	LOADS = 64,	/* reads memory that may be another's: where what a handler did is seen */
};

struct insn {
	uintptr_t addr;
	const char *function, *text;
	uint8_t byte;
	uint8_t is;
};

#define INSNS_MAX 40000
extern struct insn *insns;
extern int ninsns;

void code_load(void);
/* One outside of the library that it was seen to execute; known or added. */
int code_outside(uintptr_t addr);
int code_at(uintptr_t addr); /* -1: none */
/*
 * Why a reachable instruction of the library may stay uncovered, or NULL. To be asked once for each, as some
 * reasons are good for so many.
 */
void code_excuses_renew(void); /* as if none had been used */
const char *code_excuse(int i);

/* ---- interrupt_scene.c: the process that is interrupted ---- */

enum op {
	READ_LOCK, READ_UNLOCK, READ_HELD, GP_START, GP_DONE, PAGE_ALLOC_0, PAGE_ALLOC_N, PAGE_FREE_0, PAGE_FREE_N,
	STATS_GET, CALL, FREE, CALL_HEADLESS, FREE_HEADLESS,
	OPS
};
extern const char *const op_name[OPS];

/* The state in which the operation finds the library. */
struct state {
	const char *name;
	unsigned ops;		    /* for which, a bit each */
	void (*prepare)(enum op);   /* in the process whose copies are interrupted, or NULL */
	void (*arrange)(enum op);   /* in each copy: what a fork does not copy, or NULL */
	bool worker;		    /* it has one, asleep */
};
extern const struct state states[];
extern const int nstates;

enum stage { READY, HANDLED, DONE };

/* Shared between a copy and the process that traces it. */
struct scene {
	volatile enum stage stage;
	volatile bool mark;	    /* stop at the end of the outermost handler */
	volatile bool fills;	    /* the handler fills pages */
	volatile pid_t worker;
	volatile int handlers;	    /* how many ran */
	char why[200];		    /* what was found wrong */
};
extern struct scene *scene;

void scene_init(void);
/* Does not return. Stops by a breakpoint at each stage; exit status 0: all is well. */
_Noreturn void scene_play(enum op op, const struct state *state, pid_t tracer);

#endif
