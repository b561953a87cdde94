/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The start, fork, and the ends of threads and processes. */
#define _GNU_SOURCE
#include "lockdep/preload.h"
#include "lockdep/preload_counts.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <port/posix/init.h>

#include "lockdep/notices.h"
#include "shared.h"

struct real real;
__thread __attribute__((tls_model("initial-exec"))) struct me me;

static struct notice_process *process;
char executable[4096];

/* ---- threads and processes ---- */

static struct lockdep_host host;
static pthread_key_t exit_key;
static bool counting; /* for "anyrcu lockstat": written by the start */

/* The kernel reads the mask before it says that it does not know what to do with it. */
bool readable(const void *p)
{
	int error = errno;
	bool can =
		syscall(SYS_rt_sigprocmask, -1, (uintptr_t)p & -8, NULL, 8) == 0 || errno != EFAULT;

	errno = error;
	return can;
}

/*
 * Robust mutexes may be held at the end of a thread: who locks them next is told. The kernel has a
 * list of them, which the program can set to one of its own; like the kernel we follow it only as
 * far as it can be read, and no more than a bound.
 */
static void release_robust(void)
{
	const uintptr_t PI = 1; /* set: it inherits priority */
	struct robust_list_head *head;
	uintptr_t l;
	size_t size;

	if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || !head || !readable(head))
		return;
	l = (uintptr_t)head->list.next & ~PI;
	for (int n = 0; n < ROBUST_LIST_LIMIT && l != (uintptr_t)&head->list; n++) {
		const void *m = (char *)l - offsetof(pthread_mutex_t, __data.__list.__next);

		if (!readable((void *)l))
			return;
		if (lockdep_engine.is_held(m) == 1)
			lockdep_engine.release(m, NULL);
		l = (uintptr_t)((struct robust_list *)l)->next & ~PI;
	}
}

/*
 * What the program's destructors still release, it does not hold at its end: so this is to be the
 * last.
 */
static void on_thread_exit(void *unused)
{
	int saved = errno;
	bool silent;

	if (++me.exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(exit_key, &me);
	} else if (counting) {
		counts_thread_exit();
		thread_over(false);
	} else {
		loader_left();
		release_robust();
		lockdep_leave(&semaphore_type); /* it may stand for an event */
		lockdep_leave(&limit_type);
		files_leave();
		silent = lockdep_tells_nobody();
		lockdep_event((const void *)pthread_self(), true, UINT32_MAX);
		lockdep_engine.thread_exit(host.in_reader && host.in_reader());
		thread_over(silent);
	}
	errno = saved;
}

static struct notice_process *process_place(uint32_t pid)
{
	/*
	 * It may have a place: by its parent, or as what it was before it executed another program.
	 */
	for (uint32_t i = 0; i < NOTICES_PROCESSES; i++)
		if (atomic_load(&notices->process[i].state) == PROCESS_RUNS &&
		    notices->process[i].pid == pid)
			return &notices->process[i];
	for (uint32_t i = 0; i < NOTICES_PROCESSES; i++) {
		uint32_t none = PROCESS_NONE;

		if (!atomic_compare_exchange_strong(&notices->process[i].state, &none,
						    PROCESS_TAKEN))
			continue;
		notices->process[i].pid = pid;
		return &notices->process[i];
	}
	return NULL;
}

/*
 * The place of a process among those that are watched; none, and the tool does not wait for it,
 * when there are too many.
 */
static struct notice_process *enter_process(uint32_t pid)
{
	struct notice_process *p = process_place(pid);

	if (p) {
		strncpy(p->program, program_invocation_short_name, sizeof(p->program) - 1);
		atomic_store(&p->state, PROCESS_RUNS);
	}
	return p;
}

/* A child of vfork() comes here too, with its parent's memory. */
static void leave_process(void)
{
	struct lockdep_stats s;

	if (!process || process->pid != (uint32_t)syscall(SYS_getpid))
		return;
	lockdep_stats_get(&s);
	process->classes = s.classes;
	process->edges = s.edges;
	process->chains = s.chains;
	process->locks = s.locks;
	process->threads = s.threads;
	process->deepest = s.deepest;
	process->reports = s.reports;
	atomic_store(&process->state, PROCESS_ENDED);
	process = NULL;
}

bool in_forked_child;

/*
 * From here on nothing is watched, as the validator is locked. What the handlers of fork() have
 * locked until now has told its order; others of them unlock it after the fork, unwatched.
 */
static void before_fork(void)
{
	watched();
	if (me.fork_held)
		lockdep_held_drop(me.fork_held - 1);
	me.forks = me.fork_held ? BUSY : me.watch;
	me.watch = BUSY;
	lockdep_fork_prepare();
}

static void after_fork(void)
{
	lockdep_fork_parent();
	me.watch = me.forks;
}

static void in_child(void)
{
	in_forked_child = true;
	threads = 1;
	files_fork();
	me.tid = port_tid();
	port_process();
	lockdep_fork_child();
	process = enter_process(syscall(SYS_getpid));
	me.watch = me.forks;
}

static __attribute__((destructor)) void at_exit(void)
{
	int saved = errno;

	leave_process();
	errno = saved;
}

EXPORT _Noreturn void _exit(int status)
{
	leave_process();
	syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

EXPORT _Noreturn void _Exit(int status) __attribute__((alias("_exit")));

/*
 * Fork handlers may lock all that there is, in an allocator thousands: after so many they are no
 * longer watched. In the child what they have locked is made anew as often as it is unlocked, so
 * what they do after the fork is not watched at all. Those of a fork() that libc makes for itself,
 * in daemon(), are.
 */
void fork_handler_locks(void)
{
	enum { MANY = 48 };

	if (lockdep_held_count() - (me.fork_held - 1) < MANY)
		return;
	lockdep_held_drop(me.fork_held - 1);
	me.watch = BUSY;
}

EXPORT pid_t fork(void)
{
	enum watch watch = (watched(), me.watch);
	uint32_t outer = me.fork_held;
	pid_t pid;

	if (watch == WATCHED)
		me.fork_held = lockdep_held_count() + 1;
	else
		me.watch = BUSY;
	pid = real.fork();
	me.fork_held = outer;
	/* The child does it too, but we may have ended by then, and the tool with us. */
	if (pid > 0 && (watch == WATCHED || watch == COUNTED))
		enter_process(pid);
	me.watch = watch;
	return pid;
}

EXPORT pid_t _Fork(void)
{
	pid_t pid;

	if (!watched_or_counted())
		return real._Fork();
	before_fork();
	pid = real._Fork();
	if (pid == 0)
		in_child();
	else
		after_fork();
	return pid;
}

/* ---- the start ---- */

static bool model_rt;

static const void *site_of(const void *ip)
{
	return class_of_caller(ip);
}

static bool is_rt(void)
{
	return model_rt;
}

static struct lockdep_host host = {
	.rt = is_rt,
	.emit = report_emit,
	.mark = mark_place,
	.raw_nesting = true,
	.by_instance = true,
	.for_several = &semaphore_type,
	.masks_told = true,
	.threads = &threads,
	.handled = &handled,
	.shared = shared_order,
	.site = site_of,
};

/*
 * Looking for what is not there would allocate, and the allocator may take a mutex, which may come
 * before its real function is known. So each is asked for by the version that there is: some have
 * had two for twenty years.
 */
static void find_real(void)
{
#define FIND(f) real.f = dlsym(RTLD_NEXT, #f);
#if defined(__x86_64__)
#define FIND_LATER(f) real.f = dlvsym(RTLD_NEXT, #f, "GLIBC_2.3.2");
#else
#define FIND_LATER(f) FIND(f)
#endif
	REAL_FUNCTIONS(FIND)
	REAL_LATER_FUNCTIONS(FIND_LATER)
	real.siginterrupt = dlsym(RTLD_NEXT, "siginterrupt");
	real.vfprintf_chk = dlsym(RTLD_NEXT, "__vfprintf_chk");
	real.read_chk = dlsym(RTLD_NEXT, "__read_chk");
	real.longjmp_chk = dlsym(RTLD_NEXT, "__longjmp_chk");
}

/* As libc has it, "" names the program. */
static void find_executable(void)
{
	ssize_t n = readlink("/proc/self/exe", executable, sizeof(executable) - 1);

	executable[n > 0 ? n : 0] = '\0';
}

static bool start(void)
{
	const char *path = getenv(NOTICES_ENV), *model = getenv("ANYRCU_PREEMPT"),
		   *raw = getenv("ANYRCU_LOCKDEP_RAW_NESTING");

	if (!path)
		return false;
	model_rt = model && !strcmp(model, "rt");
	host.raw_nesting = !raw || strcmp(raw, "0");
	find_executable();
	find_unwinder();
	notices = shared_map(path, sizeof(*notices), NOTICES_MAGIC, O_NOFOLLOW);
	port_process();
	if (!notices || pthread_key_create(&exit_key, on_thread_exit) != 0 || !lockdep_start(&host))
		return false;
	counting = counts_start();
	atomic_fetch_add(&notices->attached, 1);
	process = enter_process(syscall(SYS_getpid));
	pthread_atfork(before_fork, after_fork, in_child);
	return true;
}

/*
 * The first call may come before any constructor, and may come again from inside of what it calls.
 * There may be no environment yet, as in a sanitizer that is part of the program; then the real
 * functions alone are looked for.
 */
static bool ready(void)
{
	enum { NOT, FINDING, FOUND, STARTING, WATCHING, NOT_WATCHED };
	static uint32_t state;
	int saved = errno;

	switch (load_acquire(&state)) {
	case WATCHING:
		return true;
	case NOT_WATCHED:
		return false;
	}
	if (cmpxchg(&state, (uint32_t)NOT, FINDING)) {
		find_real();
		store_release(&state, FOUND);
	}
	if (!environ || !cmpxchg(&state, (uint32_t)FOUND, STARTING)) {
		errno = saved;
		return false;
	}
	store_release(&state, start() ? WATCHING : NOT_WATCHED);
	errno = saved;
	return load(&state) == WATCHING;
}

/* Also said of what happens in the unwinder and in the start, where the thread stays unknown. */
bool introduce(void)
{
	if (me.watch != UNKNOWN || !ready())
		return false;
	me.watch = BUSY;
	me.tid = port_tid();
	thread_begins();
	/*
	 * The first 32 are kept in the thread itself, so a handler may do it; the constructor makes
	 * ours one of them.
	 */
	pthread_setspecific(exit_key, &me);
	/* whom it has no room for it would not look at */
	me.watch = !lockdep_known_thread() ? OFF : counting ? COUNTED : WATCHED;
	return me.watch == WATCHED;
}

/* A libanyrcu in the program tells the same validator, and is asked for readers. */
EXPORT void anyrcu_lockdep_preloaded(void (*attach)(const struct lockdep_ops *ops),
				     bool (*in_reader)(void))
{
	if (!watched())
		return;
	store_release(&host.in_reader, in_reader);
	attach(&lockdep_engine);
}

static __attribute__((constructor(101))) void at_start(void)
{
	introduce();
	/* Before us, a constructor may have called dlopen(), by less stack than main() has used. */
	if (me.loads)
		loader_left();
}
