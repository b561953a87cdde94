/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/trace.h"

#define VERSION 1

enum { ALLOC, FREE, THREAD };

struct head {
	char magic[12];
	uint32_t version;
};

struct __attribute__((packed)) tail {
	uint64_t nevents;
	uint32_t nobjects;
	uint32_t nthreads;
	uint32_t nprocesses;
	uint32_t crc;
};

static const char magic[12] = "anyrcu-trace";

/* CRC-32 as in IEEE 802.3: @crc is that of what comes before, 0 at the beginning. */
static uint32_t crc32(uint32_t crc, const void *data, size_t size)
{
	crc = ~crc;
	for (const uint8_t *p = data; size; size--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void put(struct trace_writer *w, const void *data, size_t size)
{
	if (fwrite_unlocked(data, 1, size, w->file) != size && !w->error)
		w->error = errno;
	w->crc = crc32(w->crc, data, size);
	w->nbytes += size;
}

static void put_varint(struct trace_writer *w, uint64_t value, unsigned int kind)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (value = value << 2 | kind; value >= 0x80; value >>= 7)
		bytes[n++] = value | 0x80;
	bytes[n++] = value;
	put(w, bytes, n);
}

static void put_head(struct trace_writer *w)
{
	struct head head = { .version = htole32(VERSION) };

	if (w->nbytes)
		return;
	memcpy(head.magic, magic, sizeof(magic));
	put(w, &head, sizeof(head));
}

static void put_event(struct trace_writer *w, uint32_t thread, uint64_t value, unsigned int kind)
{
	put_head(w);
	if (thread != w->thread)
		put_varint(w, thread, THREAD);
	w->thread = thread;
	if (thread >= w->nthreads)
		w->nthreads = thread + 1;
	put_varint(w, value, kind);
	w->nevents++;
}

uint32_t trace_write_alloc(struct trace_writer *w, uint32_t thread, uint64_t size)
{
	put_event(w, thread, size, ALLOC);
	return w->nobjects++;
}

void trace_write_free(struct trace_writer *w, uint32_t thread, uint32_t object)
{
	put_event(w, thread, w->nobjects - 1 - object, FREE);
}

int trace_write_end(struct trace_writer *w, uint32_t nprocesses)
{
	struct tail tail = {
		.nevents = htole64(w->nevents),
		.nobjects = htole32(w->nobjects),
		.nthreads = htole32(w->nthreads),
		.nprocesses = htole32(nprocesses),
	};

	put_head(w);
	put(w, &tail, offsetof(struct tail, crc));
	tail.crc = htole32(w->crc);
	put(w, &tail.crc, sizeof(tail.crc));
	if (fflush(w->file) != 0 && !w->error)
		w->error = errno;
	return -w->error;
}

struct parser {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t *sizes; /* of objects that are live */
	struct trace *trace;
	size_t nevents;
	uint32_t nobjects;
	uint32_t nthreads;
	uint32_t thread;
	uint64_t live_bytes;
};

#define FREED UINT64_MAX

static bool get_varint(struct parser *p, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; p->at < p->end && shift < 64; shift += 7) {
		uint64_t bits = *p->at & 0x7f;

		if (bits << shift >> shift != bits)
			return false;
		*value |= bits << shift;
		if (!(*p->at++ & 0x80))
			return true;
	}
	return false;
}

static bool get_alloc(struct parser *p, uint64_t size, struct trace_event *e)
{
	struct trace *t = p->trace;

	if (p->nobjects == t->nobjects ||
	    __builtin_add_overflow(p->live_bytes, size, &p->live_bytes))
		return false;
	if (p->live_bytes > t->live_bytes_high)
		t->live_bytes_high = p->live_bytes;
	*e = (struct trace_event){ .object = p->nobjects, .thread = p->thread, .size = size };
	p->sizes[p->nobjects++] = size;
	return true;
}

static bool get_free(struct parser *p, uint64_t back, struct trace_event *e)
{
	uint32_t object = p->nobjects - 1 - back;

	if (back >= p->nobjects || p->sizes[object] == FREED)
		return false;
	p->live_bytes -= p->sizes[object];
	p->sizes[object] = FREED;
	*e = (struct trace_event){ .object = object, .thread = p->thread, .is_free = 1 };
	return true;
}

static bool get_events(struct parser *p)
{
	struct trace *t = p->trace;
	uint64_t value;

	while (p->at < p->end) {
		if (!get_varint(p, &value))
			return false;
		if ((value & 3) == THREAD) {
			if (value >> 2 > p->nthreads || value >> 2 >= t->nthreads)
				return false;
			p->thread = value >> 2;
			continue;
		}
		if (p->nevents == t->nevents)
			return false;
		if (p->thread == p->nthreads)
			p->nthreads++;
		if (!((value & 3) == ALLOC ?
			      get_alloc(p, value >> 2, &t->events[p->nevents]) :
			      (value & 3) == FREE &&
				      get_free(p, value >> 2, &t->events[p->nevents])))
			return false;
		p->nevents++;
	}
	return p->nevents == t->nevents && p->nobjects == t->nobjects && p->nthreads == t->nthreads;
}

/*
 * What the file says of itself. An event has a byte at least, so nothing can make this ask for more
 * than its size accounts for.
 */
static bool get_counts(struct trace *t, const struct tail *tail, size_t size)
{
	uint64_t nevents = le64toh(tail->nevents);

	t->nevents = nevents;
	t->nobjects = le32toh(tail->nobjects);
	t->nthreads = le32toh(tail->nthreads);
	t->nprocesses = le32toh(tail->nprocesses);
	return nevents <= size && t->nobjects <= nevents && t->nthreads <= nevents &&
	       t->nthreads <= INT32_MAX && t->nprocesses <= t->nthreads &&
	       (t->nprocesses || !nevents);
}

static struct trace *fail(struct trace *t, struct parser *p, char **error, const char *what)
{
	free(p->sizes);
	trace_free(t);
	*error = strdup(what);
	return NULL;
}

struct trace *trace_parse(const void *data, size_t size, char **error)
{
	struct trace *t = calloc(1, sizeof(*t));
	struct parser p = { .trace = t };
	struct head head;
	struct tail tail;

	if (!t)
		return fail(t, &p, error, "out of memory");
	if (size == 0)
		return fail(t, &p, error, "is empty");
	if (memcmp(data, magic, size < sizeof(magic) ? size : sizeof(magic)) != 0)
		return fail(t, &p, error, "is not a trace of anyrcu record");
	if (size < sizeof(head) + sizeof(tail))
		return fail(t, &p, error, "is truncated");
	memcpy(&head, data, sizeof(head));
	memcpy(&tail, (const char *)data + size - sizeof(tail), sizeof(tail));
	if (le32toh(head.version) != VERSION)
		return fail(t, &p, error, "is a trace of another version of anyrcu record");
	if (crc32(0, data, size - sizeof(tail.crc)) != le32toh(tail.crc))
		return fail(t, &p, error, "is truncated or corrupt");
	p.at = (const uint8_t *)data + sizeof(head);
	p.end = (const uint8_t *)data + size - sizeof(tail);
	if (!get_counts(t, &tail, p.end - p.at))
		return fail(t, &p, error, "is corrupt");
	t->events = malloc(t->nevents * sizeof(*t->events) + 1);
	p.sizes = malloc(t->nobjects * sizeof(*p.sizes) + 1);
	if (!t->events || !p.sizes)
		return fail(t, &p, error, "is too large for the memory there is");
	if (!get_events(&p))
		return fail(t, &p, error, "is corrupt");
	free(p.sizes);
	return t;
}

/*
 * All of a file, or NULL and the errno. Read rather than mapped, as it may be a pipe, or be cut
 * short by somebody meanwhile. What does not begin as a trace is not read further: it may have no
 * end.
 */
static char *read_all(int fd, size_t *size)
{
	size_t room = 1 << 16;
	char *data = malloc(room);
	ssize_t n = 1;

	for (*size = 0; data && n > 0; *size += n) {
		if (*size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) != 0)
			return data;
		if (*size == room) {
			char *more = realloc(data, room *= 2);

			if (!more)
				break;
			data = more;
		}
		do
			n = read(fd, data + *size, room - *size);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			break;
	}
	if (data && n == 0)
		return data;
	free(data);
	return NULL;
}

struct trace *trace_read(const char *path, char **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct trace *t = NULL;
	char *what = NULL;
	char *data = NULL;
	size_t size;

	if (fd >= 0) {
		data = read_all(fd, &size);
		what = data ? NULL : strdup(strerror(errno));
		close(fd);
		if (data)
			t = trace_parse(data, size, &what);
		free(data);
	} else {
		what = strdup(strerror(errno));
	}
	if (!t && asprintf(error, data || !what ? "%s %s" : "%s: %s", path,
			   what ? what : "cannot be read") < 0)
		*error = NULL;
	free(what);
	return t;
}

void trace_free(struct trace *trace)
{
	if (trace)
		free(trace->events);
	free(trace);
}
