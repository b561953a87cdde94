/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The model against patterns that were counted by hand. 0: it agrees. */
#include "../tools/cachesim/model.h"

#include <stdio.h>

static unsigned misses[3];

static void pass(struct caches *c, uint64_t lines, uint64_t stride)
{
	misses[1] = misses[2] = 0;
	for (uint64_t i = 0; i < lines; i++) {
		unsigned n = caches_access(c, i * stride);

		misses[1] += n > 0;
		misses[2] += n > 1;
	}
}

static int expect(const char *what, unsigned l1, unsigned l2)
{
	if (misses[1] == l1 && misses[2] == l2)
		return 0;
	printf("%s: %u and %u misses, not %u and %u\n", what, misses[1], misses[2], l1, l2);
	return 1;
}

int main(void)
{
	struct caches c;
	int bad = 0;

	/* 64 and 2,048 sets of 8 lines */
	if (!caches_make(&c, 32 << 10, 1 << 20))
		return 1;
	pass(&c, 512, 64);
	bad += expect("32 KiB, the first time", 512, 512);
	pass(&c, 512, 64);
	bad += expect("32 KiB, again", 0, 0);
	pass(&c, 4096, 8);
	bad += expect("each word of 32 KiB", 0, 0);
	pass(&c, 1024, 64);
	/*
	 * 16 lines for each set of 8 in order: each replaces what comes next, after the 512 that
	 * hit
	 */
	bad += expect("64 KiB, after its first half", 512, 512);
	pass(&c, 1024, 64);
	bad += expect("64 KiB, again", 1024, 0);
	/* 9 lines of one set of the second level: none is there when it comes again */
	pass(&c, 9, 64 * 2048);
	pass(&c, 9, 64 * 2048);
	bad += expect("9 lines of one set", 9, 9);
	/* 8 of them fit, whose most recently used one was replaced last */
	pass(&c, 8, 64 * 2048);
	pass(&c, 8, 64 * 2048);
	bad += expect("8 lines of one set", 0, 0);
	caches_free(&c);
	return bad != 0;
}
