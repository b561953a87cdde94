/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "lockdep/flame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lockdep/cost.h"
#include "program.h"

#define WIDTH 1200.0
#define LINE 18
#define LETTER 7.0 /* about as wide as one is */
#define NARROWEST 0.5 /* a box that is still drawn */

struct box {
	char *name;
	uint64_t total;
	struct box *next, *inside; /* beside it, on it: as the stacks came */
};

static struct box *box_on(struct box *below, const char *name)
{
	struct box **b = &below->inside;

	while (*b && strcmp((*b)->name, name))
		b = &(*b)->next;
	if (*b)
		return *b;
	*b = calloc(1, sizeof(**b));
	if (!*b || !((*b)->name = strdup(name)))
		program_die("what was counted", strerror(ENOMEM));
	return *b;
}

/* "outermost;...;innermost nanoseconds", which is written to. */
static void add_stack(struct box *ground, char *line)
{
	char *end = strrchr(line, ' '), *name;
	uint64_t ns = end ? strtoull(end + 1, NULL, 10) : 0;
	struct box *b = ground;

	if (!end)
		return;
	*end = '\0';
	ground->total += ns;
	while ((name = strsep(&line, ";"))) {
		b = box_on(b, name);
		b->total += ns;
	}
}

static unsigned height(const struct box *b)
{
	unsigned highest = 0, h;

	for (const struct box *i = b->inside; i; i = i->next)
		if ((h = height(i)) > highest)
			highest = h;
	return highest + 1;
}

static void free_boxes(struct box *b)
{
	struct box *next;

	for (; b; b = next) {
		next = b->next;
		free_boxes(b->inside);
		free(b->name);
		free(b);
	}
}

static void put_text(FILE *f, const char *text, size_t n)
{
	for (; *text && n; text++, n--) {
		if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '>')
			fputs("&gt;", f);
		else if (*text == '&')
			fputs("&amp;", f);
		else
			fputc(*text >= ' ' && *text <= '~' ? *text : '?', f);
	}
}

/* Warm, and the same for the same name. */
static unsigned colour(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return (205 + hash % 50) << 16 | (80 + (hash >> 8) % 120) << 8 | (hash >> 16) % 55;
}

static void put_box(FILE *f, const struct box *b, const char *name, double x, int y, double scale)
{
	double width = b->total * scale;
	size_t letters = width / LETTER;

	if (width < NARROWEST)
		return;
	fprintf(f, "<g><title>");
	put_text(f, name, SIZE_MAX);
	fputs(", ", f);
	put_time(f, b->total);
	fprintf(f,
		"</title><rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#%06x\"/>",
		x, y, width, LINE - 1, colour(name));
	if (letters >= 3) {
		fprintf(f, "<text x=\"%.1f\" y=\"%d\">", x + 3, y + LINE - 5);
		put_text(f, name, letters - 1);
		fputs("</text>", f);
	}
	fputs("</g>\n", f);
	for (const struct box *i = b->inside; i; i = i->next) {
		put_box(f, i, i->name, x, y - LINE, scale);
		x += i->total * scale;
	}
}

void flame_put(FILE *f, const struct notices *notices, const struct counts *counts)
{
	struct box ground = { 0 };
	char *text = NULL, *rest, *line;
	size_t size;
	FILE *folded = open_memstream(&text, &size);
	unsigned lines;

	if (!folded)
		program_die("what was counted", strerror(ENOMEM));
	costs_fold(folded, notices, counts);
	if (fclose(folded) != 0)
		program_die("what was counted", strerror(ENOMEM));
	rest = text;
	while ((line = strsep(&rest, "\n")))
		add_stack(&ground, line);
	lines = height(&ground);
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%u\" "
		"font-family=\"monospace\" font-size=\"11\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, lines * LINE);
	put_box(f, &ground, "all waits for locks", 0, (int)(lines - 1) * LINE,
		ground.total ? WIDTH / ground.total : 0);
	fputs("</svg>\n", f);
	free_boxes(ground.inside);
	free(text);
}
