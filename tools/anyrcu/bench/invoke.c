/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The bench "invoke": callbacks that wait in pages, and callbacks that are chained through their
 * objects.
 *
 * The thread that defers is in a read-side section until all have been deferred, so that they all
 * wait. What is measured is the CPU time of the thread that then invokes them, from the first
 * callback to the last.
 */
#include <stdio.h>

#include "bench/loops.h"
#include "tool.h"

static const struct invoker *const invokers[] = {
	&invoker_pages,
	&invoker_chain,
#ifdef URCU_VERSION
	&invoker_urcu,
#endif
#ifdef CK_VERSION
	&invoker_ck,
#endif
};

struct invoke {
	const struct invoker *invoker;
	uint64_t depth;
	size_t size;
	bool random, frees;
};

static void shuffle(void **v, uint64_t n)
{
	uint64_t x = 88172645463325252; /* xorshift, always the same */

	for (uint64_t i = n - 1; i > 0; i--) {
		uint64_t j;
		void *swap = v[i];

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = x % (i + 1);
		v[i] = v[j];
		v[j] = swap;
		run->heartbeat++;
	}
}

static void invoke_body(const void *arg)
{
	const struct invoke *in = arg;
	const struct invoker *invoker = in->invoker;
	void **object = malloc(in->depth * sizeof(*object));

	if (!object)
		measure_fail("out of memory");
	for (uint64_t i = 0; i < in->depth; i++) {
		object[i] = object_new(in->size, malloc);
		run->heartbeat++;
	}
	if (in->random)
		shuffle(object, in->depth);
	invoking = (struct invoking){ .depth = in->depth, .frees = in->frees };
	if (invoker->setup)
		invoker->setup(in->depth);
	if (invoker->flavour->thread_begin)
		invoker->flavour->thread_begin();
	invoker->flavour->lock();
	for (uint64_t i = 0; i < in->depth; i++) {
		invoker->defer(object[i]);
		run->heartbeat++;
	}
	invoker->flavour->unlock();
	invoker->barrier();
	run->cpu_ns = invoking.end_ns - invoking.begin_ns;
}

static size_t invoke_rows(const struct options *o)
{
	return sizeof(invokers) / sizeof(*invokers);
}

static void invoke_row_name(const struct options *o, size_t row, char *name, size_t size)
{
	snprintf(name, size, "%s", invokers[row]->name);
}

static const struct column invoke_columns[] = {
	{ "sequential_touch_ns", "sequential, touch", NANOSECONDS, true, true },
	{ "random_touch_ns", "random, touch", NANOSECONDS, true, true },
	{ "sequential_free_ns", "sequential, free", NANOSECONDS, true, true },
	{ "random_free_ns", "random, free", NANOSECONDS, true, true },
};

static bool invoke_measure(const struct options *o, size_t row, const char *name, double *values)
{
	for (unsigned i = 0; i < 4; i++) {
		struct invoke in = {
			.invoker = invokers[row],
			.depth = o->depth	  ?:
					 o->quick ? 50000 :
						    4000000,
			.size = o->size ?: 128,
			.random = i % 2,
			.frees = i / 2,
		};

		if (in.random ? o->sequential : o->random)
			continue;
		if (!measure(&(struct watch){ .bench = "invoke", .row = name }, invoke_body, &in))
			return false;
		values[i] = (double)run->cpu_ns / in.depth;
	}
	return true;
}

const struct bench bench_invoke = {
	.name = "invoke",
	.title = "invoke callbacks that wait",
	.notes =
		"CPU time for a callback, from the first to the last, in the thread that invokes them.\n"
		"touch: it writes to the object; free: it calls free(). random: deferred in another order\n"
		"than that of their addresses.",
	.reference = "anyrcu, from pages",
	.columns = invoke_columns,
	.ncolumns = sizeof(invoke_columns) / sizeof(*invoke_columns),
	.processes = 4,
	.rows = invoke_rows,
	.row_name = invoke_row_name,
	.measure = invoke_measure,
};
