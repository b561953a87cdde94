/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The memory that "anyrcu lockdep" shares with all processes that it watches: they put their
 * reports in it.
 *
 * A process takes a notice and a piece of the text by an atomic add each, fills them, and says last
 * that it is ready. So nobody waits for anybody; one that is killed in between leaves a notice that
 * is never ready. It is mapped when a program starts and needs no descriptor, no path and no rights
 * after that. What is in it was written by programs that may do anything: the tool believes none of
 * it.
 */
#ifndef ANYRCU_TOOL_NOTICES_H
#define ANYRCU_TOOL_NOTICES_H

#include <stdatomic.h>
#include <stdint.h>

#define NOTICES_ENV "ANYRCU_LOCKDEP_NOTICES" /* names the file to map */
#define NOTICES_MAGIC 0x616e79726375d005ull

#define NOTICES 1024
#define NOTICES_SEEN 4096
#define NOTICES_LOCKS 8
#define NOTICES_PROCESSES 1024
#define NOTICES_TEXT (8u << 20)
#define NOTICES_PLACES (1u << 17)
#define NOTICES_FRAMES 24
#define NOTICES_MODULES 512
#define NOTICES_PATH 1024

enum notice_module_state { MODULE_NONE, MODULE_TAKEN, MODULE_READY };

/* A file that a program has loaded. The first is none. */
struct notice_module {
	_Atomic uint32_t state;
	char path[NOTICES_PATH];
};

struct notice_place {
	uint64_t address;
	uint64_t offset; /* as the file counts it */
	uint32_t module; /* 0: not known */
};

struct notice {
	_Atomic uint32_t ready;
	uint32_t pid;
	char program[16], thread[16];
	char rule[32];
	/*
	 * where in notices.text; in which, as in the names of locks, "\033" and a number stand for
	 * the place that many behind the notice's first, see findings.c
	 */
	uint32_t text, length;
	uint32_t place;
	uint32_t frames, nframes; /* where in notices.place the stack is */
	uint32_t nlocks;
	char lock[NOTICES_LOCKS][256];
};

#define NOTICES_ORDERS 1024
#define NOTICES_GUARDS 4

enum notice_order_state { ORDER_NONE, ORDER_TAKEN, ORDER_SEEN, ORDER_GONE };

/* An order of locks that processes share; see preload_shared.c. */
struct notice_order {
	_Atomic uint32_t state;
	_Atomic uint32_t pid; /* who was seen; 0: several */
	uint64_t from, to;
	uint64_t guard[NOTICES_GUARDS]; /* what else was held; 0: nothing */
	struct notice_place at;
	uint32_t reads; /* @from is held by a reader */
	uint32_t recursive; /* @to is wanted by a recursive reader */
};

enum notice_process_state { PROCESS_NONE, PROCESS_TAKEN, PROCESS_RUNS, PROCESS_ENDED };

/* A process that is watched, and what it counted, which is there when it has ended by exit(). */
struct notice_process {
	_Atomic uint32_t state;
	uint32_t pid;
	char program[16];
	uint32_t classes, edges, chains, locks, threads, deepest;
	uint64_t reports;
};

struct notices {
	uint64_t magic;
	/* taken; more than there are means that some were lost */
	_Atomic uint32_t nnotices, ntext;
	_Atomic uint32_t attached; /* programs that mapped this */
	_Atomic uint32_t repeated; /* found again, by other processes */
	uint32_t kill; /* what deadlocks, with EXIT_DEADLOCK */
	/* handlers, as often as they ran, whose stacks had no room for the validator */
	_Atomic uint32_t unchecked;
	/* orders, of which there is room for NOTICES_ORDERS, and those that are not there */
	_Atomic uint32_t norders, orders_lost;
	_Atomic uint64_t seen[NOTICES_SEEN]; /* hashes of what was found */
	struct notice_process process[NOTICES_PROCESSES];
	struct notice notice[NOTICES];
	_Atomic uint32_t nplaces;
	struct notice_place place[NOTICES_PLACES];
	struct notice_module module[NOTICES_MODULES];
	struct notice_order order[NOTICES_ORDERS];
	char text[NOTICES_TEXT];
};

#endif
