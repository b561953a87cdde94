// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Interrupts each any-context entry point at each instruction that it executes, by a signal whose handler calls all
 * of them, and checks that nothing is lost, doubled or early.
 *
 * For each way through the library (chosen by the environment, so each is a process of its own), each operation and
 * each state in which it may find the library, a process is prepared. Copies of it, made by fork(), are traced, one
 * for each round:
 *
 *  discovery     breakpoints at all instructions of the library, each taken away when it is hit. What was hit is
 *                what the operation executes. A breakpoint inside a restartable sequence aborts it, so after one
 *                the copy starts anew without it. What lies outside of the library (libc, the kernel's page of
 *                code) is found by single steps, as there are no sequences.
 *  interruption  one breakpoint; when it is hit, the byte and the instruction pointer are put back and the signal
 *                is delivered there. The kernel aborts a restartable sequence then, as it does for any signal.
 *                After the handler, breakpoints at all that has not been interrupted yet find what only an
 *                interrupted operation executes, which is interrupted at once, too. Played again until there is
 *                nothing of that sort.
 *  storm         the same at each commit of a sequence, or each compare and swap, time after time, until loops give
 *                up.
 *
 * Each instruction is interrupted once for each operation and path, those of sequences and compare and swaps in each
 * state; with INTERRUPT_THOROUGH in the environment, all in each state.
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
enum { PATHS = sizeof(paths) / sizeof(paths[0]), HITS_MAX = 20 };

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

/* Where to interrupt: at one instruction, or in a storm at all that are of a sort. */
struct plan {
	int at;	       /* -1: in a storm */
	unsigned sort;
	int most;      /* times in a storm, if not 0 */
	bool fills;    /* the handler fills pages */
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
	bool known[INSNS_MAX]; /* executed without interruption */
	int hits[HITS_MAX];    /* where the copy was interrupted */
	int nhits;
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

/* Plant, or take away: in one write for each page of code in which anything changes. */
static void plant_all(bool (*wanted)(int))
{
	uint8_t text[4096];

	for (int first = 0, next; first < ninsns; first = next) {
		uintptr_t page = insns[first].addr & -sizeof(text), end;
		bool changes = false;

		for (next = first; next < ninsns && (insns[next].addr & -sizeof(text)) == page; next++) {
			bool plants = wanted(next);

			if (plants == tables->planted[next])
				continue;
			changes = true;
			copy.nplanted += plants - tables->planted[next];
			tables->planted[next] = plants;
		}
		if (!changes)
			continue;
		end = insns[next - 1].addr + 1;
		memcpy(text, (void *)insns[first].addr, end - insns[first].addr);
		for (int i = first; i < next; i++)
			if (tables->planted[i])
				text[insns[i].addr - insns[first].addr] = 0xcc;
		if (pwrite(copy.mem, text, end - insns[first].addr, insns[first].addr) != (ssize_t)(end - insns[first].addr))
			fail("breakpoints cannot be written");
	}
}

static bool is_unknown(int i)
{
	return (insns[i].is & (POSSIBLE | IN_OP)) && !tables->known[i] &&
	       !(results->what[path][op][i] & INTERRUPTED);
}

/* Is it to be interrupted in this state, though it may have been in another? */
static bool is_wanted(int i)
{
	return thorough || insns[i].is & (SWAPS | IN_RSEQ) || !(results->what[path][op][i] & INTERRUPTED);
}

static bool is_unseen(int i)
{
	return (insns[i].is & (POSSIBLE | IN_OP)) && !tables->known[i] && is_wanted(i);
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

/* The copy's next stop or its end. A traced worker that ends with it must be waited for, too. */
static int copy_wait(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) != copy.pid)
		if (pid < 0 && errno != EINTR)
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
	while (!WIFSIGNALED(copy_wait()))
		;
	close(copy.mem);
}

/* A copy that has just come to the operation. */
static void copy_start(void)
{
	pid_t tracer = getpid();
	char name[64];
	int status;

	memset(scene, 0, sizeof(*scene));
	tables->nhits = 0;
	if (copy.nplanted)
		memset(tables->planted, 0, sizeof(tables->planted));
	copy.nplanted = 0;
	copy.worker = 0;
	results->rounds[path]++;
	copy.pid = fork();
	if (copy.pid < 0)
		fail("fork");
	if (copy.pid == 0)
		scene_play(op, state, tracer);
	status = copy_wait();
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || scene->stage != READY) {
		fprintf(stderr, "%s\n", scene->why);
		fail("the state cannot be brought about");
	}
	if (ptrace(PTRACE_SETOPTIONS, copy.pid, NULL, (void *)PTRACE_O_EXITKILL))
		fail("it would outlive this process");
	snprintf(name, sizeof(name), "/proc/%d/mem", copy.pid);
	copy.mem = open(name, O_RDWR | O_CLOEXEC);
	if (copy.mem < 0)
		fail("its memory cannot be opened");
	worker_stop();
}

/* It has ended: was all well? */
static void judge(int status)
{
	close(copy.mem);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	results->wrong = true;
	printf("%s, %s, %s: ", paths[path].name, op_name[op], state->name);
	if (WIFSIGNALED(status))
		printf("ended by signal %d (%s) ", WTERMSIG(status), strsignal(WTERMSIG(status)));
	printf("%s\n", scene->why);
	for (int i = 0; i < tables->nhits; i++) {
		const struct insn *at = &insns[tables->hits[i]];

		printf("  interrupted at %#lx %s: %s\n", at->addr - insns[0].addr, at->function, at->text);
	}
	exit(1);
}

/*
 * From the end of the handler to where it had interrupted, and over that instruction, unless it was in a sequence
 * and is elsewhere now.
 */
static void step_out(uintptr_t from)
{
	for (;;) {
		int i, status;

		go(PTRACE_SINGLESTEP, 0);
		status = copy_wait();
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

static bool is_target(const struct plan *p, int i)
{
	return p->at < 0 ? insns[i].is & p->sort : i == p->at && tables->nhits == 0;
}

/* What is to be hit next. */
static void plant_next(const struct plan *p)
{
	if (tables->nhits == HITS_MAX)
		return;
	if (p->most && tables->nhits >= p->most) {
		plant_all(is_unknown);
		return;
	}
	if (p->explore && tables->nhits)
		plant_all(is_unknown);
	for (int i = p->at < 0 ? 0 : p->at; i < ninsns && (p->at < 0 || i == p->at); i++)
		if (is_target(p, i))
			plant(i);
}

static void hit(int i)
{
	rip_set(insns[i].addr);
	if (copy.nplanted > 1)
		plant_all(is_none);
	else
		unplant(i);
	results->what[path][op][i] |= EXECUTED | INTERRUPTED;
	results->interruptions[path]++;
	tables->hits[tables->nhits++] = i;
}

/* One round. Returns whether it has interrupted what had not been interrupted before, and was not meant to be. */
static bool play(const struct plan *p)
{
	bool found = false;
	int sig = 0;

	copy_start();
	scene->fills = p->fills;
	scene->mark = p->explore;
	plant_next(p);
	for (;;) {
		int status, i;

		go(PTRACE_CONT, sig);
		sig = 0;
		status = copy_wait();
		if (!WIFSTOPPED(status)) {
			judge(status);
			return found;
		}
		if (WSTOPSIG(status) != SIGTRAP) {
			sig = WSTOPSIG(status);
			continue;
		}
		i = code_at(regs_get().rip - 1);
		if (i >= 0 && tables->planted[i]) {
			found |= !is_target(p, i);
			hit(i);
			sig = SIGUSR1;
		} else if (scene->stage == HANDLED) {
			if (p->at < 0)
				step_out(insns[tables->hits[tables->nhits - 1]].addr);
			plant_next(p);
			scene->mark = copy.nplanted;
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
		status = copy_wait();
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
		status = copy_wait();
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
	for (int i = 0; i < ninsns; i++)
		if (tables->known[i] && is_wanted(i))
			interrupt((struct plan){ .at = i, .explore = insns[i].is & (LOADS | IN_RSEQ) });
	for (int fills = 0; fills < 2; fills++) {
		if (sequences)
			interrupt((struct plan){ .at = -1, .sort = COMMITS, .fills = fills, .explore = true });
		interrupt((struct plan){ .at = -1, .sort = SWAPS, .fills = fills, .explore = true });
		if (sequences)
			interrupt((struct plan){ .at = -1, .sort = COMMITS | SWAPS, .fills = fills, .explore = true });
	}
	for (int most = 2; commits && most < HITS_MAX; most++)
		interrupt((struct plan){ .at = -1, .sort = COMMITS | SWAPS, .most = most, .explore = true });
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
/* EXECUTED, INTERRUPTED or both, by any operation on any path. */
static uint8_t seen(int i)
{
	uint8_t what = 0;

	for (int p = 0; p < PATHS; p++)
		for (int o = 0; o < OPS; o++)
			what |= results->what[p][o][i];
	return what;
}

static bool complete(void)
{
	code_excuses_renew();
	for (int i = 0; i < ninsns; i++)
		if ((insns[i].is & REACHABLE) && !(seen(i) & INTERRUPTED) && ((seen(i) & EXECUTED) || !code_excuse(i)))
			return false;
	return true;
}

/* Has every instruction that was seen to be executed been interrupted, and has every reachable one been executed? */
static bool report(void)
{
	bool all = true;
	int reachable = 0, covered = 0, excused = 0;

	code_excuses_renew();
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
		const char *excuse;
		uint8_t what = seen(i);

		if (!(insns[i].is & REACHABLE))
			continue;
		reachable++;
		if (what & INTERRUPTED) {
			covered++;
			continue;
		}
		excuse = what & EXECUTED ? NULL : code_excuse(i);
		excused += excuse != NULL;
		all &= excuse != NULL;
		if (!excuse || strcmp(excuse, "padding"))
			printf("%s %#lx %s: %s: %s\n", what & EXECUTED ? "not interrupted:" : "not executed:",
			       insns[i].addr - insns[0].addr, insns[i].function, insns[i].text, excuse ?: "FOR NO REASON KNOWN");
	}
	printf("%d instructions can be reached; %d were interrupted, %d are excused\n", reachable, covered, excused);
	for (int p = 0; p < PATHS; p++)
		printf("%s: %ld scenarios, %ld rounds, %ld interruptions\n", paths[p].name, results->scenarios[p], results->rounds[p],
		       results->interruptions[p]);
	return all;
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
	execl("/proc/self/exe", "interrupt", "--path", number, file, NULL);
	_exit(2);
}

int main(int argc, char **argv)
{
	bool child = argc == 4 && !strcmp(argv[1], "--path"), caught = argc == 2 && !strcmp(argv[1], "--caught"), wrong = false,
	     broken = false;
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
	/* The last exits of some loops take eight interruptions in a row, which a busy machine may prevent. */
	for (int pass = 0; pass < (caught ? 1 : 3) && !wrong && !broken && !(pass && complete()); pass++) {
		for (int p = 0; p < PATHS; p++)
			start_path(p, fd);
		for (int p = 0; p < PATHS && !(caught && wrong); p++) {
			int status;

			while (wait(&status) < 0)
				;
			wrong |= status && results->wrong;
			broken |= status && !(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		}
	}
	if (broken)
		return 2;
	if (caught)
		return !wrong;
	return report() && !wrong ? 0 : 1;
}
