/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A loop that allocates and defers for one of liburcu's flavours: urcu_loop_flavour.c, compiled
 * once for each.
 */
#ifndef ANYRCU_TOOL_URCU_LOOP_H
#define ANYRCU_TOOL_URCU_LOOP_H

#include <stddef.h>

struct urcu_loop {
	const char *name;
	/* Defer @n objects of @size bytes, from a thread that this registers. */
	void (*call)(unsigned long n, size_t size);
	void (*defer)(unsigned long n, size_t size);
	/* Wait until all of that is over. */
	void (*barrier)(void);
};

extern const struct urcu_loop urcu_loop_memb, urcu_loop_mb, urcu_loop_qsbr, urcu_loop_bp;

#endif
