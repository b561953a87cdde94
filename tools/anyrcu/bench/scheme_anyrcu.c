/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The schemes of anyrcu, and free() at once or in bulk, against which the cost of deferring shows.
 */
#include <anyrcu/anyrcu.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/loops.h"

struct object {
	struct anyrcu_head head;
};
_Static_assert(sizeof(struct object) <= OBJECT_MIN, "the head has room in every object");

READ_LOOPS(none, nothing, nothing, nothing)
const struct flavour flavour_none = { .name = "empty loop",
				      .read_loop = none_read_loop,
				      .pairs = none_pairs,
				      .lock = none_lock,
				      .unlock = none_unlock };

READ_LOOPS(anyrcu, anyrcu_read_lock, anyrcu_read_unlock, nothing)
const struct flavour flavour_anyrcu = { .name = "anyrcu",
					.read_loop = anyrcu_read_loop,
					.pairs = anyrcu_pairs,
					.lock = anyrcu_lock,
					.unlock = anyrcu_unlock,
					.synchronize = anyrcu_synchronize };

READ_LOOPS(qs, anyrcu_read_lock, anyrcu_read_unlock, anyrcu_quiescent_state)
const struct flavour flavour_anyrcu_qs = { .name = "anyrcu, quiescent states",
					   .thread_begin = anyrcu_thread_online,
					   .thread_end = anyrcu_thread_offline,
					   .read_loop = qs_read_loop,
					   .pairs = qs_pairs,
					   .lock = qs_lock,
					   .unlock = qs_unlock };

ALWAYS_INLINE void immediate(void *p)
{
	free(p);
}
DEFER_LOOPS(immediate)
const struct scheme scheme_immediate = { .name = "immediate",
					 .about = "free() at once, safe for no reader",
					 .flavour = &flavour_none,
					 .defer_loop = immediate_defer_loop,
					 .replay_loop = immediate_replay_loop };

/*
 * In bulk, by the thread that allocated: what the allocator alone costs when frees are put off,
 * whoever does it.
 */
#define BATCH 32192 /* as many as the 64 pages that anyrcu collects at a time */
static __thread void **batch;
static __thread size_t batched;

static void batch_begin(void)
{
	batch = mmap(NULL, BATCH * sizeof(*batch), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (batch == MAP_FAILED)
		measure_fail("out of memory for a batch");
}

static void batch_free(void)
{
	for (size_t i = 0; i < batched; i++)
		free(batch[i]);
	batched = 0;
}

static void batch_end(void)
{
	batch_free();
	munmap(batch, BATCH * sizeof(*batch));
}

ALWAYS_INLINE void in_bulk(void *p)
{
	batch[batched++] = p;
	if (batched == BATCH)
		batch_free();
}
DEFER_LOOPS(in_bulk)
const struct scheme scheme_in_bulk = { .name = "in-bulk",
				       .about = "free() of 32,192 at a time, safe for no reader",
				       .flavour = &flavour_none,
				       .thread_begin = batch_begin,
				       .thread_end = batch_end,
				       .defer_loop = in_bulk_defer_loop,
				       .replay_loop = in_bulk_replay_loop };

ALWAYS_INLINE void head(void *p)
{
	anyrcu_free((struct object *)p, head);
}
DEFER_LOOPS(head)
const struct scheme scheme_anyrcu_free = { .name = "anyrcu-free",
					   .about = "anyrcu_free()",
					   .flavour = &flavour_anyrcu,
					   .defer_loop = head_defer_loop,
					   .replay_loop = head_replay_loop,
					   .barrier = anyrcu_barrier };

ALWAYS_INLINE void headless(void *p)
{
	if (!anyrcu_free_headless(p))
		anyrcu_free_mightsleep(p);
}
DEFER_LOOPS(headless)
const struct scheme scheme_anyrcu_headless = {
	.name = "anyrcu-headless",
	.about = "anyrcu_free_headless(), or _mightsleep() if refused",
	.flavour = &flavour_anyrcu,
	.defer_loop = headless_defer_loop,
	.replay_loop = headless_replay_loop,
	.barrier = anyrcu_barrier
};

ALWAYS_INLINE void task(void *p)
{
	anyrcu_free_task((struct object *)p, head);
}
DEFER_LOOPS(task)
const struct scheme scheme_anyrcu_task = { .name = "anyrcu-task",
					   .about = "anyrcu_free_task(), one for one",
					   .flavour = &flavour_anyrcu,
					   .defer_loop = task_defer_loop,
					   .replay_loop = task_replay_loop,
					   .barrier = anyrcu_barrier };

static void free_object(struct anyrcu_head *head)
{
	free((struct object *)head);
}

ALWAYS_INLINE void call(void *p)
{
	anyrcu_call(&((struct object *)p)->head, free_object);
}
DEFER_LOOPS(call)
const struct scheme scheme_anyrcu_call = { .name = "anyrcu-call",
					   .about = "anyrcu_call() of a function that calls free()",
					   .flavour = &flavour_anyrcu,
					   .defer_loop = call_defer_loop,
					   .replay_loop = call_replay_loop,
					   .barrier = anyrcu_barrier };

/* ---- for the bench "invoke" ---- */

/* Bounds that hold all of them: flood control and the chain are not what is measured. */
static void configure(uint64_t depth, uint64_t page_bytes_max)
{
	const struct anyrcu_config config = { .size = sizeof(config),
					      .workers = 1,
					      .pending_max = 1024 + 2 * depth,
					      .page_bytes_max = page_bytes_max };
	int err;

	unsetenv("ANYRCU_WORKERS");
	err = anyrcu_init(&config);
	if (err)
		measure_fail("anyrcu_init: %s", strerror(-err));
}

static void pages_setup(uint64_t depth)
{
	configure(depth, (64 << 20) + 16 * depth);
}

static void chain_setup(uint64_t depth)
{
	configure(depth, 65536);
}

static void invoke_object(struct anyrcu_head *head)
{
	invoke_one(head);
}

static void invoke_defer(void *p)
{
	anyrcu_call(p, invoke_object);
}

static void pages_barrier(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
	if (s.deferred_chain > s.deferred / 100)
		measure_fail("%llu of %llu did not find a page",
			     (unsigned long long)s.deferred_chain, (unsigned long long)s.deferred);
	anyrcu_barrier();
}

const struct invoker invoker_pages = { "anyrcu, from pages", &flavour_anyrcu, pages_setup,
				       invoke_defer, pages_barrier };
const struct invoker invoker_chain = { "anyrcu, along the chain", &flavour_anyrcu, chain_setup,
				       invoke_defer, anyrcu_barrier };
