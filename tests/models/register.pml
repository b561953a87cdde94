/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Registration: src/gp/reader.c. See docs/design/models.md.
 *
 * A thread registers at its first section and leaves, or dies at any instruction; a handler with a
 * section of its own comes between any two of its instructions. When it is dead a new thread gets
 * its number. A third thread comes and leaves. The engine buries the dead. When no record can be
 * had a section is one of the crowd's, which is not modelled. -DFORK: the handler forks, and the
 * model goes on in the child, where a worker registers.
 *
 * A thread in a section must have a record of its own that says so, whatever the others do; and a
 * record is not held for ever by the dead.
 *
 * run assert right
 * run assert right -DRECORDS=2
 * run assert right -DFORK
 * run cycles right
 * run cycles right -DRECORDS=2
 * run cycles right -DFORK
 * run assert broken -DNO_GENERATION
 * run assert broken -DFREED_WITHOUT_GENERATION
 * run assert broken -DRECORDS=2 -DNO_LOOK_FOR_OWN
 * run assert broken -DRECORDS=2 -DSECOND_RECORD_KEPT
 * run assert broken -DLEAVE_AT_ONCE
 * run assert broken -DFORK -DCTR_LAST
 * run assert broken -DFORK -DRENAME_BY_STORE
 */
#ifndef RECORDS
#define RECORDS 1
#endif

/* A record's tid: LEAVING + generation * 8 + the thread's number; number 0: free. */
#define NUMBER(tid) ((tid) & 7)
#define LEAVING 128
#define GENERATIONS 120
#define IS(tid, number) (((tid) & (7 | LEAVING)) == number)
#ifdef NO_GENERATION
#define WITH_NEXT_GENERATION(tid, number) (number)
#else
#define WITH_NEXT_GENERATION(tid, number) ((((tid) + 8) & GENERATIONS) | (number))
#endif
#ifdef FREED_WITHOUT_GENERATION
#define FREED(tid) 0
#define CLAIMED(tid, number) (number)
#else
#define FREED(tid) ((tid) & GENERATIONS)
#define CLAIMED(tid, number) WITH_NEXT_GENERATION(tid, number)
#endif

/* The threads: two that have one number after the other, a third, and the worker of the child. */
#define FIRST 0
#define SECOND 1
#define THIRD 2
#define WORKER 3
#define NUMBER_OF_CHILD 3

/* Records are 1 to RECORDS; 0: none. */
byte tid[RECORDS + 1], ctr[RECORDS + 1];
byte self[4], number[4];
bit alive[8]; /* by number */
bit in_handler, in_child, dead;

/*
 * An instruction of a thread: not while its handler runs, nor when it is dead; of the others only
 * the worker is in the child.
 */
#define RUNS (me == FIRST -> in_handler == level && !dead : in_child == (me == WORKER))
#define I(statement) atomic { RUNS -> statement }
#define WHEN(condition, statement) atomic { RUNS && (condition) -> statement }

inline find(wanted)
{
	I(r = 1);
	do
	:: WHEN(r <= RECORDS && IS(tid[r], wanted), old = tid[r]; break)
	:: WHEN(r <= RECORDS && !IS(tid[r], wanted), r++)
	:: WHEN(r > RECORDS, r = 0; break)
	od
}

/* Sets r, and old to what it now holds. */
inline claim()
{
	r = 0;
#ifndef NO_LOOK_FOR_OWN
	find(mine);
	if
	:: r != 0 ->
	   if
	   :: WHEN(tid[r] == old, old = WITH_NEXT_GENERATION(old, mine); tid[r] = old);
	      I(ctr[r] = 0)
	   :: WHEN(tid[r] != old, r = 0)
	   fi
	:: r == 0
	fi;
#endif
	if
	:: r == 0 -> find(0);
	   if
	   :: r != 0 ->
		if
		:: WHEN(tid[r] == old, old = CLAIMED(old, mine); tid[r] = old)
		:: WHEN(tid[r] != old, r = 0)
		fi
	   :: r == 0
	   fi
	:: r != 0
	fi;
	if
	:: r == 0 -> /* of the dead */
	   I(r = 1);
	   do
	   :: WHEN(r <= RECORDS, old = tid[r]);
	      if
	      :: WHEN(!(old & LEAVING) && NUMBER(old) && !alive[NUMBER(old)], skip);
		 if
		 :: WHEN(tid[r] == old, old = CLAIMED(old, mine); tid[r] = old);
		    I(ctr[r] = 0);
		    break
		 :: WHEN(tid[r] != old, r++)
		 fi
	      :: WHEN((old & LEAVING) || !NUMBER(old) || alive[NUMBER(old)], r++)
	      fi
	   :: WHEN(r > RECORDS, r = 0; break)
	   od
	:: r != 0
	fi
}

#if RECORDS == 1
#define ONLY_ONE true
#else
#define ONLY_ONE (self[me] == 0 || NUMBER(tid[3 - self[me]]) != number[me])
#endif

inline register()
{
	I(mine = number[me]);
again:	claim();
	if
	:: r == 0
	:: r != 0 ->
#ifndef RENAME_BY_STORE
	   /*
	    * This is the child of a fork() by a handler that came before the claim: then what we
	    * have claimed is in the name of a thread that is not.
	    */
	   if
	   :: WHEN(number[me] != mine, mine = number[me]);
	      if
	      :: WHEN(tid[r] == old, tid[r] = (old & GENERATIONS) | mine)
	      :: WHEN(tid[r] != old && IS(tid[r], mine), skip)
	      :: WHEN(tid[r] != old && !IS(tid[r], mine), goto again)
	      fi
	   :: WHEN(number[me] == mine, skip)
	   fi;
#endif
	   if
	   :: WHEN(self[me] == 0, self[me] = r)
	   :: WHEN(self[me] != 0, skip)
	   fi;
	   if
#ifndef SECOND_RECORD_KEPT
	   :: WHEN(self[me] != r, tid[r] = FREED(tid[r]))
#else
	   :: WHEN(self[me] != r, skip)
#endif
#ifdef RENAME_BY_STORE
	   :: WHEN(self[me] == r && number[me] != mine, tid[r] = number[me])
#endif
	   :: WHEN(self[me] == r, skip)
	   fi
	fi;
	I(assert(level == 1 || me == SECOND || ONLY_ONE); r = 0; old = 0; mine = 0)
}

#define COVERED(s) \
	(ctr[self[s]] > 0 && (NUMBER(tid[self[s]]) == number[s] || tid[self[s]] == LEAVING))

inline section()
{
	if
	:: WHEN(self[me] == 0, skip) -> register()
	:: WHEN(self[me] != 0, skip)
	fi;
	if
	:: WHEN(self[me] != 0, c = ctr[self[me]]);
	   I(ctr[self[me]] = c + 1);
	   I(assert(COVERED(me)));
	   I(assert(COVERED(me)); c = ctr[self[me]]);
	   I(ctr[self[me]] = c - 1; c = 0)
	:: WHEN(self[me] == 0, skip)
	fi
}

/* gp_thread_exit() */
inline leave()
{
	if
	:: WHEN(self[me] != 0, r = self[me]);
#if defined(LEAVE_AT_ONCE)
	   I(tid[r] = FREED(tid[r]));
	   I(self[me] = 0)
#elif defined(CTR_LAST)
	   I(tid[r] = LEAVING);
	   I(self[me] = 0);
	   if
	   :: WHEN(tid[r] == LEAVING, skip);
	      I(ctr[r] = 0);
	      I(if :: tid[r] == LEAVING -> tid[r] = 0 :: else fi)
	   :: WHEN(tid[r] != LEAVING, skip)
	   fi
#else
	   I(ctr[r] = 0);
	   I(old = tid[r] | LEAVING);
	   I(tid[r] = old);
	   I(self[me] = 0);
	   I(if :: tid[r] == old -> tid[r] = FREED(old) :: else fi)
#endif
	:: WHEN(self[me] == 0, skip)
	fi;
	atomic { r = 0; old = 0 }
}

proctype thread(byte me)
{
	byte r, old, mine, c;
	bit level;

	if
	:: me == SECOND -> atomic { dead && !in_child -> alive[number[me]] = 1 }
	:: me != SECOND
	fi;
	section();
	if /* the second lives on */
	:: me == SECOND -> goto lives
	:: me != SECOND -> leave()
	fi;
	if /* a handler has registered once more: the exit function runs again */
	:: WHEN(self[me] != 0, skip) -> leave()
	:: WHEN(self[me] == 0, skip)
	fi;
	I(alive[number[me]] = 0; dead = dead || me == FIRST);
lives:	skip
}

proctype handler(byte me)
{
	byte r, old, mine, c;
	bit level = 1;

	atomic { !in_handler && !dead && alive[number[me]] -> in_handler = 1 };
#ifdef FORK
	atomic {
		for (r : 1 .. RECORDS) {
			if
			:: r == self[me] || IS(tid[r], number[me]) ->
				tid[r] = (tid[r] & GENERATIONS) | NUMBER_OF_CHILD
			:: else -> ctr[r] = 0; tid[r] = FREED(tid[r])
			fi
		}
		r = 0;
		in_child = 1;
		alive[1] = 0; alive[2] = 0;
		number[me] = NUMBER_OF_CHILD;
		alive[NUMBER_OF_CHILD] = 1; alive[number[WORKER]] = 1
	}
#endif
	section();
	in_handler = 0
}

/* The first thread dies without its exit function, at any instruction. */
proctype death()
{
	atomic {
		!in_handler && !in_child && alive[number[FIRST]] && !dead -> dead = 1;
		alive[number[FIRST]] = 0
	}
}

/*
 * reader_bury() of who holds up a grace period. That it looks again and again while the thread
 * lives matters once.
 */
#define DEAD(tid) (NUMBER(tid) && !(tid & LEAVING) && !alive[NUMBER(tid)])
#define LOOK(record) \
	atomic { \
		!in_child && ctr[record] > 0 && (DEAD(tid[record]) || !looked) -> r = record; \
		looked = looked || !DEAD(tid[r]); old = tid[r] \
	}

proctype engine()
{
	byte r, old;
	bit looked;

end:	do
	:: if
	   :: LOOK(1)
#if RECORDS == 2
	   :: LOOK(2)
#endif
	   fi;
	   if
	   :: !DEAD(old)
	   :: DEAD(old) ->
		if
		:: atomic { !in_child && tid[r] == old -> tid[r] = old | LEAVING };
		   atomic { !in_child -> ctr[r] = 0 };
		   atomic { !in_child -> tid[r] = FREED(old) }
		:: !in_child && tid[r] != old
		fi
	   fi;
	   atomic { r = 0; old = 0 }
	od
}

proctype nothing_moves()
{
	timeout -> assert(ctr[1] == 0 && ctr[RECORDS] == 0)
}

init {
	atomic {
		number[FIRST] = 1; number[SECOND] = 1; number[THIRD] = 2; number[WORKER] = 4;
		alive[1] = 1; alive[2] = 1;
		run thread(FIRST);
		run handler(FIRST);
#ifdef FORK
		run thread(WORKER);
#else
		run death();
		run thread(SECOND);
#endif
		run thread(THIRD);
		run engine();
		run nothing_moves()
	}
}
