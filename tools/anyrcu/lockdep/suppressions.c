/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/suppressions.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static struct suppression {
	const char *rule, *lock, *function, *module, *program; /* patterns; NULL: any */
	struct suppression *next;
} * suppressions;

/* docs/lockdep-findings.md argues each. */
static const struct suppression known_false[] = {
	{ "circular-dependency", .function = "gst_registry_get", .module = "*/libgstreamer-1.0.*" },
	{ "circular-dependency", .function = "gst_format_get_by_nick",
	  .module = "*/libgstreamer-1.0.*" },
	{ "wait-for-holder", .lock = "GMutex of gst_poll_new[+:]*" },
	{ "inconsistent-signal-use", .lock = "semaphore of os_sem_init[+:]*",
	  .function = "os_sem_wait" },
	{ "wait-for-holder", .function = "v8::internal::IsolateSafepoint::*" },
};

static const char **pattern(struct suppression *s, const char *key)
{
	return !strcmp(key, "lock")	? &s->lock :
	       !strcmp(key, "function") ? &s->function :
	       !strcmp(key, "module")	? &s->module :
	       !strcmp(key, "program")	? &s->program :
					  NULL;
}

void suppressions_read(const char *path)
{
	FILE *in = fopen(path, "re");
	char *line = NULL, *word, *rest, *value;
	const char **to;
	size_t size = 0;
	unsigned number = 0;

	if (!in)
		program_die(path, strerror(errno));
	while (getline(&line, &size, in) >= 0) {
		struct suppression *s;

		number++;
		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " \t", &rest);
		if (!word)
			continue;
		s = calloc(1, sizeof(*s));
		if (!s || !(s->rule = strdup(word)))
			program_die(path, strerror(ENOMEM));
		while ((word = strtok_r(NULL, " \t", &rest))) {
			value = strchr(word, '=');
			if (value)
				*value++ = '\0';
			to = pattern(s, word);
			if (!value || !to) {
				fprintf(stderr,
					"anyrcu: %s:%u: '%s' is not lock=, function=, module= or program= and a pattern\n",
					path, number, word);
				exit(EXIT_OURS);
			}
			*to = strdup(value);
		}
		s->next = suppressions;
		suppressions = s;
	}
	free(line);
	fclose(in);
}

static bool matches(const char *pattern, const char *s)
{
	return !pattern || (s && fnmatch(pattern, s, 0) == 0);
}

static bool suppresses(const struct suppression *s, const struct finding *f)
{
	bool lock = !s->lock, frame = !s->function && !s->module;

	if (!matches(s->rule, f->rule) || !matches(s->program, f->program))
		return false;
	for (size_t i = 0; i < f->nlocks && !lock; i++)
		lock = matches(s->lock, f->lock[i]);
	for (size_t i = 0; i < f->nframes && !frame; i++)
		frame = (matches(s->function, f->frame[i].symbol.function) ||
			 matches(s->function, f->frame[i].symbol.linked)) &&
			matches(s->module, f->frame[i].module);
	return lock && frame;
}

bool suppressed(const struct finding *f)
{
	for (const struct suppression *s = suppressions; s; s = s->next)
		if (suppresses(s, f))
			return true;
	return false;
}

bool finding_known_false(const struct finding *f)
{
	for (size_t i = 0; i < sizeof(known_false) / sizeof(*known_false); i++)
		if (suppresses(&known_false[i], f))
			return true;
	return false;
}

/* What patterns and lines are made of does not stand for itself. */
static void put_pattern(FILE *out, const char *key, const char *value)
{
	fprintf(out, " %s=", key);
	for (; *value; value++)
		fputc(strchr(" \t\n#*?[]\\", *value) ? '?' : *value, out);
}

void suppression_write(FILE *out, const struct finding *f)
{
	fputs(f->rule, out);
	put_pattern(out, "program", f->program);
	if (f->nlocks)
		put_pattern(out, "lock", f->lock[0]);
	if (f->nframes && f->frame[0].symbol.function)
		put_pattern(out, "function", f->frame[0].symbol.function);
	fputc('\n', out);
}
