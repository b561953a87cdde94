/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The commands, what they are told, and the tables that they make. */
#ifndef ANYRCU_TOOL_TOOL_H
#define ANYRCU_TOOL_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEMES_MAX 16

struct scheme;

/* Options of replay and scale; 0 where the default depends on the bench. */
struct options {
	const struct scheme *schemes[SCHEMES_MAX];
	size_t nschemes;
	unsigned readers, threads, reader_share, rounds;
	bool json, quick;
	const char *json_file;
	uint64_t size, objects, depth, seconds, limit, repeat;
	bool sequential, random;
};

enum unit { NANOSECONDS, COUNT, BYTES, SECONDS };

struct column {
	const char *key, *title; /* in JSON, in the table */
	enum unit unit;
	bool spread; /* show the smallest and largest too */
	bool ratio; /* show the ratio to the reference row */
};

/*
 * A bench makes one table. Rows are measured one by one, in processes of their own, in each round
 * once.
 */
struct bench {
	const char *name, *title, *notes;
	const char *reference; /* ratios are to the row of this name, or else to the first */
	const struct column *columns;
	size_t ncolumns;
	unsigned processes; /* that measuring a row takes */
	/* The number of rows. */
	size_t (*rows)(const struct options *o);
	/* A name for row @row, in @name of @size bytes. */
	void (*row_name)(const struct options *o, size_t row, char *name, size_t size);
	/*
	 * Fill @values, one for each column, which are NAN before. False: it failed, which has been
	 * said.
	 */
	bool (*measure)(const struct options *o, size_t row, const char *name, double *values);
};

/*
 * Start a report, run benches, end it. The benches are printed as they come; end returns the exit
 * status.
 */
void report_begin(const char *command, const struct options *o);
void report_bench(const struct bench *b, const struct options *o);
int report_end(const struct options *o);

extern const struct bench bench_defer, bench_invoke, bench_read, bench_synchronize, bench_flood;

/* Rows of a bench that are the schemes asked for. */
size_t scheme_rows(const struct options *o);
void scheme_row_name(const struct options *o, size_t row, char *name, size_t size);

int cmd_contexts(int argc, char **argv);
int cmd_lockdep(int argc, char **argv);
int cmd_lockstat(int argc, char **argv);
int cmd_policies(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_scale(int argc, char **argv);
int cmd_torture(int argc, char **argv);
int cmd_urcu(int argc, char **argv);

#endif
