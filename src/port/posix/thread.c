/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/init.h>
#include <port/posix/process.h>
#include <port/posix/sys.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

uint64_t port_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

uint64_t port_id(void)
{
	static PORT_THREAD_LOCAL uint64_t id;
	static uint64_t last;

	/* A handler in between may have drawn a number too; the first one stored is used. */
	if (unlikely(!load(&id)))
		cmpxchg(&id, 0, fetch_add(&last, 1) + 1);
	return load(&id);
}

uint32_t port_tid(void)
{
	return sys(SYS_gettid);
}

PORT_THREAD_LOCAL bool thread_ours;
static uint32_t threads; /* how many of the library's threads run */

/*
 * How many threads were started, and how many have begun to run ("arrived"), in this process. If a
 * thread does not arrive in time, the waiting thread counts it as arrived. The upper half of
 * "started" is port_forks: the child of a handler's fork does not count its parent's thread.
 */
static uint64_t started;
static uint32_t arrived;

/*
 * If the main thread calls pthread_exit(), libc ends the process when its last thread ends, which
 * does not happen while our threads exist. So from then on our threads check, while they sleep,
 * whether there are any others; the one that finds none has a new thread call exit(), as an exit
 * handler may wait for any of ours. An exit handler may end that thread: then another one follows.
 * If another than the main thread has loaded the library, nothing tells us of the main thread's
 * end: our threads check for it too, but not often.
 */
static enum { MAIN_TELLS, MAIN_UNKNOWN, MAIN_ENDED } main_thread;
static uint64_t looked; /* when one of our threads has last checked */
static uint64_t ending; /* the port_id() of the thread that calls exit() */

/*
 * The forking thread may be one of ours; in the child it is the program's, and may unblock signals.
 */
void thread_fork_child(void)
{
	thread_ours = false;
	store(&threads, 0);
	store(&started, (uint64_t)(load(&port_forks) + 1) << 32);
	store(&arrived, 0);
	store(&main_thread, MAIN_TELLS); /* the forking thread is the main one now */
	store(&ending, 0);
}

/* ---- sleeping ---- */

/* nanoseconds between two looks for other threads */
#define LOOK UINT64_C(20000000)
#define LOOK_SELDOM UINT64_C(1000000000)

static bool others_live(void)
{
	struct stat task;
	int saved = errno, err = stat("/proc/self/task", &task);

	errno = saved;
	/*
	 * A directory's links are two and one for each below it, here the threads; the main thread,
	 * a zombie, counts too.
	 */
	return err || task.st_nlink - 3 > load(&threads);
}

static struct timespec timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

static void *end_process(void *unused)
{
	store(&ending, port_id());
	port_thread_begin(-1, 0);
	port_thread_arrives();
	exit(0);
}

static void look_for_end(uint64_t often)
{
	uint64_t now = port_now();

	if (now - load(&looked) < often)
		return;
	store(&looked, now);
	if (!process_main_dead())
		return;
	store(&main_thread, MAIN_ENDED);
	if (!others_live() && cmpxchg(&ending, UINT64_C(0), port_id()) &&
	    port_thread_start(end_process, NULL, 0))
		exit(0);
}

static void wait_to_end(uint32_t *word, uint32_t value, uint64_t ns)
{
	uint64_t often = load(&main_thread) == MAIN_ENDED ? LOOK : LOOK_SELDOM;
	struct timespec t = timespec(ns && ns < often ? ns : often);

	sys(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &t, NULL, 0);
	look_for_end(often);
}

bool port_main_ends(void)
{
	if (port_tid() != (uint32_t)getpid())
		return false;
	store(&main_thread, MAIN_ENDED);
	return true;
}

void port_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec t = timespec(ns);

	if (unlikely(thread_ours && load(&main_thread) != MAIN_TELLS))
		wait_to_end(word, value, ns);
	else
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
	uint64_t until = port_now() + ns;
	struct timespec t = timespec(until);

	while ((int64_t)(until - port_now()) > 0)
		if (sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
			sys(SYS_sched_yield); /* a handler came, or a filter refuses the sleep */
}

void port_yield(unsigned round)
{
	if (round < 100)
		sys(SYS_sched_yield);
	/* the awaited thread may have a lower priority; yielding does not let it run */
	else
		port_sleep(50000);
}

/* ---- the ends of threads ---- */

void (*port_thread_exit_hook)(void);
static pthread_key_t exit_key;
static bool exit_key_ready;

static void thread_ends(void);

/*
 * The key is made before the program's, so its destructor comes first in each round. In the first
 * round the thread stays what it is, a reader if it is online, as the program's destructors may
 * read and defer; then it ends in the second.
 */
static void on_exit_key(void *unused)
{
	static PORT_THREAD_LOCAL bool again;

	(void)unused;
	if (!again) {
		again = true;
		port_thread_exit_arm_task();
		return;
	}
	if (port_thread_exit_hook)
		port_thread_exit_hook();
	thread_ends();
}

/*
 * For the first 32 keys, which glibc keeps in the thread itself, pthread_setspecific() is one
 * store. For later keys it may allocate memory, which a signal handler must not do. The constructor
 * runs early, so the key is mostly among the first.
 */
__attribute__((constructor(101))) static void exit_key_make(void)
{
	exit_key_ready = pthread_key_create(&exit_key, on_exit_key) == 0;
	if (port_tid() != (uint32_t)getpid())
		main_thread = MAIN_UNKNOWN;
}

#define EXIT_SIZE 64 /* bytes of exit(), a short function that calls all others */

bool port_exiting(void)
{
	return port_called_from((const void *)exit, EXIT_SIZE);
}

void port_thread_exit_arm(void)
{
	if (load(&exit_key_ready) && exit_key < 32)
		pthread_setspecific(exit_key, &exit_key);
}

void port_thread_exit_arm_task(void)
{
	if (load(&exit_key_ready))
		pthread_setspecific(exit_key, &exit_key);
}

/* ---- starting threads ---- */

#define STACK (512 << 10) /* of a thread that runs callbacks */

/*
 * The CPUs that the process was started on. A thread that the program has pinned may start workers,
 * which must not be pinned like it. If none of these CPUs is allowed any more, as the process was
 * moved to others, let the kernel choose among all allowed CPUs.
 */
static cpu_set_t started_on;

void port_cpus_remember(void)
{
	if (sys(SYS_sched_getaffinity, 0, sizeof(started_on), &started_on) <= 0)
		memset(&started_on, 0xff, sizeof(started_on));
}

static bool run_on(const cpu_set_t *set)
{
	return sys(SYS_sched_setaffinity, 0, sizeof(*set), set) == 0;
}

static bool run_on_one(unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return run_on(&one);
}

static void run_on_all(const cpu_set_t *set)
{
	cpu_set_t any;

	memset(&any, 0xff, sizeof(any));
	if (!run_on(set))
		run_on(&any);
}

bool port_cpu_usable(int cpu)
{
	/* the kernel writes no more than it has CPUs for, and nothing if the call is refused */
	cpu_set_t set = { 0 };

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return false;
	if (CPU_ISSET(cpu, &started_on))
		return true;
	sys(SYS_sched_getaffinity, 0, sizeof(set), &set);
	return CPU_ISSET(cpu, &set);
}

void port_follow(unsigned cpu)
{
	cpu_set_t allowed = { 0 };

	if (sys(SYS_sched_getaffinity, 0, sizeof(allowed), &allowed) <= 0 || cpu >= CPU_SETSIZE ||
	    !CPU_ISSET(cpu, &allowed))
		return;
	run_on_one(cpu);
	run_on_all(&allowed);
}

/* The thread is counted in the process in which it began, not in children of that process. */
static PORT_THREAD_LOCAL uint32_t counted; /* port_forks + 1 */

static void thread_ends(void)
{
	if (counted == load(&port_forks) + 1)
		__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
	counted = 0;
	cmpxchg(&ending, port_id(), UINT64_C(0));
}

void port_thread_begin(int cpu, int rt)
{
	static PORT_THREAD_LOCAL void *kept;
	struct sched_param ordinary = { 0 };

	store(&kept, port_checker_thread());
	thread_ours = true;
	counted = load(&port_forks) + 1;
	__atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED);
	port_thread_exit_arm_task();
	pthread_setname_np(pthread_self(), "anyrcu");
	if (!rt && sys(SYS_sched_getscheduler, 0) != SCHED_OTHER)
		sys(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
	if (cpu < 0 || !run_on_one(cpu))
		run_on_all(&started_on);
}

/*
 * With the given priority and stack size, unless they are 0. SIGABRT waits too, which port_signals
 * do not have: if a handler forked inside pthread_create(), libc of the child would give one stack
 * to two threads. abort() unblocks it. The thread begins with all that the program blocks, until it
 * arrives.
 */
static int create(void *(*main)(void *), void *arg, int rt, size_t stack)
{
	uint64_t all = port_signals | UINT64_C(1) << (SIGABRT - 1), former = 0;
	struct sched_param param = { .sched_priority = rt };
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	if (rt) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &param);
	}
	sys(SYS_rt_sigprocmask, SIG_BLOCK, &all, &former, sizeof(all));
	err = pthread_create(&thread, &attr, main, arg);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, sizeof(former));
	pthread_attr_destroy(&attr);
	return -err;
}

static int create_any(void *(*main)(void *), void *arg, int rt)
{
	int err = create(main, arg, rt, STACK);

	/* The program's thread-local variables alone may be larger than STACK. */
	return err == -EINVAL ? create(main, arg, rt, 0) : err;
}

void port_thread_arrives(void)
{
	sys(SYS_rt_sigprocmask, SIG_SETMASK, &port_signals, NULL, sizeof(port_signals));
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	port_wake(&arrived);
}

static void wait_for_arrival(uint32_t forks)
{
	uint64_t was, until = port_now() + 10 * NS_PER_S;
	uint32_t number, here;

	do {
		was = load(&started);
		if (was >> 32 != forks)
			return;
		number = (uint32_t)was + 1;
	} while (!cmpxchg(&started, was, (uint64_t)forks << 32 | number));
	while ((int32_t)(number - (here = load_acquire(&arrived))) > 0 &&
	       load(&port_forks) == forks) {
		if ((int64_t)(until - port_now()) > 0)
			port_wait(&arrived, here, 1000000);
		else
			cmpxchg(&arrived, here, number);
	}
}

int port_thread_start(void *(*main)(void *), void *arg, int rt)
{
	uint32_t forks = load(&port_forks);
	int saved = errno, err = create_any(main, arg, rt);
	bool ordinary = err == -EPERM && rt;

	if (ordinary)
		err = create_any(main, arg, 0);
	if (!err)
		wait_for_arrival(forks);
	errno = saved;
	/* a filter of system calls may refuse the thread itself by EPERM */
	return err == -EPERM ? -EAGAIN : !err && ordinary ? -EPERM : err;
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
