/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 1000000

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

int child_wait(pid_t pid, unsigned seconds, bool *late)
{
	int64_t limit = now_s() + seconds;
	pid_t ended;
	int status;

	*late = false;
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
		if (!*late && now_s() > limit) {
			*late = true;
			kill(pid, SIGKILL);
		}
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return ended == pid ? status : -1;
}

static _Noreturn void run(char *const argv[], const char *preload, const char *without, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(out, STDOUT_FILENO) >= 0 && unsetenv(without) == 0 &&
	    (preload ? setenv("LD_PRELOAD", preload, 1) : unsetenv("LD_PRELOAD")) == 0)
		execv(argv[0], argv);
	_exit(127);
}

int child_output(char *const argv[], const char *preload, const char *without, unsigned seconds,
		 bool *late, char *out, size_t size)
{
	int ends[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	*late = false;
	*out = '\0';
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		run(argv, preload, without, ends[1]);
	close(ends[1]);
	status = pid > 0 ? child_wait(pid, seconds, late) : -1;
	/*
	 * A process that the child has left behind may hold the pipe open, so its end is not waited
	 * for.
	 */
	while (n + 1 < size && (got = read(ends[0], out + n, size - 1 - n)) > 0)
		n += got;
	out[n] = '\0';
	close(ends[0]);
	return status;
}
