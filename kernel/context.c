// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/preempt.h>
#include <linux/irqflags.h>

#include <context/context.h>

enum context_answer context_preemptible(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		return CONTEXT_CANNOT_TELL;
	return preemptible() ? CONTEXT_YES : CONTEXT_NO;
}

bool context_rt(void)
{
#ifdef ANYRCU_BREAK_RT_UNSEEN
	/* A deliberate mistake: under policy=rt_off lockdep then sees what other kernels do. */
	return false;
#endif
	return IS_ENABLED(CONFIG_PREEMPT_RT) || IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING);
}
