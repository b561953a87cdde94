/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A program that is not linked with the library loads a shared object that is, uses and unloads it,
 * again and again, from several threads. usage: test_dlopen PLUGIN [after-main]
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, dlerror());
	exit(1);
}

static void *loads(void *arg)
{
	for (int i = 0; i < 20; i++) {
		void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		long (*use)(long n);

		if (!plugin || !(use = (long (*)(long))dlsym(plugin, "plugin_use")))
			die("load");
		if (!arg && use(700) != 700)
			die("use");
		if (arg && use(70) < 70)
			die("use in a thread");
		if (dlclose(plugin))
			die("unload");
	}
	return NULL;
}

static bool main_is_dead(void)
{
	char stat[512] = "";
	FILE *f = fopen("/proc/self/stat", "r");

	if (!f || !fgets(stat, sizeof(stat), f))
		die("/proc/self/stat");
	fclose(f);
	return strstr(stat, ") Z");
}

static void *loads_late(void *arg)
{
	struct stat tasks;

	while (!main_is_dead())
		usleep(1000);
	if (stat("/proc/self/task", &tasks) || tasks.st_nlink - 2 != 2)
		_exit(0);
	if (!dlopen(path, RTLD_NOW | RTLD_LOCAL))
		die("load by a thread that is left alone");
	return NULL;
}

/*
 * The library's thread must not keep a process alive whose main thread had ended before. An
 * emulator's or a checker's may.
 */
static void load_after_main(void)
{
	pthread_t t;
	int status, ms = 0;
	pid_t pid = fork();

	if (!pid) {
		if (pthread_create(&t, NULL, loads_late, NULL))
			die("thread");
		pthread_exit(NULL);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		usleep(1000);
		if (ms++ == 60000)
			kill(pid, SIGKILL); /* the library's thread blocks SIGALRM */
	}
	if (pid < 0 || status) {
		fprintf(stderr, "a process whose main thread has ended: status %x\n", status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	pthread_t t[3];

	if (argc < 2)
		return 2;
	path = argv[1];
	if (argc > 2)
		load_after_main();
	if (dlopen("libanyrcu.so.0", RTLD_NOW | RTLD_NOLOAD))
		die("the library is there before it was loaded");
	loads(NULL);
	if (dlopen(path, RTLD_NOW | RTLD_NOLOAD))
		die("the plug-in is still there");
	for (int i = 0; i < 3; i++) {
		if (pthread_create(&t[i], NULL, loads, &t))
			die("thread");
	}
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	if (!dlopen("libanyrcu.so.0", RTLD_NOW | RTLD_NOLOAD))
		die("the library was unloaded");
	return 0;
}
