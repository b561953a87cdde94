/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Preloaded behind anyrcu's object, it is what that finds in liburcu's place: grace periods that
 * wait for nobody.
 */
void urcu_memb_synchronize_rcu(void);
void urcu_mb_synchronize_rcu(void);
void urcu_qsbr_synchronize_rcu(void);
void urcu_bp_synchronize_rcu(void);

void urcu_memb_synchronize_rcu(void)
{
}

void urcu_mb_synchronize_rcu(void)
{
}

void urcu_qsbr_synchronize_rcu(void)
{
}

void urcu_bp_synchronize_rcu(void)
{
}
