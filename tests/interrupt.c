// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Interrupts each any-context entry point at each instruction that it executes, by a signal whose
 * handler calls all of them, and checks that nothing is lost, doubled or early.
 *
 * For each way through the library (chosen by the environment, so each is a process of its own),
 * each operation and each state in which it may find the library, a process is prepared. Copies of
 * it, made by fork(), are traced, one
 * for each round:
 *
 *  discovery     breakpoints at all instructions of the library, each taken away when it is hit.
 *                What was hit is what the operation executes. A breakpoint inside a restartable
 *                sequence aborts it, so after one the copy starts anew without it. What lies
 *                outside of the library (libc, the kernel's page of code) is found by single
 *                steps, as there are no sequences.
 *  interruption  one breakpoint; when it is hit, the byte and the instruction pointer are put back
 *                and the signal is delivered there. The kernel aborts a restartable sequence then,
 *                as it does for any signal. After the handler, breakpoints at all that has not been
 *                interrupted yet find what only an interrupted operation executes, which is
 *                interrupted at once, too. Played again until there is nothing of that sort.
 *                A call for tasks may wait for another thread: see others_run().
 *  storm         the same at each commit of a sequence, or each compare and swap, time after time,
 *                until loops give up.
 *
 * Each instruction is interrupted once for each operation and path, those of sequences and compare
 * and swaps in each state, and all in states that say so; with INTERRUPT_THOROUGH in the
 * environment, all in each state.
 *
 * usage: interrupt [--tasks|--all-tasks] [--caught]
 *
 * --tasks: calls for tasks, each of their instructions in one of the calls that execute it.
 * --all-tasks: the same in all calls. --caught: succeed if something is found wrong (for broken
 * variants of the library). INTERRUPT_ONLY and INTERRUPT_STATE in the environment name the one
 * operation and the one state to do.
 */
#define _GNU_SOURCE
#include "interrupt_trace.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct path paths[PATHS] = {
	{ "rseq", { NULL }, true },
	{ "atomic", { "ANYRCU_RSEQ=0" }, true },
	{ "fence", { "ANYRCU_MEMBARRIER=0" }, false },
	{ "debug", { "ANYRCU_DEBUG=1" }, false },
};
bool thorough, tasks, once;
int path;
enum op op;
const struct state *state;

/* ---- discovery ---- */

static void found(int i)
{
	tables->known[i] = true;
	mark(i, EXECUTED | PLAIN);
}

/* Is it where a sequence goes when it has failed? */
static bool is_failure(int i)
{
	return !strncmp(insns[i].function, "port_rseq_failure", 17);
}

/* On from an instruction of the library, single-stepping what lies outside. */
static void step_outside(unsigned is)
{
	for (;;) {
		uintptr_t rip;
		int i, status;

		go(PTRACE_SINGLESTEP, 0);
		status = copy_wait();
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("a single step ends elsewhere");
		rip = regs_get().rip;
		i = code_at(rip);
		if (i >= 0 && (insns[i].is & (IN_LIBRARY | IN_OP)))
			return;
		found(code_outside(rip, is));
	}
}

/*
 * The scheduler, too, makes a sequence fail, by chance. What follows then is what an interruption
 * of the sequence is to find, so the copy starts anew. In some states it fails each time.
 */
#define FAILURES_MAX 8

/* Returns whether it was the last time. */
static bool discover_once(void)
{
	static int failures; /* in a row */
	bool more = false;

	copy_start();
	plant_all(is_unseen);
	for (;;) {
		int i, status;

		go(PTRACE_CONT, 0);
		status = copy_wait();
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("it ends while it is explored");
		if (scene->stage == DONE)
			break;
		i = code_at(regs_get().rip - 1);
		if (i < 0 || !tables->planted[i])
			fail("a breakpoint that nobody has planted");
		more = true;
		if (is_failure(i) && ++failures < FAILURES_MAX)
			break;
		failures = 0;
		rip_set(insns[i].addr);
		unplant(i);
		found(i);
		if (insns[i].is & IN_RSEQ)
			break;
		/* The operation's own return leads to this test. */
		if ((insns[i].is & IN_LIBRARY) &&
		    (!strncmp(insns[i].text, "call", 4) || insns[i].text[0] == 'j'))
			step_outside(strstr(insns[i].text, "<pthread_create") ? STARTS_THREAD : 0);
	}
	copy_kill();
	return !more;
}

/* ---- scenarios ---- */

static void interrupt(struct plan p)
{
	while (play(&p))
		;
}

static void scenario(void)
{
	bool sequences = false, commits = false;

	memset(tables, 0, sizeof(*tables));
	while (!discover_once())
		;
	for (int i = 0; i < ninsns; i++) {
		sequences |= tables->known[i] && insns[i].is & IN_RSEQ;
		commits |= tables->known[i] && insns[i].is & COMMITS;
	}
	/* what depends on when others run is not met each time */
	for (int tries = 0; tries < (tasks ? 3 : 1); tries++)
		for (int i = 0; i < ninsns; i++)
			if (tables->known[i] && is_wanted(i) &&
			    !(tries && has_been(i, INTERRUPTED)))
				interrupt((struct plan){ .at = i,
							 .fills = tasks && insns[i].is & LOADS,
							 .explore =
								 insns[i].is & (LOADS | IN_RSEQ) });
	for (int tries = 0; tries < (tasks ? 3 : 1); tries++)
		for (int i = 0; i < ninsns; i++)
			if (tables->known[i] && forks_wanted(i))
				interrupt((struct plan){ .at = i, .forks = true });
	if (once)
		return;
	for (int fills = 0; fills < 2; fills++) {
		if (sequences)
			interrupt((struct plan){
				.at = -1, .sort = COMMITS, .fills = fills, .explore = true });
		interrupt(
			(struct plan){ .at = -1, .sort = SWAPS, .fills = fills, .explore = true });
		if (sequences)
			interrupt((struct plan){ .at = -1,
						 .sort = COMMITS | SWAPS,
						 .fills = fills,
						 .explore = true });
	}
	for (int most = 2; commits && most < HITS_MAX; most++)
		interrupt((struct plan){
			.at = -1, .sort = COMMITS | SWAPS, .most = most, .explore = true });
}

static const struct state *state_at(int i)
{
	const struct {
		const struct state *of;
		int n;
	} all[] = { { states, nstates },
		    { cache_states, ncache_states },
		    { hash_states, nhash_states },
		    { task_states, ntask_states } };

	for (size_t t = 0; t < sizeof(all) / sizeof(all[0]); i -= all[t++].n)
		if (i < all[t].n)
			return &all[t].of[i];
	return NULL;
}

/*
 * All of one path, in this process, which was started with its environment. Exit status 1:
 * something is wrong.
 */
static int run_path(void)
{
	tables = mmap(NULL, sizeof(*tables), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	scene_init();
	const char *only = getenv("INTERRUPT_ONLY"); /* the operation of this name, */
	const char *only_state = getenv("INTERRUPT_STATE"); /* in the state of this name */

	for (op = tasks ? TASKS : 0; op < (tasks ? OPS : TASKS); op++) {
		if (only && strcmp(only, op_name[op]))
			continue;
		if (op >= CACHE_ALLOC && op < TASKS && path == FENCE)
			continue;
		if (op >= HASH_ADD && op < TASKS && path != RSEQ)
			continue;
		for (int i = 0; (state = state_at(i)); i++) {
			int status;
			pid_t pid;

			if (!(state->ops >> op & 1))
				continue;
			if (only_state && strcmp(only_state, state->name))
				continue;
			results->scenarios[path]++;
			fflush(stdout);
			pid = fork();
			if (pid == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				if (tasks)
					task_prepare(op);
				if (state->prepare)
					state->prepare(op);
				scenario();
				fflush(stdout);
				_exit(0); /* in debug mode exit() counts what is not freed */
			}
			status = wait_for(pid);
			if (status)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
		}
	}
	return 0;
}

static void start_path(int p, int fd)
{
	char number[16], file[16];

	fflush(stdout);
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	unsetenv("ANYRCU_RSEQ");
	unsetenv("ANYRCU_MEMBARRIER");
	unsetenv("ANYRCU_DEBUG");
	putenv("ANYRCU_WORKERS=0");
	putenv("LD_BIND_NOW=1");
	for (int i = 0; paths[p].env[i]; i++)
		putenv((char *)paths[p].env[i]);
	snprintf(number, sizeof(number), "%d", p);
	snprintf(file, sizeof(file), "%d", fd);
	execl("/proc/self/exe", "interrupt", "--path", number, file,
	      !tasks ? NULL :
	      once   ? "--tasks" :
		       "--all-tasks",
	      NULL);
	_exit(2);
}

static void wait_paths(int n, bool caught, bool *wrong, bool *broken)
{
	for (; n && !(caught && *wrong); n--) {
		int status;

		while (wait(&status) < 0)
			;
		*wrong |= status && results->wrong;
		*broken |= status && !(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: interrupt [--tasks|--all-tasks] [--caught]\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool child = argc >= 4 && !strcmp(argv[1], "--path"), caught = false, wrong = false,
	     broken = false;
	int fd = child ? atoi(argv[3]) : memfd_create("results", 0);

	for (int i = child ? 4 : 1; i < argc; i++) {
		if (!strcmp(argv[i], "--caught"))
			caught = true;
		else if (!strcmp(argv[i], "--tasks"))
			tasks = once = true;
		else if (!strcmp(argv[i], "--all-tasks"))
			tasks = true;
		else
			return usage();
	}
	if (fd < 0 || (!child && ftruncate(fd, sizeof(*results)))) {
		perror("interrupt");
		return 2;
	}
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	thorough = getenv("INTERRUPT_THOROUGH");
	code_load();
	if (child) {
		path = atoi(argv[2]);
		return run_path();
	}
	/*
	 * The last exits of some loops take eight interruptions in a row, which a busy machine may
	 * prevent.
	 */
	for (int pass = 0; pass < (caught ? 1 : 3) && !wrong && !broken && !(pass && complete());
	     pass++) {
		for (int p = 0; p < PATHS; p++) {
			start_path(p, fd);
			/* what comes last leaves out what was done by those before it */
			if (p == PATHS - 1 || (once && p == FENCE - 1))
				wait_paths(once ? 2 : PATHS, caught, &wrong, &broken);
		}
	}
	if (broken)
		return 2;
	if (caught)
		return !wrong;
	return report() && !wrong ? 0 : 1;
}
