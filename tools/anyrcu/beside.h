/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where the tool finds what belongs to it: in the build beside it, installed at @installed, from
 * where it lies itself.
 */
#ifndef ANYRCU_TOOL_BESIDE_H
#define ANYRCU_TOOL_BESIDE_H

#include <limits.h>

/* 0, and its path, or an errno. */
int beside(const char *name, const char *installed, char path[PATH_MAX]);

#endif
