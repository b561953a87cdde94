/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From anyrcu_call() to the callback: src/store/store.c, src/defer/defer.c, collect.c, drain.c.
 * See docs/design/models.md.
 *
 * Two threads defer, by sequence or (-DSHARED) by atomics; a worker collects, waits and drains;
 * there is a reader. -DBARRIER: one thread, two workers and a barrier. A signal handler is one of
 * the threads: it does no more than another thread on the same CPU can, which also makes a sequence
 * start over. A grace period is abstract: it waits for the sections that run when its cookie is
 * taken (gp.pml). All waiting is for a condition, so whoever starves is seen as a deadlock, or,
 * going round for ever, as a cycle.
 *
 * run safety right
 * run safety right -DSHARED
 * run safety right -DBARRIER
 * run safety right -DBARRIER -DSHARED
 * run cycles right -DBARRIER
 * run cycles right -DSHARED
 * run safety broken -DNO_RSEQ_FENCE
 * run safety broken -DCOOKIE_FIRST
 * run safety broken -DSHARED -DONE_GRACE_PERIOD
 * run safety broken -DSHARED -DNO_SECTION
 * run safety broken -DTAKE_BY_STORE
 * run safety broken -DSHARED -DOPEN_BY_STORE
 * run safety broken -DCHAIN_BY_STORE
 * run safety broken -DBARRIER -DBARRIER_OF_LAST
 * run safety broken -DBARRIER -DBARRIER_MISSES_DRAINERS
 * run safety broken -DBARRIER -DSHARED -DBARRIER_MISSES_UNSETTLED
 * run safety broken -DBARRIER -DGIVE_BACK_LAST
 */
#ifdef BARRIER
#define THREADS 1
#define WORKERS 2
#else
#define THREADS 2
#define WORKERS 1
#endif
#define PAGES 2 /* 1 to PAGES; 0: none */
#define CAP 2
#define TRIES 2
#define OBJECTS 3 /* 1 to OBJECTS; 0: an empty word */
#define ALL 14	  /* as a set: bit o for object o */
#define BIT(n) (1 << (n))
#define READER THREADS /* the sections' sets: bit t for thread t, and the reader's */

typedef page {
	byte count, next, gen, cursor, word[CAP];
	bit shared, settled, used;
};
page pg[PAGES + 1];
byte open, open_shared; /* one CPU's; whoever defers may have read its number long ago */
/* The thread that is in a sequence on that CPU, + 1; others that were have to start over. */
byte sequence;
byte chain;

/* pipe */
bit lock, force, waits;
byte gen, mask; /* mask: the sections that the grace period waits for */
byte waiting, waiting_chain, unsettled; /* sets of pages; a set of objects */
byte ready[PAGES], nready;
byte ready_chain, chain_gen;
bit chain_taken;
byte drainer_gen[WORKERS], drains; /* drains: the set of workers whose slot is claimed */

byte sections;		 /* that run now */
byte buffered[THREADS];	 /* the object whose unlinking is still in the thread's store buffer */
/* The sections that may see the object, as they ran when its unlinking reached memory. */
byte see[OBJECTS + 1];
byte begun, ended;	 /* callbacks */
byte deferred, finished; /* objects whose deferral has returned; threads that are done */

inline read_lock(t)
{
	sections = sections | BIT(t)
}

inline read_unlock(t)
{
	d_step {
		sections = sections & ~BIT(t);
		mask = mask & ~BIT(t);
		for (k : 1 .. OBJECTS) { see[k] = see[k] & ~BIT(t) }
		k = 0
	}
}

/*
 * At the latest before an atomic operation of the thread or a store that others see, and when
 * somebody makes all threads fence.
 */
inline unlinked(t)
{
	if
	:: buffered[t] -> see[buffered[t]] = sections; buffered[t] = 0
	:: else
	fi
}

inline all_unlinked()
{
	unlinked(0);
#if THREADS > 1
	unlinked(1);
#endif
}

/* ---- storing ---- */

inline fill(p, at, o)
{
	assert(pg[p].used && pg[p].word[at] == 0);
	pg[p].word[at] = o
}

/* Sets "stored" or, when there is no page, "refused". */
inline page_open(where, is_shared)
{
	d_step {
		fresh = 1;
		do
		:: fresh <= PAGES && pg[fresh].used -> fresh++
		:: else -> break
		od;
		if
		:: fresh > PAGES -> fresh = 0; refused = 1
		:: else ->
			pg[fresh].used = 1;
			pg[fresh].shared = is_shared;
#ifdef ONE_GRACE_PERIOD
			pg[fresh].settled = 1;
#else
			pg[fresh].settled = !is_shared;
#endif
			pg[fresh].word[0] = o;
			pg[fresh].count = 1;
			pg[fresh].next = p
		fi
	}
	if
	:: fresh != 0 ->
#ifdef OPEN_BY_STORE
	   atomic { unlinked(me) };
	   if
	   :: where == p -> where = fresh; stored = 1
	   :: else -> d_step { page_clear(fresh) }
	   fi;
	   fresh = 0
#else
	   d_step {
		unlinked(me);
		if
		:: where == p -> where = fresh; stored = 1
		:: else -> page_clear(fresh)
		fi;
		fresh = 0
	   }
#endif
	:: else
	fi
}

inline page_clear(p)
{
	pg[p].used = 0; pg[p].count = 0; pg[p].next = 0; pg[p].gen = 0; pg[p].cursor = 0;
	pg[p].word[0] = 0; pg[p].word[1] = 0; pg[p].shared = 0; pg[p].settled = 0
}

/* Each step but the first happens only if nothing has made the thread start over. */
inline sequence_append()
{
	p = 0;
	sequence = me + 1;
	if
	:: atomic { sequence == me + 1 -> p = open };
	   if
	   :: p == 0
	   :: else ->
		if
		:: d_step { sequence == me + 1 -> assert(pg[p].used); at = pg[p].count };
		   if
		   :: at >= CAP
		   :: else ->
			if
			:: d_step {
				sequence == me + 1 -> fill(p, at, o);
				unlinked(me);
				pg[p].count = at + 1; stored = 1
			   }
			:: sequence != me + 1
			fi
		   fi
		:: sequence != me + 1
		fi
	   fi
	:: sequence != me + 1
	fi;
	atomic {
		if
		:: sequence == me + 1 -> sequence = 0
		:: else
		fi;
		p = 0; at = 0
	}
}

inline open_sequence()
{
	tries = 0;
	do
	:: tries < TRIES && !stored && !refused ->
	   tries++;
	   p = open;
	   if
	   :: p == 0 || pg[p].count >= CAP -> page_open(open, 0)
	   :: else
	   fi;
	   if
	   :: !stored && !refused -> sequence_append()
	   :: else
	   fi
	:: else -> break
	od;
	atomic { tries = 0; refused = 0; p = 0 }
}

inline append_shared()
{
	tries = 0;
	do
	:: tries < TRIES && !stored && !refused ->
	   tries++;
	   p = open_shared;
	   if
	   :: p == 0 || pg[p].count >= CAP -> page_open(open_shared, 1)
	   :: else ->
		/*
		 * The count may go beyond the cap; here it does not, as nothing depends on how far.
		 */
		atomic {
			unlinked(me);
			at = pg[p].count;
			if
			:: at < CAP -> pg[p].count++
			:: else
			fi
		};
		if
		:: at < CAP -> atomic { fill(p, at, o); stored = 1 }
		:: else
		fi
	   fi
	:: else -> break
	od;
	atomic { tries = 0; refused = 0; p = 0; at = 0 }
}

proctype thread(byte me, first, last)
{
	byte o = first, p, at, fresh, tries, k;
	bit stored, refused;

	do
	:: o <= last ->
	   buffered[me] = o;
#ifndef SHARED
	   sequence_append();
#endif
	   if
	   :: !stored ->
#ifndef NO_SECTION
		read_lock(me);
#endif
#ifndef SHARED
		open_sequence();
#endif
		if
		:: !stored -> append_shared()
		:: else
		fi;
		read_unlock(me)
	   :: else
	   fi;
	   atomic {
		unlinked(me);
		if
		:: !stored -> chain = chain | BIT(o)
		:: else
		fi;
		deferred = deferred | BIT(o);
		stored = 0;
		o++
	   }
	:: else -> break
	od;
	finished++
}

proctype reader()
{
	byte k;

	read_lock(READER);
	read_unlock(READER);
	finished++
}

/* ---- collecting ---- */

/*
 * The grace period has begun when all threads have fenced; some that it does not wait for may have
 * begun to read before.
 */
bit fenced;

#define ANYTHING_OPEN (open || open_shared || chain)
#define ANYTHING_SEALED (open && pg[open].next || open_shared && pg[open_shared].next)
#define EMPTY (!waits && !unsettled && !nready && !ready_chain && !force && !ANYTHING_OPEN)

/* What is taken from one place goes to "taken". */
inline take_from(where)
{
	if
	:: where == 0
	:: where != 0 && all ->
#ifdef TAKE_BY_STORE
	   p = where;
	   where = 0;
#else
	   atomic { p = where; where = 0 }
#endif
	:: where != 0 && !all -> atomic { p = pg[where].next; pg[where].next = 0 }
	fi;
	d_step {
		do
		:: p != 0 ->
			taken = taken | BIT(p);
			pg[p].gen = gen;
			last = p;
			p = pg[p].next;
			pg[last].next = 0
		:: else -> break
		od;
		last = 0
	}
}

inline collect()
{
	gen++;
#ifdef COOKIE_FIRST
	cookie = sections;
#endif
#ifndef SHARED
	take_from(open);
#endif
	take_from(open_shared);
#ifdef CHAIN_BY_STORE
	waiting_chain = chain;
	chain = 0;
#else
	atomic { waiting_chain = chain; chain = 0 }
#endif
#if !defined(NO_RSEQ_FENCE) && !defined(SHARED)
	if
	:: taken -> atomic { sequence = 0; all_unlinked() }
	:: else
	fi;
#endif
	d_step {
		if
		:: all -> force = 0
		:: else
		fi;
		waiting = taken | unsettled;
		unsettled = 0;
		taken = 0;
		waits = waiting || waiting_chain;
#ifdef COOKIE_FIRST
		mask = cookie & sections;
		cookie = 0;
#else
		mask = sections;
#endif
		if
		:: !waits -> mask = 0
		:: else
		fi
	}
}

/* All that waits is of two generations at most: what has settled goes first. */
inline make_ready()
{
	if
	:: waiting_chain -> ready_chain = waiting_chain; chain_gen = gen; waiting_chain = 0
	:: else
	fi;
	for (g : gen - 1 .. gen) {
		for (p : 1 .. PAGES) {
			if
			:: (waiting & BIT(p)) && (pg[p].gen == g || g == gen) ->
				waiting = waiting & ~BIT(p);
				if
				:: pg[p].settled -> ready[nready] = p; nready++
				:: else -> pg[p].settled = 1; unsettled = unsettled | BIT(p)
				fi
			:: else
			fi
		}
	}
	waits = 0; fenced = 0;
	p = 0; g = 0
}

/* ---- draining ---- */

inline invoke(o)
{
	assert(o != 0 && !(begun & BIT(o))); /* not twice */
	assert(see[o] == 0 && buffered[0] != o && buffered[THREADS - 1] != o); /* not early */
	begun = begun | BIT(o)
}

inline ready_take()
{
	p = ready[0];
	ready[0] = ready[1];
	nready--;
	ready[nready] = 0;
	k = 0
}

/* Behind the older generations. */
inline ready_give_back()
{
	k = nready;
#ifndef GIVE_BACK_LAST
	do
	:: k > 0 && pg[ready[k - 1]].gen >= pg[p].gen -> ready[k] = ready[k - 1]; k--
	:: else -> break
	od;
#endif
	ready[k] = p;
	nready++;
	k = 0
}

inline drain_page()
{
	do
	:: pg[p].cursor < pg[p].count ->
	   atomic {
		o = pg[p].word[pg[p].cursor];
		pg[p].cursor++;
		assert(o != 0 || pg[p].shared)
	   };
	   if
	   :: o != 0 -> atomic { invoke(o) }; atomic { ended = ended | BIT(o); o = 0; had = 1 }
	   :: else
	   fi
	/* drained, or the budget is used up */
	:: pg[p].cursor == pg[p].count || had -> had = 0; break
	od
}

proctype worker(byte me)
{
	byte p, o, k, g, taken, last, cookie;
	bit all, had;

	do
	:: atomic { waits && !fenced -> fenced = 1; all_unlinked() }
	:: d_step {
		lock == 0 && waits && fenced && mask == 0 &&
		!(waiting_chain && (ready_chain || chain_taken)) -> make_ready()
	   }
	:: atomic {
		lock == 0 && !waits && (force || ANYTHING_OPEN || unsettled) -> lock = 1;
		if
		:: force || ANYTHING_OPEN -> all = 1
		:: !force && (unsettled || ANYTHING_SEALED) -> all = 0
		fi
	   };
	   collect();
	   atomic { all = 0; lock = 0 }
	:: d_step {
		lock == 0 && nready -> ready_take();
		drainer_gen[me] = pg[p].gen;
		drains = drains | BIT(me)
	   };
	   drain_page();
	   atomic {
		lock == 0 ->
		if
		:: pg[p].cursor < pg[p].count -> ready_give_back()
		:: else -> page_clear(p)
		fi;
		drains = drains & ~BIT(me);
		drainer_gen[me] = 0;
		p = 0
	   }
	:: d_step {
		lock == 0 && ready_chain && !chain_taken -> chain_taken = 1;
		k = ready_chain;
		drainer_gen[me] = chain_gen;
		drains = drains | BIT(me)
	   };
	   o = 1;
	   do
	   :: o <= OBJECTS && (k & BIT(o)) ->
	      atomic { k = k & ~BIT(o); invoke(o) };
	      atomic { ended = ended | BIT(o); o++; had = 1 }
	   :: o <= OBJECTS && !(k & BIT(o)) -> o++
	   :: o > OBJECTS || had -> break
	   od;
	   atomic {
		lock == 0 -> ready_chain = k;
		chain_taken = 0;
		drains = drains & ~BIT(me);
		drainer_gen[me] = 0;
		k = 0; o = 0; had = 0
	   }
	:: atomic { lock == 0 && finished == THREADS + 1 && EMPTY && !drains -> break }
	od;
	assert(ended == ALL) /* not never */
}

/* ---- the barrier ---- */

#define OLD(p) (pg[p].gen <= mine)
#define ANY_OLD(set) (((set) & BIT(1)) && OLD(1) || ((set) & BIT(2)) && OLD(2))
#define DRAINS_OLD(w) ((drains & BIT(w)) && drainer_gen[w] <= mine)
#ifdef BARRIER_MISSES_UNSETTLED
#define UNSETTLED_OLD 0
#else
#define UNSETTLED_OLD ANY_OLD(unsettled)
#endif
#ifdef BARRIER_MISSES_DRAINERS
#define ANY_DRAINS_OLD 0
#else
#define ANY_DRAINS_OLD (DRAINS_OLD(0) || DRAINS_OLD(1))
#endif
#define ALL_INVOKED !(gen < mine || waits && (gen == mine || ANY_OLD(waiting)) || UNSETTLED_OLD || \
	nready && OLD(ready[0]) || ready_chain && chain_gen <= mine || ANY_DRAINS_OLD)

proctype barrier()
{
	byte before, mine;

	before = deferred;
#ifdef BARRIER_OF_LAST
	d_step { lock == 0 -> mine = gen; force = 1 }
#else
	d_step { lock == 0 -> mine = gen + 1; force = 1 }
#endif
	atomic {
		lock == 0 && ALL_INVOKED -> assert((ended & before) == before);
		mine = 0; before = 0;
		finished++
	}
}

init {
	atomic {
		run worker(0);
#ifdef BARRIER
		run worker(1);
		run barrier();
		run thread(0, 1, 3)
#else
		run reader();
		run thread(0, 1, 2);
		run thread(1, 3, 3)
#endif
	}
}
