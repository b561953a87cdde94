/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The last lines of the terminal are taken out of what scrolls, so that what the program prints
 * goes on above them. The cursor and the attributes of text are saved and restored around each
 * drawing, which is one write().
 */
#define _GNU_SOURCE
#include "lockdep/live.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lockdep/cost.h"

#define TERMINAL STDERR_FILENO
#define CLASSES 10
#define FIGURES 49 /* columns; the last of the terminal is left empty */

static struct {
	struct winsize size; /* of the terminal, when the lines were taken; 0: they are not */
	unsigned lines;
	uint64_t began, drawn; /* nanoseconds; 0: not yet */
	struct costs before;
} live;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

static void send(const char *text, size_t size)
{
	ssize_t n;

	/* A terminal that is gone is not written to; the program goes on. */
	while (size && ((n = write(TERMINAL, text, size)) > 0 || (n < 0 && errno == EINTR))) {
		text += n > 0 ? n : 0;
		size -= n > 0 ? n : 0;
	}
}

static unsigned top(void)
{
	return live.size.ws_row - live.lines + 1;
}

/* In the background, or where the program is a shell with jobs, the terminal is others'. */
static bool ours(void)
{
	pid_t foreground = tcgetpgrp(TERMINAL);

	return foreground <= 0 || foreground == getpgrp();
}

/* Have the lines, of the terminal as large as it is now. */
static bool take_lines(FILE *f)
{
	struct winsize size;

	if (ioctl(TERMINAL, TIOCGWINSZ, &size) != 0)
		return false;
	if (size.ws_row == live.size.ws_row && size.ws_col == live.size.ws_col)
		return live.lines != 0;
	if (live.lines) /* a terminal that changes its size moves lines as it likes */
		fprintf(f, "\0337\033[r\0338\033[J");
	live.size = size;
	live.lines = size.ws_row / 2 < CLASSES + 1 ? size.ws_row / 2 : CLASSES + 1;
	if (live.lines < 2 || size.ws_col < FIGURES + 10)
		live.lines = 0;
	if (!live.lines)
		return false;
	for (unsigned i = 0; i < live.lines; i++)
		fputs("\033D", f); /* down, and all up where there is no more room */
	fprintf(f, "\033[%uA\0337\033[1;%ur\0338", live.lines, top() - 1);
	return true;
}

static int by_wait(const void *a, const void *b)
{
	const struct lock_cost *const *l = a, *const *k = b;
	const struct cost *c = &(*l)->cost, *d = &(*k)->cost;

	if (c->wait.total != d->wait.total)
		return c->wait.total < d->wait.total ? 1 : -1;
	return (c->acquired < d->acquired) - (c->acquired > d->acquired);
}

static uint64_t waited_before(const struct lock_cost *l)
{
	for (size_t i = 0; i < live.before.n; i++) {
		const struct lock_cost *k = &live.before.locks[i];

		if (!strcmp(k->name, l->name) && !strcmp(k->type, l->type) &&
		    !strcmp(k->program, l->program))
			return k->cost.wait.total;
	}
	return 0;
}

static void put_lock(FILE *f, const struct lock_cost *l, bool several, double seconds)
{
	int room = live.size.ws_col - FIGURES;
	char name[600];

	snprintf(name, sizeof(name), "%s%s%s {%s}", several ? l->program : "", several ? ": " : "",
		 l->name, l->type);
	fprintf(f, "%-*.*s %10llu %9llu ", room, room, name, (unsigned long long)l->cost.acquired,
		(unsigned long long)l->cost.contended);
	put_time(f, l->cost.wait.total);
	fputc(' ', f);
	put_time(f, seconds > 0 ? (l->cost.wait.total - waited_before(l)) / seconds : 0);
	fputc(' ', f);
	put_time(f, l->cost.hold.total);
}

static void draw(FILE *f, const struct costs *costs, uint64_t at)
{
	const struct lock_cost **sorted = calloc(costs->n + 1, sizeof(*sorted));
	double seconds = live.drawn ? (at - live.drawn) * 1e-9 : 0;
	int room = live.size.ws_col - FIGURES;
	bool several = false;
	char title[64];

	for (size_t i = 0; sorted && i < costs->n; i++) {
		sorted[i] = &costs->locks[i];
		several |= strcmp(sorted[i]->program, sorted[0]->program) != 0;
	}
	if (sorted)
		qsort(sorted, costs->n, sizeof(*sorted), by_wait);
	snprintf(title, sizeof(title), "anyrcu lockstat, %llu s",
		 (unsigned long long)((at - live.began) / 1000000000));
	fprintf(f, "\0337\033[%u;1H\033[0;7m%-*.*s %10s %9s %8s %8s %8s\033[0m\033[K", top(), room,
		room, title, "acquired", "contended", "wait", "wait/s", "hold");
	for (unsigned i = 0; i + 1 < live.lines; i++) {
		fprintf(f, "\033[%u;1H", top() + 1 + i);
		if (sorted && i < costs->n)
			put_lock(f, sorted[i], several, seconds);
		fputs("\033[K", f);
	}
	fputs("\0338", f);
	free(sorted);
}

void live_look(const struct notices *notices, const struct counts *counts)
{
	uint64_t at = now();
	char *text = NULL;
	size_t size;
	struct costs costs;
	FILE *f;

	if (!live.began) {
		live.began = at;
		atexit(live_end); /* also where the tool ends early */
	}
	if ((live.drawn && at - live.drawn < 1000000000) || !ours())
		return;
	f = open_memstream(&text, &size);
	if (!f)
		return;
	if (take_lines(f)) {
		costs = costs_read(notices, counts, false);
		draw(f, &costs, at);
		costs_free(&live.before);
		live.before = costs;
	}
	live.drawn = at;
	if (fclose(f) == 0)
		send(text, size);
	free(text);
}

void live_end(void)
{
	char text[64];

	if (live.lines && ours())
		send(text, snprintf(text, sizeof(text), "\0337\033[%u;1H\033[J\033[r\0338", top()));
	costs_free(&live.before);
	memset(&live, 0, sizeof(live));
}
