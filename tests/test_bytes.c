/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The sized forms: bytes that are pending, and the bound on them. */
#include "test.h"

#define MIB (UINT64_C(1) << 20)
#define BOUND (64 * MIB) /* the default */

struct sized {
	struct anyrcu_head head;
	size_t bytes;
	char more[];
};

static _Atomic bool stop;
static _Atomic long freed;

static struct sized *sized_new(size_t bytes)
{
	struct sized *s = malloc(sizeof(*s) + bytes);

	CHECK(s);
	s->bytes = sizeof(*s) + bytes;
	return s;
}

static void sized_free(void *s)
{
	atomic_fetch_add(&freed, 1);
	free(s);
}

static void sized_called(struct anyrcu_head *head)
{
	sized_free(head);
}

static void nothing_pends(void)
{
	anyrcu_barrier();
	CHECK(stats().pending_bytes == 0);
	CHECK(stats().pending == 0);
}

/* Each form in turn; a refused object is freed as the caller may. */
static void defer(struct sized *s, unsigned how)
{
	switch (how % 7) {
	case 0:
		anyrcu_call_sized(&s->head, sized_called, s->bytes);
		break;
	case 1:
		anyrcu_free_sized(s, head, s->bytes);
		break;
	case 2:
		if (!anyrcu_call_headless_sized(sized_free, s, s->bytes))
			free(s);
		break;
	case 3:
		if (!anyrcu_free_headless_sized(s, s->bytes))
			free(s);
		break;
	case 4:
		anyrcu_call_mightsleep_sized(sized_free, s, s->bytes);
		break;
	case 5:
		anyrcu_free_mightsleep_sized(s, s->bytes);
		break;
	default:
		anyrcu_free(s, head);
	}
}

static void counted(void)
{
	struct holder h;
	size_t bytes = 0;

	holder_enter(&h);
	for (int i = 0; i < 4; i++) {
		struct sized *s = sized_new(1000 * i);

		bytes += s->bytes;
		defer(s, i);
		CHECK(stats().pending_bytes == bytes);
	}
	anyrcu_free_sized((struct sized *)NULL, head, 1);
	CHECK(anyrcu_free_headless_sized(NULL, 1));
	anyrcu_free_mightsleep_sized(NULL, 1);
	CHECK(stats().pending_bytes == bytes && stats().pending == 4);
	CHECK(stats().pending_bytes_high == bytes);
	holder_leave(&h);
	nothing_pends();
}

static void *holds_200_ms(void *arg)
{
	anyrcu_read_lock();
	atomic_store((_Atomic bool *)arg, true);
	test_sleep_ms(200);
	anyrcu_read_unlock();
	atomic_store(&stop, true);
	return NULL;
}

/*
 * 1 MiB objects, as fast as they come, for as long as the reader is there. Returns the most bytes
 * that were pending.
 */
static uint64_t flood(unsigned how)
{
	_Atomic bool inside = false;
	uint64_t most;
	pthread_t t = thread_start(holds_200_ms, &inside);
	long n = 0;

	UNTIL(atomic_load(&inside));
	for (; !atomic_load(&stop); n++) {
		defer(sized_new(MIB - sizeof(struct sized)), how);
		if (how < 2 && n > 3000)
			test_sleep_ms(1); /* address space has an end */
	}
	thread_join(t);
	most = stats().pending_bytes_high;
	printf("%ld objects of 1 MiB, form %u: %llu MiB pending at most, %llu refused, %llu freed by their callers\n",
	       n, how, (unsigned long long)(most / MIB), (unsigned long long)stats().refused_bytes,
	       (unsigned long long)stats().deferred_inline);
	nothing_pends();
	return most;
}

static void flood_call(void)
{
	uint64_t most = flood(0);

	/* On a busy machine the reader may have gone before the bound is reached. */
	CHECK(stats().refused == 0 && (most <= BOUND || stats().floods > 0));
}

static void flood_free(void)
{
	uint64_t most = flood(1);

	CHECK(stats().refused == 0 && (most <= BOUND || stats().floods > 0));
}

static void flood_call_headless(void)
{
	uint64_t most = flood(2);

	CHECK(most <= 2 * BOUND);
	CHECK(most <= BOUND - MIB || stats().refused_bytes > 0);
}

static void flood_free_headless(void)
{
	uint64_t most = flood(3);

	CHECK(most <= 2 * BOUND);
	CHECK(most <= BOUND - MIB || stats().refused_bytes > 0);
}

static void flood_call_mightsleep(void)
{
	CHECK(flood(4) <= 2 * BOUND);
}

static void flood_free_mightsleep(void)
{
	CHECK(flood(5) <= 2 * BOUND);
}

/* An object that is larger than the bound is accepted where nothing else pends. */
static void larger_than_bound(void)
{
	struct holder h;

	CHECK(!configure((struct anyrcu_config){ .pending_bytes_max = 65536 }));
	holder_enter(&h);
	CHECK(anyrcu_free_headless_sized(malloc(16), MIB));
	CHECK(!anyrcu_free_headless_sized(&h, 1));
	CHECK(!anyrcu_call_headless(sized_free, &h)); /* of unknown size, past the bound */
	holder_leave(&h);
	nothing_pends();
	CHECK(anyrcu_free_headless_sized(malloc(16), SIZE_MAX));
	nothing_pends();
}

/* Without pages the chain keeps the bytes, and the form stays any-context. */
static void chained(void)
{
	struct holder h;
	uint64_t before;
	pid_t pid;

	CHECK(!configure((struct anyrcu_config){ .page_bytes_max = 65536 }));
	holder_enter(&h);
	for (int i = 0; i < 20000; i++)
		defer(sized_new(i), i % 2);
	before = stats().pending_bytes;
	CHECK(stats().deferred_chain > 1000);
	CHECK(before >= 20000 * (sizeof(struct sized) + 9999));
	CHECK(before < 20000 * (sizeof(struct sized) + 10100));
	pid = fork();
	if (!pid) { /* where the holder is no more */
		anyrcu_barrier();
		_exit(stats().pending_bytes != 0);
	}
	CHECK(child_ended_well(pid));
	CHECK(stats().pending_bytes == before);
	holder_leave(&h);
	nothing_pends();
}

static void on_tick(int sig)
{
	struct sized *s = atomic_load(&stop) ? NULL : (struct sized *)object_get();

	if (s)
		anyrcu_call_sized((struct anyrcu_head *)s, object_called, 77);
}

static void *defers(void *arg)
{
	timer_t t = ticks_start(SIGRTMIN, 700);

	for (unsigned i = 0; i < SCALED(6000); i++)
		defer(sized_new(i % 5000), i);
	timer_delete(t);
	return NULL;
}

/* Threads, and their handlers, defer while the process forks: parent and child come to zero. */
static __attribute__((unused)) void forked(void)
{
	pthread_t t[3];

	handle(SIGRTMIN, on_tick, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(defers, NULL);
	for (int i = 0; i < 30; i++) {
		pid_t pid;

		defer(sized_new(100), i % 2);
		pid = fork();
		if (!pid) {
			/* enough that the child's worker counts while they are deferred */
			for (unsigned j = 0; j < 1000; j++)
				defer(sized_new(j), j);
			anyrcu_barrier();
			_exit(stats().pending_bytes != 0);
		}
		CHECK(child_ended_well(pid));
	}
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	nothing_pends();
}

static _Atomic long forks_made, forks_wrong;

/*
 * The child of a fork in a handler goes on with what the handler interrupted, and ends when it is
 * through.
 */
static _Atomic bool is_child;

static void on_tick_fork(int sig)
{
	int saved = errno, status;
	pid_t pid;

	if (atomic_load(&is_child) || atomic_load(&forks_made) >= SCALED(200))
		return;
	pid = fork();
	if (!pid) {
		atomic_store(&is_child, true);
	} else if (pid > 0) {
		atomic_fetch_add(&forks_made, 1);
		while (waitpid(pid, &status, 0) != pid)
			;
		if (status)
			atomic_fetch_add(&forks_wrong, 1);
	}
	errno = saved;
}

static __attribute__((unused)) void forked_in_handler(void)
{
	timer_t t;

	handle(SIGRTMIN, on_tick_fork, 0);
	t = ticks_start(SIGRTMIN, 500);
	for (unsigned i = 0; atomic_load(&forks_made) < SCALED(200) && !atomic_load(&is_child);
	     i++) {
		/* not malloc()'s, which a handler that forks may not interrupt */
		struct object *o = object_get();

		if (o)
			anyrcu_call_sized(&o->head, object_called, 1 + i % 3000);
	}
	if (atomic_load(&is_child)) {
		anyrcu_barrier();
		_exit(stats().pending_bytes != 0);
	}
	timer_delete(t);
	nothing_pends();
	CHECK(!atomic_load(&forks_wrong));
}

static const struct test_case cases[] = {
	CASE(counted),
	CASE(counted, .env = { "ANYRCU_DEBUG=1" }),
	CASE(counted, .env = { "ANYRCU_RSEQ=0" }),
	CASE(flood_call),
	CASE(flood_free),
	CASE(flood_call_headless),
	CASE(flood_free_headless),
	CASE(flood_call_mightsleep),
	CASE(flood_free_mightsleep),
	CASE(larger_than_bound),
	CASE(chained),
#if MALLOC_FORKS
	CASE(forked),
	CASE(forked_in_handler),
#endif
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
