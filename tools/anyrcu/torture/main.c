/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Rounds: three threads torture the library for half a second, one defers now and then with nobody
 * beside it, all do what they can for two seconds. After each, what was deferred must have been
 * invoked, no page of pointers be left, and memory be no more than it was.
 *
 * usage: anyrcu-torture SEED SECONDS THREADS FAULTS MISTAKE JSON, all of them numbers: "anyrcu
 * torture" knows which.
 */
#include <base/compiler.h>
#include <port/process.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "torture/torture.h"

#define ROUND_S 2
#define SECOND UINT64_C(1000000000)
#define PATIENCE_S 8 /* without any callback */
/* stacks that libc keeps, what the allocator of the library keeps for a second */
#define MEMORY_SLACK (8u << 20)

struct run run;

/* A round of all roles, or of three. */
enum kind { ALL, THREE };

static struct {
	size_t first, now, high; /* resident bytes: after the first round, now, most */
	_Atomic bool waits; /* the round is over, and its memory not back yet */
} memory;

static size_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%lu %lu", &size, &pages) != 2)
			pages = 0;
		fclose(f);
	}
	memory.now = pages * sysconf(_SC_PAGESIZE);
	if (memory.now > memory.high)
		memory.high = memory.now;
	return memory.now;
}

static const char *const fault_names[] = {
#define NAME(name, string, ...) string,
	FAULTS_LIST(NAME)
};

static void result_line(const struct anyrcu_stats *s)
{
	printf("seed %lu: %lu deferred, %lu invoked, %lu lost, %lu twice, %lu early; memory %zu KiB, %zu at most; "
	       "%lu grace periods; faults:",
	       run.seed, run.deferred, run.invoked, run.lost, run.twice, run.early,
	       memory.now >> 10, memory.high >> 10, s->gp_done);
	for (unsigned i = 0; i < FAULTS; i++)
		printf(" %lu %s%s", run.done[i], fault_names[i], i + 1 < FAULTS ? "," : "\n");
}

static void result_json(const struct anyrcu_stats *s)
{
	printf("{\"seed\": %lu, \"deferred\": %lu, \"invoked\": %lu, \"lost\": %lu, \"twice\": %lu, \"early\": %lu, "
	       "\"memory_bytes\": %zu, \"memory_high_bytes\": %zu, \"grace_periods\": %lu, \"faults\": {",
	       run.seed, run.deferred, run.invoked, run.lost, run.twice, run.early, memory.now,
	       memory.high, s->gp_done);
	for (unsigned i = 0; i < FAULTS; i++)
		printf("\"%s\": %lu%s", fault_names[i], run.done[i],
		       i + 1 < FAULTS ? ", " : "}}\n");
}

/*
 * What was found may have left threads that do not end, and locks that nobody gives back: so the
 * program ends here.
 */
static _Noreturn void result(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	(run.json ? result_json : result_line)(&s);
	fflush(stdout);
	_exit(atomic_load(&run.failed) ? 1 : 0);
}

static void progress(uint64_t began)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%3u of %u s: %lu deferred, %lu KiB ",
			(unsigned)((port_now() - began) / SECOND), run.seconds, run.deferred,
			memory.now >> 10);
}

/*
 * Memory of caches that nobody uses goes back in a second or two, on a busy machine later.
 */
static bool memory_is_back(void)
{
	uint64_t began = port_now();

	while (resident() > memory.first + MEMORY_SLACK && memory.first) {
		if (port_now() - began > 3 * PATIENCE_S * SECOND)
			return false;
		atomic_store(&memory.waits, true);
		if (run.no_workers)
			anyrcu_reclaim(SIZE_MAX);
		pause_us(20000);
	}
	atomic_store(&memory.waits, false);
	return true;
}

/*
 * Ends the program as soon as something is found: some of the others may wait for ever. In each
 * round, something is invoked all the time.
 */
static void *watch(void *unused)
{
	uint64_t began = port_now(), since = began, invoked = 0;

	me.known = true;
	for (unsigned i = 0; !atomic_load(&run.failed); i++) {
		pause_us(20000);
		if (i % 8 == 0) {
			resident();
			progress(began);
		}
		if (invoked != run.invoked || atomic_load(&memory.waits))
			since = port_now();
		else if (port_now() - since > PATIENCE_S * SECOND)
			found(&run.lost, "lost: nothing is invoked any more, while %lu wait",
			      run.deferred - run.invoked);
		invoked = run.invoked;
	}
	result();
}

/*
 * All that was deferred in a round, and nothing else, has been invoked, and all memory has come
 * back.
 */
static void check(enum kind kind, unsigned round)
{
	struct anyrcu_stats s = { .size = sizeof(s) };
	unsigned forgotten;

	cache_end();
	anyrcu_barrier();
	anyrcu_stats_get(&s);
	forgotten = objects_forgotten(false) + objects_forgotten(true);
	if (forgotten || run.deferred != run.invoked)
		found(&run.lost, "lost: %u objects wait after a barrier; %lu deferred, %lu invoked",
		      forgotten, run.deferred, run.invoked);
	if (s.pending || s.defer_bytes)
		found(&run.lost,
		      "lost: after a barrier the statistics have %lu pending, %lu bytes in pages",
		      s.pending, s.defer_bytes);
	if (s.defer_bytes_high >= (65536u << (round < 4 ? round : 4)) + ANYRCU_PAGE_SIZE)
		found(&run.lost, "pages of pointers took %lu bytes, more than the bound",
		      s.defer_bytes_high);
	if (!memory_is_back())
		found(&run.lost, "memory has grown from %zu to %zu KiB", memory.first >> 10,
		      memory.now >> 10);
	if (!memory.first && kind == ALL)
		memory.first = memory.now;
}

static void round_of(enum kind kind, unsigned round, uint64_t end)
{
	uint64_t until = port_now() + (kind == THREE ? SECOND / 2 : ROUND_S * SECOND);

	(kind == THREE ? roles_start_three : roles_start)(round);
	while (port_now() < until && port_now() < end)
		pause_us(10000);
	roles_join();
	check(kind, round);
}

/*
 * The child of a fork in a broken variant may go round for ever before it has set its alarm, with
 * nobody left to end it. It inherits this limit of CPU time, which this process does not reach.
 */
static void limit_children(void)
{
	rlim_t seconds = (run.seconds + 60) * sysconf(_SC_NPROCESSORS_ONLN);
	struct rlimit limit = { .rlim_cur = seconds, .rlim_max = seconds };

	setrlimit(RLIMIT_CPU, &limit);
}

int main(int argc, char **argv)
{
	uint64_t end;
	pthread_t watcher;

	if (argc != 7)
		return 2;
	run = (struct run){ .seed = strtoull(argv[1], NULL, 10),
			    .seconds = atoi(argv[2]),
			    .threads = atoi(argv[3]),
			    .faults = atoi(argv[4]),
			    .mistake = atoi(argv[5]),
			    .json = atoi(argv[6]),
			    .pid = getpid() };
	end = port_now() + run.seconds * SECOND;
	limit_children();
	faults_arm();
	roles_prepare();
	if (pthread_create(&watcher, NULL, watch, NULL))
		return 2;
	for (unsigned round = 0; port_now() < end; round++) {
		round_of(THREE, round, end);
		role_alone(200);
		round_of(ALL, round, end);
	}
	result();
}
