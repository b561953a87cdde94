/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A program without workers: its event loop reclaims, when there is something to reclaim. Another
 * thread, and a handler of signals, replace the configuration in the meantime.
 */
#include <anyrcu/anyrcu.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UPDATES 500

ANYRCU_WORKERS_AT_START(-1); /* no thread but the program's own */

struct config {
	long version;
	struct anyrcu_head rcu;
};

static struct config *current, *spare;
static long freed;

static void reclaim(struct anyrcu_head *head)
{
	free(anyrcu_container_of(head, struct config, rcu));
	freed++; /* in the event loop's thread alone */
}

static void replace(struct config *next)
{
	struct config *old = anyrcu_xchg_pointer(current, next);

	anyrcu_call(&old->rcu, reclaim);
}

static void on_signal(int sig)
{
	(void)sig;
	replace(spare);
}

static void *updater(void *arg)
{
	for (long version = 1; version <= UPDATES; version++) {
		struct config *next = malloc(sizeof(*next));

		next->version = version;
		replace(next);
		if (version % 50 == 0)
			usleep(1000);
	}
	return arg;
}

/* Until something is deferred, or until what is deferred is due. */
static void wait_for_events(int fd)
{
	struct pollfd events = { .fd = fd,
				 .events = POLLIN }; /* the program's own come beside it */
	uint64_t ns, count;
	int ms = -1;

	anyrcu_reclaim_poll(&ns);
	if (ns != UINT64_MAX)
		ms = (int)(ns / 1000000);
	if (poll(&events, 1, ms) > 0 && read(fd, &count, sizeof(count)) < 0)
		perror("read");
}

int main(void)
{
	int fd = anyrcu_reclaim_fd();
	pthread_t thread;

	if (fd < 0)
		return 1;
	current = calloc(1, sizeof(*current));
	spare = calloc(1, sizeof(*spare));
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	pthread_create(&thread, NULL, updater, NULL);
	while (freed < UPDATES + 1) {
		wait_for_events(fd);
		anyrcu_reclaim(64);
	}
	pthread_join(thread, NULL);
	printf("%ld freed by the event loop\n", freed);
	free(current);
	return 0;
}
