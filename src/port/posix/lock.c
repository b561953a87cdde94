/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Signals, and the library's own locks, whose holders block signals. */
#define _GNU_SOURCE
#include <port/process.h>
#include <port/posix/process.h>
#include <port/posix/sys.h>
#include <signal.h>

/*
 * Signals, in the kernel's set format. Signals of faults must reach the program's handler, and
 * setuid() in any thread waits until each thread has handled libc's own signals: 32 and 33, and
 * with musl 34. All other signals are blocked while a lock is held, and always in the library's
 * threads.
 */
#define BIT(sig) (UINT64_C(1) << ((sig)-1))
#ifdef __GLIBC__
#define LIBC_SIGNALS (BIT(32) | BIT(33))
#else
#define LIBC_SIGNALS (BIT(32) | BIT(33) | BIT(34))
#endif
const uint64_t port_signals = ~(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) |
				BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGSYS) | LIBC_SIGNALS);

uint64_t port_signals_blocked(void)
{
	uint64_t set = 0;

	sys(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, sizeof(set));
	return set;
}

uint64_t port_signals_block(void)
{
	uint64_t set = port_signals, former = set;

	if (!thread_ours)
		sys(SYS_rt_sigprocmask, SIG_BLOCK, &set, &former, sizeof(set));
	return former;
}

void port_signals_restore(uint64_t former)
{
	if (!thread_ours)
		sys(SYS_rt_sigprocmask, SIG_SETMASK, &former, NULL, sizeof(former));
}

void (*port_lock_watch)(const struct port_lock *lock, bool take, uint64_t blocked);

static bool watch(const struct port_lock *lock, bool take, uint64_t blocked)
{
	if (likely(!load_acquire(&port_lock_watch)) || lock->unwatched)
		return false;
	port_lock_watch(lock, take, thread_ours ? UINT64_MAX : blocked);
	return true;
}

/*
 * The word names the holder from the instruction that takes the lock to the instruction that
 * releases it. So a handler that forks can tell at any instruction whether the thread that it
 * interrupted is the holder.
 *
 * A thread that has to sleep sets bit 0, which is in the half of the word that the kernel compares.
 * When it takes the lock it keeps the bit set, as it does not know whether other threads sleep too.
 */
#define HELD(id) ((id) << 8)
#define SLEEPERS 1u

static bool try_lock(struct port_lock *lock, uint64_t held)
{
	uint64_t unlocked = 0;

	return __atomic_compare_exchange_n(&lock->word, &unlocked, held, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void lock_slow(struct port_lock *lock, uint64_t held)
{
	for (int spin = 0; spin < 100; spin++) {
		if (try_lock(lock, held))
			return;
		port_relax();
	}
	while (!try_lock(lock, held | SLEEPERS)) {
		uint64_t word = load(&lock->word);

		if (word && ((word & SLEEPERS) || cmpxchg(&lock->word, word, word | SLEEPERS)))
			port_wait((uint32_t *)&lock->word, (uint32_t)(word | SLEEPERS), 0);
	}
}

void port_lock(struct port_lock *lock)
{
	uint64_t signals = port_signals_block(), held = HELD(port_id());
	bool told = watch(lock, true, signals | port_signals);

	if (!try_lock(lock, held))
		lock_slow(lock, held);
	port_acquire(lock);
	lock->signals = signals;
	lock->told = told;
}

static void unlock(struct port_lock *lock)
{
	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) & SLEEPERS)
		port_wake((uint32_t *)&lock->word);
}

void port_unlock(struct port_lock *lock)
{
	uint64_t signals = lock->signals;

	if (unlikely(lock->told)) /* not if it was taken before the validator was on */
		watch(lock, false, signals);
	port_release(lock);
	unlock(lock);
	port_signals_restore(signals);
}

bool port_lock_held(const struct port_lock *lock)
{
	return (load(&lock->word) & ~(uint64_t)SLEEPERS) == HELD(port_id());
}

bool port_fork_lock(struct port_lock *lock, uint8_t depth)
{
	if (port_lock_held(lock))
		return true;
	if (!try_lock(lock, HELD(port_id())))
		return false;
	lock->forked = depth;
	return true;
}

/*
 * Do not release a lock that a fork of another depth, or the interrupted code, holds. In the child
 * no thread sleeps that slept in the parent; a wake does no harm there.
 */
void port_fork_unlock(struct port_lock *lock, uint8_t depth)
{
	if (!port_lock_held(lock) || lock->forked != depth)
		return;
	lock->forked = 0;
	unlock(lock);
}

/* ---- locks with priority inheritance ---- */

/* The kernel returns EAGAIN for a moment while a holder is ending. */
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
