/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* anyrcu_reclaim_poll() and anyrcu_reclaim_fd(): the library in an event loop, without workers. */
#include "test.h"
#include <anyrcu/cache.h>
#include <anyrcu/page.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <ucontext.h>

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void read_all(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) == sizeof(n))
		;
	CHECK(errno == EAGAIN);
}

/*
 * An event loop until nothing is left. It reads from the descriptor before it asks: what it would
 * read after it is told "nothing" may be written by the next deferral, and only by that one.
 */
static void loop(int fd)
{
	enum anyrcu_reclaim_state state;
	uint64_t ns;

	for (;;) {
		read_all(fd);
		state = anyrcu_reclaim_poll(&ns);
		if (state == ANYRCU_RECLAIM_NOTHING)
			break;
		CHECK(state != ANYRCU_RECLAIM_NOW || ns == 0);
		CHECK(state == ANYRCU_RECLAIM_NOW || ns < 60000000000);
		usleep(ns / 1000);
		anyrcu_reclaim(64);
	}
	CHECK(ns > 0);
}

static void defer_on_signal(int sig)
{
	object_defer(0);
}

static void until_nothing_is_left(void)
{
	int fd = anyrcu_reclaim_fd();
	struct holder h;

	CHECK(fd >= 0 && anyrcu_reclaim_fd() == fd);
	CHECK(readable(fd, 0)); /* look first */
	loop(fd);
	CHECK(!readable(fd, 20) && anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_NOTHING);
	object_defer(0);
	CHECK(readable(fd, 60000) && anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_LATER);
	loop(fd);
	CHECK(stats().pending == 0);
	handle(SIGUSR1, defer_on_signal, 0);
	raise(SIGUSR1);
	CHECK(readable(fd, 60000));
	holder_enter(&h);
	while (anyrcu_reclaim_poll(NULL) != ANYRCU_RECLAIM_READERS)
		anyrcu_reclaim(64);
	anyrcu_reclaim(64);
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_READERS && stats().pending == 1);
	holder_leave(&h);
	loop(fd);
	anyrcu_gp_start();
	CHECK(readable(fd, 60000) && anyrcu_reclaim_poll(NULL) != ANYRCU_RECLAIM_NOTHING);
	loop(fd);
	pool_check();
}

/* Full pages behind others that wait for a reader are nothing to do now: a loop would not sleep. */
static void backlog_behind_a_reader(void)
{
	int fd = anyrcu_reclaim_fd();
	struct holder h;

	loop(fd);
	holder_enter(&h);
	object_defer(0);
	while (anyrcu_reclaim_poll(NULL) != ANYRCU_RECLAIM_READERS)
		anyrcu_reclaim(64);
	for (int i = 0; i < 50000; i++)
		CHECK(anyrcu_free_headless(malloc(16)));
	anyrcu_reclaim(64);
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_READERS && stats().pending > 50000);
	holder_leave(&h);
	loop(fd);
	pool_check();
}

/* What is ready need not wait for what waits for a reader. */
static void ready_beside_a_reader(void)
{
	int fd = anyrcu_reclaim_fd();
	struct holder h;

	CHECK(!configure((struct anyrcu_config){ .workers = -1, .delay_us = 1 }));
	loop(fd);
	for (int i = 0; i < 3; i++)
		object_defer(0);
	while (anyrcu_reclaim(1) == 0)
		;
	holder_enter(&h);
	object_defer(0);
	usleep(1000);
	CHECK(anyrcu_reclaim(0) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_NOW && anyrcu_reclaim(1) == 1);
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_READERS);
	holder_leave(&h);
	loop(fd);
	pool_check();
}

/* The last one to be deferred by several threads is not forgotten. */
static void *defers_some(void *arg)
{
	for (unsigned i = 0; i < SCALED(2000); i++) {
		object_defer(i);
		if (i % 64 == 0)
			test_sleep_ms(1);
	}
	return NULL;
}

static void beside_threads(void)
{
	int fd = anyrcu_reclaim_fd();
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		t[i] = thread_start(defers_some, NULL);
	while (stats().invoked < 3 * SCALED(2000)) {
		loop(fd);
		if (stats().invoked < 3 * SCALED(2000))
			CHECK(readable(fd, 60000));
	}
	for (int i = 0; i < 3; i++)
		thread_join(t[i]);
	pool_check();
}

static void uses_its_own(int fd)
{
	int own = anyrcu_reclaim_fd();

	CHECK(own >= 0 && own != fd);
	loop(own);
	object_defer(0);
	CHECK(readable(own, 60000));
	loop(own);
	_exit(stats().pending != 0);
}

static void fd_of_a_child(void)
{
	int fd = anyrcu_reclaim_fd();
	pid_t pid;

	loop(fd);
	pid = fork();
	if (!pid)
		uses_its_own(fd);
	CHECK(child_ended_well(pid));
	CHECK(!readable(fd, 0));
}

#if !TSAN /* which does not see a child made so, and takes it for its parent */
static atomic_bool stop;

static void *polls(void *arg)
{
	while (!atomic_load(&stop))
		anyrcu_reclaim_poll(NULL);
	return NULL;
}

/* If another thread held a lock, the child is told so, and does not wait for it. */
static void fd_of_a_raw_child(void)
{
	pthread_t t = thread_start(polls, NULL);
	int fd = anyrcu_reclaim_fd(), null = open("/dev/null", O_WRONLY);

	for (int i = 0; i < 100; i++) {
		pid_t pid = _Fork();
		int status;

		if (!pid) {
			dup2(null, STDERR_FILENO);
			uses_its_own(fd);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
	}
	atomic_store(&stop, true);
	thread_join(t);
}
#endif

#if !TSAN /* which does not know vfork() */
/* It shares the memory, and so what the loop was told. */
static void vfork_child_defers(void)
{
	int fd = anyrcu_reclaim_fd(), status;
	pid_t pid;

	loop(fd);
	pid = vfork();
	if (!pid) {
		object_defer(0);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(readable(fd, 60000));
	loop(fd);
	pool_check();
}
#endif

/* As after daemon(), or in a child of vfork() that has arranged its descriptors. */
static void file_in_its_place(void)
{
	int fd = anyrcu_reclaim_fd(), file = fileno(tmpfile());

	loop(fd);
	CHECK(dup2(file, fd) == fd);
	object_defer(0);
	CHECK(lseek(fd, 0, SEEK_END) == 0);
	pool_check();
}

/* ---- a delay is cut short ---- */

static void hurries(int fd)
{
	enum anyrcu_reclaim_state state;

	CHECK(readable(fd, 60000));
	read_all(fd);
	state = anyrcu_reclaim_poll(NULL);
	CHECK(state == ANYRCU_RECLAIM_NOW || state == ANYRCU_RECLAIM_READERS);
	anyrcu_barrier();
}

/* One object is deferred, and the loop is to wait for ten seconds. */
static void waits(int fd)
{
	loop(fd);
	object_defer(0);
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_LATER);
	read_all(fd); /* the loop slept, and that was the first object */
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_LATER);
	CHECK(anyrcu_free_headless_sized(malloc(16), 16)); /* opens another page */
	CHECK(!readable(fd, 20));
}

static void delay_is_cut_short(void)
{
	int fd = anyrcu_reclaim_fd();

	CHECK(!configure((struct anyrcu_config){
		.workers = -1, .delay_us = 10000000, .pending_bytes_max = 65536 }));
	waits(fd);
	anyrcu_gp_start();
	hurries(fd);
	waits(fd);
	CHECK(anyrcu_free_headless_sized(malloc(16), 40000));
	hurries(fd);
	waits(fd);
	for (int i = 0; i < 100000 && !readable(fd, 0); i++)
		CHECK(anyrcu_free_headless(malloc(16)));
	hurries(fd);
	/* and what came before the loop asks */
	loop(fd);
	object_defer(0);
	CHECK(anyrcu_free_headless_sized(malloc(16), 40000));
	CHECK(anyrcu_reclaim_poll(NULL) == ANYRCU_RECLAIM_NOW);
	anyrcu_barrier();
	pool_check();
}

#if defined(__x86_64__) && !TSAN /* whose own code holds locks between two instructions */
#define STEPS 1
#define TRAP_FLAG 0x100
static volatile bool steps;
static unsigned instruction, asked_at;

static void ask_once(int sig, siginfo_t *info, void *context)
{
	if (!steps)
		((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	else if (++instruction == asked_at)
		anyrcu_reclaim_poll(NULL);
}

/*
 * The loop is told that there is nothing, and sleeps. Another thread, for which a handler stands
 * here, is told "later" in the middle of the next deferral: the loop is woken nevertheless.
 */
static void two_ask(void)
{
	struct sigaction act = { .sa_sigaction = ask_once, .sa_flags = SA_SIGINFO };
	int fd = anyrcu_reclaim_fd();

	CHECK(!configure((struct anyrcu_config){ .workers = -1, .delay_us = 10000000 }));
	CHECK(!sigaction(SIGTRAP, &act, NULL));
	/* 250 places at most, as all instructions up to there are stepped through each time */
	for (asked_at = 1; asked_at <= instruction + 16; asked_at += 16 + instruction / 250) {
		void *p = malloc(16);

		anyrcu_barrier();
		loop(fd);
		instruction = 0;
		steps = true;
		__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
		CHECK(anyrcu_free_headless(p));
		steps = false;
		CHECK(readable(fd, 0));
	}
	anyrcu_barrier();
}
#else
#define STEPS 0
#endif

/* ---- memory, while nothing is deferred ---- */

/* One turn of an event loop that has nothing else to do. */
static void turn(int fd)
{
	uint64_t ns;
	enum anyrcu_reclaim_state state = anyrcu_reclaim_poll(&ns);

	CHECK((ns == 0) == (state == ANYRCU_RECLAIM_NOW));
	CHECK(ns <= 1000000000 || (state == ANYRCU_RECLAIM_NOTHING && ns == UINT64_MAX));
	/* What the test waits for was done in this call if there is nothing more to do. */
	if (state != ANYRCU_RECLAIM_NOW && ns != UINT64_MAX)
		readable(fd, ns / 1000000 + 1);
	read_all(fd);
	if (state == ANYRCU_RECLAIM_NOW || state == ANYRCU_RECLAIM_READERS)
		anyrcu_reclaim(64);
}

static void *page[4096];

static size_t pages_until_refused(size_t n)
{
	while (n < COUNT(page) && (page[n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
		n++;
	return n;
}

/* The reserve for NO_LOCKS is refilled, and given back later. */
static void reserve_of_pages(void)
{
	int fd = anyrcu_reclaim_fd();
	size_t n = pages_until_refused(0);
	uint64_t mapped;

	while (n < COUNT(page)) {
		turn(fd);
		n = pages_until_refused(n);
	}
	mapped = stats().pages_mapped;
	while (n)
		anyrcu_page_free(page[--n], 0);
	while (stats().pages_mapped >= mapped)
		turn(fd);
}

/* Also while an object waits for a long delay. */
static void reserve_beside_a_delay(void)
{
	CHECK(!configure((struct anyrcu_config){ .workers = -1, .delay_us = 10000000 }));
	waits(anyrcu_reclaim_fd());
	reserve_of_pages();
}

static void caches_that_are_wanted(void)
{
	int fd = anyrcu_reclaim_fd();
	void *p;

	while (!(p = anyrcu_alloc(100, ANYRCU_GFP_NO_LOCKS)))
		turn(fd);
	anyrcu_dealloc(p);
}

static struct rlimit memory;

/* There is memory, and there is none, in turn. */
static void flicker(int sig)
{
	struct rlimit none = { 4096, memory.rlim_max };
	static bool there = true;

	there = !there;
	setrlimit(RLIMIT_AS, there ? &memory : &none);
}

/* Memory for some of the caches only: the others are made later. */
static void caches_that_lack_memory(void)
{
	int fd = anyrcu_reclaim_fd();
	size_t size = ANYRCU_CACHE_OBJECT_MAX;
	struct itimerval often = { { 0, 20 }, { 0, 20 } }, never = { 0 };
	void *p;

	CHECK(!getrlimit(RLIMIT_AS, &memory));
	handle(SIGALRM, flicker, SA_RESTART);
	CHECK(!setitimer(ITIMER_REAL, &often, NULL));
	while (!(p = anyrcu_alloc(size, ANYRCU_GFP_NO_LOCKS)))
		anyrcu_reclaim(64);
	anyrcu_dealloc(p);
	CHECK(!setitimer(ITIMER_REAL, &never, NULL) && !setrlimit(RLIMIT_AS, &memory));
	for (; size > 0; size -= 16) {
		while (!(p = anyrcu_alloc(size, ANYRCU_GFP_NO_LOCKS)))
			turn(fd);
		anyrcu_dealloc(p);
	}
}

static void cache_that_is_idle(void)
{
	struct anyrcu_cache_config config = { .size = sizeof(config),
					      .name = "idle",
					      .object_size = 1000 };
	struct anyrcu_cache_stats s = { .size = sizeof(s) };
	struct anyrcu_cache *c = anyrcu_cache_create(&config);
	int fd = anyrcu_reclaim_fd();
	void *p[2000];

	CHECK(c);
	for (size_t i = 0; i < COUNT(p); i++)
		CHECK((p[i] = anyrcu_cache_alloc(c, ANYRCU_GFP_KERNEL)));
	for (size_t i = 0; i < COUNT(p); i++)
		anyrcu_cache_free_deferred(c, p[i]);
	do {
		turn(fd);
		anyrcu_cache_stats_get(c, &s);
	} while (s.bytes > COUNT(p) * 500);
	CHECK(!anyrcu_cache_destroy(c));
}

static const struct test_case cases[] = {
	CASE(until_nothing_is_left, .env = { "ANYRCU_WORKERS=0" }),
	CASE(backlog_behind_a_reader, .env = { "ANYRCU_WORKERS=0" }),
	CASE(ready_beside_a_reader),
	CASE(beside_threads, .env = { "ANYRCU_WORKERS=0" }),
	CASE(fd_of_a_child, .env = { "ANYRCU_WORKERS=0" }),
#if !TSAN
	CASE(fd_of_a_raw_child, .env = { "ANYRCU_WORKERS=0" }),
#endif
#if !TSAN
	CASE(vfork_child_defers, .env = { "ANYRCU_WORKERS=0" }),
#endif
	CASE(file_in_its_place, .env = { "ANYRCU_WORKERS=0" }),
	CASE(delay_is_cut_short),
#if STEPS
	CASE(two_ask),
#endif
	CASE(reserve_of_pages, .env = { "ANYRCU_WORKERS=0" }),
	CASE(reserve_beside_a_delay),
	CASE(caches_that_are_wanted, .env = { "ANYRCU_WORKERS=0" }),
	CASE(caches_that_lack_memory, .env = { "ANYRCU_WORKERS=0" }),
	CASE(cache_that_is_idle, .env = { "ANYRCU_WORKERS=0" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
