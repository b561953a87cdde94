/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Reports that are not wanted: each line of a file is a rule and patterns, which all must match. */
#ifndef ANYRCU_TOOL_SUPPRESSIONS_H
#define ANYRCU_TOOL_SUPPRESSIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "lockdep/findings.h"

/* Exits when it cannot be read. */
void suppressions_read(const char *path);
bool suppressed(const struct finding *f);
/* No rule tells these, of well-known programs, from reports that are true. */
bool finding_known_false(const struct finding *f);
/* A line of such a file that has it suppressed. */
void suppression_write(FILE *out, const struct finding *f);

#endif
