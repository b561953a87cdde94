/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A place in a file that a program had loaded, as people name it. */
#ifndef ANYRCU_TOOL_PLACE_H
#define ANYRCU_TOOL_PLACE_H

#include <stdint.h>
#include <stdio.h>

#include "lockdep/notices.h"
#include "lockdep/symbols.h"

struct place {
	char module[NOTICES_PATH]; /* "": not known */
	uint64_t address; /* 0: not known */
	uint64_t offset;
	struct symbol symbol;
};

/* Of what a watched program wrote, which may be anything. */
struct place place_of(const struct notices *n, const struct notice_place *written);
/* Short: a function and a line, a variable. */
void place_put_name(FILE *f, const struct place *p);
/* With the file. */
void place_put(FILE *f, const struct place *p);

#endif
