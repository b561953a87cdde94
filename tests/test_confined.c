/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Programs that enter a user namespace, a filter of system calls or Landlock once the library has
 * no thread: what a worker calls that is started later is confined as the program is. Built twice:
 * with AT_START the library has no thread from the beginning, else it had one.
 */
#include "test.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#ifdef AT_START
ANYRCU_WORKERS_AT_START(-1);
#endif

static void without_thread(void)
{
	for (int i = 0; i < 100; i++)
		object_defer(i);
#ifndef AT_START
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
#endif
	CHECK(tasks_count() == 1);
}

static _Atomic(int) done;
static int result;

/* @func is called by a worker that is started now. */
static void by_worker(void (*func)(void *arg))
{
	CHECK(!configure((struct anyrcu_config){ .workers = 1 }));
	CHECK(anyrcu_call_headless(func, NULL));
	UNTIL(atomic_load(&done));
	pool_check();
}

static void sees_parent(void *arg)
{
	result = syscall(SYS_getppid) == -1 ? errno : 0;
	atomic_store(&done, 1);
}

static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	without_thread();
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	by_worker(sees_parent);
	CHECK(result == EXDEV);
}

static void reads(void *arg)
{
	result = open("/etc/passwd", O_RDONLY) == -1 ? errno : 0;
	atomic_store(&done, 1);
}

static void landlock(void)
{
	struct landlock_ruleset_attr rules = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE };
	int fd;

	without_thread();
	fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (fd < 0) { /* the kernel has none */
		CHECK(errno == ENOSYS || errno == EOPNOTSUPP);
		return;
	}
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_landlock_restrict_self, fd, 0));
	by_worker(reads);
	CHECK(result == EACCES);
}

static char inside[64];

static void looks_at_namespace(void *arg)
{
	result = readlink("/proc/thread-self/ns/user", inside, sizeof(inside) - 1);
	atomic_store(&done, 1);
}

static void user_namespace(void)
{
	char outside[64] = "";

	without_thread();
	CHECK(readlink("/proc/self/ns/user", outside, sizeof(outside) - 1) > 0);
	if (unshare(CLONE_NEWUSER)) { /* EINVAL: there is another thread */
		CHECK(errno == EPERM || errno == ENOSPC);
		return;
	}
	by_worker(looks_at_namespace);
	CHECK(result > 0 && strcmp(inside, outside));
}

static const struct test_case cases[] = {
	CASE(filter),
	CASE(landlock),
	CASE(user_namespace),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
