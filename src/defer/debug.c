/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * ANYRCU_DEBUG=1: a head that waits in a page carries a mark, its own address under a constant, and beside it where it was
 * deferred. Deferring a marked head is a double deferral; a head whose mark is gone when its callback is due was overwritten or
 * freed in the meantime. A copy of a marked head has another address, so it is not mistaken for one.
 *
 * A head in the chain (no page could be had) needs its words for the chain, and is not checked.
 */
#include <defer/defer.h>
#include <port/port.h>

#define MARK UINT64_C(0x5de7e44edc0dedad)

bool defer_debug;

static struct anyrcu_head *mark_of(struct anyrcu_head *head)
{
	return (struct anyrcu_head *)((uintptr_t)head ^ MARK);
}

void defer_debug_mark(struct anyrcu_head *head, uintptr_t caller)
{
	if (load(&head->next) == mark_of(head)) {
		port_report("double deferral of head %p", (void *)head);
		port_report("  first deferred at %a", (void *)load(&head->func));
		port_bug("  deferred again at %a, while it was pending", (void *)caller);
	}
	store(&head->func, (void (*)(struct anyrcu_head *))caller);
	store(&head->next, mark_of(head));
}

void defer_debug_unmark(struct anyrcu_head *head, uintptr_t func, uintptr_t caller)
{
	if (load(&head->next) != mark_of(head) || load(&head->func) != (void (*)(struct anyrcu_head *))caller) {
		port_report("head %p was overwritten while it was pending", (void *)head);
		port_report("  deferred at %a", (void *)caller);
		if (func == KEY_FREE)
			port_bug("  to be freed");
		port_bug("  to call %a", (void *)func);
	}
	store(&head->next, NULL);
}
