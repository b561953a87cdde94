/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "bench/load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct load *load;
static pthread_barrier_t ready, go, pass;
static uint32_t readers_stop;
static uint64_t readers_cpu_ns;

static void call(void (*f)(void))
{
	if (f)
		f();
}

/*
 * Once through the trace; what is left is for free(), as no scheme need care for what the program
 * left to its exit.
 */
static uint64_t replay_pass(struct worker *w, const struct part *part)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), ns;

	w->waited_ns = 0;
	load->scheme->replay_loop(w);
	ns = now_ns(CLOCK_MONOTONIC) - begin - w->waited_ns;
	pthread_barrier_wait(&pass);
	for (size_t i = 0; i < part->nleft; i++) {
		w->slot->deferred++;
		(load->scheme->release ?: free)(w->object[part->left[i]]);
		w->object[part->left[i]] = NULL;
	}
	pthread_barrier_wait(&pass);
	return ns;
}

static void *defer_thread(void *arg)
{
	size_t number = (uintptr_t)arg;
	struct worker w = { .slot = slot_claim(), .objects = load->objects, .size = load->size };
	uint64_t ns = 0;

	if (load->timed) {
		w.timed = malloc(sizeof(*w.timed));
		if (!w.timed)
			measure_fail("out of memory");
		memset(w.timed, 0, sizeof(*w.timed));
	}
	call(load->scheme->flavour->thread_begin);
	call(load->scheme->thread_begin);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	if (load->replay) {
		const struct part *part = &load->replay->parts[number];

		w.events = part->events;
		w.nevents = part->nevents;
		w.object = load->replay->object;
		for (uint64_t i = 0; i < load->replay->repeat; i++)
			ns += replay_pass(&w, part);
	} else {
		uint64_t begin = now_ns(CLOCK_MONOTONIC);

		load->scheme->defer_loop(&w);
		ns = now_ns(CLOCK_MONOTONIC) - begin;
	}
	__atomic_fetch_add(&run->caller_ns, ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&run->objects, w.slot->deferred, __ATOMIC_RELAXED);
	if (load->timed)
		histogram_merge(&run->calls, w.timed);
	call(load->scheme->thread_end);
	call(load->scheme->flavour->thread_end);
	return NULL;
}

static void *read_thread(void *arg)
{
	static uint64_t value, *published = &value;
	uint64_t begin;

	call(load->scheme->flavour->thread_begin);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	begin = now_ns(CLOCK_THREAD_CPUTIME_ID);
	load->scheme->flavour->read_loop(&(struct reader){
		.published = &published, .share = load->reader_share, .stop = &readers_stop });
	__atomic_fetch_add(&readers_cpu_ns, now_ns(CLOCK_THREAD_CPUTIME_ID) - begin,
			   __ATOMIC_RELAXED);
	call(load->scheme->flavour->thread_end);
	return NULL;
}

static void start(pthread_t *thread, void *(*f)(void *), size_t number)
{
	int err = pthread_create(thread, NULL, f, (void *)(uintptr_t)number);

	if (err)
		measure_fail("pthread_create: %s", strerror(err));
}

void load_run(const void *arg)
{
	pthread_t workers[256], readers[256];
	uint64_t cpu, end;

	load = arg;
	pthread_barrier_init(&ready, NULL, load->threads + load->readers + 1);
	pthread_barrier_init(&go, NULL, load->threads + load->readers + 1);
	pthread_barrier_init(&pass, NULL, load->threads);
	call(load->scheme->setup);
	for (unsigned i = 0; i < load->readers; i++)
		start(&readers[i], read_thread, i);
	for (unsigned i = 0; i < load->threads; i++)
		start(&workers[i], defer_thread, i);
	pthread_barrier_wait(&ready);
	run->rss_start = rss_bytes(getpid());
	/* all threads wait: what came before does not count */
	for (uint32_t i = 0; i < run->nslots; i++)
		run->slots[i] = (struct slot){ 0 };
	__atomic_store_n(&run->started, 1, __ATOMIC_RELEASE);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	pthread_barrier_wait(&go);
	for (unsigned i = 0; i < load->threads; i++)
		pthread_join(workers[i], NULL);
	end = now_ns(CLOCK_MONOTONIC);
	call(load->scheme->barrier);
	run->drain_ns = now_ns(CLOCK_MONOTONIC) - end;
	__atomic_store_n(&run->freed, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&readers_stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < load->readers; i++)
		pthread_join(readers[i], NULL);
	/* Their time is no cost of reclaiming. It is known when they have ended. */
	run->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - readers_cpu_ns;
}

const struct column load_columns[LOAD_COLUMNS] = {
	{ "caller_ns", "caller", NANOSECONDS, true, true },
	{ "cpu_ns", "CPU", NANOSECONDS, true, true },
	{ "p50_ns", "p50", NANOSECONDS, false, false },
	{ "p99_ns", "p99", NANOSECONDS, false, false },
	{ "p999_ns", "p99.9", NANOSECONDS, false, false },
	{ "p9999_ns", "p99.99", NANOSECONDS, false, false },
	{ "longest_ns", "longest", NANOSECONDS, false, false },
	{ "waiting", "waiting", COUNT, false, false },
	{ "memory_bytes", "memory", BYTES, false, false },
};

bool load_measure(const char *bench, const char *row, struct load *l, double *values)
{
	const struct watch watch = { .bench = bench, .row = row };

	l->timed = false;
	if (!measure(&watch, load_run, l))
		return false;
	values[0] = (double)run->caller_ns / run->objects;
	values[1] = (double)run->cpu_ns / run->objects;
	values[7] = run->pending_high;
	values[8] = run->rss_high > run->rss_start ? run->rss_high - run->rss_start : 0;
	l->timed = true;
	if (!measure(&watch, load_run, l))
		return false;
	for (int i = 0; i < 4; i++)
		values[2 + i] = histogram_quantile(&run->calls,
						   (const double[]){ 0.5, 0.99, 0.999, 0.9999 }[i]);
	values[6] = run->calls.longest;
	return true;
}
