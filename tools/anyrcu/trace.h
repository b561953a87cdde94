/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A trace of allocations: what "anyrcu record" writes and "anyrcu replay" reads.
 *
 * In memory it is one sequence of events in an order that could have happened: an object's free comes after its
 * allocation. Threads of all recorded processes are numbered from 0, and so are objects: each is allocated once, and freed
 * at most once. A realloc() is an allocation and a free.
 */
#ifndef ANYRCU_TOOL_TRACE_H
#define ANYRCU_TOOL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_event {
	uint32_t object;
	uint32_t thread : 31;
	uint32_t is_free : 1;
	uint64_t size; /* of an allocation, as it was asked for */
};

struct trace {
	size_t nevents;
	struct trace_event *events;
	uint32_t nobjects;
	uint32_t nthreads;
	uint32_t nprocesses;
	uint64_t live_bytes_high; /* most bytes live at one time, all processes together */
};

/*
 * Read a trace. NULL when it cannot be read, is truncated, corrupt or of another version; then *error says so in one line for the
 * user, in a string to free(). Never trusts a number in the file.
 */
struct trace *trace_read(const char *path, char **error);
void trace_free(struct trace *trace);

#endif
