/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Forks in handlers of signals that the library leaves open, at random instants of calls that wait
 * and of workers; endings of processes and threads that their authors did not think of; and threads
 * that cannot be had.
 */
#include "test.h"
#include <fcntl.h>
#include <sys/resource.h>

static _Atomic bool stop;

/* ---- handlers that fork ---- */

#define FORKS (TSAN || ASAN ? 30 : 200)

static _Atomic bool in_child;
static _Atomic int forks;
static _Atomic size_t deferring; /* threads that do so and take no signal */

static void child_failed(int line, int status)
{
	char what[64];

	snprintf(what, sizeof(what), "a child ended with status %#x", status);
	test_failed(__FILE__, line, what);
}

static void fork_in_handler(int sig)
{
	int status, saved = errno;
	pid_t pid;

	if (atomic_load(&in_child) || atomic_fetch_add(&forks, 1) >= FORKS)
		return;
	pid = fork();
	if (!pid) {
		atomic_store(&in_child, true);
		alarm(120);
	} else if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			child_failed(__LINE__, status);
	}
	errno = saved;
}

/* What a child does once the call that its parent's handler interrupted has returned. */
static void child_works(void)
{
	for (int i = 0; i < 50; i++)
		object_defer(i);
	anyrcu_synchronize();
	pool_check_but(atomic_load(&deferring));
	_exit(0);
}

static void interrupt_until_forked(void (*call)(void))
{
	timer_t timer;

	/* On a busy machine all forks may come in one section, and take longer than is usual. */
	configure((struct anyrcu_config){ .stall_ms = 3600000 });
	handle(SIGABRT, fork_in_handler, 0);
	timer = ticks_start(SIGABRT, 97);
	while (atomic_load(&forks) < FORKS) {
		for (int i = 0; i < 30; i++)
			object_defer(i);
		call();
		if (atomic_load(&in_child))
			child_works();
	}
	timer_delete(timer);
	pool_check();
}

static void call_synchronize(void)
{
	anyrcu_synchronize();
}

static void call_barrier(void)
{
	anyrcu_barrier();
}

static void call_reclaim(void)
{
	anyrcu_reclaim(17);
}

static void call_gp(void)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	while (!anyrcu_gp_done(gp))
		sched_yield();
	anyrcu_gp_wait(anyrcu_gp_start());
}

static void call_mightsleep(void)
{
	for (int i = 0; i < 40; i++)
		object_defer_mightsleep();
}

static void call_pages(void)
{
	void *page[40];

	for (int i = 0; i < 40; i++)
		page[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, i % 4);
	for (int i = 0; i < 40; i++)
		if (page[i])
			anyrcu_page_free(page[i], i % 4);
}

static void call_init(void)
{
	static unsigned n;

	configure((struct anyrcu_config){ .workers = 1 + n++ % 2 });
}

static void fork_in_synchronize(void)
{
	interrupt_until_forked(call_synchronize);
}

static void fork_in_barrier(void)
{
	interrupt_until_forked(call_barrier);
}

static void fork_in_reclaim(void)
{
	interrupt_until_forked(call_reclaim);
}

static void fork_in_gp(void)
{
	interrupt_until_forked(call_gp);
}

static void fork_in_mightsleep(void)
{
	interrupt_until_forked(call_mightsleep);
}

static void fork_in_pages(void)
{
	interrupt_until_forked(call_pages);
}

static void fork_in_init(void)
{
	interrupt_until_forked(call_init);
}

static void source_waits(void *arg)
{
	anyrcu_synchronize();
}

static const struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_waits };

static void domain_defer(struct anyrcu_domain *d, int n)
{
	while (n--) {
		struct object *o = object_get();

		if (o)
			anyrcu_domain_call(d, &o->head, object_called);
	}
}

static void call_domain(void)
{
	struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL), *e;

	if (!d)
		return;
	domain_defer(d, 30);
	anyrcu_domain_barrier(d);
	domain_defer(d, 30);
	e = anyrcu_domain_create(&source, NULL);
	anyrcu_domain_destroy(d, e);
	domain_defer(e, 30);
	anyrcu_domain_destroy(e, NULL);
}

static void fork_in_domain(void)
{
	interrupt_until_forked(call_domain);
}

static void *reads_and_ends(void *arg)
{
	anyrcu_read_lock();
	atomic_store(&deferring, 1);
	object_defer(0);
	atomic_store(&deferring, 0);
	anyrcu_read_unlock();
	return NULL;
}

/*
 * The handler does not interrupt pthread_create(), whose calloc() may hold the lock that fork()
 * takes.
 */
static void call_threads(void)
{
	sigset_t set;
	pthread_t t;

	sigemptyset(&set);
	sigaddset(&set, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	t = thread_start(reads_and_ends, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	thread_join(t);
}

static void fork_in_threads(void)
{
	interrupt_until_forked(call_threads);
}

/* The same, while other threads are in the middle of all this. */
static void *does_all(void *arg)
{
	static void (*const calls[])(void) = { call_synchronize, call_barrier, call_mightsleep,
					       call_domain, call_pages };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (unsigned i = 0; !atomic_load(&stop); i++)
		calls[i % COUNT(calls)]();
	return NULL;
}

static void fork_beside_others(void)
{
	pthread_t t[2];

	configure((struct anyrcu_config){ .stall_ms = 3600000 }); /* see interrupt_until_forked() */
	t[0] = thread_start(does_all, NULL);
	t[1] = thread_start(does_all, NULL);
	handle(SIGABRT, fork_in_handler, 0);
	while (atomic_load(&forks) < FORKS) {
		timer_t timer = ticks_start(SIGABRT, 197);

		call_domain();
		call_barrier();
		call_gp();
		timer_delete(timer);
		if (atomic_load(&in_child)) {
			anyrcu_synchronize();
			anyrcu_barrier();
			_exit(0);
		}
	}
	atomic_store(&stop, true);
	thread_join(t[0]);
	thread_join(t[1]);
	pool_check();
}

static struct anyrcu_domain *kept;

/*
 * The thread that defers, which is not here, may have been about to defer one when the worker
 * forked.
 */
static void *child_thread(void *arg)
{
	anyrcu_domain_barrier(kept);
	pool_check_but(1);
	_exit(0);
}

/* On a worker: in the child it goes on to be one, and another thread looks on. */
static void fork_on_worker(int sig)
{
	int status, saved = errno;
	pid_t pid;
	pthread_t t;

	if (atomic_load(&in_child) || getpid() == (pid_t)syscall(SYS_gettid))
		return;
	pid = fork();
	if (!pid) {
		atomic_store(&in_child, true);
		alarm(120);
		if (pthread_create(&t, NULL, child_thread, NULL))
			_exit(3);
	} else if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			child_failed(__LINE__, status);
		atomic_fetch_add(&forks, 1);
	}
	errno = saved;
}

static void fork_in_worker(void)
{
	struct anyrcu_domain *d = kept = anyrcu_domain_create(&source, NULL);
	pid_t tids[TASKS_MAX];

	handle(SIGABRT, fork_on_worker, 0);
	for (unsigned i = 0; atomic_load(&forks) < FORKS; i++) {
		size_t n = tasks(tids);

		for (int k = 0; k < 600; k++)
			object_defer(k);
		domain_defer(d, 20);
		for (size_t t = 0; t < n; t++)
			if (tids[t] != getpid())
				syscall(SYS_tgkill, getpid(), tids[t], SIGABRT);
		if (i % 16 == 0) {
			anyrcu_barrier();
			anyrcu_domain_barrier(d);
		}
	}
	anyrcu_domain_destroy(d, NULL);
	pool_check();
}

/* ---- the end of the main thread ---- */

/* Run @main as the main thread of a process of its own; how it ended. */
static int run(void (*main)(void))
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		signal(SIGTERM, SIG_DFL);
		main();
		_exit(4);
	}
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	return status;
}

static void main_exits(void)
{
	for (int i = 0; i < 10; i++)
		object_defer(i);
	pthread_exit(NULL);
}

static void main_exits_with_domain(void)
{
	kept = anyrcu_domain_create(&source, NULL);
	domain_defer(kept, 3);
	pthread_exit(NULL);
}

static void *outlives(void *arg)
{
	test_sleep_ms(300);
	object_defer(1);
	return NULL;
}

static void main_exits_first(void)
{
	thread_start(outlives, NULL);
	pthread_exit(NULL);
}

static void *waits_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void main_exits_others_wait(void)
{
	thread_start(waits_for_ever, NULL);
	alarm(1); /* SIGALRM ends it, which a thread of the program takes */
	pthread_exit(NULL);
}

static void exits_7(void)
{
	_exit(7);
}

static void main_exits_with_handler(void)
{
	atexit(exits_7);
	pthread_exit(NULL);
}

static void handled(int sig, const siginfo_t *info)
{
}

/* The only thread of the library is a handler's. */
static void main_exits_with_action(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .thread = handled };

	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	CHECK(!anyrcu_signal_action(SIGUSR1, &a));
	pthread_exit(NULL);
}

static void ends_first_thread(void)
{
	static bool ended;

	if (!ended) {
		ended = true;
		pthread_exit(NULL);
	}
}

static void main_exits_and_handler_ends_thread(void)
{
	atexit(ends_first_thread);
	pthread_exit(NULL);
}

static struct anyrcu_domain *left;

static void destroy_left(void)
{
	anyrcu_domain_destroy(left, NULL);
}

/* Which of the library's threads runs exit handlers? None that they may have to wait for. */
static void main_exits_and_handler_destroys(void)
{
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	left = anyrcu_domain_create(&source, NULL);
	atexit(destroy_left);
	pthread_exit(NULL);
}

static void ends_any_thread(void *unused)
{
	pthread_exit(NULL);
}

static void nothing(void *unused)
{
}

/* In a barrier of the main thread, in workers, and in the one that ends the process at its exit. */
static void callbacks_end_threads(void)
{
	atexit(anyrcu_barrier);
	for (int i = 0; i < 2000; i++)
		anyrcu_call_mightsleep(i % 100 == 50 ? ends_any_thread : nothing, &kept);
	anyrcu_barrier();
	exit(0);
}

static void main_ends_by_pthread_exit(void)
{
	static const struct {
		void (*body)(void);
		int status;
	} ends[] = {
		{ main_exits, 0 },
		{ main_exits_with_domain, 0 },
		{ main_exits_first, 0 },
		{ main_exits_with_action, 0 },
		{ main_exits_and_handler_destroys, 0 },
		{ main_exits_and_handler_ends_thread, 0 },
		{ callbacks_end_threads, 0 },
		{ main_exits_with_handler, 7 },
	};
	int status;

	for (size_t i = 0; i < COUNT(ends); i++) {
		status = run(ends[i].body);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ends[i].status);
	}
	status = run(main_exits_others_wait);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

static pid_t main_tid;

static void *main_is_dead(void *arg)
{
	char path[64], stat[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)main_tid);
	do {
		test_sleep_ms(10);
		f = fopen(path, "r");
		CHECK(f);
		CHECK(fgets(stat, sizeof(stat), f));
		fclose(f);
	} while (!strstr(stat, ") Z"));
	anyrcu_synchronize();
	_exit(0);
	return NULL;
}

/* A main thread that dies raw inside a section stays as a zombie, and is dead all the same. */
static void main_dies_in_section(void)
{
	main_tid = getpid();
	anyrcu_read_lock();
	thread_start(main_is_dead, NULL);
	syscall(SYS_exit, 0);
}

/* ---- exit() inside a callback, and polling there ---- */

static void exits(struct anyrcu_head *head)
{
	exit(0);
}

static void barrier_at_exit(void)
{
	object_defer(1);
	anyrcu_barrier();
}

static struct object exiting;

static void exit_in_callback_with_barrier(void)
{
	atexit(barrier_at_exit);
	atexit(anyrcu_barrier);
	anyrcu_call(&exiting.head, exits);
	for (;;)
		pause();
}

static _Atomic int polled;

static void polls(void *arg)
{
	anyrcu_gp_t gp = anyrcu_gp_start();

	while (!anyrcu_gp_done(gp))
		sched_yield();
	atomic_store(&polled, 1);
}

static void poll_in_callback(void)
{
	CHECK(anyrcu_call_headless(polls, &polled));
	UNTIL(atomic_load(&polled));
}

/* ---- threads that cannot be had ---- */

/* A child that has no worker goes on without, and gets one as soon as it can. */
static void no_thread_for_child(void)
{
	struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL);
	struct rlimit enough, few;
	pid_t pid;

	/* A user who has no other process; for root there is no limit. */
	if (setresuid(54321, 54321, 54321))
		return;
	UNTIL(tasks_count() == 3);
	CHECK(!getrlimit(RLIMIT_NPROC, &enough));
	few = enough;
	enough.rlim_cur = enough.rlim_max;
	few.rlim_cur = 3 + 1; /* one for the child */
	CHECK(!setrlimit(RLIMIT_NPROC, &few));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 1000; i++)
			object_defer(i);
		domain_defer(d, 100);
		anyrcu_domain_barrier(d);
		pool_check();
		CHECK(!setrlimit(RLIMIT_NPROC, &enough));
		for (int i = 0; i < 100; i++)
			object_defer(i);
		while (tasks_count() < 2) {
			test_sleep_ms(1);
			anyrcu_synchronize();
		}
		_exit(0);
	}
	CHECK(child_ended_well(pid));
}

/* ---- thread-specific keys ---- */

static void many_keys(void)
{
	pthread_key_t key;

	for (int i = 0; i < 40; i++)
		pthread_key_create(&key, NULL);
}

__attribute__((constructor(101))) static void take_keys(void)
{
	if (getenv("TEST_KEYS"))
		many_keys();
}

static void ends_thread(void *arg)
{
	object_invoked(arg);
	pthread_exit(NULL);
}

static void callback_ends_thread(void)
{
	for (int k = 0; k < 20; k++) {
		for (int i = 0; i < 100; i++)
			object_defer(i);
		CHECK(anyrcu_call_headless(ends_thread, object_get()));
		for (int i = 0; i < 100; i++)
			object_defer(i);
		anyrcu_barrier();
	}
	pool_check();
}

/* A thread that a callback ends by a raw system call leaves what it had taken, too. */
static void dies(void *arg)
{
	object_invoked(arg);
	syscall(SYS_exit, 0);
}

static void callback_kills_thread(void)
{
	struct object *last;

	for (int i = 0; i < 100; i++)
		object_defer(i);
	CHECK(anyrcu_call_headless(dies, last = object_get()));
	for (int i = 0; i < 100; i++)
		object_defer(i);
	/* before there is a barrier, which may invoke callbacks itself */
	UNTIL(atomic_load(&last->invoked));
	pool_check();
}

static void domain_ends_thread(struct anyrcu_head *head)
{
	object_called(head);
	pthread_exit(NULL);
}

static void callback_ends_domain(void)
{
	struct anyrcu_domain *d = anyrcu_domain_create(&source, NULL);

	for (int k = 0; k < 20; k++) {
		struct object *o = object_get();

		domain_defer(d, 10);
		anyrcu_domain_call(d, &o->head, domain_ends_thread);
		domain_defer(d, 10);
		anyrcu_domain_barrier(d);
	}
	anyrcu_domain_destroy(d, NULL);
	pool_check();
}

/* ---- workers are ordinary threads ---- */

static void *worker_of_pinned(void *arg)
{
	struct sched_param param = { .sched_priority = 1 };
	cpu_set_t one, set;
	pid_t tids[TASKS_MAX];
	size_t n;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	CHECK(!sched_setaffinity(0, sizeof(one), &one));
	/* By system calls, as musl's functions always fail. */
	if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param))
		CHECK(!syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &(struct sched_param){ 0 }));
	CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
	CHECK(!configure((struct anyrcu_config){ .workers = 2 }));
	UNTIL((n = tasks(tids)) == 4);
	for (size_t i = 0; i < n; i++) {
		if (tids[i] == getpid() || tids[i] == (pid_t)syscall(SYS_gettid))
			continue;
		UNTIL(syscall(SYS_sched_getscheduler, tids[i]) == SCHED_OTHER);
		UNTIL(!sched_getaffinity(tids[i], sizeof(set), &set) &&
		      CPU_COUNT(&set) == *(int *)arg);
	}
	return NULL;
}

static void workers_are_ordinary(void)
{
	cpu_set_t set;
	int n;

	CHECK(!sched_getaffinity(0, sizeof(set), &set));
	n = CPU_COUNT(&set);
	thread_join(thread_start(worker_of_pinned, &n));
	pool_check();
}

/* A CPU that the caller may not run on, but the process may, is right for workers. */
static void worker_cpus_of_process(void)
{
	cpu_set_t all, one;
	int cpu = 0;

	CHECK(!sched_getaffinity(0, sizeof(all), &all));
	if (CPU_COUNT(&all) < 2)
		return;
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK(!sched_setaffinity(0, sizeof(one), &one));
	do
		cpu++;
	while (!CPU_ISSET(cpu, &all));
	CHECK(!configure((struct anyrcu_config){ .worker_cpus = &cpu, .nworker_cpus = 1 }));
	pool_check();
}

/* ---- unshare() after there was a worker ---- */

static void none_left_for_unshare(void)
{
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 1000; k++)
			object_defer(k);
		CHECK(!configure((struct anyrcu_config){ .workers = -1 }));
		CHECK(tasks_count() == 1);
		/* refused while there is another thread */
		CHECK(!unshare(CLONE_SIGHAND | CLONE_VM));
		CHECK(!configure((struct anyrcu_config){ .workers = 1 }));
	}
	pool_check();
}

/* ---- _Fork() ---- */

static void raw_forks_beside_others(void)
{
	pthread_t t = thread_start(does_all, NULL);

	for (int i = 0; i < FORKS; i++) {
		pid_t pid;
		int status;

		object_defer(i);
		test_sleep_ms(i % 3);
		pid = _Fork();
		if (!pid) {
			alarm(120);
			dup2(open("/dev/null", 1), 2);
			for (int k = 0; k < 100; k++)
				object_defer(k);
			anyrcu_synchronize();
			anyrcu_barrier();
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		/* It says that it cannot, where the other thread held a lock of the library. */
		CHECK((WIFEXITED(status) && !WEXITSTATUS(status)) ||
		      (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
		atomic_fetch_add(&polled, WIFEXITED(status));
	}
	CHECK(atomic_load(&polled) > FORKS / 2);
	atomic_store(&stop, true);
	thread_join(t);
	pool_check();
}

/* ---- vfork() ---- */

static _Atomic long given, taken;

static void take_one(void *arg)
{
	atomic_fetch_add(&taken, 1);
}

static void give(int n)
{
	long done = 0;

	while (n--)
		done += anyrcu_call_headless(take_one, &given);
	atomic_fetch_add(&given, done);
}

static void defer_in_handler(int sig)
{
	anyrcu_read_lock();
	give(500);
	anyrcu_read_unlock();
}

static void on_cpu(int n)
{
	cpu_set_t set, one;
	int cpu = 0;

	CHECK(!sched_getaffinity(getpid(), sizeof(set), &set));
	for (n %= CPU_COUNT(&set); !CPU_ISSET(cpu, &set) || n--; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK(!syscall(SYS_sched_setaffinity, 0, sizeof(one), &one));
}

static void *defers(void *arg)
{
	on_cpu(0);
	while (!atomic_load(&stop))
		give(1000);
	return NULL;
}

static void *vforks(void *arg)
{
	char *argv[] = { (char *)"true", NULL };

	for (volatile int i = 0; i < SCALED(400); i++) {
		pid_t pid;
		int status;

		/* that number stays in the area of the thread, while its child is elsewhere */
		on_cpu(0);
		pid = vfork();
		if (!pid) {
			on_cpu(1);
			for (int k = 0; k < 20; k++)
				syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid),
					SIGUSR1);
			if (i % 8 == 0)
				execv("/bin/true", argv);
			_exit(0);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		anyrcu_read_lock(); /* on a record that is this thread's */
		object_defer(1);
		anyrcu_read_unlock();
	}
	return NULL;
}

/*
 * Handlers in the child share memory and thread-local variables with the parent, but not its
 * restartable sequences and number.
 */
static void handlers_in_vfork(void)
{
	pthread_t t[3];

	handle(SIGUSR1, defer_in_handler, 0);
	t[0] = thread_start(defers, NULL);
	t[1] = thread_start(defers, NULL);
	t[2] = thread_start(vforks, NULL);
	thread_join(t[2]);
	atomic_store(&stop, true);
	thread_join(t[0]);
	thread_join(t[1]);
	anyrcu_barrier();
	if (given != taken)
		dprintf(2, "of %ld, %ld were invoked\n", given, taken);
}

static void *reads_first_in_vfork(void *arg)
{
	_Atomic bool *ok = arg;
	struct anyrcu_head *head;
	pid_t pid = vfork();

	if (!pid) {
		anyrcu_read_lock();
		anyrcu_read_unlock();
		_exit(0);
	}
	CHECK(child_ended_well(pid));
	anyrcu_read_lock();
	head = &object_get()->head;
	anyrcu_call(head, object_called);
	test_sleep_ms(100);
	*ok = !atomic_load(&((struct object *)head)->invoked);
	anyrcu_read_unlock();
	return NULL;
}

/* A thread whose first section was in the child does not read under the child's number. */
static void first_section_in_vfork(void)
{
	_Atomic bool ok = false;

	thread_join(thread_start(reads_first_in_vfork, &ok));
	CHECK(ok);
	pool_check();
}

/* ---- SIGURG ---- */

static _Atomic int urged;

static void on_urg(int sig)
{
	atomic_fetch_add(&urged, 1);
}

static void stall_hook(const struct anyrcu_stall *s, void *arg)
{
	atomic_store(&polled, 1);
}

static void *installs(void *arg)
{
	struct sigaction now;

	do
		CHECK(!sigaction(SIGURG, NULL, &now));
	while (now.sa_handler == SIG_DFL); /* then it is the library's, which asks for the stack */
	handle(SIGURG, on_urg, 0);
	return NULL;
}

/* A handler that the program installs while the library asks a reader for its stack stays. */
static void handler_installed_meanwhile(void)
{
	struct holder h;
	struct sigaction now;
	sigset_t set;
	pthread_t t;

	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	/* so that the reader does not answer, and is waited for */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	CHECK(!configure((struct anyrcu_config){ .stall_ms = 50, .stall_hook = stall_hook }));
	holder_enter(&h);
	t = thread_start(installs, NULL);
	object_defer(1);
	UNTIL(atomic_load(&polled));
	thread_join(t);
	sigaction(SIGURG, NULL, &now);
	CHECK(now.sa_handler == on_urg);
	holder_leave(&h);
	pool_check();
}

/* ---- fork() and callbacks that take long ---- */

static void callback_is_long(struct anyrcu_head *head)
{
	while (!atomic_load(&stop))
		test_sleep_ms(1);
	object_called(head);
}

/* Its patience is for all together: with 20 domains that are in callbacks, fork() waits once. */
static void fork_waits_once(void)
{
	struct anyrcu_domain *d[20];
	struct timespec a, b;
	pid_t pid;

	for (size_t i = 0; i < COUNT(d); i++) {
		struct object *o = object_get();

		d[i] = anyrcu_domain_create(&source, NULL);
		anyrcu_domain_call(d[i], &o->head, callback_is_long);
	}
	test_sleep_ms(200);
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid = fork();
	if (!pid)
		_exit(0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK(child_ended_well(pid));
	printf("a fork beside %zu long callbacks took %ld ms\n", COUNT(d),
	       (long)(b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(d); i++)
		anyrcu_domain_destroy(d[i], NULL);
	pool_check();
}

/* ---- fork() while a domain is merged into another ---- */

#define MERGED 20000
static struct merged {
	struct anyrcu_head head;
	int calls;
} merged[MERGED];
static struct anyrcu_domain *from, *into;
static _Atomic bool merging;

static void merged_called(struct anyrcu_head *head)
{
	((struct merged *)head)->calls++;
}

static void *merges(void *arg)
{
	atomic_store(&merging, true);
	anyrcu_domain_destroy(from, into);
	return NULL;
}

static bool each_called_once(void)
{
	bool once = true;

	for (size_t i = 0; i < MERGED; i++) {
		int calls = __atomic_load_n(&merged[i].calls, __ATOMIC_RELAXED);

		CHECK(calls <= 1);
		once &= calls == 1;
	}
	return once;
}

/* What is in neither domain when the other thread is gone is lost, in both it is invoked twice. */
static void fork_beside_merge(void)
{
	const struct anyrcu_domain_config late = { .size = sizeof(late),
						   .pending_max = UINT64_MAX,
						   .delay_us = 1000000 };

	for (int i = 0; i < SCALED(40); i++) {
		pthread_t t;
		pid_t pid;

		memset(merged, 0, sizeof(merged));
		atomic_store(&merging, false);
		from = anyrcu_domain_create(&source, &late);
		into = anyrcu_domain_create(&source, NULL);
		for (size_t k = 0; k < MERGED; k++)
			anyrcu_domain_call(from, &merged[k].head, merged_called);
		t = thread_start(merges, NULL);
		while (!atomic_load(&merging))
			;
		usleep(i * 40);
		pid = fork();
		if (!pid) {
			anyrcu_domain_barrier(into);
			UNTIL(each_called_once());
			_exit(0);
		}
		CHECK(child_ended_well(pid));
		thread_join(t);
		anyrcu_domain_destroy(into, NULL);
		CHECK(each_called_once());
	}
}

static const struct test_case cases[] = {
	CASE(fork_in_synchronize),
	CASE(fork_in_barrier),
	CASE(fork_in_reclaim),
	CASE(fork_in_gp),
	CASE(fork_in_mightsleep),
	CASE(fork_in_pages),
	CASE(fork_in_init),
	CASE(fork_in_domain),
	CASE(fork_in_threads),
	CASE(fork_beside_others),
	CASE(fork_in_worker),
	CASE(main_ends_by_pthread_exit),
	CASE(main_dies_in_section, .says = { "ended inside a read-side critical section" }),
	CASE(exit_in_callback_with_barrier),
	CASE(poll_in_callback),
	CASE(no_thread_for_child, .says = { "no worker could be started" }),
	CASE(callback_ends_thread, .env = { "TEST_KEYS=1" }),
	CASE(callback_kills_thread),
	CASE(callback_ends_domain),
	CASE(workers_are_ordinary),
	CASE(worker_cpus_of_process),
	CASE(none_left_for_unshare),
	CASE(raw_forks_beside_others),
	CASE(handlers_in_vfork),
	CASE(first_section_in_vfork),
	CASE(handler_installed_meanwhile),
	CASE(fork_waits_once),
	CASE(fork_beside_merge),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
