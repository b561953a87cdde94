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
 * store-exclusive on aarch64.
 *
 * run safety right
 * run safety right -DWEAK
 * run cycles right
 * run cycles right -DWEAK
 * run safety broken -DWEAK -DNO_FENCE_IN_SLEEP
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
byte awake, deep;
bit asleep[WORKERS], held;
bit beyond;

/* The store that a thread's last read-modify-write holds back: an addition to one of these. */
mtype = { NOTHING, TODO, AWAKE, DEEP };
mtype late[THREADS] = NOTHING;
short amount[THREADS];

inline arrive(t)
{
	if
	:: late[t] == TODO -> todo = todo + amount[t]; put[t] = 1
	:: late[t] == AWAKE -> awake = awake + amount[t]
	:: late[t] == DEEP -> deep = deep + amount[t]
	:: else
	fi;
	late[t] = NOTHING;
	amount[t] = 0
}

#ifdef WEAK
#define ADD(place, n) d_step { arrive(me); late[me] = place; amount[me] = n }
#define FENCE d_step { arrive(me) }
#else
#define ADD(place, n) d_step { late[me] = place; amount[me] = n; arrive(me) }
#define FENCE skip
#endif

proctype store_buffer(byte t)
{
end:	do
	:: d_step { late[t] != NOTHING -> arrive(t) }
	od
}

/* "stops": may stop for ever before any step that others see. */
inline defer_wake(stops)
{
#ifndef NO_FENCE_IN_WAKE
	FENCE;
#endif
	b = bell;
	if
	:: atomic { !(b & RUNG) && deep };
	   if
	   :: awake
	   :: atomic { stops -> goto stopped }
	   :: d_step {
		!awake -> arrive(me);
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
	:: b & RUNG || !deep
	fi
}

proctype caller(byte me)
{
	byte b;

	ADD(TODO, 1);
	defer_wake(me == 0); /* when both stop, nothing is owed */
	d_step { arrive(me); owed = owed || put[me] };
stopped:
	b = 0
}

inline wake_up()
{
	ADD(AWAKE, 1);
	ADD(DEEP, -1)
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
	ADD(DEEP, 1);
	ADD(AWAKE, -1);
#ifndef NO_FENCE_IN_SLEEP
	FENCE;
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
	wake_up()
}

inline drain()
{
#ifndef AWAKE_IN_CALLBACKS
	ADD(AWAKE, -1);
#endif
#ifndef NO_WAKE_BEFORE_CALLBACKS
	if
	:: deep ->
	   if
	   :: d_step { todo || ready -> arrive(me) } -> defer_wake(0) /* the look takes a lock */
	   :: !todo && !ready
	   fi
	:: !deep
	fi;
#endif
	if
	:: d_step { ready -> arrive(me); ready-- };
	   if
	   /* by the callback; when both are, none sleeps */
	   :: atomic { !held -> held = 1; goto stopped }
	   :: true
	   fi
	:: ready == 0
	fi;
#ifndef AWAKE_IN_CALLBACKS
	ADD(AWAKE, 1)
#endif
}

proctype worker(byte me; bit sleeps_first)
{
	byte b;

	if
	:: sleeps_first ->
end_first: asleep[me - CALLERS] == 0;
	   wake_up()
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
		awake = WORKERS - ASLEEP_FIRST;
		deep = ASLEEP_FIRST;
		asleep[1] = ASLEEP_FIRST;
		run caller(0);
		run caller(1);
		run worker(2, 0);
		run worker(3, ASLEEP_FIRST);
#ifdef WEAK
		run store_buffer(0);
		run store_buffer(1);
		run store_buffer(2);
		run store_buffer(3);
#endif
		run nothing_moves()
	}
}
