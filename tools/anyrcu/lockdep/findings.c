/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/findings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static void copy_string(char *to, const char *from, size_t size)
{
	memcpy(to, from, size - 1);
	to[size - 1] = '\0';
}

/*
 * "\033" and the number of a place in the notice, then "a" for it with its file, "n" for its name.
 */
static const char *put_mark(FILE *f, const char *mark, const struct notices *notices,
			    const struct notice *n)
{
	char *end;
	unsigned long i = strtoul(mark, &end, 10);
	struct place p;

	if (end == mark || (*end != 'a' && *end != 'n'))
		return mark;
	if (i >= NOTICES_PLACES || i + n->place >= NOTICES_PLACES)
		return end + 1;
	p = place_of(notices, &notices->place[i + n->place]);
	if (*end == 'n')
		place_put_name(f, &p);
	else
		place_put(f, &p);
	return end + 1;
}

/* With marks in it replaced. */
static char *plain(const char *text, const struct notices *notices, const struct notice *n)
{
	char *out;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		program_die("a report", strerror(ENOMEM));
	while (*text) {
		size_t length = strcspn(text, "\033");

		fwrite(text, 1, length, f);
		text += length;
		if (*text)
			text = put_mark(f, text + 1, notices, n);
	}
	if (fclose(f) != 0)
		program_die("a report", strerror(ENOMEM));
	return out;
}

struct finding finding_read(const struct notices *notices, const struct notice *n)
{
	uint32_t text = n->text, length = n->length, frames = n->frames;
	char *raw, lock[sizeof(n->lock[0])];
	struct finding f = { .pid = n->pid };

	copy_string(f.rule, n->rule, sizeof(f.rule));
	copy_string(f.program, n->program, sizeof(f.program));
	copy_string(f.thread, n->thread, sizeof(f.thread));
	if (text > NOTICES_TEXT || length > NOTICES_TEXT - text)
		length = 0;
	raw = length ? strndup(notices->text + text, length) :
		       strdup("(there was no room for the text)\n");
	if (!raw)
		program_die("a report", strerror(ENOMEM));
	f.text = plain(raw, notices, n);
	free(raw);
	for (; f.nlocks < n->nlocks && f.nlocks < NOTICES_LOCKS; f.nlocks++) {
		copy_string(lock, n->lock[f.nlocks], sizeof(lock));
		f.lock[f.nlocks] = plain(lock, notices, n);
	}
	for (; f.nframes < n->nframes && f.nframes < NOTICES_FRAMES; f.nframes++) {
		if (frames >= NOTICES_PLACES - f.nframes)
			break;
		f.frame[f.nframes] = place_of(notices, &notices->place[frames + f.nframes]);
	}
	return f;
}

void finding_free(struct finding *f)
{
	free(f->text);
	for (size_t i = 0; i < f->nlocks; i++)
		free(f->lock[i]);
}

json_t *finding_json(const struct finding *f)
{
	json_t *locks = json_array(), *stack = json_array();

	for (size_t i = 0; i < f->nlocks; i++)
		json_array_append_new(locks, json_string(f->lock[i]));
	for (size_t i = 0; i < f->nframes; i++) {
		const struct place *p = &f->frame[i];

		json_array_append_new(stack, json_pack("{s:s, s:I, s:s?, s:s?, s:i}", "module",
						       p->module, "offset", (json_int_t)p->offset,
						       "function", p->symbol.function, "file",
						       p->symbol.file, "line", p->symbol.line));
	}
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o, s:s}", "event", "report", "rule",
			 f->rule, "pid", (int)f->pid, "program", f->program, "thread", f->thread,
			 "locks", locks, "stack", stack, "text", f->text);
}
