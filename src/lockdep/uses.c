/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Uses of classes by signals: locks taken in a signal's handler, and locks held with the signal
 * unblocked. All under the engine's lock. The classes that a search has reached are in queue[], see
 * graph.c.
 */
#include <lockdep/engine.h>

/* The signals by which the reached classes are used in this way, by writers and by readers. */
static void gather(uint32_t n, unsigned use, uint64_t by[2])
{
	by[0] = by[1] = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct visit *v = &tables->queue[i];

		by[0] |= tables->class[v->class].use[use][0];
		by[1] |= v->weak ? 0 : tables->class[v->class].use[use][1];
	}
}

/* Reader against reader is no conflict. */
static uint64_t conflict(const uint64_t a[2], const uint64_t b[2])
{
	return (a[0] & (b[0] | b[1])) | (a[1] & b[0]);
}

static unsigned first_signal(uint64_t signals)
{
	return __builtin_ctzll(signals) + 1;
}

/*
 * The nearest class, from @i on, that conflicts with @with about @signal. Returns its index in
 * queue[]; @n: there is none.
 */
static uint32_t nearest(uint32_t i, uint32_t n, unsigned use, const uint64_t with[2],
			uint64_t signal)
{
	for (; i < n; i++) {
		struct visit *v = &tables->queue[i];
		uint64_t by[2] = { tables->class[v->class].use[use][0],
				   v->weak ? 0 : tables->class[v->class].use[use][1] };

		if (conflict(by, with) & signal)
			break;
	}
	return i;
}

static void say_use(uint16_t class, unsigned use, unsigned sig)
{
	struct class *c = &tables->class[class];
	bool reads = !(c->use[use][0] >> (sig - 1) & 1);

	say_class(class);
	say(use == USED_IN ? " is taken%s by a handler of signal %u, first at:\n" :
			     " is held%s with signal %u open, first at:\n",
	    reads ? " to read" : "", (uint64_t)sig);
	say_trace(c->trace[use][reads]);
}

static void order_scenario(uint16_t safe, uint16_t unsafe, unsigned sig)
{
	say("\n possible signal unsafe locking scenario:\n\n       thread 0             thread 1\n       --------             --------\n  lock(");
	say_class(unsafe);
	say(");\n                       block signal %u;\n                       lock(",
	    (uint64_t)sig);
	say_class(safe);
	say(");\n                       lock(");
	say_class(unsafe);
	say(");\n  <signal %u>\n    lock(", (uint64_t)sig);
	say_class(safe);
	say(");\n\n *** DEADLOCK ***\n\n");
}

/*
 * Does the new edge make a handler's lock wait for a lock whose holder the handler may interrupt?
 */
void order_check(struct thread *t, struct held *p, struct held *n)
{
	uint64_t in[2], open[2], signals;
	uint32_t count, safe, unsafe;
	uint16_t safe_class;

	count = graph_reach(p->class, READS(p->how), true);
	gather(count, USED_IN, in);
	if (!(in[0] | in[1]))
		return;
	count = graph_reach(n->class, n->how & ANYRCU_LOCK_RECURSIVE_READ, false);
	gather(count, HELD_OPEN, open);
	signals = conflict(in, open);
	if (!signals)
		return;
	signals &= -signals;
	unsafe = nearest(0, count, HELD_OPEN, in, signals);
	if (unsafe == count || !report_begin(ANYRCU_LOCKDEP_SIGNAL_ORDER, n->class, p->class))
		return;
	say_attempt(t, n, "and holds:\n", p);
	say("which makes what a handler takes wait for what is held with the handler's signal open.\n");
	graph_say_edges(unsafe, false);
	unsafe = tables->queue[unsafe].class;
	say_use(unsafe, HELD_OPEN, first_signal(signals));
	count = graph_reach(p->class, READS(p->how), true);
	safe = nearest(0, count, USED_IN, open, signals);
	safe_class = tables->queue[safe < count ? safe : 0].class;
	graph_say_edges(safe < count ? safe : 0, true);
	say_use(safe_class, USED_IN, first_signal(signals));
	order_scenario(safe_class, unsafe, first_signal(signals));
	report_end(t);
}

static void use_inconsistent(struct thread *t, struct held *h, uint64_t signals)
{
	unsigned sig = first_signal(signals);

	if (!report_begin(ANYRCU_LOCKDEP_SIGNAL_USE, h->class, sig))
		return;
	say("a handler takes a lock that is held with its signal open. Thread %u:\n",
	    (uint64_t)t->tid);
	say_lock(h);
	say_use(h->class, USED_IN, sig);
	say_use(h->class, HELD_OPEN, sig);
	say("\n possible unsafe locking scenario:\n\n       thread 0\n       --------\n  lock(");
	say_class(h->class);
	say(");\n  <signal %u>\n    lock(", (uint64_t)sig);
	say_class(h->class);
	say(");\n\n *** DEADLOCK ***\n\n");
	report_end(t);
}

/*
 * A class that waits for others is taken in a handler, or a class that others wait for is held with
 * a signal unblocked.
 */
static void use_order(struct thread *t, struct held *h, bool handler, uint64_t signals)
{
	bool reads = READS(h->how);
	uint64_t mine[2] = { reads ? 0 : signals, reads ? signals : 0 };
	unsigned other = handler ? HELD_OPEN : USED_IN;
	uint32_t count = graph_reach(
			 h->class, handler ? h->how & ANYRCU_LOCK_RECURSIVE_READ : reads, !handler),
		 at;
	uint64_t by[2];
	uint16_t found;

	gather(count, other, by);
	signals = conflict(by, mine);
	for (; signals; signals &= signals - 1) {
		uint64_t signal = signals & -signals;
		unsigned sig = first_signal(signal);

		/* the class's use with itself has been checked */
		at = nearest(1, count, other, mine, signal);
		if (at >= count)
			continue;
		found = tables->queue[at].class;
		if (!report_begin(ANYRCU_LOCKDEP_SIGNAL_ORDER, handler ? found : h->class,
				  handler ? h->class : found))
			return;
		say("thread %u takes a lock %s:\n", (uint64_t)t->tid,
		    handler ? "in a handler" : "with a signal open");
		say_lock(h);
		say("which makes what a handler takes wait for what is held with the handler's signal open.\n");
		graph_say_edges(at, !handler);
		say_use(handler ? h->class : found, USED_IN, sig);
		say_use(handler ? found : h->class, HELD_OPEN, sig);
		order_scenario(handler ? h->class : found, handler ? found : h->class, sig);
		report_end(t);
		return;
	}
}

void uses_forget(uint64_t signals)
{
	for (uint32_t i = 0; i < tables->nclasses; i++)
		for (unsigned reads = 0; reads < 2; reads++)
			store(&tables->class[i].use[USED_IN][reads],
			      tables->class[i].use[USED_IN][reads] & ~signals);
}

void use_check(struct thread *t, struct held *h, uint64_t in, uint64_t open)
{
	struct class *c = &tables->class[h->class];
	bool reads = READS(h->how);
	uint64_t wrong, mine[2] = { 0, 0 };

	in &= ~c->use[USED_IN][reads];
	open &= ~c->use[HELD_OPEN][reads];
	if (in && !c->trace[USED_IN][reads])
		c->trace[USED_IN][reads] = trace_here();
	if (open && !c->trace[HELD_OPEN][reads])
		c->trace[HELD_OPEN][reads] = trace_here();
	store(&c->use[USED_IN][reads], c->use[USED_IN][reads] | in);
	store(&c->use[HELD_OPEN][reads], c->use[HELD_OPEN][reads] | open);

	mine[reads] = in;
	wrong = conflict(mine, c->use[HELD_OPEN]);
	mine[reads] = open;
	wrong |= conflict(mine, c->use[USED_IN]);
	if (wrong)
		use_inconsistent(t, h, wrong);
	if (in)
		use_order(t, h, true, in);
	if (open)
		use_order(t, h, false, open);
}
