/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferred free by tasks, one for one. free() is this program's own for objects of a pool, so that
 * each is known to be freed once, and not before readers have left.
 */
#define ANYRCU_TASK_CONTEXT
#include "test.h"
#include <dlfcn.h>

#define RANGE 30000u /* objects of one thread */
#define RANGES 4u
#define MAGIC UINT64_C(0x600d600d600d600d)
#define POISON UINT64_C(0xdeaddeaddeaddead)

struct tracked {
	struct anyrcu_head head;
	_Atomic uint64_t magic;
	_Atomic int state;
};
enum { FREE, LIVE, DEFERRED };

static struct tracked objects[RANGES * RANGE];
static _Atomic long frees, wrong;
static _Atomic bool stop, slow;

/* libc's. */
static void next_free(void *p)
{
	static void (*_Atomic next)(void *p);
	void (*f)(void *p) = atomic_load(&next);

	if (!f) {
		f = (void (*)(void *))dlsym(RTLD_NEXT, "free");
		atomic_store(&next, f);
	}
	f(p);
}

void free(void *p)
{
	struct tracked *t = p;

	if (t < objects || t >= objects + COUNT(objects)) {
		next_free(p);
		return;
	}
	if (atomic_load(&slow) && (t - objects) % 64 == 0)
		usleep(100);
	atomic_store(&t->magic, POISON);
	if (atomic_exchange(&t->state, FREE) != DEFERRED)
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&frees, 1);
}

/* The next object of a range that is free, or NULL. */
static struct tracked *get(unsigned range, unsigned *at)
{
	struct tracked *t = &objects[range * RANGE + *at];

	if (atomic_load(&t->state) != FREE)
		return NULL;
	*at = (*at + 1) % RANGE;
	atomic_store(&t->magic, MAGIC);
	atomic_store(&t->state, LIVE);
	return t;
}

static void defer(struct tracked *t, unsigned how)
{
	atomic_store(&t->state, DEFERRED);
	switch (how % 3) {
	case 0:
		anyrcu_free(t, head);
		break;
	case 1:
		if (anyrcu_free_headless(t))
			break;
		/* fallthrough */
	default:
		anyrcu_free_mightsleep(t);
	}
}

static void churn(unsigned range, unsigned long n)
{
	unsigned at = 0;

	for (unsigned long i = 0; i < n;) {
		struct tracked *t = get(range, &at);

		if (t)
			defer(t, i++);
		else
			sched_yield();
	}
}

static bool all_free(void)
{
	for (size_t i = 0; i < COUNT(objects); i++)
		if (atomic_load(&objects[i].state) != FREE)
			return false;
	return true;
}

static void nothing_is_left(void)
{
	struct anyrcu_stats s;

	anyrcu_barrier();
	CHECK(all_free());
	CHECK(!atomic_load(&wrong));
	s = stats();
	CHECK(s.pending == 0);
	CHECK(s.deferred == s.invoked);
	CHECK(s.defer_bytes == 0);
}

static void *churns(void *range)
{
	churn((uintptr_t)range, SCALED(200000));
	return NULL;
}

static void counted(void)
{
	unsigned long n = 3 * SCALED(200000);
	pthread_t t[3];

	for (uintptr_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(churns, (void *)i);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	nothing_is_left();
	CHECK(stats().deferred == n);
	CHECK((unsigned long)atomic_load(&frees) == n);
}

/* Whoever exchanges moves from CPU to CPU. */
static void *moves(void *arg)
{
	pthread_t t = *(pthread_t *)arg;
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		if (!CPU_ISSET(i % CPU_SETSIZE, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i % CPU_SETSIZE, &one);
		pthread_setaffinity_np(t, sizeof(one), &one);
	}
	return NULL;
}

static void migrated(void)
{
	pthread_t t = thread_start(churns, (void *)0), mover = thread_start(moves, &t);

	churn(1, SCALED(200000));
	atomic_store(&stop, true);
	thread_join(mover); /* before t is joined: a handle that was joined must not be used */
	thread_join(t);
	nothing_is_left();
}

/* ---- readers ---- */

static struct tracked *_Atomic published;

static void *reads(void *arg)
{
	while (!atomic_load(&stop)) {
		anyrcu_read_lock();
		for (int i = 0; i < 20; i++) {
			struct tracked *t = atomic_load(&published);

			for (int j = 0; j < 20; j++)
				if (t && atomic_load(&t->magic) != MAGIC)
					atomic_fetch_add(&wrong, 1);
		}
		anyrcu_read_unlock();
	}
	return arg;
}

static void read_by_others(void)
{
	pthread_t t[2];
	unsigned at = 0;

	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(reads, NULL);
	for (unsigned long i = 0; i < SCALED(300000);) {
		struct tracked *new = get(0, &at), *old;

		if (!new) {
			sched_yield();
			continue;
		}
		old = atomic_exchange(&published, new);
		if (old)
			defer(old, i);
		i++;
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	defer(atomic_load(&published), 0);
	nothing_is_left();
}

static _Atomic bool in_section;

static void *holds(void *arg)
{
	anyrcu_read_lock();
	atomic_store(&in_section, true);
	while (!atomic_load(&stop))
		usleep(1000);
	anyrcu_read_unlock();
	return arg;
}

/* More than the pages that wait for readers: no object is freed before the reader leaves. */
static void held(void)
{
	unsigned at[RANGES] = { 0 };
	long before;
	pthread_t t;

	churn(0, 5000); /* there are exchanges */
	nothing_is_left();
	t = thread_start(holds, NULL);
	while (!atomic_load(&in_section))
		usleep(1000);
	before = atomic_load(&frees);
	for (unsigned r = 0; r < RANGES; r++)
		for (unsigned i = 0; i < RANGE; i++) {
			struct tracked *new = get(r, &at[r]);

			CHECK(new);
			atomic_store(&new->state, DEFERRED);
			anyrcu_free(new, head);
		}
	CHECK(atomic_load(&frees) == before);
	atomic_store(&stop, true);
	thread_join(t);
	nothing_is_left();
}

static void *collects(void *arg)
{
	anyrcu_barrier();
	atomic_store(&in_section, false);
	return arg;
}

/* A reader that stays, beside which more is exchanged than there may be pages for. */
static pthread_t exchange_beside_reader(void)
{
	pthread_t t = thread_start(holds, NULL);
	unsigned at = 0;

	while (!atomic_load(&in_section))
		usleep(1000);
	for (unsigned i = 0; i < 20000; i++) {
		struct tracked *new = get(1, &at);

		CHECK(new);
		atomic_store(&new->state, DEFERRED);
		anyrcu_free(new, head);
	}
	return t;
}

/*
 * All pages that there may be are in use, so what is exchanged cannot be deferred in the ordinary
 * way: the barrier frees it. Children of forks meanwhile miss the object in its hands at most.
 */
static void refused(void)
{
	const struct anyrcu_config small = { .size = sizeof(small), .page_bytes_max = 65536 };

	churn(0, 20000);
	nothing_is_left();
	CHECK(!anyrcu_init(&small));
	atomic_store(&slow, true); /* so that forks come in between */
	for (int round = 0; round < 20; round++) {
		pthread_t t;

		atomic_store(&stop, false);
		t = exchange_beside_reader();
		atomic_store(&stop, true);
		thread_join(t);
		t = thread_start(collects, NULL);
		while (atomic_load(&in_section)) {
			pid_t pid = fork();
			long left = 0;

			if (!pid) {
				anyrcu_barrier();
				for (size_t j = 0; j < COUNT(objects); j++)
					left += atomic_load(&objects[j].state) != FREE;
				_exit(left > 1 || atomic_load(&wrong) || stats().pending != 0);
			}
			CHECK(child_ended_well(pid));
		}
		thread_join(t);
		nothing_is_left();
	}
}

/* ---- who frees when tasks come no more ---- */

/*
 * What was exchanged while a reader held up grace periods takes all pages that there may be, so
 * that it cannot be deferred in the ordinary way. It is freed all the same, by the worker or the
 * caller of anyrcu_reclaim(), and pages can be had again.
 */
static void fills_all_pages(int workers)
{
	struct anyrcu_config small = { .size = sizeof(small), .page_bytes_max = 65536 };
	pthread_t t;

	churn(0, 20000);
	nothing_is_left();
	CHECK(!anyrcu_init(&small));
	t = exchange_beside_reader();
	small.workers = workers;
	CHECK(!anyrcu_init(&small));
	atomic_store(&stop, true);
	thread_join(t);
	UNTIL((workers < 0 ? anyrcu_reclaim(SIZE_MAX) : 0, all_free()));
	UNTIL((workers < 0 ? anyrcu_reclaim(SIZE_MAX) : 0, stats().defer_bytes < 65536));
	nothing_is_left();
}

static void fills_all_pages_beside_worker(void)
{
	fills_all_pages(0);
}

static void fills_all_pages_without_worker(void)
{
	fills_all_pages(-1);
}

static void rested(void)
{
	churn(0, 20000);
	while (!all_free()) /* the worker does it */
		usleep(1000);
	nothing_is_left();
}

static void rested_on_one_cpu(void)
{
	cpu_set_t all, one;
	unsigned at = 0;

	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		CHECK(!sched_setaffinity(0, sizeof(one), &one));
		churn(0, 10000);
	}
	/* this CPU is busy, and what is on the others must not wait for it to rest */
	for (bool left = true; left;) {
		struct tracked *t = get(1, &at);

		if (t)
			defer(t, 0);
		left = false;
		for (unsigned i = 0; i < RANGE; i++)
			left |= atomic_load(&objects[i].state) != FREE;
	}
	nothing_is_left();
}

static void without_worker(void)
{
	const struct anyrcu_config none = { .size = sizeof(none), .workers = -1 };

	churn(0, 20000);
	CHECK(!anyrcu_init(&none));
	for (unsigned i = 0; i < 3; i++) {
		unsigned at = 0;

		for (unsigned j = 0; j < 3000; j++) {
			struct tracked *t = get(1 + i, &at);

			CHECK(t);
			defer(t, 0);
		}
		for (enum anyrcu_reclaim_state s; (s = anyrcu_reclaim_poll(NULL));)
			anyrcu_reclaim(SIZE_MAX);
		CHECK(all_free());
	}
	nothing_is_left();
}

/* Half of what may be pending is more than a tenth of an exchange: it does not cause a flood. */
static void small_bound(void)
{
	const struct anyrcu_config small = { .size = sizeof(small),
					     .pending_max = 1024,
					     .page_bytes_max = 65536 };

	CHECK(!anyrcu_init(&small));
	churn(0, SCALED(100000));
	CHECK(stats().defer_bytes_high <= 65536);
	nothing_is_left();
}

/* ---- handlers, and fork ---- */

static unsigned handlers_at;

static void on_tick(int sig)
{
	for (int i = 0; i < 3; i++) {
		struct tracked *t = get(3, &handlers_at);

		if (!t)
			return;
		atomic_store(&t->state, DEFERRED);
		anyrcu_free_head(&t->head, offsetof(struct tracked, head));
	}
}

static void interrupted(void)
{
	timer_t t;

	handle(SIGRTMIN, on_tick, 0);
	t = ticks_start(SIGRTMIN, 200);
	churn(0, SCALED(1000000));
	timer_delete(t);
	nothing_is_left();
}

static void forked(void)
{
	pthread_t t[2];

	for (uintptr_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(churns, (void *)i);
	for (int i = 0; i < 40; i++) {
		pid_t pid;

		churn(2, 2000);
		pid = fork();
		if (!pid) {
			long left = 0;

			churn(3, 3000);
			anyrcu_barrier();
			/* but what the other threads had in their hands, one each at most */
			for (size_t j = 0; j < COUNT(objects); j++)
				left += atomic_load(&objects[j].state) == DEFERRED;
			_exit(left > 2 || atomic_load(&wrong) || stats().pending != 0);
		}
		CHECK(child_ended_well(pid));
	}
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	nothing_is_left();
}

static _Atomic bool is_child;
static _Atomic long forks, forks_wrong;

/* The child goes on with what the handler interrupted. */
static void on_tick_fork(int sig)
{
	int saved = errno, status;
	pid_t pid;

	if (atomic_load(&is_child) || atomic_load(&forks) >= SCALED(200))
		return;
	pid = fork();
	if (!pid) {
		atomic_store(&is_child, true);
	} else if (pid > 0) {
		atomic_fetch_add(&forks, 1);
		while (waitpid(pid, &status, 0) != pid)
			;
		if (status)
			atomic_fetch_add(&forks_wrong, 1);
	}
	errno = saved;
}

static void forked_in_handler(void)
{
	unsigned at = 0;
	timer_t t;

	churn(0, 5000);
	handle(SIGRTMIN, on_tick_fork, 0);
	t = ticks_start(SIGRTMIN, 500);
	for (unsigned long i = 0; atomic_load(&forks) < SCALED(200) && !atomic_load(&is_child);
	     i++) {
		struct tracked *o = get(0, &at);

		if (o)
			defer(o, i);
	}
	if (atomic_load(&is_child)) {
		anyrcu_barrier();
		_exit(!all_free() || atomic_load(&wrong) || stats().pending != 0);
	}
	timer_delete(t);
	CHECK(!atomic_load(&forks_wrong));
	nothing_is_left();
}

static unsigned in_callbacks; /* how far in range 1 */

static void defers_in_callback(struct anyrcu_head *head)
{
	struct tracked *t = get(1, &in_callbacks);

	if (t)
		defer(t, 0);
	free(head);
}

/* A thread that reads may do it, and a callback. */
static void in_sections_and_callbacks(void)
{
	unsigned at = 0;

	for (unsigned i = 0; i < SCALED(20000); i++) {
		struct anyrcu_head *head = malloc(sizeof(*head));
		struct tracked *t = get(0, &at);

		CHECK(head);
		anyrcu_call(head, defers_in_callback);
		if (!t)
			continue;
		anyrcu_read_lock();
		defer(t, 0);
		CHECK(atomic_load(&t->magic) == MAGIC);
		anyrcu_read_unlock();
	}
	anyrcu_barrier(); /* which does not wait for what its callbacks defer */
	CHECK(in_callbacks);
	nothing_is_left();
}

static void null_is_allowed(void)
{
	struct tracked *none = NULL;

	anyrcu_free_task(none, head);
	CHECK(anyrcu_free_task_headless(NULL));
}

static const struct test_case cases[] = {
	CASE(counted),
	CASE(counted, .env = { "ANYRCU_DEBUG=1" }),
	CASE(migrated),
	CASE(read_by_others),
	CASE(held),
	CASE(refused),
	CASE(fills_all_pages_beside_worker),
	CASE(fills_all_pages_without_worker),
	CASE(rested),
	CASE(rested_on_one_cpu),
	CASE(without_worker),
	CASE(small_bound),
	CASE(interrupted),
	CASE(forked),
	CASE(forked_in_handler),
	CASE(in_sections_and_callbacks),
	CASE(in_sections_and_callbacks, .env = { "ANYRCU_DEBUG=1" }),
	CASE(null_is_allowed),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
