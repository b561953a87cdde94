/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The bench "read": what it costs to begin and end a section. */
#include <stdio.h>

#include "bench/scheme.h"
#include "tool.h"

static const struct flavour *const flavours[] = {
	&flavour_none,	    &flavour_anyrcu,	&flavour_anyrcu_qs,
#ifdef URCU_VERSION
	&flavour_urcu_memb, &flavour_urcu_qsbr,
#endif
#ifdef CK_VERSION
	&flavour_ck,
#endif
};

struct reading {
	const struct flavour *flavour;
	uint64_t pairs;
};

static void read_body(const void *arg)
{
	const struct reading *r = arg;
	uint64_t begin;

	if (r->flavour->thread_begin)
		r->flavour->thread_begin();
	r->flavour->pairs(r->pairs / 10); /* until the processor runs at its speed */
	begin = now_ns(CLOCK_MONOTONIC);
	r->flavour->pairs(r->pairs);
	run->caller_ns = now_ns(CLOCK_MONOTONIC) - begin;
	if (r->flavour->thread_end)
		r->flavour->thread_end();
}

static size_t read_rows(const struct options *o)
{
	return sizeof(flavours) / sizeof(*flavours);
}

static void read_row_name(const struct options *o, size_t row, char *name, size_t size)
{
	snprintf(name, size, "%s", flavours[row]->name);
}

static bool read_measure(const struct options *o, size_t row, const char *name, double *values)
{
	struct reading r = { flavours[row], o->quick ? 64000 : 64000000 };

	if (!measure(&(struct watch){ .bench = "read", .row = name }, read_body, &r))
		return false;
	values[0] = (double)run->caller_ns / r.pairs;
	return true;
}

static const struct column read_columns[] = {
	{ "pair_ns", "lock + unlock", NANOSECONDS, true, true },
};

const struct bench bench_read = {
	.name = "read",
	.title = "pairs of lock and unlock in one thread",
	.notes =
		"The loop's own cost is in all of them, and alone in 'empty loop'. Quiescent states: one\n"
		"after each 64 pairs.",
	.reference = "anyrcu",
	.columns = read_columns,
	.ncolumns = sizeof(read_columns) / sizeof(*read_columns),
	.processes = 1,
	.rows = read_rows,
	.row_name = read_row_name,
	.measure = read_measure,
};
