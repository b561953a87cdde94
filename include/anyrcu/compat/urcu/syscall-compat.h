/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef ANYRCU_COMPAT_URCU_SYSCALL_COMPAT_H
#define ANYRCU_COMPAT_URCU_SYSCALL_COMPAT_H

#include <sys/syscall.h>

#endif
