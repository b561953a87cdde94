/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The core's <stddef.h> in the kernel, which has no such header. */
#ifndef ANYRCU_PORT_LINUX_STDDEF_H
#define ANYRCU_PORT_LINUX_STDDEF_H

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#endif
