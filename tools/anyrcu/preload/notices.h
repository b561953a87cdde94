/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The memory that "anyrcu lockdep" shares with all processes that it watches: they put their reports in it.
 *
 * A process takes a notice and a piece of the text by an atomic add each, fills them, and says last that it is ready. So nobody waits for anybody; one that is
 * killed in between leaves a notice that is never ready. It is mapped when a program starts and needs no descriptor, no path and no rights
 * after that. What is in it was written by programs that may do anything: the tool believes none of it.
 */
#ifndef ANYRCU_TOOL_NOTICES_H
#define ANYRCU_TOOL_NOTICES_H

#include <stdatomic.h>
#include <stdint.h>

#define NOTICES_ENV "ANYRCU_LOCKDEP_NOTICES" /* names the file to map */
#define NOTICES_MAGIC 0x616e79726375d003ull

#define NOTICES 1024
#define NOTICES_SEEN 4096
#define NOTICES_LOCKS 8
#define NOTICES_PROCESSES 1024
#define NOTICES_TEXT (8u << 20)

struct notice {
	_Atomic uint32_t ready;
	uint32_t pid;
	char program[16], thread[16];
	char rule[32];
	uint32_t text, length; /* where in notices.text */
	uint32_t nlocks;
	char lock[NOTICES_LOCKS][256];
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
	_Atomic uint32_t nnotices, ntext;    /* taken; more than there are means that some were lost */
	_Atomic uint32_t attached;	     /* programs that mapped this */
	_Atomic uint32_t repeated;	     /* found again, by other processes */
	_Atomic uint64_t seen[NOTICES_SEEN]; /* hashes of what was found */
	struct notice_process process[NOTICES_PROCESSES];
	struct notice notice[NOTICES];
	char text[NOTICES_TEXT];
};

#endif
