/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the common paths cost, in ns a call, and what it costs to invoke what they have deferred.
 * It uses what version 0.1 has, so that two builds of the library can be compared, by turns:
 *
 *     cc -O2 -Iinclude bench/paths.c -o paths -Lbuild/src -lanyrcu
 *     for lib in before/src build/src before/src build/src; do
 *         LD_LIBRARY_PATH=$lib ANYRCU_WORKERS=0 ./paths; done
 *
 * Each figure is the least of a thousand rounds of a thousand calls, which what else the machine
 * does hardly changes.
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <anyrcu/domain.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N 1000

static struct anyrcu_head heads[N];
static void *blocks[N];
static struct anyrcu_domain *domain;

static void called(struct anyrcu_head *head)
{
}

static void called_headless(void *arg)
{
}

static void synchronize(void *arg)
{
	anyrcu_synchronize();
}

static void read_side(int i)
{
	anyrcu_read_lock();
	anyrcu_read_unlock();
}

static void call(int i)
{
	anyrcu_call(&heads[i], called);
}

static void call_headless(int i)
{
	if (!anyrcu_call_headless(called_headless, &heads[i]))
		abort();
}

static void free_headless(int i)
{
	if (!anyrcu_free_headless(blocks[i]))
		abort();
}

static void call_domain(int i)
{
	anyrcu_domain_call(domain, &heads[i], called);
}

static void page(int i)
{
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0), 0);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline __attribute__((always_inline)) void measure(const char *name, void (*path)(int))
{
	double least = 1e18, least_after = 1e18;

	for (int round = 0; round < 1000; round++) {
		double began, ended, after;

		for (int i = 0; path == free_headless && i < N; i++)
			blocks[i] = malloc(64);
		began = now();
		for (int i = 0; i < N; i++)
			path(i);
		ended = now();
		least = ended - began < least ? ended - began : least;
		if (path == call_domain)
			anyrcu_domain_barrier(domain);
		else
			anyrcu_barrier();
		after = now() - ended;
		least_after = after < least_after ? after : least_after;
	}
	printf("%-24s %6.2f %6.2f\n", name, least / N, least_after / N);
}

int main(void)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };

	domain = anyrcu_domain_create(&source, NULL);
	if (!domain)
		return 1;
	printf("%-24s %6s %6s\n", "", "call", "invoke");
	measure("read lock and unlock", read_side);
	measure("anyrcu_call", call);
	measure("anyrcu_call_headless", call_headless);
	measure("anyrcu_free_headless", free_headless);
	measure("anyrcu_domain_call", call_domain);
	measure("page alloc and free", page);
	return 0;
}
