// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What deferring and invoking take, pages against the kernel's own kfree_rcu() and call_rcu(): run
 * under the cache model of tools/cachesim, which counts by the marks here. Each row has two phases,
 * deferring, while no other thread runs and no grace period ends, and waiting until all is invoked.
 * Run only by name: only=misses.
 */
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "mark.h"
#include "test.h"

#define OBJECTS 20000

struct thing {
	struct rcu_head head;
	char rest[176];
};

static struct thing **thing;
static unsigned int called;

static void count(struct rcu_head *head)
{
	called++;
}

static void count_and_free(struct rcu_head *head)
{
	called++;
	kfree(container_of(head, struct thing, head));
}

static void by_pages(struct thing *t)
{
	anyrcu_call(&t->head, count);
}

static void by_call_rcu(struct thing *t)
{
	call_rcu(&t->head, count);
}

static void by_pages_and_free(struct thing *t)
{
	anyrcu_call(&t->head, count_and_free);
}

static void by_call_rcu_and_free(struct thing *t)
{
	call_rcu(&t->head, count_and_free);
}

static void by_anyrcu_free(struct thing *t)
{
	anyrcu_free(t, head);
}

static void by_kfree_rcu(struct thing *t)
{
	kfree_rcu(t, head);
}

static void kfree_rcu_barrier_if_there(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	kvfree_rcu_barrier();
#else
	rcu_barrier();
#endif
}

static bool make(bool shuffled)
{
	for (int i = 0; i < OBJECTS; i++) {
		thing[i] = kzalloc(sizeof(**thing), GFP_KERNEL);
		if (!thing[i])
			return false;
	}
	for (int i = OBJECTS - 1; shuffled && i > 0; i--) {
		int j = get_random_u32() % (i + 1);

		swap(thing[i], thing[j]);
	}
	return true;
}

static void remove(void)
{
	for (int i = 0; i < OBJECTS; i++)
		kfree(thing[i]);
}

/* Marks are constants in the code, hence a macro. */
#define ROW(n, defer, wait, freed)                                                             \
	do {                                                                                   \
		if (!make((n) % 2))                                                            \
			return false;                                                          \
		preempt_disable();                                                             \
		MARK(2 * (n) + 1);                                                             \
		for (int i = 0; i < OBJECTS; i++)                                              \
			defer(thing[i]);                                                       \
		MARK(2 * (n) + 2);                                                             \
		preempt_enable();                                                              \
		wait();                                                                        \
		MARK(0);                                                                       \
		if (!(freed))                                                                  \
			remove();                                                              \
		pr_info("# row %d: " #defer ", %s\n", (n), (n) % 2 ? "shuffled" : "in order"); \
	} while (0)
#define ROWS(n, defer, wait, freed)               \
	do {                                      \
		ROW(n, defer, wait, freed);       \
		ROW((n) + 1, defer, wait, freed); \
	} while (0)

bool test_misses(char *note)
{
	called = 0;
	thing = vzalloc(array_size(OBJECTS, sizeof(*thing)));
	if (!thing)
		return false;
	ROWS(0, by_pages, anyrcu_barrier, false);
	ROWS(2, by_call_rcu, rcu_barrier, false);
	ROWS(4, by_pages_and_free, anyrcu_barrier, true);
	ROWS(6, by_call_rcu_and_free, rcu_barrier, true);
	ROWS(8, by_anyrcu_free, anyrcu_barrier, true);
	ROWS(10, by_kfree_rcu, kfree_rcu_barrier_if_there, true);
	vfree(thing);
	snprintf(note, NOTE, "%u invoked", called);
	return called == 8 * OBJECTS;
}
