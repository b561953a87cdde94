/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Schemes to reclaim, and flavours of readers. Each brings its own loops, compiled from loops.h
 * with its operations inlined, so that none pays for an indirect call which another does not.
 */
#ifndef ANYRCU_TOOL_SCHEME_H
#define ANYRCU_TOOL_SCHEME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/measure.h"
#include "trace/trace.h"

/* Room for the largest of the heads. Objects are never smaller, for any scheme. */
#define OBJECT_MIN 16

/* A thread that defers. */
struct worker {
	struct slot *slot;
	struct histogram *timed; /* how long each deferral took; NULL: do not time them */

	uint64_t objects; /* the defer loop: so many, */
	size_t size; /* of this size */

	const struct trace_event *events; /* the replay loop: these events, */
	size_t nevents;
	void **object; /* of these objects, by number; shared by all threads */
	uint64_t waited_ns; /* for objects of other threads */
};

/* A thread that reads: all the time, or @share percent of each millisecond. */
struct reader {
	uint64_t **published;
	unsigned share;
	uint32_t *stop;
};

/* Readers and grace periods. */
struct flavour {
	const char *name;
	void (*thread_begin)(void); /* NULL: nothing to do; as are those below */
	void (*thread_end)(void);
	void (*read_loop)(struct reader *r);
	void (*pairs)(uint64_t n); /* lock and unlock so often */
	void (*lock)(void);
	void (*unlock)(void);
	void (*synchronize)(void);
};

struct scheme {
	const char *name;
	const char *about;
	const struct flavour *flavour;
	void (*setup)(void);
	void (*thread_begin)(void);
	void (*thread_end)(void); /* what the thread has deferred need not be freed yet */
	void (*defer_loop)(struct worker *w);
	void (*replay_loop)(struct worker *w);
	/* in the main thread, after all threads have ended: all has been freed */
	void (*barrier)(void);
	void (*release)(void *object); /* at once, what a replay has left; NULL: free() */
};

/*
 * A way to call a function on objects after a grace period, in one thread; here the function is
 * invoke_one().
 */
struct invoker {
	const char *name;
	const struct flavour *flavour;
	void (*setup)(uint64_t depth); /* for so many that wait; NULL: nothing to do */
	void (*defer)(void *object);
	void (*barrier)(void);
};

/* Those that the manual names, in its order. */
struct known_scheme {
	const char *name;
	const char *needs; /* the library that it needs, if not ours */
	const struct scheme *scheme; /* NULL: that library was not there when this was built */
};
extern const struct known_scheme known_schemes[];
extern const size_t nknown_schemes;

extern const struct flavour flavour_none, flavour_anyrcu, flavour_anyrcu_qs;
extern const struct flavour flavour_urcu_memb, flavour_urcu_qsbr, flavour_ck;
extern const struct invoker invoker_pages, invoker_chain, invoker_urcu, invoker_ck;
extern const struct scheme scheme_immediate, scheme_in_bulk, scheme_anyrcu_free,
	scheme_anyrcu_headless, scheme_anyrcu_task, scheme_anyrcu_call;
extern const struct scheme scheme_cache, scheme_cache_immediate, scheme_alloc;
extern const struct scheme scheme_urcu_call, scheme_urcu_call_percpu, scheme_urcu_defer, scheme_ck;

#endif
