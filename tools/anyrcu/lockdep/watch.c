/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A program that is run with libanyrcu-lockdep.so preloaded, and all that it starts: the memory
 * that is shared with them, and how long they run.
 */
#define _GNU_SOURCE
#include "lockdep/watch.h"
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct watch *watching;

/* Also where the tool ends early. */
static void remove_files(void)
{
	for (unsigned i = 0; i < watching->nfiles; i++)
		unlink(watching->file[i]);
	rmdir(watching->dir);
}

void watch_prepare(struct watch *w, struct program *p)
{
	const char *tmp = getenv("TMPDIR");

	program_prepare(p, "libanyrcu-lockdep.so", PRELOAD_FROM_BINDIR "/libanyrcu-lockdep.so");
	snprintf(w->dir, sizeof(w->dir), "%s/anyrcu-lockdep-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(w->dir) || chmod(w->dir, 0711) != 0)
		program_die(w->dir, strerror(errno));
	watching = w;
	atexit(remove_files);
	w->notices = watch_share(w, NOTICES_ENV, sizeof(*w->notices));
	w->notices->magic = NOTICES_MAGIC;
}

/*
 * Whoever the program turns into must be able to open it, so its name is what keeps others out. All
 * of it is allocated: a full file system must not be found by the program.
 */
void *watch_share(struct watch *w, const char *variable, size_t size)
{
	char *file = w->file[w->nfiles];
	mode_t mask = umask(0);
	void *map = MAP_FAILED;
	int fd, error = 0;

	if (snprintf(file, sizeof(w->file[0]), "%s/XXXXXX", w->dir) >= (int)sizeof(w->file[0]))
		program_die(w->dir, strerror(ENAMETOOLONG));
	fd = mkostemp(file, O_CLOEXEC);
	error = fd < 0 ? errno : posix_fallocate(fd, 0, size);
	if (error == 0 && fchmod(fd, 0666) != 0)
		error = errno;
	umask(mask);
	if (!error)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	w->nfiles++;
	if (map == MAP_FAILED || setenv(variable, file, 1) != 0)
		program_die(file, strerror(error ?: errno));
	close(fd);
	shared_scattered(map, size);
	return map;
}

/* One that has ended may be there until its parent asks for its status, which may be never. */
static bool is_zombie(uint32_t pid)
{
	char path[32], stat[512], *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	state = strrchr(stat, ')'); /* behind the name, which may have any character in it */
	return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

static bool lives(uint32_t pid)
{
	return pid && (kill(pid, 0) == 0 || errno == EPERM) && !is_zombie(pid);
}

static void count_process(struct watch *w, const struct notice_process *p)
{
	/* When it and its parent entered it at once it is there twice. */
	for (size_t i = 0; i < NOTICES_PROCESSES; i++)
		if (&w->notices->process[i] != p && w->notices->process[i].pid == p->pid)
			return;
	w->processes++;
	if (w->ended)
		w->ended(w, p);
}

/* Make room of those that have ended. How many go on? */
static unsigned attend_processes(struct watch *w)
{
	unsigned running = 0;

	for (size_t i = 0; i < NOTICES_PROCESSES; i++) {
		struct notice_process *p = &w->notices->process[i];
		uint32_t state = atomic_load(&p->state);

		if (state == PROCESS_RUNS && lives(p->pid)) {
			running++;
		} else if (state == PROCESS_RUNS || state == PROCESS_ENDED) {
			count_process(w, p);
			memset((char *)p + sizeof(p->state), 0, sizeof(*p) - sizeof(p->state));
			atomic_store(&p->state, PROCESS_NONE);
		}
	}
	return running;
}

/*
 * Until the program has exited, and then until what it left running has, which a signal to this
 * process puts an end to. Returns its exit status.
 */
int watch_program(struct watch *w, struct program *p)
{
	static const struct timespec tick = { .tv_nsec = 50000000 };
	int status = -1, result, sig;

	program_start(p);
	for (;;) {
		sig = sigtimedwait(&p->signals, NULL, &tick);
		if (status < 0 && (sig == SIGTERM || sig == SIGHUP))
			kill(p->pid, sig);
		if (status < 0 && sig == SIGCHLD && waitpid(p->pid, &result, WNOHANG) == p->pid) {
			status = program_status(result);
			sigaddset(&p->signals, SIGINT);
			sigprocmask(SIG_BLOCK, &p->signals, NULL);
			signal(SIGINT, SIG_DFL);
			sig = 0;
		}
		w->look(w);
		if (attend_processes(w) == 0 && status >= 0)
			break;
		if (status >= 0 && sig > 0 && sig != SIGCHLD)
			break;
	}
	w->look(w);
	return status;
}
