/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * For programs without workers: whether there is anything to do, when, and a descriptor that
 * signals it.
 *
 * If anyrcu_reclaim_poll() returns NOTHING or LATER, the program sleeps until the descriptor is
 * readable, or some time is over. The poll arms the bell, fences, and checks once more; a caller
 * stores its object, fences, and reads the bell (defer_wake()). One of the two sees the other.
 * After NOTHING each deferral rings the bell, after LATER only one that cuts the delay short. Of
 * several callers, the one that disarms the bell writes to the descriptor. A handler, or a thread
 * that stops, may delay that write, and so the program; the next such poll arms the bell again.
 *
 * "ring" is written by tasks of the process that has made the descriptor. A child of fork() shares
 * the descriptor with its parent, so the child does not write to it, and gets another one from
 * anyrcu_reclaim_fd(). Processes are told apart by their forks, as two in different namespaces may
 * have the same number. A child of vfork() works on its parent's memory, and writes for the parent.
 */
#define _GNU_SOURCE
#include <anyrcu/defer.h>
#include <base/compiler.h>
#include <cache/cache.h>
#include <defer/defer.h>
#include <defer/exchange.h>
#include <errno.h>
#include <gp/gp.h>
#include <port/process.h>
#include <port/platform.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* nanoseconds between two checks of a grace period that readers delay, or of work of caches */
#define LOOK_AGAIN 1000000

static struct {
	uint64_t word; /* the descriptor, and in the upper bits port_forks + 1; 0: none */
	uint32_t idle; /* there was nothing at the last poll */
} ring;

static uint64_t word_of(int fd)
{
	return (uint64_t)(load(&port_forks) + 1) << 32 | (uint32_t)fd;
}

static bool is_ours(uint64_t word)
{
	return word && word == word_of((int)word) && !port_forked_raw();
}

/*
 * A child of vfork(), and a thread with descriptors of its own, may have closed it, and have a file
 * by its number; a counter of events is the kind of file that has no type.
 */
static bool is_counter(int fd)
{
	struct stat st;

	return fstat(fd, &st) != 0 ? errno != EBADF : (st.st_mode & S_IFMT) == 0;
}

/* Any context. */
static void write_ring(void)
{
	uint64_t word = load_acquire(&ring.word), one = 1;
	int saved = errno;

	if (is_ours(word) && is_counter((int)word) &&
	    write((int)word, &one, sizeof(one)) != sizeof(one))
		(void)one; /* the counter is full, and so the descriptor is readable */
	errno = saved;
}

int anyrcu_reclaim_fd(void)
{
	uint64_t word;
	int fd;

	if (gp_hooks.task)
		gp_hooks.task(); /* the child of a _Fork() becomes a process of its own */
	word = load_acquire(&ring.word);
	if (is_ours(word))
		return (int)word;
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* readable: the program polls first */
	if (fd < 0)
		return -errno;
	if (!cmpxchg(&ring.word, word, word_of(fd))) {
		close(fd);
		return anyrcu_reclaim_fd();
	}
	store_release(&defer_bell, write_ring);
	return fd;
}

/* Another thread may have been told that there is nothing, so URGENT does not replace ANY. */
static void arm(uint32_t bell)
{
	if (load(&defer_bell) && bell == BELL_ANY)
		/* pairs with the xchg() in defer_wake(): whoever finds it armed finds the bell */
		store_release(&defer_bell_armed, BELL_ANY);
	else if (load(&defer_bell))
		cmpxchg(&defer_bell_armed, BELL_OFF, bell);
	full_fence(); /* pairs with that in defer_wake() */
}

/* Are there objects in exchanges that no worker looks after? */
static bool exchange_left(void)
{
	return exchange_used() && !defer_workers();
}

/* ns until there is something to do about memory; not 0, as then it was just done. */
static uint64_t memory_due(void)
{
	return defer_workers() ? UINT64_MAX : defer_memory_due(false) ?: 1;
}

static enum anyrcu_reclaim_state later(uint64_t *ns)
{
	uint64_t memory;
	int64_t left;

	if (xchg(&ring.idle, false))
		defer_delay_starts();
	arm(BELL_URGENT);
	left = defer_moving() || defer_hurries() ? 0 : (int64_t)(defer_due() - port_now());
	if (left <= 0)
		return ANYRCU_RECLAIM_NOW;
	memory = memory_due();
	*ns = memory < (uint64_t)left ? memory : (uint64_t)left;
	return ANYRCU_RECLAIM_LATER;
}

enum anyrcu_reclaim_state anyrcu_reclaim_poll(uint64_t *ns)
{
	anyrcu_gp_t cookie;
	uint64_t unused;
	bool waits;

	ns = ns ?: &unused;
	*ns = 0;
	if (gp_hooks.task)
		gp_hooks.task(); /* the child of a _Fork() takes over what others held */
	/* here, as it must not depend on whether the loop reclaims while nothing is deferred */
	if (!defer_workers() && !defer_memory_due(false))
		defer_work_on_memory();
	waits = defer_waiting(&cookie);
	/* full pages are not collected while others wait for readers */
	if (defer_ready() || (store_has_backlog(&defer_store) && !waits))
		return ANYRCU_RECLAIM_NOW;
	if (waits || (gp_wanted() && !defer_moving())) {
		*ns = LOOK_AGAIN;
		return ANYRCU_RECLAIM_READERS;
	}
	if (exchange_left() || defer_moving())
		return ANYRCU_RECLAIM_NOW;
	if (!defer_empty())
		return later(ns);
	if (load(&cache_todo)) { /* perhaps for want of memory, so not at once */
		*ns = LOOK_AGAIN;
		return ANYRCU_RECLAIM_LATER;
	}
	store(&ring.idle, true);
	arm(BELL_ANY);
	if (!defer_empty() || gp_wanted() || exchange_left())
		return ANYRCU_RECLAIM_NOW;
	*ns = memory_due();
	return ANYRCU_RECLAIM_NOTHING;
}
