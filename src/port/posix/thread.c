/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <port/port.h>
#include <port/posix/init.h>
#include <port/posix/sys.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

uint64_t port_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

uintptr_t port_self(void)
{
	static PORT_THREAD_LOCAL char self;

	return (uintptr_t)&self;
}

uint32_t port_tid(void)
{
	return sys(SYS_gettid);
}

static PORT_THREAD_LOCAL bool ours; /* one of port_thread_start(): blocks all of these anyway */
static pid_t process;

/* In a child that a thread of ours has forked, that thread is the program's, which may let signals in. */
void port_process(void)
{
	process = getpid();
	ours = false;
}

bool port_forked_raw(void)
{
	return process != getpid();
}

bool port_tid_dead(uint32_t tid)
{
	return !port_forked_raw() && sys(SYS_tgkill, process, tid, 0) == -ESRCH;
}

/* ---- sleeping and locks ---- */

void port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec t = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };

	sys(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &t : NULL, NULL, 0);
}

void port_wake(uint32_t *word)
{
	sys(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void port_wake_one(uint32_t *word)
{
	sys(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void port_sleep(uint64_t ns)
{
	struct timespec t = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };

	sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

/*
 * Signals, as the kernel's set. What a fault raises must reach the program's handler, and setuid() in any thread waits until each has taken
 * libc's own signals, 32 and 33; all else waits while a lock is held, and is taken by the program's threads, not by ours.
 */
#define BIT(sig) (UINT64_C(1) << ((sig)-1))
const uint64_t port_signals =
	~(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGSYS) | BIT(32) |
	  BIT(33));


uint64_t port_signals_blocked(void)
{
	uint64_t set = 0;

	sys(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, sizeof(set));
	return set;
}

uint64_t port_signals_block(void)
{
	uint64_t set = port_signals, former = set;

	if (!ours)
		sys(SYS_rt_sigprocmask, SIG_BLOCK, &set, &former, sizeof(set));
	return former;
}

void port_signals_restore(uint64_t former)
{
	if (!ours)
		sys(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, sizeof(former));
}

void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);

static bool watch(const struct port_lock *lock, bool take, uint64_t blocked)
{
	if (likely(!load_acquire(&port_lock_watch)) || lock->unwatched)
		return false;
	port_lock_watch(lock, take, ours ? UINT64_MAX : blocked);
	return true;
}

/* The word is 0 unlocked, 1 locked, 2 locked with sleepers (Drepper, "Futexes are tricky", mutex 2). */
static bool try_lock(struct port_lock *lock)
{
	uint32_t unlocked = 0;

	return __atomic_compare_exchange_n(&lock->word, &unlocked, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void port_lock(struct port_lock *lock)
{
	uint64_t signals = port_signals_block();
	bool locked = false, told = watch(lock, true, signals | port_signals);

	for (int spin = 0; spin < 100 && !(locked = try_lock(lock)); spin++)
		port_relax();
	while (!locked && __atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		port_wait(&lock->word, 2, 0);
	lock->signals = signals;
	lock->told = told;
}

void port_unlock(struct port_lock *lock)
{
	uint64_t signals = lock->signals;

	if (unlikely(lock->told)) /* not one that was taken before the validator was there */
		watch(lock, false, signals);
	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
		port_wake(&lock->word);
	port_signals_restore(signals);
}

void port_yield(unsigned round)
{
	if (round < 100)
		sys(SYS_sched_yield);
	else
		port_sleep(50000); /* whom we wait for may be of lower priority, which yielding does not let run */
}

/* The kernel refuses for a moment while a holder is ending. */
int port_pi_lock(uint32_t *word)
{
	int err;

	do
		err = sys(SYS_futex, word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
	while (err == -EAGAIN || err == -EINTR);
	return err;
}

int port_pi_unlock(uint32_t *word)
{
	int err;

	do
		err = sys(SYS_futex, word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
	while (err == -EAGAIN || err == -EINTR);
	return err;
}

bool port_pi_works(void)
{
	uint32_t word = 0;

	return port_pi_lock(&word) == 0 && port_pi_unlock(&word) == 0;
}

/* ---- the ends of threads ---- */

void (*port_thread_exit_hook)(void);
static pthread_key_t exit_key;
static bool exit_key_ready;

static void on_exit_key(void *unused)
{
	(void)unused;
	if (port_thread_exit_hook)
		port_thread_exit_hook();
}

/*
 * pthread_setspecific() is one store for the first 32 keys, which glibc keeps in the thread itself; for later ones it
 * may allocate, and a signal handler may not. The constructor runs early, so the key is among the first.
 */
__attribute__((constructor(101))) static void exit_key_make(void)
{
	if (pthread_key_create(&exit_key, on_exit_key) == 0 && exit_key < 32)
		store_release(&exit_key_ready, true);
}

void port_thread_exit_arm(void)
{
	if (load_acquire(&exit_key_ready))
		pthread_setspecific(exit_key, &exit_key);
}

/* ---- starting threads ---- */

struct start {
	void (*main)(void *);
	void *arg;
	uint32_t taken;
};

static void *run(void *p)
{
	struct start *s = p, mine = *s;

	ours = true;
	pthread_setname_np(pthread_self(), "anyrcu");
	store_release(&s->taken, 1);
	port_wake(&s->taken);
	mine.main(mine.arg);
	return NULL;
}

/* Which CPUs the thread was started on: none as long as it has not followed. Where they cannot be had it stays where it is. */
static PORT_THREAD_LOCAL cpu_set_t allowed;

void port_follow(unsigned cpu)
{
	static PORT_THREAD_LOCAL unsigned at = UINT_MAX;
	cpu_set_t one;

	if (at == cpu)
		return;
	if (at == UINT_MAX)
		sys(SYS_sched_getaffinity, 0, sizeof(allowed), &allowed);
	at = cpu;
	if (!CPU_ISSET(cpu, &allowed))
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sys(SYS_sched_setaffinity, 0, sizeof(one), &one);
}

void port_follow_end(void)
{
	if (CPU_COUNT(&allowed))
		sys(SYS_sched_setaffinity, 0, sizeof(allowed), &allowed);
}

static int create(pthread_attr_t *attr, struct start *s)
{
	uint64_t all = port_signals, former = 0;
	pthread_t thread;
	int err;

	sys(SYS_rt_sigprocmask, SIG_SETMASK, &all, &former, sizeof(all));
	err = pthread_create(&thread, attr, run, s);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, sizeof(former));
	if (err == 0)
		while (!load_acquire(&s->taken))
			port_wait(&s->taken, 0, 0);
	return -err;
}

int port_thread_start(void (*main)(void *), void *arg, int cpu, int rt)
{
	struct start s = { .main = main, .arg = arg };
	struct sched_param param = { .sched_priority = rt };
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	} else if (CPU_COUNT(&allowed)) { /* not just where the caller happens to be, having followed */
		pthread_attr_setaffinity_np(&attr, sizeof(allowed), &allowed);
	}
	if (rt) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &param);
	}
	err = create(&attr, &s);
	if (err == -EPERM && rt) {
		pthread_attr_setinheritsched(&attr, PTHREAD_INHERIT_SCHED);
		err = create(&attr, &s) ?: -EPERM;
	}
	pthread_attr_destroy(&attr);
	return err;
}

int port_cancel_off(void)
{
	int former;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &former);
	return former;
}

void port_cancel_on(int former)
{
	pthread_setcancelstate(former, &former);
}
