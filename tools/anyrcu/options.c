/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bench/scheme.h"

uint64_t option_number(struct argp_state *state, const char *option, const char *arg, uint64_t min,
		       uint64_t max)
{
	const char *suffixes = "KMG", *suffix;
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	/*
	 * Too large a number becomes the largest, which is out of range; so does one that the
	 * suffix would make too large.
	 */
	n = strtoull(arg, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (!isdigit((unsigned char)*arg) || *end || n > max >> shift || n << shift < min)
		argp_error(state, "%s: '%s' is not a number from %llu to %llu", option, arg,
			   (unsigned long long)min, (unsigned long long)max);
	return n << shift;
}

static void add_scheme(struct argp_state *state, struct options *o, const char *name)
{
	for (size_t i = 0; i < nknown_schemes; i++) {
		const struct known_scheme *known = &known_schemes[i];

		if (strcmp(known->name, name))
			continue;
		if (!known->scheme)
			argp_error(state, "--schemes: '%s' is not in this build: it needs %s", name,
				   known->needs);
		for (size_t j = 0; j < o->nschemes; j++)
			if (o->schemes[j] == known->scheme)
				argp_error(state, "--schemes: '%s' twice", name);
		o->schemes[o->nschemes++] = known->scheme;
		return;
	}
	argp_error(state, "--schemes: there is no '%s'", name);
}

static void set_schemes(struct argp_state *state, struct options *o, const char *arg)
{
	char *list = strdup(arg), *rest = list, *name;

	if (!list)
		argp_failure(state, 1, 0, "out of memory");
	o->nschemes = 0;
	while ((name = strsep(&rest, ",")))
		add_scheme(state, o, name);
	free(list);
}

static void all_schemes(struct options *o)
{
	for (size_t i = 0; i < nknown_schemes; i++)
		if (known_schemes[i].scheme)
			o->schemes[o->nschemes++] = known_schemes[i].scheme;
}

enum { SCHEMES = 256, READERS, THREADS, ROUNDS, JSON };

static const struct argp_option common_options[] = {
	{ "schemes", SCHEMES, "LIST", 0, "The schemes to compare, separated by commas [all]", 0 },
	{ "readers", READERS, "N", 0, "Threads that read beside those that defer, 0 to 256 [1]",
	  0 },
	{ "threads", THREADS, "N", 0, "Threads that defer, 1 to 256 [flood: 2, otherwise 1]", 0 },
	{ "rounds", ROUNDS, "N", 0,
	  "Repeat all of it, interleaved, 1 to 101 times [3, with --quick 1]", 0 },
	{ "json", JSON, "FILE", OPTION_ARG_OPTIONAL,
	  "Print JSON instead of tables, or write it to FILE beside them", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		*o = (struct options){ .readers = 1 };
		return 0;
	case SCHEMES:
		set_schemes(state, o, arg);
		return 0;
	case READERS:
		o->readers = option_number(state, "--readers", arg, 0, 256);
		return 0;
	case THREADS:
		o->threads = option_number(state, "--threads", arg, 1, 256);
		return 0;
	case ROUNDS:
		o->rounds = option_number(state, "--rounds", arg, 1, 101);
		return 0;
	case JSON:
		o->json = true;
		o->json_file = arg;
		return 0;
	case ARGP_KEY_SUCCESS:
		if (!o->nschemes)
			all_schemes(o);
		o->rounds = o->rounds ?: o->quick ? 1 : 3;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The list of schemes at the end of --help. */
static char *help(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size;
	FILE *f;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&list, &size);
	if (!f)
		return NULL;
	fprintf(f, "A number may end in K, M or G. Schemes:\n");
	for (size_t i = 0; i < nknown_schemes; i++) {
		const struct known_scheme *known = &known_schemes[i];

		if (known->scheme)
			fprintf(f, "  %-22s%s\n", known->name, known->scheme->about);
		else
			fprintf(f, "  %-22snot in this build: needs %s\n", known->name,
				known->needs);
	}
	fclose(f);
	return list;
}

const struct argp common_argp = {
	.options = common_options, .parser = parse, .doc = "\v ", .help_filter = help
};
