/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A count of references, by liburcu's names. */
#ifndef ANYRCU_COMPAT_URCU_REF_H
#define ANYRCU_COMPAT_URCU_REF_H

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <urcu/uatomic.h>

struct urcu_ref {
	long refcount;
};

static inline void urcu_ref_set(struct urcu_ref *ref, long val)
{
	uatomic_set(&ref->refcount, val);
}

static inline void urcu_ref_init(struct urcu_ref *ref)
{
	urcu_ref_set(ref, 1);
}

/* Increment, unless the count is @refuse or at its maximum. */
static inline bool anyrcu_ref_get(struct urcu_ref *ref, long refuse)
{
	long old = uatomic_read(&ref->refcount);

	do {
		if (old == refuse || old == LONG_MAX)
			return false;
	} while (!__atomic_compare_exchange_n(&ref->refcount, &old, old + 1, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return true;
}

static inline bool __attribute__((warn_unused_result)) urcu_ref_get_safe(struct urcu_ref *ref)
{
	return anyrcu_ref_get(ref, LONG_MAX);
}

static inline bool urcu_ref_get_unless_zero(struct urcu_ref *ref)
{
	return anyrcu_ref_get(ref, 0);
}

static inline void urcu_ref_get(struct urcu_ref *ref)
{
	if (!urcu_ref_get_safe(ref))
		abort();
}

static inline void urcu_ref_put(struct urcu_ref *ref, void (*release)(struct urcu_ref *))
{
	long left = uatomic_sub_return(&ref->refcount, 1);

	assert(left >= 0);
	if (left == 0)
		release(ref);
}

#endif
