/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * For programs without workers: whether there is anything to do, when, and a descriptor that
 * signals it.
 *
 * If anyrcu_reclaim_poll() returns NOTHING, the program sleeps until the descriptor is readable.
 * The poll arms the bell, fences, and checks once more; a caller stores its object, fences, and
 * reads the bell (defer_wake()). One of the two sees the other. Of several callers, the one that
 * disarms the bell writes to the descriptor. A handler, or a thread that stops, may delay that
 * write, and so the program; the next poll that returns NOTHING arms the bell again.
 *
 * "ring" is written by tasks of the process that has made the descriptor. A child of fork() shares
 * the descriptor with its parent, so the child does not write to it, and gets another one from
 * anyrcu_reclaim_fd().
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
#include <sys/eventfd.h>
#include <unistd.h>

/* nanoseconds between two checks of a grace period that readers delay, or of work of caches */
#define LOOK_AGAIN 1000000

static struct {
	uint64_t word; /* the descriptor, and in the upper bits the process; 0: none */
	uint32_t idle; /* there was nothing at the last poll */
} ring;

static uint64_t word_of(int fd)
{
	return (uint64_t)getpid() << 32 | (uint32_t)fd;
}

/* Any context. */
static void write_ring(void)
{
	uint64_t word = load_acquire(&ring.word), one = 1;
	int saved = errno;

	if (word && word >> 32 == (uint64_t)getpid() &&
	    write((int)word, &one, sizeof(one)) != sizeof(one))
		(void)one; /* the counter is full, and so the descriptor is readable */
	errno = saved;
}

int anyrcu_reclaim_fd(void)
{
	uint64_t word = load_acquire(&ring.word);
	int fd;

	if (word && word >> 32 == (uint64_t)getpid())
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

static enum anyrcu_reclaim_state later(uint64_t *ns)
{
	uint64_t now = port_now();
	int64_t left;

	if (xchg(&ring.idle, false))
		defer_delay_starts();
	left = (int64_t)(defer_due() - now);
	*ns = left > 0 ? left : 0;
	return left > 0 ? ANYRCU_RECLAIM_LATER : ANYRCU_RECLAIM_NOW;
}

enum anyrcu_reclaim_state anyrcu_reclaim_poll(uint64_t *ns)
{
	anyrcu_gp_t cookie;
	uint64_t unused;

	ns = ns ?: &unused;
	*ns = 0;
	if (store_has_backlog(&defer_store) || (exchange_used() && !defer_workers()))
		return ANYRCU_RECLAIM_NOW;
	if (defer_waiting(&cookie) || (gp_wanted() && !defer_moving())) {
		*ns = LOOK_AGAIN;
		return ANYRCU_RECLAIM_READERS;
	}
	if (defer_moving())
		return ANYRCU_RECLAIM_NOW;
	if (!defer_empty())
		return later(ns);
	if (load(&cache_todo)) { /* perhaps for want of memory, so not at once */
		*ns = LOOK_AGAIN;
		return ANYRCU_RECLAIM_LATER;
	}
	store(&ring.idle, true);
	if (load(&defer_bell))
		store(&defer_bell_armed, 1);
	full_fence(); /* pairs with that in defer_wake() */
	if (!defer_empty() || gp_wanted() || (exchange_used() && !defer_workers()))
		return ANYRCU_RECLAIM_NOW;
	*ns = UINT64_MAX;
	return ANYRCU_RECLAIM_NOTHING;
}
