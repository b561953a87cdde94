/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that use the locks of GLib, in pairs; see kinds.h. */
#include "kinds.h"

#include <glib.h>

static GMutex a, b;
static GRWLock tree;
static GRecMutex monitor;

static void g_run(GThreadFunc f, void *arg)
{
	g_thread_join(g_thread_new(NULL, f, arg));
}

THREAD(a_then_b)
{
	g_mutex_lock(&a);
	g_mutex_lock(&b);
	g_mutex_unlock(&b);
	g_mutex_unlock(&a);
	return arg;
}

THREAD(b_then_a)
{
	g_mutex_lock(&b);
	if (wrong)
		g_mutex_lock(&a);
	else if (!g_mutex_trylock(&a))
		abort();
	g_mutex_unlock(&a);
	g_mutex_unlock(&b);
	return arg;
}

static void g_mutexes(void)
{
	g_run(a_then_b, NULL);
	g_run(b_then_a, NULL);
}

THREAD(reads_then_a)
{
	g_rw_lock_reader_lock(&tree);
	g_mutex_lock(&a);
	g_mutex_unlock(&a);
	g_rw_lock_reader_unlock(&tree);
	return arg;
}

THREAD(a_then_writes)
{
	g_mutex_lock(&a);
	if (!wrong)
		g_mutex_unlock(&a);
	g_rw_lock_writer_lock(&tree);
	g_rw_lock_writer_unlock(&tree);
	if (wrong)
		g_mutex_unlock(&a);
	return arg;
}

static void g_rw_locks(void)
{
	g_run(reads_then_a, NULL);
	g_run(a_then_writes, NULL);
}

THREAD(monitor_then_a)
{
	g_rec_mutex_lock(&monitor);
	g_mutex_lock(&a);
	g_rec_mutex_lock(&monitor);
	g_rec_mutex_unlock(&monitor);
	g_mutex_unlock(&a);
	g_rec_mutex_unlock(&monitor);
	return arg;
}

THREAD(a_then_monitor)
{
	g_mutex_lock(&a);
	if (!wrong)
		g_mutex_unlock(&a);
	g_rec_mutex_lock(&monitor);
	g_rec_mutex_unlock(&monitor);
	if (wrong)
		g_mutex_unlock(&a);
	return arg;
}

static void g_rec_mutexes(void)
{
	g_run(monitor_then_a, NULL);
	g_run(a_then_monitor, NULL);
}

/* A GMutex in memory that is freed, and one that comes to lie there. */
struct object {
	GMutex m;
	char rest[100];
};

static noinline struct object *object_new(void)
{
	struct object *o = g_new0(struct object, 1);

	g_mutex_init(&o->m);
	return o;
}

/* @arg: the other way round. */
THREAD(uses_object)
{
	struct object *o = object_new();

	g_mutex_lock(arg ? &a : &o->m);
	g_mutex_lock(arg ? &o->m : &a);
	g_mutex_unlock(&a);
	g_mutex_unlock(&o->m);
	if (arg || !wrong)
		g_mutex_clear(&o->m);
	g_free(o);
	return NULL;
}

static void g_objects(void)
{
	g_run(uses_object, NULL);
	g_run(uses_object, wrong ? &a : NULL);
}

static gint past;

THREAD(takes_a)
{
	g_mutex_lock(&a);
	g_mutex_unlock(&a);
	g_atomic_int_set(&past, 1);
	return arg;
}

static void g_join(void)
{
	GThread *t = g_thread_new(NULL, takes_a, NULL);

	while (!g_atomic_int_get(&past))
		g_usleep(1000);
	g_mutex_lock(&a);
	if (!wrong)
		g_mutex_unlock(&a);
	g_thread_join(t);
	if (wrong)
		g_mutex_unlock(&a);
}

/* Each is of another place. */
static void takes_pushed(gpointer data, gpointer user)
{
	g_mutex_lock(data);
	g_mutex_lock(user);
	g_mutex_unlock(user);
	g_mutex_unlock(data);
}

static void g_pool(void)
{
	GThreadPool *p = g_thread_pool_new(takes_pushed, &b, 1, FALSE, NULL);

	g_thread_pool_push(p, &a, NULL);
	g_thread_pool_free(p, FALSE, TRUE);
	p = g_thread_pool_new(takes_pushed, wrong ? &a : &b, 1, FALSE, NULL);
	g_thread_pool_push(p, wrong ? &b : &a, NULL);
	g_thread_pool_free(p, FALSE, TRUE);
}

static const struct kind kinds[] = {
	KIND(g_mutexes), KIND(g_rw_locks), KIND(g_rec_mutexes),
	KIND(g_objects), KIND(g_join),	   KIND(g_pool),
};
KINDS_MAIN(kinds)
