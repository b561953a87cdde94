/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What lies at an address of a file that a program had loaded. */
#ifndef ANYRCU_TOOL_SYMBOLS_H
#define ANYRCU_TOOL_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

struct symbol {
	const char *function; /* or object, as C++ has it; NULL: not known */
	const char *linked; /* its name for the linker */
	uint64_t offset; /* from its beginning */
	bool data; /* it is an object */
	const char *file; /* NULL: there is no debug information */
	int line;
};

/*
 * Find @address, which counts from the load address of the ELF file @path as its own addresses do.
 * What is returned lives as long as the process does. Debug information is looked for where gdb
 * would. Built without libdw, it knows nothing.
 */
struct symbol symbol_at(const char *path, uint64_t address);

#endif
