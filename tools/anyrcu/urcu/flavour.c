/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The flavours, the library of each beneath, and threads for them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>

#include "urcu/flavour.h"

#define FLAVOUR(n, a, b)                                                             \
	{                                                                            \
		.name = n, .libraries = { a, b }, .lock = PTHREAD_MUTEX_INITIALIZER, \
		.defer_lock = PTHREAD_MUTEX_INITIALIZER                              \
	}
struct flavour flavours[FLAVOURS] = {
	[MEMB] = FLAVOUR("memb", "liburcu-memb.so.8", "liburcu.so.8"),
	[MB] = FLAVOUR("mb", "liburcu-mb.so.8", NULL),
	[QSBR] = FLAVOUR("qsbr", "liburcu-qsbr.so.8", NULL),
	[BP] = FLAVOUR("bp", "liburcu-bp.so.8", NULL),
};

PORT_THREAD_LOCAL bool flavour_registered[FLAVOURS];

/* ---- the library underneath ---- */

static void *symbol(struct flavour *f, const char *name)
{
	char full[64];
	void *p;

	snprintf(full, sizeof(full), "urcu_%s_%s", f->name, name);
	p = dlsym(RTLD_NEXT, full);
	/* A plugin may have brought it, for itself alone. */
	for (unsigned i = 0; !p && i < ARRAY_SIZE(f->libraries) && f->libraries[i]; i++) {
		void *lib = dlopen(f->libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		p = lib ? dlsym(lib, full) : NULL;
	}
	return p;
}

bool flavour_find(struct flavour *f)
{
	void *synchronize = symbol(f, "synchronize_rcu");

	if (!synchronize)
		return false;
	f->register_thread = symbol(f, "register_thread");
	f->unregister_thread = symbol(f, "unregister_thread");
	f->thread_offline = symbol(f, "thread_offline");
	f->thread_online = symbol(f, "thread_online");
	f->read_ongoing = symbol(f, "read_ongoing");
	f->joins = symbol(f, "start_poll_synchronize_rcu"); /* which came with 0.14 too */
	f->synchronize = synchronize;
	store_release(&f->loaded, true);
	return true;
}

void flavour_need(struct flavour *f)
{
	if (!load_acquire(&f->loaded) && !flavour_find(f))
		port_bug("liburcu's flavour %s is called, but is in no loaded library", f->name);
}

/* A qsbr thread that waits holds up no grace period. In the other flavours nobody is online. */
bool flavour_offline(struct flavour *f)
{
	bool online = f->thread_offline && f->read_ongoing();

	if (online)
		f->thread_offline();
	return online;
}

void flavour_online(struct flavour *f, bool was)
{
	if (was)
		f->thread_online();
}

/* ---- threads ---- */

static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };

/*
 * What threads run here is the program's, so they have the stack that libc gives where there is no
 * limit for it, whatever the limit is: a large one would cost address space, and memory where all
 * of it is locked.
 */
#define STACK (2u << 20)

/* As port_thread_start(), but like liburcu's threads these can be joined. */
int flavour_thread_start(void *(*main)(void *), void *arg, int detached)
{
	sigset_t block, former;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, detached);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&block);
	/* What a fault raises must reach the program's handler. */
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&block, faults[i]);
	pthread_sigmask(SIG_SETMASK, &block, &former);
	err = pthread_create(&thread, &attr, main, arg);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}
