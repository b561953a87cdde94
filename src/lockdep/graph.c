/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Classes, and the orders in which they were ever held: the slow part, under the engine's lock.
 *
 * An edge from A to B says that a thread waited for B while it held A. The edge's kinds say how: A
 * was held by a reader (S) or not (E); B was acquired by a recursive reader (R), which waits only
 * for writers that hold it, or not (N). A path of edges is strong if no edge that ends in R is
 * followed by one that begins with S: a recursive reader does not wait for a reader. Only a strong
 * path that returns to its beginning is a deadlock, and only along strong paths does one lock wait
 * for another. (Boqun Feng's recursive read deadlock detection, in Linux since 5.10.)
 *
 * Three searches, breadth first, so that the reported path is the shortest:
 *
 *     A -> B is new      forwards from B: if it reaches A there is a cycle
 *     A -> B is new      backwards from A for locks that handlers take, forwards from B for locks
 *                        that are held with the handlers' signals unblocked: a handler that waits
 *                        for A may wait for a lock that it has interrupted
 *     a use is new       the same, from the one class on
 */
#include <lockdep/engine.h>

enum { SR = 1, ER = 2, SN = 4, EN = 8 };

/* ---- stacks ---- */

/* Stored as their length, then their addresses; 0 when there is no room. */
uint32_t trace_here(void)
{
	uint32_t n, at = tables->ntrace;
	void *frames[FRAMES];

	if (tables->here)
		return tables->here;
	n = port_stack(frames, FRAMES);
	if (at + n + 1 > TRACE_WORDS) {
		say_full(4, "stacks");
		return 0;
	}
	tables->trace[at] = n;
	for (uint32_t i = 0; i < n; i++)
		tables->trace[at + 1 + i] = (uintptr_t)frames[i];
	tables->ntrace += n + 1;
	return tables->here = at;
}

/* Record one stack for each pair of places, as long as there is room. Under the engine's lock. */
uint32_t trace_of(const struct held *p, const struct held *n)
{
	uint64_t key =
		mix(mix((uintptr_t)p->ip, (uintptr_t)n->ip), p->class | (uint64_t)n->class << 16) |
		1;

	for (uint32_t i = 0; i < 16; i++) {
		uint32_t at = (key + i) % TRACES;

		if (tables->trace_of[at].key == key)
			return tables->trace_of[at].trace;
		if (tables->trace_of[at].key)
			continue;
		tables->trace_of[at].key = key;
		return tables->trace_of[at].trace = trace_here();
	}
	return trace_here();
}

/* ---- searches ---- */

static bool visit(uint32_t *n, uint16_t class, bool weak, uint32_t parent, uint32_t edge)
{
	uint32_t *seen = &tables->visited[class], strong = tables->stamp + 1;

	if (*seen == strong || (weak && *seen == tables->stamp))
		return false;
	*seen = weak ? tables->stamp : strong;
	tables->queue[(*n)++] = (struct visit){ class, weak, parent, edge };
	return true;
}

/*
 * Store in queue[] all classes to which strong paths lead, or if @backwards, from which they lead
 * here; nearest first. @weak: the path so far ends in R, or backwards in S. Returns how many.
 */
uint32_t graph_reach(uint16_t class, bool weak, bool backwards)
{
	uint32_t n = 0;

	tables->stamp += 2;
	visit(&n, class, weak, 0, 0);
	for (uint32_t at = 0; at < n; at++) {
		struct visit v = tables->queue[at];
		struct class *c = &tables->class[v.class];
		struct edge *e;

		for (uint32_t i = backwards ? c->before : c->after; i;
		     i = backwards ? e->next_before : e->next_after) {
			unsigned kinds;

			e = &tables->edge[i];
			kinds = e->kinds & ~(v.weak ? (backwards ? SR | ER : SR | SN) : 0);
			if (kinds)
				visit(&n, backwards ? e->from : e->to,
				      !(kinds & (backwards ? ER | EN : SN | EN)), at, i);
		}
	}
	return n;
}

/* ---- reports of findings ---- */

void graph_say_edges(uint32_t at, bool backwards)
{
	for (; tables->queue[at].edge; at = tables->queue[at].parent) {
		struct edge *e = &tables->edge[tables->queue[at].edge];

		say("-> ");
		say_class(e->to);
		say(", taken while this was held: ");
		say_class(e->from);
		say("\n");
		say_trace(e->trace);
	}
}

static void circle(struct thread *t, struct held *p, struct held *n, uint32_t at)
{
	if (!report_begin(ANYRCU_LOCKDEP_CIRCULAR, n->class, p->class))
		return;
	say_attempt(t, n, "but holds:\n", p);
	say("which depends on the former already. The chain that there is, last first:\n");
	graph_say_edges(at, false);
	say_scenario(p->class, n->class,
		     tables->queue[at].edge ? tables->edge[tables->queue[at].edge].to : p->class);
	report_end(t);
}

static void recursion(struct thread *t, struct held *p, struct held *n)
{
	if (!report_begin(ANYRCU_LOCKDEP_RECURSIVE, n->class, p->class))
		return;
	say_attempt(t, n,
		    p->lock == n->lock ? "but holds it already:\n" :
					 "but holds one of the same class:\n",
		    p);
	say("\n possible unsafe locking scenario:\n\n       thread 0\n       --------\n  lock(");
	say_class(p->class);
	say(");\n  lock(");
	say_class(n->class);
	say(");\n\n *** DEADLOCK ***\n\n%s",
	    p->lock == n->lock ? "" : " may be due to missing lock nesting notation\n\n");
	report_end(t);
}

/* ---- checks ---- */

static bool nest_held(struct thread *t, const void *nest)
{
	for (uint32_t i = t->base; nest && i < t->depth; i++)
		if (t->held[i].lock == nest)
			return true;
	return false;
}

/* Check @n against held locks of its class. False: reported, or there is nothing to learn. */
static bool recursion_check(struct thread *t, struct held *n, const void *nest)
{
	bool learn = true;

	if (nest_held(t, nest))
		return false;
	for (uint32_t i = t->base; i < t->depth; i++) {
		struct held *p = &t->held[i];

		if (p->class != n->class || (host->by_instance && instance_stale(p)))
			continue;
		learn = false;
		if ((n->how & ANYRCU_LOCK_RECURSIVE_READ) && READS(p->how))
			continue;
		if (host->by_instance && p->lock != n->lock)
			continue;
		recursion(t, p, n);
		return false;
	}
	return learn;
}

static struct edge *edge_find(uint16_t from, uint16_t to)
{
	struct edge *e;

	for (uint32_t i = tables->class[from].after; i; i = e->next_after) {
		e = &tables->edge[i];
		if (e->to == to)
			return e;
	}
	return NULL;
}

static bool is_gone(const void *lock, uint32_t generation)
{
	struct lock_slot *s = lock_find(lock);

	return !s || s->generation != generation;
}

/*
 * Does the class say nothing of what else its locks have in common? That of what is no lock is the
 * place that first waited for it: one that waits for the callbacks of several domains, for example.
 */
static bool unrelated(unsigned class)
{
	const struct key *key = &tables->key[tables->class[class].key];

	return !key->id || key->type->wait_outer == ANYRCU_WAIT_INV;
}

static bool share_class(const struct edge *a, const struct edge *b)
{
	for (unsigned i = 0; i < a->nguards; i++)
		for (unsigned j = 0; j < b->nguards; j++)
			if (a->guard[i] == b->guard[j])
				return true;
	return false;
}

/*
 * For orders of single locks: a cycle of classes whose seen locks form no cycle. Is a cycle of
 * other locks of these classes likely? It is if adjacent edges share one lock in each class but
 * one, of which two locks were seen that did not exist at the same time (locks that exist at the
 * same time are judged by their own orders). It is not if the locks are taken in the order of their
 * addresses, an outer lock guards them, the process has one thread, or a class is one that
 * unrelated locks share.
 */
static bool circle_of_others(const struct edge *new, uint32_t at)
{
	const struct edge *edges[4] = { new };
	unsigned n = 1, differ = 0, gone = 0, up = 0;

	for (; tables->queue[at].edge; at = tables->queue[at].parent) {
		if (n == ARRAY_SIZE(edges))
			return false;
		edges[n++] = &tables->edge[tables->queue[at].edge];
	}
	for (unsigned i = 0; i < n; i++) {
		/* the search gives the edges from the last one backwards */
		const struct edge *e = edges[i], *before = edges[(i + 1) % n];

		if (unrelated(e->from) || e->alone)
			return false;
		for (unsigned k = 0; k < i; k++)
			if (share_class(e, edges[k]))
				return false;
		if (before->to_generation != e->from_generation) {
			differ++;
			gone += is_gone(before->to_lock, before->to_generation) ||
				is_gone(e->from_lock, e->from_generation);
		}
		up += (uintptr_t)e->from_lock < (uintptr_t)e->to_lock;
	}
	return differ == 1 && gone == 1 && up && up < n;
}

/* Report a cycle, if there is one. */
static bool circle_check(struct thread *t, struct held *p, struct held *n, const struct edge *new)
{
	uint32_t count = graph_reach(n->class, n->how & ANYRCU_LOCK_RECURSIVE_READ, false);

	for (uint32_t i = 0; i < count; i++) {
		if (tables->queue[i].class == p->class &&
		    (!READS(p->how) || !tables->queue[i].weak)) {
			if (host->by_instance &&
			    (!circle_of_others(new, i) ||
			     !report_cause(ANYRCU_LOCKDEP_CIRCULAR, p->class, (uintptr_t)p->ip)))
				return false;
			circle(t, p, n, i);
			return true;
		}
	}
	return false;
}

static struct edge *edge_of(struct thread *t, struct held *p, struct held *n, unsigned kind)
{
	struct edge *e = &tables->new_edge;

	e->from = p->class;
	e->to = n->class;
	e->kinds = kind;
	e->alone = alone();
	e->from_generation = p->generation;
	e->to_generation = n->generation;
	e->from_lock = p->lock;
	e->to_lock = n->lock;
	e->nguards = 0;
	for (uint32_t i = t->base; i < t->depth && e->nguards < GUARDS; i++)
		if (&t->held[i] != p && !READS(t->held[i].how) && t->held[i].class > UNVALIDATED)
			e->guard[e->nguards++] = t->held[i].class;
	return e;
}

static void depend(struct thread *t, struct held *p, struct held *n)
{
	unsigned kind =
		1u << ((READS(p->how) ? 0 : 1) + (n->how & ANYRCU_LOCK_RECURSIVE_READ ? 0 : 2));
	struct edge *e = edge_find(p->class, n->class), *new;
	uint32_t i;

	if (e && (e->kinds & kind))
		return;
	new = edge_of(t, p, n, kind);
	if (circle_check(t, p, n, new))
		return;
	order_check(t, p, n);
	if (e) {
		e->kinds |= kind;
		return;
	}
	if (tables->nedges == EDGES) {
		say_full(6, "orders of classes");
		return;
	}
	i = tables->nedges++;
	new->next_after = tables->class[p->class].after;
	new->next_before = tables->class[n->class].before;
	new->trace = trace_of(p, n);
	tables->edge[i] = *new;
	tables->class[p->class].after = i;
	tables->class[n->class].before = i;
}

/* The table of checked chains is a cache: when it is full, empty it. */
static void chain_add(uint64_t chain)
{
	for (unsigned i = 0; i < CHAIN_PROBES; i++) {
		uint64_t *at = &tables->chain[(chain + i) % CHAINS];

		if (*at == chain)
			return;
		if (!*at) {
			tables->nchains++;
			store(at, chain);
			return;
		}
	}
	for (uint32_t i = 0; i < CHAINS; i++)
		store(&tables->chain[i], 0);
	store(&tables->chain[chain % CHAINS], chain);
	tables->nchains++;
}

void chain_check(struct thread *t, struct held *n, const void *nest)
{
	bool waits = !(n->how & ANYRCU_LOCK_TRY), learn = waits && recursion_check(t, n, nest);

	if (t->depth - t->base + 1 > tables->deepest)
		tables->deepest = t->depth - t->base + 1;
	for (uint32_t i = t->base;
	     host->by_instance && waits && i < t->depth && !nest_held(t, nest); i++)
		if (!kept_over(t, &t->held[i], n) && !instance_stale(&t->held[i]))
			instance_depend(t, &t->held[i], n);
	/* Locks below the first one that was waited for have an edge to that one already. */
	for (uint32_t i = t->depth; learn && i > t->base; i--) {
		struct held *p = &t->held[i - 1];

		if (p->class > UNVALIDATED && !(host->by_instance && instance_stale(p)))
			depend(t, p, n);
		if (!(p->how & ANYRCU_LOCK_TRY))
			break;
	}
	chain_add(n->chain);
}
