// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What other modules may call. The functions are the core's; struct rcu_head is its head. */
#include <linux/export.h>
#include <linux/module.h>

#include <anyrcu/linux.h>

#ifdef CONFIG_CFI_CLANG
#error "the core calls functions of several types by one, which CFI does not allow"
#endif

EXPORT_SYMBOL_GPL(anyrcu_call);
EXPORT_SYMBOL_GPL(anyrcu_raw_call);
EXPORT_SYMBOL_GPL(anyrcu_free_head);
EXPORT_SYMBOL_GPL(anyrcu_raw_free_head);
EXPORT_SYMBOL_GPL(anyrcu_call_headless);
EXPORT_SYMBOL_GPL(anyrcu_free_headless);
EXPORT_SYMBOL_GPL(anyrcu_call_mightsleep);
EXPORT_SYMBOL_GPL(anyrcu_free_mightsleep);
EXPORT_SYMBOL_GPL(anyrcu_barrier);
EXPORT_SYMBOL_GPL(anyrcu_page_alloc);
EXPORT_SYMBOL_GPL(anyrcu_page_free);
EXPORT_SYMBOL_GPL(anyrcu_linux_stats_get);
