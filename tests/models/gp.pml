/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Grace periods: include/anyrcu/inline/reader.h, src/gp/gp.c. See docs/design/models.md.
 *
 * Memory is that of x86 (TSO): what a thread stores goes to its buffer, and from there to memory at
 * any later time, in order. Readers read for ever; each of two updaters unlinks objects and frees
 * each after a grace period. An updater's objects are numbered; those below freed[u] are freed.
 *
 * run safety right
 * run safety right -DFENCES
 * run safety right -DTWO
 * run safety right -DTWO -DFENCES
 * run safety right -DQS
 * run safety right -DQS -DFENCES
 * run safety right -DFENCES -DNO_BEGIN_FENCES
 * run live   right
 * run live   right -DQS
 * run safety broken -DNO_MEMBARRIER
 * run safety broken -DNO_COOKIE_FENCE
 * run safety broken -DCOOKIE_STARTED
 * run safety broken -DCTR_BEFORE_STARTED
 * run safety broken -DNO_RELEASE
 * run safety broken -DNO_ACQUIRE
 * run safety broken -DPLAIN_COMPARISON
 * run safety broken -DHANDLER_ZEROES
 * run safety broken -DFENCES -DNO_READER_FENCE
 * run live   broken -DNO_NUMBERS
 */
/*
 * One reader, to which handlers come at any time; -DTWO: two, without handlers; -DQS: one in
 * quiescent-state mode.
 */
#ifdef TWO
#define READERS 2
#define UPDATES(u) 1
#define HANDLER skip
#else
#define READERS 1
#define UPDATES(u) (u == 0 -> 2 : 1)
#define HANDLER handler()
#endif
#define UPDATERS 2
#define THREADS (READERS + UPDATERS)

/* Numbers are taken modulo N, and start so that they wrap. */
#define N 16
#define FIRST (N - 2)
#ifdef PLAIN_COMPARISON
#define BEFORE(a, b) ((a) < (b))
#else
#define BEFORE(a, b) (((a) + N - (b)) % N >= N / 2)
#endif

/* A reader's word: number * 4 + nesting, where 3 is for quiescent-state mode; 0: not reading. */
#define WORD(seq, nest) ((seq) * 4 + (nest))
#define NEST(word) ((word) & 3)
#ifdef NO_NUMBERS
#define HOLDS_UP(word, seq) (NEST(word) != 0)
#else
#define HOLDS_UP(word, seq) (NEST(word) != 0 && BEFORE((word) >> 2, seq))
#endif

/* Addresses. */
#define CTR(r) (r)
#define PTR(u) (READERS + (u))
#define GP (READERS + UPDATERS)
#define STARTED (GP + 1)
byte memory[STARTED + 1];

chan buffer[THREADS] = [2] of { byte, byte };
byte done = FIRST, needed = FIRST, at;
bit lock;
byte freed[UPDATERS];
byte finished;

ltl released { <> (finished == UPDATERS) }

#define STORE(address, value) buffer[me]!address, value
#define FENCE empty(buffer[me])

inline flush(thread)
{
	d_step {
		do
		:: nempty(buffer[thread]) -> buffer[thread]?a, v; memory[a] = v
		:: empty(buffer[thread]) -> break
		od
		a = 0; v = 0
	}
}

/* What a thread has in its buffer reaches memory in the end. */
proctype store_buffer(byte me)
{
	byte a, v;

end:	do
	:: d_step { buffer[me]?a, v -> memory[a] = v; a = 0; v = 0 }
	od
}

/* ---- readers ---- */

/* "mine" is what the thread itself sees in its word: what it stored last. */
inline store_word(value)
{
	STORE(CTR(me), value);
	mine = value
}

inline look()
{
	if
	:: held = memory[PTR(0)]; whose = 0
	:: held = memory[PTR(1)]; whose = 1
	fi
}

#define USE(version, u) assert(version >= freed[u])

inline enter_fence()
{
#if defined(FENCES) && !defined(NO_READER_FENCE)
	FENCE
#else
	skip
#endif
}

/* A signal handler with a section of its own, or not. */
inline handler()
{
	if
	:: skip
	:: atomic {
		h_mine = mine;
		if
		:: h_mine == 0 -> h_mine = WORD(memory[GP], 1)
		:: else -> h_mine++
		fi
	   };
	   atomic { nfull(buffer[me]) -> store_word(h_mine) };
	   enter_fence();
	   if
	   :: h_held = memory[PTR(0)]; h_whose = 0
	   :: h_held = memory[PTR(1)]; h_whose = 1
	   fi;
	   atomic {
		nfull(buffer[me]) -> USE(h_held, h_whose);
#ifdef HANDLER_ZEROES
		store_word(0);
#else
		store_word((NEST(mine) == 1 -> 0 : mine - 1));
#endif
		h_mine = 0; h_held = 0; h_whose = 0
	   }
	fi
}

proctype reader(byte me)
{
	byte g, mine, held, whose, h_mine, h_held, h_whose;

	do
	::
#ifdef NO_ACQUIRE
	   look();
#endif
	   g = memory[GP];
	   HANDLER;
	   atomic { nfull(buffer[me]) -> store_word(WORD(g, 1)); g = 0 };
	   enter_fence();
#ifndef NO_ACQUIRE
	   look();
#endif
	   HANDLER;
	   atomic {
		nfull(buffer[me]);
#ifdef NO_RELEASE
		store_word(0)
	   };
	   atomic {
		USE(held, whose);
#else
		USE(held, whose);
		store_word(0);
#endif
		held = 0; whose = 0
	   }
	od
}

/* A thread in quiescent-state mode: one store ends a section and begins the next. */
proctype online(byte me)
{
	byte g, mine, held, whose;

	do
	:: g = memory[GP];
	   atomic { nfull(buffer[me]) -> store_word(WORD(g, 3)); g = 0 };
	   enter_fence();
	   look();
	   atomic { USE(held, whose); held = 0; whose = 0 }
	   if
	   :: skip
	   :: atomic { nfull(buffer[me]) -> store_word(0) }
	   fi
	od
}

/* ---- the engine: whoever waits drives it ---- */

inline begin()
{
	seq = (memory[STARTED] + 1) % N;
#ifdef CTR_BEFORE_STARTED /* where stores may pass each other, and nothing between them */
	STORE(GP, seq);
	STORE(STARTED, seq);
#else
	STORE(STARTED, seq);
#ifndef NO_BEGIN_FENCES
	FENCE;
#endif
	STORE(GP, seq);
#endif
#ifndef NO_BEGIN_FENCES
	FENCE;
#endif
#if !defined(FENCES) && !defined(NO_MEMBARRIER)
	i = 0;
	do
	:: i < THREADS -> atomic { flush(i); i++ }
	:: else -> break
	od;
#endif
	atomic { i = 0; seq = 0; at = 0 }
}

inline gp_step()
{
	if
	:: atomic { lock == 0 -> lock = 1 };
	   if
	   :: memory[STARTED] == done && BEFORE(done, needed) -> begin()
	   :: else
	   fi;
	   do
	   :: at < READERS && memory[STARTED] != done &&
	      !HOLDS_UP(memory[CTR(at)], memory[STARTED]) -> at++
	   :: at == READERS && memory[STARTED] != done -> done = memory[STARTED]
	   :: else -> break
	   od;
	   FENCE;
	   lock = 0
	:: lock == 1
	fi
}

proctype updater(byte me, u)
{
	byte version, cookie, seq, i, a, v;

	do
	:: version < UPDATES(u) ->
	   version++;
	   STORE(PTR(u), version);
#ifndef NO_COOKIE_FENCE
	   FENCE;
#endif
#ifdef COOKIE_STARTED
	   cookie = memory[STARTED];
#else
	   cookie = (memory[STARTED] + 1) % N;
#endif
	   atomic { if :: BEFORE(needed, cookie) -> needed = cookie :: else fi };
	   do
	   :: BEFORE(done, cookie) -> gp_step()
	   :: !BEFORE(done, cookie) -> break
	   od;
	   atomic { freed[u] = version; cookie = 0 }
	:: else -> break
	od;
	finished++
}

init {
	atomic {
		memory[GP] = FIRST;
		memory[STARTED] = FIRST;
#ifdef QS
		run online(0);
#else
		run reader(0);
#endif
		run updater(READERS, 0);
		run updater(READERS + 1, 1);
#ifdef TWO
		run reader(1);
		run store_buffer(3);
#endif
		run store_buffer(0);
		run store_buffer(1);
		run store_buffer(2)
	}
}
