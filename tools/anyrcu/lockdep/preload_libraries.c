/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks that libraries make themselves, by their exported functions: the C library's streams,
 * GLib's, Qt's, OpenMP's.
 *
 * What a library beside libc exports is looked for when it is called first: the library may have
 * been loaded since the start, where RTLD_NEXT does not look.
 */
#define _GNU_SOURCE
#ifndef __NO_INLINE__
#define __NO_INLINE__ /* <stdio.h> has a putchar() otherwise */
#endif
#include <errno.h>
#include <stdarg.h>

#include "lockdep/preload.h"

static void *look_up(const char *library, const char *name)
{
	void *handle, *f = dlsym(RTLD_NEXT, name);

	if (f || !(handle = real.dlopen(library, RTLD_LAZY | RTLD_NOLOAD)))
		return f;
	f = dlsym(handle, name);
	real.dlclose(handle);
	return f;
}

#define theirs(library, name, type)                             \
	({                                                      \
		static void *found_;                            \
		if (unlikely(!load(&found_)))                   \
			store(&found_, look_up(library, name)); \
		(type) load(&found_);                           \
	})

/* ---- streams: their locks are recursive ---- */

static const struct anyrcu_lock_type stream_type = { "stream", ANYRCU_WAIT_INV, ANYRCU_WAIT_SLEEP };

static bool enter_stream(FILE *f, const void *ip)
{
	if (!f || !watched() || lockdep_engine.is_held(f) == 1)
		return false;
	taken(f, &stream_type, ANYRCU_LOCK_WRITE, ip);
	return true;
}

struct stream {
	FILE *f; /* NULL: not told */
	const void *ip;
};

static void leave_stream(struct stream *s)
{
	if (s->f)
		left(s->f, s->ip);
}

/* A stream's functions may be cancelled, and call the program's, which may throw. */
#define in_stream(file)                                                          \
	__attribute__((cleanup(leave_stream), unused)) struct stream stream_ = { \
		enter_stream(file, CALLER) ? (file) : NULL, CALLER               \
	}

EXPORT void flockfile(FILE *f)
{
	enter_stream(f, CALLER);
	real.flockfile(f);
}

EXPORT int ftrylockfile(FILE *f)
{
	int result = real.ftrylockfile(f);

	if (result == 0 && watched() && lockdep_engine.is_held(f) != 1)
		taken(f, &stream_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return result;
}

EXPORT void funlockfile(FILE *f)
{
	if (watched() && lockdep_engine.is_held(f) == 1)
		left(f, CALLER);
	real.funlockfile(f);
}

EXPORT int fflush(FILE *f)
{
	in_stream(f);

	return real.fflush(f);
}

EXPORT int fputs(const char *restrict s, FILE *restrict f)
{
	in_stream(f);

	return real.fputs(s, f);
}

EXPORT int fputc(int c, FILE *f)
{
	in_stream(f);

	return real.fputc(c, f);
}

EXPORT size_t fwrite(const void *restrict p, size_t size, size_t n, FILE *restrict f)
{
	in_stream(f);

	return real.fwrite(p, size, n, f);
}

EXPORT int puts(const char *s)
{
	in_stream(stdout);

	return real.puts(s);
}

EXPORT int putchar(int c)
{
	in_stream(stdout);

	return real.putchar(c);
}

EXPORT int vfprintf(FILE *restrict f, const char *restrict format, va_list args)
{
	in_stream(f);

	return real.vfprintf(f, format, args);
}

EXPORT int fprintf(FILE *restrict f, const char *restrict format, ...)
{
	in_stream(f);
	va_list args;
	int n;

	va_start(args, format);
	n = real.vfprintf(f, format, args);
	va_end(args);
	return n;
}

EXPORT int printf(const char *restrict format, ...)
{
	in_stream(stdout);
	va_list args;
	int n;

	va_start(args, format);
	n = real.vfprintf(stdout, format, args);
	va_end(args);
	return n;
}

/* As they are called by what was built with _FORTIFY_SOURCE. */
EXPORT int __fprintf_chk(FILE *f, int flag, const char *format, ...)
{
	in_stream(f);
	va_list args;
	int n;

	va_start(args, format);
	n = real.vfprintf_chk(f, flag, format, args);
	va_end(args);
	return n;
}

EXPORT int __printf_chk(int flag, const char *format, ...)
{
	in_stream(stdout);
	va_list args;
	int n;

	va_start(args, format);
	n = real.vfprintf_chk(stdout, flag, format, args);
	va_end(args);
	return n;
}

/* It frees the stream with its lock held: that is told before. */
EXPORT int fclose(FILE *f)
{
	if (enter_stream(f, CALLER))
		left(f, CALLER);
	if (f && watched()) {
		lockdep_forget(f, (char *)f + 1);
		file_closes(fileno_unlocked(f));
	}
	return real.fclose(f);
}

/* ---- GLib ---- */

#define GLIB "libglib-2.0.so.0"
static const struct anyrcu_lock_type gmutex_type = { "GMutex", ANYRCU_WAIT_CONFIG,
						     ANYRCU_WAIT_SLEEP };

#define glib(name, type) theirs(GLIB, name, type)

EXPORT void g_mutex_lock(void *m)
{
	if (watched())
		taken(m, &gmutex_type, ANYRCU_LOCK_WRITE, CALLER);
	glib("g_mutex_lock", void (*)(void *))(m);
}

EXPORT int g_mutex_trylock(void *m)
{
	int result = glib("g_mutex_trylock", int (*)(void *))(m);

	if (result && watched())
		taken(m, &gmutex_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return result;
}

EXPORT void g_mutex_unlock(void *m)
{
	if (watched())
		left(m, CALLER);
	glib("g_mutex_unlock", void (*)(void *))(m);
}

EXPORT void g_mutex_init(void *m)
{
	if (watched())
		lockdep_engine.init(m, &gmutex_type, NULL, class_of_caller(CALLER), CALLER);
	glib("g_mutex_init", void (*)(void *))(m);
}

EXPORT void g_mutex_clear(void *m)
{
	if (watched())
		lockdep_engine.destroy(m, CALLER);
	glib("g_mutex_clear", void (*)(void *))(m);
}

struct gwait {
	void *mutex; /* NULL: not told */
	const void *ip;
};

static struct gwait begin_gwait(void *c, void *m, const char *what, bool bounded, const void *ip)
{
	if (!watched())
		return (struct gwait){ 0 };
	loader_over();
	left(m, ip);
	if (!bounded)
		lockdep_wait_begin(c, what, ip);
	return (struct gwait){ m, ip };
}

static void end_gwait(struct gwait *w)
{
	if (!w->mutex)
		return;
	lockdep_wait_end();
	taken(w->mutex, &gmutex_type, ANYRCU_LOCK_WRITE, w->ip);
}

EXPORT void g_cond_wait(void *c, void *m)
{
	__attribute__((cleanup(end_gwait), unused)) struct gwait w =
		begin_gwait(c, m, "g_cond_wait", false, CALLER);

	glib("g_cond_wait", void (*)(void *, void *))(c, m);
}

EXPORT int g_cond_wait_until(void *c, void *m, int64_t until)
{
	__attribute__((cleanup(end_gwait), unused)) struct gwait w =
		begin_gwait(c, m, "g_cond_wait_until", true, CALLER);

	return glib("g_cond_wait_until", int (*)(void *, void *, int64_t))(c, m, until);
}

EXPORT void g_cond_signal(void *c)
{
	if (watched())
		lockdep_event(c, false, 1);
	glib("g_cond_signal", void (*)(void *))(c);
}

EXPORT void g_cond_broadcast(void *c)
{
	if (watched())
		lockdep_event(c, false, 1);
	glib("g_cond_broadcast", void (*)(void *))(c);
}

/*
 * ---- Qt 5: QMutex, whose kind says in bit 0 of a word behind a pointer that it is recursive ----
 */

#define QT "libQt5Core.so.5"
static const struct anyrcu_lock_type qmutex_type = { "QMutex", ANYRCU_WAIT_CONFIG,
						     ANYRCU_WAIT_SLEEP };

/* What is recursive is held more than once; how often is Qt's business. */
static bool qt_new(void *m)
{
	return watched() && lockdep_engine.is_held(m) != 1;
}

static bool qt_recursive(void *m)
{
	return theirs(QT, "_ZNK11QBasicMutex11isRecursiveEv", bool (*)(const void *)) &&
	       theirs(QT, "_ZNK11QBasicMutex11isRecursiveEv", bool (*)(const void *))(m);
}

EXPORT void _ZN6QMutex4lockEv(void *m)
{
	if (watched() && !qt_recursive(m))
		taken(m, &qmutex_type, ANYRCU_LOCK_WRITE, CALLER);
	theirs(QT, "_ZN6QMutex4lockEv", void (*)(void *))(m);
}

EXPORT bool _ZN6QMutex7tryLockEi(void *m, int timeout)
{
	bool result = theirs(QT, "_ZN6QMutex7tryLockEi", bool (*)(void *, int))(m, timeout);

	if (result && !qt_recursive(m) && qt_new(m))
		taken(m, &qmutex_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return result;
}

EXPORT void _ZN6QMutex6unlockEv(void *m)
{
	if (watched() && lockdep_engine.is_held(m) == 1)
		left(m, CALLER);
	theirs(QT, "_ZN6QMutex6unlockEv", void (*)(void *))(m);
}

/* ---- OpenMP, of GCC ---- */

#define GOMP "libgomp.so.1"
static const struct anyrcu_lock_type omp_type = { "OpenMP lock", ANYRCU_WAIT_CONFIG,
						  ANYRCU_WAIT_SLEEP };
static const char critical; /* the section without a name */

/* One that nests is acquired by the first of its owner's calls, and released by the last. */
static const struct anyrcu_lock_type omp_nest_type = { "OpenMP nest lock", ANYRCU_WAIT_CONFIG,
						       ANYRCU_WAIT_SLEEP };

#define omp(name, result) theirs(GOMP, #name, result (*)(void *))

#define omp_lock_pair(take, leave)                                         \
	EXPORT void take(void *lock)                                       \
	{                                                                  \
		if (watched())                                             \
			taken(lock, &omp_type, ANYRCU_LOCK_WRITE, CALLER); \
		omp(take, void)(lock);                                     \
	}                                                                  \
                                                                           \
	EXPORT void leave(void *lock)                                      \
	{                                                                  \
		if (watched())                                             \
			left(lock, CALLER);                                \
		omp(leave, void)(lock);                                    \
	}

#define omp_lock_life(begin, end, type)                                                         \
	EXPORT void begin(void *lock)                                                           \
	{                                                                                       \
		if (watched())                                                                  \
			lockdep_engine.init(lock, type, NULL, class_of_caller(CALLER), CALLER); \
		omp(begin, void)(lock);                                                         \
	}                                                                                       \
                                                                                                \
	EXPORT void end(void *lock)                                                             \
	{                                                                                       \
		if (watched())                                                                  \
			lockdep_engine.destroy(lock, CALLER);                                   \
		omp(end, void)(lock);                                                           \
	}

/* clang-format off */
omp_lock_pair(GOMP_critical_name_start, GOMP_critical_name_end)
omp_lock_pair(omp_set_lock, omp_unset_lock)
omp_lock_life(omp_init_lock, omp_destroy_lock, &omp_type)
omp_lock_life(omp_init_nest_lock, omp_destroy_nest_lock, &omp_nest_type)
	/* clang-format on */

	EXPORT int omp_test_lock(void *lock)
{
	int had = omp(omp_test_lock, int)(lock);

	if (had && watched())
		taken(lock, &omp_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return had;
}

EXPORT void omp_set_nest_lock(void *lock)
{
	if (watched() && lockdep_engine.is_held(lock) != 1)
		taken(lock, &omp_nest_type, ANYRCU_LOCK_WRITE, CALLER);
	omp(omp_set_nest_lock, void)(lock);
}

/* How often it is held now. */
EXPORT int omp_test_nest_lock(void *lock)
{
	int depth = omp(omp_test_nest_lock, int)(lock);

	if (depth == 1 && watched())
		taken(lock, &omp_nest_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, CALLER);
	return depth;
}

/*
 * Only who has it may ask how often: a try that succeeds says it, and is taken back. That comes
 * before the release, as others are told theirs.
 */
EXPORT void omp_unset_nest_lock(void *lock)
{
	if (watched() && lockdep_engine.is_held(lock) == 1) {
		int depth = omp(omp_test_nest_lock, int)(lock);

		if (depth)
			omp(omp_unset_nest_lock, void)(lock);
		if (depth == 2)
			left(lock, CALLER);
	}
	omp(omp_unset_nest_lock, void)(lock);
}

EXPORT void GOMP_critical_start(void)
{
	if (watched())
		taken(&critical, &omp_type, ANYRCU_LOCK_WRITE, CALLER);
	theirs(GOMP, "GOMP_critical_start", void (*)(void))();
}

EXPORT void GOMP_critical_end(void)
{
	if (watched())
		left(&critical, CALLER);
	theirs(GOMP, "GOMP_critical_end", void (*)(void))();
}
