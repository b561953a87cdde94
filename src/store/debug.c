/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * ANYRCU_DEBUG=1: a head that is pending in a page holds a mark, its own address XOR a constant,
 * and the address of the code that deferred it. Deferring a marked head is a double deferral. If
 * the mark is gone when the callback is due, the head was overwritten or freed in the meantime. A
 * copy of a marked head has another address, so the copy does not count as marked.
 *
 * A head in the chain (no page was available) needs its words for the chain, and is not checked.
 */
#include <store/store.h>
#include <port/port.h>

#define MARK UINT64_C(0x5de7e44edc0dedad)

bool store_debug;

static struct anyrcu_head *mark_of(struct anyrcu_head *head)
{
	return (struct anyrcu_head *)((uintptr_t)head ^ MARK);
}

void store_debug_mark(struct anyrcu_head *head, uintptr_t caller)
{
	if (load(&head->next) == mark_of(head)) {
		port_report("double deferral of head %p", (void *)head);
		port_report("  first deferred at %a", (void *)load(&head->func));
		port_bug("  deferred again at %a, while it was pending", (void *)caller);
	}
	store(&head->func, (void (*)(struct anyrcu_head *))caller);
	store(&head->next, mark_of(head));
}

void store_debug_unmark(struct anyrcu_head *head, uintptr_t func, uintptr_t caller)
{
	if (load(&head->next) != mark_of(head) ||
	    load(&head->func) != (void (*)(struct anyrcu_head *))caller) {
		port_report("head %p was overwritten while it was pending", (void *)head);
		port_report("  deferred at %a", (void *)caller);
		if (func == KEY_FREE)
			port_bug("  to be freed");
		port_bug("  to call %a", (void *)func);
	}
	store(&head->next, NULL);
}
