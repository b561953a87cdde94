/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TESTS_TEST_PLATFORM_H
#define TESTS_TEST_PLATFORM_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <port/port.h>
#include <port/posix/init.h>
#include <port/posix/process.h>
#include <port/process.h>

static inline void check(bool ok)
{
	if (!ok)
		_exit(1);
}

/* What waitpid() says of a child process that calls @f. */
static inline int status_of_child(void (*f)(void))
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		f();
		_exit(0);
	}
	return waitpid(child, &status, 0) == child ? status : -1;
}

static inline void in_child(void (*f)(void))
{
	assert_int_equal(status_of_child(f), 0);
}

/*
 * From here on the process has @action for this system call, or, if @command is not 0, for those of
 * it whose first argument that is. False: there are no filters here.
 */
static inline bool filter_command(uint32_t call, uint32_t command, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
		BPF_JUMP(BPF_JMP | BPF_JA, command ? 0 : 2, 0, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, command, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static inline bool filter(uint32_t call, uint32_t action)
{
	return filter_command(call, 0, action);
}

extern unsigned creations; /* how often a thread was to be created */

/* The tests of other files; each returns how many failed. */
int platform_tasks(void);
int platform_where(void);
int platform_refused(void);
int platform_waits(void);
int platform_refused_first(void); /* before port_process() */
/* The program was run by a test of test_platform_waits.c, which this is the rest of. */
bool platform_runs_again(int argc, char **argv);

#endif
