/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What fork() needs of this layer.
 *
 * The prepare handler asks drainers to pause between two callbacks, and waits for them a bounded
 * time, as a callback may itself wait for something that the forking thread holds. Then it takes
 * the locks; if it runs in a handler that interrupted a lock's holder, that thread holds the lock
 * already. The child handler does not touch the state under the lock. The first thread that takes
 * the lock in the child (after an interrupted holder has released it) finds the state consistent,
 * and makes ready again the pages and chains in the slots of threads that do not exist there. A
 * callback that was still running continues in the parent only.
 */
#include <defer/pipe.h>
#include <pages/pages.h>
#include <port/process.h>

/*
 * Under the lock. Another fork may have ended, and cleared "pause", while we waited without the
 * lock; so each call sets it again.
 */
bool defer_fork_paused(void)
{
	store(&defer_pipe.pause, 1);
	full_fence(); /* pairs with that in pause_for_fork() */
	/* no drainer has taken anything since the fork that led to this process */
	if (port_forked_since(defer_pipe.forks))
		return true;
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &defer_pipe.drainers[i];

		if (d->owner && d->owner != port_id() && !load_acquire(&d->paused))
			return false;
	}
	return true;
}

void defer_fork_done(void)
{
	store(&defer_pipe.pause, 0);
	port_wake(&defer_pipe.pause);
}

static uint64_t bytes_of_page(const struct store_page *p)
{
	uint32_t used = p->open.key == KEY_WIDE ? store_used(p) : 0;
	uint64_t n = 0;

	for (uint32_t i = load(&p->cursor); i < used; i += store_width(KEY_WIDE))
		n += load_acquire(&p->word[i]) ? load(&p->word[i + 4]) : 0;
	return n;
}

static uint64_t bytes_of_pages(const struct store_page *p)
{
	uint64_t n = 0;

	for (; p; p = load(&p->next))
		n += bytes_of_page(p);
	return n;
}

static uint64_t bytes_of_chain(const struct anyrcu_head *h)
{
	uint64_t n = 0;

	for (; h; h = load(&h->next)) {
		uintptr_t func = (uintptr_t)load(&h->func);

		n += defer_chain_bytes(&func);
	}
	return n;
}

/*
 * The bytes of all stored objects that no drainer has taken. Under the lock, in a child that has
 * given back what its parent's drainers had taken.
 */
static uint64_t bytes_stored(void)
{
	uint64_t n = bytes_of_pages(defer_pipe.waiting) + bytes_of_pages(defer_pipe.unsettled) +
		     bytes_of_chain(defer_pipe.waiting_chain) +
		     bytes_of_chain(load(&defer_store.chain));

	for (uint32_t cpu = 0; cpu < load(&defer_store.nplaces); cpu++)
		n += bytes_of_pages(load_acquire(&defer_places[cpu].open[SHARED + WIDE]));
	for (unsigned i = 0; i < READY; i++)
		n += bytes_of_pages(defer_pipe.ready[i].first);
	for (unsigned i = 0; i < CHAINS; i++)
		n += defer_pipe.chains[i].taken ? 0 : bytes_of_chain(defer_pipe.chains[i].head);
	return n;
}

/*
 * In the child of a fork, by the first thread that takes the lock: what threads that do not exist
 * here had taken becomes ready again.
 */
void defer_adopt(void)
{
	defer_pipe.forks = load(&port_forks);
	for (unsigned i = 0; i < DRAINERS; i++) {
		struct drainer *d = &defer_pipe.drainers[i];

		if (!d->owner)
			continue;
		/* its thread number has changed; its exit function will release the slot */
		if (d->owner == load(&port_survivor))
			d->tid = 0;
		else
			page_free(drainer_release(d), 0);
	}
	defer_bytes_counted(defer_pipe.forks, bytes_stored());
}
