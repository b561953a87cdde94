/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The benches that are a load: "defer", so many objects; and "flood", as many as some seconds
 * allow.
 */
#include "bench/load.h"

static struct load load_of(const struct options *o, size_t row)
{
	return (struct load){
		.scheme = o->schemes[row],
		.readers = o->readers,
		.reader_share = o->reader_share,
		.size = o->size ?: 64,
	};
}

static bool defer_measure(const struct options *o, size_t row, const char *name, double *values)
{
	struct load load = load_of(o, row);

	load.threads = o->threads ?: 1;
	load.objects = o->objects ?: o->quick ? 20000 : 4000000;
	return load_measure("defer", name, &load, values);
}

const struct bench bench_defer = {
	.name = "defer",
	.title = "allocate, write, defer",
	.notes = LOAD_NOTES,
	.reference = "anyrcu-free",
	.columns = load_columns,
	.ncolumns = LOAD_COLUMNS,
	.processes = 2,
	.rows = scheme_rows,
	.row_name = scheme_row_name,
	.measure = defer_measure,
};

static const struct column flood_columns[] = {
	{ "caller_ns", "caller", NANOSECONDS, true, true },
	{ "waiting", "waiting", COUNT, true, true },
	{ "waiting_bytes", "in bytes", BYTES, false, false },
	{ "memory_bytes", "memory", BYTES, false, false },
	{ "seconds", "ran", SECONDS, false, false },
	{ "drain_ns", "drained in", NANOSECONDS, false, false },
	{ "rss_10", "10%", BYTES, false, false },
	{ "rss_20", "20%", BYTES, false, false },
	{ "rss_30", "30%", BYTES, false, false },
	{ "rss_40", "40%", BYTES, false, false },
	{ "rss_50", "50%", BYTES, false, false },
	{ "rss_60", "60%", BYTES, false, false },
	{ "rss_70", "70%", BYTES, false, false },
	{ "rss_80", "80%", BYTES, false, false },
	{ "rss_90", "90%", BYTES, false, false },
	{ "rss_100", "100%", BYTES, false, false },
};
#define FLOOD_RSS 6

static bool flood_measure(const struct options *o, size_t row, const char *name, double *values)
{
	struct load load = load_of(o, row);
	const struct watch watch = {
		.bench = "flood",
		.row = name,
		.seconds = o->seconds	    ?:
				   o->quick ? 0.2 :
					      5,
		.pending_limit = (o->limit ?: 1 << 30) / load.size,
	};

	load.threads = o->threads ?: 2;
	load.objects = UINT64_MAX;
	if (!measure(&watch, load_run, &load))
		return false;
	values[0] = (double)run->caller_ns / run->objects;
	values[1] = run->pending_high;
	values[2] = (double)run->pending_high * load.size;
	values[3] = run->rss_high > run->rss_start ? run->rss_high - run->rss_start : 0;
	values[4] = run->elapsed_ns / 1e9;
	values[5] = run->drain_ns;
	for (int i = 0; i < TENTHS; i++)
		if (run->rss[i])
			values[FLOOD_RSS + i] =
				run->rss[i] > run->rss_start ? run->rss[i] - run->rss_start : 0;
	return true;
}

const struct bench bench_flood = {
	.name = "flood",
	.title = "defer as fast as can be",
	.notes =
		"caller: a thread's time for an object. waiting: most objects deferred and not freed (those of\n"
		"caches: not in use again); the run is stopped once they take the limit. memory: by how much the\n"
		"process grew at most; 10% to 100%: by how much after that part of the time. drained in: the time\n"
		"until all were freed, after the last deferral.",
	.reference = "anyrcu-free",
	.columns = flood_columns,
	.ncolumns = sizeof(flood_columns) / sizeof(*flood_columns),
	.processes = 1,
	.rows = scheme_rows,
	.row_name = scheme_row_name,
	.measure = flood_measure,
};
