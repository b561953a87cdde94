/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Preloaded behind anyrcu's object: liburcu has what tells 0.14 from 0.13. */
struct urcu_gp_poll_state {
	unsigned long state;
};

#define POLLS(flavour)                                                               \
	struct urcu_gp_poll_state urcu_##flavour##_start_poll_synchronize_rcu(void); \
	struct urcu_gp_poll_state urcu_##flavour##_start_poll_synchronize_rcu(void)  \
	{                                                                            \
		return (struct urcu_gp_poll_state){ 0 };                             \
	}

POLLS(memb)
POLLS(mb)
POLLS(qsbr)
POLLS(bp)
