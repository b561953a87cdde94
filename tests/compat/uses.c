/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Macros only show what they are where they are used: all of them here, in what all standards of C
 * and C++ have in common. Is compiled, not run.
 */
#define URCU_API_MAP
#include <urcu.h>
#include <urcu/annotate.h>
#include <urcu/assert.h>
#include <urcu/cds.h>
#include <urcu/futex.h>
#include <urcu/tls-compat.h>
#include <urcu/uatomic.h>

struct thing {
	struct cds_list_head list;
	struct cds_hlist_node hlist;
	struct cds_lfht_node lfht;
	struct rcu_head head;
	int value;
};

extern struct thing *things;
extern int number;
extern unsigned long large;
extern unsigned char small;
extern void *place;

int anyrcu_test_atomics(const int *constant);
int anyrcu_test_pointers(void);
int anyrcu_test_lists(struct cds_list_head *head, struct cds_hlist_head *hhead,
		      struct cds_lfht *ht);

#define UATOMICS(p)                                                                         \
	do {                                                                                \
		uatomic_set(p, 1);                                                          \
		uatomic_store(p, 1);                                                        \
		uatomic_store(p, 1, CMM_RELEASE);                                           \
		uatomic_set(p, 1, CMM_SEQ_CST);                                             \
		uatomic_store_mo(p, 1, CMM_SEQ_CST_FENCE);                                  \
		if (uatomic_read(p) || uatomic_load(p) || uatomic_load(p, CMM_ACQUIRE) ||   \
		    uatomic_read(p, CMM_CONSUME) || uatomic_load_mo(p, CMM_SEQ_CST_FENCE))  \
			sum++;                                                              \
		if (uatomic_xchg(p, 2) || uatomic_xchg(p, 2, CMM_ACQ_REL) ||                \
		    uatomic_xchg_mo(p, 2, CMM_RELAXED))                                     \
			sum++;                                                              \
		if (uatomic_cmpxchg(p, 2, 3) || uatomic_cmpxchg(p, 2, 3, CMM_ACQ_REL) ||    \
		    uatomic_cmpxchg(p, 2, 3, CMM_SEQ_CST_FENCE, CMM_RELAXED) ||             \
		    uatomic_cmpxchg_mo(p, 2, 3, CMM_SEQ_CST, CMM_ACQUIRE))                  \
			sum++;                                                              \
		if (uatomic_add_return(p, 1) || uatomic_add_return(p, 1, CMM_RELAXED) ||    \
		    uatomic_sub_return(p, 1) || uatomic_sub_return_mo(p, 1, CMM_RELEASE) || \
		    uatomic_add_return_mo(p, 1, CMM_SEQ_CST_FENCE))                         \
			sum++;                                                              \
		uatomic_and(p, 1);                                                          \
		uatomic_and(p, 1, CMM_RELAXED);                                             \
		uatomic_or(p, 1);                                                           \
		uatomic_or_mo(p, 1, CMM_ACQUIRE);                                           \
		uatomic_and_mo(p, 1, CMM_ACQUIRE);                                          \
		uatomic_add(p, 1);                                                          \
		uatomic_add(p, 1, CMM_RELEASE);                                             \
		uatomic_sub(p, 1);                                                          \
		uatomic_sub_mo(p, 1, CMM_SEQ_CST_FENCE);                                    \
		uatomic_inc(p);                                                             \
		uatomic_inc(p, CMM_RELAXED);                                                \
		uatomic_dec(p);                                                             \
		uatomic_dec_mo(p, CMM_RELAXED);                                             \
		cmm_smp_mb__before_uatomic_or();                                            \
		cmm_smp_mb__after_uatomic_dec();                                            \
	} while (0)

int anyrcu_test_atomics(const int *constant)
{
	int sum = 0;
	cmm_annotate_define(group);

	UATOMICS(&number);
	UATOMICS(&large);
	UATOMICS(&small);
	uatomic_store(&place, NULL, CMM_RELEASE);
	sum += uatomic_read(constant) + uatomic_load(constant, CMM_ACQUIRE);
	cmm_annotate_group_mem_acquire(&group, &number);
	cmm_annotate_group_mb_acquire(&group);
	cmm_annotate_mem_release(&number);
	cmm_annotate_group_mb_release(&group);
	cmm_annotate_group_mem_release(&group, &number);
	cmm_annotate_mem_acquire(&number);
	urcu_posix_assert(sum >= 0);
	urcu_assert_debug(sum >= 0);
	CMM_STORE_SHARED(number, 3);
	sum += CMM_LOAD_SHARED(number) + _CMM_LOAD_SHARED(number) + CMM_ACCESS_ONCE(number);
	cmm_mb();
	cmm_smp_rmb();
	caa_cpu_relax();
	return caa_unlikely(sum) ? caa_max(sum, 1) : caa_min(sum, 2);
}

int anyrcu_test_pointers(void)
{
	struct thing *t, *old = NULL;

	rcu_read_lock();
	t = rcu_dereference(things);
	rcu_read_unlock();
	rcu_assign_pointer(things, t);
	rcu_set_pointer(&things, t);
	old = rcu_xchg_pointer(&things, t);
	old = rcu_cmpxchg_pointer(&things, old, t);
	return old ? caa_container_of(&old->value, struct thing, value)->value : 0;
}

int anyrcu_test_lists(struct cds_list_head *head, struct cds_hlist_head *hhead, struct cds_lfht *ht)
{
	struct thing *t, *next;
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	int sum = 0;

	cds_list_for_each_entry(t, head, list) sum += t->value;
	cds_list_for_each_entry_rcu(t, head, list) sum += t->value;
	cds_list_for_each_entry_safe(t, next, head, list) sum += t->value;
	cds_hlist_for_each_entry_2(t, hhead, hlist) sum += t->value;
	cds_hlist_for_each_entry_rcu_2(t, hhead, hlist) sum += t->value;
	cds_lfht_for_each(ht, &iter, node) sum += cds_lfht_entry(node, struct thing, lfht)->value;
	cds_lfht_for_each_entry(ht, &iter, t, lfht) sum += t->value;
	return sum + (caa_container_of_check_null(node, struct thing, lfht) ? 1 : 0);
}
