/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * ANYRCU_DEBUG=1: mistakes with heads are found and named by both places, and what is right goes
 * unnoticed.
 */
#include "test.h"

struct victim {
	long before;
	struct anyrcu_head head;
	long after;
};

static void called(struct anyrcu_head *head)
{
}

static void called_too(struct anyrcu_head *head)
{
}

/* Exported, as reports name what the dynamic linker knows. */
__attribute__((noinline)) void first_place(struct anyrcu_head *head)
{
	anyrcu_call(head, called);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void second_place(struct anyrcu_head *head)
{
	anyrcu_call(head, called_too);
	__asm__ volatile("" ::: "memory");
}

/* The reader keeps what is deferred pending until the mistake was made. */
static struct holder h;

static void call_twice(void)
{
	static struct anyrcu_head head;

	holder_enter(&h);
	first_place(&head);
	second_place(&head);
	holder_leave(&h);
	anyrcu_barrier();
}

static void call_twice_same_place(void)
{
	static struct anyrcu_head head;

	holder_enter(&h);
	for (int i = 0; i < 2; i++)
		first_place(&head);
	holder_leave(&h);
	anyrcu_barrier();
}

static void call_twice_far_apart(void)
{
	static struct anyrcu_head head;

	holder_enter(&h);
	first_place(&head);
	for (int i = 0; i < 5000; i++)
		object_defer(i);
	second_place(&head);
	holder_leave(&h);
	anyrcu_barrier();
}

static void *calls_from_thread(void *arg)
{
	second_place(arg);
	return NULL;
}

static void call_twice_in_threads(void)
{
	static struct anyrcu_head head;

	holder_enter(&h);
	first_place(&head);
	thread_join(thread_start(calls_from_thread, &head));
	holder_leave(&h);
	anyrcu_barrier();
}

__attribute__((noinline)) void free_place(struct victim *v)
{
	anyrcu_free(v, head);
	__asm__ volatile("" ::: "memory");
}

static void free_twice(void)
{
	struct victim *v = malloc(sizeof(*v));

	holder_enter(&h);
	free_place(v);
	free_place(v);
	holder_leave(&h);
	anyrcu_barrier();
}

static void call_and_free(void)
{
	struct victim *v = malloc(sizeof(*v));

	holder_enter(&h);
	first_place(&v->head);
	free_place(v);
	holder_leave(&h);
	anyrcu_barrier();
}

static struct anyrcu_head *handler_head;

static void calls_in_handler(int sig)
{
	second_place(handler_head);
}

static void call_twice_in_handler(void)
{
	static struct anyrcu_head head;

	handle(SIGRTMIN, calls_in_handler, 0);
	holder_enter(&h);
	first_place(&head);
	handler_head = &head;
	raise(SIGRTMIN);
	holder_leave(&h);
	anyrcu_barrier();
}

static void head_overwritten(void)
{
	static struct victim v;

	holder_enter(&h);
	first_place(&v.head);
	memset(&v, 0x5a, sizeof(v));
	holder_leave(&h);
	anyrcu_barrier();
}

static void head_zeroed(void)
{
	static struct victim v;

	holder_enter(&h);
	first_place(&v.head);
	memset(&v, 0, sizeof(v));
	holder_leave(&h);
	anyrcu_barrier();
}

#if !ASAN && !TSAN /* which find it themselves, and first */
/* The allocator gives it to another, who writes. */
static void freed_too_early(void)
{
	struct victim *v = malloc(sizeof(*v));

	holder_enter(&h);
	first_place(&v->head);
	free(v);
	v = malloc(sizeof(*v));
	memset(v, 1, sizeof(*v));
	holder_leave(&h);
	anyrcu_barrier();
}
#endif

static void defers_again(struct anyrcu_head *head)
{
	static int left = 100;

	if (left-- > 0)
		anyrcu_call(head, defers_again);
}

static void reuses(struct anyrcu_head *head)
{
	memset(head, 0xff, sizeof(*head));
}

static _Atomic long handled;

static void defers_in_handler(int sig)
{
	object_defer((unsigned)atomic_fetch_add(&handled, 1));
}

/*
 * A head is the caller's again in its callback and after it; what it holds before is of no matter.
 */
static void right_use(void)
{
	static struct anyrcu_head again, reused[100];
	timer_t t;

	handle(SIGRTMIN, defers_in_handler, 0);
	t = ticks_start(SIGRTMIN, 200);
	memset(reused, 0xa5, sizeof(reused));
	anyrcu_call(&again, defers_again);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < COUNT(reused); i++)
			anyrcu_call(&reused[i], i % 2 ? reuses : called);
		for (int i = 0; i < 2000; i++)
			object_defer(i);
		for (int i = 0; i < 100; i++) {
			struct victim *v = malloc(sizeof(*v));

			anyrcu_free(v, head);
			object_defer_mightsleep();
			anyrcu_free_mightsleep(malloc(8));
		}
		anyrcu_barrier();
	}
	UNTIL(atomic_load(&handled) > 10);
	timer_delete(t);
	UNTIL(stats().pending == 0);
	pool_check();
}

static void right_use_of_chain(void)
{
	CHECK(!configure((struct anyrcu_config){ .page_bytes_max = 65536 }));
	holder_enter(&h);
	for (int i = 0; i < 20000; i++)
		object_defer(i);
	CHECK(stats().deferred_chain);
	holder_leave(&h);
	pool_check();
	right_use();
}

static void right_use_across_fork(void)
{
	pid_t pid;

	holder_enter(&h);
	for (int i = 0; i < 2000; i++)
		object_defer(i);
	pid = fork();
	if (!pid) {
		pool_check();
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	holder_leave(&h);
	pool_check();
}

#define DEBUG .env = { "ANYRCU_DEBUG=1" }
#define BOTH(...) DEBUG, .sig = SIGABRT, .says = { "anyrcu", ##__VA_ARGS__ }

static const struct test_case cases[] = {
	CASE(call_twice, BOTH("double deferral", "first_place", "second_place")),
	CASE(call_twice_same_place, BOTH("double deferral", "first_place")),
	CASE(call_twice_far_apart, BOTH("double deferral", "first_place", "second_place")),
	CASE(call_twice_in_threads, BOTH("double deferral", "first_place", "second_place")),
	CASE(free_twice, BOTH("double deferral", "free_place")),
	CASE(call_and_free, BOTH("double deferral", "first_place", "free_place")),
	CASE(call_twice_in_handler, BOTH("double deferral", "first_place", "second_place")),
	CASE(head_overwritten, BOTH("overwritten", "first_place")),
	CASE(head_zeroed, BOTH("overwritten", "first_place")),
#if !ASAN && !TSAN
	CASE(freed_too_early, BOTH("overwritten", "first_place")),
#endif
	CASE(right_use, DEBUG),
	CASE(right_use_of_chain, DEBUG),
	CASE(right_use_across_fork, DEBUG),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
