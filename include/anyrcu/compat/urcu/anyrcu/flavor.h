/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The functions of one flavour, whose header sets
 *     ANYRCU_URCU_NAME(x)   the flavour's name for x
 *     ANYRCU_URCU_SELF      its number
 *     ANYRCU_URCU_IS_QSBR   1 or 0
 * and undefines them afterwards. Therefore this header has no include guard.
 */
#if ANYRCU_URCU_IS_QSBR
static inline void ANYRCU_URCU_NAME(read_lock)(void)
{
	urcu_assert(anyrcu_urcu_online);
}

static inline void ANYRCU_URCU_NAME(read_unlock)(void)
{
	urcu_assert(anyrcu_urcu_online);
}

static inline int ANYRCU_URCU_NAME(read_ongoing)(void)
{
	return anyrcu_urcu_online;
}

/* In a thread that is online already it is a quiescent state, as in liburcu. */
static inline void ANYRCU_URCU_NAME(thread_online)(void)
{
	if (anyrcu_urcu_online)
		anyrcu_read_unlock();
	anyrcu_urcu_online = true;
	anyrcu_read_lock();
}

static inline void ANYRCU_URCU_NAME(thread_offline)(void)
{
	if (!anyrcu_urcu_online)
		return;
	anyrcu_urcu_online = false;
	anyrcu_read_unlock();
}

static inline void ANYRCU_URCU_NAME(quiescent_state)(void)
{
	if (!anyrcu_urcu_online)
		return;
	anyrcu_read_unlock();
	anyrcu_read_lock();
}

static inline void ANYRCU_URCU_NAME(register_thread)(void)
{
	ANYRCU_URCU_NAME(thread_online)();
}

static inline void ANYRCU_URCU_NAME(unregister_thread)(void)
{
	ANYRCU_URCU_NAME(thread_offline)();
}
#else
static inline void ANYRCU_URCU_NAME(read_lock)(void)
{
	anyrcu_read_lock();
}

static inline void ANYRCU_URCU_NAME(read_unlock)(void)
{
	anyrcu_read_unlock();
}

static inline int ANYRCU_URCU_NAME(read_ongoing)(void)
{
	return anyrcu_read_lock_held();
}

static inline void ANYRCU_URCU_NAME(thread_online)(void)
{
}

static inline void ANYRCU_URCU_NAME(thread_offline)(void)
{
}

static inline void ANYRCU_URCU_NAME(quiescent_state)(void)
{
}

/* A thread is registered by its first section. */
static inline void ANYRCU_URCU_NAME(register_thread)(void)
{
}

static inline void ANYRCU_URCU_NAME(unregister_thread)(void)
{
}
#endif

static inline void ANYRCU_URCU_NAME(init)(void)
{
}

static inline void ANYRCU_URCU_NAME(synchronize_rcu)(void)
{
	anyrcu_urcu_synchronize(ANYRCU_URCU_SELF);
}

static inline struct urcu_gp_poll_state ANYRCU_URCU_NAME(start_poll_synchronize_rcu)(void)
{
	struct urcu_gp_poll_state state = { (unsigned long)anyrcu_gp_start() };

	return state;
}

static inline bool ANYRCU_URCU_NAME(poll_state_synchronize_rcu)(struct urcu_gp_poll_state state)
{
	return anyrcu_gp_done(state.grace_period_id);
}

static inline void ANYRCU_URCU_NAME(call_rcu)(struct rcu_head *head,
					      void (*func)(struct rcu_head *head))
{
	anyrcu_urcu_call(ANYRCU_URCU_SELF, head, func);
}

static inline void ANYRCU_URCU_NAME(barrier)(void)
{
	anyrcu_urcu_barrier(ANYRCU_URCU_SELF);
}

static inline struct call_rcu_data *ANYRCU_URCU_NAME(create_call_rcu_data)(unsigned long flags,
									   int cpu_affinity)
{
	return anyrcu_urcu_create(ANYRCU_URCU_SELF, flags, cpu_affinity);
}

static inline void ANYRCU_URCU_NAME(call_rcu_data_free)(struct call_rcu_data *crdp)
{
	ANYRCU_URCU_FREE(ANYRCU_URCU_SELF, crdp);
}

static inline pthread_t ANYRCU_URCU_NAME(get_call_rcu_thread)(struct call_rcu_data *crdp)
{
	return anyrcu_urcu_thread(crdp);
}

static inline struct call_rcu_data *ANYRCU_URCU_NAME(get_default_call_rcu_data)(void)
{
	return anyrcu_urcu_get_default(ANYRCU_URCU_SELF);
}

static inline struct call_rcu_data *ANYRCU_URCU_NAME(get_cpu_call_rcu_data)(int cpu)
{
	return anyrcu_urcu_get_cpu(ANYRCU_URCU_SELF, cpu);
}

static inline struct call_rcu_data *ANYRCU_URCU_NAME(get_thread_call_rcu_data)(void)
{
	return anyrcu_urcu_get_thread(ANYRCU_URCU_SELF);
}

static inline struct call_rcu_data *ANYRCU_URCU_NAME(get_call_rcu_data)(void)
{
	return anyrcu_urcu_get(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(set_thread_call_rcu_data)(struct call_rcu_data *crdp)
{
	anyrcu_urcu_set_thread(ANYRCU_URCU_SELF, crdp);
}

static inline int ANYRCU_URCU_NAME(set_cpu_call_rcu_data)(int cpu, struct call_rcu_data *crdp)
{
	return anyrcu_urcu_set_cpu(ANYRCU_URCU_SELF, cpu, crdp);
}

static inline int ANYRCU_URCU_NAME(create_all_cpu_call_rcu_data)(unsigned long flags)
{
	return anyrcu_urcu_create_all(ANYRCU_URCU_SELF, flags);
}

static inline void ANYRCU_URCU_NAME(free_all_cpu_call_rcu_data)(void)
{
	ANYRCU_URCU_FREE_ALL(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(call_rcu_before_fork)(void)
{
	anyrcu_urcu_before_fork(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(call_rcu_after_fork_parent)(void)
{
	anyrcu_urcu_after_fork_parent(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(call_rcu_after_fork_child)(void)
{
	anyrcu_urcu_after_fork_child(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(register_rculfhash_atfork)(struct urcu_atfork *atfork)
{
	anyrcu_urcu_register_atfork(ANYRCU_URCU_SELF, atfork);
}

static inline void ANYRCU_URCU_NAME(unregister_rculfhash_atfork)(struct urcu_atfork *atfork)
{
	anyrcu_urcu_unregister_atfork(ANYRCU_URCU_SELF, atfork);
}

static inline void ANYRCU_URCU_NAME(defer_rcu)(void (*fct)(void *p), void *p)
{
	anyrcu_urcu_defer(ANYRCU_URCU_SELF, fct, p);
}

static inline int ANYRCU_URCU_NAME(defer_register_thread)(void)
{
	return anyrcu_urcu_defer_register();
}

static inline void ANYRCU_URCU_NAME(defer_unregister_thread)(void)
{
	anyrcu_urcu_defer_unregister(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(defer_barrier)(void)
{
	anyrcu_urcu_defer_barrier(ANYRCU_URCU_SELF);
}

static inline void ANYRCU_URCU_NAME(defer_barrier_thread)(void)
{
	anyrcu_urcu_defer_barrier_thread(ANYRCU_URCU_SELF);
}
