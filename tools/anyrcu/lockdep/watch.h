/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A program that is watched, and all that it starts; see notices.h. */
#ifndef ANYRCU_TOOL_WATCH_H
#define ANYRCU_TOOL_WATCH_H

#include <limits.h>
#include <stddef.h>

#include "lockdep/notices.h"
#include "program.h"

struct watch {
	struct notices *notices;
	char dir[PATH_MAX], file[2][PATH_MAX]; /* which go with the tool */
	unsigned nfiles;
	unsigned processes; /* that have ended */
	void (*look)(struct watch *w); /* some twenty times a second, and at the end */
	/* What a process counted is there. NULL: nobody wants to know. */
	void (*ended)(struct watch *w, const struct notice_process *p);
};

/* Make the notices; once. Exits when that fails. */
void watch_prepare(struct watch *w, struct program *p);
/* Memory for all processes, zeroed, in a file that @variable of the environment names. */
void *watch_share(struct watch *w, const char *variable, size_t size);
/*
 * Run it until the program has exited, and then until what it left running has, which a signal to
 * this process puts an end to. Returns its exit status.
 */
int watch_program(struct watch *w, struct program *p);

#endif
