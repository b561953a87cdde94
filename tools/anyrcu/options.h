/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the command line says. */
#ifndef ANYRCU_TOOL_OPTIONS_H
#define ANYRCU_TOOL_OPTIONS_H

#include <argp.h>

#include "tool.h"

/* The options that replay and scale share; its input is a struct options. */
extern const struct argp common_argp;

/*
 * A number from @min to @max, with K, M or G behind it or not. Anything else ends the program, with
 * a message about
 * @option.
 */
uint64_t option_number(struct argp_state *state, const char *option, const char *arg, uint64_t min,
		       uint64_t max);

#endif
