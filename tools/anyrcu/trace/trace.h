/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A trace of allocations: what "anyrcu record" writes and "anyrcu replay" reads.
 *
 * In memory it is one sequence of events in an order that could have happened: an object's free
 * comes after its allocation. Threads of all recorded processes are numbered from 0, and so are
 * objects: each is allocated once, and freed at most once. A realloc() is an allocation and a free.
 *
 * Objects and threads are numbered in the order in which they appear. An object that a process
 * leaves behind when it ends is not freed. One that a forked child inherits is its parent's alone,
 * and the child's free of its copy is left out: otherwise each fork would have to be an allocation,
 * which nobody made, of each object that was live.
 *
 * As a file, a trace is
 *
 *	"anyrcu-trace", version
 *	a varint for each event or change of thread; its lower two bits say what the rest is:
 *		0	an allocation of this size
 *		1	a free of the object allocated that many allocations before the last one
 *		2	the events that follow are of this thread; at the start they are of thread 0
 *	the number of events (8 bytes), objects, threads and processes
 *	the CRC-32 of all before it
 *
 * Numbers have 4 bytes, least first, where it does not say otherwise; a varint has 7 bits a byte,
 * least first, and the upper bit set in all but the last.
 */
#ifndef ANYRCU_TOOL_TRACE_H
#define ANYRCU_TOOL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
 * Read a trace. NULL when it cannot be read, is truncated, corrupt or of another version; then
 * *error says so in one line for the user, in a string to free(). Never trusts a number in the
 * file.
 */
struct trace *trace_read(const char *path, char **error);
/* The same from memory; what is in *error does not name the file. */
struct trace *trace_parse(const void *data, size_t size, char **error);
void trace_free(struct trace *trace);

/*
 * Writes a trace, of which nothing but this remains in memory. All zeros to begin with, and the
 * file.
 */
struct trace_writer {
	FILE *file;
	int error;
	uint32_t crc;
	uint32_t thread;
	uint32_t nobjects;
	uint32_t nthreads;
	uint64_t nevents;
	uint64_t nbytes;
};

/* Returns the object. No more than UINT32_MAX of them; threads have to appear in order. */
uint32_t trace_write_alloc(struct trace_writer *w, uint32_t thread, uint64_t size);
void trace_write_free(struct trace_writer *w, uint32_t thread, uint32_t object);
/*
 * 0, or the negative errno of whatever could not be written since the start. Does not close the
 * file.
 */
int trace_write_end(struct trace_writer *w, uint32_t nprocesses);

#endif
