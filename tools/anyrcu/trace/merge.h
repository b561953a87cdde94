/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* From chunks of recorded events to one trace. */
#ifndef ANYRCU_TOOL_MERGE_H
#define ANYRCU_TOOL_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/pool.h"
#include "trace/trace.h"

typedef const struct pool_event pool_chunk[POOL_CHUNK_EVENTS];

struct merge {
	pool_chunk *chunks; /* those that left the pool */
	size_t nchunks;
	/* those still there; recording has ended, but there may be who has not noticed */
	struct pool *pool;
	struct trace_writer *writer;
	void (*progress)(double share); /* called now and then */
	/* What came out of it: */
	uint32_t nprocesses;
	uint64_t allocated_bytes;
	uint64_t unknown_frees; /* left out: the allocation was not seen */
	uint64_t missed_frees; /* put in where the address was allocated again */
	bool too_many; /* objects: ended there */
};

/* False: out of memory. */
bool merge(struct merge *m);

#endif
