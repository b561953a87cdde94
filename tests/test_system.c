/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Systems that refuse what the library would use: membarrier, restartable sequences, CPUs, memory,
 * files, time.
 */
#include "test.h"
#include <anyrcu/cache.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct value {
	struct anyrcu_head head;
	_Atomic int live;
};

static struct value values[1 << 15], *current;
static _Atomic size_t values_used;
static _Atomic long handled, wrong;
static _Atomic bool stop;

static void value_invoked(struct anyrcu_head *head)
{
	atomic_store(&((struct value *)head)->live, 0);
}

static void replace(void)
{
	size_t i = atomic_fetch_add(&values_used, 1);

	if (i >= COUNT(values))
		return;
	atomic_store(&values[i].live, 1);
	anyrcu_call(&__atomic_exchange_n(&current, &values[i], __ATOMIC_ACQ_REL)->head,
		    value_invoked);
}

static void works_in_handler(int sig)
{
	replace();
	object_defer((unsigned)atomic_fetch_add(&handled, 1));
}

static void *works(void *arg)
{
	timer_t t = ticks_start(SIGRTMIN, 300);

	for (int i = 0; i < SCALED(3000) || atomic_load(&handled) < 20; i++) {
		anyrcu_read_lock();
		for (int j = 0; j < 20; j++) {
			if (!atomic_load_explicit(&anyrcu_dereference(current)->live,
						  memory_order_relaxed))
				atomic_fetch_add(&wrong, 1);
		}
		anyrcu_read_unlock();
		if (i % 4 == 0)
			replace();
		object_defer(i);
		if (i % 16 == 0) {
			object_defer_mightsleep();
			anyrcu_free_mightsleep(malloc(32));
		}
		if (i % 1000 == 0) {
			anyrcu_synchronize();
			anyrcu_barrier();
			test_sleep_ms(1);
		}
	}
	timer_delete(t);
	return NULL;
}

/* Readers see no value that was invoked, while threads and their handlers replace it. */
static void workload(void)
{
	pthread_t t[3];

	atomic_store(&values_used, 1);
	atomic_store(&values[0].live, 1);
	anyrcu_assign_pointer(current, &values[0]);
	handle(SIGRTMIN, works_in_handler, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(works, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
	CHECK(!atomic_load(&wrong));
	for (size_t i = 0; i < COUNT(values); i++)
		CHECK(atomic_load(&values[i].live) == (&values[i] == current));
	CHECK(stats().pending == 0);
}

/*
 * From here on, in this process and what it executes, the system call fails as if the kernel did
 * not have or allow it.
 */
static void refuse(unsigned nr, unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = COUNT(code), .filter = code };

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter));
}

static void refuse_membarrier(void)
{
	refuse(SYS_membarrier, EPERM);
}

static void refuse_membarrier_unknown(void)
{
	refuse(SYS_membarrier, ENOSYS);
}

static void refuse_rseq(void)
{
	refuse(SYS_rseq, ENOSYS);
}

static void refuse_both(void)
{
	refuse_rseq();
	refuse_membarrier();
}

static void membarrier_refused_later(void)
{
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pool_check();
	refuse_membarrier();
	workload();
}

/* The workload meets the change at any place. */
static void *refuses_soon(void *arg)
{
	test_sleep_ms(5);
	refuse_membarrier();
	return NULL;
}

static void membarrier_refused_meanwhile(void)
{
	pthread_t t = thread_start(refuses_soon, NULL);

	workload();
	thread_join(t);
}

static void membarrier_and_affinity_refused_later(void)
{
	for (int i = 0; i < 1000; i++)
		object_defer(i);
	pool_check();
	refuse(SYS_sched_setaffinity, EPERM);
	refuse_membarrier();
	for (int i = 0; i < 3000; i++) {
		anyrcu_read_lock();
		object_defer(i);
		anyrcu_read_unlock();
		if (i % 1000 == 0)
			anyrcu_synchronize();
	}
	object_defer_mightsleep();
	pool_check();
}

static void use_one_cpu(void)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	CHECK(!sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; !CPU_COUNT(&one); cpu++) {
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	}
	CHECK(!sched_setaffinity(0, sizeof(one), &one));
}

/* Takes CPUs from all threads and gives them back, so that none finds itself where it was. */
static void *moves_all(void *arg)
{
	cpu_set_t all, one;
	pid_t tids[TASKS_MAX];

	CHECK(!sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; !atomic_load(&stop); cpu = (cpu + 1) % CPU_SETSIZE) {
		size_t n;

		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		n = tasks(tids);
		for (size_t i = 0; i < n; i++)
			sched_setaffinity(tids[i], sizeof(one), &one);
		test_sleep_ms(1);
		for (size_t i = 0; i < n; i++)
			sched_setaffinity(tids[i], sizeof(all), &all);
	}
	return NULL;
}

static void cpus_taken_away(void)
{
	pthread_t t = thread_start(moves_all, NULL);

	workload();
	atomic_store(&stop, true);
	thread_join(t);
}

static void *signalled_to_stop(void *arg)
{
	_Atomic bool *end =
		mmap(NULL, sizeof(*end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t parent = getpid(), pid;

	CHECK(end != MAP_FAILED);
	pid = fork();
	if (!pid) {
		/* Leave the parent the CPU between two stops, and end with it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!atomic_load(end)) {
			test_sleep_ms(2);
			kill(parent, SIGSTOP);
			test_sleep_ms(2);
			kill(parent, SIGCONT);
		}
		_exit(0);
	}
	UNTIL(atomic_load(&stop));
	atomic_store(end, true);
	CHECK(child_ended_well(pid)); /* it ends when it has let us go on, or nobody would */
	return NULL;
}

static void stopped_and_continued(void)
{
	pthread_t t = thread_start(signalled_to_stop, NULL);

	workload();
	atomic_store(&stop, true);
	thread_join(t);
}

/*
 * The library asks for the time here: for none that can be set, and as if the machine had slept for
 * an hour whenever "hours" goes up.
 */
static _Atomic long hours, asked_for_wall_clock;

int clock_gettime(clockid_t id, struct timespec *t)
{
	int r = syscall(SYS_clock_gettime, id, t);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		atomic_fetch_add(&asked_for_wall_clock, 1);
	t->tv_sec += 3600 * atomic_load(&hours);
	return r;
}

static _Atomic long stalls;

static void stalled(const struct anyrcu_stall *s, void *arg)
{
	atomic_fetch_add(&stalls, 1);
}

static void *sleeps_for_hours(void *arg)
{
	while (!atomic_load(&stop)) {
		atomic_fetch_add(&hours, 1);
		test_sleep_ms(1);
	}
	return NULL;
}

static void clock_leaps(void)
{
	pthread_t t = thread_start(sleeps_for_hours, NULL);
	struct holder h;

	CHECK(configure((struct anyrcu_config){ .stall_hook = stalled }) == 0);
	UNTIL(atomic_load(&hours) > 1);
	workload();
	holder_enter(&h);
	object_defer(0);
	UNTIL(atomic_load(&stalls)); /* a reader of some hours is one that stalls */
	holder_leave(&h);
	pool_check();
	atomic_store(&stop, true);
	thread_join(t);
	CHECK(!atomic_load(&asked_for_wall_clock));
}

/* Readers whose sections are short, and who waits for them. */
static void *reads_shortly(void *arg)
{
	while (!atomic_load(&stop)) {
		anyrcu_read_lock();
		test_sleep_ms(1);
		anyrcu_read_unlock();
		anyrcu_synchronize();
	}
	return NULL;
}

/*
 * Each time the machine is suspended for an hour, in the middle of grace periods: no reader has
 * stalled.
 */
static void suspended_is_no_stall(void)
{
	pthread_t t[3];
	struct holder h;

	CHECK(configure((struct anyrcu_config){ .stall_hook = stalled }) == 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(reads_shortly, NULL);
	for (int i = 0; i < 50; i++) {
		holder_enter(&h);
		object_defer(i);
		test_sleep_ms(3);
		atomic_fetch_add(&hours, 1);
		test_sleep_ms(3);
		holder_leave(&h);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
	CHECK(!atomic_load(&stalls) && !stats().stalls);
}

/* Returns after this process was stopped for so long. */
static void stopped_for_ms(long ms)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		kill(parent, SIGSTOP);
		test_sleep_ms(ms);
		kill(parent, SIGCONT);
		_exit(0);
	}
	CHECK(child_ended_well(pid));
}

/*
 * The process is stopped for longer than a stall takes, with a reader inside a section and with
 * none that stays.
 */
static void stopped_is_no_stall(void)
{
	pthread_t t[3];
	struct holder h;

	CHECK(configure((struct anyrcu_config){ .stall_ms = 4000, .stall_hook = stalled }) == 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(reads_shortly, NULL);
	holder_enter(&h);
	object_defer(0);
	test_sleep_ms(20); /* the worker waits for the holder now */
	stopped_for_ms(5000);
	holder_leave(&h);
	stopped_for_ms(5000);
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
	CHECK(!atomic_load(&stalls) && !stats().stalls);
}

#if !ASAN /* which opens files when it looks for leaks */
static void no_files(void)
{
	struct rlimit none = { 3, 3 };

	CHECK(!setrlimit(RLIMIT_NOFILE, &none));
	workload();
}
#endif

#if !ASAN && !TSAN /* whose shadow is larger than any such limit */
static size_t address_space(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%zu", &pages) == 1);
	fclose(f);
	return pages * 4096;
}

static void limit_address_space(size_t more)
{
	struct rlimit l = { .rlim_max = RLIM_INFINITY };

	l.rlim_cur = address_space() + more;
	CHECK(!setrlimit(RLIMIT_AS, &l));
}

static void no_memory(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	static struct {
		void *page;
		unsigned order;
	} all[1 << 12];
	struct anyrcu_stats s;
	unsigned order = ANYRCU_PAGE_ORDER_MAX + 1;
	size_t n = 0;

	for (int i = 0; i < 100; i++)
		object_defer(i);
	pool_check();
	limit_address_space(4 << 20);
	while (order--) {
		while (n < COUNT(all) &&
		       (all[n].page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, order)))
			all[n++].order = order;
	}
	CHECK(n < COUNT(all));
	CHECK(stats().pages_failed >= ANYRCU_PAGE_ORDER_MAX + 1);
	anyrcu_read_lock();
	for (int i = 0; i < 200000; i++)
		object_defer(i);
	CHECK(stats().deferred_chain);
	CHECK(stats().pending);
	CHECK(!atomic_load(&pool[100].invoked));
	anyrcu_read_unlock();
	for (int i = 0; i < 100; i++)
		object_defer_mightsleep();
	s = stats();
	CHECK(s.refused > s.refused_bound);
	pool_check();
	while (n--)
		anyrcu_page_free(all[n].page, all[n].order);
	CHECK(!setrlimit(RLIMIT_AS, &unlimited));
	all[0].page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, ANYRCU_PAGE_ORDER_MAX);
	CHECK(all[0].page);
	anyrcu_page_free(all[0].page, ANYRCU_PAGE_ORDER_MAX);
	for (int i = 0; i < 10000; i++)
		object_defer(i);
	pool_check();
}

/* Their range of addresses is a small part of what the program may have. */
static void caches_leave_addresses(void)
{
	void *p;

	limit_address_space(128 << 20);
	CHECK((p = anyrcu_alloc(10, ANYRCU_GFP_KERNEL)));
	anyrcu_dealloc(p);
	CHECK(mmap(NULL, 72 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static _Atomic int registered;

static void *reads_and_waits(void *arg)
{
	UNTIL(atomic_load(&stop));
	for (int i = 0; i < 100; i++) {
		anyrcu_read_lock();
		CHECK(anyrcu_read_lock_held());
		object_defer(i);
		anyrcu_read_unlock();
	}
	anyrcu_synchronize();
	atomic_fetch_add(&registered, 1);
	UNTIL(atomic_load(&registered) == 300);
	return NULL;
}

/* More threads at once than records were made for, and no memory for others. */
static void no_memory_for_readers(void)
{
	static pthread_t t[300];
	pthread_attr_t attr;

	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, 1 << 16));
	for (size_t i = 0; i < COUNT(t); i++)
		CHECK(!pthread_create(&t[i], &attr, reads_and_waits, NULL));
	limit_address_space(0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	pool_check();
}

/* Little from the start: it may get no pages and no thread, but must get on. */
static void little_memory(void)
{
	rlim_t least = sizeof(pool) + sizeof(values) + (5 << 20);
	struct rlimit as = { least, least }, stack = { 1 << 17, 1 << 17 };

	CHECK(!setrlimit(RLIMIT_STACK, &stack));
	CHECK(!setrlimit(RLIMIT_AS, &as));
}

/* A control group of both versions' interfaces, with a limit. */
static char group[64];

static bool group_write(const char *dir, const char *file, long value)
{
	char path[128];
	FILE *f;
	bool written;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "w");
	if (!f)
		return false;
	written = fprintf(f, "%ld", value) > 0;
	return !fclose(f) && written;
}

static void enter_group(void)
{
	for (int v2 = 0; v2 < 2 && !getenv("TEST_GROUP"); v2++) {
		snprintf(group, sizeof(group), "/sys/fs/cgroup/%sanyrcu-test-%d",
			 v2 ? "" : "memory/", getpid());
		if (mkdir(group, 0755))
			continue;
		if (group_write(group, v2 ? "memory.max" : "memory.limit_in_bytes", 64 << 20) &&
		    group_write(group, "cgroup.procs", getpid()))
			setenv("TEST_GROUP", group, 1);
		else
			rmdir(group);
	}
}

static void *frees(void *arg)
{
	for (int i = 0; i < 200000; i++) {
		char *p = malloc(1024);

		CHECK(p);
		memset(p, i, 1024);
		anyrcu_free_mightsleep(p);
	}
	return NULL;
}

/* Six times as much as the group may have goes through it, and the system ends nobody. */
static void memory_of_group(void)
{
	const char *limited = getenv("TEST_GROUP");
	pthread_t t[2];

	if (!limited) {
		puts("no control group can be made here: not run");
		return;
	}
	CHECK(configure((struct anyrcu_config){ .pending_max = 4096 }) == 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(frees, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	anyrcu_barrier();
	CHECK(stats().deferred == 400000 && stats().invoked == 400000);
	CHECK(group_write("/sys/fs/cgroup/memory", "cgroup.procs", getpid()) ||
	      group_write("/sys/fs/cgroup", "cgroup.procs", getpid()));
	CHECK(!rmdir(limited));
}

static void no_memory_at_start(void)
{
	for (int i = 0; i < 100000; i++)
		object_defer(i);
	object_defer_mightsleep();
	anyrcu_synchronize();
	pool_check();
}
#endif

static const struct test_case cases[] = {
	CASE(workload),
	{ .name = "membarrier_refused", .body = workload, .before = refuse_membarrier },
	{ .name = "membarrier_unknown", .body = workload, .before = refuse_membarrier_unknown },
	{ .name = "rseq_unknown", .body = workload, .before = refuse_rseq },
	{ .name = "rseq_and_membarrier_unknown", .body = workload, .before = refuse_both },
	{ .name = "rseq_off", .body = workload, .env = { "ANYRCU_RSEQ=0" } },
	{ .name = "membarrier_off", .body = workload, .env = { "ANYRCU_MEMBARRIER=0" } },
	{ .name = "both_off", .body = workload, .env = { "ANYRCU_MEMBARRIER=0", "ANYRCU_RSEQ=0" } },
	{ .name = "rseq_off_in_glibc",
	  .body = workload,
	  .env = { "GLIBC_TUNABLES=glibc.pthread.rseq=0" } },
	{ .name = "debug_on", .body = workload, .env = { "ANYRCU_DEBUG=1" } },
	CASE(membarrier_refused_later),
	CASE(membarrier_refused_meanwhile),
	CASE(membarrier_and_affinity_refused_later, .says = { "anyrcu", "membarrier" },
	     .env = { "ANYRCU_MEMBARRIER=1" }),
	{ .name = "one_cpu", .body = workload, .before = use_one_cpu },
	CASE(cpus_taken_away),
	CASE(stopped_and_continued),
	CASE(clock_leaps),
	CASE(suspended_is_no_stall),
	CASE(stopped_is_no_stall),
#if !ASAN
	CASE(no_files),
#endif
#if !ASAN && !TSAN
	CASE(no_memory),
	CASE(caches_leave_addresses),
	CASE(no_memory_for_readers),
	{ .name = "memory_of_group", .body = memory_of_group, .before = enter_group },
	CASE(no_memory_at_start, .before = little_memory),
#endif
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
