/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Locks: exclusion, order, priority, and signals in the middle of them, under each model. */
#include "test.h"

#define FULL .env = { "ANYRCU_PREEMPT=full" }
#define RT .env = { "ANYRCU_PREEMPT=rt" }
#define THREADS 4

static anyrcu_raw_spinlock_t raw = ANYRCU_RAW_SPINLOCK_INIT, raw_other = ANYRCU_RAW_SPINLOCK_INIT;
static anyrcu_spinlock_t spin = ANYRCU_SPINLOCK_INIT;
static anyrcu_mutex_t mutex = ANYRCU_MUTEX_INIT;
static anyrcu_rwlock_t rwlock = ANYRCU_RWLOCK_INIT;

static void raw_lock(void)
{
	anyrcu_raw_spin_lock(&raw);
}
static void raw_unlock(void)
{
	anyrcu_raw_spin_unlock(&raw);
}
static bool raw_trylock(void)
{
	return anyrcu_raw_spin_trylock(&raw);
}
static void spin_lock(void)
{
	anyrcu_spin_lock(&spin);
}
static void spin_unlock(void)
{
	anyrcu_spin_unlock(&spin);
}
static bool spin_trylock(void)
{
	return anyrcu_spin_trylock(&spin);
}
static void mutex_lock(void)
{
	anyrcu_mutex_lock(&mutex);
}
static void mutex_unlock(void)
{
	anyrcu_mutex_unlock(&mutex);
}
static bool mutex_trylock(void)
{
	return anyrcu_mutex_trylock(&mutex);
}
static void write_lock(void)
{
	anyrcu_rwlock_write_lock(&rwlock);
}
static void write_unlock(void)
{
	anyrcu_rwlock_write_unlock(&rwlock);
}
static bool write_trylock(void)
{
	return anyrcu_rwlock_write_trylock(&rwlock);
}
static void read_lock(void)
{
	anyrcu_rwlock_read_lock(&rwlock);
}
static void read_unlock(void)
{
	anyrcu_rwlock_read_unlock(&rwlock);
}
static bool read_trylock(void)
{
	return anyrcu_rwlock_read_trylock(&rwlock);
}

static __thread uint64_t flags;
static void raw_lock_irqsave(void)
{
	flags = anyrcu_raw_spin_lock_irqsave(&raw);
}
static void raw_unlock_irqrestore(void)
{
	anyrcu_raw_spin_unlock_irqrestore(&raw, flags);
}
static void spin_lock_irqsave(void)
{
	flags = anyrcu_spin_lock_irqsave(&spin);
}
static void spin_unlock_irqrestore(void)
{
	anyrcu_spin_unlock_irqrestore(&spin, flags);
}

static const struct kind {
	void (*lock)(void), (*unlock)(void);
	bool (*trylock)(void);
} kinds[] = {
	{ raw_lock, raw_unlock, raw_trylock },
	{ spin_lock, spin_unlock, spin_trylock },
	{ mutex_lock, mutex_unlock, mutex_trylock },
	{ write_lock, write_unlock, write_trylock },
	{ raw_lock_irqsave, raw_unlock_irqrestore, NULL },
	{ spin_lock_irqsave, spin_unlock_irqrestore, NULL },
};

/* ---- exclusion ---- */

/* Two counts that only holders touch, and not at once. */
static volatile long first, second;
static _Atomic long right;
static _Atomic bool stop;

static void inside(void)
{
	long n = first;

	CHECK(n == second);
	first = n + 1;
	if (n % 64 == 0)
		sched_yield();
	second = n + 1;
	atomic_fetch_add(&right, 1);
}

static void *take_turns(void *arg)
{
	const struct kind *k = arg;

	for (int i = 0; i < SCALED(5000); i++) {
		if (i % 4 != 3 || !k->trylock) {
			k->lock();
		} else if (!k->trylock()) {
			continue;
		}
		inside();
		k->unlock();
	}
	return NULL;
}

static void in_threads(void *(*f)(void *), const void *arg, int n)
{
	pthread_t t[16];

	for (int i = 0; i < n; i++)
		t[i] = thread_start(f, (void *)arg);
	for (int i = 0; i < n; i++)
		thread_join(t[i]);
}

static void exclusion(void)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		first = second = 0;
		atomic_store(&right, 0);
		in_threads(take_turns, &kinds[i], THREADS);
		CHECK(first == second && first == atomic_load(&right));
	}
}

static void *read_and_write(void *arg)
{
	for (int i = 0; i < SCALED(5000); i++) {
		if (i % 8 == 0) {
			write_lock();
			inside();
			write_unlock();
		} else if (i % 3 || read_trylock()) {
			if (i % 3)
				read_lock();
			CHECK(first == second);
			if (i % 64 == 1)
				sched_yield();
			CHECK(first == second);
			read_unlock();
		}
	}
	return NULL;
}

static void exclusion_readers(void)
{
	in_threads(read_and_write, NULL, THREADS);
	CHECK(first == atomic_load(&right));
}

/* Handlers that take another lock, whatever of the first one they interrupt. */
static volatile long others;
static _Atomic long handled;

static void take_other(int sig)
{
	anyrcu_raw_spin_lock(&raw_other);
	others = others + 1;
	anyrcu_raw_spin_unlock(&raw_other);
	atomic_fetch_add(&handled, 1);
}

static void *take_turns_ticking(void *arg)
{
	/* no more often than a handler can be done, on a busy machine too */
	timer_t t = ticks_start(SIGRTMIN, 997);

	take_turns(arg);
	timer_delete(t);
	return NULL;
}

static void exclusion_amid_handlers(void)
{
	handle(SIGRTMIN, take_other, 0);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		first = second = 0;
		atomic_store(&right, 0);
		in_threads(take_turns_ticking, &kinds[i], THREADS);
		CHECK(first == second && first == atomic_load(&right));
	}
	UNTIL(others == atomic_load(&handled));
	CHECK(others);
}

/* The same lock in handlers and below them. */
static void take_same(int sig)
{
	uint64_t saved = anyrcu_raw_spin_lock_irqsave(&raw);

	inside();
	anyrcu_raw_spin_unlock_irqrestore(&raw, saved);
}

static void exclusion_from_handlers(void)
{
	handle(SIGRTMIN, take_same, 0);
	in_threads(take_turns_ticking, &kinds[4], THREADS);
	CHECK(first == second);
	UNTIL(first == atomic_load(&right));
}

/* ---- what else the operations promise ---- */

static void *trylock_fails(void *arg)
{
	const struct kind *k = arg;

	CHECK(!k->trylock());
	return NULL;
}

static void *trylock_works(void *arg)
{
	const struct kind *k = arg;

	CHECK(k->trylock());
	k->unlock();
	return NULL;
}

static void trylock(void)
{
	static const struct kind reader = { .trylock = read_trylock, .unlock = read_unlock };

	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (!kinds[i].trylock)
			continue;
		CHECK(kinds[i].trylock());
		in_threads(trylock_fails, &kinds[i], 1);
		kinds[i].unlock();
		kinds[i].lock();
		in_threads(trylock_fails, &kinds[i], 1);
		kinds[i].unlock();
		in_threads(trylock_works, &kinds[i], 1);
	}
	read_lock();
	in_threads(trylock_works, &reader, 1);
	in_threads(trylock_fails, &kinds[3], 1);
	read_unlock();
	write_lock();
	in_threads(trylock_fails, &reader, 1);
	write_unlock();
	in_threads(trylock_works, &kinds[3], 1);
}

/* Initialised by the functions, and nested as they allow. */
static void init(void)
{
	struct {
		anyrcu_raw_spinlock_t raw;
		anyrcu_spinlock_t spin;
		anyrcu_mutex_t mutex;
		anyrcu_rwlock_t rwlock;
	} l[2];

	memset(l, 0xff, sizeof(l));
	for (int i = 0; i < 2; i++) {
		anyrcu_raw_spin_init(&l[i].raw);
		anyrcu_spin_init(&l[i].spin);
		anyrcu_mutex_init(&l[i].mutex);
		anyrcu_rwlock_init(&l[i].rwlock);
		anyrcu_mutex_lock_nested(&l[i].mutex, i);
		anyrcu_mutex_unlock(&l[i].mutex);
	}
	anyrcu_mutex_lock(&l[0].mutex);
	anyrcu_mutex_lock_nested(&l[1].mutex, 1);
	anyrcu_rwlock_write_lock(&l[0].rwlock);
	anyrcu_spin_lock(&l[0].spin);
	anyrcu_spin_lock_nested(&l[1].spin, 1);
	anyrcu_raw_spin_lock(&l[0].raw);
	anyrcu_raw_spin_lock_nested(&l[1].raw, 1);
	CHECK(!anyrcu_raw_spin_trylock(&l[0].raw));
	anyrcu_raw_spin_unlock(&l[0].raw);
	anyrcu_raw_spin_unlock(&l[1].raw);
	anyrcu_spin_unlock(&l[0].spin);
	anyrcu_spin_unlock(&l[1].spin);
	anyrcu_rwlock_write_unlock(&l[0].rwlock);
	anyrcu_mutex_unlock(&l[1].mutex);
	anyrcu_mutex_unlock(&l[0].mutex);
	for (int i = 0; i < 2; i++)
		anyrcu_mutex_destroy(&l[i].mutex);
	CHECK(sizeof(anyrcu_raw_spinlock_t) == 8 && sizeof(anyrcu_spinlock_t) == 8 &&
	      sizeof(anyrcu_mutex_t) == 4 && sizeof(anyrcu_rwlock_t) == 16);
}

static volatile sig_atomic_t came;

static void note(int sig)
{
	came = came + 1;
}

static void irqsave_blocks(void)
{
	uint64_t outer, inner;

	handle(SIGUSR1, note, 0);
	outer = anyrcu_spin_lock_irqsave(&spin);
	raise(SIGUSR1);
	CHECK(!came);
	inner = anyrcu_raw_spin_lock_irqsave(&raw);
	CHECK(!came);
	anyrcu_raw_spin_unlock_irqrestore(&raw, inner);
	CHECK(!came);
	anyrcu_spin_unlock_irqrestore(&spin, outer);
	UNTIL(came == 1);
	inner = anyrcu_raw_spin_lock_irqsave(&raw);
	raise(SIGUSR1);
	UNTIL(came == 1);
	anyrcu_raw_spin_unlock_irqrestore(&raw, inner);
	UNTIL(came == 2);
	raise(SIGUSR1);
	UNTIL(came == 3);
	/* What a fault raises must reach its handler. */
	handle(SIGSEGV, note, 0);
	outer = anyrcu_raw_spin_lock_irqsave(&raw);
	raise(SIGSEGV);
	UNTIL(came == 4);
	anyrcu_raw_spin_unlock_irqrestore(&raw, outer);
}

/* ---- order ---- */

static int order[8], arrived;

static void *queue_up(void *arg)
{
	anyrcu_raw_spin_lock(&raw);
	order[arrived++] = (int)(intptr_t)arg;
	anyrcu_raw_spin_unlock(&raw);
	return NULL;
}

/* Each waiter changes the lock's word as it joins the queue. */
static void raw_is_fair(void)
{
	pthread_t t[COUNT(order)];
	uint64_t was;

	anyrcu_raw_spin_lock(&raw);
	for (size_t i = 0; i < COUNT(order); i++) {
		was = __atomic_load_n(&raw.word, __ATOMIC_RELAXED);
		t[i] = thread_start(queue_up, (void *)i);
		UNTIL(__atomic_load_n(&raw.word, __ATOMIC_RELAXED) != was);
	}
	anyrcu_raw_spin_unlock(&raw);
	for (size_t i = 0; i < COUNT(order); i++)
		thread_join(t[i]);
	for (size_t i = 0; i < COUNT(order); i++)
		CHECK(order[i] == (int)i);
}

static _Atomic int reading;

static void *read_on(void *arg)
{
	while (!atomic_load(&stop)) {
		read_lock();
		atomic_fetch_add(&reading, 1);
		for (int i = 0; i < 100; i++)
			sched_yield();
		atomic_fetch_sub(&reading, 1);
		read_unlock();
	}
	return NULL;
}

/* There is always somebody reading, but for the writer. */
static void writer_is_not_starved(void)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		t[i] = thread_start(read_on, NULL);
	UNTIL(atomic_load(&reading));
	for (int i = 0; i < 100; i++) {
		write_lock();
		CHECK(!atomic_load(&reading));
		write_unlock();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		thread_join(t[i]);
}

static _Atomic int writing;

static void *write_once(void *arg)
{
	write_lock();
	atomic_store(&writing, 1);
	write_unlock();
	return NULL;
}

static bool read_trylock_once(void)
{
	bool got = read_trylock();

	if (got)
		read_unlock();
	return got;
}

static void *read_once(void *arg)
{
	read_lock();
	CHECK(atomic_load(&writing));
	read_unlock();
	return NULL;
}

static void reader_does_not_overtake(void)
{
	pthread_t w, r;

	read_lock();
	w = thread_start(write_once, NULL);
	UNTIL(!read_trylock_once());
	r = thread_start(read_once, NULL);
	test_sleep_ms(20);
	CHECK(!atomic_load(&writing));
	read_unlock();
	thread_join(w);
	thread_join(r);
}

static void read_in_handler(int sig, siginfo_t *info, void *context)
{
	read_lock();
	came = 1;
	read_unlock();
}

/* The thread below reads, and a writer waits for it, which has the signal blocked. */
static void handler_overtakes(void)
{
	struct anyrcu_signal_action a = { .size = sizeof(a), .hard = read_in_handler };
	sigset_t usr1, was;
	pthread_t w;

	CHECK(!anyrcu_signal_action(SIGUSR1, &a));
	read_lock();
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &was);
	w = thread_start(write_once, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	UNTIL(!read_trylock_once());
	raise(SIGUSR1);
	CHECK(came && !atomic_load(&writing));
	read_unlock();
	thread_join(w);
}

/* ---- priority ---- */

/* As the kernel has it: -1 - n for real-time priority n. */
static int priority_of(pid_t tid)
{
	char path[64], text[512], *at;
	ssize_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	CHECK(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	CHECK(n > 0);
	text[n] = 0;
	at = strrchr(text, ')');
	CHECK(at);
	for (int field = 2; field < 18; field++)
		at = strchr(at + 1, ' ');
	return atoi(at);
}

static void *wait_urgently(void *arg)
{
	const struct kind *k = arg;
	struct sched_param p = { .sched_priority = 10 };

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &p))
		return (void *)1;
	k->lock();
	k->unlock();
	return NULL;
}

static void inherits(void)
{
	pid_t me = (pid_t)syscall(SYS_gettid);
	struct sched_param p = { .sched_priority = 10 };
	pthread_t t;
	void *refused;

	if (sched_setscheduler(0, SCHED_FIFO, &p)) {
		printf("SKIPPED: real-time priorities are not permitted here\n");
		return;
	}
	p.sched_priority = 0;
	CHECK(!sched_setscheduler(0, SCHED_OTHER, &p) && priority_of(me) >= 0);
	for (size_t i = 1; i < COUNT(kinds) - 2; i++) { /* all but the raw one */
		kinds[i].lock();
		t = thread_start(wait_urgently, (void *)&kinds[i]);
		UNTIL(priority_of(me) == -11);
		kinds[i].unlock();
		UNTIL(priority_of(me) >= 0);
		CHECK(!pthread_join(t, &refused) && !refused);
	}
}

/* ---- mistakes ---- */

static void taken_twice(void)
{
	spin_lock();
	spin_lock();
}

static void mutex_taken_twice(void)
{
	mutex_lock();
	mutex_lock();
}

static void *unlock_it(void *arg)
{
	spin_unlock();
	return NULL;
}

static void released_by_another(void)
{
	spin_lock();
	in_threads(unlock_it, NULL, 1);
}

static void *end_with_it(void *arg)
{
	spin_lock();
	return NULL;
}

static void holder_has_ended(void)
{
	in_threads(end_with_it, NULL, 1);
	spin_lock();
}

/* ---- fork ---- */

static void works_in_child(void)
{
	pid_t pid;

	for (size_t i = 0; i < COUNT(kinds); i++) {
		kinds[i].lock();
		kinds[i].unlock();
	}
	pid = fork();
	if (!pid) {
		exclusion();
		_exit(0);
	}
	CHECK(child_ended_well(pid));
}

#define MODELS(f, ...)                                                                  \
	CASE(f, ##__VA_ARGS__), { .name = #f "_full", .body = f, FULL, ##__VA_ARGS__ }, \
	{                                                                               \
		.name = #f "_rt", .body = f, RT, ##__VA_ARGS__                          \
	}
#define NOT_RT(f)                                                            \
	{ .name = #f "_none", .body = f, .env = { "ANYRCU_PREEMPT=none" } }, \
	{                                                                    \
		.name = #f "_full", .body = f, FULL                          \
	}

static const struct test_case cases[] = {
	MODELS(exclusion),
	MODELS(exclusion_readers),
	MODELS(exclusion_amid_handlers),
	MODELS(exclusion_from_handlers),
	MODELS(trylock),
	MODELS(init),
	MODELS(irqsave_blocks),
	MODELS(raw_is_fair),
	MODELS(writer_is_not_starved),
	MODELS(reader_does_not_overtake),
	NOT_RT(handler_overtakes),
	MODELS(works_in_child),
	CASE(inherits, RT),
	CASE(taken_twice, RT, .sig = SIGABRT, .says = { "is taken by the thread that holds it" }),
	CASE(mutex_taken_twice, RT, .sig = SIGABRT,
	     .says = { "is taken by the thread that holds it" }),
	CASE(released_by_another, RT, .sig = SIGABRT,
	     .says = { "is released by a thread that does not hold it" }),
	CASE(holder_has_ended, RT, .sig = SIGABRT,
	     .says = { "is waited for, and its holder has ended" }),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
