/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * fork(): src/defer/fork.c, drain.c, and the order of locks in src/init/init.c.
 * See docs/design/models.md.
 *
 * Two threads drain two pages. The callback of the first object forks, and so does a third thread.
 * The model goes on in the parent or in the child, where the thread that forked and a new worker
 * are alone; the worker has the identity of a drainer that is no more, as if identities (port_id())
 * were used again: they are not, so this is more than can happen; and ends when it has drained. "At
 * work" is a drainer from its look at "pause" to the end of the callback.
 *
 * In each process every object is invoked once, but for those whose drainers were still at work
 * when a fork had lost its patience: they may be missed in the child.
 *
 * run assert right
 * run cycles right
 * run assert broken -DNO_REST_FENCE
 * run assert broken -DNO_LOOK_AFTER_REST
 * run assert broken -DCURSOR_LAST
 * run assert broken -DWITHOUT_LOCK
 * run assert broken -DNO_GIVE_BACK
 * run assert broken -DGIVE_BACK_OWN
 * run assert broken -DWAITS_FOR_EVER
 */
#define CAP 2
#define ALL 30 /* objects 1 to 4; page p has 2p + 1 and 2p + 2 */
#define BIT(n) (1 << (n))

/* Threads, which are also their places in pipe.drainers. */
#define A 0
#define B 1
#define FORKER 2
#define WORKER 3 /* of the child; its identity is that of whom it follows */

typedef drainer {
	byte owner; /* an identity + 1; 0: free */
	byte page;
	bit resting;
};
drainer drainers[4];
byte cursor[2];
byte ready = 3; /* a set of pages */
bit lock, configuring, pause;
bit late[4]; /* resting = 0 is still in the store buffer */

bit in_child, lost_patience;
byte survivor, follows;
byte at_work[4];     /* the object whose callback the thread is about to invoke, or in */
byte begun, missing; /* sets of objects */
byte forks;

#define SELF(t) (t == WORKER -> follows : t)
#define RUNS (in_child -> (me == survivor || me == WORKER) : me != WORKER)
#define I(statement) atomic { RUNS -> statement }
#define WHEN(condition, statement) atomic { RUNS && (condition) -> statement }

inline arrive(t)
{
	if
	:: late[t] -> late[t] = 0; drainers[t].resting = 0
	:: else
	fi
}

proctype store_buffer(byte t)
{
end:	do
	:: d_step { late[t] -> arrive(t) }
	od
}

/* ---- fork ---- */

#define RESTS(t) (drainers[t].owner == 0 || drainers[t].owner == me + 1 || drainers[t].resting)
#define ALL_REST (RESTS(A) && RESTS(B))

/* By the child, from a thread that it does not have. */
inline give_back(d)
{
	if
	:: drainers[d].owner && (drainers[d].owner != me + 1 || own) ->
		if
		:: cursor[drainers[d].page] < CAP -> ready = ready | BIT(drainers[d].page)
		:: else
		fi;
		drainers[d].owner = 0;
		drainers[d].page = 0
	:: else
	fi
}

inline child()
{
	in_child = 1;
	survivor = me;
	follows = (me == B -> A : B);
	if
	:: lost_patience -> missing = BIT(at_work[A]) | BIT(at_work[B])
	:: else -> assert((me == A || !at_work[A]) && (me == B || !at_work[B]))
	fi;
	late[A] = 0; late[B] = 0;
#ifdef GIVE_BACK_OWN
	own = 1;
#endif
#ifndef NO_GIVE_BACK
	give_back(A);
	give_back(B);
#endif
	own = 0
}

inline fork()
{
	WHEN(!configuring, configuring = 1);
#ifndef WITHOUT_LOCK
	WHEN(!lock, lock = 1);
#endif
	I(pause = 1);
	if
	:: WHEN(ALL_REST, skip)
	:: WHEN(!ALL_REST, lock = 0);
	   if
	   :: WHEN(!lock && ALL_REST, lock = 1)
#ifndef WAITS_FOR_EVER
	   :: WHEN(!lock, lock = 1; lost_patience = !ALL_REST)
#endif
	   fi
	fi;
	/* The instant of the fork. */
	if
	:: WHEN(!in_child, child())
	:: I(forks++)
	fi;
	I(lost_patience = 0; pause = 0; lock = 0);
	I(configuring = 0)
}

/* ---- draining ---- */

#define OBJECT (page * CAP + cursor[page] + 1)

inline rest()
{
	do
	:: I(arrive(me); drainers[me].resting = 1);
	   WHEN(!pause, late[me] = 1);
#ifndef NO_REST_FENCE
	   I(arrive(me));
#endif
	   if
#ifdef NO_LOOK_AFTER_REST
	   :: I(at_work[me] = OBJECT; break)
#else
	   :: WHEN(!pause, at_work[me] = OBJECT; break)
	   :: WHEN(pause, skip)
#endif
	   fi
	od
}

proctype thread(byte me)
{
	byte page;
	bit own;

	do
	:: WHEN(ready && !pause, skip);
	   WHEN(!lock, lock = 1; arrive(me));
	   if
	   :: WHEN(ready == 0, lock = 0)
	   :: WHEN(ready != 0, page = (ready & 1 -> 0 : 1); ready = ready & ~BIT(page));
	      I(drainers[me].owner = SELF(me) + 1;
		drainers[me].page = page;
		drainers[me].resting = 0);
	      I(lock = 0);
	      do
	      :: WHEN(cursor[page] < CAP, skip);
		 if
		 :: WHEN(pause, skip) -> rest()
		 :: WHEN(!pause, at_work[me] = OBJECT)
		 fi;
#ifndef CURSOR_LAST
		 I(cursor[page]++);
#endif
		 I(assert(!(begun & BIT(at_work[me]))); begun = begun | BIT(at_work[me]));
		 if
		 :: at_work[me] == 1 -> fork()
		 :: at_work[me] != 1
		 fi;
#ifdef CURSOR_LAST
		 I(cursor[page]++);
#endif
		 I(at_work[me] = 0)
	      :: WHEN(cursor[page] == CAP, break)
	      od;
	      WHEN(!lock, lock = 1; arrive(me));
	      I(drainers[me].owner = 0; drainers[me].page = 0; lock = 0; page = 0)
	   fi
	:: WHEN(ready == 0, break)
	od;
	/* The thread ends: what is in the first place with its identity is given back. */
	WHEN(!lock,
	     own = 1;
	     if
	     :: drainers[A].owner == SELF(me) + 1 -> give_back(A)
	     :: drainers[B].owner == SELF(me) + 1 -> give_back(B)
	     :: else
	     fi)
}

proctype forker(byte me)
{
	bit own;

	fork()
}

proctype nothing_moves()
{
	timeout -> assert(((begun | missing) & ALL) == ALL && (in_child || forks == 2))
}

init {
	atomic {
		run thread(A);
		run thread(B);
		run forker(FORKER);
		run thread(WORKER);
#ifdef NO_REST_FENCE
		run store_buffer(A);
		run store_buffer(B);
#endif
		run nothing_moves()
	}
}
