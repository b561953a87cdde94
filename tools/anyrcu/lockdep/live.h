/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What locks cost so far, at the bottom of the terminal while the program runs. */
#ifndef ANYRCU_TOOL_LIVE_H
#define ANYRCU_TOOL_LIVE_H

#include "lockdep/counts.h"

/* Call this often: once a second it draws. */
void live_look(const struct notices *notices, const struct counts *counts);
/* The terminal is as it was. */
void live_end(void);

#endif
