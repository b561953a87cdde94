/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The library's validator is not here: the kernel's watches by itself. */
#ifndef ANYRCU_LOCKDEP_LOCKDEP_H
#define ANYRCU_LOCKDEP_LOCKDEP_H

#include <base/compiler.h>

static const void *const lockdep_ops;
#define lockdep(op, ...) ((void)0)

#endif
