/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Rounds of measurements, and what they found: as tables, and as JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "bench/measure.h"
#include "bench/scheme.h"
#include "tool.h"

#define NAME_MAX_LEN 64

static struct {
	json_t *json, *benches;
	unsigned failed, tables;
} report;

struct spread {
	double median, min, max;
};

static void *check(void *p)
{
	if (!p) {
		fprintf(stderr, "anyrcu: out of memory\n");
		exit(1);
	}
	return p;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of one column of one row, over the rounds that did not fail. @values lie @stride apart. */
static struct spread spread(const double *values, unsigned rounds, size_t stride)
{
	double v[101];
	unsigned n = 0;

	for (unsigned i = 0; i < rounds; i++)
		if (!isnan(values[i * stride]))
			v[n++] = values[i * stride];
	if (!n)
		return (struct spread){ NAN, NAN, NAN };
	qsort(v, n, sizeof(*v), compare);
	return (struct spread){ n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1] };
}

/* ---- tables ---- */

/* With three digits that count, and the unit's prefix. */
static void print_value(FILE *f, enum unit unit, double v)
{
	static const char *const names[][4] = {
		[NANOSECONDS] = { " ns", " us", " ms", " s" },
		[COUNT] = { "", "k", "M", "G" },
		[BYTES] = { " B", " KiB", " MiB", " GiB" },
		[SECONDS] = { " s", "", "", "" },
	};
	unsigned step = unit == BYTES ? 1024 : 1000, prefix = 0;
	bool whole;

	if (isnan(v)) {
		fprintf(f, "-");
		return;
	}
	while (unit != SECONDS && prefix < 3 && fabs(v) >= step - 0.5) {
		v /= step;
		prefix++;
	}
	whole = (unit == COUNT || unit == BYTES) && prefix == 0;
	fprintf(f, "%.*f%s",
		whole || fabs(v) >= 100 ? 0 :
		fabs(v) < 10		? 2 :
					  1,
		v, names[unit][prefix]);
}

static char *cell(const struct column *c, struct spread s, double reference, unsigned rounds)
{
	char *text = NULL;
	size_t size;
	FILE *f = check(open_memstream(&text, &size));

	print_value(f, c->unit, s.median);
	if (c->spread && rounds > 1 && !isnan(s.median)) {
		fprintf(f, " (");
		print_value(f, c->unit, s.min);
		fprintf(f, "..");
		print_value(f, c->unit, s.max);
		fprintf(f, ")");
	}
	if (c->ratio && !isnan(s.median) && reference > 0)
		fprintf(f, " %.2fx", s.median / reference);
	fclose(f);
	return check(text);
}

static void print_table(const struct bench *b, size_t nrows, char (*names)[NAME_MAX_LEN],
			const struct spread *s, size_t reference, unsigned rounds)
{
	char **cells = check(calloc(nrows * b->ncolumns, sizeof(*cells)));
	int name_width = 0, *width = check(calloc(b->ncolumns, sizeof(*width)));

	for (size_t c = 0; c < b->ncolumns; c++)
		width[c] = strlen(b->columns[c].title);
	for (size_t r = 0; r < nrows; r++) {
		name_width =
			(int)strlen(names[r]) > name_width ? (int)strlen(names[r]) : name_width;
		for (size_t c = 0; c < b->ncolumns; c++) {
			size_t at = r * b->ncolumns + c;

			cells[at] = cell(&b->columns[c], s[at],
					 s[reference * b->ncolumns + c].median, rounds);
			width[c] = (int)strlen(cells[at]) > width[c] ? (int)strlen(cells[at]) :
								       width[c];
		}
	}
	printf("%s%s: %s\n\n%-*s", report.tables++ ? "\n" : "", b->name, b->title, name_width, "");
	for (size_t c = 0; c < b->ncolumns; c++)
		printf("  %*s", width[c], b->columns[c].title);
	printf("\n");
	for (size_t r = 0; r < nrows; r++) {
		printf("%-*s", name_width, names[r]);
		for (size_t c = 0; c < b->ncolumns; c++) {
			printf("  %*s", width[c], cells[r * b->ncolumns + c]);
			free(cells[r * b->ncolumns + c]);
		}
		printf("\n");
	}
	printf("\n%s\n", b->notes);
	fflush(stdout);
	free(cells);
	free(width);
}

/* ---- JSON ---- */

static json_t *number(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

static json_t *row_json(const struct bench *b, const char *name, const struct spread *s,
			const double *values, unsigned rounds, size_t stride)
{
	json_t *row = check(json_pack("{s:s}", "name", name));

	for (size_t c = 0; c < b->ncolumns; c++) {
		json_t *all = check(json_array());

		for (unsigned i = 0; i < rounds; i++)
			json_array_append_new(all, number(values[i * stride + c]));
		json_object_set_new(row, b->columns[c].key,
				    check(json_pack("{s:o, s:o, s:o, s:o}", "median",
						    number(s[c].median), "min", number(s[c].min),
						    "max", number(s[c].max), "rounds", all)));
	}
	return row;
}

static void add_json(const struct bench *b, size_t nrows, char (*names)[NAME_MAX_LEN],
		     const struct spread *s, const double *values, unsigned rounds)
{
	json_t *rows = check(json_array());

	for (size_t r = 0; r < nrows; r++)
		json_array_append_new(rows, row_json(b, names[r], s + r * b->ncolumns,
						     values + r * b->ncolumns, rounds,
						     nrows * b->ncolumns));
	json_array_append_new(report.benches,
			      check(json_pack("{s:s, s:s, s:s, s:o}", "name", b->name, "title",
					      b->title, "notes", b->notes, "rows", rows)));
}

/* The processor's name, where the kernel says it. */
static json_t *cpu_model(void)
{
	json_t *model = NULL;
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !model && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		line[strcspn(line, "\n")] = 0;
		model = json_string(colon + 2);
	}
	if (f)
		fclose(f);
	return model ? model : json_null();
}

static json_t *machine(void)
{
	const char *preload = getenv("LD_PRELOAD");
	struct utsname u;
	json_t *m;

	uname(&u);
	m = check(json_pack("{s:o, s:i, s:s, s:s, s:s*}", "cpu", cpu_model(), "cpus",
			    (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", u.release, "arch",
			    u.machine, "preload", preload && *preload ? preload : NULL));
#ifdef __GLIBC__
	json_object_set_new(m, "glibc", json_string(gnu_get_libc_version()));
#endif
#ifdef URCU_VERSION
	json_object_set_new(m, "liburcu", json_string(URCU_VERSION));
#endif
#ifdef CK_VERSION
	json_object_set_new(m, "ck", json_string(CK_VERSION));
#endif
	return m;
}

/* The machine in one line, above the tables. */
static void print_machine(const json_t *m)
{
	const char *key, *separator = "";
	const json_t *value;

	json_object_foreach((json_t *)m, key, value)
	{
		printf("%s%s ", separator, key);
		if (json_is_integer(value))
			printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			printf("%s", json_is_string(value) ? json_string_value(value) : "unknown");
		separator = ", ";
	}
	printf("\n\n");
}

/* What was asked for; 0 is the default of the bench. */
static json_t *options_json(const struct options *o)
{
	return check(json_pack("{s:i, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "readers",
			       (int)o->readers, "threads", (int)o->threads, "reader_share",
			       (int)o->reader_share, "rounds", (int)o->rounds, "quick",
			       (int)o->quick, "size", (json_int_t)o->size, "objects",
			       (json_int_t)o->objects, "depth", (json_int_t)o->depth, "seconds",
			       (json_int_t)o->seconds, "limit", (json_int_t)o->limit, "repeat",
			       (json_int_t)o->repeat));
}

/* ---- a report ---- */

void report_begin(const char *command, const struct options *o)
{
	json_t *m = machine();

	report.benches = check(json_array());
	report.json = check(json_pack("{s:s, s:s, s:o, s:o, s:o}", "anyrcu", TOOL_VERSION,
				      "command", command, "machine", m, "options", options_json(o),
				      "benches", report.benches));
	if (!o->json || o->json_file)
		print_machine(m);
}

size_t scheme_rows(const struct options *o)
{
	return o->nschemes;
}

void scheme_row_name(const struct options *o, size_t row, char *name, size_t size)
{
	snprintf(name, size, "%s", o->schemes[row]->name);
}

void report_bench(const struct bench *b, const struct options *o)
{
	size_t nrows = b->rows(o), n = nrows * b->ncolumns, reference = 0;
	char(*names)[NAME_MAX_LEN] = check(calloc(nrows, sizeof(*names)));
	double *values = check(calloc(o->rounds * n, sizeof(*values)));
	struct spread *s = check(calloc(n, sizeof(*s)));

	for (size_t i = 0; i < o->rounds * n; i++)
		values[i] = NAN;
	for (size_t r = 0; r < nrows; r++) {
		b->row_name(o, r, names[r], sizeof(names[r]));
		if (!strcmp(names[r], b->reference))
			reference = r;
	}
	measure_expect(o->rounds * nrows * b->processes);
	for (unsigned round = 0; round < o->rounds; round++) {
		for (size_t i = 0; i < nrows; i++) {
			size_t r = (i + round) % nrows;

			report.failed +=
				!b->measure(o, r, names[r], values + round * n + r * b->ncolumns);
		}
	}
	for (size_t i = 0; i < n; i++)
		s[i] = spread(values + i, o->rounds, n);
	add_json(b, nrows, names, s, values, o->rounds);
	if (!o->json || o->json_file)
		print_table(b, nrows, names, s, reference, o->rounds);
	free(names);
	free(values);
	free(s);
}

int report_end(const struct options *o)
{
	const char *name = o->json_file ? o->json_file : "standard output";
	FILE *f = o->json_file ? fopen(o->json_file, "we") : stdout;
	bool written = true;

	if (o->json) {
		written = f && json_dumpf(report.json, f, JSON_INDENT(1)) == 0 &&
			  fputc('\n', f) != EOF;
		written = written && fflush(f) == 0;
	}
	if (!written)
		fprintf(stderr, "anyrcu: %s: %s\n", name, strerror(errno));
	if (o->json_file && f)
		fclose(f);
	json_decref(report.json);
	return written && !report.failed ? 0 : 1;
}
