// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Each form of deferral, with and without pages. */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "test.h"

#define MANY 20000

static struct objects objects;

static bool begin(unsigned int n)
{
	return !objects_make(&objects, n);
}

static bool end(char *note)
{
	bool good = objects_settle(&objects);

	snprintf(note, NOTE, "%d objects", atomic_read(&objects.invoked));
	objects_free(&objects);
	return good;
}

bool test_headless(char *note)
{
	if (!begin(MANY))
		return false;
	while (atomic_read(&objects.taken) < MANY)
		objects_defer_headless(&objects);
	return end(note);
}

bool test_mightsleep(char *note)
{
	struct object *object;

	if (!begin(2000))
		return false;
	while ((object = objects_take(&objects)))
		anyrcu_call_mightsleep(object_invoked_headless, object);
	return end(note);
}

struct plain {
	char text[100];
	struct rcu_head head;
};

/*
 * What is freed says nothing; that nothing is left, and that KASAN and slab's checks are silent, is
 * the test.
 */
bool test_free_forms(char *note)
{
	struct kmem_cache *cache = cache_make("anyrcu_test", 192);
	struct anyrcu_linux_stats before, after;
	unsigned int deferred = 0;
	struct plain *p;
	void *q;

	if (!cache)
		return false;
	anyrcu_barrier();
	anyrcu_linux_stats_get(&before);
	for (int i = 0; i < 1000; i++) {
		p = kmalloc(sizeof(*p), GFP_KERNEL);
		anyrcu_free(p, head);
		p = kvmalloc(sizeof(*p) + 2 * PAGE_SIZE, GFP_KERNEL);
		anyrcu_raw_free(p, head);
		p = kmem_cache_alloc(cache, GFP_KERNEL);
		anyrcu_free(p, head);
		q = kmalloc(64, GFP_KERNEL);
		if (!anyrcu_free_headless(q))
			kfree(q), deferred--;
		q = kvmalloc(3 * PAGE_SIZE, GFP_KERNEL);
		anyrcu_free_mightsleep(q);
		q = vmalloc(100);
		if (!anyrcu_free_headless(q))
			vfree(q), deferred--;
		deferred += 6;
	}
	/* neighbours in memory, which are freed together */
	for (int i = 0; i < 1000; i++) {
		p = kmem_cache_alloc(cache, GFP_KERNEL);
		anyrcu_free(p, head);
		deferred++;
	}
	anyrcu_barrier();
	anyrcu_linux_stats_get(&after);
	kmem_cache_destroy(cache); /* complains of objects that were lost */
	snprintf(note, NOTE, "%u objects", deferred);
	return after.invoked - before.invoked == deferred && after.pending == 0;
}

static void other(struct rcu_head *head)
{
	object_invoked(head);
}

bool test_mixed(char *note)
{
	struct object *object;

	if (!begin(MANY))
		return false;
	for (int i = 0; (object = objects_take(&objects)); i++)
		anyrcu_call(&object->head, i % 3 ? object_invoked : other);
	return end(note);
}

/* No page is to be had, by the bound on their bytes: all go to the chain. */
bool test_chain(char *note)
{
	struct anyrcu_linux_stats before, after;

	if (!begin(MANY))
		return false;
	anyrcu_barrier();
	anyrcu_linux_stats_get(&before);
	parameter_set("page_bytes_max", "0");
	while (objects_defer(&objects))
		;
	parameter_set("page_bytes_max", "67108864");
	anyrcu_linux_stats_get(&after);
	return (after.chain - before.chain == MANY) & end(note);
}

bool test_refused(char *note)
{
	unsigned int accepted = 0;
	struct object *object;

	if (!begin(500))
		return false;
	anyrcu_barrier();
	parameter_set("page_bytes_max", "0");
	for (int i = 0; i < 480; i++)
		accepted += objects_defer_headless(&objects);
	while ((object = objects_take(&objects)))
		anyrcu_call_mightsleep(object_invoked_headless, object);
	parameter_set("page_bytes_max", "67108864");
	return (accepted == 0) & end(note);
}

static atomic_t accepted, refused;

static int asking(void *unused)
{
	while (!kthread_should_stop()) {
		if (atomic_read(&objects.taken) < objects.n) {
			bool good = objects_defer_headless(&objects);

			atomic_inc(good ? &accepted : &refused);
		}
		usleep_range(1, 20);
	}
	return 0;
}

/* Wait until @count has grown by some; false if the objects have run out. */
static bool grows(atomic_t *count)
{
	int former = atomic_read(count);

	while (atomic_read(count) - former < 100) {
		if (atomic_read(&objects.taken) >= objects.n)
			return false;
		usleep_range(100, 1000);
	}
	return true;
}

/* The bound goes to nothing and comes back, while threads defer what can be refused. */
bool test_refusal_storm(char *note)
{
	struct task_struct *task[2];
	unsigned int n = 0, done = 0;

	if (!begin(1000 + 2000 * rounds))
		return false;
	atomic_set(&accepted, 0);
	atomic_set(&refused, 0);
	for (; n < ARRAY_SIZE(task); n++) {
		task[n] = kthread_run(asking, NULL, "anyrcu-storm");
		if (IS_ERR(task[n]))
			break;
	}
	for (; done < rounds; done++) {
		parameter_set("page_bytes_max", "0");
		if (!grows(&refused))
			break;
		parameter_set("page_bytes_max", "67108864");
		if (!grows(&accepted))
			break;
	}
	parameter_set("page_bytes_max", "67108864");
	while (n)
		kthread_stop(task[--n]);
	return end(note) & (done == rounds) &
	       (snprintf(note, NOTE, "%u rounds, %d refused, %d accepted", done,
			 atomic_read(&refused), atomic_read(&accepted)) > 0);
}

/* The allocator itself refuses: all pages of lists and reserve are in our hands. */
bool test_exhausted(char *note)
{
	struct anyrcu_linux_stats before, after;
	unsigned int pages = 0;
	void *held = NULL, *p;
	unsigned long flags;
	bool refilled;

	if (!begin(MANY))
		return false;
	anyrcu_barrier();
	anyrcu_linux_stats_get(&before);
	local_irq_save(flags);
	while ((p = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))) {
		*(void **)p = held;
		held = p;
		pages++;
	}
	while (objects_defer(&objects))
		;
	local_irq_restore(flags);
	while ((p = held)) {
		held = *(void **)p;
		anyrcu_page_free(p, 0);
	}
	anyrcu_linux_stats_get(&after);
	/* The worker may have brought pages meanwhile, on another CPU. */
	refilled = after.chain == before.chain;
	return end(note) & (pages > 0) &
	       (snprintf(note, NOTE, "%u pages held, %llu objects chained%s", pages,
			 after.chain - before.chain,
			 refilled ? " (the worker was faster)" : "") > 0);
}

bool test_pages(char *note)
{
	for (unsigned int order = 0; order <= 3; order++) {
		char *p = anyrcu_page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, order);

		if (!p || !IS_ALIGNED((unsigned long)p, PAGE_SIZE << order) ||
		    memchr_inv(p, 0, PAGE_SIZE << order))
			return false;
		memset(p, 0x5a, PAGE_SIZE << order);
		anyrcu_page_free(p, order);
		p = anyrcu_page_alloc(ANYRCU_GFP_NOWAIT, order);
		if (!p)
			return false;
		anyrcu_page_free(p, order);
	}
	/* freed a moment ago, and so in the CPU's list */
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0), 0);
	return !anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 10);
}
