/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Deferring to a domain without a head: the head is allocated. */
#include <anyrcu/domain.h>
#include <stdlib.h>

struct deferral {
	struct anyrcu_head head;
	void (*func)(void *arg);
	void *arg;
};

static void invoke(struct anyrcu_head *head)
{
	struct deferral *d = (struct deferral *)head;

	d->func(d->arg);
}

static void invoke_and_free(struct anyrcu_head *head)
{
	invoke(head);
	free(head);
}

/* Without memory the head is on the stack until the callback has returned: the order is kept. */
void anyrcu_domain_call_mightsleep(struct anyrcu_domain *domain, void (*func)(void *arg), void *arg)
{
	struct deferral *d = malloc(sizeof(*d)), here = { .func = func, .arg = arg };

	if (d) {
		*d = here;
		anyrcu_domain_call(domain, &d->head, invoke_and_free);
	} else {
		anyrcu_domain_call(domain, &here.head, invoke);
		anyrcu_domain_barrier(domain);
	}
}
