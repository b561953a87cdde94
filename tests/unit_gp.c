/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Stall reports, reminders, pauses and statistics of the grace-period engine. */
#include <gp/gp.h>
#include "unit.h"

static struct {
	unsigned stalls, reminders;
	struct anyrcu_stall last;
	uint64_t reminded_ns;
} seen;

static char word; /* the argument of the hooks */
static char *late_arg = &word; /* but of this one now and then */

static void on_stall(const struct anyrcu_stall *s, void *arg)
{
	assert_ptr_equal(arg, &word);
	seen.stalls++;
	seen.last = *s;
}

static void on_late(uint32_t tid, uint64_t ns, void *arg)
{
	assert_ptr_equal(arg, late_arg);
	assert_false(port_lock_held(&gp_lock));
	assert_int_equal(tid, 1);
	seen.reminders++;
	seen.reminded_ns = ns;
}

static uint64_t seventeen(void)
{
	return 17;
}

static int begin(void **state)
{
	memset(&seen, 0, sizeof(seen));
	mock.reports = 0;
	gp_hooks.pending = seventeen;
	return 0;
}

static int end(void **state)
{
	gp_configure(&(struct anyrcu_config){ .stall_ms = 10000 });
	gp_hooks.pending = NULL;
	anyrcu_synchronize();
	return 0;
}

/* The engine runs, and its callers look for stalls, for so many steps of so much time. */
static void steps(unsigned n, uint64_t ns)
{
	while (n--) {
		mock.now += ns;
		gp_step();
		gp_stall_check();
	}
}

/* Reported after the configured time, and each time that three times as long has passed. */
static void stall_is_reported(void **state)
{
	uint64_t stalls = gp_stats.stalls;

	gp_configure(&(struct anyrcu_config){
		.stall_ms = 1600, .stall_hook = on_stall, .stall_arg = &word });
	anyrcu_read_lock();
	gp_cookie();
	steps(1, 0);
	steps(15, 100 * MS);
	assert_int_equal(seen.stalls, 0);
	steps(1, 100 * MS);
	assert_int_equal(seen.stalls, 1);
	assert_int_equal(seen.last.tid, 1);
	assert_int_equal(seen.last.ns, 1600 * MS);
	assert_int_equal(seen.last.pending, 17);
	assert_int_equal(seen.last.nframes, 0);
	steps(31, 100 * MS);
	assert_int_equal(seen.stalls, 1);
	steps(1, 100 * MS);
	assert_int_equal(seen.stalls, 2);
	assert_int_equal(seen.last.ns, 4800 * MS);
	assert_int_equal(gp_stats.stalls, stalls + 2);
	assert_int_equal(mock.reports, 0);
	anyrcu_read_unlock();
	steps(60, 100 * MS);
	assert_int_equal(seen.stalls, 2);
}

/* Time in which the process was stopped counts as one step, an eighth of the stall time. */
static void stopped_process_is_no_stall(void **state)
{
	gp_configure(&(struct anyrcu_config){
		.stall_ms = 400, .stall_hook = on_stall, .stall_arg = &word });
	anyrcu_read_lock();
	gp_cookie();
	steps(1, 0);
	steps(7, 60000 * MS);
	assert_int_equal(seen.stalls, 0);
	steps(1, 60000 * MS);
	assert_int_equal(seen.stalls, 1);
	assert_int_equal(seen.last.ns, 400 * MS);
	anyrcu_read_unlock();
}

/* A section that begins anew is another one, although the record is the same. */
static void next_section_counts_anew(void **state)
{
	gp_configure(&(struct anyrcu_config){
		.stall_ms = 1600, .stall_hook = on_stall, .stall_arg = &word });
	anyrcu_thread_online();
	for (unsigned i = 0; i < 3; i++) {
		anyrcu_quiescent_state();
		gp_cookie();
		steps(1, 0);
		steps(10, 100 * MS);
	}
	assert_int_equal(seen.stalls, 0);
	anyrcu_thread_offline();
}

static void stall_is_printed(void **state)
{
	gp_configure(&(struct anyrcu_config){ .stall_ms = 800 });
	anyrcu_read_lock();
	gp_cookie();
	steps(1, 0);
	steps(8, 100 * MS);
	assert_int_equal(mock.reports, 2);
	assert_string_equal(mock.last_report, "stall: thread %u: its stack is not available");
	anyrcu_read_unlock();
}

static void late_readers_are_reminded(void **state)
{
	gp_configure(&(struct anyrcu_config){ .stall_ms = 60000,
					      .reminder_ms = 50,
					      .reminder_hook = on_late,
					      .reminder_arg = &word });
	anyrcu_read_lock();
	gp_remind(); /* no grace period waits */
	gp_cookie();
	gp_step();
	mock.now += 50 * MS - 1;
	gp_remind();
	assert_int_equal(seen.reminders, 0);
	mock.now++;
	gp_remind();
	assert_int_equal(seen.reminders, 1);
	assert_int_equal(seen.reminded_ns, 50 * MS);
	gp_remind();
	assert_int_equal(seen.reminders, 1);
	mock.now += 50 * MS;
	gp_stall_check();
	assert_int_equal(seen.reminders, 2);
	assert_int_equal(seen.reminded_ns, 100 * MS);
	anyrcu_read_unlock();
	mock.now += 50 * MS;
	gp_remind();
	assert_int_equal(seen.reminders, 2); /* the reader is not late any more */
	gp_step();
	mock.now += 50 * MS;
	gp_remind();
	assert_int_equal(seen.reminders, 2);
}

#define LATE 40u /* more than the engine collects at a time */

static unsigned reminded[LATE];

static void on_each(uint32_t tid, uint64_t ns, void *arg)
{
	assert_true(tid - 100 < LATE);
	reminded[tid - 100]++;
}

/* Each of many readers is reminded, and the next time not before the time is over again. */
static void many_are_reminded(void **state)
{
	struct anyrcu_reader *late[LATE];
	unsigned wrong = 0;

	gp_thread_exit();
	for (unsigned i = 0; i < LATE; i++) {
		uint64_t ctr;

		anyrcu_read_lock();
		late[i] = anyrcu_self;
		ctr = late[i]->ctr;
		anyrcu_read_unlock();
		gp_thread_exit();
		late[i]->owner += 100 + i; /* it is another thread's from here on */
		store(&late[i]->ctr, ctr);
	}
	gp_configure(&(struct anyrcu_config){
		.stall_ms = 60000, .reminder_ms = 50, .reminder_hook = on_each });
	gp_cookie();
	gp_step();
	memset(reminded, 0, sizeof(reminded));
	for (unsigned n = 1; n <= 2; n++) {
		mock.now += 50 * MS;
		for (unsigned i = 0; i < 2; i++)
			gp_remind();
		for (unsigned i = 0; i < LATE; i++)
			wrong += reminded[i] != n;
	}
	for (unsigned i = 0; i < LATE; i++) {
		store(&late[i]->ctr, 0);
		late[i]->owner -= 100 + i;
	}
	gp_step();
	assert_int_equal(wrong, 0);
}

static char other_word;

static void other_reminds(void)
{
	mock.on_lock = mock.on_unlock = NULL;
	gp_configure(&(struct anyrcu_config){ .stall_ms = 60000,
					      .reminder_ms = 50,
					      .reminder_hook = on_late,
					      .reminder_arg = &other_word });
}

/* Another configuration comes in between: the reminder is from the one or the other. */
static void reminder_is_of_one_configuration(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		gp_configure(&(struct anyrcu_config){ .stall_ms = 60000,
						      .reminder_ms = 50,
						      .reminder_hook = on_late,
						      .reminder_arg = &word });
		anyrcu_read_lock();
		gp_cookie();
		gp_step();
		mock.now += 50 * MS;
		*(i ? &mock.on_unlock : &mock.on_lock) = other_reminds;
		late_arg = i ? &word : &other_word;
		gp_remind();
		late_arg = &word;
		assert_int_equal(seen.reminders, i + 1);
		anyrcu_read_unlock();
		gp_step();
	}
}

/* However long the stall time, a step counts a tenth of a second at most. */
static void long_stall_has_short_steps(void **state)
{
	gp_configure(&(struct anyrcu_config){
		.stall_ms = 60000, .stall_hook = on_stall, .stall_arg = &word });
	anyrcu_read_lock();
	gp_cookie();
	steps(1, 0);
	steps(599, 5000 * MS);
	assert_int_equal(seen.stalls, 0);
	steps(1, 5000 * MS);
	assert_int_equal(seen.stalls, 1);
	anyrcu_read_unlock();
}

static void nothing_wanted_nothing_done(void **state)
{
	struct gp_stats before = gp_stats;

	steps(3, 5 * MS);
	assert_int_equal(gp_stats.started, before.started);
	assert_int_equal(gp_stats.done, before.done);
	assert_int_equal(gp_stats.ns_total, before.ns_total);
}

/* Spin first, then sleep longer and longer, unless the grace period has ended. */
static void pauses_grow(void **state)
{
	anyrcu_gp_t gp;

	mock.waits = 0;
	anyrcu_read_lock();
	gp = gp_cookie();
	gp_step();
	for (unsigned round = 0; round < 64; round++)
		gp_pause(gp, round);
	assert_int_equal(mock.waits, 0);
	for (unsigned round = 64; round < 80; round++) {
		gp_pause(gp, round);
		assert_int_equal(mock.waits, round - 63);
		assert_int_equal(mock.wait_ns, 10000 << (round < 71 ? round - 64 : 7));
	}
	anyrcu_read_unlock();
	gp_step();
	mock.waits = 0;
	gp_pause(gp, 80);
	assert_int_equal(mock.waits, 0);
}

static void grace_periods_are_counted(void **state)
{
	struct gp_stats before = gp_stats;

	for (unsigned i = 1; i <= 3; i++) {
		anyrcu_read_lock();
		gp_cookie();
		gp_step();
		assert_int_equal(gp_stats.started, before.started + i);
		assert_int_equal(gp_stats.done, before.done + i - 1);
		mock.now += (i == 2 ? 1000000 : 5) * MS;
		anyrcu_read_unlock();
		gp_step();
		assert_int_equal(gp_stats.done, before.done + i);
	}
	assert_int_equal(gp_stats.ns_total, before.ns_total + 1000010 * MS);
	assert_int_equal(gp_stats.ns_max, 1000000 * MS);
}

static void kick(void)
{
	seen.stalls++;
}

static void only_a_request_wakes(void **state)
{
	anyrcu_gp_t gp;

	gp_hooks.kick = kick;
	gp = gp_cookie_quiet();
	assert_false(gp_wanted());
	assert_int_equal(gp_cookie(), gp);
	assert_true(gp_wanted());
	assert_int_equal(gp_newest(), gp);
	assert_int_equal(seen.stalls, 0);
	assert_int_equal(anyrcu_gp_start(), gp);
	assert_int_equal(seen.stalls, 1);
	gp_hooks.kick = NULL;
	gp_step();
	assert_false(gp_wanted());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int unit_gp(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stall_is_reported),
		TEST(stopped_process_is_no_stall),
		TEST(next_section_counts_anew),
		TEST(stall_is_printed),
		TEST(late_readers_are_reminded),
		TEST(many_are_reminded),
		TEST(pauses_grow),
		TEST(grace_periods_are_counted),
		TEST(only_a_request_wakes),
		TEST(reminder_is_of_one_configuration),
		TEST(long_stall_has_short_steps),
		TEST(nothing_wanted_nothing_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
