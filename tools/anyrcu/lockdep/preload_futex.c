/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Futexes of the program's own, as they come by syscall(): C++20's atomic waits, latches and
 * barriers are compiled into the program and call it.
 *
 * Who wakes all that wait for a word has done what they wait for: that is an event. But who wakes
 * one, or finds the word 0, may have unlocked a lock. When that was taken is not seen, as it is no
 * system call, so it is not known which locks the thread had taken before: nothing is concluded
 * from it. The two highest bits of a lock's word may say who waits. The word may be gone already:
 * who waited for it needs it no longer, and for the kernel that is no mistake.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "lockdep/preload.h"

#define ARGUMENTS 6

/* A wait for a lock that is known, as GLib's, was told by the function that takes it. */
static bool waits(const long a[ARGUMENTS])
{
	long command = a[1] & FUTEX_CMD_MASK;

	return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && !a[3] &&
	       !lockdep_known((const void *)a[0]);
}

static bool wakes_all(const long a[ARGUMENTS])
{
	const uint32_t WAITERS = UINT32_C(3) << 30;
	const uint32_t *word = (const uint32_t *)a[0];
	long command = a[1] & FUTEX_CMD_MASK;

	return (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) && (int)a[2] > 1 &&
	       !lockdep_known(word) && readable(word) && (load(word) & ~WAITERS);
}

/* Also before the real functions are known. */
static long call(long number, const long a[ARGUMENTS])
{
	static long (*next)(long number, ...);

	if (unlikely(!load(&next)))
		store(&next, (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"));
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The word may lie in memory that is another object's soon, so a wait forgets the event. */
static long futex(const long a[ARGUMENTS], const void *ip)
{
	const void *word = (const void *)a[0];
	bool told = waits(a);
	long result;
	int error;

	if (told) {
		loader_over();
		lockdep_engine.might_sleep("futex", ip);
		lockdep_wait_begin(word, "futex", ip);
	} else if (!me.handlers && wakes_all(a)) {
		lockdep_event(word, false, 8);
	}
	result = call(SYS_futex, a);
	error = errno;
	if (told) {
		lockdep_wait_end();
		if (lockdep_holds())
			lockdep_event_forget(word, false);
	}
	errno = error;
	return result;
}

#define arguments(number, a)                             \
	({                                               \
		va_list args_;                           \
		va_start(args_, number);                 \
		for (unsigned i = 0; i < ARGUMENTS; i++) \
			(a)[i] = va_arg(args_, long);    \
		va_end(args_);                           \
	})

EXPORT long syscall(long number, ...)
{
	long a[ARGUMENTS];

	arguments(number, a);
	return number == SYS_futex && watched() ? futex(a, CALLER) : call(number, a);
}

/* What is called in here, as for the validator's own lock; see the linker's option. */
long __wrap_syscall(long number, ...)
{
	long a[ARGUMENTS];

	arguments(number, a);
	return call(number, a);
}
