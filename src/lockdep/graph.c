/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Classes and the orders in which they were ever held: the slow part, under the engine's lock.
 *
 * An edge from A to B says that B was waited for while A was held. Its kinds say how: A held by a reader (S) or not (E), B wanted by a recursive
 * reader (R), whom only writers that hold it stop, or not (N). A path of edges is strong when nowhere an edge into R is followed by one out
 * of S: a recursive reader does not wait for a reader. Only a strong path that comes back to where it began is a deadlock, and only over strong paths
 * does one lock wait for another. (Boqun Feng's recursive read deadlock detection, in Linux since 5.10.)
 *
 * Three searches, breadth first, so that what is reported is shortest:
 *
 *     A -> B is new      forwards from B: if it reaches A there is a circle
 *     A -> B is new      backwards from A for what handlers take, forwards from B for what is held with their signals open:
 *                        the handler's wait for A ends with B, which its signal may interrupt for ever
 *     a use is new       the same, from the one class on
 */
#include <lockdep/engine.h>

enum { SR = 1, ER = 2, SN = 4, EN = 8 };

/* ---- locks and classes ---- */

#define PROBES 64

struct lock_slot *lock_find(const void *lock)
{
	uint32_t at = mix((uintptr_t)lock, 0) % LOCKS;

	for (unsigned i = 0; i < PROBES; i++) {
		struct lock_slot *s = &tables->lock[(at + i) % LOCKS];
		const void *found = load_acquire(&s->lock);

		if (found == lock)
			return s;
		if (!found)
			return NULL;
	}
	return NULL;
}

void lock_forget(const void *lock)
{
	struct lock_slot *s = lock_find(lock);

	if (!s)
		return;
	store_release(&s->lock, GONE);
	tables->nlocks--;
}

/*
 * Memory that is given back has rarely held a lock. A bit for every 64 bytes of it says where one was seen, the same bit for addresses that are
 * far apart: so a bit that is not set is right, and one that is set costs a look.
 */
#define GRAIN 64
#define LOCK_ALIGN 4 /* of those that are found in freed memory */

static inline uint64_t *near(uintptr_t at)
{
	return &tables->near[at / GRAIN / 64 % NEAR];
}

/* The first address from @at on that is below @end and near which there may be a lock; else @end. */
static uintptr_t near_next(uintptr_t at, uintptr_t end)
{
	while (at < end) {
		uint64_t bits = load(near(at)) >> (at / GRAIN % 64);

		if (bits & 1)
			return at;
		at = (at / GRAIN + (bits ? (unsigned)__builtin_ctzll(bits) : 64 - at / GRAIN % 64)) * GRAIN;
	}
	return end;
}

const void *lock_within(const void *p, const void *beyond)
{
	uintptr_t end = (uintptr_t)beyond;

	for (uintptr_t at = (uintptr_t)p; (at = near_next(at, end)) < end; at = at / GRAIN * GRAIN + GRAIN)
		for (uintptr_t lock = (at + LOCK_ALIGN - 1) / LOCK_ALIGN * LOCK_ALIGN; lock < end && lock / GRAIN == at / GRAIN; lock += LOCK_ALIGN)
			if (lock_find((const void *)lock))
				return (const void *)lock;
	return NULL;
}

void locks_forget(const void *p, const void *beyond)
{
	uintptr_t end = (uintptr_t)beyond, lock;

	while ((lock = (uintptr_t)lock_within(p, beyond))) {
		uintptr_t at = lock / GRAIN * GRAIN;

		for (; lock < end && lock < at + GRAIN; lock += LOCK_ALIGN)
			lock_forget((const void *)lock);
		if (at >= (uintptr_t)p && at + GRAIN <= end)
			store(near(at), *near(at) & ~(UINT64_C(1) << (at / GRAIN % 64)));
		p = (const void *)(at + GRAIN);
	}
}

static struct lock_slot *lock_make(const void *lock, uint32_t key)
{
	uint32_t at = mix((uintptr_t)lock, 0) % LOCKS;

	for (unsigned i = 0; i < PROBES; i++) {
		struct lock_slot *s = &tables->lock[(at + i) % LOCKS];

		if (s->lock && s->lock != GONE)
			continue;
		store(&s->key, key);
		s->generation = ++tables->generation;
		tables->nlocks++;
		store(near((uintptr_t)lock), *near((uintptr_t)lock) | UINT64_C(1) << ((uintptr_t)lock / GRAIN % 64));
		store_release(&s->lock, lock);
		return s;
	}
	say_full(1, "locks");
	return NULL;
}

/* 0: no room. */
static uint32_t key_make(const void *id, const struct anyrcu_lock_type *type, const char *name)
{
	uint32_t at = mix((uintptr_t)id, (uintptr_t)type) % ARRAY_SIZE(tables->key_of), k;

	for (; (k = tables->key_of[at]); at = (at + 1) % ARRAY_SIZE(tables->key_of))
		if (tables->key[k].id == id && tables->key[k].type == type)
			return k;
	if (tables->nkeys == KEYS) {
		say_full(2, "kinds of locks");
		return 0;
	}
	k = tables->nkeys++;
	tables->key[k] = (struct key){ .id = id, .name = name, .type = type };
	tables->key_of[at] = k;
	return k;
}

unsigned class_make(const void *lock, const struct anyrcu_lock_type *type, const char *name, const void *id, unsigned subclass)
{
	struct lock_slot *s = lock_find(lock);
	struct class *c;
	uint32_t k;

	if (s && tables->key[s->key].type != type) { /* what was here before is no more, and nobody said so */
		lock_forget(lock);
		s = NULL;
	}
	k = s ? s->key : key_make(id, type, name);
	if (!k || (!s && !lock_make(lock, k)))
		return UNVALIDATED;
	if (tables->key[k].class[subclass])
		return tables->key[k].class[subclass];
	if (tables->nclasses == CLASSES) {
		say_full(3, "classes");
		return UNVALIDATED;
	}
	c = &tables->class[tables->nclasses];
	c->key = k;
	c->subclass = subclass;
	store_release(&tables->key[k].class[subclass], tables->nclasses);
	return tables->nclasses++;
}

/* ---- stacks ---- */

/* Stored as their length, then their addresses; 0 when there is no room. */
uint32_t trace_here(void)
{
	void *frames[FRAMES];
	uint32_t n = port_stack(frames, FRAMES), at = tables->ntrace;

	if (at + n + 1 > TRACE_WORDS) {
		say_full(4, "stacks");
		return 0;
	}
	tables->trace[at] = n;
	for (uint32_t i = 0; i < n; i++)
		tables->trace[at + 1 + i] = (uintptr_t)frames[i];
	tables->ntrace += n + 1;
	return at;
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

/* All that strong paths lead to, or from, in queue[], nearest first. @weak: the path so far ends in R, or backwards in S. Returns how many. */
static uint32_t reach(uint16_t class, bool weak, bool backwards)
{
	uint32_t n = 0;

	tables->stamp += 2;
	visit(&n, class, weak, 0, 0);
	for (uint32_t at = 0; at < n; at++) {
		struct visit v = tables->queue[at];
		struct class *c = &tables->class[v.class];
		struct edge *e;

		for (uint32_t i = backwards ? c->before : c->after; i; i = backwards ? e->next_before : e->next_after) {
			unsigned kinds;

			e = &tables->edge[i];
			kinds = e->kinds & ~(v.weak ? (backwards ? SR | ER : SR | SN) : 0);
			if (kinds)
				visit(&n, backwards ? e->from : e->to, !(kinds & (backwards ? ER | EN : SN | EN)), at, i);
		}
	}
	return n;
}

/* Signals by which what was reached is used so, by writers and by readers. */
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

/* The nearest, from @i on, that conflicts with @with about @signal. Returns its place in queue[]; @n: there is none. */
static uint32_t nearest(uint32_t i, uint32_t n, unsigned use, const uint64_t with[2], uint64_t signal)
{
	for (; i < n; i++) {
		struct visit *v = &tables->queue[i];
		uint64_t by[2] = { tables->class[v->class].use[use][0], v->weak ? 0 : tables->class[v->class].use[use][1] };

		if (conflict(by, with) & signal)
			break;
	}
	return i;
}

/* ---- what is said of what was found ---- */

static void say_edges(uint32_t at, bool backwards)
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

static void say_use(uint16_t class, unsigned use, unsigned sig)
{
	struct class *c = &tables->class[class];
	bool reads = !(c->use[use][0] >> (sig - 1) & 1);

	say_class(class);
	say(use == USED_IN ? " is taken%s by a handler of signal %u, first at:\n" : " is held%s with signal %u open, first at:\n",
	    reads ? " to read" : "", (uint64_t)sig);
	say_trace(c->trace[use][reads]);
}

static void circle(struct thread *t, struct held *p, struct held *n, uint32_t at)
{
	if (!report_begin(ANYRCU_LOCKDEP_CIRCULAR, n->class, p->class))
		return;
	say("thread %u is trying to take:\n", (uint64_t)t->tid);
	say_lock(n);
	say("but holds:\n");
	say_lock(p);
	say("which depends on the former already. The chain that there is, last first:\n");
	say_edges(at, false);
	say("\n possible unsafe locking scenario:\n\n       thread 0             thread 1\n       --------             --------\n  lock(");
	say_class(p->class);
	say(");\n                       lock(");
	say_class(n->class);
	say(");\n                       lock(");
	say_class(tables->queue[at].edge ? tables->edge[tables->queue[at].edge].to : p->class);
	say(");\n  lock(");
	say_class(n->class);
	say(");\n\n *** DEADLOCK ***\n\n");
	report_end(t);
}

static void recursion(struct thread *t, struct held *p, struct held *n)
{
	if (!report_begin(ANYRCU_LOCKDEP_RECURSIVE, n->class, p->class))
		return;
	say("thread %u is trying to take:\n", (uint64_t)t->tid);
	say_lock(n);
	say(p->lock == n->lock ? "but holds it already:\n" : "but holds one of the same class:\n");
	say_lock(p);
	say("\n possible unsafe locking scenario:\n\n       thread 0\n       --------\n  lock(");
	say_class(p->class);
	say(");\n  lock(");
	say_class(n->class);
	say(");\n\n *** DEADLOCK ***\n\n%s", p->lock == n->lock ? "" : " may be due to missing lock nesting notation\n\n");
	report_end(t);
}

static void order_scenario(uint16_t safe, uint16_t unsafe, unsigned sig)
{
	say("\n possible signal unsafe locking scenario:\n\n       thread 0             thread 1\n       --------             --------\n  lock(");
	say_class(unsafe);
	say(");\n                       block signal %u;\n                       lock(", (uint64_t)sig);
	say_class(safe);
	say(");\n                       lock(");
	say_class(unsafe);
	say(");\n  <signal %u>\n    lock(", (uint64_t)sig);
	say_class(safe);
	say(");\n\n *** DEADLOCK ***\n\n");
}

/* ---- checks ---- */

/* Two locks of one class: their order, if they have one, must be the same each time. */
static void pair_check(struct thread *t, struct held *p, struct held *n)
{
	struct lock_slot *a = lock_find(p->lock), *b = lock_find(n->lock);
	uint32_t at;

	if (!a || !b)
		return;
	for (unsigned way = 0; way < 2; way++) {
		uint32_t first = way ? a->generation : b->generation, second = way ? b->generation : a->generation;

		at = mix(first, second) % PAIRS;
		for (; tables->pair[at].first; at = (at + 1) % PAIRS) {
			if (tables->pair[at].first != first || tables->pair[at].second != second)
				continue;
			if (!way && report_begin(ANYRCU_LOCKDEP_CIRCULAR, n->class, p->class)) {
				say("thread %u is trying to take:\n", (uint64_t)t->tid);
				say_lock(n);
				say("while it holds another lock of the same class:\n");
				say_lock(p);
				say("These two have been taken the other way round before.\n\n *** DEADLOCK ***\n\n");
				report_end(t);
			}
			return;
		}
	}
	if (tables->npairs == PAIRS / 4 * 3) {
		say_full(5, "pairs of locks");
		return;
	}
	tables->npairs++;
	tables->pair[at] = (struct pair){ a->generation, b->generation };
}

/* May @n be taken beside others of its class? False: reported, or nothing to be learnt. */
static bool recursion_check(struct thread *t, struct held *n)
{
	bool learn = true;

	for (uint32_t i = t->base; n->nest && i < t->depth; i++)
		if (t->held[i].lock == n->nest)
			return false;
	for (uint32_t i = t->base; i < t->depth; i++) {
		struct held *p = &t->held[i];

		if (p->class != n->class)
			continue;
		learn = false;
		if ((n->how & ANYRCU_LOCK_RECURSIVE_READ) && READS(p->how))
			continue;
		if (host->by_instance && p->lock != n->lock) {
			pair_check(t, p, n);
			continue;
		}
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

/* Is there a circle? Then it is reported. */
static bool circle_check(struct thread *t, struct held *p, struct held *n)
{
	uint32_t count = reach(n->class, n->how & ANYRCU_LOCK_RECURSIVE_READ, false);

	for (uint32_t i = 0; i < count; i++) {
		if (tables->queue[i].class == p->class && (!READS(p->how) || !tables->queue[i].weak)) {
			circle(t, p, n, i);
			return true;
		}
	}
	return false;
}

/* Does the new edge let a handler's lock wait for one that its signal may interrupt? */
static void order_check(struct thread *t, struct held *p, struct held *n)
{
	uint64_t in[2], open[2], signals;
	uint32_t count, safe, unsafe;
	uint16_t safe_class;

	count = reach(p->class, READS(p->how), true);
	gather(count, USED_IN, in);
	if (!(in[0] | in[1]))
		return;
	count = reach(n->class, n->how & ANYRCU_LOCK_RECURSIVE_READ, false);
	gather(count, HELD_OPEN, open);
	signals = conflict(in, open);
	if (!signals)
		return;
	signals &= -signals;
	unsafe = nearest(0, count, HELD_OPEN, in, signals);
	if (unsafe == count || !report_begin(ANYRCU_LOCKDEP_SIGNAL_ORDER, n->class, p->class))
		return;
	say("thread %u is trying to take:\n", (uint64_t)t->tid);
	say_lock(n);
	say("and holds:\n");
	say_lock(p);
	say("which makes what a handler takes wait for what is held with the handler's signal open.\n");
	say_edges(unsafe, false);
	unsafe = tables->queue[unsafe].class;
	say_use(unsafe, HELD_OPEN, first_signal(signals));
	count = reach(p->class, READS(p->how), true);
	safe = nearest(0, count, USED_IN, open, signals);
	safe_class = tables->queue[safe < count ? safe : 0].class;
	say_edges(safe < count ? safe : 0, true);
	say_use(safe_class, USED_IN, first_signal(signals));
	order_scenario(safe_class, unsafe, first_signal(signals));
	report_end(t);
}

static void depend(struct thread *t, struct held *p, struct held *n)
{
	unsigned kind = 1u << ((READS(p->how) ? 0 : 1) + (n->how & ANYRCU_LOCK_RECURSIVE_READ ? 0 : 2));
	struct edge *e = edge_find(p->class, n->class);
	uint32_t i;

	if ((e && (e->kinds & kind)) || circle_check(t, p, n))
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
	e = &tables->edge[i];
	*e = (struct edge){ p->class, n->class, kind, tables->class[p->class].after, tables->class[n->class].before, trace_here() };
	tables->class[p->class].after = i;
	tables->class[n->class].before = i;
}

bool chain_known(uint64_t chain)
{
	for (unsigned i = 0; i < PROBES; i++) {
		uint64_t found = load(&tables->chain[(chain + i) % CHAINS]);

		if (found == chain)
			return true;
		if (!found)
			return false;
	}
	return false;
}

static void chain_add(uint64_t chain)
{
	for (unsigned i = 0; i < PROBES; i++) {
		uint64_t *at = &tables->chain[(chain + i) % CHAINS];

		if (*at == chain)
			return;
		if (!*at) {
			tables->nchains++;
			store(at, chain);
			return;
		}
	}
	say_full(7, "chains, so each new one is looked at each time");
}

void chain_check(struct thread *t, struct held *n)
{
	if (t->depth - t->base + 1 > tables->deepest)
		tables->deepest = t->depth - t->base + 1;
	if (!(n->how & ANYRCU_LOCK_TRY) && recursion_check(t, n)) {
		/* Those below the first that was waited for have an edge to it. */
		for (uint32_t i = t->depth; i > t->base; i--) {
			struct held *p = &t->held[i - 1];

			if (p->class > UNVALIDATED)
				depend(t, p, n);
			if (!(p->how & ANYRCU_LOCK_TRY))
				break;
		}
	}
	chain_add(n->chain);
}

static void use_inconsistent(struct thread *t, struct held *h, uint64_t signals)
{
	unsigned sig = first_signal(signals);

	if (!report_begin(ANYRCU_LOCKDEP_SIGNAL_USE, h->class, sig))
		return;
	say("a handler takes a lock that is held with its signal open. Thread %u:\n", (uint64_t)t->tid);
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

/* A class that waits for others is taken in a handler, or one that others wait for is held with a signal open. */
static void use_order(struct thread *t, struct held *h, bool handler, uint64_t signals)
{
	bool reads = READS(h->how);
	uint64_t mine[2] = { reads ? 0 : signals, reads ? signals : 0 };
	unsigned other = handler ? HELD_OPEN : USED_IN;
	uint32_t count = reach(h->class, handler ? h->how & ANYRCU_LOCK_RECURSIVE_READ : reads, !handler), at;
	uint64_t by[2];
	uint16_t found;

	gather(count, other, by);
	signals = conflict(by, mine);
	for (; signals; signals &= signals - 1) {
		uint64_t signal = signals & -signals;
		unsigned sig = first_signal(signal);

		at = nearest(1, count, other, mine, signal); /* its own use with itself has been looked at */
		if (at >= count)
			continue;
		found = tables->queue[at].class;
		if (!report_begin(ANYRCU_LOCKDEP_SIGNAL_ORDER, handler ? found : h->class, handler ? h->class : found))
			return;
		say("thread %u takes a lock %s:\n", (uint64_t)t->tid, handler ? "in a handler" : "with a signal open");
		say_lock(h);
		say("which makes what a handler takes wait for what is held with the handler's signal open.\n");
		say_edges(at, !handler);
		say_use(handler ? h->class : found, USED_IN, sig);
		say_use(handler ? found : h->class, HELD_OPEN, sig);
		order_scenario(handler ? h->class : found, handler ? found : h->class, sig);
		report_end(t);
		return;
	}
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
