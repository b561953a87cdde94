/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The core's <stdbool.h> in the kernel, which has no such header but the same names in
 * <linux/types.h>. A file that needs both includes the kernel's headers first.
 */
#ifndef ANYRCU_PORT_LINUX_STDBOOL_H
#define ANYRCU_PORT_LINUX_STDBOOL_H

#ifndef _LINUX_TYPES_H
#define bool _Bool
#define true 1
#define false 0
#endif

#endif
