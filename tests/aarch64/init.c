/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The first process of the machine that scripts/aarch64-system.sh boots: runs each line of /list, a
 * program with its arguments and what comes before them of its environment, says how it ended, and
 * turns the machine off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS 16

static void run(char *line)
{
	char *argv[WORDS + 1] = { NULL };
	struct timespec begin, end;
	int n = 0, status = -1;
	pid_t pid;

	printf("run: %s\n", line);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid = fork();
	if (pid == 0) {
		for (char *word = strtok(line, " "); word && n < WORDS; word = strtok(NULL, " ")) {
			if (n == 0 && strchr(word, '='))
				putenv(word);
			else
				argv[n++] = word;
		}
		dup2(1, 2);
		execv(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) != pid)
		; /* orphans */
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("\nstatus: %d, %ld s\n",
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
	       (long)(end.tv_sec - begin.tv_sec));
	fflush(stdout);
}

int main(void)
{
	char line[256];
	FILE *list;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mkdir("/dev/shm", 0777);
	mount("shm", "/dev/shm", "tmpfs", 0, NULL);
	setenv("PATH", "/tests", 1);
	list = fopen("/list", "r");
	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		run(line);
	}
	printf("machine: end\n");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
