/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The stacks of waits for locks, as a picture. */
#ifndef ANYRCU_TOOL_FLAME_H
#define ANYRCU_TOOL_FLAME_H

#include <stdio.h>

#include "lockdep/counts.h"

/* An SVG: a box for each function, as wide as the waits below it were long, on who called it. */
void flame_put(FILE *f, const struct notices *notices, const struct counts *counts);

#endif
