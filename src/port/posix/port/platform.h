/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The definitions that port.h leaves to the platform, for a process. */
#ifndef ANYRCU_PORT_PLATFORM_H
#define ANYRCU_PORT_PLATFORM_H

#include <base/compiler.h>

/* See port/process.h. */
struct port_lock {
	/* 0, or the holder's port_id() << 8, and in bit 0 whether others sleep on the low half */
	uint64_t word;
	uint64_t signals; /* the holder's signal mask before it took the lock */
	bool unwatched;
	bool told; /* the validator was told that the lock is held */
	uint8_t forked; /* taken by port_fork_lock(), at this depth of forks in handlers */
};
/*
 * The number of forks with handlers that led to this process. Only changed in the child of a fork,
 * before any other code of the library runs there. Any context.
 */
extern uint32_t port_forks;
/* Has there been a fork since port_forks was @forks? Any context. */
static inline bool port_forked_since(uint32_t forks)
{
	return unlikely(forks != load(&port_forks));
}

/*
 * The reserve of pages: how many of order 0 it holds at first, and how many once it has run low. In
 * a process an untouched page costs address space only.
 */
#define PORT_RESERVE_FIRST 128
#define PORT_RESERVE_GROWN 1024
#define PORT_RESERVE_ORDERS 6 /* at first, also one page of each order up to this */

/* free() takes one object, and the child of a fork must know which were freed: no bulk. */
#define PORT_FREE_BULK 0

/* ---- external checkers ---- */

/* Does a checker watch this process? Constant after initialisation, false before. */
extern bool port_checked;
/*
 * Tell the checker that everything the caller of port_checker_released() did before happens before
 * everything that the caller of port_checker_acquired() for the same address does afterwards. The
 * first is called before the store that lets another thread continue, the second after the load
 * that sees that store. Any context.
 */
void port_checker_released(const void *p);
void port_checker_acquired(const void *p);
static inline void port_release(const void *p)
{
	if (unlikely(port_checked))
		port_checker_released(p);
}
static inline void port_acquire(const void *p)
{
	if (unlikely(port_checked))
		port_checker_acquired(p);
}
/*
 * Tell the checker that this memory is accessed by atomics alone, so that no access to it is a
 * race. port_map() does so for the memory that it maps. Any context.
 */
void port_checker_atomic(const void *p, size_t size);
/*
 * If memcheck watches, and @p points into a block of malloc() but not to its beginning: the
 * beginning of the block; otherwise NULL. Any context.
 */
void *port_checker_block(const void *p);

#endif
