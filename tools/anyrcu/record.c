/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu record: run a program with the recorder preloaded, keep what it writes into the shared pool, and at its end
 * make one trace of it. preload/pool.h says how events get into the pool.
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

#include "merge.h"
#include "tool.h"

/* As env(1) and nohup(1) have it; the program may exit with whatever it likes. */
enum { EXIT_OURS = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, EXIT_KILLED = 128 };

enum { OPTION_JSON = 256 };

#define CHUNK_BYTES sizeof(pool_chunk)

struct recording {
	const char *path;
	char **program;
	bool json;
	FILE *file;
	char preload[PATH_MAX];
	struct pool *pool;
	int pool_fd;
	int spool_fd; /* full chunks, one after the other */
	size_t spooled;
	int spool_error;
	sigset_t mask; /* that the program has to get */
	void (*on_child)(int);
	void (*on_too_large)(int);
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void die(const char *name, const char *what)
{
	fprintf(stderr, "anyrcu: %s: %s\n", name, what);
	exit(EXIT_OURS);
}

/* In the build it lies beside the tool, installed where the libraries are. */
static void find_preload(struct recording *r)
{
	static const char *const places[] = { "libanyrcu-record.so", PRELOAD_FROM_BINDIR };
	char exe[PATH_MAX], path[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		die("/proc/self/exe", strerror(errno));
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s/%s", exe, places[i]);
		if (!realpath(path, r->preload))
			continue;
		/* The dynamic linker splits the variable there, and knows no way to quote. */
		if (strpbrk(r->preload, ": "))
			die(r->preload, "cannot be preloaded from a path with a colon or a space in it");
		return;
	}
	die(path, strerror(errno));
}

static void make_pool(struct recording *r)
{
	r->pool_fd = memfd_create("anyrcu-record", MFD_CLOEXEC);
	if (r->pool_fd < 0 || ftruncate(r->pool_fd, sizeof(*r->pool)) != 0)
		die("memory to share with the program", strerror(errno));
	r->pool = mmap(NULL, sizeof(*r->pool), PROT_READ | PROT_WRITE, MAP_SHARED, r->pool_fd, 0);
	if (r->pool == MAP_FAILED)
		die("memory to share with the program", strerror(errno));
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
		die(path, strerror(errno));
	unlink(path);
}

/* Not emptied before there is a trace to write: until then it may be good for something. */
static void open_file(struct recording *r)
{
	int fd = open(r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	r->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!r->file)
		die(r->path, strerror(errno));
}

static _Noreturn void run(struct recording *r, int report)
{
	const char *others = getenv("LD_PRELOAD");
	char pool[64], *preload;
	int error;

	snprintf(pool, sizeof(pool), "/proc/%d/fd/%d", (int)getppid(), r->pool_fd);
	if (asprintf(&preload, "%s%s%s", r->preload, others && *others ? ":" : "", others ? others : "") >= 0 &&
	    setenv("LD_PRELOAD", preload, 1) == 0 && setenv(POOL_ENV, pool, 1) == 0) {
		signal(SIGCHLD, r->on_child);
		signal(SIGXFSZ, r->on_too_large);
		sigprocmask(SIG_SETMASK, &r->mask, NULL);
		execvp(r->program[0], r->program);
	}
	error = errno;
	_exit(write(report, &error, sizeof(error)) == sizeof(error) ? 0 : EXIT_OURS);
}

/*
 * Signals are waited for rather than handled. Those from the terminal reach the program too, and it decides what
 * comes of them; those that somebody sent to this process were meant for it.
 */
static void start_program(struct recording *r, sigset_t *signals, pid_t *pid)
{
	int report[2], error;

	sigemptyset(signals);
	sigaddset(signals, SIGCHLD);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGHUP);
	sigprocmask(SIG_BLOCK, signals, &r->mask);
	r->on_child = signal(SIGCHLD, SIG_DFL);
	if (pipe2(report, O_CLOEXEC) != 0 || (*pid = fork()) < 0)
		die(r->program[0], strerror(errno));
	if (*pid == 0)
		run(r, report[1]);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	close(report[1]);
	if (read(report[0], &error, sizeof(error)) == sizeof(error)) {
		fprintf(stderr, "anyrcu: %s: %s\n", r->program[0], strerror(error));
		exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
	}
	close(report[0]);
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

/* Empty the chunks that are full, which nobody writes to any more. When there is no room for them, recording ends. */
static void drain(struct recording *r)
{
	struct pool *pool = r->pool;

	for (size_t i = 0; i < POOL_CHUNKS && !r->spool_error; i++) {
		if (atomic_load(&pool->unused[i / 64]) >> i % 64 & 1 || !is_full(pool->chunk[i]))
			continue;
		r->spool_error = write_all(r->spool_fd, pool->chunk[i], CHUNK_BYTES, r->spooled * CHUNK_BYTES);
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
	sigset_t signals;
	int status;
	pid_t pid;

	start_program(r, &signals, &pid);
	for (;;) {
		int sig = sigtimedwait(&signals, NULL, &tick);

		if (sig == SIGTERM || sig == SIGHUP)
			kill(pid, sig);
		drain(r);
		if (sig == SIGCHLD && waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) ? EXIT_KILLED + WTERMSIG(status) : WEXITSTATUS(status);
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
			die("recorded events", strerror(errno));
	}
	m->nchunks = r->spooled;
	m->pool = r->pool;
	m->progress = show_progress;
	m->writer->file = r->file;
	/* What is no regular file cannot be emptied, and need not be. */
	if (ftruncate(fileno(r->file), 0) != 0 && errno != EINVAL)
		die(r->path, strerror(errno));
	merge_began = now();
	if (!merge(m))
		die(r->path, strerror(ENOMEM));
	error = -trace_write_end(m->writer, m->nprocesses);
	if (progress_shown)
		fputs("\r\033[K", stderr);
	if (fclose(r->file) != 0 && !error)
		error = errno;
	if (error)
		die(r->path, strerror(error));
}

/* What the trace does not have as it was. */
static void warn(const struct recording *r, const struct merge *m, bool ended)
{
	const char *name = r->program[0];

	if (r->spool_error)
		fprintf(stderr, "anyrcu: the trace ends early, as there was no room for more: %s (TMPDIR says where)\n",
			strerror(r->spool_error));
	else if (m->too_many)
		fprintf(stderr, "anyrcu: the trace ends early, as it has as many objects as a trace can have\n");
	else if (ended)
		fprintf(stderr, "anyrcu: the trace ends early, as %s ran on while this process was stopped\n", name);
	if (atomic_load(&r->pool->processes) == 0)
		fprintf(stderr, "anyrcu: %s was not recorded: it is static or setuid, or not for this machine\n",
			name);
	else if (m->writer->nevents == 0)
		fprintf(stderr, "anyrcu: %s allocated nothing, or has an allocator of its own\n", name);
	if (m->unknown_frees)
		fprintf(stderr, "anyrcu: left out %llu frees of what was not seen allocated or was inherited by fork\n",
			(unsigned long long)m->unknown_frees);
	if (m->missed_frees)
		fprintf(stderr, "anyrcu: put in %llu frees that were not seen, where addresses were allocated again\n",
			(unsigned long long)m->missed_frees);
}

static void summarise(const struct recording *r, const struct merge *m, bool complete)
{
	const struct trace_writer *w = m->writer;
	uint64_t frees = w->nevents - w->nobjects;
	json_t *json;

	if (!r->json) {
		fprintf(stderr, "anyrcu: %s, %llu bytes: %u allocations, %llu bytes in all, "
			"%llu frees, %u threads, %u processes\n", r->path, (unsigned long long)w->nbytes, w->nobjects,
			(unsigned long long)m->allocated_bytes, (unsigned long long)frees, w->nthreads, m->nprocesses);
		return;
	}
	json = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"complete", complete, "events", (json_int_t)w->nevents,
		"allocations", (json_int_t)w->nobjects, "frees", (json_int_t)frees,
		"threads", (json_int_t)w->nthreads, "processes", (json_int_t)m->nprocesses,
		"bytes", (json_int_t)m->allocated_bytes, "file_bytes", (json_int_t)w->nbytes,
		"unknown_frees", (json_int_t)m->unknown_frees, "missed_frees", (json_int_t)m->missed_frees);
	if (!json || json_dumpf(json, stderr, 0) != 0)
		die(r->path, "the summary cannot be printed as JSON");
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
		r->program = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!r->program)
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
	find_preload(&r);
	r.on_too_large = signal(SIGXFSZ, SIG_IGN);
	open_file(&r);
	make_spool(&r);
	make_pool(&r);
	status = attend_program(&r);
	/* The program has ended; what it left running is recorded no further. */
	ended = !atomic_compare_exchange_strong(&r.pool->end, &(uint64_t){ 0 }, now());
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	sigprocmask(SIG_SETMASK, &r.mask, NULL);
	write_trace(&r, &m);
	warn(&r, &m, ended);
	summarise(&r, &m, !ended && !m.too_many);
	return status;
}
