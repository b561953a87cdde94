/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Sleeping until another thread has changed a condition (an eventcount). The word is a number,
 * which each event advances; bit 0 says that a thread may sleep.
 *
 *     waiter:  value = event_prepare();  check the condition;  port_wait(&word, value)
 *     other:   change the condition;     event_signal()
 *
 * Either the waiter's check sees the change, or event_signal() sees bit 0, changes the number that
 * port_wait() compares, and wakes. Waiters are not counted, so a fork at any instruction leaves a
 * correct word in the child: at worst bit 0 is set for a thread that does not exist there, which
 * costs one needless wake.
 *
 * Any context; port_wait() is for tasks.
 */
#ifndef ANYRCU_PORT_EVENT_H
#define ANYRCU_PORT_EVENT_H

#include <port/port.h>

static inline uint32_t event_prepare(uint32_t *word)
{
	uint32_t value = __atomic_or_fetch(word, 1, __ATOMIC_SEQ_CST);

	/* pairs with that in event_signal(); without it both sides could miss each other */
	full_fence();
	return value;
}

static inline void event_signal(uint32_t *word)
{
	uint32_t old;

	full_fence(); /* the change comes before the load of bit 0 */
	old = load(word);
	while (!__atomic_compare_exchange_n(word, &old, (old | 1) + 1, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
	if (old & 1)
		port_wake(word);
}

#endif
