/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Between the parts of the test that interrupts the library at each instruction; see interrupt.c.
 */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- interrupt_code.c: where instructions begin ---- */

enum {
	IN_LIBRARY = 1,
	IN_OP = 2, /* of this test: the call itself, and what the headers inline */
	IN_RSEQ = 4, /* in a restartable sequence */
	COMMITS = 8, /* the last one of it */
	SWAPS = 16, /* a compare and swap, which somebody may have to do again */
	REACHABLE = 32, /* in a function that an any-context entry point can call */
	POSSIBLE = 128, /* and in one that only its modes for tasks call */
	IN_HASH = 256, /* in what hash tables alone use */
	LOADS = 64, /* reads memory that may be another's: where what a handler did is seen */
	IN_TASK = 512, /* in what calls for tasks can reach */
	STARTS_THREAD = 1024, /* of libc, where it creates a thread */
};

struct insn {
	uintptr_t addr;
	const char *function, *text;
	uint8_t byte;
	uint16_t is;
};

#define INSNS_MAX 80000
extern struct insn *insns;
/* In shared memory, as are the instructions: what one scenario has added the next one knows. */
#define ninsns (*code_ninsns)
extern int *code_ninsns;

void code_load(void);
/* One outside of the library that it was seen to execute; known or added. */
int code_outside(uintptr_t addr, unsigned is);
int code_at(uintptr_t addr); /* -1: none */
/*
 * Why a reachable instruction of the library may stay uncovered, or NULL. To be asked once for
 * each, as some reasons are good for so many.
 */
void code_excuses_renew(void); /* as if none had been used */
const char *code_excuse(int i);

/* ---- interrupt_scene.c: the process that is interrupted ---- */

enum op {
	READ_LOCK,
	READ_UNLOCK,
	READ_HELD,
	GP_START,
	GP_DONE,
	PAGE_ALLOC_0,
	PAGE_ALLOC_N,
	PAGE_FREE_0,
	PAGE_FREE_N,
	STATS_GET,
	CALL,
	FREE,
	CALL_HEADLESS,
	FREE_HEADLESS,
	CALL_SIZED,
	DOMAIN_CALL,
	CACHE_ALLOC,
	CACHE_FREE,
	CACHE_DEFER,
	HASH_ADD,
	HASH_UNIQUE,
	HASH_REPLACE,
	HASH_DEL,
	HASH_FIND,
	SYNCHRONIZE, /* from here on for tasks */
	GP_WAIT,
	BARRIER,
	RECLAIM,
	CALL_MIGHTSLEEP,
	FREE_MIGHTSLEEP,
	INIT,
	DOMAIN_LIFE,
	DOMAIN_BARRIER,
	DOMAIN_DESTROY,
	THREAD_END,
	BURIAL,
	OPS,
	TASKS = SYNCHRONIZE
};
#define BIT(op) (UINT64_C(1) << (op))
extern const char *const op_name[OPS];

/* The state in which the operation finds the library. */
struct state {
	const char *name;
	uint64_t ops; /* for which, a bit each */
	void (*prepare)(enum op); /* in the process whose copies are interrupted, or NULL */
	void (*arrange)(enum op); /* in each copy: what a fork does not copy, or NULL */
	bool worker; /* it has one, asleep */
	bool each; /* interrupt what was interrupted in other states, too */
	bool alone; /* no other thread reads, as the operation waits for readers */
	bool leaves; /* the other thread leaves its section when the operation waits for it */
};
extern const struct state states[], cache_states[], hash_states[], task_states[];
extern const int nstates, ncache_states, nhash_states, ntask_states;

#define WORKERS_MAX 4

enum stage { READY, HANDLED, DONE };

/* Shared between a copy and the process that traces it. */
struct scene {
	volatile enum stage stage;
	volatile enum op op; /* that is interrupted */
	volatile bool mark; /* stop at the end of the outermost handler */
	volatile bool fills; /* the handler fills pages */
	/* the next handler forks, and waits for what its child finds */
	volatile bool forks;
	volatile int children; /* how many forks there were */
	volatile bool child_runs; /* the handler waits for it */
	volatile pid_t worker[WORKERS_MAX]; /* threads of the library; 0: no more */
	volatile bool leave, left; /* the other thread shall end its section; has done so */
	volatile int handlers; /* how many ran */
	char why[200]; /* what was found wrong */
};
extern struct scene *scene;

/*
 * ---- interrupt_cache.c: the part of it that is about caches; what returns text says what is wrong
 * ----
 */

void op_cache_alloc(void);
void op_cache_free(void);
void op_cache_defer(void);
const char *cache_visit(bool fills);
const char *cache_check_early(enum op op);
const char *cache_check(enum op op);

/* ---- interrupt_hash.c: the same about hash tables ---- */

void op_hash_add(void);
void op_hash_unique(void);
void op_hash_replace(void);
void op_hash_del(void);
void op_hash_find(void);
const char *hash_visit(enum op op);
const char *hash_check(enum op op);
bool hash_used(void); /* there is one, which may defer resizes */

/* ---- interrupt_task.c ---- */

void task_prepare(enum op op); /* before the state's own preparation */

void scene_init(void);
/* Does not return. Stops by a breakpoint at each stage; exit status 0: all is well. */
_Noreturn void scene_play(enum op op, const struct state *state, pid_t tracer);

#endif
