/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A model of two levels of data cache: sets of lines, of which the least recently used is replaced.
 */
#ifndef ANYRCU_CACHESIM_MODEL_H
#define ANYRCU_CACHESIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define LINE_SHIFT 6 /* lines of 64 bytes */
#define WAYS 8

struct cache {
	unsigned sets; /* a power of two */
	uint64_t *line; /* sets * WAYS: the line's number + 1, the most recently used one first */
};

struct caches {
	struct cache l1, l2;
};

/* Caches of so many bytes. False: no memory. */
bool caches_make(struct caches *c, unsigned l1_bytes, unsigned l2_bytes);
void caches_free(struct caches *c);
/* Access the line that @address is in. Returns how many levels have missed it: 0, 1 or 2. */
unsigned caches_access(struct caches *c, uint64_t address);

#endif
