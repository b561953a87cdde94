/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Processes that the tool starts for itself. Each has a time limit, and none outlives the tool. */
#ifndef ANYRCU_TOOL_CHILD_H
#define ANYRCU_TOOL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Wait until the process @pid has ended. After @seconds it is killed. Returns what waitpid() said;
 * *@late tells whether it had to be killed. -1: there is no such child.
 */
int child_wait(pid_t pid, unsigned seconds, bool *late);

/*
 * Run the program @argv[0], a path, with @preload (NULL: nothing) preloaded and without the
 * environment variable @without. What it writes to its standard output goes to @out, of @size
 * bytes, ended by '\0'; it must fit into a pipe. Returns and kills as child_wait() does.
 */
int child_output(char *const argv[], const char *preload, const char *without, unsigned seconds,
		 bool *late, char *out, size_t size);

#endif
