/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Kinds of programs that take locks, in pairs; see kinds.h. */
#define _GNU_SOURCE
#include "kinds_mutexes.h"

#include <semaphore.h>
#include <sys/mman.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

THREAD(b_then_a)
{
	in_order(&b, &a);
	return arg;
}

/* ---- orders ---- */

THREAD(guarded_a_then_b)
{
	lock(&gate);
	in_order(&a, &b);
	unlock(&gate);
	return arg;
}

THREAD(guarded_b_then_a)
{
	if (!wrong)
		lock(&gate);
	in_order(&b, &a);
	if (!wrong)
		unlock(&gate);
	return arg;
}

static void guarded(void)
{
	run(guarded_a_then_b, NULL);
	run(guarded_b_then_a, NULL);
}

THREAD(wait_for_end)
{
	sem_wait(arg);
	return NULL;
}

/* The first order is the main thread's, before there are others, or beside one. */
static void alone(void)
{
	pthread_t t;
	sem_t end;

	sem_init(&end, 0, 0);
	if (wrong)
		pthread_create(&t, NULL, wait_for_end, &end);
	in_order(&a, &b);
	if (wrong) {
		sem_post(&end);
		pthread_join(t, NULL);
	}
	run(b_then_a, NULL);
}

static pthread_mutex_t *ring[3];

THREAD(two_of_a_ring)
{
	long i = (long)arg, next = (i + 1) % 3;

	if (wrong || i < next)
		in_order(ring[i], ring[next]);
	else
		in_order(ring[next], ring[i]);
	return NULL;
}

static void ring_of_a_class(void)
{
	for (int i = 0; i < 3; i++)
		ring[i] = new_mutex();
	for (long i = 0; i < 3; i++)
		run(two_of_a_ring, (void *)i);
}

/* first -> gate -> second, all of one class but the gate; and then a second thread. */
THREAD(around_the_gate)
{
	lock(ring[0]);
	in_order(&gate, ring[1]);
	unlock(ring[0]);
	return arg;
}

THREAD(then_the_gate)
{
	in_order(ring[wrong], &gate);
	return arg;
}

static void class_around_a_lock(void)
{
	for (int i = 0; i < 2; i++)
		ring[i] = new_mutex();
	run(around_the_gate, NULL);
	run(then_the_gate, NULL);
}

/* Two kinds of objects have their mutexes from one function. */
static noinline pthread_mutex_t *new_session(void)
{
	pthread_mutex_t *m = new_mutex();

	__asm__ volatile("");
	return m;
}

static noinline pthread_mutex_t *new_connection(void)
{
	pthread_mutex_t *m = new_mutex();

	__asm__ volatile("");
	return m;
}

THREAD(session_then_gate)
{
	in_order(ring[0], &gate);
	return arg;
}

THREAD(gate_then_connection)
{
	in_order(&gate, ring[wrong ? 0 : 1]);
	return arg;
}

static void one_constructor(void)
{
	ring[0] = new_session();
	ring[1] = new_connection();
	run(session_then_gate, NULL);
	run(gate_then_connection, NULL);
}

/* Objects that come and go: each order is another's. */
THREAD(object_and_gate)
{
	pthread_mutex_t *m = new_mutex();

	if (wrong && arg)
		in_order(&gate, m);
	else
		in_order(m, &gate);
	pthread_mutex_destroy(m);
	free(m);
	return NULL;
}

static void short_lived(void)
{
	for (long i = 0; i < 4; i++)
		run(object_and_gate, (void *)(i % 2));
}

/* ---- memory that is used again ---- */

THREAD(stack_then_gate)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	in_order(&m, &gate);
	return arg;
}

THREAD(gate_then_stack)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	in_order(&gate, &m);
	if (wrong)
		in_order(&m, &gate);
	return arg;
}

static void thread_stack(void)
{
	run(stack_then_gate, NULL);
	run(gate_then_stack, NULL);
}

THREAD(both_on_one_stack)
{
	stack_then_gate(arg);
	gate_then_stack(arg);
	return arg;
}

static void stack_frame(void)
{
	run(both_on_one_stack, NULL);
}

/* The same at many places of the stack: the validator tells them apart by hashes. */
THREAD(both_at_depths)
{
	bool makes_mistake = wrong;

	for (unsigned depth = 1; depth <= 300; depth++) {
		char room[16 * depth];

		__asm__ volatile("" : : "r"(room) : "memory");
		wrong = makes_mistake && depth == 300;
		both_on_one_stack(arg);
	}
	return arg;
}

static void stack_frames(void)
{
	run(both_at_depths, NULL);
}

/*
 * The locks of two functions at one place, which a helper takes at one place. The order gate, inner
 * and the order inner, gate are of different ones.
 */
static noinline void first_function(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	in_order(&m, &a);
	in_order(&gate, &m);
}

static noinline void second_function(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	in_order(&m, &gate);
	if (wrong)
		in_order(&gate, &m);
}

THREAD(one_after_another)
{
	first_function();
	second_function();
	return arg;
}

static void stack_helper(void)
{
	run(one_after_another, NULL);
}

/* A zeroed mutex is an initialised one here, so that nobody says that the memory has another. */
static void moved(void)
{
	pthread_mutex_t *m =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *other = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	in_order(m, &gate);
	if (!wrong) {
		if (mremap(m, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, other) != other ||
		    mmap(m, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != (void *)m)
			abort();
	}
	in_order(&gate, m);
}

THREAD(use_array)
{
	pthread_mutex_t *m = calloc(1, sizeof(*m)), *old = m;

	in_order(m, &gate);
	if (!wrong)
		m = realloc(m, 1 << 20);
	(void)m;
	if (!wrong)
		old = memset(malloc(sizeof(*old)), 0, sizeof(*old));
	in_order(&gate, old);
	return arg;
}

static void reallocated(void)
{
	run(use_array, NULL);
}

/* ---- what has much room ---- */

static pthread_mutex_t many[20000] = { [0 ... 19999] = PTHREAD_MUTEX_INITIALIZER };

static void many_locks(void)
{
	for (int i = 0; i < 20000; i++)
		in_order(&gate, &many[i]);
	for (int i = 0; i < 200; i++)
		lock(&many[i]);
	for (int i = 0; i < 200; i++)
		unlock(&many[i]);
	if (wrong)
		in_order(&many[19999], &gate);
}

/* The gate is taken with many other locks held, of which the two threads have none in common. */
THREAD(deep_a_then_b)
{
	for (int i = 0; i < 20; i++)
		lock(&many[i]);
	lock(&gate);
	in_order(&a, &b);
	unlock(&gate);
	for (int i = 20; i--;)
		unlock(&many[i]);
	return arg;
}

THREAD(deep_b_then_a)
{
	for (int i = 20; i < 40; i++)
		lock(&many[i]);
	if (!wrong)
		lock(&gate);
	in_order(&b, &a);
	if (!wrong)
		unlock(&gate);
	for (int i = 40; i-- > 20;)
		unlock(&many[i]);
	return arg;
}

static void deep_gate(void)
{
	run(deep_a_then_b, NULL);
	run(deep_b_then_a, NULL);
}

/* The same with an object that comes and goes: each order is another's. */
THREAD(deep_object)
{
	pthread_mutex_t *m = new_mutex();
	int first = arg ? 0 : 20;

	for (int i = first; i < first + 20; i++)
		lock(&many[i]);
	if (!wrong || arg)
		lock(&gate);
	if (arg)
		in_order(m, &a);
	else
		in_order(&a, m);
	if (!wrong || arg)
		unlock(&gate);
	for (int i = first + 20; i-- > first;)
		unlock(&many[i]);
	pthread_mutex_destroy(m);
	free(m);
	return NULL;
}

static void deep_gate_of_objects(void)
{
	for (long i = 0; i < 4; i++)
		run(deep_object, (void *)(i % 2));
}

static void much_unmapped(void)
{
	void *p;

	in_order(&a, &b);
	p = mmap(NULL, 1ul << 43, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED)
		munmap(p, 1ul << 43);
	if (wrong)
		in_order(&b, &a);
}

static void two_orders(void)
{
	run(a_then_b, NULL);
	run(wrong ? b_then_a : a_then_b, NULL);
}

static const struct kind kinds[] = {
	KIND(two_orders),
	KIND(guarded),
	KIND(alone),
	KIND(ring_of_a_class),
	KIND(class_around_a_lock),
	KIND(one_constructor),
	KIND(short_lived),
	KIND(thread_stack),
	KIND(stack_frame),
	KIND(stack_frames),
	KIND(stack_helper),
	KIND(moved),
	KIND(reallocated),
	KIND(many_locks),
	KIND(deep_gate),
	KIND(deep_gate_of_objects),
	KIND(much_unmapped),
};
KINDS_MAIN(kinds)
