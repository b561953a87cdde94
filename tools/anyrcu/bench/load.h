/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A load: threads that allocate, write and defer, beside threads that read. */
#ifndef ANYRCU_TOOL_LOAD_H
#define ANYRCU_TOOL_LOAD_H

#include "bench/scheme.h"
#include "tool.h"

/* A trace made ready to be replayed by some threads. */
struct replay {
	struct part {
		struct trace_event *events;
		size_t nevents;
		uint32_t *left; /* objects that the thread allocates and nobody frees */
		size_t nleft;
	} * parts; /* one for each thread */
	void **object;
	uint64_t repeat;
};

struct load {
	const struct scheme *scheme;
	unsigned threads, readers, reader_share;
	bool timed; /* time each deferral, which makes the other figures useless */
	uint64_t objects; /* of each thread, */
	size_t size; /* of this size; */
	const struct replay *replay; /* or those of a trace, if not NULL */
};

/* The body of a measurement of a struct load. */
void load_run(const void *load);

/*
 * Measure a load: once for its costs, once more for the time of single deferrals. @values are those
 * of load_columns.
 */
bool load_measure(const char *bench, const char *row, struct load *load, double *values);

#define LOAD_COLUMNS 9
extern const struct column load_columns[LOAD_COLUMNS];
#define LOAD_NOTES                                                                           \
	"caller: a thread's time for an object: malloc(), a write, the deferral. "           \
	"CPU: the whole process's for an\nobject, until all are freed, but without the "     \
	"readers'. p50 to longest: one deferral, timed in a second\nrun; with "              \
	"clock_gettime() in it. waiting: most objects deferred and not freed, sampled each " \
	"millisecond.\nmemory: by how much the process grew at most."

#endif
