/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The explorer: what a few threads do with the core, and what must come out of it, whatever the
 * order.
 *
 * usage: explore [--first NAME... | --only NAME... | --seed SEED SCENE]
 *     all scenes; those first whose names begin so; only those; one execution, with a trace on
 * standard error
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "scenes.h"

static const struct sim_scene *const scenes[] = { readers_scenes,      workers_scenes,
						  forks_scenes,	       domains_scenes,
						  windows_scenes,      windows_store_scenes,
						  windows_tasks_scenes };

static const struct sim_scene *scene_at(size_t i)
{
	for (size_t k = 0; k < ARRAY_SIZE(scenes); k++)
		for (const struct sim_scene *s = scenes[k]; s->name; s++)
			if (i-- == 0)
				return s;
	return NULL;
}

/* Does the name begin with one of these? */
static bool is_one_of(const char *name, char **of)
{
	for (; *of; of++)
		if (!strncmp(name, *of, strlen(*of)))
			return true;
	return false;
}

/* The scenes that are, or are not, among @of: false if one fails. */
static bool run_all(char **of, bool among)
{
	const char *times = getenv("EXPLORE_TIMES"); /* as many seeds */

	for (size_t i = 0; scene_at(i); i++) {
		const struct sim_scene *s = scene_at(i);

		if (is_one_of(s->name, of) != among)
			continue;
		for (unsigned seed = 1; seed <= s->seeds * (times ? atoi(times) : 1); seed++)
			if (!sim_run(s, seed, false))
				return false;
	}
	return true;
}

static bool run_one(const char *name, uint64_t seed)
{
	for (size_t i = 0; scene_at(i); i++)
		if (!strcmp(scene_at(i)->name, name))
			return sim_run(scene_at(i), seed, true);
	return false;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	objects_begin();
	if (argc == 4 && !strcmp(argv[1], "--seed"))
		return !run_one(argv[3], strtoul(argv[2], NULL, 0));
	if (argc > 2 && !strcmp(argv[1], "--first"))
		return !run_all(argv + 2, true) || !run_all(argv + 2, false);
	if (argc > 2 && !strcmp(argv[1], "--only"))
		return !run_all(argv + 2, true);
	return !run_all(argv + argc, false);
}
