/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * An interface in the style of QEMU's rcu.h on anyrcu: call_rcu() with a typed function and the
 * name of the head, g_free_rcu(), callbacks that run with the big lock held, and notifiers of a
 * thread that are called while it holds up a grace period.
 */
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the interface ---- */

#define rcu_head anyrcu_head
#define rcu_read_lock() anyrcu_read_lock()
#define rcu_read_unlock() anyrcu_read_unlock()
#define qatomic_rcu_read(p) anyrcu_dereference(*(p))
#define qatomic_rcu_set(p, v) anyrcu_assign_pointer(*(p), v)
#define synchronize_rcu() anyrcu_synchronize()
#define drain_call_rcu() anyrcu_domain_barrier(under_lock)

/* The head is the first member, so the function may be called on it as it is. */
#define call_rcu(object, function, member)                                                  \
	do {                                                                                \
		_Static_assert(__builtin_offsetof(__typeof__(*(object)), member) == 0,      \
			       "the head must be the first member");                        \
		void (*typed_)(__typeof__(object)) = (function);                            \
		anyrcu_domain_call(under_lock, &(object)->member,                           \
				   (void (*)(struct anyrcu_head *))(void (*)(void))typed_); \
	} while (0)
#define g_free_rcu(object, member) anyrcu_free(object, member)

static pthread_mutex_t big_lock = PTHREAD_MUTEX_INITIALIZER;
static struct anyrcu_domain *under_lock;

static void synchronize(void *arg)
{
	(void)arg;
	anyrcu_synchronize();
}

static void invoke(struct anyrcu_head *head, void (*func)(struct anyrcu_head *), void *arg)
{
	(void)arg;
	pthread_mutex_lock(&big_lock);
	func(head);
	pthread_mutex_unlock(&big_lock);
}

struct notifier {
	void (*notify)(struct notifier *n);
	uint32_t tid;
	struct anyrcu_hlist_node links;
};

static struct anyrcu_hlist_head notifiers; /* changed under the big lock */

static void force_rcu(uint32_t tid, uint64_t ns, void *arg)
{
	struct notifier *n;

	(void)ns, (void)arg;
	anyrcu_read_lock();
	anyrcu_hlist_for_each(n, &notifiers, links)
	{
		if (n->tid == tid)
			n->notify(n);
	}
	anyrcu_read_unlock();
}

/* Of the calling thread. It is removed by anyrcu_hlist_del(), and unused a grace period later. */
static void rcu_add_force_rcu_notifier(struct notifier *n)
{
	n->tid = (uint32_t)syscall(SYS_gettid);
	pthread_mutex_lock(&big_lock);
	anyrcu_hlist_add_head(&n->links, &notifiers);
	pthread_mutex_unlock(&big_lock);
}

static void rcu_init(void)
{
	struct anyrcu_config config = { .size = sizeof(config),
					.reminder_ms = 1,
					.reminder_hook = force_rcu };
	static const struct anyrcu_source source = {
		.size = sizeof(source),
		.synchronize = synchronize,
		.invoke = invoke,
	};

	under_lock = anyrcu_domain_create(&source, NULL);
	if (!under_lock || anyrcu_init(&config))
		abort();
}

/* ---- a program ---- */

#define UPDATES 5000

struct memory_map {
	struct rcu_head rcu;
	long version, check;
};

static struct memory_map *map;
static atomic_int stop;
static atomic_long torn, interrupts;
static long reclaimed; /* under the big lock */

static void map_free(struct memory_map *m)
{
	m->check = -1;
	free(m);
	reclaimed++;
}

static struct memory_map *map_new(long version)
{
	struct memory_map *m = malloc(sizeof(*m));

	m->version = m->check = version;
	return m;
}

static void interrupt_guest(struct notifier *n)
{
	(void)n;
	interrupts++;
}

/* The guest runs, and uses the map, until it is interrupted. */
static void *vcpu(void *arg)
{
	static struct notifier force = { .notify = interrupt_guest };

	rcu_add_force_rcu_notifier(&force);
	while (!atomic_load(&stop)) {
		long before = interrupts;
		struct memory_map *m;

		rcu_read_lock();
		m = qatomic_rcu_read(&map);
		while (!atomic_load(&stop) && interrupts == before)
			torn += m->version != m->check;
		rcu_read_unlock();
	}
	return arg;
}

int main(void)
{
	pthread_t thread;

	rcu_init();
	map = map_new(0);
	pthread_create(&thread, NULL, vcpu, NULL);
	for (long version = 1; version <= UPDATES; version++) {
		struct memory_map *old;

		pthread_mutex_lock(&big_lock);
		old = map;
		qatomic_rcu_set(&map, map_new(version));
		call_rcu(old, map_free, rcu);
		pthread_mutex_unlock(&big_lock);
	}
	drain_call_rcu();
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	printf("%ld maps reclaimed under the lock, %ld torn\n", reclaimed, torn);
	g_free_rcu(map, rcu);
	anyrcu_barrier();
	anyrcu_domain_destroy(under_lock, NULL);
	return 0;
}
