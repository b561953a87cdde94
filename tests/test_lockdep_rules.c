/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The validator's rules, one small case each, right or wrong, under each preemption model. What the
 * kernel's locking self-test covers is covered: AA, ABBA, longer chains, balance, signal-safe and
 * unsafe uses, inversions, readers and writers, wait types, RCU.
 *
 * A case is a line of steps. It runs in a process of its own, which ends with the first report,
 * before the lock is waited for: so a deadlock can be written down as it is.
 *
 *     M1 S1 R1          lock a mutex, spinlock, raw spinlock; 1 to 4 are of a class each, a and b
 *                       of one
 *     rW1 wW1           read-lock and write-lock an rwlock
 *     ?M1 ?rW1          try to;  M1.1  as subclass 1;  R1^  with signals masked
 *     -M1 -rW1 -R1^     unlock
 *     ( )               in a signal handler that is never threaded;  < >  in one that is, where the
 *                       model has it so
 *     t( )              in the threaded part of a handler;  T( )  in a thread, which then ends
 *     mask unmask       that signal
 *     { }               a read-side critical section
 *     p+ p-             preemption off and on
 *     !M1 =M1 ~M1       assert that it is held; that it is not; initialise it.  xM1 memory with it
 *                       is freed
 *     and words: see words[]
 */
#define ANYRCU_LOCKDEP
#include "test.h"
#include <ctype.h>

static const char *const rules[] = {
	NULL,
	"recursive-locking",
	"circular-dependency",
	"inconsistent-signal-use",
	"signal-safe-unsafe-order",
	"invalid-wait-context",
	"sleep-in-atomic",
	"bad-unlock-balance",
	"held-at-thread-exit",
	"held-lock-freed",
	"held-lock-reinitialised",
	"suspicious-rcu-usage",
	"not-held",
	"held",
};
enum {
	OK,
	RECURSIVE,
	CIRCULAR,
	SIGNAL_USE,
	SIGNAL_ORDER,
	WAIT,
	ATOMIC,
	BALANCE,
	EXIT,
	FREED,
	REINIT,
	RCU,
	NOT_HELD,
	HELD
};

struct rule_case {
	const char *steps;
	int rule;
	bool not_under_rt; /* where it is silent */
};

static const struct rule_case table[] = {
	/* AA */
	{ "M1 -M1 M1 -M1", OK, false },
	{ "M1 M1", RECURSIVE, false },
	{ "S1 S1", RECURSIVE, false },
	{ "R1 R1", RECURSIVE, false },
	{ "wW1 wW1", RECURSIVE, false },
	{ "rW1 wW1", RECURSIVE, false },
	{ "wW1 rW1", RECURSIVE, false },
	{ "rW1 rW1", RECURSIVE, false },
	{ "M1 ?M1 -M1", OK, false },
	{ "R1 ?R1 -R1", OK, false },
	{ "?M1 M1", RECURSIVE, false },
	{ "?R1 R1", RECURSIVE, false },
	{ "?rW1 wW1", RECURSIVE, false },
	{ "Ma Mb", RECURSIVE, false },
	{ "Sa Sb", RECURSIVE, false },
	{ "Ra Rb", RECURSIVE, false },
	{ "wWa wWb", RECURSIVE, false },
	{ "rWa rWb", RECURSIVE, false },
	{ "Ma -Ma Mb -Mb", OK, false },
	{ "Ma Mb.1 -Mb -Ma", OK, false },
	{ "Ra Rb.1 -Rb -Ra", OK, false },
	{ "Sa Sb.1 -Sb -Sa", OK, false },
	{ "Ma.1 Mb.1", RECURSIVE, false },
	{ "Ra.2 Rb.2", RECURSIVE, false },
	{ "Ma ?Mb -Mb -Ma", OK, false },
	{ "M1 M2 M1", RECURSIVE, false },
	{ "M1 M2 M3 M4 -M4 -M3 -M2 -M1", OK, false },

	/* ABBA */
	{ "M1 M2 -M2 -M1 M1 M2 -M2 -M1", OK, false },
	{ "M1 M2 -M2 -M1 M2 M1", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S2 S1", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R2 R1", CIRCULAR, false },
	{ "wW1 wW2 -wW2 -wW1 wW2 wW1", CIRCULAR, false },
	{ "wW1 rW2 -rW2 -wW1 wW2 rW1", CIRCULAR, false },
	{ "rW1 wW2 -wW2 -rW1 rW2 wW1", CIRCULAR, false },
	{ "rW1 rW2 -rW2 -rW1 rW2 rW1", CIRCULAR, false },
	{ "S1 wW1 -wW1 -S1 wW1 S1", CIRCULAR, false },
	{ "S1 rW1 -rW1 -S1 wW1 S1", CIRCULAR, false },
	{ "S1 rW1 -rW1 -S1 rW1 S1", CIRCULAR, false },
	{ "S1 wW1 -wW1 -S1 rW1 S1", CIRCULAR, false },
	{ "M1 M2 -M1 -M2 M2 M1", CIRCULAR, false },
	{ "M1 M2 -M1 -M2 M1 -M1", OK, false },
	{ "T( M1 M2 -M2 -M1 ) M2 M1", CIRCULAR, false },
	{ "T( M1 M2 -M2 -M1 ) T( M1 M2 -M2 -M1 )", OK, false },
	{ "M1 M2 -M2 -M1 M2 ?M1 -M1 -M2", OK, false },
	{ "R1 R2 -R2 -R1 R2 ?R1 -R1 -R2", OK, false },
	{ "M1 ?M2 -M2 -M1 M2 M1 -M1 -M2", OK, false },
	{ "?M1 M2 -M2 -M1 M2 M1", CIRCULAR, false },
	{ "M2 ?M1 M3 -M3 -M1 -M2 M3 M1", CIRCULAR, false },
	{ "Ma M1 -M1 -Ma M1 Mb", CIRCULAR, false },
	{ "Ma.1 M1 -M1 -Ma M1 Mb -Mb -M1", OK, false },
	{ "Ma.1 M1 -M1 -Ma M1 Mb.1", CIRCULAR, false },
	{ "Ma Mb.1 -Mb -Ma Mb Ma.1 -Ma -Mb", OK, false },
	{ "Ma Mb.1 -Mb -Ma Ma.1 Mb", CIRCULAR, false },

	/* Three and more */
	{ "M1 M2 -M2 -M1 M2 M3 -M3 -M2 M1 M3 -M3 -M1", OK, false },
	{ "M1 M2 -M2 -M1 M2 M3 -M3 -M2 M3 M1", CIRCULAR, false },
	{ "M1 M2 -M2 -M1 M3 M1 -M1 -M3 M2 M3", CIRCULAR, false },
	{ "M1 M2 -M2 -M1 M2 M3 -M3 -M2 M3 M4 -M4 -M3 M4 M1", CIRCULAR, false },
	{ "M1 M2 -M2 -M1 M3 M4 -M4 -M3 M2 M4 -M4 -M2 M4 M1", CIRCULAR, false },
	{ "M1 M2 -M2 -M1 M3 M4 -M4 -M3 M2 M3 -M3 -M2 M4 M1", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S2 S3 -S3 -S2 S3 S1", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S3 S1 -S1 -S3 S2 S3", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S2 S3 -S3 -S2 S3 S4 -S4 -S3 S4 S1", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S3 S4 -S4 -S3 S2 S4 -S4 -S2 S4 S1", CIRCULAR, false },
	{ "S1 S2 -S2 -S1 S3 S4 -S4 -S3 S2 S3 -S3 -S2 S4 S1", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R2 R3 -R3 -R2 R3 R1", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R3 R1 -R1 -R3 R2 R3", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R2 R3 -R3 -R2 R3 R4 -R4 -R3 R4 R1", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R3 R4 -R4 -R3 R2 R4 -R4 -R2 R4 R1", CIRCULAR, false },
	{ "R1 R2 -R2 -R1 R3 R4 -R4 -R3 R2 R3 -R3 -R2 R4 R1", CIRCULAR, false },
	{ "wW1 wW2 -wW2 -wW1 wW2 wW3 -wW3 -wW2 wW3 wW1", CIRCULAR, false },
	{ "wW1 rW2 -rW2 -wW1 wW2 rW3 -rW3 -wW2 wW3 rW1", CIRCULAR, false },
	{ "rW1 rW2 -rW2 -rW1 rW2 rW3 -rW3 -rW2 rW1 rW3 -rW3 -rW1", OK, false },
	{ "M1 S1 R1 -R1 -S1 -M1 M1 R1 -R1 -M1", OK, false },

	/* Balance */
	{ "-M1", BALANCE, false },
	{ "-S1", BALANCE, false },
	{ "-R1", BALANCE, false },
	{ "-wW1", BALANCE, false },
	{ "-rW1", BALANCE, false },
	{ "M1 -M1 -M1", BALANCE, false },
	{ "R1 -R1 -R1", BALANCE, false },
	{ "M1 T( -M1 )", BALANCE, false },
	{ "S1 -S2", BALANCE, false },
	{ "Ma -Mb", BALANCE, false },

	/* Initialised, freed, left behind */
	{ "M1 -M1 ~M1 M1 -M1", OK, false },
	{ "M1 ~M1", REINIT, false },
	{ "S1 ~S1", REINIT, false },
	{ "R1 ~R1", REINIT, false },
	{ "wW1 ~W1", REINIT, false },
	{ "rW1 ~W1", REINIT, false },
	{ "M1 xM1", FREED, false },
	{ "S1 xS1", FREED, false },
	{ "R1 xR1", FREED, false },
	{ "rW1 xW1", FREED, false },
	{ "M1 -M1 xM1", OK, false },
	{ "M1 M2 -M2 xM2 -M1", OK, false },
	{ "T( M1 -M1 )", OK, false },
	{ "T( M1 )", EXIT, false },
	{ "T( S1 )", EXIT, false },
	{ "T( R1 )", EXIT, false },
	{ "T( rW1 )", EXIT, false },
	{ "T( wW1 )", EXIT, false },
	{ "T( { )", EXIT, false },
	{ "T( { } )", OK, false },

	/* Signals */
	{ "R1^ -R1^ ( R1 -R1 )", OK, false },
	{ "( R1 -R1 ) R1^ -R1^", OK, false },
	{ "mask R1 -R1 unmask ( R1 -R1 )", OK, false },
	{ "R1 -R1 ( R1 -R1 )", SIGNAL_USE, false },
	{ "( R1 -R1 ) R1 -R1", SIGNAL_USE, false },
	{ "R1^ -R1^ ( R1 -R1 ) R1 -R1", SIGNAL_USE, false },
	{ "( R1 -R1 ) T( R1 -R1 )", SIGNAL_USE, false },
	{ "R1 -R1 ( ?R1 -R1 )", OK, false },
	{ "( R1 -R1 ) ?R1 -R1", SIGNAL_USE, false },
	{ "( R1 -R1 ) ( R1 -R1 )", OK, false },
	{ "R1 -R1 R2^ -R2^ ( R2 -R2 )", OK, false },
	{ "S1 -S1 < S1 -S1 >", SIGNAL_USE, true },
	{ "< S1 -S1 > S1 -S1", SIGNAL_USE, true },
	{ "S1^ -S1^ < S1 -S1 >", OK, false },
	{ "wW1 -wW1 < wW1 -wW1 >", SIGNAL_USE, true },
	{ "wW1 -wW1 < rW1 -rW1 >", SIGNAL_USE, true },
	{ "rW1 -rW1 < wW1 -wW1 >", SIGNAL_USE, true },
	{ "rW1 -rW1 < rW1 -rW1 >", OK, false },
	{ "rW1 < rW1 -rW1 > -rW1", OK, false },
	{ "S1 -S1 t( S1 -S1 )", OK, false },
	{ "M1 -M1 t( M1 -M1 )", OK, false },

	/* Safe to unsafe: in each order in which it can become known */
	{ "( R1 -R1 ) R2 -R2 R1^ R2 -R2 -R1^", SIGNAL_ORDER, false },
	{ "R2 -R2 ( R1 -R1 ) R1^ R2 -R2 -R1^", SIGNAL_ORDER, false },
	{ "R1^ R2 -R2 -R1^ R2 -R2 ( R1 -R1 )", SIGNAL_ORDER, false },
	{ "R1^ R2 -R2 -R1^ ( R1 -R1 ) R2 -R2", SIGNAL_ORDER, false },
	{ "( R1 -R1 ) R1^ R2 -R2 -R1^ R2 -R2", SIGNAL_ORDER, false },
	{ "R2 -R2 R1^ R2 -R2 -R1^ ( R1 -R1 )", SIGNAL_ORDER, false },
	{ "( R1 -R1 ) R3 -R3 R1^ R2 -R2 -R1^ R2^ R3 -R3 -R2^", SIGNAL_ORDER, false },
	{ "R1^ R2 -R2 -R1^ R2^ R3 -R3 -R2^ R3 -R3 ( R1 -R1 )", SIGNAL_ORDER, false },
	{ "R1^ R2 -R2 -R1^ R2^ R3 -R3 -R2^ ( R1 -R1 ) R3 -R3", SIGNAL_ORDER, false },
	{ "R1^ R2 -R2 -R1^ ( R1 R2 -R2 -R1 ) R2^ -R2^", OK, false },
	{ "( R1 -R1 ) R2 R1^ -R1^ -R2", OK, false },
	{ "R2 R1^ -R1^ -R2 ( R1 -R1 ) R2 -R2", OK, false },
	{ "( R1 -R1 ) R1^ R2 -R2 -R1^", OK, false },
	{ "R1^ R2 -R2 -R1^ ( R2 R1", CIRCULAR, false },
	{ "< S1 -S1 > S2 -S2 S1^ S2 -S2 -S1^", SIGNAL_ORDER, true },
	{ "S1^ wW1 -wW1 -S1^ wW1 -wW1 < S1 -S1 >", SIGNAL_ORDER, true },
	{ "< rW1 -rW1 > S1 -S1 mask wW1 S1 -S1 -wW1 unmask", SIGNAL_ORDER, true },

	/* Wait types */
	{ "M1 M2 -M2 S1 S2 -S2 R1 R2 -R2 -R1 -S1 -M1", OK, false },
	{ "M1 wW1 R1 -R1 -wW1 -M1", OK, false },
	{ "R1 S1", WAIT, false },
	{ "R1 M1", WAIT, false },
	{ "R1 rW1", WAIT, false },
	{ "R1 wW1", WAIT, false },
	{ "S1 M1", WAIT, false },
	{ "wW1 M1", WAIT, false },
	{ "rW1 M1", WAIT, false },
	{ "S1 R1 S2", WAIT, false },
	{ "M1 R1 M2", WAIT, false },
	{ "R1 -R1 S1 -S1 M1 -M1", OK, false },
	{ "R1 S1.1", WAIT, false },
	{ "p+ R1 -R1 p-", OK, false },
	{ "p+ S1", WAIT, false },
	{ "p+ M1", WAIT, false },
	{ "p+ p- M1 -M1", OK, false },
	{ "p+ p+ p- M1", WAIT, false },
	{ "( R1 -R1 )", OK, false },
	{ "( S1", WAIT, false },
	{ "( rW1", WAIT, false },
	{ "( M1", WAIT, false },
	{ "< S1 -S1 >", OK, false },
	{ "< M1", WAIT, false },
	{ "t( M1 S1 R1 -R1 -S1 -M1 )", OK, false },
	{ "M1 ( R1 -R1 ) -M1", OK, false },
	{ "R1^ -R1^ M1 -M1", OK, false },

	/* Sleeping, and what may sleep */
	{ "sleep M1 sleep -M1", OK, false },
	{ "R1 sleep", ATOMIC, false },
	{ "p+ sleep", ATOMIC, false },
	{ "( sleep", ATOMIC, false },
	{ "t( sleep )", OK, false },
	{ "R1 kernel", ATOMIC, false },
	{ "p+ kernel", ATOMIC, false },
	{ "( kernel", ATOMIC, false },
	{ "M1 kernel -M1", OK, false },
	{ "S1 nowait -S1", OK, false },
	{ "R1 nowait", WAIT, false },
	{ "( nowait", WAIT, false },
	{ "p+ nowait", WAIT, false },
	{ "< nowait >", OK, false },
	{ "R1 no_locks -R1 p+ no_locks p- ( no_locks )", OK, false },
	{ "R1 synchronize", ATOMIC, false },
	{ "R1 mightsleep", ATOMIC, false },
	{ "p+ barrier", ATOMIC, false },
	{ "( synchronize", ATOMIC, false },
	{ "M1 synchronize mightsleep -M1 barrier", OK, false },
	{ "R1 call { } -R1 S1 call -S1 ( call { } ) p+ call p-", OK, false },

	/* RCU */
	{ "{ dereference }", OK, false },
	{ "dereference", RCU, false },
	{ "{ } dereference", RCU, false },
	{ "check", RCU, false },
	{ "M1 check -M1", OK, false },
	{ "{ check }", OK, false },
	{ "protected", RCU, false },
	{ "{ protected", RCU, false },
	{ "M1 protected -M1", OK, false },
	{ "{ ( { dereference } dereference ) }", OK, false },
	{ "{ synchronize", RCU, false },
	{ "{ barrier", RCU, false },
	{ "{ mightsleep", RCU, false },
	{ "{ wait", RCU, false },
	{ "{ { } mightsleep", RCU, false },
	{ "{ } synchronize barrier wait", OK, false },
	{ "{ M1 -M1 S1 -S1 R1 -R1 { } } R1 { -R1 }", OK, false },

	/* Waiting for readers, or for callbacks, with locks held */
	{ "{ M1 -M1 } M1 synchronize", CIRCULAR, false },
	{ "M1 synchronize -M1 { M1", CIRCULAR, false },
	{ "{ M1 -M1 } M1 wait", CIRCULAR, false },
	{ "{ M1 -M1 } M1 mightsleep", CIRCULAR, false },
	{ "{ M1 -M1 } M1 barrier", CIRCULAR, false },
	{ "{ M1 -M1 } M1 reclaim -M1", OK, false },
	{ "{ M1 -M1 } M2 synchronize -M2 M1 -M1 synchronize", OK, false },
	{ "{ M1 -M1 } M1 M2 -M2 -M1 M2 synchronize", CIRCULAR, false },
	{ "{ M1 } M2 -M2 -M1 M2 synchronize", CIRCULAR, false },
	{ "{ M1 } -M1 M2 synchronize -M2", OK, false },
	{ "M1 { M2 -M2 } -M1 M1 synchronize -M1", OK, false },
	{ "M1 { M2 -M2 } -M1 M2 synchronize", CIRCULAR, false },
	{ "{ ?M1 -M1 } M1 synchronize -M1", OK, false },
	{ "online M1 -M1 offline M1 synchronize", CIRCULAR, false },
	{ "online synchronize offline M1 synchronize -M1", OK, false },
	{ "callback barrier M1 barrier", CIRCULAR, false },
	{ "M1 barrier -M1 callback barrier", CIRCULAR, false },
	{ "callback barrier M2 barrier -M2 M1 synchronize -M1", OK, false },

	/* Assertions */
	{ "M1 !M1 -M1 =M1", OK, false },
	{ "!M1", NOT_HELD, false },
	{ "S1 -S1 !S1", NOT_HELD, false },
	{ "M1 T( !M1 )", NOT_HELD, false },
	{ "R1 !R1 -R1", OK, false },
	{ "rW1 !W1 -rW1", OK, false },
	{ "R1 =R1", HELD, false },
	{ "rW1 =W1", HELD, false },
	{ "M1 T( =M1 ) -M1", OK, false },
};

/* ---- the locks: 1 to 4 by their addresses, a and b by where they are initialised ---- */

static anyrcu_mutex_t mutexes[6];
static anyrcu_spinlock_t spinlocks[6];
static anyrcu_raw_spinlock_t raw_spinlocks[6];
static anyrcu_rwlock_t rwlocks[6];
static uint64_t saved[2][6];
static int *volatile pointer;

static int place(char c)
{
	return isdigit((unsigned char)c) ? c - '1' : c - 'a' + 4;
}

static void init_pair(void)
{
	for (int i = 4; i < 6; i++) {
		anyrcu_mutex_init(&mutexes[i]);
		anyrcu_spin_init(&spinlocks[i]);
		anyrcu_raw_spin_init(&raw_spinlocks[i]);
		anyrcu_rwlock_init(&rwlocks[i]);
	}
}

static const void *address(char type, int i, size_t *size)
{
	switch (type) {
	case 'M':
		*size = sizeof(mutexes[i]);
		return &mutexes[i];
	case 'S':
		*size = sizeof(spinlocks[i]);
		return &spinlocks[i];
	case 'R':
		*size = sizeof(raw_spinlocks[i]);
		return &raw_spinlocks[i];
	}
	*size = sizeof(rwlocks[i]);
	return &rwlocks[i];
}

static void init(char type, int i)
{
	if (type == 'M')
		anyrcu_mutex_init(&mutexes[i]);
	else if (type == 'S')
		anyrcu_spin_init(&spinlocks[i]);
	else if (type == 'R')
		anyrcu_raw_spin_init(&raw_spinlocks[i]);
	else
		anyrcu_rwlock_init(&rwlocks[i]);
}

static void lock(char how, char type, int i, unsigned subclass, bool masked)
{
	if (type == 'M')
		anyrcu_mutex_lock_nested(&mutexes[i], subclass);
	else if (type == 'S' && masked)
		saved[0][i] = anyrcu_spin_lock_irqsave(&spinlocks[i]);
	else if (type == 'S')
		anyrcu_spin_lock_nested(&spinlocks[i], subclass);
	else if (type == 'R' && masked)
		saved[1][i] = anyrcu_raw_spin_lock_irqsave(&raw_spinlocks[i]);
	else if (type == 'R')
		anyrcu_raw_spin_lock_nested(&raw_spinlocks[i], subclass);
	else if (how == 'r')
		anyrcu_rwlock_read_lock(&rwlocks[i]);
	else
		anyrcu_rwlock_write_lock(&rwlocks[i]);
}

static bool try_lock(char how, char type, int i)
{
	return type == 'M' ? anyrcu_mutex_trylock(&mutexes[i]) :
	       type == 'S' ? anyrcu_spin_trylock(&spinlocks[i]) :
	       type == 'R' ? anyrcu_raw_spin_trylock(&raw_spinlocks[i]) :
	       how == 'r'  ? anyrcu_rwlock_read_trylock(&rwlocks[i]) :
			     anyrcu_rwlock_write_trylock(&rwlocks[i]);
}

static void unlock(char how, char type, int i, bool masked)
{
	if (type == 'M')
		anyrcu_mutex_unlock(&mutexes[i]);
	else if (type == 'S' && masked)
		anyrcu_spin_unlock_irqrestore(&spinlocks[i], saved[0][i]);
	else if (type == 'S')
		anyrcu_spin_unlock(&spinlocks[i]);
	else if (type == 'R' && masked)
		anyrcu_raw_spin_unlock_irqrestore(&raw_spinlocks[i], saved[1][i]);
	else if (type == 'R')
		anyrcu_raw_spin_unlock(&raw_spinlocks[i]);
	else if (how == 'r')
		anyrcu_rwlock_read_unlock(&rwlocks[i]);
	else
		anyrcu_rwlock_write_unlock(&rwlocks[i]);
}

/* ---- the steps that are words ---- */

static void mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void unmask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void rcu_dereference(void)
{
	(void)anyrcu_dereference(pointer);
}

static void rcu_check(void)
{
	(void)anyrcu_dereference_check(pointer, anyrcu_lockdep_is_held(&mutexes[0]));
}

static void rcu_protected(void)
{
	(void)anyrcu_dereference_protected(pointer, anyrcu_lockdep_is_held(&mutexes[0]));
}

static void might_sleep(void)
{
	anyrcu_might_sleep();
}

static void alloc(unsigned gfp)
{
	anyrcu_page_free(anyrcu_page_alloc(gfp, 0), 0);
}

static void alloc_kernel(void)
{
	alloc(ANYRCU_GFP_KERNEL);
}

static void alloc_nowait(void)
{
	alloc(ANYRCU_GFP_NOWAIT);
}

static void alloc_no_locks(void)
{
	alloc(ANYRCU_GFP_NO_LOCKS);
}

static void call(void)
{
	object_defer(0);
}

static void gp_wait(void)
{
	anyrcu_gp_wait(anyrcu_gp_start());
}

/* A callback that takes the first mutex. */
static void takes_first(void *unused)
{
	anyrcu_mutex_lock(&mutexes[place('1')]);
	anyrcu_mutex_unlock(&mutexes[place('1')]);
}

static void callback(void)
{
	anyrcu_call_mightsleep(takes_first, NULL);
}

static void reclaim(void)
{
	anyrcu_reclaim(SIZE_MAX);
}

static const struct {
	const char *word;
	void (*step)(void);
} words[] = {
	{ "mask", mask },
	{ "unmask", unmask },
	{ "p+", anyrcu_preempt_disable },
	{ "p-", anyrcu_preempt_enable },
	{ "{", anyrcu_read_lock },
	{ "}", anyrcu_read_unlock },
	{ "dereference", rcu_dereference },
	{ "check", rcu_check },
	{ "protected", rcu_protected },
	{ "sleep", might_sleep },
	{ "kernel", alloc_kernel },
	{ "nowait", alloc_nowait },
	{ "no_locks", alloc_no_locks },
	{ "call", call },
	{ "mightsleep", object_defer_mightsleep },
	{ "synchronize", anyrcu_synchronize },
	{ "barrier", anyrcu_barrier },
	{ "wait", gp_wait },
	{ "online", anyrcu_thread_online },
	{ "offline", anyrcu_thread_offline },
	{ "callback", callback },
	{ "reclaim", reclaim },
};

/* ---- the run ---- */

/* where in the steps we are; one thread runs at a time, and handlers inside of raise() */
static const char *volatile at;
static _Atomic bool inner_done;

static void run(void);

static void *run_in_thread(void *arg)
{
	run();
	return NULL;
}

static void run_in_handler(int sig, siginfo_t *info, void *context)
{
	run();
	atomic_store(&inner_done, true);
}

static void run_in_threaded(int sig, const siginfo_t *info)
{
	run();
	atomic_store(&inner_done, true);
}

static void in_handler(int sig)
{
	atomic_store(&inner_done, false);
	raise(sig);
	while (!atomic_load(&inner_done))
		sched_yield();
}

/* M1, ?rW2, -R1^, Ma.1, !M1, ... */
static void step_lock(const char *w)
{
	char what = strchr("-?!=~x", *w) ? *w++ : '+', how = *w == 'r' || *w == 'w' ? *w++ : 0,
	     type = *w++;
	int i = place(*w++);
	bool masked = *w == '^';
	size_t size;
	const void *p = address(type, i, &size);

	if (what == '+')
		lock(how, type, i, *w == '.' ? w[1] - '0' : 0, masked);
	else if (what == '-')
		unlock(how, type, i, masked);
	else if (what == '?')
		(void)!try_lock(how, type, i);
	else if (what == '!')
		anyrcu_lockdep_assert_held(p);
	else if (what == '=')
		anyrcu_lockdep_assert_not_held(p);
	else if (what == '~')
		init(type, i);
	else
		anyrcu_lockdep_free(p, size);
}

static void step(const char *w)
{
	for (size_t i = 0; i < COUNT(words); i++) {
		if (!strcmp(w, words[i].word)) {
			words[i].step();
			return;
		}
	}
	if (!strcmp(w, "T("))
		thread_join(thread_start(run_in_thread, NULL));
	else if (!strcmp(w, "("))
		in_handler(SIGUSR1);
	else if (!strcmp(w, "<"))
		in_handler(SIGUSR2);
	else if (!strcmp(w, "t("))
		in_handler(SIGALRM);
	else
		step_lock(w);
}

static void run(void)
{
	char w[16];
	int n;

	while (sscanf(at, " %15s%n", w, &n) == 1) {
		at += n;
		if (!strcmp(w, ")") || !strcmp(w, ">"))
			return;
		step(w);
	}
}

/* The process ends with the number of the rule. */
static void reported(const struct anyrcu_lockdep_report *r, void *arg)
{
	for (int i = 1; i < (int)COUNT(rules); i++)
		if (!strcmp(r->rule_name, rules[i]))
			_exit(i);
	_exit(100);
}

static int run_case(const char *steps)
{
	struct anyrcu_signal_action never = { .size = sizeof(never),
					      .hard = run_in_handler,
					      .flags = ANYRCU_SIGNAL_NO_THREAD };
	struct anyrcu_signal_action maybe = { .size = sizeof(maybe), .hard = run_in_handler };
	struct anyrcu_signal_action threaded = { .size = sizeof(threaded),
						 .thread = run_in_threaded };

	CHECK(configure((struct anyrcu_config){ .lockdep = 1, .lockdep_hook = reported }) == 0);
	CHECK(!anyrcu_signal_action(SIGUSR1, &never) && !anyrcu_signal_action(SIGUSR2, &maybe) &&
	      !anyrcu_signal_action(SIGALRM, &threaded));
	init_pair();
	at = steps;
	run();
	return 0;
}

static const char *const models[] = { "none", "full", "rt" };

static void case_runs(void **state)
{
	size_t n = (size_t)*state;
	const struct rule_case *c = &table[n / COUNT(models)];
	const char *model = models[n % COUNT(models)];
	int expected = c->not_under_rt && !strcmp(model, "rt") ? OK : c->rule;
	int status;
	pid_t pid = fork();

	if (!pid) {
		setenv("ANYRCU_PREEMPT", model, 1);
		alarm(600);
		execl("/proc/self/exe", program_invocation_short_name, "--case", c->steps, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
		int got = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

		fprintf(stderr, "\"%s\" under %s: should be %s, but ", c->steps, model,
			expected ? rules[expected] : "silent");
		if (got < 0)
			fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
		else
			fprintf(stderr, "is %s (%d)\n",
				got == 0		? "silent" :
				got < (int)COUNT(rules) ? rules[got] :
							  "another",
				got);
		fail();
	}
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[COUNT(table) * COUNT(models)];
	static char names[COUNT(tests)][160];

	if (argc == 3 && !strcmp(argv[1], "--case"))
		return run_case(argv[2]);
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < COUNT(tests); i++) {
		snprintf(names[i], sizeof(names[i]), "%s: %s", models[i % COUNT(models)],
			 table[i / COUNT(models)].steps);
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = case_runs,
						.initial_state = (void *)i };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
