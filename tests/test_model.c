/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Preemption models, handlers of signals, and the policies by which deferrals get pages. */
#include "test.h"

#define NONE .env = { "ANYRCU_PREEMPT=none" }
#define FULL .env = { "ANYRCU_PREEMPT=full" }
#define RT .env = { "ANYRCU_PREEMPT=rt" }

static anyrcu_raw_spinlock_t raw;
static anyrcu_spinlock_t spin;
static anyrcu_mutex_t mutex;
static anyrcu_rwlock_t rwlock;

static bool is(const char *model)
{
	return !strcmp(getenv("ANYRCU_PREEMPT"), model);
}

/* ---- counts ---- */

static void take_and_release(int how)
{
	uint64_t flags;

	switch (how) {
	case 0:
		anyrcu_raw_spin_lock(&raw);
		CHECK(!anyrcu_preemptible());
		anyrcu_raw_spin_unlock(&raw);
		break;
	case 1:
		CHECK(anyrcu_raw_spin_trylock(&raw));
		CHECK(!anyrcu_preemptible() && !anyrcu_raw_spin_trylock(&raw) &&
		      !anyrcu_preemptible());
		anyrcu_raw_spin_unlock(&raw);
		break;
	case 2:
		flags = anyrcu_raw_spin_lock_irqsave(&raw);
		CHECK(!anyrcu_preemptible());
		anyrcu_raw_spin_unlock_irqrestore(&raw, flags);
		break;
	case 3:
		anyrcu_preempt_disable();
		anyrcu_preempt_disable();
		anyrcu_preempt_enable();
		CHECK(!anyrcu_preemptible());
		anyrcu_preempt_enable();
		break;
	case 4:
		anyrcu_spin_lock(&spin);
		CHECK(anyrcu_preemptible() == is("rt"));
		anyrcu_spin_unlock(&spin);
		break;
	case 5:
		CHECK(anyrcu_spin_trylock(&spin));
		CHECK(anyrcu_preemptible() == is("rt"));
		anyrcu_spin_unlock(&spin);
		break;
	case 6:
		flags = anyrcu_spin_lock_irqsave(&spin);
		CHECK(anyrcu_preemptible() == is("rt"));
		anyrcu_spin_unlock_irqrestore(&spin, flags);
		break;
	case 7:
		anyrcu_rwlock_read_lock(&rwlock);
		CHECK(anyrcu_preemptible() == is("rt"));
		CHECK(!anyrcu_rwlock_write_trylock(&rwlock));
		CHECK(anyrcu_rwlock_read_trylock(&rwlock));
		anyrcu_rwlock_read_unlock(&rwlock);
		CHECK(anyrcu_preemptible() == is("rt"));
		anyrcu_rwlock_read_unlock(&rwlock);
		break;
	case 8:
		anyrcu_rwlock_write_lock(&rwlock);
		CHECK(!anyrcu_rwlock_read_trylock(&rwlock) &&
		      !anyrcu_rwlock_write_trylock(&rwlock));
		CHECK(anyrcu_preemptible() == is("rt"));
		anyrcu_rwlock_write_unlock(&rwlock);
		break;
	case 9:
		anyrcu_mutex_lock(&mutex);
		CHECK(anyrcu_preemptible() == !is("none"));
		anyrcu_mutex_unlock(&mutex);
		break;
	}
}

static void counts_balance(void)
{
	for (int how = 0; how < 10; how++) {
		CHECK(anyrcu_preemptible() == !is("none"));
		take_and_release(how);
		CHECK(anyrcu_preemptible() == !is("none") && !anyrcu_in_signal());
	}
}

static void *never_disabled(void *arg)
{
	CHECK(anyrcu_preemptible());
	return NULL;
}

static void counts_are_per_thread(void)
{
	anyrcu_preempt_disable();
	thread_join(thread_start(never_disabled, NULL));
	anyrcu_preempt_enable();
}

static void enabled_too_often(void)
{
	anyrcu_preempt_enable();
}

static void chosen_by_config(void)
{
	struct anyrcu_config c = { .preempt = ANYRCU_PREEMPT_FULL };

	if (getenv("ANYRCU_PREEMPT"))
		return; /* which overrides it: see the next case */
	CHECK(!configure(c));
	c.preempt = 4;
	CHECK(configure(c) == -EINVAL);
	c.preempt = ANYRCU_PREEMPT_RT;
	CHECK(!configure(c));
	CHECK(anyrcu_preemptible()); /* from now on it is in use */
	c.preempt = ANYRCU_PREEMPT_NONE;
	CHECK(configure(c) == -EBUSY);
	c.preempt = ANYRCU_PREEMPT_RT;
	CHECK(!configure(c));
	c.preempt = 0;
	CHECK(!configure(c) && anyrcu_preemptible());
	anyrcu_spin_lock(&spin);
	CHECK(anyrcu_preemptible());
	anyrcu_spin_unlock(&spin);
}

static void environment_overrides(void)
{
	struct anyrcu_config c = { .preempt = ANYRCU_PREEMPT_FULL };

	CHECK(!configure(c));
	anyrcu_spin_lock(&spin);
	CHECK(anyrcu_preemptible());
	anyrcu_spin_unlock(&spin);
}

static void unknown_words(void)
{
}

/* ---- handlers ---- */

static _Atomic int hard_calls, thread_calls, wrong;
static _Atomic pid_t hard_in, thread_in;
static _Atomic bool gate;

static pid_t me(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static void expect(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

static void hard(int sig, siginfo_t *info, void *context)
{
	bool in_thread = context == NULL;

	expect(sig == info->si_signo && anyrcu_in_signal() == !in_thread);
	expect(anyrcu_preemptible() == (in_thread && !is("none")));
	errno = 4711;
	atomic_store(&hard_in, me());
	atomic_fetch_add(&hard_calls, 1);
}

static void in_thread(int sig, const siginfo_t *info)
{
	expect(sig == info->si_signo && !anyrcu_in_signal() && anyrcu_preemptible() == !is("none"));
	test_sleep_ms(1);
	anyrcu_synchronize();
	atomic_store(&thread_in, me());
	atomic_fetch_add(&thread_calls, 1);
}

static int install(int sig, void (*h)(int, siginfo_t *, void *), void (*t)(int, const siginfo_t *),
		   int flags)
{
	struct anyrcu_signal_action a = {
		.size = sizeof(a), .hard = h, .thread = t, .flags = flags
	};

	return anyrcu_signal_action(sig, &a);
}

static void send_one(int sig, int hards, int threads)
{
	int was[2] = { atomic_load(&hard_calls), atomic_load(&thread_calls) };

	errno = 0;
	raise(sig);
	CHECK(errno == 0);
	UNTIL(atomic_load(&hard_calls) == was[0] + hards &&
	      atomic_load(&thread_calls) == was[1] + threads);
	CHECK(!atomic_load(&wrong));
}

static void kinds_of_handlers(void)
{
	CHECK(!install(SIGUSR1, hard, NULL, 0));
	send_one(SIGUSR1, 1, 0);
	CHECK((atomic_load(&hard_in) == me()) == !is("rt"));
	CHECK(!install(SIGUSR1, hard, NULL, ANYRCU_SIGNAL_NO_THREAD));
	send_one(SIGUSR1, 1, 0);
	CHECK(atomic_load(&hard_in) == me());
	CHECK(!install(SIGUSR1, NULL, in_thread, 0));
	send_one(SIGUSR1, 0, 1);
	CHECK(atomic_load(&thread_in) != me());
	CHECK(!install(SIGUSR1, hard, in_thread, 0));
	send_one(SIGUSR1, 1, 1);
	CHECK((atomic_load(&hard_in) == me()) == !is("rt") &&
	      (atomic_load(&hard_in) == atomic_load(&thread_in)) == is("rt"));
	CHECK(!install(SIGUSR1, hard, in_thread, ANYRCU_SIGNAL_NO_THREAD));
	send_one(SIGUSR1, 1, 1);
	CHECK(atomic_load(&hard_in) == me() && atomic_load(&thread_in) != me());
	/* What a fault raises is always dealt with on the spot. */
	CHECK(!install(SIGSEGV, hard, NULL, 0));
	send_one(SIGSEGV, 1, 0);
	CHECK(atomic_load(&hard_in) == me());
	CHECK(!anyrcu_in_signal());
}

static void invalid_handlers(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .hard = hard };
	static const int bad[] = { 0, -1, 65, 1000, SIGKILL, SIGSTOP };
	size_t threads = tasks_count();

	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(anyrcu_signal_action(bad[i], &a) == -EINVAL);
	CHECK(install(SIGUSR1, NULL, NULL, 0) == -EINVAL);
	CHECK(install(SIGUSR1, hard, NULL, 2) == -EINVAL);
	a.size--;
	CHECK(anyrcu_signal_action(SIGUSR1, &a) == -EINVAL);
	CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
	UNTIL(tasks_count() == threads); /* one that was started in vain may still be ending */
}

/* The former handler is there again afterwards. */
static volatile sig_atomic_t former_calls;

static void former(int sig)
{
	former_calls = former_calls + 1;
}

static void former_comes_back(void)
{
	size_t threads = tasks_count();

	handle(SIGUSR1, former, 0);
	CHECK(!install(SIGUSR1, hard, in_thread, ANYRCU_SIGNAL_NO_THREAD));
	CHECK(!install(SIGUSR1, hard, NULL, ANYRCU_SIGNAL_NO_THREAD));
	CHECK(!install(SIGUSR1, hard, in_thread, ANYRCU_SIGNAL_NO_THREAD));
	send_one(SIGUSR1, 1, 1);
	CHECK(!former_calls);
	CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
	raise(SIGUSR1);
	CHECK(former_calls == 1 && atomic_load(&hard_calls) == 1);
	UNTIL(tasks_count() == threads);
	CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
	raise(SIGUSR1);
	CHECK(former_calls == 2);
}

/* ---- what is queued ---- */

#define SIGNALS 2000
static _Atomic int next, sum;

static void in_order(int sig, const siginfo_t *info)
{
	while (!atomic_load(&gate))
		test_sleep_ms(1);
	expect(info->si_code == SI_QUEUE && info->si_pid == getpid() &&
	       info->si_value.sival_int == atomic_load(&next));
	atomic_fetch_add(&next, 1);
}

/* Far more than there is room for, while the thread does nothing. */
static void nothing_is_lost(void)
{
	if (TSAN)
		return; /* it holds signals up, and keeps one of each kind */
	CHECK(!install(SIGRTMIN + 1, NULL, in_order, 0));
	for (int i = 0; i < SIGNALS; i++)
		CHECK(!sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i }));
	atomic_store(&gate, true);
	UNTIL(atomic_load(&next) == SIGNALS);
	CHECK(!atomic_load(&wrong));
}

static void add(int sig, const siginfo_t *info)
{
	atomic_fetch_add(&sum, info->si_value.sival_int);
	atomic_fetch_add(&next, 1);
}

/* As glibc's pthread_sigqueue(), which other libraries do not have. */
static void queue_to_self(int sig, int value)
{
	siginfo_t info = { .si_signo = sig, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	CHECK(!syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, &info));
}

static void *send_some(void *arg)
{
	for (int i = 0; i < SIGNALS; i++)
		queue_to_self(SIGRTMIN + 1, i);
	return NULL;
}

static void nothing_is_lost_in_threads(void)
{
	pthread_t t[4];

	if (TSAN)
		return; /* as above */
	CHECK(!install(SIGRTMIN + 1, NULL, add, 0));
	for (int i = 0; i < 4; i++)
		t[i] = thread_start(send_some, NULL);
	for (int i = 0; i < 4; i++)
		thread_join(t[i]);
	CHECK(!anyrcu_signal_action(SIGRTMIN + 1, NULL)); /* which waits for what is queued */
	CHECK(atomic_load(&next) == 4 * SIGNALS &&
	      atomic_load(&sum) == 4 * (SIGNALS * (SIGNALS - 1) / 2));
}

static _Atomic int sent, seen;

static void look(int sig, const siginfo_t *info)
{
	while (!atomic_load(&gate))
		test_sleep_ms(1);
	atomic_store(&seen, atomic_load(&sent));
	atomic_fetch_add(&thread_calls, 1);
}

/* Many count as one, but none is older than what was done before the last. */
static void standard_signals_coalesce(void)
{
	CHECK(!install(SIGUSR1, NULL, look, 0));
	for (int i = 0; i < 1000; i++) {
		atomic_fetch_add(&sent, 1);
		raise(SIGUSR1);
	}
	atomic_store(&gate, true);
	UNTIL(atomic_load(&seen) == 1000);
	CHECK(atomic_load(&thread_calls) >= 1 && atomic_load(&thread_calls) <= 2);
	for (int i = 0; i < SCALED(20000); i++) {
		atomic_fetch_add(&sent, 1);
		raise(SIGUSR1);
	}
	UNTIL(atomic_load(&seen) == 1000 + SCALED(20000));
}

/* ---- replacing ---- */

static _Atomic int allowed; /* the generation that may be called */
static _Atomic bool stop;

#define GENERATION(n)                                                 \
	static void hard_##n(int sig, siginfo_t *info, void *context) \
	{                                                             \
		expect(!(atomic_load(&allowed) & 1 << n));            \
		atomic_fetch_add(&hard_calls, 1);                     \
	}                                                             \
	static void thread_##n(int sig, const siginfo_t *info)        \
	{                                                             \
		expect(!(atomic_load(&allowed) & 1 << n));            \
		atomic_fetch_add(&thread_calls, 1);                   \
	}
GENERATION(0)
GENERATION(1)

static void *storm(void *arg)
{
	while (!atomic_load(&stop))
		pthread_kill(pthread_self(), SIGRTMIN + 1);
	return NULL;
}

/*
 * Once a call has returned, the former action's parts are not called any more. "allowed" has a bit
 * for the one that may not be.
 */
static void replaced_in_a_storm(void)
{
	pthread_t t[2];

	CHECK(!install(SIGRTMIN + 1, hard_0, thread_0, 0));
	for (int i = 0; i < 2; i++)
		t[i] = thread_start(storm, NULL);
	for (int i = 0; i < SCALED(200) + 1; i++) {
		atomic_store(&allowed, 0);
		if (i % 2)
			CHECK(!install(SIGRTMIN + 1, hard_0, thread_0, 0));
		else
			CHECK(!install(SIGRTMIN + 1, hard_1, thread_1, 0));
		atomic_store(&allowed, i % 2 ? 2 : 1);
		test_sleep_ms(1);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(t[i]);
	CHECK(!anyrcu_signal_action(SIGRTMIN + 1, NULL));
	CHECK(!atomic_load(&wrong) && atomic_load(&hard_calls) == atomic_load(&thread_calls));
}

static void replaces_itself(int sig, const siginfo_t *info)
{
	CHECK(!install(sig, NULL, in_thread, 0));
	atomic_fetch_add(&next, 1);
}

static void removes_itself(int sig, const siginfo_t *info)
{
	CHECK(!anyrcu_signal_action(sig, NULL));
	atomic_fetch_add(&next, 1);
}

static void thread_is_gone_with_action(void)
{
	size_t threads = tasks_count();

	for (int i = 0; i < 300; i++) {
		CHECK(!install(SIGUSR1, NULL, in_thread, 0));
		CHECK(tasks_count() == threads + 1);
		CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
		CHECK(tasks_count() == threads);
	}
}

static void from_its_own_thread(void)
{
	size_t threads = tasks_count();

	handle(SIGUSR1, former, 0);
	CHECK(!install(SIGUSR1, NULL, replaces_itself, 0));
	raise(SIGUSR1);
	UNTIL(atomic_load(&next) == 1);
	send_one(SIGUSR1, 0, 1);
	CHECK(!install(SIGUSR1, NULL, removes_itself, 0));
	raise(SIGUSR1);
	UNTIL(atomic_load(&next) == 2);
	raise(SIGUSR1);
	CHECK(former_calls == 1);
	UNTIL(tasks_count() == threads);
}

static void ends_its_thread(int sig, const siginfo_t *info)
{
	atomic_fetch_add(&next, 1);
	pthread_exit(NULL);
}

static void thread_is_replaced(void)
{
	CHECK(!install(SIGRTMIN + 1, NULL, ends_its_thread, 0));
	for (int i = 0; i < 100; i++)
		raise(SIGRTMIN + 1);
	UNTIL(atomic_load(&next) == 100);
	CHECK(!anyrcu_signal_action(SIGRTMIN + 1, NULL));
}

/* ---- fork ---- */

static void forked(void)
{
	pid_t pid;

	if (TSAN)
		return; /* as above */
	CHECK(!install(SIGRTMIN + 1, NULL, in_order, 0));
	CHECK(!install(SIGUSR1, hard, in_thread, 0));
	CHECK(!sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 0 }));
	CHECK(!sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 1 }));
	test_sleep_ms(10);
	pid = fork();
	if (!pid) {
		atomic_store(&gate, true);
		test_sleep_ms(50);
		CHECK(atomic_load(&next) == 0); /* they were the parent's */
		CHECK(!sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 0 }));
		UNTIL(atomic_load(&next) == 1);
		send_one(SIGUSR1, 1, 1);
		CHECK(!anyrcu_signal_action(SIGUSR1, NULL));
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	atomic_store(&gate, true);
	UNTIL(atomic_load(&next) == 2);
}

static _Atomic int child_status = -1;

static void forks(int sig, const siginfo_t *info)
{
	pid_t pid = fork();
	sigset_t none;

	if (!pid) {
		sigemptyset(&none);
		pthread_sigmask(SIG_SETMASK, &none, NULL);
		CHECK(!install(SIGUSR2, hard, in_thread, 0));
		send_one(SIGUSR2, 1, 1);
		_exit(0);
	}
	atomic_store(&child_status, child_ended_well(pid));
}

static void forked_from_its_thread(void)
{
	CHECK(!install(SIGUSR1, NULL, forks, 0));
	raise(SIGUSR1);
	UNTIL(atomic_load(&child_status) == 1);
}

/* ---- policies ---- */

/* More than a page each, in this context; returns how many went to the chain. */
static uint64_t defer_some(bool by_raw)
{
	uint64_t chained = stats().deferred_chain;
	struct object *o;

	for (int i = 0; i < 2000; i++) {
		o = object_get();
		if (by_raw)
			anyrcu_raw_call(&o->head, object_called);
		else
			anyrcu_call(&o->head, object_called);
	}
	return stats().deferred_chain - chained;
}

static void policy_nolocks(void)
{
	CHECK(defer_some(false) == 0 && defer_some(true) == 0);
	anyrcu_raw_spin_lock(&raw);
	CHECK(defer_some(false) == 0);
	anyrcu_raw_spin_unlock(&raw);
	pool_check();
}

static void policy_preemptible(void)
{
	struct anyrcu_config c = { .policy = ANYRCU_POLICY_PREEMPTIBLE };

	CHECK(!configure(c));
	CHECK((defer_some(false) == 0) == !is("none"));
	anyrcu_barrier(); /* no page is open */
	anyrcu_raw_spin_lock(&raw);
	CHECK(defer_some(false) > 1000 && !anyrcu_call_headless(object_invoked, object_get()));
	object_invoked(&pool[pool_used - 1]); /* the one that was refused */
	anyrcu_raw_spin_unlock(&raw);
	anyrcu_free_mightsleep(malloc(1));
	pool_check();
	CHECK(stats().deferred_inline == 0); /* the mightsleep form got its page */
}

static void policy_rt_off(void)
{
	struct anyrcu_config c = { .policy = ANYRCU_POLICY_RT_OFF };
	bool off = is("rt") || (getenv("ANYRCU_LOCKDEP") && !strcmp(getenv("ANYRCU_LOCKDEP"), "1"));

	CHECK(!configure(c));
	CHECK((defer_some(false) == 0) == !off);
	anyrcu_raw_spin_lock(&raw);
	CHECK((defer_some(false) == 0) == !off);
	anyrcu_raw_spin_unlock(&raw);
	pool_check();
}

static void policy_raw_variants(void)
{
	struct anyrcu_config c = { .policy = ANYRCU_POLICY_RAW_VARIANTS };
	struct heap_object {
		struct anyrcu_head head;
	} *h = malloc(sizeof(*h)), *none = NULL;

	CHECK(!configure(c));
	CHECK(defer_some(false) == 0 && defer_some(true) > 1000);
	anyrcu_raw_free(h, head);
	anyrcu_raw_free(none, head);
	pool_check();
	c.policy = 5;
	CHECK(configure(c) == -EINVAL);
	c.policy = 0;
	CHECK(!configure(c) && defer_some(true) == 0);
	pool_check();
}

static void policy_from_environment(void)
{
	CHECK(defer_some(false) > 1000);
	pool_check();
}

#define MODELS(f)                                                                         \
	{ .name = #f "_none", .body = f, NONE }, { .name = #f "_full", .body = f, FULL }, \
	{                                                                                 \
		.name = #f "_rt", .body = f, RT                                           \
	}

static const struct test_case cases[] = {
	MODELS(counts_balance),
	CASE(counts_are_per_thread, FULL),
	CASE(enabled_too_often, FULL, .sig = SIGABRT,
	     .says = { "anyrcu_preempt_enable() without anyrcu_preempt_disable()" }),
	CASE(chosen_by_config),
	CASE(environment_overrides, RT),
	CASE(unknown_words, .env = { "ANYRCU_PREEMPT=some", "ANYRCU_POLICY=best" },
	     .says = { "ANYRCU_PREEMPT=some is not known; ignored",
		       "ANYRCU_POLICY=best is not known; ignored" }),
	MODELS(kinds_of_handlers),
	CASE(invalid_handlers),
	CASE(former_comes_back, NONE),
	MODELS(nothing_is_lost),
	MODELS(nothing_is_lost_in_threads),
	CASE(standard_signals_coalesce),
	MODELS(replaced_in_a_storm),
	CASE(thread_is_gone_with_action, NONE),
	CASE(from_its_own_thread, NONE),
	CASE(thread_is_replaced),
	MODELS(forked),
	CASE(forked_from_its_thread, NONE),
	MODELS(policy_nolocks),
	MODELS(policy_preemptible),
	MODELS(policy_rt_off),
	MODELS(policy_raw_variants),
	CASE(policy_from_environment,
	     .env = { "ANYRCU_PREEMPT=none", "ANYRCU_POLICY=preemptible" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
