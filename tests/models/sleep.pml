/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Sleeping and waking: src/defer/worker.c. See docs/design/models.md.
 *
 * Two callers put things to do in place and call defer_wake(), and may stop for ever at any
 * instruction of it; two workers take what there is, may be held for ever by a callback, and sleep.
 * Ticking is no more than a delay here: it has a timer. What was put in place by a caller whose
 * defer_wake() has returned must not be left while a worker sleeps deep.
 *
 * Each read-modify-write is a full barrier, as on x86. -DWEAK: its store may come after later plain
 * loads, until the thread's next read-modify-write, lock or fence, as with load-exclusive and
 * store-exclusive on aarch64; and so may the store of a worker's state, as on x86 too.
 *
 * run safety right
 * run safety right -DWEAK
 * run cycles right
 * run cycles right -DWEAK
 * run safety broken -DNO_FENCE_IN_SLEEP
 * run safety broken -DWEAK -DNO_FENCE_IN_WAKE
 * run safety broken -DNO_LOOK
 * run safety broken -DRUNG_BEFORE_WAKE
 * run safety broken -DRUNG_UNDER_ANY_NUMBER
 * run safety broken -DSAME_NUMBER
 * run safety broken -DAWAKE_IN_CALLBACKS
 * run safety broken -DNO_WAKE_BEFORE_CALLBACKS
 */
#define CALLERS 2
#define WORKERS 2
#define THREADS (CALLERS + WORKERS)
/*
 * How often workers sleep in all, beyond which a run is not looked at; and whether one begins
 * asleep.
 */
#ifdef WEAK
#define SLEEPS 1
#define ASLEEP_FIRST 0
#else
#define SLEEPS 2
#define ASLEEP_FIRST 1
#endif

/* bell: number * 4 + RUNG + OPEN. */
#define OPEN 1
#define RUNG 2
#define NEXT(bell) ((bell) / 4 * 4 + 4)

byte bell, sleeps;
byte todo;  /* put in place, not taken: open pages */
byte ready; /* taken, not invoked */
bit put[CALLERS]; /* by this caller, and not taken since */
bit owed;	  /* the same, and its defer_wake() has returned */
#define AWAKE 0
#define DEEP 1
#define BUSY 2
byte state[WORKERS];
bit asleep[WORKERS], held;
bit beyond;

/* The store that a thread holds back: an addition to todo, or the thread's state. */
mtype = { NOTHING, TODO, STATE };
mtype late[THREADS] = NOTHING;
byte value[THREADS];

inline arrive(t)
{
	if
	:: late[t] == TODO -> todo = todo + value[t]; put[t] = 1
	:: late[t] == STATE -> state[t - CALLERS] = value[t]
	:: else
	fi;
	late[t] = NOTHING;
	value[t] = 0
}

#ifdef WEAK
#define PUT d_step { arrive(me); late[me] = TODO; value[me] = 1 }
#else
#define PUT d_step { late[me] = TODO; value[me] = 1; arrive(me) }
#endif
#if defined(WEAK) || defined(NO_FENCE_IN_SLEEP)
#define SET_STATE(s) d_step { arrive(me); late[me] = STATE; value[me] = s }
#else
#define SET_STATE SET_STATE_AND_FENCE
#endif
#define SET_STATE_AND_FENCE(s) d_step { arrive(me); state[me - CALLERS] = s }
#define FENCE d_step { arrive(me) }

proctype store_buffer(byte t)
{
end:	do
	:: d_step { late[t] != NOTHING -> arrive(t) }
	od
}

/* One worker after the other. */
inline look()
{
	d_step { sees_deep = (state[0] == DEEP); sees_awake = (state[0] == AWAKE) };
	d_step {
		sees_deep = sees_deep || state[1] == DEEP;
		sees_awake = sees_awake || state[1] == AWAKE
	}
}

/* "stops": may stop for ever before any step that others see. */
inline defer_wake(stops)
{
#ifndef NO_FENCE_IN_WAKE
	FENCE;
#endif
	b = bell;
	if
	:: !(b & RUNG) -> look()
	:: d_step { b & RUNG -> sees_deep = 0; sees_awake = 0 }
	fi;
	if
	:: d_step { sees_deep && !sees_awake -> sees_deep = 0 };
	   if
	   :: atomic { stops -> goto stopped }
	   :: d_step {
		arrive(me);
#ifdef RUNG_BEFORE_WAKE
		bell = bell | OPEN | RUNG;
#else
		bell = bell | OPEN;
#endif
		b = bell
	      };
	      if
	      :: atomic { stops -> goto stopped }
	      :: d_step { asleep[0] = 0; asleep[1] = 0 };
		 if
		 :: atomic { stops -> goto stopped }
#ifdef RUNG_UNDER_ANY_NUMBER
		 :: bell = bell | RUNG
#else
		 :: bell = (bell == b -> bell | RUNG : bell)
#endif
		 fi
	      fi
	   fi
	:: d_step { !sees_deep || sees_awake -> sees_deep = 0; sees_awake = 0 }
	fi;
	b = 0
}

proctype caller(byte me)
{
	byte b;
	bit sees_deep, sees_awake;

	PUT;
	defer_wake(me == 0); /* when both stop, nothing is owed */
	d_step { arrive(me); owed = owed || put[me] };
stopped:
	b = 0
}

inline sleep_deep()
{
	d_step {
		arrive(me);
#ifndef SAME_NUMBER
		bell = NEXT(bell);
#endif
		b = bell;
		sleeps++
	}
#ifdef NO_FENCE_IN_SLEEP
	SET_STATE(DEEP);
#else
	SET_STATE_AND_FENCE(DEEP);
#endif
	if
#ifdef NO_LOOK
	:: true ->
#else
	:: todo || ready
	:: !todo && !ready ->
#endif
	   d_step { arrive(me); asleep[me - CALLERS] = (bell == b); b = 0 };
end_deep:  asleep[me - CALLERS] == 0
	fi;
	SET_STATE(AWAKE)
}

inline hand_over()
{
#ifdef AWAKE_IN_CALLBACKS
	FENCE;
#else
	SET_STATE_AND_FENCE(BUSY);
#endif
#ifndef NO_WAKE_BEFORE_CALLBACKS
	look();
	if
	:: sees_deep && (todo || ready) -> defer_wake(0)
	:: else -> d_step { sees_deep = 0; sees_awake = 0 }
	fi
#endif
}

inline drain()
{
	hand_over();
	if
	:: d_step { ready -> arrive(me); ready-- };
	   if
	   /* by the callback; when both are, none sleeps */
	   :: atomic { !held -> held = 1; goto stopped }
	   :: true
	   fi
	:: ready == 0
	fi;
	SET_STATE(AWAKE)
}

proctype worker(byte me; bit sleeps_first)
{
	byte b;
	bit sees_deep, sees_awake;

	if
	:: sleeps_first ->
end_first: asleep[me - CALLERS] == 0;
	   SET_STATE(AWAKE)
	:: else
	fi;
end:	do
	:: d_step {
		todo -> arrive(me);
		ready = ready + todo; todo = 0; put[0] = 0; put[1] = 0; owed = 0
	   }
	:: ready -> drain()
	:: !todo && !ready && sleeps < SLEEPS -> sleep_deep()
	:: !todo && !ready && sleeps == SLEEPS -> beyond = 1; break
	od;
stopped:
	b = 0
}

proctype nothing_moves()
{
	timeout -> assert(beyond || !(asleep[0] || asleep[1]) || !(owed || ready))
}

init {
	atomic {
		state[1] = (ASLEEP_FIRST -> DEEP : AWAKE);
		asleep[1] = ASLEEP_FIRST;
		run caller(0);
		run caller(1);
		run worker(2, 0);
		run worker(3, ASLEEP_FIRST);
#ifdef WEAK
		run store_buffer(0);
		run store_buffer(1);
#endif
#if defined(WEAK) || defined(NO_FENCE_IN_SLEEP)
		run store_buffer(2);
		run store_buffer(3);
#endif
		run nothing_moves()
	}
}
