/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The locks of the dynamic loader, and what goes with an object that is unloaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>

#include "lockdep/preload_counts.h"

static const struct anyrcu_lock_type loader_type = { "dynamic loader", ANYRCU_WAIT_INV,
						     ANYRCU_WAIT_SLEEP };
static const char loader, objects; /* its locks: of loading, and of the list of what is loaded */

/* What the loader calls is deeper in the stack by more than our functions' frames. */
#define OUR_FRAMES 512

void loader_check(uintptr_t frame)
{
	if (me.handlers || frame + OUR_FRAMES <= me.loads)
		return;
	me.loads = 0;
	if (lockdep_engine.is_held(&loader) == 1)
		left(&loader, NULL);
}

void loader_left(void)
{
	me.loads = 0;
	lockdep_leave(&loader_type);
}

static void begin_load(uintptr_t frame, const void *ip)
{
	loader_over();
	if (me.loads || me.handlers)
		return;
	taken(&loader, &loader_type, ANYRCU_LOCK_WRITE, ip);
	taken(&objects, &loader_type, ANYRCU_LOCK_WRITE, ip);
	left(&objects, ip);
	me.loads = frame;
}

/*
 * What dlopen() finds depends on who calls it, so that it must be left by a jump: nothing of ours
 * is between it and the program. When it is over is seen by the stack, the next time that we are
 * called.
 */
#ifdef __clang__
#define JUMP __attribute__((musttail))
#define JUMPS
#else
#define JUMP
#define JUMPS __attribute__((optimize("O2", "no-exceptions")))
#endif

JUMPS EXPORT void *dlopen(const char *file, int mode)
{
	if (watched())
		begin_load((uintptr_t)__builtin_frame_address(0), CALLER);
	JUMP return real.dlopen(file, mode);
}

/* Where the objects are that may go with the one that is closed. */
#define OBJECTS 256
struct loaded {
	const char *from[OBJECTS], *to[OBJECTS];
	unsigned n;
};

static int look_at_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct loaded *l = arg;
	struct dl_find_object found;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum && l->n < OBJECTS; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC ||
		    _dl_find_object((void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
				    &found) != 0)
			continue;
		l->from[l->n] = found.dlfo_map_start;
		l->to[l->n++] = found.dlfo_map_end;
	}
	return 0;
}

EXPORT int dlclose(void *handle)
{
	struct dl_find_object found;
	bool told = watched();
	struct loaded l;
	int result;

	if (!told && !counted())
		return real.dlclose(handle);
	l.n = 0;
	real.dl_iterate_phdr(look_at_object, &l);
	if (told) {
		loader_over();
		taken(&loader, &loader_type, ANYRCU_LOCK_WRITE, CALLER);
	}
	result = real.dlclose(handle);
	if (told)
		left(&loader, CALLER);
	else
		counts_unloaded();
	lockdep_unloaded(); /* forgets classes by their locks, and so comes before the latter go */
	for (unsigned i = 0; i < l.n; i++)
		if (_dl_find_object((void *)l.from[i], &found) != 0)
			lockdep_forget(l.from[i], l.to[i]);
	return result;
}

EXPORT int dl_iterate_phdr(int (*f)(struct dl_phdr_info *, size_t, void *), void *arg)
{
	int result;

	if (!watched() || lockdep_engine.is_held(&objects) == 1)
		return real.dl_iterate_phdr(f, arg);
	taken(&objects, &loader_type, ANYRCU_LOCK_WRITE, CALLER);
	result = real.dl_iterate_phdr(f, arg);
	left(&objects, CALLER);
	return result;
}
