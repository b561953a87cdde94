/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * liburcu's names for one flavour. exports.c includes this file once for each, with FLAVOUR, its
 * number, and NAME(), which puts its name in front.
 */
EXPORT void NAME(call_rcu)(struct rcu_head *head, void (*func)(struct rcu_head *))
{
	call_defer(flavour(FLAVOUR), head, func, CALLER);
}

EXPORT struct call_rcu_data *NAME(create_call_rcu_data)(unsigned long flags, int cpu)
{
	return call_create(flavour(FLAVOUR), flags, cpu);
}

EXPORT void NAME(call_rcu_data_free)(struct call_rcu_data *c)
{
	call_destroy(flavour(FLAVOUR), c);
}

EXPORT struct call_rcu_data *NAME(get_default_call_rcu_data)(void)
{
	return call_default(flavour(FLAVOUR));
}

EXPORT struct call_rcu_data *NAME(get_cpu_call_rcu_data)(int cpu)
{
	return call_get_cpu(flavour(FLAVOUR), cpu);
}

EXPORT struct call_rcu_data *NAME(get_thread_call_rcu_data)(void)
{
	return call_of_thread[FLAVOUR];
}

EXPORT struct call_rcu_data *NAME(get_call_rcu_data)(void)
{
	return call_get(flavour(FLAVOUR));
}

EXPORT pthread_t NAME(get_call_rcu_thread)(struct call_rcu_data *c)
{
	return call_thread(c);
}

EXPORT void NAME(set_thread_call_rcu_data)(struct call_rcu_data *c)
{
	call_of_thread[FLAVOUR] = c;
}

EXPORT int NAME(set_cpu_call_rcu_data)(int cpu, struct call_rcu_data *c)
{
	return call_set_cpu(flavour(FLAVOUR), cpu, c);
}

EXPORT int NAME(create_all_cpu_call_rcu_data)(unsigned long flags)
{
	return call_create_all_cpu(flavour(FLAVOUR), flags);
}

EXPORT void NAME(free_all_cpu_call_rcu_data)(void)
{
	call_free_all_cpu(flavour(FLAVOUR));
}

EXPORT void NAME(barrier)(void)
{
	call_barrier(flavour(FLAVOUR));
}

EXPORT void NAME(call_rcu_before_fork)(void)
{
	call_before_fork(flavour(FLAVOUR));
}

EXPORT void NAME(call_rcu_after_fork_parent)(void)
{
	call_after_fork_parent(flavour(FLAVOUR));
}

EXPORT void NAME(call_rcu_after_fork_child)(void)
{
	call_after_fork_child(flavour(FLAVOUR));
}

EXPORT void NAME(register_rculfhash_atfork)(struct urcu_atfork *atfork)
{
	call_register_atfork(flavour(FLAVOUR), atfork);
}

EXPORT void NAME(unregister_rculfhash_atfork)(struct urcu_atfork *atfork)
{
	call_register_atfork(flavour(FLAVOUR), NULL);
}

EXPORT void NAME(defer_rcu)(void (*func)(void *arg), void *arg)
{
	defer_call(flavour(FLAVOUR), func, arg);
}

EXPORT int NAME(defer_register_thread)(void)
{
	return defer_register(flavour(FLAVOUR));
}

EXPORT void NAME(defer_unregister_thread)(void)
{
	defer_unregister(flavour(FLAVOUR));
}

EXPORT void NAME(defer_barrier)(void)
{
	defer_barrier(flavour(FLAVOUR));
}

EXPORT void NAME(defer_barrier_thread)(void)
{
	defer_barrier_thread(flavour(FLAVOUR));
}

EXPORT void NAME(defer_exit)(void)
{
}

EXPORT void NAME(register_thread)(void)
{
	flavour_need(flavour(FLAVOUR));
	flavour_registered[FLAVOUR] = true;
	flavours[FLAVOUR].register_thread();
}

EXPORT void NAME(unregister_thread)(void)
{
	flavour_need(flavour(FLAVOUR));
	flavours[FLAVOUR].unregister_thread();
	flavour_registered[FLAVOUR] = false;
}
