// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/fs.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "test.h"

enum { FRESH, PENDING, INVOKED };

atomic_t objects_doubled;

/* The pool that an object belongs to: one is in use at a time. */
static struct objects *pool;

int objects_make(struct objects *o, unsigned int n)
{
	o->all = vzalloc(array_size(n, sizeof(*o->all)));
	o->n = o->all ? n : 0;
	atomic_set(&o->taken, 0);
	atomic_set(&o->invoked, 0);
	pool = o;
	return o->all ? 0 : -ENOMEM;
}

void objects_free(struct objects *o)
{
	vfree(o->all);
}

struct object *objects_take(struct objects *o)
{
	int i = atomic_read(&o->taken) < (int)o->n ? atomic_fetch_inc(&o->taken) : (int)o->n;

	if (i >= (int)o->n)
		return NULL;
	atomic_set(&o->all[i].state, PENDING);
	return &o->all[i];
}

void object_invoked_headless(void *object)
{
	struct object *o = object;

	if (atomic_xchg(&o->state, INVOKED) != PENDING)
		atomic_inc(&objects_doubled);
	atomic_inc(&pool->invoked);
}

void object_invoked(struct rcu_head *head)
{
	object_invoked_headless(container_of(head, struct object, head));
}

bool objects_defer(struct objects *o)
{
	struct object *object = objects_take(o);

	if (object)
		anyrcu_call(&object->head, object_invoked);
	return object;
}

bool objects_defer_headless(struct objects *o)
{
	struct object *object = objects_take(o);

	if (!object)
		return false;
	if (anyrcu_call_headless(object_invoked_headless, object))
		return true;
	object_invoked_headless(object);
	return false;
}

bool objects_settle(struct objects *o)
{
	int lost = 0, taken = min_t(int, atomic_read(&o->taken), o->n);

	anyrcu_barrier();
	for (int i = 0; i < taken; i++)
		lost += atomic_read(&o->all[i].state) != INVOKED;
	if (lost || atomic_read(&objects_doubled) || atomic_read(&o->invoked) != taken)
		pr_info("# %d taken, %d invoked, %d lost, %d doubled\n", taken,
			atomic_read(&o->invoked), lost, atomic_read(&objects_doubled));
	return taken && !lost && !atomic_read(&objects_doubled) &&
	       atomic_read(&o->invoked) == taken;
}

static void unmerged(void *object)
{
}

struct kmem_cache *cache_make(const char *name, unsigned int size)
{
	return kmem_cache_create(name, size, 0, 0, unmerged);
}

int parameter_set(const char *name, const char *value)
{
	char path[80];
	struct file *file;
	loff_t at = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/module/anyrcu/parameters/%s", name);
	file = filp_open(path, O_WRONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	n = kernel_write(file, value, strlen(value), &at);
	filp_close(file, NULL);
	return n < 0 ? n : 0;
}
