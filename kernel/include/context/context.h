/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the policies ask of the context: the kernel's own answers. See ../../context.c. */
#ifndef ANYRCU_CONTEXT_CONTEXT_H
#define ANYRCU_CONTEXT_CONTEXT_H

#include <base/compiler.h>

enum context_answer { CONTEXT_NO, CONTEXT_YES, CONTEXT_CANNOT_TELL };
enum context_answer context_preemptible(void);

/* Are spinlocks locks that sleep, or does lockdep judge as if they were? */
bool context_rt(void);

#endif
