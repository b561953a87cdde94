/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Trouble, and mistakes. */
#define _GNU_SOURCE
#include <base/compiler.h>
#include <port/process.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "torture/torture.h"

__thread struct me me __attribute__((tls_model("initial-exec")));
uint64_t breaks_armed;
__thread uint32_t test_point_rseq_turns;

void __wrap_port_report(const char *format, ...);

/* xorshift64* (Vigna). A handler in between makes the numbers other ones, which are as good. */
uint64_t rnd(void)
{
	uint64_t x = me.random ?: (run.seed ^ (uintptr_t)&me) * 0x9e3779b97f4a7c15 | 1;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	me.random = x;
	return x * 0x2545f4914f6cdd1d >> 16;
}

bool faults_on(unsigned fault)
{
	return run.faults >> fault & 1;
}

void fault_done(unsigned fault)
{
	atomic_fetch_add(&run.done[fault], 1);
}

void pause_us(uint64_t us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t))
		;
}

void unlink_now(void)
{
	if (me.unlinking)
		store_release(me.unlinking, NULL);
	me.unlinking = NULL;
}

void found(_Atomic uint64_t *count, const char *format, ...)
{
	char text[200];
	va_list args;

	atomic_fetch_add(count, 1);
	if (atomic_exchange(&run.failed, true))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	strcat(text, "\n");
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

/* Threads that end inside a section are told of, and we let many. All else is worth to be seen. */
void __wrap_port_report(const char *format, ...)
{
	if (!strstr(format, "ended inside"))
		found(&run.lost, "the library says: %s", format);
}

/* Mostly a moment, in which another CPU gets far, now and then longer. */
void breaks_linger(void)
{
	if (one_in(4))
		pause_us(rnd() % 1000);
	for (uint64_t turns = rnd() % 2000; turns; turns--)
		port_relax();
}

static void stop(uint64_t often, uint64_t seldom_us)
{
	if (!one_in(often) || getpid() != run.pid) /* a child has to come to its end */
		return;
	fault_done(FAULT_STOP);
	if (one_in(64))
		pause_us(rnd() % seldom_us);
	for (uint64_t turns = rnd() % 2000; turns; turns--)
		port_relax();
}

static bool refuses_nothing;

void faults_refuse(bool on)
{
	store(&refuses_nothing, !on);
}

/* Pages are refused in bursts: none, some, most or all of them. */
static bool refuse_page(void)
{
	static uint32_t share;

	if (one_in(32))
		store(&share, rnd() % 5);
	if (load(&refuses_nothing) || rnd() % 4 >= load(&share))
		return false;
	fault_done(FAULT_REFUSE);
	return true;
}

/*
 * How often a mistake is made of those that would be seen at once, or make all stop, if they were
 * made always.
 */
static const unsigned rarely[BREAKS] = {
	[BREAK_GP_SKIPS_RECORD] = 16,
	[BREAK_DRAIN_DROPS_PAGE] = 64,
	[BREAK_DRAIN_DOUBLES_PAGE] = 64,
	[BREAK_SLOT_TORN] = 4,
};

bool breaks_now(enum breaks which)
{
	switch (which) {
	case BREAK_PAGE_REFUSED:
		return refuse_page();
	case BREAK_RECORD_REFUSED:
		return me.record != RECORD_HAS && (me.record == RECORD_NEVER || one_in(2));
	default:
		return !rarely[which] || one_in(rarely[which]);
	}
}

void test_point_reached(enum test_point where)
{
	if (where == TEST_POINT_COOKIE) {
		/* The fence that follows makes it visible, if there is one. */
		if (run.mistake != BREAK_GP_COOKIE_NO_FENCE)
			unlink_now();
		return;
	}
	if (!faults_on(FAULT_STOP))
		return;
	switch (where) {
	case TEST_POINT_LOADED:
		if (me.unlinking && one_in(2))
			pause_us(rnd() % 3000);
		unlink_now();
		stop(256, 3000);
		break;
	case TEST_POINT_FILL:
		stop(256, 3000);
		break;
	case TEST_POINT_INVOKE:
		stop(16, 1000);
		break;
	default:
		if (one_in(2) && getpid() == run.pid)
			pause_us(rnd() % 500);
	}
}

void faults_arm(void)
{
	uint64_t armed = 0;

	if (run.mistake >= 0)
		armed |= UINT64_C(1) << run.mistake;
	if (faults_on(FAULT_REFUSE))
		armed |= UINT64_C(1) << BREAK_PAGE_REFUSED | UINT64_C(1) << BREAK_RECORD_REFUSED;
	store(&breaks_armed, armed);
}
