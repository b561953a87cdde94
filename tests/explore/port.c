/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The platform of the explorer: port.h on sim.c's threads, clock and memory. */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/init.h>
#include <port/posix/process.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "platform.h"
#include "sim.h"

struct platform platform = { .maps_allowed = UINT64_MAX };

void (*port_thread_exit_hook)(void);
void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);
void (*port_signal_hook)(int sig, void *info, void *context, uint64_t before);
const uint64_t port_signals = ~UINT64_C(0);
bool port_fence_all_works;
uint32_t port_rseq_cpus;
static PORT_THREAD_LOCAL bool armed;

unsigned port_cpu(void)
{
	return sim_self() % 2;
}

unsigned port_cpus(void)
{
	return 2;
}

unsigned port_ncpus(void)
{
	return 2;
}

uint64_t port_now(void)
{
	return sim_time += 20;
}

void *port_map(size_t size, size_t align)
{
	char *p, *aligned;

	sim_point();
	if (platform.maps_allowed == 0)
		return NULL;
	platform.maps_allowed--;
	p = mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	return aligned;
}

/* Addresses are not used again: who still touches what is not there any more is seen. */
void port_unmap(void *p, size_t size)
{
	sim_point();
	mprotect(p, size, PROT_NONE);
}

uint64_t port_address_space(void)
{
	return UINT64_MAX;
}

void *port_reserve(size_t size, size_t align)
{
	char *p;

	sim_point();
	p = platform.maps_allowed ?
		    mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) :
		    MAP_FAILED;
	return p == MAP_FAILED ? NULL :
				 (void *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
}

bool port_commit(void *p, size_t size)
{
	sim_point();
	if (platform.maps_allowed == 0)
		return false;
	platform.maps_allowed--;
	return mprotect(p, size, PROT_READ | PROT_WRITE) == 0;
}

void port_discard(void *p, size_t size)
{
	sim_point();
	madvise(p, size, MADV_DONTNEED);
}

void port_free(void *p)
{
	sim_point();
	platform.on_free(p);
}

uint64_t port_id(void)
{
	return sim_id();
}

uint32_t port_tid(void)
{
	return sim_tid();
}

bool port_tid_dead(uint32_t tid)
{
	sim_point();
	return !port_forked_raw() && sim_tid_dead(tid);
}

static void thread_ends(void)
{
	for (int i = 0; i < 4 && armed; i++) {
		armed = false;
		port_thread_exit_hook();
	}
}

void port_thread_exit_arm(void)
{
	armed = true;
	sim_exit_hook = thread_ends;
}

void port_thread_exit_arm_task(void)
{
	port_thread_exit_arm();
}

int port_thread_start(void *(*main)(void *), void *arg, int rt)
{
	sim_point();
	if (platform.threads_refused > 0) {
		platform.threads_refused--;
		return -11;
	}
	platform.started++;
	if (sim_spawn(main, arg, true) < 0)
		sim_fail("more threads than there is room for");
	sim_point();
	return 0;
}

void port_follow(unsigned cpu)
{
}

/* The rest of process.c is the explorer's too. */
void thread_fork_child(void)
{
}

void port_thread_arrives(void)
{
}

void port_thread_begin(int cpu, int rt)
{
}

bool port_cpu_usable(int cpu)
{
	return true;
}

bool port_exiting(void)
{
	return false;
}

bool port_main_ends(void)
{
	return false;
}

int port_cancel_off(void)
{
	return 0;
}

void port_cancel_on(int former)
{
}

/* ---- locks ---- */

static bool try_lock(struct port_lock *lock)
{
	if (lock->word)
		return false;
	lock->word = port_id();
	sim_acquire(lock);
	return true;
}

static void unlock(struct port_lock *lock)
{
	sim_release(lock);
	lock->word = 0;
	sim_wake((uint32_t *)&lock->word, true);
}

void port_lock(struct port_lock *lock)
{
	int signals = sim_mask(1);

	sim_point();
	while (!try_lock(lock)) {
		if (lock->word == port_id())
			sim_fail("a lock is taken by its holder");
		sim_block((uint32_t *)&lock->word, 0);
	}
	lock->signals = signals;
}

void port_unlock(struct port_lock *lock)
{
	int signals = lock->signals;

	if (lock->word != port_id())
		sim_fail("a lock is released by who does not hold it");
	unlock(lock);
	sim_mask(signals);
	sim_point();
}

bool port_lock_held(const struct port_lock *lock)
{
	return lock->word == port_id();
}

bool port_fork_lock(struct port_lock *lock, uint8_t depth)
{
	sim_point();
	if (lock->word == port_id())
		return true;
	if (!try_lock(lock))
		return false;
	lock->forked = depth;
	return true;
}

void port_fork_unlock(struct port_lock *lock, uint8_t depth)
{
	sim_point();
	if (lock->word != port_id() || lock->forked != depth)
		return;
	lock->forked = 0;
	unlock(lock);
}

void port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	sim_point();
	sim_fence();
	platform.waits++;
	if (*word == value)
		sim_block(word, ns);
	sim_fence();
}

void port_wake(uint32_t *word)
{
	sim_point();
	sim_fence();
	platform.wakes++;
	if (platform.wake_stops) {
		uint64_t ns = platform.wake_stops;

		platform.wake_stops = 0;
		port_sleep(ns);
	}
	sim_wake(word, true);
}

void port_wake_one(uint32_t *word)
{
	sim_point();
	sim_fence();
	sim_wake(word, false);
}

void port_sleep(uint64_t ns)
{
	static uint32_t nobody;

	sim_point();
	if (ns) /* 0 is for ever to sim_block() */
		sim_block(&nobody, ns);
}

void port_yield(unsigned round)
{
	sim_yield();
}

int port_pi_lock(uint32_t *word)
{
	return -38;
}

int port_pi_unlock(uint32_t *word)
{
	return -38;
}

bool port_pi_works(void)
{
	return false;
}

/* ---- signals ---- */

uint64_t port_signals_blocked(void)
{
	return 0;
}

uint64_t port_signals_block(void)
{
	return sim_mask(1);
}

void port_signals_restore(uint64_t former)
{
	sim_mask(former);
}

bool port_signal_take(int sig, const void *mask)
{
	return false;
}

void port_signal_leave(int sig)
{
}

bool port_signal_taken(int sig)
{
	return false;
}

bool port_signal_again(int sig, const void *info)
{
	return false;
}

/* ---- fences ---- */

void port_fence_all(void)
{
	sim_point();
	if (!platform.refuse_fences)
		sim_fence_all();
	sim_point();
}

void port_rseq_fence(void)
{
}

/* ---- start and reports ---- */

void port_init(bool membarrier, bool rseq)
{
	port_fence_all_works = membarrier;
}

void port_stack_prime(void)
{
}

void port_text_to(const char *file)
{
}

void port_text(const char *text)
{
}

void port_report(const char *format, ...)
{
	platform.reports++;
}

_Noreturn void port_bug(const char *format, ...)
{
	if (platform.bug_ends)
		_exit(0);
	sim_fail("the library says: %s", format);
}

uint32_t port_stack_of(uint32_t tid, void **frames, uint32_t max, uint64_t ns)
{
	return 0;
}

uint32_t port_stack(void **frames, uint32_t max)
{
	return 0;
}

bool port_where(const void *address, struct port_where *where)
{
	return false;
}

bool port_in_object(const void *address)
{
	return true;
}
