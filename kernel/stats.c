// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The counts, for modules and in debugfs. */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include <anyrcu/linux-stats.h>
#include <defer/defer.h>
#include <pages/pages.h>

#include "module.h"

void anyrcu_linux_stats_get(struct anyrcu_linux_stats *out)
{
	*out = (struct anyrcu_linux_stats){
		.page = defer_deferred_page(),
		.chain = load(&defer_stats.chain),
		.inlined = load(&defer_stats.inline_),
		.refused = load(&defer_stats.refused),
		.invoked = load(&defer_stats.invoked),
		.pending = defer_pending(),
		.batches = load(&defer_stats.batches),
		.drained_pages = load(&defer_stats.drained_pages),
		.floods = load(&defer_stats.floods),
		.wakes = load(&defer_stats.wakes),
		.no_locks_failed = load(&pages_stats.failed_no_locks),
		.page_bytes = load(&pages_stats.mapped),
		.shrinks = load(&shrinks),
	};
}

static struct dentry *folder;

static int stats_show(struct seq_file *file, void *unused)
{
	struct anyrcu_linux_stats s;

	anyrcu_linux_stats_get(&s);
#define SHOW(name) seq_printf(file, #name " %llu\n", s.name)
	SHOW(page);
	SHOW(chain);
	SHOW(inlined);
	SHOW(refused);
	SHOW(invoked);
	SHOW(pending);
	SHOW(batches);
	SHOW(drained_pages);
	SHOW(floods);
	SHOW(wakes);
	SHOW(no_locks_failed);
	SHOW(page_bytes);
	SHOW(shrinks);
#undef SHOW
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void stats_start(void)
{
	folder = debugfs_create_dir("anyrcu", NULL);
	debugfs_create_file("stats", 0444, folder, NULL, &stats_fops);
}

void stats_stop(void)
{
	debugfs_remove(folder);
}
