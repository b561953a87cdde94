/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Nanoseconds for a mutex that nobody else wants, locked and unlocked: alone, and inside another;
 * the least of many times, as other programs run beside. A second thread is there, as libc leaves
 * out half of the work where it is not.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 2000, PAIRS = 5000 };

static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;

static void *sleeper(void *arg)
{
	pause();
	return arg;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double pairs(void)
{
	double least = 0;

	for (int times = 0; times < TIMES; times++) {
		double begin = now(), ns;

		for (int i = 0; i < PAIRS; i++) {
			pthread_mutex_lock(&inner);
			pthread_mutex_unlock(&inner);
		}
		ns = (now() - begin) / PAIRS;
		if (!times || ns < least)
			least = ns;
	}
	return least;
}

int main(void)
{
	pthread_t thread;
	double alone;

	pthread_create(&thread, NULL, sleeper, NULL);
	alone = pairs();
	pthread_mutex_lock(&outer);
	printf("%.2f %.2f\n", alone, pairs());
	pthread_mutex_unlock(&outer);
	return 0;
}
