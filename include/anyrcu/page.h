/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The page allocator: 4096 << order bytes, aligned to their size, in any context, even in a signal
 * handler that interrupted the allocator itself.
 */
#ifndef ANYRCU_PAGE_H
#define ANYRCU_PAGE_H

#include <stddef.h>

#include <anyrcu/inline/api.h>

ANYRCU_BEGIN_DECLS

#define ANYRCU_PAGE_SIZE 4096
#define ANYRCU_PAGE_ORDER_MAX 9 /* 2 MiB */

/**
 * enum - modes of anyrcu_page_alloc()
 * @ANYRCU_GFP_KERNEL: may take locks, map memory and sleep
 * @ANYRCU_GFP_NOWAIT: may take the zone's lock, does not map memory
 * @ANYRCU_GFP_NO_LOCKS: takes no lock, makes no system call, never waits. The pages come from a
 *                       reserve; the allocation cannot wake the worker to refill it, so the worker
 *                       checks once a second, starting with the program's first anyrcu_page_free()
 *                       or allocation in another mode. At first the reserve has 128 pages of order
 *                       0 and one of each order from 1 to 6. Once the reserve of an order has been
 *                       half empty, or an allocation of that order has failed, it keeps at least
 *                       1024 pages (order 0), 2 (orders 1 to 8) or 1 (order 9)
 * @ANYRCU_GFP_ZERO: a flag to add: the pages are filled with zeroes
 */
enum {
	ANYRCU_GFP_KERNEL = 0,
	ANYRCU_GFP_NOWAIT = 1,
	ANYRCU_GFP_NO_LOCKS = 2,
	ANYRCU_GFP_ZERO = 0x100
};

/**
 * anyrcu_page_alloc() - allocate pages
 * @gfp: one of ANYRCU_GFP_KERNEL, _NOWAIT, _NO_LOCKS, with ANYRCU_GFP_ZERO added or not
 * @order: 0 to ANYRCU_PAGE_ORDER_MAX
 *
 * Context: KERNEL: a task that may sleep. NOWAIT: a task, spinlocks held or not, no signal handler.
 *          NO_LOCKS: any.
 * Return: 4096 << @order bytes aligned to their size, or NULL: with KERNEL only if the system has
 * no
 *         memory, and with any mode if @gfp or @order is out of range. Their content is undefined
 *         without ANYRCU_GFP_ZERO.
 */
ANYRCU_API void *anyrcu_page_alloc(unsigned gfp, unsigned order)
	__attribute__((malloc, warn_unused_result));

/**
 * anyrcu_page_free() - give pages back
 * @page: from anyrcu_page_alloc(), or NULL, which does nothing
 * @order: the order with which they were allocated
 *
 * A pointer not aligned to its order, or an order out of range, is reported and ends the program.
 *
 * Context: any.
 */
ANYRCU_API void anyrcu_page_free(void *page, unsigned order);

ANYRCU_END_DECLS

#endif
