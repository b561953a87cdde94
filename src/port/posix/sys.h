/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* System calls that leave errno alone. */
#ifndef ANYRCU_PORT_POSIX_SYS_H
#define ANYRCU_PORT_POSIX_SYS_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the kernel's interface: its headers are not everywhere where libc's are. */
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
#define FUTEX_LOCK_PI_PRIVATE 134
#define FUTEX_UNLOCK_PI_PRIVATE 135
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED (1 << 4)
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ (1 << 7)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ (1 << 8)

/*
 * The result, or -errno. A signal handler in between leaves errno as it found it, so the saved
 * value is right.
 */
#define sys(nr, ...)                                        \
	({                                                  \
		int sys_errno_ = errno;                     \
		long sys_ret_ = syscall(nr, ##__VA_ARGS__); \
		if (sys_ret_ == -1)                         \
			sys_ret_ = -errno;                  \
		errno = sys_errno_;                         \
		sys_ret_;                                   \
	})

#endif
