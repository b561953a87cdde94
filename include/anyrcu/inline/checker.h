/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Annotations of the inline parts for helgrind, in programs that are compiled with
 * -DANYRCU_VALGRIND, which needs valgrind's header. Helgrind treats each atomic access as a plain
 * one. So the annotations tell it what orders the program's own accesses, and not to check the
 * published pointer.
 */
#ifndef ANYRCU_INLINE_CHECKER_H
#define ANYRCU_INLINE_CHECKER_H

#ifdef ANYRCU_VALGRIND
#include <valgrind/helgrind.h>
#define ANYRCU_CHECKER_RELEASE(p) ANNOTATE_HAPPENS_BEFORE(p)
#define ANYRCU_CHECKER_ACQUIRE(p) ANNOTATE_HAPPENS_AFTER(p)
#define ANYRCU_CHECKER_ATOMIC(p, size) VALGRIND_HG_DISABLE_CHECKING((p), (size))
#else
#define ANYRCU_CHECKER_RELEASE(p) ((void)0)
#define ANYRCU_CHECKER_ACQUIRE(p) ((void)0)
#define ANYRCU_CHECKER_ATOMIC(p, size) ((void)0)
#endif

#endif
