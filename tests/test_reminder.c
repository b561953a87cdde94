/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/config.h>: reminders of readers that hold up a grace period. */
#include "test.h"

#define READERS 40 /* more than are collected at a time */

static struct reader {
	pthread_t thread;
	_Atomic uint32_t tid;
	_Atomic int reminded;
	_Atomic bool inside, leave;
	bool online;
} readers[READERS];
static _Atomic int strangers, calls;
static _Atomic uint64_t least_ns = UINT64_MAX;

static void have_reminded(uint64_t ms, void (*hook)(uint32_t, uint64_t, void *))
{
	CHECK(!configure((struct anyrcu_config){
		.reminder_ms = ms, .reminder_hook = hook, .reminder_arg = readers }));
}

static struct reader *reader_of(uint32_t tid)
{
	for (int i = 0; i < READERS; i++)
		if (atomic_load(&readers[i].tid) == tid)
			return &readers[i];
	return NULL;
}

static void remind(uint32_t tid, uint64_t ns, void *arg)
{
	struct reader *r = reader_of(tid);

	CHECK(arg == readers);
	CHECK(!anyrcu_read_lock_held());
	for (uint64_t least = atomic_load(&least_ns);
	     ns < least && !atomic_compare_exchange_weak(&least_ns, &least, ns);)
		;
	atomic_fetch_add(&calls, 1);
	atomic_fetch_add(r ? &r->reminded : &strangers, 1);
}

static void *reads(void *arg)
{
	struct reader *r = arg;

	atomic_store(&r->tid, (uint32_t)syscall(SYS_gettid));
	if (r->online)
		anyrcu_thread_online();
	else
		anyrcu_read_lock();
	atomic_store(&r->inside, true);
	while (!atomic_load(&r->leave))
		test_sleep_ms(1);
	if (r->online)
		anyrcu_thread_offline();
	else
		anyrcu_read_unlock();
	return NULL;
}

static void enter(struct reader *r)
{
	r->thread = thread_start(reads, r);
	UNTIL(atomic_load(&r->inside));
}

static void leave(struct reader *r)
{
	atomic_store(&r->leave, true);
	thread_join(r->thread);
}

static void remind_and_let_go(uint32_t tid, uint64_t ns, void *arg)
{
	remind(tid, ns, arg);
	atomic_store(&reader_of(tid)->leave, true);
}

/* Which it would not do by itself. */
static void reminded_reader_leaves(void)
{
	have_reminded(20, remind_and_let_go);
	for (int i = 0; i < 2; i++) {
		readers[i].online = i == 1;
		enter(&readers[i]);
		anyrcu_synchronize();
		thread_join(readers[i].thread);
		CHECK(atomic_load(&readers[i].reminded));
	}
	CHECK(atomic_load(&least_ns) >= 20000000);
}

static bool all_reminded(int times)
{
	for (int i = 0; i < READERS; i++)
		if (atomic_load(&readers[i].reminded) < times)
			return false;
	return true;
}

/* Though none of them leaves: not just the one that comes first. And again. */
static void each_reader_is_reminded(void)
{
	have_reminded(0, remind);
	for (int i = 0; i < READERS; i++) {
		readers[i].online = i % 2;
		enter(&readers[i]);
	}
	anyrcu_gp_start();
	UNTIL(all_reminded(3));
	CHECK(atomic_load(&least_ns) >= 10000000);
	CHECK(!atomic_load(&strangers));
	for (int i = 0; i < READERS; i++)
		leave(&readers[i]);
	anyrcu_synchronize();
}

static void later_reader_is_not_reminded(void)
{
	uint64_t before;

	have_reminded(1, remind);
	enter(&readers[0]);
	before = stats().gp_started;
	anyrcu_gp_start();
	UNTIL(stats().gp_started > before);
	enter(&readers[1]);
	UNTIL(atomic_load(&readers[0].reminded) >= 20);
	CHECK(!atomic_load(&readers[1].reminded));
	leave(&readers[0]);
	leave(&readers[1]);
}

/* A program without workers, whose loop does not wait. */
static void reminded_by_reclaim(void)
{
	anyrcu_gp_t gp;

	have_reminded(1, remind_and_let_go);
	enter(&readers[0]);
	gp = anyrcu_gp_start();
	while (!anyrcu_gp_done(gp)) {
		anyrcu_reclaim(0);
		test_sleep_ms(1);
	}
	CHECK(atomic_load(&readers[0].reminded));
	thread_join(readers[0].thread);
}

static void kicked(int sig)
{
	atomic_store(&readers[0].leave, true);
}

static void kick(uint32_t tid, uint64_t ns, void *arg)
{
	struct anyrcu_head *head = malloc(sizeof(*head));

	remind(tid, ns, arg);
	anyrcu_read_lock();
	syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
	anyrcu_read_unlock();
	anyrcu_call(head, (void (*)(struct anyrcu_head *))(void (*)(void))free);
}

static void *pauses(void *arg)
{
	atomic_store(&readers[0].tid, (uint32_t)syscall(SYS_gettid));
	anyrcu_read_lock();
	atomic_store(&readers[0].inside, true);
	while (!atomic_load(&readers[0].leave)) /* it is reminded again when it misses one */
		pause();
	anyrcu_read_unlock();
	return NULL;
}

static void hook_kicks_reads_and_defers(void)
{
	signal(SIGUSR1, kicked);
	have_reminded(1, kick);
	readers[0].thread = thread_start(pauses, NULL);
	UNTIL(atomic_load(&readers[0].inside));
	anyrcu_synchronize();
	thread_join(readers[0].thread);
	anyrcu_barrier();
}

static void no_hook_no_reminder(void)
{
	int before;

	have_reminded(1, remind);
	enter(&readers[0]);
	anyrcu_gp_start();
	UNTIL(atomic_load(&readers[0].reminded));
	CHECK(!anyrcu_init(NULL));
	before = atomic_load(&calls);
	test_sleep_ms(100);
	CHECK(atomic_load(&calls) <= before + 1); /* one was under way, perhaps */
	leave(&readers[0]);
}

/* In the middle of a round, too. */
static void reminded_in_child(void)
{
	have_reminded(1, remind);
	for (int i = 0; i < READERS - 1; i++)
		enter(&readers[i]);
	anyrcu_gp_start();
	UNTIL(atomic_load(&readers[0].reminded));
	for (int i = 0; i < SCALED(50); i++) {
		pid_t child = fork();
		int status;

		CHECK(child >= 0);
		if (!child) {
			struct reader *r = &readers[READERS - 1];

			for (int j = 0; j < READERS - 1; j++)
				atomic_store(&readers[j].tid, 0);
			atomic_store(&r->tid, (uint32_t)getpid());
			anyrcu_read_lock();
			anyrcu_gp_start();
			UNTIL(atomic_load(&r->reminded) >= 2);
			anyrcu_read_unlock();
			anyrcu_synchronize();
			CHECK(!atomic_load(&strangers));
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	for (int i = 0; i < READERS - 1; i++)
		leave(&readers[i]);
}

static const struct test_case cases[] = {
	CASE(reminded_reader_leaves),
	CASE(each_reader_is_reminded),
	CASE(later_reader_is_not_reminded),
	CASE(reminded_by_reclaim, .env = { "ANYRCU_WORKERS=0" }),
	CASE(hook_kicks_reads_and_defers),
	CASE(no_hook_no_reminder),
	CASE(reminded_in_child),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
