/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The library's locks beside POSIX's: wrong only for who sees both. */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdio.h>

static anyrcu_mutex_t ours = ANYRCU_MUTEX_INIT;
static pthread_mutex_t theirs = PTHREAD_MUTEX_INITIALIZER;

static void *end_in_reader(void *arg)
{
	anyrcu_read_lock();
	return arg;
}

int main(void)
{
	pthread_t thread;

	anyrcu_mutex_lock(&ours);
	pthread_mutex_lock(&theirs);
	pthread_mutex_unlock(&theirs);
	anyrcu_mutex_unlock(&ours);
	pthread_mutex_lock(&theirs);
	anyrcu_mutex_lock(&ours);
	anyrcu_mutex_unlock(&ours);
	pthread_mutex_unlock(&theirs);
	pthread_create(&thread, NULL, end_in_reader, NULL);
	pthread_join(thread, NULL);
	printf("done\n");
	return 0;
}
