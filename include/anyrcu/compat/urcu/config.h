/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How liburcu was configured; anyrcu is as Debian configures it. */
#ifndef ANYRCU_COMPAT_URCU_CONFIG_H
#define ANYRCU_COMPAT_URCU_CONFIG_H

#define CONFIG_RCU_SMP 1
#define CONFIG_RCU_TLS 1
#define CONFIG_RCU_HAVE_CLOCK_GETTIME 1
#define CONFIG_RCU_HAVE_MULTIFLAVOR 1

#endif
