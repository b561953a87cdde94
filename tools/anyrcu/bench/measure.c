/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "bench/measure.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLE_NS 1000000
#define STUCK_NS UINT64_C(60000000000)

static struct {
	unsigned expected, done;
	uint64_t begun;
	bool shown;
} progress;

struct run *run;
struct invoking invoking;
__thread struct slot *my_slot;

/* ---- in the measurement ---- */

/*
 * Every free() of the process comes here, those of the libraries too: so what has been freed is
 * counted in the same way for each scheme, whether it frees in a callback or itself. It stands for
 * the next one in line, of libc or of a malloc that was preloaded.
 */
#define UNINSTRUMENTED __attribute__((no_sanitize("address", "thread", "undefined")))
static void (*real_free)(void *p);

/*
 * Not at the first free(), as that may be dlsym()'s own. What libraries free before, in their
 * constructors, stays allocated.
 */
__attribute__((constructor(101))) static void find_real_free(void)
{
	*(void **)&real_free = dlsym(RTLD_NEXT, "free");
}

UNINSTRUMENTED void free(void *p)
{
	struct slot *slot = my_slot;

	if (__builtin_expect(!slot, 0)) {
		if (!real_free)
			return;
		slot = run ? slot_claim() : NULL;
	}
	if (slot)
		slot_count_free(slot);
	real_free(p);
}

UNINSTRUMENTED struct slot *slot_claim(void)
{
	if (!my_slot) {
		uint32_t i = __atomic_fetch_add(&run->nslots, 1, __ATOMIC_RELAXED);

		if (i >= SLOTS)
			measure_fail("more than %d threads", SLOTS);
		my_slot = &run->slots[i];
	}
	return my_slot;
}

void measure_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->error, sizeof(run->error), format, args);
	va_end(args);
	_exit(1);
}

uint64_t rss_bytes(int pid)
{
	unsigned long pages = 0;
	char path[40];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint64_t longest = __atomic_load_n(&into->longest, __ATOMIC_RELAXED);

	for (size_t i = 0; i < sizeof(from->bucket) / sizeof(*from->bucket); i++)
		if (from->bucket[i])
			__atomic_fetch_add(&into->bucket[i], from->bucket[i], __ATOMIC_RELAXED);
	while (longest < from->longest &&
	       !__atomic_compare_exchange_n(&into->longest, &longest, from->longest, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

double histogram_quantile(const struct histogram *h, double share)
{
	const size_t n = sizeof(h->bucket) / sizeof(*h->bucket);
	uint64_t count = 0, seen = 0;

	for (size_t i = 0; i < n; i++)
		count += h->bucket[i];
	for (size_t i = 0; i < n; i++) {
		seen += h->bucket[i];
		if (seen > 0 && seen >= share * count) {
			unsigned shift = i < 128 ? 0 : i / 64 - 1;

			/* The middle of the bucket; but no value is beyond the longest. */
			return fmin(((i - shift * 64) << shift) + ((1ull << shift) - 1) / 2.0,
				    h->longest);
		}
	}
	return NAN;
}

/* ---- who watches ---- */

/*
 * What waits, and how much has been done. What is deferred is read first, so that it is never more
 * than really waits.
 */
static uint64_t pending(uint64_t *work)
{
	uint32_t n = __atomic_load_n(&run->nslots, __ATOMIC_RELAXED);
	uint64_t deferred = 0, freed = 0;

	n = n < SLOTS ? n : SLOTS;
	for (uint32_t i = 0; i < n; i++)
		deferred += __atomic_load_n(&run->slots[i].deferred, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < n; i++)
		freed += __atomic_load_n(&run->slots[i].freed, __ATOMIC_RELAXED);
	*work = deferred + freed + __atomic_load_n(&run->heartbeat, __ATOMIC_RELAXED) +
		__atomic_load_n(&run->invoked, __ATOMIC_RELAXED);
	return deferred > freed ? deferred - freed : 0;
}

static void say_progress(const struct watch *w, uint64_t now)
{
	static uint64_t last;

	if (now - progress.begun < 2000000000 || now - last < 200000000 || !isatty(STDERR_FILENO))
		return;
	last = now;
	progress.shown = true;
	fprintf(stderr, "\r\033[K%s: %s (%u of %u)", w->bench, w->row, progress.done + 1,
		progress.expected);
}

void measure_expect(unsigned n)
{
	progress.expected = n;
	progress.done = 0;
	progress.begun = now_ns(CLOCK_MONOTONIC);
}

/* One sample of a load that runs. */
static void sample(int pid, const struct watch *w, uint64_t begun, uint64_t now, uint64_t waits)
{
	unsigned tenth;

	if (__atomic_load_n(&run->freed, __ATOMIC_ACQUIRE))
		return;
	if (waits > run->pending_high)
		run->pending_high = waits;
	if (w->seconds == 0)
		return;
	tenth = (now - begun) / 1e9 / w->seconds * TENTHS;
	for (unsigned i = 0; i < TENTHS && i < tenth; i++)
		if (!run->rss[i])
			run->rss[i] = rss_bytes(pid);
	if (!run->stop && (tenth >= TENTHS || (w->pending_limit && waits >= w->pending_limit))) {
		run->elapsed_ns = now - begun;
		__atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
	}
}

/* Until the process has ended; its status. */
static int watch_process(int pid, const struct watch *w, struct rusage *usage)
{
	uint64_t last_work = 0, moved = now_ns(CLOCK_MONOTONIC), begun = 0;
	int status;

	for (;;) {
		uint64_t now, work, waits;
		int ended = wait4(pid, &status, WNOHANG, usage);

		if (ended == pid)
			return status;
		now = now_ns(CLOCK_MONOTONIC);
		waits = pending(&work);
		if (__atomic_load_n(&run->started, __ATOMIC_ACQUIRE)) {
			begun = begun ?: now;
			sample(pid, w, begun, now, waits);
		}
		if (work != last_work) {
			last_work = work;
			moved = now;
		} else if (now - moved > STUCK_NS) {
			snprintf(run->error, sizeof(run->error), "no progress for %d seconds",
				 (int)(STUCK_NS / 1000000000));
			kill(pid, SIGKILL);
			wait4(pid, &status, 0, usage);
			return status;
		}
		say_progress(w, now);
		nanosleep(&(struct timespec){ .tv_nsec = SAMPLE_NS }, NULL);
	}
}

bool measure(const struct watch *w, void (*body)(const void *arg), const void *arg)
{
	struct rusage usage = { 0 };
	int pid, status;

	if (!run) {
		run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
		if (run == MAP_FAILED) {
			fprintf(stderr, "anyrcu: mmap: %s\n", strerror(errno));
			exit(1);
		}
	}
	my_slot = NULL;
	memset(run, 0, sizeof(*run));
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "anyrcu: fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		my_slot = NULL;
		body(arg);
		_exit(0);
	}
	status = watch_process(pid, w, &usage);
	run->rss_high = usage.ru_maxrss * UINT64_C(1024);
	progress.done++;
	if (progress.shown && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	fprintf(stderr, "anyrcu: %s: %s: ", w->bench, w->row);
	if (run->error[0])
		fprintf(stderr, "%s\n", run->error);
	else if (WIFSIGNALED(status))
		fprintf(stderr, "died of signal %d (%s)\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "ended with status %d\n", WEXITSTATUS(status));
	return false;
}
