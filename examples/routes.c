/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Lists: a table of routes that packets go by while an updater adds, replaces and removes some. */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define UPDATES 20000

struct route {
	unsigned network, mask, port;
	struct anyrcu_list_head links;
	struct anyrcu_head rcu;
};

static struct anyrcu_list_head routes = ANYRCU_LIST_INIT(routes);
static pthread_mutex_t update_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stop;

static unsigned port_for(unsigned address)
{
	struct route *r;
	unsigned port = 0;

	anyrcu_read_lock();
	anyrcu_list_for_each(r, &routes, links)
	{
		if ((address & r->mask) == r->network) {
			port = r->port;
			break;
		}
	}
	anyrcu_read_unlock();
	return port;
}

static struct route *route(unsigned network, unsigned mask, unsigned port)
{
	struct route *r = malloc(sizeof(*r));

	r->network = network;
	r->mask = mask;
	r->port = port;
	return r;
}

static void change_port(struct route **r, unsigned port)
{
	struct route *old = *r;

	*r = route(old->network, old->mask, port);
	pthread_mutex_lock(&update_lock);
	anyrcu_list_replace(&old->links, &(*r)->links);
	pthread_mutex_unlock(&update_lock);
	anyrcu_free(old, rcu);
}

static void *forward(void *arg)
{
	size_t *wrong = arg;

	while (!atomic_load(&stop)) {
		unsigned port = port_for(0x0a000001);

		*wrong += port < 10 || port > 19; /* one of the ports it has had, always */
		*wrong += port_for(0xc0a80001) != 1;
	}
	return NULL;
}

int main(void)
{
	struct route *changing = route(0x0a000000, 0xff000000, 10), *r, *then;
	size_t wrong = 0;
	pthread_t thread;

	anyrcu_list_add(&route(0, 0, 1)->links, &routes); /* the last one fits all */
	anyrcu_list_add(&changing->links, &routes);
	pthread_create(&thread, NULL, forward, &wrong);
	for (unsigned i = 0; i < UPDATES; i++)
		change_port(&changing, 10 + i % 10);
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	printf("%d updates, %zu packets went wrong\n", UPDATES, wrong);
	anyrcu_list_for_each_safe(r, then, &routes, links) free(r);
	anyrcu_barrier();
	return 0;
}
