/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A program that was built for liburcu and does nothing but defer, to be run as it is and by
 * "anyrcu urcu". Prints what it took as JSON. usage: anyrcu-urcu-loop FLAVOUR call|defer THREADS
 * OBJECTS [SIZE]
 */
#define _GNU_SOURCE
#include "urcu/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define THREADS_MAX 256

static const struct urcu_loop *const loops[] = { &urcu_loop_memb, &urcu_loop_mb, &urcu_loop_qsbr,
						 &urcu_loop_bp };

static struct {
	void (*loop)(unsigned long n, size_t size);
	unsigned long n;
	size_t size;
} job;

static void *work(void *arg)
{
	job.loop(job.n, job.size);
	return arg;
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	const struct urcu_loop *l = NULL;
	pthread_t thread[THREADS_MAX];
	double began, caller, all;
	struct rusage usage;
	unsigned threads;

	for (size_t i = 0; argc >= 5 && i < sizeof(loops) / sizeof(*loops); i++)
		if (!strcmp(argv[1], loops[i]->name))
			l = loops[i];
	threads = argc >= 5 ? atoi(argv[3]) : 0;
	if (!l || !threads || threads > THREADS_MAX) {
		fprintf(stderr,
			"usage: anyrcu-urcu-loop memb|mb|qsbr|bp call|defer THREADS OBJECTS [SIZE]\n");
		return 2;
	}
	job.loop = strcmp(argv[2], "defer") ? l->call : l->defer;
	job.n = atol(argv[4]);
	job.size = argc > 5 ? atol(argv[5]) : 64;
	began = now(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, NULL))
			return 1;
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	caller = now(CLOCK_MONOTONIC) - began;
	if (job.loop == l->call)
		l->barrier();
	all = now(CLOCK_MONOTONIC) - began;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"flavour\": \"%s\", \"way\": \"%s\", \"threads\": %u, \"objects\": %lu, \"caller_ns\": %.2f, \"cpu_ns\": %.2f, "
	       "\"seconds\": %.3f, \"peak_bytes\": %lu}\n",
	       l->name, job.loop == l->call ? "call" : "defer", threads, job.n * threads,
	       caller * 1e9 / job.n, now(CLOCK_PROCESS_CPUTIME_ID) * 1e9 / job.n / threads, all,
	       usage.ru_maxrss * 1024);
	return 0;
}
