/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The validator's engine, by the table through which all use it, with a host of its own: what is
 * learnt and how often it is said, the life of locks, tables that fill, many threads, fork, and
 * interruption by handlers at any instruction. The rules one by one are test_lockdep_rules.c's.
 *
 * Linked with the sources of the library, without its constructor.
 */
#include "test.h"
#include <lockdep/lockdep.h>
#include <port/process.h>
#include <port/posix/init.h>
#include <ucontext.h>

static const struct lockdep_ops *const op = &lockdep_engine;

static const struct anyrcu_lock_type raw_type = { "raw spinlock", ANYRCU_WAIT_SPIN, 0 };
static const struct anyrcu_lock_type spin_type = { "spinlock", ANYRCU_WAIT_CONFIG, 0 };
static const struct anyrcu_lock_type mutex_type = { "mutex", ANYRCU_WAIT_SLEEP, 0 };

/* ---- the host ---- */

static bool rt, reads;

static bool is_rt(void)
{
	return rt;
}

static bool in_reader(void)
{
	return reads;
}

/*
 * What was found, since found_nothing() or found() was called last; the newest report is kept
 * whole.
 */
static struct {
	int n, full;
	struct anyrcu_lockdep_report last;
	char text[65536];
	char locks[8][128];
	bool none_expected; /* do not go on after one */
} seen;

static void unexpected(int line)
{
	dprintf(2, "line %d: %d reports, the last of them:\n%s\n", line, seen.n,
		seen.n ? seen.text : "");
	_exit(1);
}

static void emit(const struct anyrcu_lockdep_report *r)
{
	if (r->rule == ANYRCU_LOCKDEP_FULL) {
		seen.full++;
		return;
	}
	seen.n++;
	seen.last = *r;
	snprintf(seen.text, sizeof(seen.text), "%s", r->text);
	for (uint32_t i = 0; i < r->nlocks; i++)
		snprintf(seen.locks[i], sizeof(seen.locks[i]), "%s", r->locks[i]);
	if (seen.none_expected)
		unexpected(__LINE__);
}

static void thread_ends(void)
{
	op->thread_exit(false);
}

static struct lockdep_host the_host = {
	.emit = emit, .in_reader = in_reader, .rt = is_rt, .raw_nesting = true
};

static void begin(void)
{
	port_process();
	if (!seen.none_expected) /* the unwinder takes long when it is stepped through */
		port_stack_prime();
	port_thread_exit_hook = thread_ends;
	CHECK(lockdep_start(&the_host));
}

#define SILENT()                              \
	do {                                  \
		if (seen.n)                   \
			unexpected(__LINE__); \
	} while (0)
#define FOUND(r)                                                         \
	do {                                                             \
		if (seen.n != 1 || seen.last.rule != ANYRCU_LOCKDEP_##r) \
			unexpected(__LINE__);                            \
		seen.n = 0;                                              \
	} while (0)

static struct lockdep_stats counts(void)
{
	struct lockdep_stats s;

	lockdep_stats_get(&s);
	return s;
}

/* ---- locks: those in static storage are of a class each ---- */

static char A, B, C, D, many[1024];

static noinline void take_as(const void *lock, const struct anyrcu_lock_type *type, unsigned how,
			     unsigned subclass)
{
	op->acquire(lock, type, how, subclass, NULL, __builtin_return_address(0));
}

static void take(const void *lock)
{
	take_as(lock, &mutex_type, ANYRCU_LOCK_WRITE, 0);
}

static void leave(const void *lock)
{
	op->release(lock, __builtin_return_address(0));
}

static void pair(const void *first, const void *second)
{
	take(first);
	take(second);
	leave(second);
	leave(first);
}

/* ---- what is learnt ---- */

static void order_is_learnt_once(void)
{
	struct lockdep_stats s;

	begin();
	for (int i = 0; i < 1000; i++) {
		take(&A);
		pair(&B, &C);
		leave(&A);
	}
	s = counts();
	CHECK(s.classes == 3 && s.locks == 3 && s.edges == 2 && s.chains == 3 && s.threads == 1 &&
	      s.deepest == 3);
	SILENT();
}

static void finding_is_said_once(void)
{
	begin();
	pair(&A, &B);
	for (int i = 0; i < 100; i++)
		pair(&B, &A);
	FOUND(CIRCULAR);
	CHECK(op->reports() == 1);
	pair(&B, &C);
	SILENT();
	pair(&C, &B);
	FOUND(CIRCULAR);
	pair(&A, &D);
	pair(&D, &A);
	FOUND(CIRCULAR);
	CHECK(op->reports() == 3);
}

static void same_mistake_in_two_places(void)
{
	begin();
	for (int i = 0; i < 3; i++)
		op->release(&A, (void *)0x1001);
	FOUND(BALANCE);
	op->release(&A, (void *)0x1002);
	FOUND(BALANCE);
	op->release(&B, (void *)0x1001);
	FOUND(BALANCE);
}

static void report_tells(void)
{
	begin();
	op->init(&A, &mutex_type, "lock A", NULL, __builtin_return_address(0));
	op->init(&B, &mutex_type, "lock B", NULL, (char *)__builtin_return_address(0) + 1);
	op->init(&C, &raw_type, "lock C", NULL, (char *)__builtin_return_address(0) + 2);
	pair(&A, &B);
	take(&B);
	take(&A);
	FOUND(CIRCULAR);
	CHECK(seen.last.size == sizeof(seen.last) &&
	      !strcmp(seen.last.rule_name, "circular-dependency"));
	CHECK(seen.last.nlocks == 2 && !strcmp(seen.locks[0], "lock A") &&
	      !strcmp(seen.locks[1], "lock B"));
	CHECK(seen.last.nframes > 0);
	CHECK(strstr(seen.text, "possible circular locking dependency detected") &&
	      strstr(seen.text, "possible unsafe locking scenario") &&
	      strstr(seen.text, "*** DEADLOCK ***") && strstr(seen.text, "locks held by thread") &&
	      strstr(seen.text, "stack backtrace:"));
}

static void released_in_the_middle(void)
{
	begin();
	take(&A);
	take(&B);
	take(&C);
	leave(&B);
	take(&D);
	leave(&D);
	leave(&A);
	CHECK(op->is_held(&C) == 1 && op->is_held(&A) == 0 && op->is_held(&B) == 0);
	leave(&C);
	SILENT();
	pair(&D, &C);
	FOUND(CIRCULAR);
	pair(&D, &A);
	FOUND(CIRCULAR);
	take(&A);
	take(&many[0]);
	leave(&A);
	take(&many[1]); /* not behind A */
	leave(&many[1]);
	leave(&many[0]);
	pair(&many[1], &A);
	FOUND(CIRCULAR); /* but behind what is behind A */
	take(&B);
	take(&many[2]);
	leave(&B);
	leave(&many[2]);
	take(&many[2]);
	take(&many[3]);
	leave(&many[3]);
	leave(&many[2]);
	SILENT();
}

static void tries_teach_nothing_to_wait(void)
{
	begin();
	take(&A);
	take_as(&B, &mutex_type, ANYRCU_LOCK_TRY, 0);
	leave(&B);
	leave(&A);
	pair(&B, &A);
	SILENT();
	take(&C);
	take_as(&A, &mutex_type, ANYRCU_LOCK_TRY, 0);
	take(&D);
	leave(&D);
	leave(&A);
	leave(&C);
	pair(&D, &C);
	FOUND(CIRCULAR);
	pair(&D, &A);
	FOUND(CIRCULAR);
}

/* A reader that writers do not hold up: a circle is one only where each waits for the next. */
static void recursive_readers(void)
{
	begin();
	take(&A);
	take_as(&B, &spin_type, ANYRCU_LOCK_RECURSIVE_READ, 0);
	leave(&B);
	leave(&A);
	take_as(&B, &spin_type, ANYRCU_LOCK_RECURSIVE_READ, 0);
	take_as(&B, &spin_type, ANYRCU_LOCK_RECURSIVE_READ, 0);
	leave(&B);
	leave(&B);
	SILENT();
	take_as(&C, &spin_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&D, &spin_type, ANYRCU_LOCK_RECURSIVE_READ, 0);
	leave(&D);
	leave(&C);
	take_as(&D, &spin_type, ANYRCU_LOCK_READ, 0);
	take_as(&C, &spin_type, ANYRCU_LOCK_WRITE, 0);
	leave(&C);
	leave(&D);
	SILENT();
	take_as(&C, &spin_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&D, &spin_type, ANYRCU_LOCK_READ, 0);
	FOUND(CIRCULAR);
}

/* ---- classes ---- */

static void class_by_key(void)
{
	static const struct anyrcu_lock_class_key one, two;

	begin();
	op->init(&many[0], &mutex_type, "one", &one, NULL);
	op->init(&many[1], &mutex_type, "one", &one, NULL);
	op->init(&many[2], &mutex_type, "two", &two, NULL);
	pair(&many[0], &many[2]);
	SILENT();
	pair(&many[2], &many[1]);
	FOUND(CIRCULAR);
	take(&many[0]);
	take_as(&many[1], &mutex_type, ANYRCU_LOCK_WRITE, 1);
	leave(&many[1]);
	SILENT();
	take(&many[1]);
	FOUND(RECURSIVE);
	leave(&many[1]);
	leave(&many[0]);
	/* It may become one of another class. */
	op->init(&many[1], &mutex_type, "two", &two, NULL);
	take(&many[1]);
	take(&many[2]);
	FOUND(RECURSIVE);
}

static void take_at(const void *lock, uintptr_t place)
{
	op->acquire(lock, &mutex_type, ANYRCU_LOCK_WRITE, 0, NULL, (void *)place);
}

static void class_by_first_place(void)
{
	char *heap = malloc(3);

	begin();
	for (int i = 0; i < 3; i++) {
		take_at(&heap[i], i < 2 ? 1 : 2);
		leave(&heap[i]);
	}
	CHECK(counts().classes == 2 && counts().locks == 3);
	take(&heap[0]);
	take(&heap[2]);
	SILENT();
	take(&heap[1]);
	FOUND(RECURSIVE);
	free(heap);
}

static void nested_under_another(void)
{
	static const struct anyrcu_lock_class_key key;

	begin();
	for (int i = 0; i < 20; i++)
		op->init(&many[i], &mutex_type, "nested", &key, NULL);
	take(&A);
	for (int i = 0; i < 20; i++)
		op->acquire(&many[i], &mutex_type, ANYRCU_LOCK_WRITE, 0, &A, NULL);
	for (int i = 0; i < 20; i++)
		leave(&many[i]);
	leave(&A);
	SILENT();
	op->acquire(&many[0], &mutex_type, ANYRCU_LOCK_WRITE, 0, &A, NULL);
	op->acquire(&many[1], &mutex_type, ANYRCU_LOCK_WRITE, 0, &A, NULL);
	FOUND(RECURSIVE);
}

static void by_instance(void)
{
	static const struct anyrcu_lock_class_key key;

	the_host.by_instance = true;
	begin();
	for (int i = 0; i < 3; i++)
		op->init(&many[i], &mutex_type, "instance", &key, NULL);
	for (int i = 0; i < 10; i++) {
		pair(&many[0], &many[1]);
		pair(&many[1], &many[2]);
		pair(&many[0], &many[2]);
	}
	SILENT();
	pair(&many[1], &many[0]);
	FOUND(CIRCULAR);
	take(&many[2]);
	take(&many[2]);
	FOUND(RECURSIVE);
}

/* A reader with many locks, while the entries of those that are gone are removed. */
static void reader_among_stale(void)
{
	for (int stale = 0; stale < 16; stale++) {
		the_host.by_instance = true;
		if (!stale)
			begin();
		reads = true;
		for (int i = 0; i < 16; i++)
			take(&many[8 * i]);
		for (int i = 0; i < stale; i++)
			lockdep_forget(&many[8 * i], &many[8 * i + 1]);
		for (int i = 16; i < 40; i++)
			take(&many[8 * i]);
		CHECK(lockdep_held_count() == 40u - stale);
		for (int i = stale; i < 40; i++)
			CHECK(op->is_held(&many[8 * i]) == 1);
		reads = false;
		for (int i = 40; i-- > stale;)
			leave(&many[8 * i]);
		CHECK(lockdep_held_count() == 0);
		SILENT();
	}
}

/* ---- the life of a lock ---- */

static void locks_come_and_go(void)
{
	static const struct anyrcu_lock_class_key key;

	begin();
	for (int round = 0; round < SCALED(1500000); round++) {
		char *lock = (char *)(uintptr_t)(0x100000000 + 64 * (uint64_t)round);

		op->init(lock, &mutex_type, "short-lived", &key, NULL);
		take(lock);
		leave(lock);
		op->destroy(lock, NULL);
	}
	CHECK(counts().locks == 0 && counts().classes == 1);
	SILENT();
	CHECK(!seen.full);
}

static void address_used_again(void)
{
	char *heap = calloc(1, 4096);

	begin();
	for (int i = 0; i < 4096; i += 4) {
		take_at(heap + i, 1);
		leave(heap + i);
	}
	CHECK(counts().locks == 1024 && counts().classes == 1);
	op->free(heap + 1, 3, NULL);
	op->free(heap + 5, 0, NULL);
	CHECK(counts().locks == 1024);
	op->free(heap, 100, NULL);
	CHECK(counts().locks == 999);
	op->free(heap + 4092, 1 << 30, NULL);
	op->free(heap + 64, 4096 - 64, NULL);
	op->free(heap, 4096, NULL);
	CHECK(counts().locks == 0);
	/* Something else is there now. */
	pair(&A, &B);
	take_at(heap, 2);
	take(&B);
	leave(&B);
	leave(heap);
	op->free(heap, 1, NULL);
	take(&B);
	take_at(heap, 3);
	leave(heap);
	leave(&B);
	SILENT();
	/* And though nobody said so, if it is of another type. */
	take_as(&C, &raw_type, ANYRCU_LOCK_WRITE, 0);
	op->acquire(heap, &raw_type, ANYRCU_LOCK_WRITE, 0, NULL, (void *)4);
	leave(heap);
	leave(&C);
	SILENT();
	free(heap);
}

static void freed_or_destroyed_while_held(void)
{
	char *heap = malloc(64);

	begin();
	take(heap + 8);
	op->free(heap, 8, NULL);
	op->free(heap + 9, 8, NULL);
	SILENT();
	op->free(heap, 64, NULL);
	FOUND(FREED);
	leave(heap + 8);
	seen.n = 0;
	take(&A);
	op->destroy(&A, NULL);
	FOUND(FREED);
	free(heap);
}

/* ---- what has no room ---- */

static void deeper_than_deep(void)
{
	begin();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++)
			take(&many[i]);
		CHECK(op->is_held(&A) == -1);
		for (int i = 0; i < 300; i++)
			leave(&many[i]);
		CHECK(op->is_held(&many[0]) == 0);
	}
	SILENT();
	CHECK(seen.full == 1);
	pair(&many[1], &many[0]);
	FOUND(CIRCULAR);
}

static void too_many_classes(void)
{
	char *locks = (char *)(uintptr_t)0x100000000;

	begin();
	pair(&A, &B);
	for (int i = 0; i < 20000; i++) {
		op->init(&locks[i], &mutex_type, NULL,
			 (const struct anyrcu_lock_class_key *)(uintptr_t)(0x200000000 + 64 * i),
			 NULL);
		take(&locks[i]);
		leave(&locks[i]);
	}
	SILENT();
	CHECK(seen.full == 1);
	take(&locks[19999]); /* not validated, but held */
	CHECK(op->is_held(&locks[19999]) == 1);
	take(&locks[19998]);
	leave(&locks[19998]);
	leave(&locks[19999]);
	SILENT();
	pair(&B, &A);
	FOUND(CIRCULAR);
}

static void too_many_orders(void)
{
	begin();
	pair(&A, &B);
	for (int i = 0; i < 400; i++)
		for (int j = 400; j < 800; j++)
			pair(&many[i], &many[j]);
	SILENT();
	CHECK(seen.full >= 1);
	seen.full = 0;
	for (int i = 0; i < 400; i++)
		pair(&many[i], &many[800 - 1 - i]);
	SILENT();
	CHECK(!seen.full);
	pair(&B, &A);
	FOUND(CIRCULAR);
	pair(&many[400], &many[0]);
	FOUND(CIRCULAR);
}

static void too_many_chains(void)
{
	unsigned r = 1;

	begin();
	pair(&A, &B);
	for (int i = 0; i < SCALED(400000) + 1000; i++) {
		int at[6], n = 0;

		for (int k = 0; k < 6; k++) {
			r = r * 1103515245 + 12345;
			n += 1 + (r >> 16) % 8;
			at[k] = n;
			take(&many[n]);
		}
		for (int k = 6; k--;)
			leave(&many[at[k]]);
	}
	SILENT();
	CHECK(!seen.full);
	pair(&B, &A);
	FOUND(CIRCULAR);
}

static void too_many_locks(void)
{
	static const struct anyrcu_lock_class_key key;
	char *locks = (char *)(uintptr_t)0x100000000;

	begin();
	for (int i = 0; i < 1500000; i++)
		op->init(&locks[8 * i], &mutex_type, "one of many", &key, NULL);
	SILENT();
	CHECK(seen.full == 1);
	pair(&A, &B);
	pair(&B, &A);
	if (seen.n)
		FOUND(CIRCULAR);
	op->free(locks, 8 * 1500000, NULL);
}

static void many_pairs_of_a_class(void)
{
	static const struct anyrcu_lock_class_key key;

	the_host.by_instance = true;
	begin();
	for (int i = 0; i < 400; i++)
		op->init(&many[i], &mutex_type, "instance", &key, NULL);
	for (int i = 0; i < 400; i++)
		for (int j = i + 1; j < 400; j++)
			pair(&many[i], &many[j]);
	SILENT();
	CHECK(!seen.full);
	pair(&many[1], &many[0]);
	FOUND(CIRCULAR);
}

/* ---- wait types ---- */

static void raw_nesting(void)
{
	begin();
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&B, &spin_type, ANYRCU_LOCK_WRITE, 0);
	FOUND(WAIT);
}

static void no_raw_nesting(void)
{
	the_host.raw_nesting = false;
	begin();
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&B, &spin_type, ANYRCU_LOCK_WRITE, 0);
	SILENT();
	take(&C);
	FOUND(WAIT);
}

/* It sleeps there. */
static void no_raw_nesting_rt(void)
{
	the_host.raw_nesting = false;
	rt = true;
	begin();
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&B, &spin_type, ANYRCU_LOCK_WRITE, 0);
	FOUND(WAIT);
}

static void sleeping(void)
{
	begin();
	take(&A);
	op->might_sleep("f", NULL);
	take_as(&B, &spin_type, ANYRCU_LOCK_WRITE, 0);
	rt = true;
	op->might_sleep("f", NULL);
	SILENT();
	rt = false;
	op->might_sleep("f", NULL);
	FOUND(ATOMIC);
	leave(&B);
	op->might_sleep("g", NULL);
	op->preempt(1);
	op->preempt(1);
	op->preempt(-1);
	rt = true;
	SILENT();
	op->might_sleep("g", NULL);
	FOUND(ATOMIC);
	op->preempt(-1);
	op->might_sleep("h", NULL);
	SILENT();
	reads = true;
	op->might_sleep("h", NULL); /* a reader may */
	SILENT();
	op->rcu_wait("wait", true, NULL);
	FOUND(RCU);
}

/* ---- signals ---- */

static void mask_is_looked_at(void)
{
	sigset_t set;

	begin();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	op->signal_enter(SIGUSR1, ~UINT64_C(0), false);
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	leave(&A);
	op->signal_exit(0);
	CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	leave(&A);
	SILENT();
	CHECK(!pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	for (int i = 0; i < 1000; i++) { /* not at once, as it takes a system call */
		take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
		leave(&A);
	}
	FOUND(SIGNAL_USE);
}

static void signal_opened_while_held(void)
{
	the_host.masks_told = true;
	begin();
	op->signals_blocked(~UINT64_C(0));
	op->signal_enter(SIGUSR1, ~UINT64_C(0), false);
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	leave(&A);
	op->signal_exit(~UINT64_C(0));
	take_as(&A, &raw_type, ANYRCU_LOCK_WRITE, 0);
	SILENT();
	op->signals_blocked(0);
	FOUND(SIGNAL_USE);
}

/* What it interrupts is no part of an order; what it leaves held is gone when it returns. */
static void handler_is_apart(void)
{
	the_host.masks_told = true;
	begin();
	take(&A);
	op->signal_enter(SIGUSR1, ~UINT64_C(0), false);
	CHECK(op->is_held(&A) == 1);
	take_as(&B, &raw_type, ANYRCU_LOCK_WRITE, 0);
	op->signal_enter(SIGUSR2, ~UINT64_C(0), false);
	take_as(&C, &raw_type, ANYRCU_LOCK_WRITE, 0);
	op->signal_exit(~UINT64_C(0));
	CHECK(op->is_held(&C) == 0 && op->is_held(&B) == 1);
	leave(&B);
	op->signal_exit(0);
	leave(&A);
	CHECK(counts().edges == 0);
	SILENT();
	op->signal_enter(SIGUSR1, ~UINT64_C(0), false);
	op->might_sleep("f", NULL);
	FOUND(ATOMIC);
	op->signal_exit(0);
	op->might_sleep("f", (void *)1);
	SILENT();
}

static void handlers_too_deep(void)
{
	the_host.masks_told = true;
	begin();
	for (int i = 0; i < 40; i++)
		op->signal_enter(SIGUSR1, ~UINT64_C(0), false);
	for (int i = 0; i < 40; i++)
		op->signal_exit(0);
	op->might_sleep("f", NULL);
	pair(&A, &B);
	pair(&B, &A);
	FOUND(CIRCULAR);
}

/* Two signals that do not hold each other off, each with a lock of its own. */
static void handlers_inside_each_other(void)
{
	const uint64_t one = UINT64_C(1) << (SIGUSR1 - 1), two = UINT64_C(1) << (SIGUSR2 - 1);

	the_host.masks_told = true;
	begin();
	for (int way = 0; way < 2; way++) {
		op->signal_enter(way ? SIGUSR2 : SIGUSR1, way ? two : one, false);
		take_as(&many[way], &raw_type, ANYRCU_LOCK_WRITE, 0);
		op->signal_enter(way ? SIGUSR1 : SIGUSR2, one | two, false);
		take_as(&many[!way], &raw_type, ANYRCU_LOCK_WRITE, 0);
		leave(&many[!way]);
		op->signal_exit(way ? two : one);
		leave(&many[way]);
		op->signal_exit(0);
	}
	SILENT();
	op->signal_enter(SIGUSR1, one, false);
	/* but this waits for the other's, which may be below */
	take_as(&many[1], &raw_type, ANYRCU_LOCK_WRITE, 0);
	FOUND(SIGNAL_USE);
}

#if !TSAN
/*
 * Handlers at arbitrary moments, of two signals, one inside the other. ThreadSanitizer puts
 * handlers off to moments of its own, signals blocked or not, and now and then leaves them blocked.
 */
static _Atomic uint64_t handled;

static void on_tick(int sig, siginfo_t *info, void *context)
{
	char *locks = &many[sig == SIGUSR1 ? 512 : 640];
	unsigned n = atomic_fetch_add(&handled, 1) % 61;
	uint64_t before;

	memcpy(&before, &((ucontext_t *)context)->uc_sigmask, sizeof(before));
	op->signal_enter(sig, before | UINT64_C(1) << (sig - 1), false);
	for (unsigned i = n; i < n + 4; i++)
		take_as(&locks[i], &raw_type, ANYRCU_LOCK_WRITE, 0);
	CHECK(op->is_held(&locks[n]) == 1 && op->is_held(&locks[n + 3]) == 1 &&
	      op->is_held(&many[1023]) == 0);
	for (unsigned i = n; i < n + 4; i++)
		leave(&locks[i]);
	op->signal_exit(before);
}

static void interrupted_often(void)
{
	struct sigaction a = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
	timer_t one, two;
	unsigned r = 7;

	begin();
	CHECK(!sigaction(SIGUSR1, &a, NULL) && !sigaction(SIGUSR2, &a, NULL));
	one = ticks_start(SIGUSR1, 37);
	two = ticks_start(SIGUSR2, 53);
	while (atomic_load(&handled) < (uint64_t)SCALED(20000)) {
		int at[5], n = 0;

		for (int k = 0; k < 5; k++) {
			r = r * 1103515245 + 12345;
			n += 1 + (r >> 16) % 16;
			at[k] = n;
			take(&many[n]);
			CHECK(op->is_held(&many[n]) == 1);
		}
		for (int k = 0; k < 5; k++) {
			CHECK(op->is_held(&many[at[k]]) == 1);
			leave(&many[at[k]]);
			CHECK(op->is_held(&many[at[k]]) == 0);
		}
	}
	timer_delete(one);
	timer_delete(two);
	SILENT();
	/* And it is not deaf. */
	pair(&many[100], &many[1]);
	pair(&many[1], &many[100]);
	FOUND(CIRCULAR);
}

#endif

#if defined(__x86_64__) && !TSAN
/*
 * A handler after each instruction of what the engine does. It stays out of the part that blocks
 * signals, as any other signal's handler.
 */
#define STEP 0x100 /* the processor's flag: trap after each instruction */
static uint64_t steps, run_in;
static bool unannounced; /* every other handler, but in another */
static volatile bool in_other;

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	uint64_t blocked;
	char *locks;
	bool told;

	steps++;
	memcpy(&blocked, &u->uc_sigmask, sizeof(blocked));
	if (sigismember(&u->uc_sigmask, SIGUSR1))
		return;
	run_in++;
	told = !unannounced || run_in % 2 || in_other;
	locks = &many[told ? 0 : 4];
	if (told)
		op->signal_enter(SIGTRAP, ~UINT64_C(0), false);
	take_as(&locks[0], &raw_type, ANYRCU_LOCK_WRITE, 0);
	take_as(&locks[1], &raw_type, ANYRCU_LOCK_WRITE, 0);
	CHECK(op->is_held(&locks[0]) == 1 && op->is_held(&locks[1]) == 1);
	leave(&locks[0]);
	CHECK(op->is_held(&locks[0]) == 0 && op->is_held(&locks[1]) == 1);
	leave(&locks[1]);
	CHECK(op->is_held(&locks[1]) == 0 && op->is_held(&locks[2]) == 0);
	if (told)
		op->signal_exit(blocked);
}

static void stepping(bool on)
{
	if (on)
		__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" ::"i"(STEP) : "memory", "cc");
	else
		__asm__ volatile("pushfq; andq %0, (%%rsp); popfq" ::"i"(~STEP) : "memory", "cc");
}

static void step_through(void)
{
	struct sigaction a = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	sigset_t own;

	the_host.masks_told = true;
	seen.none_expected = true;
	begin();
	sigemptyset(&own);
	sigaddset(&own, SIGUSR2);
	sigfillset(&a.sa_mask);
	CHECK(!sigaction(SIGTRAP, &a, NULL));
	/* what is new, what is known, what is new again */
	for (int round = 0; round < 4; round++) {
		uint64_t before = run_in;

		stepping(true);
		take(&A);
		take(&many[10 + round / 2]);
		take_as(&C, &mutex_type, ANYRCU_LOCK_TRY, 0);
		leave(&A);
		leave(&many[10 + round / 2]);
		op->signals_blocked(0);
		op->preempt(1);
		op->preempt(-1);
		op->might_sleep("f", NULL);
		pthread_sigmask(SIG_BLOCK, &own, NULL); /* as in a handler */
		in_other = true;
		op->signal_enter(SIGUSR2, UINT64_C(1) << (SIGUSR2 - 1), true);
		take_as(&B, &raw_type, ANYRCU_LOCK_WRITE, 0);
		leave(&B);
		op->signal_exit(0);
		in_other = false;
		pthread_sigmask(SIG_UNBLOCK, &own, NULL);
		op->init(&D, &mutex_type, "D", NULL, NULL);
		op->destroy(&D, NULL);
		stepping(false);
		CHECK(run_in - before > 100);
		CHECK(op->is_held(&A) == 0 && op->is_held(&C) == 1 && op->is_held(&many[10]) == 0 &&
		      op->is_held(&many[0]) == 0);
		leave(&C);
	}
	SILENT();
	op->thread_exit(false);
	SILENT();
	CHECK(steps > run_in);
}

static void interrupted_everywhere(void)
{
	step_through();
}

/* What was checked before is remembered then; see src/lockdep/again.h. */
static void interrupted_everywhere_by_instance(void)
{
	the_host.by_instance = true;
	unannounced = true;
	step_through();
}

/* The first operation of a thread, which gives it its state. */
static void *first_operation(void *arg)
{
	stepping(true);
	take(&A);
	leave(&A);
	stepping(false);
	CHECK(op->is_held(&A) == 0);
	return NULL;
}

static void interrupted_from_the_first(void)
{
	struct sigaction a = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	the_host.masks_told = true;
	seen.none_expected = true;
	begin();
	sigfillset(&a.sa_mask);
	CHECK(!sigaction(SIGTRAP, &a, NULL));
	for (int i = 0; i < 3; i++)
		thread_join(thread_start(first_operation, NULL));
	SILENT();
	CHECK(run_in > 300 && counts().threads == 0);
}
#endif

/* ---- threads ---- */

static void *holds_at_its_end(void *arg)
{
	take(&A);
	if (arg)
		leave(&A);
	return NULL;
}

static void threads_end(void)
{
	begin();
	/*
	 * Each must leave its state to the next, so fewer show it as well. QEMU 7.2 takes 3.3 ms
	 * and 280 KB for a thread that starts and ends, with nothing of ours in it, and never gives
	 * the memory back: 20000 take it 66 s of CPU time and 1.3 GB.
	 */
	for (int i = 0; i < SCALED(20000); i++)
		thread_join(thread_start(holds_at_its_end, &A));
	SILENT();
	CHECK(counts().threads <= 1 && !seen.full);
	thread_join(thread_start(holds_at_its_end, NULL));
	FOUND(EXIT);
	take(&B); /* perhaps with the state of the one that ended */
	CHECK(op->is_held(&A) == 0);
	leave(&B);
	SILENT();
}

static _Atomic int stop;
static _Atomic bool until_stopped;

/* In the order of their addresses, but for who is wrong; with locks of its own that come and go. */
static void *works(void *arg)
{
	static const struct anyrcu_lock_class_key key;
	unsigned r = (unsigned)(uintptr_t)arg * 2654435761u;
	char *own = malloc(64);

	for (int i = 0; !atomic_load(&stop) && (i < SCALED(40000) || atomic_load(&until_stopped));
	     i++) {
		int at[4], n = 0;

		for (int k = 0; k < 4; k++) {
			r = r * 1103515245 + 12345;
			n += 1 + (r >> 16) % 32;
			at[k] = n;
			take(&many[n]);
		}
		op->init(own, &mutex_type, "own", &key, NULL);
		take(own);
		CHECK(op->is_held(own) == 1 && op->is_held(&many[at[2]]) == 1);
		leave(own);
		op->destroy(own, NULL);
		for (int k = 0; k < 4; k++)
			leave(&many[at[(k + r) % 4]]);
	}
	free(own);
	return NULL;
}

static void *works_wrongly(void *arg)
{
	works((void *)1);
	pair(&many[9], &many[3]);
	pair(&many[3], &many[9]);
	return NULL;
}

static void many_threads(void)
{
	pthread_t t[8];

	begin();
	for (uintptr_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(works, (void *)(i + 2));
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	SILENT();
	CHECK(counts().threads <= 1);
}

static void many_threads_one_wrong(void)
{
	pthread_t t[4];

	begin();
	for (uintptr_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(i ? works : works_wrongly, (void *)(i + 2));
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(op->reports() >= 1);
	seen.n = seen.last.rule == ANYRCU_LOCKDEP_CIRCULAR;
	FOUND(CIRCULAR);
}

/* ---- fork ---- */

static void fork_child_works(void)
{
	CHECK(op->is_held(&A) == 1 && op->is_held(&many[3]) == 0);
	leave(&A);
	SILENT();
	pair(&B, &C);
	pair(&C, &B);
	FOUND(CIRCULAR);
	CHECK(counts().threads == 1);
	/* which are not whole in such a child: the one refuses, the other's allocator may hang */
	if (!TSAN && !ASAN)
		thread_join(thread_start(holds_at_its_end, &A));
	SILENT();
}

/* Registered first, so run last in the parent before, and in both after. */
static void takes_while_forking(void)
{
	static char early[2];

	pair(&early[0], &early[1]);
}

static void forks(void)
{
	pthread_t t[3];

	begin();
	atomic_store(&until_stopped, true);
	pthread_atfork(takes_while_forking, NULL, NULL);
	pthread_atfork(lockdep_fork_prepare, lockdep_fork_parent, lockdep_fork_child);
	for (uintptr_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(works, (void *)(i + 2));
	for (int i = 0; i < SCALED(200); i++) {
		pid_t pid;

		take(&A);
		pid = fork();
		if (!pid) {
			port_process();
			fork_child_works();
			_exit(0);
		}
		CHECK(child_ended_well(pid));
		leave(&A);
	}
	atomic_store(&stop, 1);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	SILENT();
}

static void forks_in_hook(const struct anyrcu_lockdep_report *r)
{
	pid_t pid = fork();

	if (!pid)
		return;
	CHECK(child_ended_well(pid));
	emit(r);
}

static void hook_forks(void)
{
	the_host.emit = forks_in_hook;
	begin();
	pthread_atfork(lockdep_fork_prepare, lockdep_fork_parent, lockdep_fork_child);
	pair(&A, &B);
	pair(&B, &A);
	if (!seen.n) { /* the child */
		port_process();
		the_host.emit = emit;
		pair(&C, &D);
		pair(&D, &C);
		FOUND(CIRCULAR);
		return;
	}
	FOUND(CIRCULAR);
	pair(&C, &D);
	SILENT();
}

static const struct test_case cases[] = {
	CASE(order_is_learnt_once),
	CASE(finding_is_said_once),
	CASE(same_mistake_in_two_places),
	CASE(report_tells),
	CASE(released_in_the_middle),
	CASE(tries_teach_nothing_to_wait),
	CASE(recursive_readers),
	CASE(class_by_key),
	CASE(class_by_first_place),
	CASE(nested_under_another),
	CASE(by_instance),
	CASE(reader_among_stale),
	CASE(locks_come_and_go),
	CASE(address_used_again),
	CASE(freed_or_destroyed_while_held),
	CASE(deeper_than_deep),
	CASE(too_many_classes),
	CASE(too_many_orders),
	CASE(too_many_chains),
	CASE(too_many_locks),
	CASE(many_pairs_of_a_class),
	CASE(raw_nesting),
	CASE(no_raw_nesting),
	CASE(no_raw_nesting_rt),
	CASE(sleeping),
	CASE(mask_is_looked_at),
	CASE(signal_opened_while_held),
	CASE(handler_is_apart),
	CASE(handlers_too_deep),
	CASE(handlers_inside_each_other),
#if !TSAN
	CASE(interrupted_often),
#endif
#if defined(__x86_64__) && !TSAN
	CASE(interrupted_everywhere),
	CASE(interrupted_everywhere_by_instance),
	CASE(interrupted_from_the_first),
#endif
	CASE(threads_end),
	CASE(many_threads),
	CASE(many_threads_one_wrong),
	CASE(forks),
	CASE(hook_forks),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
