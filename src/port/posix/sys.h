/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* System calls that leave errno alone. */
#ifndef ANYRCU_PORT_POSIX_SYS_H
#define ANYRCU_PORT_POSIX_SYS_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The result, or -errno. A signal handler in between leaves errno as it found it, so the saved value is right. */
#define sys(nr, ...)                                                                                                   \
	({                                                                                                             \
		int sys_errno_ = errno;                                                                                \
		long sys_ret_ = syscall(nr, ##__VA_ARGS__);                                                            \
		if (sys_ret_ == -1)                                                                                    \
			sys_ret_ = -errno;                                                                             \
		errno = sys_errno_;                                                                                    \
		sys_ret_;                                                                                              \
	})

#endif
