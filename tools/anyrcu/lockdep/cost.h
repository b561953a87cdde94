/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What locks cost, summed up from what programs have counted. */
#ifndef ANYRCU_TOOL_COST_H
#define ANYRCU_TOOL_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lockdep/counts.h"

struct times {
	uint64_t total, max, n; /* nanoseconds */
	uint64_t bucket[COUNT_BUCKETS];
};

struct cost {
	uint64_t acquired, contended, moved;
	struct times wait, hold; /* in this order */
};

struct blame_cost {
	char *name; /* of the site for whose holders was waited */
	uint64_t times, total;
};

struct site_cost {
	char *name;
	bool reads;
	struct cost cost;
	size_t nblames;
	struct blame_cost *blames;
};

struct lock_cost {
	const char *name; /* of the class; lives as long as the process does */
	char type[16], program[16];
	struct cost cost;
	size_t nsites;
	struct site_cost *sites;
};

/* By program, and then the one that was waited for longest first; so are sites and blames. */
struct costs {
	size_t n;
	struct lock_cost *locks;
};

/* @sites: not the classes alone. */
struct costs costs_read(const struct notices *notices, const struct counts *counts, bool sites);
void costs_free(struct costs *c);
/* That part of the times was shorter, as far as buckets tell. */
uint64_t times_below(const struct times *t, double part);
/* In eight columns. */
void put_time(FILE *f, double ns);
/* Stacks of waits, a line each: "program;outermost;...;innermost nanoseconds". */
void costs_fold(FILE *f, const struct notices *notices, const struct counts *counts);

#endif
