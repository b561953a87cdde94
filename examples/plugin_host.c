/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A server that loads a plug-in, uses it in a thread without locks, and unloads it, again and
 * again. No thread may be in the plug-in's code by then: no reader, for which it waits by
 * anyrcu_synchronize(), and no callback, for which the plug-in does by anyrcu_barrier().
 * usage: plugin_host PLUGIN
 */
#include "plugin.h"

#include <anyrcu/anyrcu.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define LOADS 100

static const struct plugin *loaded; /* NULL between two loads */
static atomic_int stop;
static atomic_long answers;

static void *serve(void *arg)
{
	long *wrong = arg;

	for (long question = 0; !atomic_load(&stop); question++) {
		const struct plugin *plugin;

		anyrcu_read_lock();
		plugin = anyrcu_dereference(loaded);
		if (plugin) {
			*wrong += plugin->answer(question) < question;
			atomic_fetch_add(&answers, 1);
		}
		anyrcu_read_unlock();
	}
	return NULL;
}

static int load_and_unload(const char *path, long *settings_in_use)
{
	void *code = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	plugin_start_t *start;
	const struct plugin *plugin;
	long before = atomic_load(&answers);

	if (!code)
		return -1;
	start = (plugin_start_t *)dlsym(code, "plugin_start");
	if (!start)
		return -1;
	plugin = start(settings_in_use);
	anyrcu_assign_pointer(loaded, plugin);
	for (long i = 0; i < 1000 || atomic_load(&answers) < before + 10; i++)
		plugin->reconfigure(i);
	anyrcu_assign_pointer(loaded, NULL);
	anyrcu_synchronize();
	plugin->stop();
	return dlclose(code);
}

int main(int argc, char **argv)
{
	long settings_in_use = 0, wrong = 0;
	pthread_t thread;

	if (argc != 2 || pthread_create(&thread, NULL, serve, &wrong))
		return 2;
	for (int i = 0; i < LOADS; i++) {
		if (load_and_unload(argv[1], &settings_in_use)) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	printf("%d plug-ins unloaded, %ld settings left, %ld answers wrong\n", LOADS,
	       settings_in_use, wrong);
	return 0;
}
