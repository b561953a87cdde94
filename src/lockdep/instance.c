/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The orders of single locks, if the host asks for that (by_instance). All functions run under the
 * engine's lock.
 *
 * A node is a lock; an arc from A to B says that a thread waited for B while it held A. Unlike the
 * edges of classes, an arc records the circumstances: all locks that were held (its guards), and
 * whether the process had only one thread. A cycle of arcs can become a deadlock if
 *
 *   - it contains no two arcs whose threads cannot be in them at the same time: see meet.c;
 *   - no recursive reader in it waits for a reader;
 *   - all arcs were seen while the process had one thread, or none was: a thread that was alone
 *     cannot be in its arc at the same time as others in theirs. That one thread made all arcs
 *     proves nothing, as other threads may run the same code.
 *
 * A pair of locks may have several arcs, in circumstances of which none includes another.
 *
 * Most new arcs close no cycle, and this is known without a search: nodes are numbered so that all
 * arcs lead to higher numbers; the members of a cycle share a number. If an arc does not fit, the
 * nodes that it leads to are renumbered, behind all others.
 */
#include <lockdep/engine.h>

#define RECORDS 4 /* arcs between two locks */
#define STEPS 20000 /* of a search for a circle */
#define CIRCLE_MAX 64 /* arcs of a circle */

static struct node *node_at(uint32_t i)
{
	return &tables->node[i];
}

static struct arc *arc_at(uint32_t i)
{
	return &tables->arc[i];
}

/* ---- adding and removing nodes and arcs ---- */

static uint32_t node_make(struct lock_slot *s, const struct held *h)
{
	uint32_t *of = &tables->node_of[s - tables->lock], i = *of;

	if (i)
		return i;
	i = tables->free_node;
	if (i)
		tables->free_node = node_at(i)->after;
	else if (tables->nnodes < NODES)
		i = tables->nnodes++;
	else
		return 0;
	*node_at(i) = (struct node){ .lock = h->lock,
				     .class = h->class,
				     .number = ++tables->last_number };
	return *of = i;
}

static uint32_t *bucket(uint32_t from, uint32_t to)
{
	return &tables->arc_of[mix(from, to) % ARRAY_SIZE(tables->arc_of)];
}

static uint32_t arc_make(const struct arc *new)
{
	uint32_t i = tables->free_arc, *first = bucket(new->from, new->to);
	struct node *from = node_at(new->from), *to = node_at(new->to);
	struct arc *a;

	if (i)
		tables->free_arc = arc_at(i)->same_bucket;
	else if (tables->narcs < ARCS)
		i = tables->narcs++;
	else
		return 0;
	a = arc_at(i);
	*a = *new;
	a->same_bucket = *first;
	a->prev_after = a->prev_before = 0;
	*first = i;
	a->next_after = from->after;
	if (from->after)
		arc_at(from->after)->prev_after = i;
	from->after = i;
	a->next_before = to->before;
	if (to->before)
		arc_at(to->before)->prev_before = i;
	to->before = i;
	return i;
}

static void arc_drop(uint32_t i)
{
	struct arc *a = arc_at(i);
	uint32_t *at = bucket(a->from, a->to);

	while (*at != i)
		at = &arc_at(*at)->same_bucket;
	*at = a->same_bucket;
	*(a->prev_after ? &arc_at(a->prev_after)->next_after : &node_at(a->from)->after) =
		a->next_after;
	if (a->next_after)
		arc_at(a->next_after)->prev_after = a->prev_after;
	*(a->prev_before ? &arc_at(a->prev_before)->next_before : &node_at(a->to)->before) =
		a->next_before;
	if (a->next_before)
		arc_at(a->next_before)->prev_before = a->prev_before;
	a->same_bucket = tables->free_arc;
	tables->free_arc = i;
}

void instance_forget(const struct lock_slot *s)
{
	uint32_t *of = &tables->node_of[s - tables->lock], i = *of;

	if (!i)
		return;
	while (node_at(i)->after)
		arc_drop(node_at(i)->after);
	while (node_at(i)->before)
		arc_drop(node_at(i)->before);
	node_at(i)->after = tables->free_node;
	tables->free_node = i;
	*of = 0;
}

/* ---- circumstances ---- */

/* Can the threads of two arcs never be in them at the same time? */
static bool apart(const struct arc *a, const struct arc *b)
{
	return common_guard(a, b) || segments_apart(a, b);
}

/* A recursive reader does not wait for a reader. */
static bool waits(const struct arc *a, const struct arc *next)
{
	return !a->recursive || !next->reads;
}

/* ---- searches ---- */

/*
 * Store in list[] all nodes that arcs lead to from @i, or from which arcs lead to @i; they are
 * marked with the stamp. Returns how many.
 */
static uint32_t closure(uint32_t i, bool backwards)
{
	uint32_t n = 0, stamp = ++tables->node_stamp;

	tables->list[n++] = i;
	node_at(i)->mark[backwards] = stamp;
	for (uint32_t at = 0; at < n; at++) {
		struct node *node = node_at(tables->list[at]);

		for (uint32_t k = backwards ? node->before : node->after; k;
		     k = backwards ? arc_at(k)->next_before : arc_at(k)->next_after) {
			uint32_t other = backwards ? arc_at(k)->from : arc_at(k)->to;

			if (node_at(other)->mark[backwards] == stamp)
				continue;
			node_at(other)->mark[backwards] = stamp;
			tables->list[n++] = other;
		}
	}
	return n;
}

static void sort_by_number(uint32_t *list, uint32_t n)
{
	for (uint32_t gap = n / 2; gap; gap /= 2) {
		for (uint32_t i = gap; i < n; i++) {
			uint32_t v = list[i], k = i;

			for (; k >= gap && node_at(list[k - gap])->number > node_at(v)->number;
			     k -= gap)
				list[k] = list[k - gap];
			list[k] = v;
		}
	}
}

/*
 * The arc from @p to @n leads to a lower number: renumber nodes so that it fits. True: there was
 * already a path from @n to @p.
 */
static bool renumber(uint32_t p, uint32_t n)
{
	uint32_t count, members = 0, stamp, from;
	int64_t former = INT64_MIN;
	bool circle;

	if (!node_at(p)->before) {
		node_at(p)->number = --tables->first_number;
		return false;
	}
	if (!node_at(n)->after) {
		node_at(n)->number = ++tables->last_number;
		return false;
	}
	count = closure(n, false);
	stamp = tables->node_stamp;
	circle = node_at(p)->mark[0] == stamp;
	if (circle) { /* its members come before the other nodes that it leads to */
		uint32_t back = closure(p, true);

		tables->last_number++;
		for (uint32_t i = 0; i < back; i++) {
			struct node *node = node_at(tables->list[i]);

			if (node->mark[0] == stamp)
				node->number = tables->last_number;
		}
		members = tables->node_stamp;
		count = closure(n, false);
	}
	from = 0;
	for (uint32_t i = 0; i < count; i++)
		if (!circle || node_at(tables->list[i])->mark[1] != members)
			tables->list[from++] = tables->list[i];
	sort_by_number(tables->list, from);
	for (uint32_t i = 0; i < from; i++) {
		struct node *node = node_at(tables->list[i]);

		if (node->number != former)
			tables->last_number++;
		former = node->number;
		node->number = tables->last_number;
	}
	return circle;
}

/*
 * Find a path from the end of @new back to its beginning that together with it can be a deadlock;
 * or with @any, a path in any circumstances. Stored in @path. Returns its length; 0: there is none,
 * or it was not found within the bound on steps.
 */
static uint32_t circle_find(struct arc *const new, bool any, uint32_t *path)
{
	uint32_t depth = 1, steps = 0, next[CIRCLE_MAX];
	uint32_t reaches, target = new->from;

	closure(target, true);
	reaches = tables->node_stamp;
	next[1] = node_at(new->to)->after;
	while (depth) {
		const struct arc *last = depth > 1 ? arc_at(path[depth - 1]) : new, *a;
		uint32_t i = next[depth];
		bool good;

		if (++steps > STEPS)
			return 0;
		if (!i) {
			depth--;
			continue;
		}
		a = arc_at(i);
		next[depth] = a->next_after;
		good = node_at(a->to)->mark[1] == reaches && waits(last, a) &&
		       (any || (a->alone == new->alone && !apart(a, new)));
		for (uint32_t k = 1; good && k < depth; k++)
			good = arc_at(path[k])->from != a->to &&
			       (any || !apart(a, arc_at(path[k])));
		if (!good)
			continue;
		path[depth++] = i;
		if (a->to == target && waits(a, new) && (any || !circle_limited(new, path, depth)))
			return depth;
		if (a->to == target || depth == CIRCLE_MAX) {
			depth--;
			continue;
		}
		next[depth] = node_at(a->to)->after;
	}
	return 0;
}

/* ---- reports ---- */

static const void *lock_of_guard(const struct thread *t, uint32_t guard, uint32_t *held)
{
	for (*held = t->base; *held < t->depth; ++*held)
		if (t->held[*held].generation == guard / 2)
			return t->held[*held].lock;
	return NULL;
}

static void say_path(const uint32_t *path, uint32_t length)
{
	for (uint32_t i = length - 1; i; i--) {
		struct arc *a = arc_at(path[i]);

		say("-> ");
		say_class(node_at(a->to)->class);
		say(" [<0x%x>], taken while this was held: ",
		    (uint64_t)(uintptr_t)node_at(a->to)->lock);
		say_class(node_at(a->from)->class);
		say(" [<0x%x>]\n", (uint64_t)(uintptr_t)node_at(a->from)->lock);
		say_trace(a->trace);
	}
}

static void say_guarded(struct thread *t, struct held *p, struct held *n, const struct arc *new,
			const uint32_t *path, uint32_t length)
{
	uint32_t held, guard = 0;

	for (uint32_t i = 1; i < length && !guard; i++)
		guard = common_guard(new, arc_at(path[i]));
	say("thread %u takes:\n", (uint64_t)t->tid);
	say_lock(n);
	say("while it holds:\n");
	say_lock(p);
	say("The order is inverted elsewhere:\n");
	say_path(path, length);
	if (guard && lock_of_guard(t, guard, &held)) {
		say("but guarded, in all that was seen, by:\n");
		say_lock(&t->held[held]);
	} else {
		say("but where the one was seen the threads of the other did not run, or held a lock in common.\n");
	}
	report_end(t);
}

static void say_circle(struct thread *t, struct held *p, struct held *n, const uint32_t *path,
		       uint32_t length)
{
	say_attempt(t, n, "but holds:\n", p);
	say("which depends on the former already. The chain that there is, last first:\n");
	say_path(path, length);
	say_scenario(p->class, n->class, node_at(arc_at(path[1])->to)->class);
	report_end(t);
}

/* One thread that takes locks of a class in a cycle. */
static bool is_round(const struct arc *new, const uint32_t *path, uint32_t length)
{
	bool round = length > 2 && node_at(new->from)->class == node_at(new->to)->class;

	for (uint32_t i = 1; round && i < length; i++)
		round = arc_at(path[i])->tid == new->tid &&node_at(arc_at(path[i])->to)->class ==
			node_at(new->from)->class;
	return round;
}

static void circle_check(struct thread *t, struct held *p, struct held *n, struct arc *new)
{
	uint32_t path[CIRCLE_MAX], length = circle_find(new, false, path);

	if (length && !is_round(new, path, length)) {
		if (report_cause(ANYRCU_LOCKDEP_CIRCULAR, p->class, (uintptr_t)p->ip) &&
		    report_begin(ANYRCU_LOCKDEP_CIRCULAR, n->class, p->class))
			say_circle(t, p, n, path, length);
		return;
	}
	length = circle_find(new, true, path);
	if (length && report_begin(ANYRCU_LOCKDEP_GUARDED, n->class, p->class))
		say_guarded(t, p, n, new, path, length);
}

/* ---- learning arcs ---- */

bool instance_stale(const struct held *h)
{
	const struct lock_slot *s = lock_find(h->lock);

	return h->class <= UNVALIDATED || !s || s->generation != h->generation;
}

/* Does @new say anything new? Arcs that say less are removed. */
static bool is_news(const struct arc *new)
{
	uint32_t records = 0;

	for (uint32_t i = *bucket(new->from, new->to), next; i; i = next) {
		struct arc *a = arc_at(i);

		next = a->same_bucket;
		if (a->from != new->from || a->to != new->to)
			continue;
		records++;
		if (a->reads != new->reads || a->recursive != new->recursive ||
		    a->alone != new->alone)
			continue;
		if (guards_within(a, new))
			return false;
		if (guards_within(new, a)) {
			arc_drop(i);
			records--;
		}
	}
	return records < RECORDS;
}

static void say_processes(struct thread *t, struct held *p, struct held *n, const void *place)
{
	if (!report_begin(ANYRCU_LOCKDEP_CIRCULAR, n->class, p->class))
		return;
	say_attempt(t, n, "but holds:\n", p);
	say("The locks are shared, and another process takes them in another order, at: %a\n",
	    place);
	say("\n *** DEADLOCK ***\n\n");
	report_end(t);
}

/* A new order here may close a cycle with an order in another process. */
static void look_elsewhere(struct thread *t, struct held *p, struct held *n, const struct arc *new)
{
	struct lockdep_order o = { .held = { { p->lock, type_of(p->class) } },
				   .to = { n->lock, type_of(n->class) },
				   .nheld = 1,
				   .reads = new->reads,
				   .recursive = new->recursive,
				   .ip = n->ip };
	const void *place;

	if (!host->shared)
		return;
	for (uint32_t i = t->base; i < t->depth && o.nheld < ARRAY_SIZE(o.held); i++)
		if (&t->held[i] != p && !instance_stale(&t->held[i]) && !READS(t->held[i].how))
			o.held[o.nheld++] = (struct lockdep_ordered){ t->held[i].lock,
								      type_of(t->held[i].class) };
	place = host->shared(&o);
	if (place)
		say_processes(t, p, n, place);
}

void instance_depend(struct thread *t, struct held *p, struct held *n)
{
	struct lock_slot *from = lock_find(p->lock), *to = lock_find(n->lock);
	struct arc *new = &tables->new_arc;

	if (!from || !to || from == to)
		return;
	new->from = node_make(from, p);
	new->to = node_make(to, n);
	new->tid = t->tid;
	new->reads = READS(p->how) != 0;
	new->recursive = (n->how & ANYRCU_LOCK_RECURSIVE_READ) != 0;
	new->alone = alone();
	new->segment = segment_here(t);
	guards_of(t, p, new);
	if (!new->from || !new->to || !is_news(new)) {
		if (!new->from || !new->to)
			say_full(5, "locks that are nested");
		return;
	}
	new->trace = trace_of(p, n);
	if (node_at(new->from)->number >= node_at(new->to)->number &&
	    (node_at(new->from)->number == node_at(new->to)->number ||
	     renumber(new->from, new->to)))
		circle_check(t, p, n, new);
	if (!arc_make(new))
		say_full(6, "orders of locks");
	look_elsewhere(t, p, n, new);
}
