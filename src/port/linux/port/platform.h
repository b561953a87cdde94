/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The definitions that port.h leaves to the platform, for a kernel module. */
#ifndef ANYRCU_PORT_PLATFORM_H
#define ANYRCU_PORT_PLATFORM_H

#include <base/compiler.h>

/* Space for a struct mutex with lockdep's fields. Call port_lock_init() before anything else. */
struct port_lock {
	uint64_t mutex[32];
};

/* The kernel does not fork. */
static inline bool port_forked_since(uint32_t forks)
{
	(void)forks;
	return false;
}

/*
 * The reserve of pages, which occupies memory here: how many pages of order 0 it holds at first,
 * and how many once it has run low. It holds no pages of higher orders until a caller has asked for
 * one.
 */
#define PORT_RESERVE_FIRST 128
#define PORT_RESERVE_GROWN 1024
#define PORT_RESERVE_ORDERS 0

/* Many objects are cheaper to free together. */
#define PORT_FREE_BULK 1

/* The kernel's checkers (KCSAN, KASAN) need no help. */
enum { port_checked = false };
static inline void port_checker_released(const void *p)
{
	(void)p;
}
static inline void port_acquire(const void *p)
{
	(void)p;
}
static inline void port_release(const void *p)
{
	(void)p;
}
static inline void port_checker_atomic(const void *p, size_t size)
{
	(void)p, (void)size;
}
static inline void *port_checker_block(const void *p)
{
	(void)p;
	return NULL;
}

/* The core's probes, which are tracepoints: see kernel/trace.c. */
void port_probe_collect(uint64_t generation, uint64_t pages);
void port_probe_drain(uint64_t generation, uint64_t invoked);
void port_probe_flood(uint64_t pending);
void port_probe_page_refused(uint64_t mode, uint64_t order);
#define port_probe1(name, a) port_probe_##name(a)
#define port_probe2(name, a, b) port_probe_##name(a, b)

#endif
