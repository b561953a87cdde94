// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Interrupts each any-context entry point at each instruction that it executes, by a signal whose handler calls all of them, and checks
 * that nothing is lost, doubled or early.
 *
 * For each way through the library (chosen by the environment, so each is a process of its own), each operation and each state in which it may
 * find the library, a process is prepared. Copies of it, made by fork(), are traced, one for each round:
 *
 *  discovery     breakpoints at all instructions of the library, each taken away when it is hit. What was hit is what the operation
 *                executes. A breakpoint inside a restartable sequence aborts it, so after one the copy starts anew without it. What lies
 *                outside of the library (libc, the kernel's page of code) is found by single steps, as there are no sequences.
 *  interruption  one breakpoint; when it is hit, the byte and the instruction pointer are put back and the signal is delivered there. The kernel
 *                aborts a restartable sequence then, as it does for any signal. After the handler, breakpoints at all
 *                that has not been executed in this state discover what only an interrupted operation executes.
 *  storm         the same at each commit of a sequence, or each compare and swap, time after time, until loops give up.
 *  second        what the last two discovered is interrupted too, after the same interruptions.
 *
 * usage: interrupt [--caught]     --caught: succeed if something is found wrong (for broken variants of the library)
 */
#define _GNU_SOURCE
#include "interrupt.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct path {
	const char *name, *env[3];
} paths[] = {
	{ "rseq", { NULL } },
	{ "atomic", { "ANYRCU_RSEQ=0" } },
	{ "fence", { "ANYRCU_MEMBARRIER=0" } },
	{ "debug", { "ANYRCU_DEBUG=1" } },
};
enum { PATHS = sizeof(paths) / sizeof(paths[0]), STORM_MAX = 20 };

enum { EXECUTED = 1, INTERRUPTED = 2 };

static struct results {
	uint8_t what[PATHS][OPS][INSNS_MAX];
	long rounds[PATHS], interruptions[PATHS], scenarios[PATHS];
	bool wrong;
} *results;
static bool thorough;

/* The scenario that is played: where it is in the tables. */
static int path;
static enum op op;
static const struct state *state;

/* ---- a copy under trace ---- */

/* Whom to interrupt, and where: at one instruction, or in a storm at all that are of a sort. */
struct plan {
	int at;	       /* -1: in a storm */
	unsigned sort;
	bool fills;
	int times;     /* that it is interrupted there, */
	int then;      /* before it is interrupted here; -1: nowhere */
	bool explore;
};

static struct copy {
	pid_t pid, worker;
	int mem;
	int nplanted;
} copy;

/* Of a scenario. Shared memory, which a fork need not copy, and a write after it neither. */
static struct tables {
	bool planted[INSNS_MAX];
	bool known[INSNS_MAX];	/* executed without interruption */
	bool queued[INSNS_MAX]; /* executed with one */
	struct plan queue[INSNS_MAX];
	int nqueue;
	uint8_t text[1 << 17];
} *tables;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "interrupt: %s, %s, %s: %s (%s)\n", paths[path].name, op_name[op], state->name, what, strerror(errno));
	exit(2);
}

static void poke(int i, uint8_t byte)
{
	if (pwrite(copy.mem, &byte, 1, insns[i].addr) != 1)
		fail("a breakpoint cannot be written");
}

static void plant(int i)
{
	if (tables->planted[i])
		return;
	tables->planted[i] = true;
	copy.nplanted++;
	poke(i, 0xcc);
}

static void unplant(int i)
{
	if (!tables->planted[i])
		return;
	tables->planted[i] = false;
	copy.nplanted--;
	poke(i, insns[i].byte);
}

/* Plant, or take away, in one write for all that lie together. */
static void plant_all(bool (*wanted)(int))
{
	uint8_t *text = tables->text;

	for (int first = 0; first < ninsns;) {
		uintptr_t from = insns[first].addr, end;
		int i = first;

		for (; i < ninsns && insns[i].addr >= from && insns[i].addr - from < sizeof(tables->text) &&
		       (i == first || insns[i].addr - insns[i - 1].addr < 64); i++)
			;
		end = insns[i - 1].addr + 1;
		memcpy(text, (void *)from, end - from);
		for (int at = first; at < i; at++) {
			bool plants = wanted(at);

			copy.nplanted += plants - tables->planted[at];
			tables->planted[at] = plants;
			if (plants)
				text[insns[at].addr - from] = 0xcc;
		}
		if (pwrite(copy.mem, text, end - from, from) != (ssize_t)(end - from))
			fail("breakpoints cannot be written");
		first = i;
	}
}

static bool is_unknown(int i)
{
	return (insns[i].is & (IN_LIBRARY | IN_OP)) && !tables->known[i] && !tables->queued[i] &&
	       !(results->what[path][op][i] & INTERRUPTED);
}

/* Is it to be interrupted in this state, though it may have been in another? */
static bool is_wanted(int i)
{
	return thorough || insns[i].is & (SWAPS | IN_RSEQ) || !(results->what[path][op][i] & INTERRUPTED);
}

static bool is_unseen(int i)
{
	return (insns[i].is & (IN_LIBRARY | IN_OP)) && !tables->known[i] && is_wanted(i);
}

static bool is_none(int i)
{
	return false;
}

static struct user_regs_struct regs_get(void)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, copy.pid, NULL, &regs))
		fail("registers cannot be read");
	return regs;
}

static void rip_set(uintptr_t rip)
{
	struct user_regs_struct regs = regs_get();

	regs.rip = rip;
	if (ptrace(PTRACE_SETREGS, copy.pid, NULL, &regs))
		fail("registers cannot be written");
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			fail("waitpid");
	return status;
}

static void go(enum __ptrace_request how, int sig)
{
	if (ptrace(how, copy.pid, NULL, (void *)(intptr_t)sig))
		fail("cannot go on");
}

/* The worker, if there is one, must run no code with breakpoints in it. */
static void worker_stop(void)
{
	copy.worker = scene->worker;
	if (copy.worker == 0)
		return;
	if (ptrace(PTRACE_SEIZE, copy.worker, NULL, NULL) || ptrace(PTRACE_INTERRUPT, copy.worker, NULL, NULL))
		fail("the worker cannot be traced");
	wait_for(copy.worker);
}

static void worker_go(void)
{
	if (copy.worker && ptrace(PTRACE_DETACH, copy.worker, NULL, NULL))
		fail("the worker cannot go on");
	copy.worker = 0;
}

static void copy_kill(void)
{
	kill(copy.pid, SIGKILL);
	if (copy.worker)
		wait_for(copy.worker);
	wait_for(copy.pid);
	close(copy.mem);
}

/* A copy that has just come to the operation. */
static void copy_start(void)
{
	char name[64];
	int status;

	memset(scene, 0, sizeof(*scene));
	if (copy.nplanted)
		memset(tables->planted, 0, sizeof(tables->planted));
	copy.nplanted = 0;
	copy.worker = 0;
	results->rounds[path]++;
	copy.pid = fork();
	if (copy.pid < 0)
		fail("fork");
	if (copy.pid == 0)
		scene_play(op, state);
	status = wait_for(copy.pid);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || scene->stage != READY) {
		fprintf(stderr, "%s\n", scene->why);
		fail("the state cannot be brought about");
	}
	snprintf(name, sizeof(name), "/proc/%d/mem", copy.pid);
	copy.mem = open(name, O_RDWR | O_CLOEXEC);
	if (copy.mem < 0)
		fail("its memory cannot be opened");
	worker_stop();
}

static void describe(const struct plan *p)
{
	int i = p->at;

	printf("%s, %s, %s: ", paths[path].name, op_name[op], state->name);
	if (i >= 0)
		printf("interrupted at %#lx %s: %s", insns[i].addr - insns[0].addr, insns[i].function, insns[i].text);
	else
		printf("%s %d times", p->sort == COMMITS ? "interrupted at commits" : "interrupted at swaps", p->times);
	if (p->then >= 0)
		printf(", then at %#lx %s: %s", insns[p->then].addr - insns[0].addr, insns[p->then].function, insns[p->then].text);
	printf(": ");
}

/* It has ended: was all well? */
static void judge(const struct plan *p, int status)
{
	close(copy.mem);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	results->wrong = true;
	describe(p);
	if (WIFSIGNALED(status))
		printf("ended by signal %d (%s) %s\n", WTERMSIG(status), strsignal(WTERMSIG(status)), scene->why);
	else
		printf("%s\n", scene->why);
	exit(1);
}

static bool at_step(const struct plan *p, int i, int times)
{
	if (p->then >= 0 && times == p->times)
		return i == p->then;
	return p->at >= 0 ? i == p->at && times == 0 : (insns[i].is & p->sort) && (p->times < 0 || times < p->times);
}

/* From the end of the handler to where it had interrupted, and over that instruction, unless it was in a sequence and is elsewhere now. */
static void step_out(uintptr_t from)
{
	for (;;) {
		int i, status;

		go(PTRACE_SINGLESTEP, 0);
		status = wait_for(copy.pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("it ends on the way out of the handler");
		i = code_at(regs_get().rip);
		if (i < 0 || !(insns[i].is & (IN_LIBRARY | IN_OP)))
			continue;
		if (insns[i].addr == from) {
			from = 0;
			continue;
		}
		return;
	}
}

/* What is to be hit next. */
static void plant_next(const struct plan *p, int times)
{
	if (p->explore && times)
		plant_all(is_unknown);
	if (p->then >= 0 && times == p->times)
		plant(p->then);
	else if (p->at >= 0 && times == 0)
		plant(p->at);
	else if (p->at < 0)
		for (int i = 0; i < ninsns; i++)
			if (at_step(p, i, times))
				plant(i);
}

/*
 * One round. Returns 1 if it was interrupted as planned, 0 if it never came there, -1 if a discovery inside a sequence spoilt it and it
 * is to be played again.
 */
static int play(const struct plan *p)
{
	int times = 0, sig = 0, interrupted_at = -1;
	bool complete = false;

	copy_start();
	scene->fills = p->fills;
	scene->mark = p->then >= 0 || p->explore || p->at < 0;
	plant_next(p, 0);
	for (;;) {
		uintptr_t rip;
		int status, i;

		go(PTRACE_CONT, sig);
		sig = 0;
		status = wait_for(copy.pid);
		if (!WIFSTOPPED(status)) {
			if (copy.worker)
				worker_go();
			judge(p, status);
			return complete;
		}
		if (WSTOPSIG(status) != SIGTRAP) {
			sig = WSTOPSIG(status);
			continue;
		}
		rip = regs_get().rip - 1;
		i = code_at(rip);
		if (i >= 0 && tables->planted[i]) {
			rip_set(rip);
			if (at_step(p, i, times)) {
				if (copy.nplanted > 1)
					plant_all(is_none);
				else
					unplant(i);
				complete = p->then < 0 || times == p->times;
				if (p->then >= 0 && times == p->times)
					scene->mark = false;
				results->what[path][op][i] |= EXECUTED | INTERRUPTED;
				results->interruptions[path]++;
				times++;
				interrupted_at = i;
				sig = SIGUSR1;
			} else {
				unplant(i);
				tables->queued[i] = true;
				results->what[path][op][i] |= EXECUTED;
				if (!(results->what[path][op][i] & INTERRUPTED)) {
					tables->queue[tables->nqueue] = *p;
					tables->queue[tables->nqueue].explore = false;
					tables->queue[tables->nqueue].times = times;
					tables->queue[tables->nqueue++].then = i;
				}
				if (insns[i].is & IN_RSEQ) {
					copy_kill();
					return -1;
				}
			}
		} else if (scene->stage == HANDLED) {
			if (times == STORM_MAX)
				scene->mark = false;
			if (p->at < 0)
				step_out(insns[interrupted_at].addr);
			if (times < STORM_MAX)
				plant_next(p, times);
		} else if (scene->stage == DONE) {
			if (copy.nplanted)
				plant_all(is_none);
			scene->mark = false;
			worker_go();
		} else {
			fail("a breakpoint that nobody has planted");
		}
	}
}

/* ---- discovery ---- */

static void found(int i)
{
	tables->known[i] = true;
	results->what[path][op][i] |= EXECUTED;
}

/* On from an instruction of the library, single-stepping what lies outside. */
static void step_outside(void)
{
	for (;;) {
		uintptr_t rip;
		int i, status;

		go(PTRACE_SINGLESTEP, 0);
		status = wait_for(copy.pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("a single step ends elsewhere");
		rip = regs_get().rip;
		i = code_at(rip);
		if (i >= 0 && (insns[i].is & (IN_LIBRARY | IN_OP)))
			return;
		found(code_outside(rip));
	}
}

/* Returns whether it was the last time. */
static bool discover_once(void)
{
	bool more = false;

	copy_start();
	plant_all(is_unseen);
	for (;;) {
		int i, status;

		go(PTRACE_CONT, 0);
		status = wait_for(copy.pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("it ends while it is explored");
		if (scene->stage == DONE)
			break;
		i = code_at(regs_get().rip - 1);
		if (i < 0 || !tables->planted[i])
			fail("a breakpoint that nobody has planted");
		rip_set(insns[i].addr);
		unplant(i);
		found(i);
		more = true;
		if (insns[i].is & IN_RSEQ)
			break;
		/* The operation's own return leads to this test. */
		if ((insns[i].is & IN_LIBRARY) && (!strncmp(insns[i].text, "call", 4) || insns[i].text[0] == 'j'))
			step_outside();
	}
	copy_kill();
	return !more;
}

/* ---- scenarios ---- */

static void interrupt(struct plan p)
{
	p.then = -1;
	while (play(&p) < 0)
		;
}

static void scenario(void)
{
	bool sequences = false;

	memset(tables, 0, sizeof(*tables));
	while (!discover_once())
		;
	for (int i = 0; i < ninsns; i++)
		sequences |= tables->known[i] && insns[i].is & IN_RSEQ;
	for (int i = 0; i < ninsns; i++)
		if (tables->known[i] && is_wanted(i))
			interrupt((struct plan){ .at = i, .times = 1, .explore = insns[i].is & (LOADS | IN_RSEQ) });
	for (int fills = 0; fills < 2; fills++) {
		if (sequences)
			interrupt((struct plan){ .at = -1, .sort = COMMITS, .times = -1, .fills = fills, .explore = true });
		interrupt((struct plan){ .at = -1, .sort = SWAPS, .times = -1, .fills = fills, .explore = true });
		if (sequences)
			interrupt((struct plan){ .at = -1, .sort = COMMITS | SWAPS, .times = -1, .fills = fills, .explore = true });
	}
	for (int i = 0; i < tables->nqueue; i++)
		if (!(results->what[path][op][tables->queue[i].then] & INTERRUPTED))
			play(&tables->queue[i]);
}

/* All of one path, in this process, which was started with its environment. Exit status 1: something is wrong. */
static int run_path(void)
{
	tables = mmap(NULL, sizeof(*tables), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	scene_init();
	for (op = 0; op < OPS; op++) {
		for (state = states; state < states + nstates; state++) {
			int status;
			pid_t pid;

			if (!(state->ops >> op & 1))
				continue;
			if (getenv("ONLY") && (unsigned)(state - states) != (unsigned)atoi(getenv("ONLY"))) continue;
			results->scenarios[path]++;
			fflush(stdout);
			pid = fork();
			if (pid == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				if (state->prepare)
					state->prepare(op);
				scenario();
				exit(0);
			}
			status = wait_for(pid);
			if (getenv("DBG")) { struct timespec t; static double last; clock_gettime(CLOCK_MONOTONIC,&t); double now=t.tv_sec+t.tv_nsec/1e9; static long lr; fprintf(stderr,"%s %s %s: %ld rounds %.2f s\n",paths[path].name,op_name[op],state->name,results->rounds[path]-lr,last?now-last:0); last=now; lr=results->rounds[path];}
			if (status)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
		}
	}
	return 0;
}

/* ---- the report ---- */

static int count(int p, int o, unsigned is, uint8_t what)
{
	int n = 0;

	for (int i = 0; i < INSNS_MAX; i++)
		n += (is ? (insns[i].is & is) == is : !insns[i].is) && (results->what[p][o][i] & what) == what;
	return n;
}

/* Has every instruction that was seen to be executed been interrupted, and has every reachable one been executed? */
static bool report(void)
{
	bool all = true;
	int reachable = 0, covered = 0;

	printf("%-24s", "interrupted/executed");
	for (int p = 0; p < PATHS; p++)
		printf("%16s", paths[p].name);
	printf("\n");
	for (int o = 0; o < OPS; o++) {
		printf("%-24s", op_name[o]);
		for (int p = 0; p < PATHS; p++) {
			int is = count(p, o, IN_LIBRARY, INTERRUPTED) + count(p, o, IN_OP, INTERRUPTED);
			int of = count(p, o, IN_LIBRARY, EXECUTED) + count(p, o, IN_OP, EXECUTED);

			printf("%7d/%-4d +%3d", is, of, count(p, o, 0, INTERRUPTED));
			all &= is == of;
		}
		printf("\n");
	}
	for (int i = 0; i < ninsns; i++) {
		uint8_t what = 0;

		if (!(insns[i].is & REACHABLE))
			continue;
		for (int p = 0; p < PATHS; p++)
			for (int o = 0; o < OPS; o++)
				what |= results->what[p][o][i];
		reachable++;
		covered += what & INTERRUPTED;
		if (!(what & INTERRUPTED))
			printf("%s %#lx %s: %s%s%s\n", what & EXECUTED ? "not interrupted:" : "not executed:", insns[i].addr - insns[0].addr,
			       insns[i].function, insns[i].text, code_excuse(i) ? ": " : "", code_excuse(i) ?: "");
		all &= what & INTERRUPTED || code_excuse(i);
	}
	printf("of %d reachable instructions %d\n", reachable, covered / INTERRUPTED);
	for (int p = 0; p < PATHS; p++)
		printf("%s: %ld scenarios, %ld rounds, %ld interruptions\n", paths[p].name, results->scenarios[p], results->rounds[p],
		       results->interruptions[p]);
	return all;
}

static pid_t start_path(int p, int fd)
{
	char number[16], file[16];
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
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
	execl("/proc/self/exe", "interrupt", "--path", number, file, NULL);
	_exit(2);
}

int main(int argc, char **argv)
{
	bool child = argc == 4 && !strcmp(argv[1], "--path"), caught = argc == 2 && !strcmp(argv[1], "--caught"), wrong = false,
	     broken = false;
	pid_t started[PATHS];
	int fd = child ? atoi(argv[3]) : memfd_create("results", 0);

	if (argc != 1 && !child && !caught) {
		fprintf(stderr, "usage: interrupt [--caught]\n");
		return 2;
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
	for (int p = 0; p < PATHS; p++)
		started[p] = start_path(p, fd);
	for (int p = 0; p < PATHS; p++) {
		int status = wait_for(started[p]);

		broken |= status && !(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		wrong |= status != 0;
	}
	if (broken)
		return 2;
	if (caught)
		return !wrong;
	return report() && !wrong ? 0 : 1;
}
