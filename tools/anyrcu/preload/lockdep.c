/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The start, fork, the ends of threads and processes, and the way of reports into the memory shared with the tool. */
#define _GNU_SOURCE
#include "lockdep.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unwind.h>

#include <port/posix/init.h>

#include "notices.h"
#include "shared.h"

struct real real;
__thread __attribute__((tls_model("initial-exec"))) struct me me;

static struct notices *notices;
static struct notice_process *process;
static char executable[4096];

/* ---- what the validator asks of its platform, in place of what the library has ---- */

/*
 * The initialisation of a lock. What initialises locks is often a wrapper, as a library's own mutexes are, so one return address does not tell the
 * classes of its callers' locks apart. A few do.
 */
#define SITE_FRAMES 4
#define SITES 16384

static struct site {
	uint64_t hash;
	const void *ip;
	struct anyrcu_lock_class_key key;
} sites[SITES];

/* Takes no lock, unlike dladdr(). */
static const struct link_map *map_of(const void *address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_link_map : NULL;
}

/*
 * The tool finds the symbol, which may be one that only debug information has. The offset is the address that the file has for it. A class lies
 * where its locks are initialised.
 */
bool __wrap_port_where(const void *address, struct port_where *where)
{
	size_t site = ((uintptr_t)address - (uintptr_t)sites) / sizeof(*sites);
	const struct link_map *map;

	if (site < SITES)
		address = sites[site].ip;
	map = map_of(address);
	if (!map)
		return false;
	*where = (struct port_where){ .module = *map->l_name ? map->l_name : executable,
				      .module_offset = (uintptr_t)address - map->l_addr };
	return true;
}

struct walk {
	const struct link_map *ours;
	void **frames;
	uint32_t n, max;
};

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	void *ip = (void *)_Unwind_GetIP(context);

	if (!ip)
		return _URC_END_OF_STACK;
	if (map_of(ip) == w->ours)
		return _URC_NO_REASON;
	w->frames[w->n++] = ip;
	return w->n < w->max ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* The unwinder may take a mutex, if the program has registered code that it has made. */
uint32_t __wrap_port_stack(void **frames, uint32_t max)
{
	struct walk w = { .ours = map_of(sites), .frames = frames, .max = max };
	enum watch watch = me.watch;

	me.watch = BUSY;
	_Unwind_Backtrace(step, &w);
	me.watch = watch;
	return w.n;
}

static uint64_t hash_in(uint64_t hash, uint64_t v)
{
	hash = (hash ^ v) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

const struct anyrcu_lock_class_key *class_of_caller(const void *ip)
{
	void *frames[SITE_FRAMES];
	uint32_t n = __wrap_port_stack(frames, SITE_FRAMES);
	uint64_t hash = 1;

	for (uint32_t i = 0; i < n; i++)
		hash = hash_in(hash, (uintptr_t)frames[i]);
	for (uint32_t i = 0; i < 64; i++) {
		struct site *s = &sites[(hash + i) % SITES];

		if (!load(&s->hash))
			cmpxchg(&s->hash, (uint64_t)0, hash);
		if (load(&s->hash) != hash)
			continue;
		store(&s->ip, ip); /* the same from all who come here */
		return &s->key;
	}
	return NULL;
}

/* ---- reports ---- */

/* Found again by another process it has the same hash: "[<0x...>]" is left out, what is left says the same by its module. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	bool address = false;

	for (; *text; text++) {
		address = (address && *text != ']') || (text[0] == '[' && text[1] == '<');
		if (!address)
			hash = hash_in(hash, (unsigned char)*text);
	}
	return hash;
}

static uint64_t hash_of(const struct anyrcu_lockdep_report *r)
{
	uint64_t hash = hash_text(1, r->rule_name);
	struct port_where w;

	for (uint32_t i = 0; i < r->nlocks; i++)
		hash = hash_text(hash, r->locks[i]);
	for (uint32_t i = 0; i < r->nframes; i++)
		hash = hash_in(hash, __wrap_port_where(r->frames[i], &w) ? w.module_offset : 0);
	return hash ?: 1;
}

/* Has another process said so? When there is no room to remember it: no. */
static bool said(uint64_t hash)
{
	for (uint32_t i = 0; i < 64; i++) {
		uint64_t seen = 0;

		if (atomic_compare_exchange_strong(&notices->seen[(hash + i) % NOTICES_SEEN], &seen, hash))
			return false;
		if (seen == hash)
			return true;
	}
	return false;
}

static void emit(const struct anyrcu_lockdep_report *r)
{
	uint32_t i, length = strlen(r->text), text;
	struct notice *n;

	if (said(hash_of(r))) {
		atomic_fetch_add(&notices->repeated, 1);
		return;
	}
	i = atomic_fetch_add(&notices->nnotices, 1);
	if (i >= NOTICES)
		return;
	n = &notices->notice[i];
	text = atomic_fetch_add(&notices->ntext, length);
	if (text > NOTICES_TEXT || length > NOTICES_TEXT - text)
		length = 0;
	n->text = text;
	n->length = length;
	memcpy(notices->text + text, r->text, length);
	strncpy(n->rule, r->rule_name, sizeof(n->rule) - 1);
	n->pid = syscall(SYS_getpid);
	strncpy(n->program, program_invocation_short_name, sizeof(n->program) - 1);
	prctl(PR_GET_NAME, n->thread);
	for (n->nlocks = 0; n->nlocks < r->nlocks && n->nlocks < NOTICES_LOCKS; n->nlocks++)
		strncpy(n->lock[n->nlocks], r->locks[n->nlocks], sizeof(n->lock[0]) - 1);
	atomic_store(&n->ready, 1);
}

/* ---- threads and processes ---- */

static bool (*read_lock_held)(void);

static bool in_reader(void)
{
	return read_lock_held && read_lock_held();
}

static pthread_key_t exit_key;

/* Robust mutexes may be held at the end of a thread: who locks them next is told. The kernel has a list of them. */
static void release_robust(void)
{
	struct robust_list_head *head;
	size_t size;

	if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || !head)
		return;
	for (struct robust_list *l = head->list.next; l && l != &head->list;) {
		l = (struct robust_list *)((uintptr_t)l & ~(uintptr_t)1); /* set: it inherits priority */
		lockdep_engine.release((char *)l - offsetof(pthread_mutex_t, __data.__list.__next), NULL);
		l = l->next;
	}
}

/* What the program's destructors still release, it does not hold at its end: so this is to be the last. */
static void on_thread_exit(void *unused)
{
	int saved = errno;

	if (++me.exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(exit_key, &me);
	} else {
		release_robust();
		lockdep_engine.thread_exit(in_reader());
	}
	errno = saved;
}

static struct notice_process *process_place(uint32_t pid)
{
	/* It may have a place: by its parent, or as what it was before it executed another program. */
	for (uint32_t i = 0; i < NOTICES_PROCESSES; i++)
		if (atomic_load(&notices->process[i].state) == PROCESS_RUNS && notices->process[i].pid == pid)
			return &notices->process[i];
	for (uint32_t i = 0; i < NOTICES_PROCESSES; i++) {
		uint32_t none = PROCESS_NONE;

		if (!atomic_compare_exchange_strong(&notices->process[i].state, &none, PROCESS_TAKEN))
			continue;
		notices->process[i].pid = pid;
		return &notices->process[i];
	}
	return NULL;
}

/* The place of a process among those that are watched; none, and the tool does not wait for it, when there are too many. */
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
 * In between nothing is watched, as the validator is locked, and there may be fork handlers older than ours. What they lock before, others of them
 * unlock after.
 */
static void before_fork(void)
{
	watched();
	me.forks = me.watch;
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
 * What fork handlers lock is all that there is, in an allocator maybe thousands, and in the child is made anew as often as it is unlocked: they are not
 * watched. Those of a fork() that libc makes for itself, in daemon(), are.
 */
EXPORT pid_t fork(void)
{
	enum watch watch = (watched(), me.watch);
	pid_t pid;

	me.watch = BUSY;
	pid = real.fork();
	/* The child does it too, but we may have ended by then, and the tool with us. */
	if (pid > 0 && watch == WATCHED)
		enter_process(pid);
	me.watch = watch;
	return pid;
}

EXPORT pid_t _Fork(void)
{
	pid_t pid;

	if (!watched())
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

static bool is_rt(void)
{
	return model_rt;
}

static struct lockdep_host host = {
	.in_reader = in_reader,
	.rt = is_rt,
	.emit = emit,
	.raw_nesting = true,
	.by_instance = true,
	.masks_told = true,
};

/*
 * Looking for what is not there would allocate, and the allocator may take a mutex, which may come before its real function is known. So each is asked for by
 * the version that there is: some have had two for twenty years.
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
	real.longjmp_chk = dlsym(RTLD_NEXT, "__longjmp_chk");
}

/* As libc has it, "" names the program. */
static void find_executable(void)
{
	ssize_t n = readlink("/proc/self/exe", executable, sizeof(executable) - 1);

	executable[n > 0 ? n : 0] = '\0';
}

/* A libanyrcu in the program tells the same validator, and is asked for readers. */
static void attach_library(void)
{
	void (*attach)(const struct lockdep_ops *) = dlsym(RTLD_DEFAULT, "anyrcu_lockdep_attach");

	if (!attach)
		return;
	read_lock_held = (bool (*)(void))dlsym(RTLD_DEFAULT, "anyrcu_read_lock_held");
	attach(&lockdep_engine);
}

static bool start(void)
{
	const char *path = getenv(NOTICES_ENV), *model = getenv("ANYRCU_PREEMPT"), *raw = getenv("ANYRCU_LOCKDEP_RAW_NESTING");

	if (!path)
		return false;
	model_rt = model && !strcmp(model, "rt");
	host.raw_nesting = !raw || strcmp(raw, "0");
	find_executable();
	notices = shared_map(path, sizeof(*notices), NOTICES_MAGIC, O_NOFOLLOW);
	port_process();
	if (!notices || pthread_key_create(&exit_key, on_thread_exit) != 0 || !lockdep_start(&host))
		return false;
	atomic_fetch_add(&notices->attached, 1);
	process = enter_process(syscall(SYS_getpid));
	pthread_atfork(before_fork, after_fork, in_child);
	attach_library();
	return true;
}

/* The first call may come before any constructor, and may come again from inside of what it calls. */
static bool ready(void)
{
	enum { NOT, STARTING, WATCHING, NOT_WATCHED };
	static uint32_t state;
	int saved = errno;

	switch (load_acquire(&state)) {
	case WATCHING:
		return true;
	case NOT_WATCHED:
		return false;
	}
	if (!environ || !cmpxchg(&state, (uint32_t)NOT, STARTING))
		return false;
	find_real();
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
	/* The first 32 are kept in the thread itself, so a handler may do it; the constructor makes ours one of them. */
	pthread_setspecific(exit_key, &me);
	me.watch = WATCHED;
	return true;
}

static __attribute__((constructor(101))) void at_start(void)
{
	introduce();
}
