/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The life of a cache's magazine: src/cache/queue.c, magazine.c, shrink.c. See
 * docs/design/models.md.
 *
 * Two threads of one CPU (or a thread and its handler) allocate objects, unlink each while a reader
 * may see it, and defer its free, or (-DFREE) free it at once. -DSHARE: they give matured pages to
 * all CPUs. -DCARVE: an object is carved from a slab. -DGATHER: a thread on another CPU gathers all
 * pages once. A sequence checks what it relies on, makes its early stores, and commits; it starts
 * over if another sequence has begun on the CPU, or at the fence. Grace periods are abstract (see
 * gp.pml): one waits for the sections that run when it begins. There are at most PERIODS of them,
 * so allocations fail in the end, and every process ends.
 *
 * run safety right
 * run safety right -DFREE
 * run safety right -DSHARE
 * run safety right -DCAP=2 -DOBJECTS=3
 * run safety right -DCAP=2 -DCARVE
 * run safety right -DGATHER
 * run safety broken -DNO_SECTION
 * run safety broken -DADVANCED_EARLY
 * run safety broken -DFREE -DNO_COUNT_COMPARED
 * run safety broken -DCAP=2 -DCARVE -DNO_BEHIND_COMPARED
 * run safety broken -DCAP=2 -DOBJECTS=3 -DCOOKIE_FIRST
 * run safety broken -DGATHER -DNO_FREEZE
 * run safety broken -DGATHER -DNO_SECOND_FENCE
 * run safety broken -DGATHER -DGATHERED_COOKIE_FIRST
 * run safety broken -DGATHER -DSETTLED_EARLY
 * run safety broken -DGATHER -DCHAIN_EARLY
 */
#ifndef CAP
#define CAP 1
#endif
#ifndef OBJECTS
#define OBJECTS 2
#endif
#ifdef GATHER
#define ROUNDS 1
#define PERIODS 1
#define PARTS 3
#elif defined(FREE)
#define ROUNDS (me == 0 -> 2 : 1)
#define PERIODS 2
#define PARTS 2
#else
#define ROUNDS (me == 0 -> 3 : 1)
#define PERIODS 3
#define PARTS 2
#endif
#define PAGES 4 /* 1 to PAGES; 0: none */
#define BIT(n) (1 << (n))
#define READER 2 /* in sets of sections, after the two threads */

typedef page {
	byte count, next, cookie, word[CAP];
	bit used
};
page pg[PAGES + 1];
byte magazine, open; /* the queue of the CPU */
bit frozen;
byte sequence; /* the thread that is in a sequence on the CPU, + 1 */
byte ready;     /* a set of pages */
byte chain;    /* a set of objects, like the next */
byte carve;    /* the object that is not carved from its slab yet */
byte held_back, kept_back; /* what the gatherer could not make ready: objects; pages */

byte taken;		/* allocated, or by a thread that is about to store it */
byte see[OBJECTS + 1];	/* the sections that may see the object */
byte started, done;	/* grace periods */
byte sections, mask;	/* those that run; those that the grace period waits for */
byte finished;

#ifdef ADVANCED_EARLY
#define BEHIND_MATURED(cookie) (started >= (cookie))
#else
#define BEHIND_MATURED MATURED
#endif
#define MATURED(cookie) (done >= (cookie))
#define COOKIE (started + 1)
#define NO_MORE (started == PERIODS && done == PERIODS)

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

/* Sets p: 0, if there is no page. */
inline page_alloc(p)
{
	d_step {
		p = 1;
		do
		:: p <= PAGES && pg[p].used -> p++
		:: else -> break
		od;
		if
		:: p > PAGES -> p = 0
		:: else ->
			pg[p].used = 1
		fi
	}
}

inline page_free(p)
{
	d_step {
		assert(pg[p].used);
		pg[p].used = 0;
		pg[p].count = 0;
		pg[p].next = 0;
		pg[p].cookie = 0
	}
}

inline allocated(o)
{
	assert(!(taken & BIT(o)));
	assert(see[o] == 0);
	taken = taken | BIT(o)
}

/* ---- sequences; MINE: no other one has begun on the CPU, and nobody made it start over ---- */

#define BEGIN sequence = me + 1
#define END sequence = 0
#define MINE (sequence == me + 1)

/* Sets o: the last object of the magazine, or 0. */
inline pop()
{
	do
	:: atomic {
		BEGIN;
		p = magazine;
		n = (p != 0 -> pg[p].count : 0);
		o = (n != 0 -> pg[p].word[n - 1] : 0);
		if
		:: o == 0 -> p = 0; END; break
		:: else
		fi
	   };
	   if
	   :: atomic {
		MINE ->
		pg[p].count = n - 1;
		pg[p].word[n - 1] = 0;
		allocated(o);
		END;
		p = 0;
		n = 0;
		break
	      }
	   :: atomic { !MINE -> p = 0; n = 0; o = 0 }
	   fi
	od
}

/* Append o to the open page, or to the magazine; sets ok. */
inline append(where)
{
	do
	:: atomic {
		BEGIN;
		p = where;
		n = (p != 0 -> pg[p].count : CAP);
		if
		:: n == CAP -> p = 0; n = 0; ok = 0; END; break
		:: else
		fi
	   };
	   if
	   :: atomic {
		MINE ->
		pg[p].word[n] = o; /* nobody reads it before the next store */
		pg[p].count = n + 1;
		END;
		taken = taken & ~BIT(o);
		p = 0;
		n = 0;
		ok = 1;
		break
	      }
	   :: atomic { !MINE -> p = 0; n = 0 }
	   fi
	od
}

#ifdef NO_FREEZE
#define SAME(m, op) (magazine == m && open == op)
#else
#define SAME(m, op) (!frozen && magazine == m && open == op)
#endif

/* One commit: "where = value" if SAME and "also". Sets ok. */
inline change(m, op, also, where, value)
{
	do
	:: atomic {
		BEGIN;
		if
		:: SAME(m, op) && also
		:: else -> END; break
		fi
	   };
	   if
	   :: atomic { MINE -> where = value; ok = 1; END; break }
	   :: !MINE
	   fi
	od
}

#define LOOK m = magazine; op = open

/* A queue needs both pages: add one. */
inline complete()
{
	page_alloc(x);
	if
	:: x != 0 ->
		pg[x].next = op;
		if
		:: op != 0 -> change(m, op, 1, magazine, x)
		:: else -> change(m, op, 1, open, x)
		fi;
		atomic {
			if
			:: ok -> ok = 0
			:: else -> page_free(x)
			fi;
			x = 0;
			LOOK
		}
	:: else
	fi
}

/* Seal the full open page op; x becomes the open page. Sets ok. */
inline seal()
{
	do
	:: atomic {
		BEGIN;
		if
		:: SAME(m, op) && pg[op].count == CAP
		:: else -> END; break
		fi
	   };
	   if
	   :: atomic { MINE -> pg[op].next = x; pg[op].cookie = kept };
	      if
	      :: atomic { MINE -> open = x; ok = 1; END; break }
	      :: !MINE
	      fi
	   :: !MINE
	   fi
	od
}

#ifdef NO_COUNT_COMPARED
#define EMPTY(p) 1
#else
#define EMPTY(p) (pg[p].count == 0)
#endif

#ifdef NO_BEHIND_COMPARED
#define BEHIND(m, n) 1
#define SEALED(p, c) 1
#else
#define BEHIND(m, n) (pg[m].next == n)
#define SEALED(p, c) (pg[p].cookie == c) /* either of the two suffices here */
#endif

/* The matured page behind the magazine m; sets n, or 0, and kept. */
inline matured()
{
	atomic {
		n = pg[m].next;
		kept = pg[n].cookie;
		if
		:: n != 0 && n != op && BEHIND_MATURED(kept)
		:: else -> n = 0; kept = 0
		fi
	}
}

/* It becomes the magazine, which is empty. Sets ok. */
inline advance()
{
	matured();
	if
	:: n != 0 ->
		change(m, op, (EMPTY(m) && BEHIND(m, n) && SEALED(n, kept)), magazine, n);
		atomic {
			n = 0;
			kept = 0;
			if
			:: ok -> page_free(m)
			:: else
			fi
		}
	:: else
	fi
}

#ifdef SHARE
/* It is given to all CPUs. */
inline share()
{
	matured();
	if
	:: n != 0 ->
		x = pg[n].next;
		change(m, op, (pg[m].next == n && SEALED(n, kept)), pg[m].next, x);
		atomic {
			if
			:: ok -> ready = ready | BIT(n)
			:: else
			fi;
			n = 0;
			kept = 0;
			x = 0
		}
	:: else
	fi
}
#endif

/* ---- the slow paths. A sequence compares what they read before it: one step reads it ---- */

#ifdef NO_SECTION
#define ENTER skip
#define LEAVE skip
#else
#define ENTER read_lock(me)
#define LEAVE read_unlock(me)
#endif
#define FORGET m = 0; op = 0; ok = 0; x = 0

/* One page of those that are ready, or a new one; sets x, and o to its last object. */
inline refill()
{
	atomic {
		x = 1;
		do
		:: x <= PAGES && !(ready & BIT(x)) -> x++
		:: else -> break
		od;
		if
		:: frozen || (x > PAGES && !carve) -> x = 0
		:: x > PAGES && carve && !frozen ->
			page_alloc(x);
			if
			:: x != 0 -> o = carve; carve = 0; allocated(o)
			:: else
			fi
		:: x <= PAGES && !frozen ->
			ready = ready & ~BIT(x);
			pg[x].count = pg[x].count - 1;
			o = pg[x].word[pg[x].count];
			pg[x].word[pg[x].count] = 0;
			allocated(o)
		fi
	}
}

/* The page x becomes the magazine if that is empty, or is ready again. */
inline install()
{
	atomic { LOOK; n = (m != 0 -> pg[m].next : 0); pg[x].next = n };
	if
	:: m != 0 && op != 0 && pg[m].count == 0 ->
		change(m, op, (EMPTY(m) && BEHIND(m, n)), magazine, x)
	:: else
	fi;
	atomic {
		n = 0;
		if
		:: ok -> page_free(m)
		:: !ok && pg[x].count != 0 -> pg[x].next = 0; ready = ready | BIT(x)
		:: else -> page_free(x)
		fi
	}
}

/* The cookie of a page that was seen to be full. */
inline take_cookie()
{
#ifndef COOKIE_FIRST
	kept = COOKIE
#else
	skip
#endif
}

inline give_back()
{
	atomic {
		kept = 0;
		if
		:: ok
		:: else -> page_free(x)
		fi
	}
}

inline alloc_slow()
{
	atomic { ENTER; LOOK };
	if
	:: m != 0 && op != 0 && pg[m].count == 0 ->
		advance();
		if
		:: atomic {
			!ok && pg[m].next == op && pg[op].count == CAP ->
			take_cookie();
			page_alloc(x)
		   };
			if
			:: x != 0 -> seal(); give_back()
			:: else
			fi
		:: else
		fi
	:: else
	fi;
	atomic { FORGET };
	pop();
	if
	:: o == 0 ->
		refill();
		if
		:: x != 0 -> install()
		:: else
		fi
	:: else
	fi;
	atomic { FORGET; LEAVE }
}

inline defer_slow()
{
	atomic { ENTER; LOOK };
	if
	:: m == 0 || op == 0 -> complete()
	:: else
	fi;
#ifdef COOKIE_FIRST
	kept = COOKIE;
#endif
	if
	:: atomic {
		m != 0 && op != 0 && pg[op].count == CAP ->
		take_cookie();
		page_alloc(x)
	   };
		if
		:: x != 0 ->
			d_step { pg[x].word[0] = o; pg[x].count = 1 };
			seal();
			if
			:: ok -> taken = taken & ~BIT(o)
			:: else
			fi;
			give_back()
		:: else
		fi
	:: m != 0 && op != 0 && pg[op].count != CAP -> append(open)
	:: else
	fi;
	if
	:: ok
#ifdef SHARE
		-> ok = 0; share()
#endif
	:: else -> d_step { chain = chain | BIT(o); taken = taken & ~BIT(o) }
	fi;
	atomic { FORGET; kept = 0; LEAVE }
}

proctype thread(byte me)
{
	byte o, p, n, m, op, x, kept, k, round;
	bit ok;

	for (round : 1 .. ROUNDS) {
		pop();
		if
		:: o == 0 -> alloc_slow()
		:: else
		fi;
		if
		:: o == 0
		:: else ->
#ifdef FREE
			if
			:: append(magazine) /* it was not published */
			:: skip
			fi;
#endif
			if
			:: ok
			:: else ->
				see[o] = sections; /* it was published, and is unlinked */
				append(open)
			fi;
			if
			:: ok -> ok = 0
			:: else -> defer_slow()
			fi;
			o = 0
		fi
	}
	round = 0;
	finished++
}

proctype reader()
{
	byte k;

	do
	:: read_lock(READER); read_unlock(READER)
	:: finished == PARTS -> break
	od
}

proctype engine()
{
	do
	:: atomic { started == done && started < PERIODS -> started++; mask = sections }
	:: atomic { started != done && mask == 0 -> done = started }
	:: finished == PARTS -> break
	od
}

/* On another CPU. */
proctype gatherer()
{
	byte m, op, p, set, cookie, waiting, k;

	frozen = 1;
	sequence = 0; /* the fence makes sequences start over */
	d_step { m = magazine; op = open };
	if
	:: op == 0
	:: else ->
#ifdef GATHERED_COOKIE_FIRST
		cookie = COOKIE;
#endif
		magazine = 0;
		open = 0;
#ifndef NO_SECOND_FENCE
		sequence = 0;
#endif
		p = (m != 0 -> m : op);
		do
		:: atomic {
			p != 0 ->
			if
			:: pg[p].count != 0 -> set = set | BIT(p); k = pg[p].next
			:: else -> k = pg[p].next; page_free(p)
			fi;
			p = (p == op -> 0 : k);
			k = 0
		   }
		:: p == 0 -> break
		od
	fi;
	frozen = 0;
	atomic { m = 0; op = 0; set = set | ready; ready = 0 };
#ifdef GATHERED_COOKIE_FIRST
	if
	:: cookie == 0 -> cookie = COOKIE
	:: else
	fi;
#else
	cookie = COOKIE;
#endif
#ifdef SETTLED_EARLY
	skip;
#else
	(MATURED(cookie) || NO_MORE);
#endif
	if
#ifdef SETTLED_EARLY
	:: true -> d_step { ready = ready | set; set = 0 }
#else
	:: MATURED(cookie) -> d_step { ready = ready | set; set = 0 }
#endif
	:: else
	fi;
	/* the chain */
	atomic { waiting = chain; chain = 0; cookie = COOKIE };
#ifndef CHAIN_EARLY
	(MATURED(cookie) || NO_MORE);
#endif
	do
#ifdef CHAIN_EARLY
	:: waiting != 0 ->
#else
	:: waiting != 0 && MATURED(cookie) ->
#endif
		page_alloc(p);
		if
		:: p == 0 -> break
		:: else -> d_step {
			k = 1;
			do
			:: k <= OBJECTS && pg[p].count < CAP ->
				if
				:: waiting & BIT(k) ->
					waiting = waiting & ~BIT(k);
					pg[p].word[pg[p].count] = k;
					pg[p].count = pg[p].count + 1
				:: else
				fi;
				k++
			:: else -> break
			od;
			k = 0;
			ready = ready | BIT(p)
		   }
		fi
	:: else -> break
	od;
	held_back = waiting; /* and pages that have not matured */
	kept_back = set;
	finished++
}

init
{
	byte k, m, p, at;

	d_step {
		magazine = 1;
		open = 2;
		pg[1].used = 1;
		pg[2].used = 1;
		pg[1].next = 2;
		for (k : 1 .. OBJECTS) {
			if
			:: k <= CAP -> pg[1].word[k - 1] = k; pg[1].count = k
			:: k > CAP && k <= 2 * CAP ->
				pg[3].used = 1;
				pg[3].word[k - 1 - CAP] = k;
				pg[3].count = k - CAP;
				ready = BIT(3)
			:: else -> chain = chain | BIT(k)
			fi
		};
#ifdef CARVE /* an empty magazine, a matured page, and the open page */
		pg[1].count = 0;
		pg[1].word[0] = 0;
		pg[2].count = 1;
		pg[2].word[0] = 1;
		pg[2].next = 3;
		pg[3].used = 1;
		pg[3].count = 0;
		pg[3].word[0] = 0;
		open = 3;
		ready = 0;
		chain = 0;
		carve = 2
#endif
	};
	atomic {
		run thread(0);
		run thread(1);
		run reader();
#ifdef GATHER
		run gatherer();
#endif
		run engine()
	};
	/* Each object is in one place. */
	finished == PARTS;
	d_step {
		for (k : 1 .. OBJECTS) {
			m = ((chain | held_back) & BIT(k) || carve == k -> 1 : 0);
			p = (magazine != 0 -> magazine : open);
			do
			:: p != 0 ->
				at = 0;
				do
				:: at < pg[p].count -> m = m + (pg[p].word[at] == k -> 1 : 0); at++
				:: else -> break
				od;
				p = (p == open -> 0 : pg[p].next)
			:: else -> break
			od;
			p = 1;
			do
			:: p <= PAGES && ((ready | kept_back) & BIT(p)) ->
				at = 0;
				do
				:: at < pg[p].count -> m = m + (pg[p].word[at] == k -> 1 : 0); at++
				:: else -> break
				od;
				p++
			:: p <= PAGES && !((ready | kept_back) & BIT(p)) -> p++
			:: else -> break
			od;
			assert(m == 1)
		}
	}
}
