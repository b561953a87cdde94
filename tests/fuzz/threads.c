/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#include "threads.h"

struct thread thread[THREADS];
unsigned me;
struct anyrcu_reader *nobody;
uint64_t now;
uint64_t clock_ns = 1000 * MS;
static uint32_t last_tid;

/* ---- the platform ---- */

struct anyrcu_reader *__real_reader_scan(void *at, uint64_t seq);

uint64_t __wrap_port_now(void)
{
	return clock_ns;
}

uint32_t __wrap_port_tid(void)
{
	return thread[me].tid;
}

uint64_t __wrap_port_id(void)
{
	return me + 1;
}

bool __wrap_port_tid_dead(uint32_t tid)
{
	for (unsigned i = 0; i < THREADS; i++)
		if (thread[i].tid == tid)
			return false;
	return true;
}

int __wrap_port_thread_start(void *(*main)(void *), void *arg, int rt)
{
	return -11;
}

/* That there is no worker, that threads end inside their sections, and stalls. */
void __wrap_port_report(const char *format, ...)
{
	(void)format;
}

unsigned __wrap_port_cpu(void)
{
	return me;
}

struct anyrcu_reader *__wrap_reader_scan(void *at, uint64_t seq)
{
	return broken("early") ? NULL : __real_reader_scan(at, seq);
}

/* ---- threads ---- */

void run(unsigned i)
{
	thread[me].self = anyrcu_self;
	me = i;
	if (!thread[me].tid)
		thread[me] = (struct thread){ .tid = ++last_tid, .self = nobody };
	anyrcu_self = thread[me].self;
}

void leave_sections(void)
{
	struct thread *t = &thread[me];

	for (; t->nest; t->nest--)
		anyrcu_read_unlock();
	if (t->online)
		anyrcu_thread_offline();
	t->online = false;
	t->since = 0;
}

/*
 * The library waits: the others go on meanwhile. A section, as what ended without leaving its own
 * is only seen by the next of its number.
 */
static void others_go_on(void)
{
	unsigned who = me;

	clock_ns += 20 * MS;
	for (unsigned i = 0; i < THREADS; i++) {
		if (i == who || !thread[i].tid)
			continue;
		run(i);
		leave_sections();
		anyrcu_read_lock();
		anyrcu_read_unlock();
	}
	run(who);
}

void __wrap_port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	others_go_on();
}

void __wrap_port_sleep(uint64_t ns)
{
	others_go_on();
}

/* With or without what it should do then; the next gets its number or a new one. */
static void end_thread(bool properly, bool same_number)
{
	uint32_t tid = thread[me].tid;

	if (properly)
		port_thread_exit_hook();
	anyrcu_self = nobody;
	thread[me] = (struct thread){ .tid = same_number ? tid : ++last_tid };
}

void lock(void)
{
	if (online()) {
		anyrcu_read_lock();
		anyrcu_read_unlock();
		return;
	}
	anyrcu_read_lock();
	if (thread[me].nest++ == 0)
		thread[me].since = ++now;
	MUST(anyrcu_read_lock_held());
}

void unlock(void)
{
	if (thread[me].nest == 0)
		return;
	if (--thread[me].nest == 0)
		thread[me].since = 0;
	anyrcu_read_unlock();
	MUST(anyrcu_read_lock_held() == (thread[me].nest != 0));
}

static void go_online(void)
{
	anyrcu_thread_online();
	thread[me].online = true;
	thread[me].since = ++now;
}

static void quiesce(void)
{
	anyrcu_quiescent_state();
	if (online())
		thread[me].since = ++now;
}

bool read_since_before(uint64_t when)
{
	for (unsigned i = 0; i < THREADS; i++)
		if (thread[i].since && thread[i].since < when)
			return true;
	return false;
}

void has_waited(uint64_t when)
{
	if (read_since_before(when))
		FOUND("early: a wait has ended before a section");
	if (online())
		thread[me].since = ++now;
}

void thread_step(unsigned step, uint8_t flags, struct input *in)
{
	switch (step) {
	case 0:
	case 1:
		lock();
		break;
	case 2:
		unlock();
		break;
	case 3:
		if (!thread[me].nest)
			go_online();
		break;
	case 4:
		quiesce();
		break;
	case 5:
		if (online())
			leave_sections();
		break;
	case 6:
		run(byte(in) % THREADS);
		break;
	case 7:
		end_thread(flags & 64, flags & 128);
		break;
	}
}

void threads_begin(void)
{
	nobody = nobody ?: anyrcu_self;
	me = 0;
	last_tid = 1;
	thread[0] = (struct thread){ .self = nobody, .tid = 1 };
}

void threads_end(void)
{
	for (unsigned i = 0; i < THREADS; i++) {
		run(i);
		end_thread(true, false);
		thread[i].tid = 0;
	}
	now = 0;
}
