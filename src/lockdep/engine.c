/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The locks that a thread holds, and what happens at each operation.
 *
 * The fast part of an operation works on the thread's own state and reads tables that other threads
 * write. It takes no lock and makes no system call. New facts (a lock, a class, an order of
 * classes, a use in a handler) go to the slow part in graph.c, which runs under one lock with all
 * signals blocked. As programs repeat themselves, that becomes rare: the sequence of classes that a
 * context holds is hashed, and if the hash is in the table, the sequence was checked before.
 *
 * Handlers. A handler may interrupt the fast part anywhere and use the validator, to any depth, and
 * returns. It finds this thread state:
 *
 *   - depth: entries below it belong to the interrupted code; one of them may be half written (its
 *     class is 0 then). The handler adds its own entries above, and has removed them when it
 *     returns; signal_exit() removes any that are left. So the interrupted code finds depth as it
 *     was, and the entries below it unchanged. An entry is reserved by depth before it is written;
 *     its class is stored last, and makes it complete. Above depth all classes are 0.
 *   - base, limit, handles, blocked, preempt: changed by signal_enter() and restored by
 *     signal_exit(). They are saved in interrupted[], whose entries are reserved in the same way.
 *
 * signal_enter() sets base to depth: locks of the interrupted code are not part of an order with
 * the handler's locks, as the interrupted code does not wait for these. An unlock in the middle
 * moves the entries above it down; a handler in between sees one of them twice, below its base,
 * where only is_held() searches.
 *
 * Tables. A slot of the table of locks gets its key before the lock's address, which is stored by a
 * release; a thread that finds the address finds the key. A class has its contents before its
 * number is in the key. A chain is one word. So readers without the lock find an entry complete or
 * not at all, and if they do not find it, they look again under the lock. Uses are words in which
 * bits are only ever set.
 *
 * fork(): the forking thread holds the lock; in the child the states of the other threads are free.
 * In a child without fork handlers (_Fork(), raw system calls) the lock may be held for ever by a
 * thread that does not exist, so such a child never enters the slow part.
 */
#include <lockdep/engine.h>

struct tables *tables;
const struct lockdep_host *host;
struct port_lock lockdep_lock = { .unwatched = true };

static uint64_t reports(void)
{
	return load(&tables->reports);
}

const struct lockdep_ops lockdep_engine = {
	sizeof(lockdep_engine),
	lockdep_init,
	lockdep_destroy,
	lockdep_free,
	lockdep_acquire,
	lockdep_release,
	lockdep_is_held,
	lockdep_assert_held,
	lockdep_might_sleep,
	lockdep_might_spin,
	lockdep_rcu_wait,
	lockdep_gp_wait,
	lockdep_rcu_suspicious,
	lockdep_signal_enter,
	lockdep_signal_exit,
	lockdep_signals_blocked,
	lockdep_preempt,
	lockdep_thread_exit,
	reports,
};

bool lockdep_start(const struct lockdep_host *h)
{
	struct tables *made = port_map((sizeof(*made) + 4095) & ~(size_t)4095, 4096);

	if (!made)
		return false;
	made->nkeys = made->nedges = made->ntrace = 1;
	made->nnodes = made->narcs = 1;
	made->nclasses = UNVALIDATED + 1;
	host = h;
	store_release(&tables, made);
	return true;
}

void lockdep_stats_get(struct lockdep_stats *out)
{
	uint32_t threads = 0;

	for (uint64_t i = 0; i < load(&tables->threads_high); i++)
		threads += load(&tables->thread[i].used);
	*out = (struct lockdep_stats){ tables->nclasses - UNVALIDATED - 1,
				       tables->nedges - 1,
				       tables->nchains,
				       tables->nlocks,
				       threads,
				       tables->deepest,
				       tables->reports };
}
