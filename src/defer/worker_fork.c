/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The workers in the child of a fork. */
#include <defer/worker.h>
#include <port/process.h>

/* The child has none of the parent's workers, except one whose callback, or handler, has forked. */
void worker_fork_child(bool start)
{
	if (!start)
		store(&workers.wanted, 0);
	for (unsigned i = 0; i < ANYRCU_WORKERS_MAX; i++)
		if (WORKER_ID(workers.slot[i].word) != port_id()) {
			store(&workers.state[i], GONE);
			store(&workers.slot[i].word, 0);
			store(&workers.slot[i].tid, 0);
		} else {
			store(&workers.slot[i].tid, port_tid());
		}
	store(&workers.failing, false);
	store(&workers.told, 0);
	store(&workers.pause, WORKER_PAUSE_MIN);
	defer_workers_start_missing();
}
