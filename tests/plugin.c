/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A shared object that uses the library, for a program that does not until it loads this. */
#include <anyrcu/anyrcu.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic long invoked;

static void plugin_invoked(struct anyrcu_head *head)
{
	atomic_fetch_add(&invoked, 1);
	free(head);
}

/* Returns how many callbacks were invoked of @n, after a barrier. */
__attribute__((visibility("default"))) long plugin_use(long n);
long plugin_use(long n)
{
	long before = atomic_load(&invoked);

	for (long i = 0; i < n; i++) {
		struct anyrcu_head *head = malloc(sizeof(*head));

		anyrcu_read_lock();
		anyrcu_call(head, plugin_invoked);
		anyrcu_read_unlock();
	}
	anyrcu_barrier();
	return atomic_load(&invoked) - before;
}
