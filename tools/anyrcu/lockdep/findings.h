/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the validator found, out of memory that anybody may have written to. */
#ifndef ANYRCU_TOOL_FINDINGS_H
#define ANYRCU_TOOL_FINDINGS_H

#include <stddef.h>

#include <jansson.h>

#include "lockdep/place.h"

struct finding {
	char rule[32], program[16], thread[16];
	unsigned pid;
	char *text;
	size_t nlocks;
	char *lock[NOTICES_LOCKS];
	size_t nframes;
	struct place frame[NOTICES_FRAMES];
};

struct finding finding_read(const struct notices *notices, const struct notice *n);
void finding_free(struct finding *f);
json_t *finding_json(const struct finding *f);

#endif
