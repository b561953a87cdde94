/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kinds of programs with plug-ins (plugged.c), in pairs; see kinds.h. The plug-ins are where the
 * program is.
 */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <dlfcn.h>

static void *load(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	void *handle;

	if (n < 0)
		abort();
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, name);
	handle = dlopen(path, RTLD_NOW);
	if (!handle)
		abort();
	return handle;
}

THREAD(calls_with_a)
{
	((void (*)(pthread_mutex_t *))arg)(&a);
	return NULL;
}

/* The one that comes to lie where another was has a lock of its own there. */
static void unloaded(void)
{
	void *first = load("libplugged_first.so"), *second;

	run(calls_with_a, dlsym(first, "outside"));
	if (!wrong)
		dlclose(first);
	second = wrong ? first : load("libplugged_second.so");
	run(calls_with_a, dlsym(second, "inside"));
	dlclose(second);
}

static const struct kind kinds[] = { KIND(unloaded) };
KINDS_MAIN(kinds)
