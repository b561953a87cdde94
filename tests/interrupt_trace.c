// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A copy of the prepared process, under trace: one round of the test. See interrupt.c. */
#define _GNU_SOURCE
#include "interrupt_trace.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct tables *tables;

#define THREADS_MAX 8
#define CHILDREN_MAX 4 /* of a round */

static struct copy {
	pid_t pid;
	int mem;
	int nplanted;
	bool runs; /* the operation */
	bool blocks; /* what is stepped over may wait for others */
	enum __ptrace_request how; /* it goes on */
	/* Of the library. They run when there are no breakpoints, or while others_run(). */
	struct thread {
		pid_t tid;
		bool stopped;
		bool over; /* it has ended */
	} threads[THREADS_MAX];
	int nthreads;
} copy;

_Noreturn void fail(const char *what)
{
	fprintf(stderr, "interrupt: %s, %s, %s: %s (%s)\n", paths[path].name, op_name[op],
		state->name, what, strerror(errno));
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

void unplant(int i)
{
	if (!tables->planted[i])
		return;
	tables->planted[i] = false;
	copy.nplanted--;
	poke(i, insns[i].byte);
}

/* Plant, or take away: in one write for each page of code in which anything changes. */
void plant_all(bool (*wanted)(int))
{
	uint8_t text[4096];

	for (int first = 0, next; first < ninsns; first = next) {
		uintptr_t page = insns[first].addr & -sizeof(text), end;
		bool changes = false;

		next = first + 1;
		if (is_outside(first)) { /* they are in no order */
			if (wanted(first))
				plant(first);
			else
				unplant(first);
			continue;
		}
		for (next = first; next < ninsns && !is_outside(next) &&
				   (insns[next].addr & -sizeof(text)) == page;
		     next++) {
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
		if (pwrite(copy.mem, text, end - insns[first].addr, insns[first].addr) !=
		    (ssize_t)(end - insns[first].addr))
			fail("breakpoints cannot be written");
	}
}

/* What an operation of hash tables calls is interrupted in operations of its own. */
static bool is_ours(int i)
{
	if (tasks)
		return !is_outside(i);
	return insns[i].is & (op < HASH_ADD ? POSSIBLE | IN_OP : IN_HASH | IN_OP);
}

/* In libc's creation of a thread, what a fork finds is libc's own affair. */
bool forks_wanted(int i)
{
	return paths[path].forks && !has_been(i, FORKED) && !(insns[i].is & STARTS_THREAD);
}

static bool is_unknown(int i)
{
	return is_ours(i) && !tables->known[i] &&
	       (!has_been(i, INTERRUPTED) || (tasks && forks_wanted(i)));
}

/* Is it to be interrupted in this state, though it may have been in another? */
bool is_wanted(int i)
{
	if (once && insns[i].is & STARTS_THREAD)
		return false;
	if (tasks && !thorough)
		return !has_been(i, INTERRUPTED) || (state->each && insns[i].is & LOADS);
	return thorough || state->each || insns[i].is & (SWAPS | IN_RSEQ) ||
	       !(results->what[path][op][i] & INTERRUPTED);
}

bool is_unseen(int i)
{
	return is_ours(i) && !tables->known[i] && (is_wanted(i) || (tasks && forks_wanted(i)));
}

static bool is_hidden(int i)
{
	return tables->hidden[i];
}

static bool is_none(int i)
{
	return false;
}

struct user_regs_struct regs_get(void)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, copy.pid, NULL, &regs))
		fail("registers cannot be read");
	return regs;
}

void rip_set(uintptr_t rip)
{
	struct user_regs_struct regs = regs_get();

	regs.rip = rip;
	if (ptrace(PTRACE_SETREGS, copy.pid, NULL, &regs))
		fail("registers cannot be written");
}

int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			fail("waitpid");
	return status;
}

static void go_on(void)
{
	if (ptrace(copy.how, copy.pid, NULL, NULL))
		fail("cannot go on");
}

static void thread_is(pid_t tid, bool stopped)
{
	if (copy.nthreads == THREADS_MAX)
		fail("more threads than there is room for");
	copy.threads[copy.nthreads++] = (struct thread){ .tid = tid, .stopped = stopped };
}

/* What waitpid() says of a thread that it knows, or not yet: then it waits for its first stop. */
static void thread_event(pid_t tid, int status)
{
	unsigned long created;

	for (int i = 0; i < copy.nthreads; i++) {
		struct thread *t = &copy.threads[i];

		if (t->tid != tid)
			continue;
		t->stopped = WIFSTOPPED(status);
		t->over |= !t->stopped;
		if (!t->stopped || WSTOPSIG(status) == SIGSTOP)
			return;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_CLONE << 8) &&
		    !ptrace(PTRACE_GETEVENTMSG, tid, NULL, &created))
			thread_is(created, false);
		ptrace(PTRACE_CONT, tid, NULL,
		       (void *)(intptr_t)(WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)));
		t->stopped = false;
	}
}

/* Does it sleep in the kernel? */
static bool sleeps(pid_t tid)
{
	char name[64], text[512], *p;
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/task/%d/stat", copy.pid, tid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')');
	return p && p[2] == 'S';
}

#define LOOK 250 /* microseconds between two looks at what sleeps */
#define LOOKS 5 /* that see it sleep: it waits for something */
#define LOOKS_MAX 400

/* Until there is something to wait for, but not for long. */
static void look_later(void)
{
	const struct timespec look = { .tv_nsec = LOOK * 1000 };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigtimedwait(&chld, NULL, &look);
}

/*
 * The operation waits for another thread: those of the library run, without breakpoints, until all
 * sleep, and a reader leaves its section. The operation is stopped meanwhile: a status of its own
 * that came before that is returned, else 0.
 */
static int others_run(void)
{
	int status, mine = 0;

	syscall(SYS_tgkill, copy.pid, copy.pid, SIGSTOP);
	status = wait_for(copy.pid);
	if (!WIFSTOPPED(status))
		return status;
	if (WSTOPSIG(status) != SIGSTOP)
		mine = status;
	memcpy(tables->hidden, tables->planted, sizeof(tables->hidden));
	plant_all(is_none);
	for (int i = 0; i < copy.nthreads; i++) {
		struct thread *t = &copy.threads[i];

		while (!t->over && !t->stopped)
			thread_event(t->tid, wait_for(t->tid));
		if (!t->over && ptrace(PTRACE_CONT, t->tid, NULL, NULL))
			fail("a thread cannot go on");
		t->stopped = false;
	}
	scene->leave = true;
	for (int looks = 0, total = 0; looks < LOOKS && total < LOOKS_MAX; looks++, total++) {
		pid_t tid;

		while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
			thread_event(tid, status);
			if (tid == copy.pid)
				return status; /* it was killed */
		}
		for (int i = 0; i < copy.nthreads; i++)
			if (!copy.threads[i].over && !sleeps(copy.threads[i].tid))
				looks = 0;
		if (state->leaves && !scene->left)
			looks = 0;
		look_later();
	}
	for (int i = 0; i < copy.nthreads; i++) {
		struct thread *t = &copy.threads[i];

		syscall(SYS_tgkill, copy.pid, t->tid, SIGSTOP);
		while (!t->over && !t->stopped)
			thread_event(t->tid, wait_for(t->tid));
	}
	plant_all(is_hidden);
	return mine;
}

static bool waits_for_others(void)
{
	return tasks && copy.runs && (copy.nthreads || (state->leaves && !scene->left));
}

/*
 * What waitpid() says of the copy, or of another; 0: it waits for other threads. Single steps must
 * be quick: the kernel's page of code starts over if the clock ticks while it reads the time.
 */
static pid_t wait_any(int *status)
{
	int looks = 0;
	pid_t pid;

	do {
		if (!waits_for_others() || (copy.how == PTRACE_SINGLESTEP && !copy.blocks))
			return waitpid(-1, status, __WALL);
		pid = waitpid(-1, status, __WALL | WNOHANG);
		if (pid == 0) {
			look_later();
			looks = sleeps(copy.pid) && !scene->child_runs ? looks + 1 : 0;
		}
	} while (pid == 0 && looks < LOOKS);
	return pid;
}

/* The copy's next stop or its end. A traced thread that ends with it must be waited for, too. */
int copy_wait(void)
{
	for (;;) {
		unsigned long thread;
		int status;
		pid_t pid = wait_any(&status);

		if (pid < 0 && errno != EINTR)
			fail("waitpid");
		if (pid == 0) {
			status = others_run();
			pid = copy.pid;
			if (status == 0) {
				go_on();
				continue;
			}
		}
		if (pid != copy.pid) {
			thread_event(pid, status);
			continue;
		}
		if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP && tasks) {
			go_on();
			continue;
		}
		if (!WIFSTOPPED(status) || status >> 8 != (SIGTRAP | PTRACE_EVENT_CLONE << 8))
			return status;
		if (ptrace(PTRACE_GETEVENTMSG, pid, NULL, &thread))
			fail("a new thread cannot be traced");
		thread_is(thread, false);
		go_on();
	}
}

void go(enum __ptrace_request how, int sig)
{
	copy.how = how;
	if (ptrace(how, copy.pid, NULL, (void *)(intptr_t)sig))
		fail("cannot go on");
}

/* The library's threads must run no code with breakpoints in it. */
static void threads_stop(void)
{
	for (int i = 0; i < WORKERS_MAX && scene->worker[i]; i++) {
		pid_t tid = scene->worker[i];

		if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) ||
		    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
			fail("a worker cannot be traced");
		wait_for(tid);
		thread_is(tid, true);
	}
}

static void threads_go(void)
{
	copy.runs = false;
	for (int i = 0; i < copy.nthreads; i++) {
		struct thread *t = &copy.threads[i];

		while (!t->over && !t->stopped)
			thread_event(t->tid, wait_for(t->tid));
		if (!t->over && ptrace(PTRACE_DETACH, t->tid, NULL, NULL))
			fail("a thread cannot go on");
	}
	copy.nthreads = 0;
}

void copy_kill(void)
{
	copy.runs = false;
	kill(copy.pid, SIGKILL);
	while (!WIFSIGNALED(copy_wait()))
		;
	close(copy.mem);
}

/* A copy that has just come to the operation. */
void copy_start(void)
{
	pid_t tracer = getpid();
	sigset_t chld;
	char name[64];
	int status;

	memset(scene, 0, sizeof(*scene));
	tables->nhits = 0;
	if (copy.nplanted)
		memset(tables->planted, 0, sizeof(tables->planted));
	copy.nplanted = 0;
	copy.nthreads = 0;
	copy.runs = false;
	results->rounds[path]++;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	copy.pid = fork();
	if (copy.pid < 0)
		fail("fork");
	if (copy.pid == 0) {
		sigprocmask(SIG_UNBLOCK, &chld, NULL);
		scene_play(op, state, tracer);
	}
	status = copy_wait();
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || scene->stage != READY) {
		fprintf(stderr, "%s\n", scene->why);
		fail("the state cannot be brought about");
	}
	if (ptrace(PTRACE_SETOPTIONS, copy.pid, NULL,
		   (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE)))
		fail("it would outlive this process");
	snprintf(name, sizeof(name), "/proc/%d/mem", copy.pid);
	copy.mem = open(name, O_RDWR | O_CLOEXEC);
	if (copy.mem < 0)
		fail("its memory cannot be opened");
	threads_stop();
	copy.runs = true;
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

		printf("  interrupted at %#lx %s: %s\n", at->addr - insns[0].addr, at->function,
		       at->text);
	}
	exit(1);
}

/*
 * From the end of the handler to where it had interrupted, and over that instruction, unless it was
 * in a sequence and is elsewhere now.
 */
static void step_out(uintptr_t from)
{
	int at = code_at(from);

	for (;;) {
		int i, status;

		copy.blocks = !from && at >= 0 && !strncmp(insns[at].text, "syscall", 7);
		go(PTRACE_SINGLESTEP, 0);
		status = copy_wait();
		copy.blocks = false;
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
	mark(i, EXECUTED | INTERRUPTED);
	results->interruptions[path]++;
	tables->hits[tables->nhits++] = i;
}

/*
 * Does it hold ordinary signals off, as whoever holds a lock of the library does? Then one comes
 * that it never holds off, as that of a fault.
 */
static bool blocks(void)
{
	uint64_t set;

	if (!tasks)
		return false;
	if (ptrace(PTRACE_GETSIGMASK, copy.pid, (void *)sizeof(set), &set))
		fail("it is not known which signals it blocks");
	return set >> (SIGUSR1 - 1) & 1;
}

/*
 * One round. Returns whether it has interrupted what had not been interrupted before, and was not
 * meant to be.
 */
bool play(const struct plan *p)
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
			bool forks = p->forks;

			if (!is_target(p, i)) {
				found = true;
				forks |= tasks && scene->children < CHILDREN_MAX && forks_wanted(i);
			}
			hit(i);
			if (forks) {
				mark(i, FORKED);
				results->forks[path]++;
			}
			scene->forks = forks;
			sig = forks || blocks() ? SIGSYS : SIGUSR1;
		} else if (scene->stage == HANDLED) {
			if (p->at < 0)
				step_out(insns[tables->hits[tables->nhits - 1]].addr);
			plant_next(p);
			scene->mark = copy.nplanted;
		} else if (scene->stage == DONE) {
			if (copy.nplanted)
				plant_all(is_none);
			scene->mark = false;
			threads_go();
		} else {
			fail("a breakpoint that nobody has planted");
		}
	}
}
