/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the module itself uses of the kernel's port, in addition to port.h. */
#ifndef ANYRCU_PORT_LINUX_INIT_H
#define ANYRCU_PORT_LINUX_INIT_H

#include <linux/mutex.h>
#include <port/port.h>

/* Called before, and after, everything else. Task. */
void port_linux_init(void);
void port_linux_exit(void);

/* Each lock is a class of its own for lockdep. Task. */
#define port_lock_init(lock)                                                \
	do {                                                                \
		BUILD_BUG_ON(sizeof(struct mutex) > sizeof((lock)->mutex)); \
		mutex_init((struct mutex *)(void *)(lock)->mutex);          \
	} while (0)

#endif
