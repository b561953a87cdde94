/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A program with an unwinder of its own before GCC's, which takes a mutex, as libunwind's does. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER,
		       end = PTHREAD_MUTEX_INITIALIZER;

int _Unwind_Backtrace(void *step, void *arg);
__attribute__((visibility("default"))) int _Unwind_Backtrace(void *step, void *arg)
{
	(void)step, (void)arg;
	pthread_mutex_lock(&a);
	abort(); /* it is called with the mutex held below: this would not even be reached */
}

static __attribute__((noinline)) void in_order(pthread_mutex_t *first, pthread_mutex_t *second)
{
	pthread_mutex_lock(first);
	pthread_mutex_lock(second);
	pthread_mutex_unlock(second);
	pthread_mutex_unlock(first);
}

static int past;

static void *waits(void *arg)
{
	in_order(&b, &a);
	__atomic_store_n(&past, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&end);
	pthread_mutex_unlock(&end);
	return arg;
}

int main(void)
{
	pthread_t thread;

	pthread_mutex_lock(&end);
	/* the main thread is not alone when it takes them */
	if (pthread_create(&thread, NULL, waits, NULL))
		return 1;
	/* at once, the two could deadlock */
	while (!__atomic_load_n(&past, __ATOMIC_ACQUIRE))
		sched_yield();
	in_order(&a, &b);
	pthread_mutex_unlock(&end);
	pthread_join(thread, NULL);
	puts("done");
	return 0;
}
