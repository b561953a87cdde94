/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* call_rcu() and its helper threads. */
#include "flavor.h"

struct object {
	int number;
	struct rcu_head head;
	pthread_t where;
	volatile int called;
};

static int together, most_together;
static long called;

static void callback(struct rcu_head *head)
{
	struct object *o = caa_container_of(head, struct object, head);

	o->where = pthread_self();
	uatomic_inc(&called);
	cmm_smp_mb();
	o->called = 1;
}

/* Would show two at once, if they were. */
static void alone(struct rcu_head *head)
{
	int n = uatomic_add_return(&together, 1);

	if (n > most_together)
		most_together = n;
	if (n == 1)
		for (int i = 0; i < 50; i++)
			caa_cpu_relax();
	uatomic_dec(&together);
	uatomic_inc(&called);
	free(caa_container_of(head, struct object, head));
}

static void again(struct rcu_head *head)
{
	struct object *o = caa_container_of(head, struct object, head);

	rcu_read_lock();
	rcu_read_unlock();
	if (++o->number < 5)
		call_rcu(head, again);
	else
		o->called = 1;
}

static void *caller(void *arg)
{
	long n = *(long *)arg;

	rcu_register_thread();
	for (long i = 0; i < n; i++) {
		struct object *o = (struct object *)malloc(sizeof(*o));

		CHECK(o);
		call_rcu(&o->head, alone);
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void many(void)
{
	long n = 20000;
	pthread_t t[2];

	called = 0;
	for (int i = 0; i < 2; i++)
		t[i] = thread_start(caller, &n);
	for (int i = 0; i < 2; i++)
		thread_join(t[i]);
	rcu_barrier();
	printf("called %ld, at most %d at once\n", uatomic_read(&called), most_together);
}

static void helpers(void)
{
	struct call_rcu_data *mine = create_call_rcu_data(0, -1),
			     *pinned = create_call_rcu_data(URCU_CALL_RCU_RT, 0);
	struct object o[4];

	memset(o, 0, sizeof(o));
	CHECK(mine && pinned && mine != pinned);
	CHECK(get_thread_call_rcu_data() == NULL);
	CHECK(get_call_rcu_data() == get_default_call_rcu_data());
	call_rcu(&o[0].head, callback);

	set_thread_call_rcu_data(mine);
	CHECK(get_thread_call_rcu_data() == mine && get_call_rcu_data() == mine);
	call_rcu(&o[1].head, callback);

	set_thread_call_rcu_data(pinned);
	call_rcu(&o[2].head, callback);
	set_thread_call_rcu_data(NULL);
	CHECK(get_call_rcu_data() == get_default_call_rcu_data());
	rcu_barrier();
	printf("default: called %d, by its helper %d\n", o[0].called,
	       !!pthread_equal(o[0].where, get_call_rcu_thread(get_default_call_rcu_data())));
	printf("own: called %d, by its helper %d\n", o[1].called,
	       !!pthread_equal(o[1].where, get_call_rcu_thread(mine)));
	printf("pinned: called %d, by its helper %d\n", o[2].called,
	       !!pthread_equal(o[2].where, get_call_rcu_thread(pinned)));

	/* What a helper has not invoked when it is freed is invoked all the same. */
	set_thread_call_rcu_data(mine);
	call_rcu(&o[3].head, callback);
	set_thread_call_rcu_data(NULL);
	/* or liburcu waits for ever in qsbr, with a helper that waits for a grace period */
	rcu_thread_offline();
	call_rcu_data_free(mine);
	call_rcu_data_free(pinned);
	call_rcu_data_free(NULL);
	call_rcu_data_free(get_default_call_rcu_data());
	rcu_thread_online();
	rcu_barrier();
	printf("freed: called %d\n", o[3].called);
}

static void cpus(void)
{
	struct call_rcu_data *one = create_call_rcu_data(0, -1);
	struct object o;
	cpu_set_t set, old;

	memset(&o, 0, sizeof(o));
	printf("no CPU has one: %d\n", get_cpu_call_rcu_data(0) == NULL);
	printf("a CPU beyond all: %d\n", set_cpu_call_rcu_data(1 << 20, one));
	printf("a CPU before all: %d\n", set_cpu_call_rcu_data(-1, one));
	printf("first: %d\n", set_cpu_call_rcu_data(0, one));
	printf("twice: %d\n", set_cpu_call_rcu_data(0, one));
	CHECK(get_cpu_call_rcu_data(0) == one);
	CHECK(!sched_getaffinity(0, sizeof(old), &old));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
	CHECK(get_call_rcu_data() == one);
	call_rcu(&o.head, callback);
	rcu_barrier();
	CHECK(!sched_setaffinity(0, sizeof(old), &old));
	printf("by CPU: called %d, by its helper %d\n", o.called,
	       !!pthread_equal(o.where, get_call_rcu_thread(one)));
	printf("taken away: %d\n", set_cpu_call_rcu_data(0, NULL));
	synchronize_rcu();
	rcu_thread_offline();
	call_rcu_data_free(one);
	rcu_thread_online();

	printf("one for each: %d\n", create_all_cpu_call_rcu_data(0));
	CHECK(get_cpu_call_rcu_data(0));
	memset(&o, 0, sizeof(o));
	call_rcu(&o.head, callback);
	rcu_thread_offline();
	free_all_cpu_call_rcu_data();
	rcu_thread_online();
	CHECK(get_cpu_call_rcu_data(0) == NULL);
	rcu_barrier();
	printf("one for each: called %d\n", o.called);
	free_all_cpu_call_rcu_data();
}

static void forks(void)
{
	struct call_rcu_data *mine = create_call_rcu_data(0, -1);
	struct object o[2];
	int status;
	pid_t pid;

	memset(o, 0, sizeof(o));
	set_thread_call_rcu_data(mine);
	call_rcu(&o[0].head, callback); /* pending in both */
	call_rcu_before_fork();
#ifdef FLAVOR_BP
	urcu_bp_before_fork();
#endif
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
#ifdef FLAVOR_BP
		urcu_bp_after_fork_child();
#endif
		call_rcu_after_fork_child();
		CHECK(get_thread_call_rcu_data() == NULL);
		call_rcu(&o[1].head, callback);
		rcu_barrier();
		synchronize_rcu();
		printf("child: called %d and %d\n", o[0].called, o[1].called);
		fflush(stdout);
		_exit(0);
	}
#ifdef FLAVOR_BP
	urcu_bp_after_fork_parent();
#endif
	call_rcu_after_fork_parent();
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	CHECK(get_thread_call_rcu_data() == mine);
	call_rcu(&o[1].head, callback);
	rcu_barrier();
	printf("parent: called %d and %d\n", o[0].called, o[1].called);
	set_thread_call_rcu_data(NULL);
	call_rcu_data_free(mine);
}

int main(void)
{
	struct object o;

	rcu_register_thread();
	printf("%s\n", FLAVOR);
	many();
	helpers();
	cpus();
	memset(&o, 0, sizeof(o));
	call_rcu(&o.head, again);
	for (int i = 0; i < 5; i++)
		rcu_barrier();
	printf("again and again: %d, done %d\n", o.number, o.called);
	rcu_unregister_thread();
	forks();
	return 0;
}
