/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu record: run a program with the recorder preloaded, keep what it writes into the shared
 * pool, and at its end make one trace of it. pool.h says how events get into the pool.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trace/merge.h"
#include "program.h"
#include "tool.h"

enum { OPTION_JSON = 256 };

#define CHUNK_BYTES sizeof(pool_chunk)

struct recording {
	const char *path;
	struct program program;
	bool json;
	FILE *file;
	struct pool *pool;
	int pool_fd;
	int spool_fd; /* full chunks, one after the other */
	size_t spooled;
	int spool_error;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void make_pool(struct recording *r)
{
	r->pool_fd = memfd_create("anyrcu-record", MFD_CLOEXEC);
	if (r->pool_fd < 0 || ftruncate(r->pool_fd, sizeof(*r->pool)) != 0)
		program_die("memory to share with the program", strerror(errno));
	r->pool = mmap(NULL, sizeof(*r->pool), PROT_READ | PROT_WRITE, MAP_SHARED, r->pool_fd, 0);
	if (r->pool == MAP_FAILED)
		program_die("memory to share with the program", strerror(errno));
	for (size_t i = 0; i < POOL_CHUNKS / 64; i++)
		r->pool->unused[i] = UINT64_MAX;
	for (size_t i = 0; i < POOL_CPUS; i++)
		r->pool->cpu[i].open = POOL_NO_CHUNK;
	r->pool->magic = POOL_MAGIC;
}

static void make_spool(struct recording *r)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/anyrcu-record-XXXXXX", dir && *dir ? dir : "/var/tmp");
	r->spool_fd = mkostemp(path, O_CLOEXEC);
	if (r->spool_fd < 0)
		program_die(path, strerror(errno));
	unlink(path);
}

/* Not emptied before there is a trace to write: until then it may be good for something. */
static void open_file(struct recording *r)
{
	int fd = open(r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	r->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!r->file)
		program_die(r->path, strerror(errno));
}

static bool is_full(const struct pool_event *chunk)
{
	for (size_t i = POOL_CHUNK_EVENTS; i-- > 0;)
		if (!atomic_load_explicit(&chunk[i].stamp, memory_order_acquire))
			return false;
	return true;
}

static int write_all(int fd, const void *data, size_t size, off_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)data + done, size - done, at + done);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n == 0)
			return ENOSPC;
		if (n > 0)
			done += n;
	}
	return 0;
}

/*
 * Empty the chunks that are full, which nobody writes to any more. When there is no room for them,
 * recording ends.
 */
static void drain(struct recording *r)
{
	struct pool *pool = r->pool;

	for (size_t i = 0; i < POOL_CHUNKS && !r->spool_error; i++) {
		if (atomic_load(&pool->unused[i / 64]) >> i % 64 & 1 || !is_full(pool->chunk[i]))
			continue;
		r->spool_error = write_all(r->spool_fd, pool->chunk[i], CHUNK_BYTES,
					   r->spooled * CHUNK_BYTES);
		if (r->spool_error) {
			atomic_compare_exchange_strong(&pool->end, &(uint64_t){ 0 }, now());
			break;
		}
		r->spooled++;
		memset(pool->chunk[i], 0, CHUNK_BYTES);
		atomic_fetch_or(&pool->unused[i / 64], 1ull << i % 64);
	}
	atomic_fetch_add(&pool->beat, 1);
}

/* Until it exits; then with what, as a shell says it. */
static int attend_program(struct recording *r)
{
	/* How long it takes to fill the pool is a few times this. */
	static const struct timespec tick = { .tv_nsec = 5000000 };
	struct program *p = &r->program;
	char pool[64];
	int status;

	snprintf(pool, sizeof(pool), "/proc/%d/fd/%d", (int)getpid(), r->pool_fd);
	if (setenv(POOL_ENV, pool, 1) != 0)
		program_die(POOL_ENV, strerror(errno));
	program_start(p);
	for (;;) {
		int sig = sigtimedwait(&p->signals, NULL, &tick);

		if (sig == SIGTERM || sig == SIGHUP)
			kill(p->pid, sig);
		drain(r);
		if (sig == SIGCHLD && waitpid(p->pid, &status, WNOHANG) == p->pid)
			return program_status(status);
	}
}

static uint64_t merge_began;
static bool progress_shown;

static void show_progress(double share)
{
	if (now() - merge_began < 2000000000 || !isatty(STDERR_FILENO))
		return;
	progress_shown = true;
	fprintf(stderr, "\ranyrcu: writing the trace: %.0f%%", share * 100);
}

/* Whatever of the recording survived makes a trace. */
static void write_trace(struct recording *r, struct merge *m)
{
	size_t bytes = r->spooled * CHUNK_BYTES;
	int error;

	if (bytes) {
		m->chunks = mmap(NULL, bytes, PROT_READ, MAP_SHARED, r->spool_fd, 0);
		if (m->chunks == MAP_FAILED)
			program_die("recorded events", strerror(errno));
	}
	m->nchunks = r->spooled;
	m->pool = r->pool;
	m->progress = show_progress;
	m->writer->file = r->file;
	/* What is no regular file cannot be emptied, and need not be. */
	if (ftruncate(fileno(r->file), 0) != 0 && errno != EINVAL)
		program_die(r->path, strerror(errno));
	merge_began = now();
	if (!merge(m))
		program_die(r->path, strerror(ENOMEM));
	error = -trace_write_end(m->writer, m->nprocesses);
	if (progress_shown)
		fputs("\r\033[K", stderr);
	if (fclose(r->file) != 0 && !error)
		error = errno;
	if (error)
		program_die(r->path, strerror(error));
}

/* What the trace does not have as it was. */
static void warn(const struct recording *r, const struct merge *m, bool ended)
{
	const char *name = r->program.argv[0];

	if (r->spool_error)
		fprintf(stderr,
			"anyrcu: the trace ends early, as there was no room for more: %s (TMPDIR says where)\n",
			strerror(r->spool_error));
	else if (m->too_many)
		fprintf(stderr,
			"anyrcu: the trace ends early, as it has as many objects as a trace can have\n");
	else if (ended)
		fprintf(stderr,
			"anyrcu: the trace ends early, as %s ran on while this process was stopped\n",
			name);
	if (atomic_load(&r->pool->processes) == 0)
		fprintf(stderr,
			"anyrcu: %s was not recorded: it is static or setuid, or not for this machine\n",
			name);
	else if (m->writer->nevents == 0)
		fprintf(stderr, "anyrcu: %s allocated nothing, or has an allocator of its own\n",
			name);
	if (m->unknown_frees)
		fprintf(stderr,
			"anyrcu: left out %llu frees of what was not seen allocated or was inherited by fork\n",
			(unsigned long long)m->unknown_frees);
	if (m->missed_frees)
		fprintf(stderr,
			"anyrcu: put in %llu frees that were not seen, where addresses were allocated again\n",
			(unsigned long long)m->missed_frees);
}

static void summarise(const struct recording *r, const struct merge *m, bool complete)
{
	const struct trace_writer *w = m->writer;
	uint64_t frees = w->nevents - w->nobjects;
	json_t *json;

	if (!r->json) {
		fprintf(stderr,
			"anyrcu: %s, %llu bytes: %u allocations, %llu bytes in all, "
			"%llu frees, %u threads, %u processes\n",
			r->path, (unsigned long long)w->nbytes, w->nobjects,
			(unsigned long long)m->allocated_bytes, (unsigned long long)frees,
			w->nthreads, m->nprocesses);
		return;
	}
	json = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "complete", complete,
			 "events", (json_int_t)w->nevents, "allocations", (json_int_t)w->nobjects,
			 "frees", (json_int_t)frees, "threads", (json_int_t)w->nthreads,
			 "processes", (json_int_t)m->nprocesses, "bytes",
			 (json_int_t)m->allocated_bytes, "file_bytes", (json_int_t)w->nbytes,
			 "unknown_frees", (json_int_t)m->unknown_frees, "missed_frees",
			 (json_int_t)m->missed_frees);
	if (!json || json_dumpf(json, stderr, 0) != 0)
		program_die(r->path, "the summary cannot be printed as JSON");
	json_decref(json);
	fputc('\n', stderr);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct recording *r = state->input;

	switch (key) {
	case 'o':
		r->path = arg;
		return 0;
	case OPTION_JSON:
		r->json = true;
		return 0;
	case ARGP_KEY_ARG:
		r->program.argv = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!r->program.argv)
			argp_error(state, "no program to record");
		if (!r->path)
			argp_error(state, "no file to write to: -o FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_record(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ NULL, 'o', "FILE", 0, "Write the trace to FILE", 0 },
		{ "json", OPTION_JSON, NULL, 0, "Print the summary as a line of JSON", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "PROGRAM [ARG...]",
		.doc = "Run PROGRAM and write down what it allocates and frees, for anyrcu replay.",
	};
	struct recording r = { 0 };
	struct trace_writer writer = { 0 };
	struct merge m = { .writer = &writer };
	bool ended;
	int status;

	argp_err_exit_status = EXIT_OURS;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &r);
	program_prepare(&r.program, "libanyrcu-record.so",
			PRELOAD_FROM_BINDIR "/libanyrcu-record.so");
	open_file(&r);
	make_spool(&r);
	make_pool(&r);
	status = attend_program(&r);
	/* The program has ended; what it left running is recorded no further. */
	ended = !atomic_compare_exchange_strong(&r.pool->end, &(uint64_t){ 0 }, now());
	program_over(&r.program);
	write_trace(&r, &m);
	warn(&r, &m, ended);
	summarise(&r, &m, !ended && !m.too_many);
	return status;
}
