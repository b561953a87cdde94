/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The reader of traces. The input is a file as it stands; or what lies between head and tail, which
 * are made to fit; or a sequence of events that the writer writes, of which some bytes may be
 * changed then.
 *
 * What is refused comes with a message. What is accepted could have happened: each object is
 * allocated once, freed at most once and not before, the numbers are right, and it is the same when
 * it is written and read again. What the writer wrote is accepted.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <zlib.h>

#include "fuzz.h"
#include "trace/trace.h"

#define TAIL 24 /* of which the last 4 are the checksum */

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = value >> 8 * i;
}

static void checksum(uint8_t *file, size_t size)
{
	put(file + size - 4, crc32_z(0, file, size - 4), 4);
}

static void check(const struct trace *t)
{
	uint64_t *live = calloc(t->nobjects + 1, sizeof(*live)), bytes = 0, high = 0;
	uint32_t nobjects = 0, nthreads = 0;

	for (size_t i = 0; i < t->nevents; i++) {
		const struct trace_event *e = &t->events[i];

		MUST(e->thread <= nthreads);
		nthreads += e->thread == nthreads;
		if (e->is_free) {
			if (e->object >= nobjects || !live[e->object])
				FOUND("free: of an object that is not there");
			bytes -= live[e->object] - 1;
			live[e->object] = 0;
		} else {
			MUST(e->object == nobjects && e->size < UINT64_MAX >> 2);
			live[nobjects++] = e->size + 1;
			bytes += e->size;
			high = bytes > high ? bytes : high;
		}
	}
	MUST(nobjects == t->nobjects && nthreads == t->nthreads && t->nprocesses <= nthreads);
	if (high != t->live_bytes_high + broken("high"))
		FOUND("high: most bytes live");
	free(live);
}

static struct trace *parse(const void *file, size_t size)
{
	char *error = NULL;
	struct trace *t = trace_parse(file, size, &error);

	MUST(t ? !error : error && *error);
	free(error);
	if (t)
		check(t);
	return t;
}

static void write_again(const struct trace *t)
{
	struct trace_writer w = { 0 };
	struct trace *again;
	char *file;
	size_t size;

	w.file = open_memstream(&file, &size);
	for (size_t i = 0; i < t->nevents; i++) {
		if (t->events[i].is_free)
			trace_write_free(&w, t->events[i].thread, t->events[i].object);
		else
			trace_write_alloc(&w, t->events[i].thread, t->events[i].size);
	}
	MUST(trace_write_end(&w, t->nprocesses) == 0 && fclose(w.file) == 0);
	again = parse(file, size);
	if (broken("again") && again && again->nevents)
		again->events[0].size ^= 1;
	if (!again || again->nevents != t->nevents ||
	    memcmp(again->events, t->events, t->nevents * sizeof(*t->events)))
		FOUND("again: not the same when written and read again");
	trace_free(again);
	free(file);
}

static void accept_or_refuse(const uint8_t *file, size_t size)
{
	struct trace *t = parse(file, size);

	if (t && broken("free") && t->nevents > 2 && t->events[t->nevents - 2].is_free) {
		t->events[t->nevents - 1] = t->events[t->nevents - 2];
		check(t);
	}
	if (t)
		write_again(t);
	trace_free(t);
}

/* The bytes between head and tail. */
static void between(struct input *in)
{
	uint64_t counts[] = { number(in, 2), number(in, 1), number(in, 1), number(in, 1) };
	size_t n = in->end - in->at, size = 16 + n + TAIL;
	uint8_t *file = calloc(1, size), *tail = file + 16 + n;

	memcpy(file, "anyrcu-trace\1", 13);
	memcpy(file + 16, in->at, n);
	put(tail, counts[0], 8);
	for (unsigned i = 1; i < 4; i++)
		put(tail + 4 + 4 * i, counts[i], 4);
	checksum(file, size);
	accept_or_refuse(file, size);
	free(file);
}

static void written(struct input *in, bool damage)
{
	struct trace_writer w = { 0 };
	uint32_t live[256], nlive = 0, nthreads = 0;
	struct trace *t;
	char *file;
	size_t size;

	w.file = open_memstream(&file, &size);
	while (in->at < in->end && nlive < 256) {
		uint8_t op = byte(in);
		uint32_t thread = nthreads ? op / 4 % (nthreads + 1) : 0;

		nthreads += thread == nthreads;
		if (op % 4 == 0 && nlive) {
			uint32_t i = byte(in) % nlive;

			trace_write_free(&w, thread, live[i]);
			live[i] = live[--nlive];
		} else {
			live[nlive++] =
				trace_write_alloc(&w, thread, number(in, 1u << op % 4) >> 8);
		}
		if (damage && op == 0xff)
			break;
	}
	MUST(trace_write_end(&w, nthreads) == 0 && fclose(w.file) == 0);
	if (damage) {
		for (unsigned n = byte(in) % 4; n; n--)
			file[number(in, 2) % size] ^= byte(in);
		checksum((uint8_t *)file, size);
		accept_or_refuse((uint8_t *)file, size);
	} else {
		t = parse(file, size);
		MUST(t);
		trace_free(t);
	}
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	switch (byte(&in) % 4) {
	case 0:
		accept_or_refuse(in.at, in.end - in.at);
		break;
	case 1:
		between(&in);
		break;
	case 2:
		written(&in, false);
		break;
	case 3:
		written(&in, true);
		break;
	}
	return 0;
}
