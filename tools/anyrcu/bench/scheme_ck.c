/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Concurrency Kit's ck_epoch: a record for each thread, which polls after every 64 deferrals. */
#include <ck_epoch.h>

#include "bench/loops.h"

#define POLL_EACH 64

struct object {
	ck_epoch_entry_t entry;
};
_Static_assert(sizeof(struct object) <= OBJECT_MIN, "the entry has room in every object");

static ck_epoch_t epoch;
static __thread ck_epoch_record_t *record;

__attribute__((constructor)) static void init(void)
{
	ck_epoch_init(&epoch);
}

static void thread_begin(void)
{
	/*
	 * Never freed: the epoch keeps a record for as long as it lives, which here is the process.
	 */
	if (posix_memalign((void **)&record, CK_MD_CACHELINE, sizeof(*record)))
		measure_fail("out of memory");
	ck_epoch_register(&epoch, record, NULL);
}

static void thread_end(void)
{
	ck_epoch_unregister(record);
}

ALWAYS_INLINE void lock(void)
{
	ck_epoch_begin(record, NULL);
}

ALWAYS_INLINE void unlock(void)
{
	ck_epoch_end(record, NULL);
}

static void synchronize(void)
{
	ck_epoch_synchronize(record);
}

READ_LOOPS(ck, lock, unlock, nothing)
const struct flavour flavour_ck = { .name = "ck_epoch",
				    .thread_begin = thread_begin,
				    .thread_end = thread_end,
				    .read_loop = ck_read_loop,
				    .pairs = ck_pairs,
				    .lock = ck_lock,
				    .unlock = ck_unlock,
				    .synchronize = synchronize };

static void free_object(ck_epoch_entry_t *entry)
{
	free((struct object *)entry);
}

ALWAYS_INLINE void defer(void *p)
{
	static __thread unsigned n;

	ck_epoch_call(record, &((struct object *)p)->entry, free_object);
	if (++n % POLL_EACH == 0)
		ck_epoch_poll(record);
}
DEFER_LOOPS(defer)

static void drain(void)
{
	ck_epoch_barrier(record);
}

const struct scheme scheme_ck = { .name = "ck_epoch",
				  .about = "ck_epoch_call(), and ck_epoch_poll() after every 64",
				  .flavour = &flavour_ck,
				  .thread_end = drain,
				  .defer_loop = defer_defer_loop,
				  .replay_loop = defer_replay_loop };

static void invoke_object(ck_epoch_entry_t *entry)
{
	invoke_one(entry);
}

static void invoke_defer(void *p)
{
	ck_epoch_call(record, p, invoke_object);
}

const struct invoker invoker_ck = { "ck_epoch", &flavour_ck, NULL, invoke_defer, drain };
