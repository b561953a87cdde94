/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What plugin.c, a plug-in, offers plugin_host.c, the program that loads it. */
#ifndef EXAMPLES_PLUGIN_H
#define EXAMPLES_PLUGIN_H

struct plugin {
	long (*answer)(long question); /* in a read-side critical section, in any thread */
	void (*reconfigure)(long summand); /* in one thread at a time */
	void (*stop)(void); /* once nobody calls the others any more */
};

/* The plug-in exports this; it counts in @settings_in_use what it holds. */
typedef const struct plugin *plugin_start_t(long *settings_in_use);

#endif
