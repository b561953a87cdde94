/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <port/mock/mock.h>
#include <port/process.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mock mock = { .maps_allowed = UINT64_MAX, .rseq_cpu = -1, .id = 1 };
static jmp_buf *bug;

unsigned port_cpu(void)
{
	return mock.cpu;
}

unsigned port_cpus(void)
{
	return PORT_CPUS_MAX;
}

unsigned port_ncpus(void)
{
	return 2;
}

uint64_t port_now(void)
{
	if (mock.on_now)
		mock.on_now();
	return mock.now;
}

void *port_map(size_t size, size_t align)
{
	void *p;

	if (mock.on_map)
		mock.on_map();
	if (mock.maps_allowed == 0)
		return NULL;
	mock.maps_allowed--;
	if (posix_memalign(&p, align, size))
		abort();
	mock.maps++;
	mock.mapped += size;
	return memset(p, 0, size);
}

void port_unmap(void *p, size_t size)
{
	mock.mapped -= size;
	free(p);
}

void *port_reserve(size_t size, size_t align)
{
	char *p;

	if (mock.maps_allowed == 0)
		return NULL;
	p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL :
				 (void *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
}

uint64_t port_address_space(void)
{
	return UINT64_MAX;
}

bool port_commit(void *p, size_t size)
{
	if (mock.maps_allowed == 0)
		return false;
	mock.maps_allowed--;
	return mprotect(p, size, PROT_READ | PROT_WRITE) == 0;
}

void port_discard(void *p, size_t size)
{
	madvise(p, size, MADV_DONTNEED);
}

void port_free(void *p)
{
	mock.frees++;
	if (mock.on_free)
		mock.on_free(p);
	else
		free(p);
}

uint64_t port_id(void)
{
	return mock.id;
}

uint32_t port_tid(void)
{
	return 1;
}

bool port_tid_dead(uint32_t tid)
{
	return mock.tid_dead;
}

void port_thread_exit_arm(void)
{
}

void port_thread_exit_arm_task(void)
{
}

int port_thread_start(void *(*main)(void *), void *arg, int rt)
{
	if (mock.on_start)
		mock.on_start();
	if (mock.starts_allowed == 0)
		return -11;
	mock.starts_allowed--;
	mock.starts++;
	mock.thread = main;
	mock.thread_arg = arg;
	mock.rt = rt;
	return mock.start_unprivileged ? -PORT_EPERM : 0;
}

void port_thread_arrives(void)
{
	mock.arrivals++;
	if (mock.on_arrive)
		mock.on_arrive();
}

void port_thread_begin(int cpu, int rt)
{
	mock.thread_cpu = cpu;
	mock.thread_rt = rt;
}

uint32_t port_forks;
uint64_t port_survivor;

bool port_forked_raw(void)
{
	return false;
}

bool port_exiting(void)
{
	return false;
}

bool port_foreign(void)
{
	return mock.foreign;
}

bool port_cpu_usable(int cpu)
{
	return true;
}

void port_follow(unsigned cpu)
{
	mock.follows++;
	mock.followed = cpu;
}

int port_cancel_off(void)
{
	bool former = mock.cancel_off;

	mock.cancel_off = true;
	return former;
}

void port_cancel_on(int former)
{
	mock.cancel_off = former;
}

void port_lock(struct port_lock *lock)
{
	if (mock.on_lock)
		mock.on_lock();
	if (lock->word)
		port_bug("deadlock");
	lock->word = 1;
}

void port_unlock(struct port_lock *lock)
{
	if (!lock->word)
		port_bug("a lock is released that is not held");
	lock->word = 0;
	if (mock.on_unlock)
		mock.on_unlock();
}

bool port_lock_held(const struct port_lock *lock)
{
	return lock->word;
}

bool port_fork_lock(struct port_lock *lock, uint8_t depth)
{
	return !lock->word;
}

void port_fork_unlock(struct port_lock *lock, uint8_t depth)
{
}

void port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	mock.waits++;
	mock.wait_ns = ns;
	if (mock.on_wait)
		mock.on_wait();
}

void port_wake(uint32_t *word)
{
	if (mock.on_wake)
		mock.on_wake();
	mock.wakes++;
}

void port_wake_one(uint32_t *word)
{
	port_wake(word);
}

void port_yield(unsigned round)
{
	port_wait(NULL, 0, 0);
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

const uint64_t port_signals = ~UINT64_C(0);
void (*port_signal_hook)(int sig, void *info, void *context, uint64_t before);

uint64_t port_signals_block(void)
{
	return 0;
}

void port_signals_restore(uint64_t former)
{
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

void port_sleep(uint64_t ns)
{
	port_wait(NULL, 0, ns);
}

bool port_fence_all_works = true;
uint32_t port_rseq_cpus;

void port_fence_all(void)
{
	mock.fences++;
	if (mock.on_fence)
		mock.on_fence();
}

void port_rseq_fence(void)
{
	port_fence_all();
}

void port_report(const char *format, ...)
{
	mock.reports++;
	strncpy(mock.last_report, format, sizeof(mock.last_report) - 1);
}

_Noreturn void port_bug(const char *format, ...)
{
	strncpy(mock.last_report, format, sizeof(mock.last_report) - 1);
	if (!bug)
		abort();
	longjmp(*bug, 1);
}

bool mock_bug(void (*f)(void *), void *arg)
{
	jmp_buf here;
	bool caught = true;

	bug = &here;
	if (!setjmp(here)) {
		f(arg);
		caught = false;
	}
	bug = NULL;
	return caught;
}

void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);

uint64_t port_signals_blocked(void)
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

uint32_t port_stack_of(uint32_t tid, void **frames, uint32_t max, uint64_t ns)
{
	return 0;
}
