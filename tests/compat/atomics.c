/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Atomics, barriers, references, thread-local variables, futex. */
#include "flavor.h"
#include <limits.h>
#include <urcu/arch.h>
#include <urcu/compiler.h>
#include <urcu/futex.h>
#include <urcu/ref.h>
#include <urcu/system.h>
#include <urcu/tls-compat.h>
#include <urcu/uatomic.h>

static DEFINE_URCU_TLS(int, per_thread);
static DEFINE_URCU_TLS_INIT(int, per_thread_too, 5);
static unsigned long count;
static int word, released;

#define TYPE(type, name)                                                                  \
	static void name(void)                                                            \
	{                                                                                 \
		type x = 1, y;                                                            \
                                                                                          \
		uatomic_set(&x, 5);                                                       \
		CHECK(uatomic_read(&x) == 5);                                             \
		y = uatomic_xchg(&x, 7);                                                  \
		CHECK(y == 5 && x == 7);                                                  \
		CHECK(uatomic_cmpxchg(&x, 6, 9) == 7 && x == 7);                          \
		CHECK(uatomic_cmpxchg(&x, 7, 9) == 7 && x == 9);                          \
		CHECK(uatomic_add_return(&x, 3) == 12);                                   \
		CHECK(uatomic_sub_return(&x, 2) == 10);                                   \
		uatomic_add(&x, 5);                                                       \
		uatomic_sub(&x, 1);                                                       \
		uatomic_inc(&x);                                                          \
		uatomic_dec(&x);                                                          \
		CHECK(x == 14);                                                           \
		uatomic_and(&x, 6);                                                       \
		uatomic_or(&x, 1);                                                        \
		printf("%s %ld %ld\n", #type, (long)x, (long)uatomic_xchg(&x, (type)-1)); \
	}
TYPE(char, chars)
TYPE(unsigned char, bytes)
TYPE(short, shorts)
TYPE(int, ints)
TYPE(unsigned int, unsigneds)
TYPE(long, longs)
TYPE(unsigned long, ulongs)

static void pointers(void)
{
	int a, b, *p = &a;

	CHECK(uatomic_read(&p) == &a);
	CHECK(uatomic_xchg(&p, &b) == &a);
	CHECK(uatomic_cmpxchg(&p, &b, NULL) == &b && !p);
	uatomic_set(&p, &a);
	CHECK(p == &a);
}

static void *adder(void *arg)
{
	URCU_TLS(per_thread)++;
	URCU_TLS(per_thread_too)++;
	for (int i = 0; i < 20000; i++) {
		uatomic_inc(&count);
		uatomic_add(&count, 2);
		cmm_smp_mb__before_uatomic_dec();
		uatomic_dec(&count);
		cmm_smp_mb__after_uatomic_dec();
	}
	CHECK(URCU_TLS(per_thread) == 1 && URCU_TLS(per_thread_too) == 6);
	return arg;
}

static void *waker(void *arg)
{
	usleep(1000);
	uatomic_set(&word, 1);
	cmm_smp_mb();
	futex_async(&word, FUTEX_WAKE, 1, NULL, NULL, 0);
	return arg;
}

static void release(struct urcu_ref *ref)
{
	(void)ref;
	released++;
}

static void references(void)
{
	struct urcu_ref ref;

	urcu_ref_init(&ref);
	urcu_ref_get(&ref);
	CHECK(urcu_ref_get_safe(&ref));
	CHECK(urcu_ref_get_unless_zero(&ref));
	for (int i = 0; i < 4; i++)
		urcu_ref_put(&ref, release);
	CHECK(released == 1);
	CHECK(!urcu_ref_get_unless_zero(&ref));
	urcu_ref_set(&ref, LONG_MAX);
	CHECK(!urcu_ref_get_safe(&ref));
}

static void barriers(void)
{
	caa_cycles_t then = caa_get_cycles();
	int x = 1, max = caa_max(3, 4), min = caa_min(3, 4);

	cmm_mb();
	cmm_rmb();
	cmm_wmb();
	cmm_mc();
	cmm_rmc();
	cmm_wmc();
	cmm_smp_mb();
	cmm_smp_rmb();
	cmm_smp_wmb();
	cmm_smp_mc();
	cmm_smp_rmc();
	cmm_smp_wmc();
	cmm_read_barrier_depends();
	cmm_smp_read_barrier_depends();
	cmm_barrier();
	caa_cpu_relax();
	CMM_STORE_SHARED(x, 2);
	_CMM_STORE_SHARED(x, CMM_LOAD_SHARED(x) + _CMM_LOAD_SHARED(x));
	CHECK(CMM_ACCESS_ONCE(x) == 4);
#ifndef __cplusplus
	CAA_BUILD_BUG_ON(sizeof(int) != 4);
#endif
	if (caa_likely(x == 4) && !caa_unlikely(x == 5))
		printf("max %d, min %d, bits %d, signed %d %d, %d\n", max, min,
		       (int)CAA_BITS_PER_LONG, caa_is_signed_type(long),
		       caa_is_signed_type(long long), caa_cast_long_keep_sign(-1) == ULONG_MAX);
	CHECK(caa_get_cycles() - then < (caa_cycles_t)1 << 60);
}

int main(void)
{
	int array[7];
	pthread_t t[2];

	chars();
	bytes();
	shorts();
	ints();
	unsigneds();
	longs();
	ulongs();
	pointers();
	barriers();
	references();
	for (int i = 0; i < 2; i++)
		t[i] = thread_start(adder, NULL);
	for (int i = 0; i < 2; i++)
		thread_join(t[i]);
	t[0] = thread_start(waker, NULL);
	while (uatomic_read(&word) == 0)
		futex_async(&word, FUTEX_WAIT, 0, NULL, NULL, 0);
	thread_join(t[0]);
	printf("count %lu, array %d\n", uatomic_read(&count), (int)CAA_ARRAY_SIZE(array));
	return 0;
}
