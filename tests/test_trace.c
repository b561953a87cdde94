/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Traces as files, whole and damaged, and how recorded events become one. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "trace/merge.h"
#include "trace/trace.h"

struct file {
	char *data;
	size_t size;
	struct trace_writer w;
};

static void begin(struct file *f)
{
	memset(f, 0, sizeof(*f));
	f->w.file = open_memstream(&f->data, &f->size);
	assert_non_null(f->w.file);
}

static void end(struct file *f, uint32_t nprocesses)
{
	assert_int_equal(trace_write_end(&f->w, nprocesses), 0);
	assert_int_equal(fclose(f->w.file), 0);
	assert_int_equal(f->w.nbytes, f->size);
}

/* Something of everything. */
static void write_sample(struct file *f)
{
	begin(f);
	assert_int_equal(trace_write_alloc(&f->w, 0, 24), 0);
	assert_int_equal(trace_write_alloc(&f->w, 1, 0), 1);
	assert_int_equal(trace_write_alloc(&f->w, 1, 1ull << 46), 2);
	trace_write_free(&f->w, 0, 2);
	trace_write_free(&f->w, 2, 0);
	assert_int_equal(trace_write_alloc(&f->w, 0, 100), 3);
	trace_write_free(&f->w, 0, 3);
	end(f, 2);
}

static const struct trace_event sample[] = {
	{ .object = 0, .thread = 0, .size = 24 },
	{ .object = 1, .thread = 1, .size = 0 },
	{ .object = 2, .thread = 1, .size = 1ull << 46 },
	{ .object = 2, .thread = 0, .is_free = 1 },
	{ .object = 0, .thread = 2, .is_free = 1 },
	{ .object = 3, .thread = 0, .size = 100 },
	{ .object = 3, .thread = 0, .is_free = 1 },
};

static void assert_events(const struct trace *t, const struct trace_event *events, size_t n)
{
	assert_int_equal(t->nevents, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(t->events[i].object, events[i].object);
		assert_int_equal(t->events[i].thread, events[i].thread);
		assert_int_equal(t->events[i].is_free, events[i].is_free);
		assert_int_equal(t->events[i].size, events[i].size);
	}
}

static struct trace *parse(const struct file *f)
{
	char *error = NULL;
	struct trace *t = trace_parse(f->data, f->size, &error);

	if (!t)
		fail_msg("%s", error);
	return t;
}

static void assert_refused(const void *data, size_t size, const char *why)
{
	char *error = NULL;
	/* Of its very size, so that a sanitizer sees what is read past it. */
	char *copy = malloc(size);
	struct trace *t;

	memcpy(copy, data, size);
	t = trace_parse(copy, size, &error);
	free(copy);
	assert_null(t);
	assert_non_null(error);
	assert_null(strchr(error, '\n'));
	if (!strstr(error, why))
		fail_msg("says \"%s\", not \"%s\"", error, why);
	free(error);
}

static void round_trip(void **state)
{
	struct file f;
	struct trace *t;

	write_sample(&f);
	t = parse(&f);
	assert_events(t, sample, sizeof(sample) / sizeof(*sample));
	assert_int_equal(t->nobjects, 4);
	assert_int_equal(t->nthreads, 3);
	assert_int_equal(t->nprocesses, 2);
	assert_int_equal(t->live_bytes_high, 24 + (1ull << 46));
	trace_free(t);
	free(f.data);
	trace_free(NULL);
}

static void nothing_happened(void **state)
{
	struct file f;
	struct trace *t;

	begin(&f);
	end(&f, 0);
	t = parse(&f);
	assert_events(t, NULL, 0);
	assert_int_equal(t->nobjects + t->nthreads + t->nprocesses + t->live_bytes_high, 0);
	trace_free(t);
	free(f.data);
}

/* Sizes at each length of a varint, and objects far apart. */
static void varints(void **state)
{
	struct file f;
	struct trace *t;
	int n = 0;

	begin(&f);
	for (int bit = 0; bit < 62; bit++)
		for (int less = 0; less < 2; less++)
			trace_write_alloc(&f.w, 0, (1ull << bit) - less),
				trace_write_free(&f.w, 0, n++);
	trace_write_alloc(&f.w, 0, 1);
	for (int i = 0; i < 300000; i++)
		trace_write_free(&f.w, 0, trace_write_alloc(&f.w, 0, i));
	trace_write_free(&f.w, 0, n);
	end(&f, 1);
	t = parse(&f);
	for (int i = 0; i < n; i++)
		assert_int_equal(t->events[2 * i].size, (1ull << i / 2) - i % 2);
	assert_int_equal(t->events[t->nevents - 1].object, n);
	assert_true(t->events[t->nevents - 1].is_free);
	trace_free(t);
	free(f.data);
}

static void truncated(void **state)
{
	struct file f;

	write_sample(&f);
	assert_refused(f.data, 0, "is empty");
	for (size_t size = 1; size < f.size; size++)
		assert_refused(f.data, size, "is truncated");
	free(f.data);
}

static void damaged(void **state)
{
	struct file f;

	write_sample(&f);
	for (size_t i = 0; i < f.size; i++) {
		for (int bits = 1; bits < 256; bits++) {
			f.data[i] ^= bits;
			assert_refused(f.data, f.size,
				       i < 12 ? "not a trace" :
				       i < 16 ? "another version" :
						"truncated or corrupt");
			f.data[i] ^= bits;
		}
	}
	free(f.data);
}

static void longer(void **state)
{
	struct file f;
	char *data;

	write_sample(&f);
	data = calloc(1, f.size * 2);
	memcpy(data, f.data, f.size);
	memcpy(data + f.size, f.data, f.size);
	assert_refused(data, f.size + 1, "corrupt");
	assert_refused(data, f.size * 2, "corrupt");
	free(data);
	free(f.data);
}

/* A file with these events and counts and the right checksum: only what it says is wrong. */
static size_t forge(unsigned char *out, const void *events, size_t size, uint64_t nevents,
		    uint32_t nobjects, uint32_t nthreads, uint32_t nprocesses)
{
	static const unsigned char head[] = "anyrcu-trace\1\0\0";
	const uint64_t counts[] = { nevents, nobjects | (uint64_t)nthreads << 32, nprocesses };
	size_t n = sizeof(head);
	uint32_t crc;

	memcpy(out, head, n);
	if (size)
		memcpy(out + n, events, size);
	n += size;
	for (size_t i = 0; i < 20; i++)
		out[n++] = counts[i / 8] >> i % 8 * 8;
	crc = crc32(0, out, n);
	for (int i = 0; i < 4; i++)
		out[n++] = crc >> i * 8;
	return n;
}

static void inconsistent(void **state)
{
	static const struct {
		const char *events;
		size_t size;
		uint64_t nevents;
		uint32_t nobjects, nthreads, nprocesses;
	} cases[] = {
		{ "\x40\x01", 2, 3, 1, 1, 1 }, /* more events than bytes */
		{ "\x40\x01", 2, UINT64_MAX, 1, 1, 1 },
		{ "\x40\x01", 2, 1ull << 60, 1, 1, 1 },
		{ "\x40\x01", 2, 1, 1, 1, 1 }, /* fewer than there are */
		{ "\x40\x01", 2, 2, 2, 1, 1 },
		{ "\x40\x01", 2, 2, UINT32_MAX, 1, 1 },
		{ "\x40\x01", 2, 2, 0, 1, 1 },
		{ "\x40\x01", 2, 2, 1, 2, 1 },
		{ "\x40\x01", 2, 2, 1, 0, 0 },
		{ "\x40\x01", 2, 2, 1, UINT32_MAX, 1 },
		{ "\x40\x01", 2, 2, 1, 1, 0 },
		{ "\x40\x01", 2, 2, 1, 1, 2 },
		{ "", 0, 0, 0, 0, 1 },
		{ "\x01\x40", 2, 2, 1, 1, 1 }, /* a free before the allocation */
		{ "\x40\x01\x01", 3, 3, 1, 1, 1 }, /* two of them */
		{ "\x40\x05", 2, 2, 1, 1, 1 }, /* of an object before the first */
		{ "\x40\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 2, 1, 1, 1 },
		{ "\x40\x03", 2, 2, 1, 1, 1 }, /* an event of no kind */
		{ "\x40\x06\x40\x01", 4, 3, 2, 3, 1 }, /* thread 2 is missing */
		{ "\x40\x0a\x40\x01", 4, 3, 2, 3, 1 }, /* thread 1 is */
		{ "\x06\x40", 2, 1, 1, 2, 1 }, /* thread 0 is */
		{ "\x40\x81", 2, 2, 1, 1, 1 }, /* half a number */
		/* one too long */
		{ "\x40\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, 2, 2, 1, 1 },
		/* or large */
		{ "\x40\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, 2, 2, 1, 1 },
		/* More bytes than there are. */
		{ "\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		  "\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		  "\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		  50, 5, 5, 1, 1 },
	};
	unsigned char data[4096];
	struct file f = { .data = (char *)data };
	size_t size;

	f.size = forge(data, "\x40\x01", 2, 2, 1, 1, 1); /* the way it should be */
	trace_free(parse(&f));

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size = forge(data, cases[i].events, cases[i].size, cases[i].nevents,
			     cases[i].nobjects, cases[i].nthreads, cases[i].nprocesses);
		assert_refused(data, size, "is corrupt");
	}
}

/* Whatever stands there is refused or makes a trace that keeps its promises. */
static void noise(void **state)
{
	unsigned char data[4096], events[64];
	unsigned int seed = 1;
	size_t good = 0;

	for (int i = 0; i < 200000; i++) {
		size_t n = rand_r(&seed) % 8, size;
		char *error = NULL;
		struct trace *t;

		for (size_t j = 0; j < n; j++)
			events[j] = rand_r(&seed) % 4 ? rand_r(&seed) % 16 : rand_r(&seed);
		size = forge(data, events, n, rand_r(&seed) % 8, rand_r(&seed) % 4,
			     rand_r(&seed) % 3, 1);
		t = trace_parse(data, size, &error);
		assert_true(!t == !!error);
		if (t) {
			unsigned char live[64] = { 0 }, seen = 0;

			good++;
			for (size_t j = 0; j < t->nevents; j++) {
				const struct trace_event *e = &t->events[j];

				assert_true(e->thread < t->nthreads);
				if (e->is_free)
					assert_int_equal(live[e->object]--, 1);
				else
					assert_int_equal(e->object, seen), live[seen++] = 1;
			}
			assert_int_equal(seen, t->nobjects);
		}
		trace_free(t);
		free(error);
	}
	assert_true(good > 100);
}

static void assert_unreadable(const char *path, const char *why)
{
	char *error = NULL;

	assert_null(trace_read(path, &error));
	assert_non_null(error);
	assert_non_null(strstr(error, path));
	assert_null(strchr(error, '\n'));
	if (!strstr(error, why))
		fail_msg("says \"%s\", not \"%s\"", error, why);
	free(error);
}

static void files(void **state)
{
	char dir[] = "/tmp/test_trace.XXXXXX", path[64];
	char *error = NULL;
	struct file f;
	struct trace *t;
	FILE *out;

	assert_non_null(mkdtemp(dir));
	assert_unreadable(dir, "Is a directory");
	snprintf(path, sizeof(path), "%s/trace", dir);
	assert_unreadable(path, "No such file");
	assert_unreadable("/dev/null", "is empty");
	assert_unreadable("/dev/zero", "is not a trace");
	write_sample(&f);
	out = fopen(path, "w");
	assert_int_equal(fwrite(f.data, 1, f.size, out), f.size);
	assert_int_equal(fclose(out), 0);
	t = trace_read(path, &error);
	assert_non_null(t);
	assert_events(t, sample, sizeof(sample) / sizeof(*sample));
	trace_free(t);
	assert_int_equal(truncate(path, f.size - 1), 0);
	assert_unreadable(path, "is truncated or corrupt");
	assert_int_equal(truncate(path, 5), 0);
	assert_unreadable(path, "is truncated");
	if (geteuid() != 0) {
		assert_int_equal(chmod(path, 0), 0);
		assert_unreadable(path, "Permission denied");
	}
	unlink(path);
	rmdir(dir);
	free(f.data);
}

/* Larger than what is read at a time, and through a pipe. */
static void from_a_pipe(void **state)
{
	char *error = NULL;
	struct file f;
	struct trace *t;
	FILE *out;
	int fd[2];
	char path[64];

	begin(&f);
	for (int i = 0; i < 200000; i++)
		trace_write_alloc(&f.w, 0, i);
	end(&f, 1);
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_true(fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) >= (int)f.size);
	out = fdopen(fd[1], "w");
	assert_int_equal(fwrite(f.data, 1, f.size, out), f.size);
	assert_int_equal(fclose(out), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd[0]);
	t = trace_read(path, &error);
	assert_non_null(t);
	assert_int_equal(t->nevents, 200000);
	assert_int_equal(t->events[199999].size, 199999);
	trace_free(t);
	close(fd[0]);
	free(f.data);
}

static void no_room(void **state)
{
	struct trace_writer w = { .file = fopen("/dev/full", "w") };

	for (int i = 0; i < 100000; i++)
		trace_write_alloc(&w, 0, i);
	assert_int_equal(trace_write_end(&w, 1), -ENOSPC);
	fclose(w.file);
}

/* A recording by hand: each call appends to a chunk. */
struct hand {
	struct pool *pool;
	size_t used[4];
	/* those that left the pool; 0 and 1, the others are in it */
	struct pool_event (*chunks)[POOL_CHUNK_EVENTS];
	uint64_t end;
};

static void event(struct hand *h, int chunk, uint64_t stamp, uint32_t process, uint32_t thread,
		  uint64_t address, uint64_t size)
{
	struct pool_event *e = chunk < 2 ? h->chunks[chunk] : h->pool->chunk[chunk];

	e += h->used[chunk]++;
	e->address = address;
	e->size = size;
	e->process = process;
	e->thread = thread;
	atomic_store(&e->stamp, stamp);
	if (process > h->pool->processes)
		h->pool->processes = process;
	if (thread >= h->pool->threads)
		h->pool->threads = thread + 1;
}

static int set_up(void **state)
{
	struct hand *h = calloc(1, sizeof(*h));

	h->pool = mmap(NULL, sizeof(*h->pool), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	h->chunks = calloc(2, sizeof(*h->chunks));
	assert_true(h->pool != MAP_FAILED && h->chunks);
	for (int i = 0; i < POOL_CHUNKS / 64; i++)
		h->pool->unused[i] = UINT64_MAX;
	h->pool->unused[0] &= ~0xcull;
	h->pool->end = UINT64_MAX;
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct hand *h = *state;

	munmap(h->pool, sizeof(*h->pool));
	free(h->chunks);
	free(h);
	return 0;
}

static void no_progress(double share)
{
}

static void assert_merged(struct hand *h, struct merge *m, const struct trace_event *events,
			  size_t n)
{
	struct file f;
	struct trace *t;

	begin(&f);
	m->chunks = (pool_chunk *)h->chunks;
	m->nchunks = 2;
	m->pool = h->pool;
	m->writer = &f.w;
	m->progress = no_progress;
	assert_true(merge(m));
	end(&f, m->nprocesses);
	t = parse(&f);
	assert_events(t, events, n);
	trace_free(t);
	free(f.data);
}

#define A(o, t, s)                                  \
	{                                           \
		.object = o, .thread = t, .size = s \
	}
#define F(o, t)                                        \
	{                                              \
		.object = o, .thread = t, .is_free = 1 \
	}
#define ASSERT_MERGED(h, m, ...)                                               \
	do {                                                                   \
		static const struct trace_event events[] = { __VA_ARGS__ };    \
		assert_merged(h, m, events, sizeof(events) / sizeof(*events)); \
	} while (0)

/* An address goes round between threads on different CPUs. */
static void merge_by_stamp(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };

	event(h, 2, 10, 1, 5, 0x1000, 100);
	event(h, 0, 20, 1, 3, 0x1000, POOL_FREE);
	event(h, 3, 30, 1, 4, 0x1000, 200);
	event(h, 1, 40, 1, 5, 0x1000, POOL_FREE);
	event(h, 2, 50, 1, 5, 0x1000, 300);
	ASSERT_MERGED(h, &m, A(0, 0, 100), F(0, 1), A(1, 2, 200), F(1, 0), A(2, 0, 300));
	assert_int_equal(m.nprocesses, 1);
	assert_int_equal(m.allocated_bytes, 600);
	assert_int_equal(m.unknown_frees + m.missed_frees, 0);
}

/*
 * Thread 0 was interrupted between stamp and place: its event happened later than what stands
 * before it.
 */
static void merge_by_place(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };

	event(h, 2, 10, 1, 0, 0x1000, 100);
	event(h, 3, 40, 1, 1, 0x2000, 200);
	event(h, 3, 20, 1, 0, 0x1000, POOL_FREE);
	event(h, 2, 35, 1, 2, 0x3000, 300);
	ASSERT_MERGED(h, &m, A(0, 0, 100), A(1, 1, 300), A(2, 2, 200), F(0, 0));
	assert_int_equal(m.unknown_frees + m.missed_frees, 0);
}

static void merge_holes(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };

	event(h, 2, 0, 0, 0, 0, 0);
	event(h, 2, 10, 1, 0, 0x1000, 100);
	event(h, 2, 0, 1, 0, 0x1000, POOL_FREE); /* killed before the stamp */
	event(h, 2, 20, 1, 0, 0, POOL_FREE); /* realloc() failed */
	event(h, 2, 30, 1, 0, 0x2000, 200);
	ASSERT_MERGED(h, &m, A(0, 0, 100), A(1, 0, 200));
}

static void merge_processes(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };

	event(h, 2, 10, 1, 0, 0x1000, 100);
	event(h, 2, 20, 3, 1, 0x1000, POOL_FREE); /* inherited */
	event(h, 2, 30, 3, 1, 0x1000, 200);
	event(h, 2, 40, 1, 0, 0x1000, POOL_FREE);
	event(h, 2, 50, 3, 1, 0x1000, POOL_FREE);
	ASSERT_MERGED(h, &m, A(0, 0, 100), A(1, 1, 200), F(0, 0), F(1, 1));
	assert_int_equal(m.nprocesses, 2);
	assert_int_equal(m.unknown_frees, 1);
}

static void merge_missed_free(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };

	event(h, 2, 10, 1, 0, 0x1000, 100);
	event(h, 2, 20, 1, 1, 0x1000, 200);
	event(h, 2, 30, 1, 0, 0x1000, POOL_FREE);
	event(h, 2, 40, 1, 0, 0x1000, POOL_FREE);
	ASSERT_MERGED(h, &m, A(0, 0, 100), F(0, 1), A(1, 1, 200), F(1, 0));
	assert_int_equal(m.missed_frees, 1);
	assert_int_equal(m.unknown_frees, 1);
}

/* After the end, and what no recorder writes. */
static void merge_strangers(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 }, again = { 0 };

	event(h, 2, 10, 1, 0, 0x1000, 100);
	event(h, 2, 20, 1, 0, 0x1000, POOL_FREE);
	event(h, 3, 15, 9, 7, 0x2000, 200);
	event(h, 3, 21, 1, 0, 0x3000, 300);
	h->pool->end = 20;
	h->pool->threads = 7;
	ASSERT_MERGED(h, &m, A(0, 0, 100), F(0, 0));
	h->pool->threads = 8;
	h->pool->processes = 8;
	ASSERT_MERGED(h, &again, A(0, 0, 100), F(0, 0));
}

/* Objects come and go among many others, in the places that those before them left. */
static void merge_many(void **state)
{
	struct hand *h = *state;
	struct merge m = { 0 };
	struct trace_event events[4 * POOL_CHUNK_EVENTS];
	uint64_t address[4 * POOL_CHUNK_EVENTS];
	uint32_t live[4 * POOL_CHUNK_EVENTS], nlive = 0, nobjects = 0;
	unsigned int seed = 1;

	for (int i = 0; i < 4 * POOL_CHUNK_EVENTS; i++) {
		uint32_t pick = nlive ? rand_r(&seed) % nlive : 0;

		if (nlive && rand_r(&seed) % 5 < 2) {
			events[i] = (struct trace_event)F(live[pick], 0);
			event(h, i % 4, i + 1, 1, 0, address[live[pick]], POOL_FREE);
			live[pick] = live[--nlive];
			continue;
		}
		events[i] = (struct trace_event)A(nobjects, 0, i);
		address[nobjects] = 0x7f0000000000 + 16 * (uint64_t)i;
		event(h, i % 4, i + 1, 1, 0, address[nobjects], i);
		live[nlive++] = nobjects++;
	}
	assert_true(nlive > 1000);
	assert_merged(h, &m, events, 4 * POOL_CHUNK_EVENTS);
	assert_int_equal(m.unknown_frees + m.missed_frees, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(nothing_happened),
		cmocka_unit_test(varints),
		cmocka_unit_test(truncated),
		cmocka_unit_test(damaged),
		cmocka_unit_test(longer),
		cmocka_unit_test(inconsistent),
		cmocka_unit_test(noise),
		cmocka_unit_test(files),
		cmocka_unit_test(from_a_pipe),
		cmocka_unit_test(no_room),
		cmocka_unit_test_setup_teardown(merge_by_stamp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_by_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_holes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_processes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_missed_free, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merge_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
