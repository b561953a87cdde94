/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A configuration that readers use while an updater, here a timer's signal handler, replaces it. */
#include <anyrcu/anyrcu.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct config {
	int version;
	struct anyrcu_head rcu;
};

static struct config *spare[2], *current;

static void update(int sig)
{
	struct config *next = spare[sig == SIGALRM], *old = current;

	next->version = old->version + 1;
	anyrcu_assign_pointer(current, next);
	anyrcu_free(old, rcu); /* also right in a signal handler */
}

int main(void)
{
	current = calloc(1, sizeof(*current));
	spare[1] = malloc(sizeof(*current));
	signal(SIGALRM, update);
	alarm(1);
	for (int version = 0; version < 1;) {
		anyrcu_read_lock();
		version = anyrcu_dereference(current)->version;
		anyrcu_read_unlock();
	}
	anyrcu_barrier(); /* the old one is freed now */
	printf("reads version %d\n", current->version);
	free(current);
	return 0;
}
