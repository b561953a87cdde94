/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Waits for events: a condition, a semaphore, a barrier, the end of a thread. A thread that waits
 * while it holds a lock blocks any thread that must take that lock before it causes the event. For
 * a thread that causes an event, thread.took has the locks that it took since its last wait, or
 * since it began; for a thread that waits, the held locks are known. Both are stored with the event
 * and compared, so it does not matter which came first.
 *
 * took[] is written by the thread and its handlers without the lock, and read by the thread itself:
 * if a handler overwrites an entry in between, the entry is lost, or is one of the handler's.
 * Events are accessed under the engine's lock.
 */
#include <lockdep/engine.h>

#define EVENT_PROBES 16

struct event *event_find(const void *object, bool make)
{
	uint32_t at = mix((uintptr_t)object, 1) % EVENTS;
	struct event *e, *room = NULL;

	for (unsigned i = 0; i < EVENT_PROBES; i++) {
		e = &tables->event[(at + i) % EVENTS];
		if (load_acquire(&e->object) == object)
			return e;
		if (!room && (!e->object || e->object == GONE))
			room = e;
		if (!e->object)
			break;
	}
	if (!make)
		return NULL;
	if (!room) { /* replace another event */
		room = &tables->event[at];
		*room = (struct event){ 0 };
	}
	tables->nevents++;
	store_release(&room->object, object);
	return room;
}

static void say_wait(struct thread *t, const char *what, const struct taken *held,
		     const struct taken *took)
{
	if (!report_begin(ANYRCU_LOCKDEP_WAITS, held->class, (uintptr_t)held->ip))
		return;
	say("thread %u waits in %s, and holds:\n ", (uint64_t)held->tid,
	    held->what ? held->what : what);
	say_class(held->class);
	say(" [<0x%x>], at: %a\n", (uint64_t)(uintptr_t)held->lock, held->ip);
	say("Thread %u, which causes what is waited for, takes that before, at: %a\n",
	    (uint64_t)took->tid, took->ip);
	say("\n *** DEADLOCK ***\n\n");
	report_end(t);
}

static void compare(struct thread *t, const char *what, const struct taken *held,
		    const struct taken *took)
{
	if (held->generation && held->generation == took->generation && held->tid != took->tid &&
	    !(held->reads && took->reads))
		say_wait(t, what, held, took);
}

static void remember(struct taken *list, uint32_t *n, const struct taken *new)
{
	for (uint32_t i = 0; i < EVENT_LOCKS; i++)
		if (list[i].generation == new->generation && list[i].tid == new->tid)
			return;
	list[(*n)++ % EVENT_LOCKS] = *new;
}

static struct taken taken_of(struct thread *t, const struct held *h, const char *what)
{
	return (struct taken){ h->lock,		  h->ip, what, h->generation, t->tid, h->class,
			       READS(h->how) != 0 };
}

/* An empty entry, if the lock does not exist any more. */
static struct taken taken_from(struct thread *t, const struct took *took)
{
	struct lock_slot *s = lock_find(took->lock);

	return (struct taken){ took->lock, took->ip,
			       NULL,	   s ? s->generation : 0,
			       t->tid,	   s ? tables->key[s->key].class[0] : 0,
			       false };
}

static struct thread *thread_here(void)
{
	struct thread *t = lockdep_thread();

	return t && host->by_instance ? t : NULL;
}

bool lockdep_holds(void)
{
	struct thread *t = thread_here();

	return t && (t->depth > t->base || is_reader());
}

static void wait_begins(struct thread *t, const void *object, const char *what)
{
	struct event *e;

	if (!slow_begin(t))
		return;
	store(&tables->nwaits, tables->nwaits + 1);
	e = event_find(object, true);
	for (uint32_t i = t->base; !e->turnstile && i < t->depth; i++) {
		struct taken held = taken_of(t, &t->held[i], what);

		if (instance_stale(&t->held[i]))
			continue;
		remember(e->held, &e->nheld, &held);
		for (uint32_t k = 0; k < EVENT_LOCKS; k++)
			compare(t, what, &held, &e->took[k]);
		/* who causes it next is to be compared with this, however often that was before */
		store(&e->caused, 0);
	}
	slow_end(t);
}

void lockdep_wait_begin(const void *object, const char *what, const void *ip)
{
	struct thread *t = thread_here();
	bool reads = t && reader_begin(t, ip);

	if (t && t->depth > t->base)
		wait_begins(t, object, what);
	if (reads)
		reader_end(t);
}

void lockdep_wait_end(void)
{
	struct thread *t = thread_here();

	if (!t)
		return;
	t->waited = t->ntook;
	t->came_by = NULL;
}

void lockdep_came_by(const void *object)
{
	struct thread *t = thread_here();

	if (t)
		t->came_by = object;
}

/* How many of took[], the last ones, are of the time since its last wait. */
static uint32_t took_lately(const struct thread *t)
{
	uint32_t n = t->ntook - t->waited;

	return n < TOOK ? n : TOOK;
}

/*
 * Also without the lock: an event keeps its slot until the slot is needed, and a count that is then
 * added to another event does no harm.
 */
static struct event *event_here(struct thread *t, const void *object)
{
	struct event *e = event_find(object, false);

	if (e || !slow_begin(t))
		return e;
	e = event_find(object, true);
	slow_end(t);
	return e;
}

static void event_compare(struct thread *t, struct event *e, bool remembered)
{
	uint32_t n = took_lately(t);

	if (!slow_begin(t))
		return;
	for (uint32_t i = 1; i <= n; i++) {
		struct taken took = taken_from(t, &t->took[(t->ntook - i) % TOOK]);

		if (remembered)
			remember(e->took, &e->ntook, &took);
		for (uint32_t k = 0; k < EVENT_LOCKS; k++)
			compare(t, NULL, &e->held[k], &took);
	}
	slow_end(t);
}

void lockdep_event(const void *object, bool remembered, unsigned times)
{
	struct thread *t = thread_here();
	struct event *e = t ? event_here(t, object) : NULL;
	uint32_t before;

	if (!e)
		return;
	before = __atomic_fetch_add(&e->caused, 1, __ATOMIC_RELAXED);
	if (unlikely(before < times && took_lately(t) && (remembered || load(&tables->nwaits))))
		event_compare(t, e, remembered);
	/*
	 * Forget the locks that this thread took before it signalled the condition: a thread that
	 * waited for it is past them, and may join this thread with the same lock held.
	 */
	if (!remembered)
		t->waited = t->ntook;
	t->told = t->ntook;
}

/*
 * It opens a turnstile for the next one, as it was opened for itself. How long it is open, a number
 * says that the validator does not know.
 */
bool lockdep_passes(const void *object)
{
	struct thread *t = thread_here();
	struct event *e = t ? event_find(object, false) : NULL;

	if (!e)
		return false;
	t->told = t->ntook;
	if (e->turnstile)
		return true;
	if (t->came_by != object || took_lately(t) || t->depth > t->base || !slow_begin(t))
		return false;
	e = event_find(object, true);
	e->turnstile = true;
	for (uint32_t i = 0; i < EVENT_LOCKS; i++)
		e->held[i] = e->took[i] = (struct taken){ 0 };
	slow_end(t);
	return true;
}

/* A lock of its own may guard a count of those that are done, which others look at. */
bool lockdep_tells_nobody(void)
{
	struct thread *t = thread_here();
	const struct lock_slot *s;
	bool inside;

	if (!t || t->told == t->ntook || !slow_begin(t))
		return false;
	s = lock_find(t->took[(t->ntook - 1) % TOOK].lock);
	inside = s && tables->node[tables->node_of[s - tables->lock]].before;
	slow_end(t);
	return inside;
}

void lockdep_condition_begin(const void *c, const void *mutex, const void *ip)
{
	struct thread *t = thread_here();
	struct event *e = t ? event_here(t, c) : NULL;

	if (!e)
		return;
	if (__atomic_fetch_add(&e->waiters, 1, __ATOMIC_RELAXED) && load(&e->mutex) != mutex)
		lockdep_misuse(
			mutex,
			"waits for a condition that others wait for with another mutex; it has",
			ip);
	store(&e->mutex, mutex);
}

void lockdep_condition_end(const void *c)
{
	struct event *e = tables ? event_find(c, false) : NULL;
	uint32_t waiters;

	while (e && (waiters = load(&e->waiters)) && !cmpxchg(&e->waiters, waiters, waiters - 1))
		;
}

void waits_fork(void)
{
	tables->joins = 0;
	for (uint32_t i = 0; tables->nevents && i < EVENTS; i++)
		if (tables->event[i].object)
			tables->event[i].waiters = 0;
}

void lockdep_event_forget(const void *object, bool if_caused)
{
	struct thread *t = thread_here();
	struct event *e;

	if (!t || !event_find(object, false) || !slow_begin(t))
		return;
	e = event_find(object, false);
	if (e && (!if_caused || e->caused))
		*e = (struct event){
			.object = GONE
		}; /* the slot stays used, as a search may have to pass it */
	slow_end(t);
}

/*
 * A thread whose end another thread waits for takes a lock that the waiting thread holds: that is a
 * deadlock, if the waiting thread still holds it.
 */
void wait_check(struct thread *t, const struct took *new)
{
	struct taken took;
	struct event *e;

	if (!t->end || !slow_begin(t))
		return;
	took = taken_from(t, new);
	e = event_find(t->end, false);
	for (uint32_t k = 0; e && k < EVENT_LOCKS; k++)
		compare(t, NULL, &e->held[k], &took);
	slow_end(t);
}

void lockdep_thread_end_is(const void *object)
{
	struct thread *t = thread_here();

	if (t)
		t->end = object;
}

/* @change: in the number of threads that wait for another thread's end with locks held. */
void lockdep_joins(int change)
{
	__atomic_fetch_add(&tables->joins, change, __ATOMIC_RELAXED);
}

void lockdep_leave(const struct anyrcu_lock_type *type)
{
	struct thread *t = thread_here();

	for (uint32_t i = t ? t->depth : 0; t && i > t->base; i--)
		if (t->held[i - 1].class > UNVALIDATED && type_of(t->held[i - 1].class) == type)
			lockdep_engine.release(t->held[i - 1].lock, NULL);
}

bool lockdep_known(const void *lock)
{
	return tables && lock_find(lock);
}

/* ---- functions that a handler must not call if it may have interrupted them ---- */

static void say_unsafe(struct thread *t, const struct lockdep_unsafe *u, uint64_t signals,
		       const void *ip)
{
	unsigned sig = __builtin_ctzll(signals) + 1;

	if (!report_begin(ANYRCU_LOCKDEP_UNSAFE, (uintptr_t)u, sig))
		return;
	say("%s is called in a handler of signal %u, and elsewhere with that signal open. Thread %u, at: %a\n",
	    u->name, (uint64_t)sig, (uint64_t)t->tid, ip);
	say("The handler may interrupt it, and what it finds is half changed or locked for good.\n\n *** DEADLOCK ***\n\n");
	report_end(t);
}

void lockdep_unsafe(struct lockdep_unsafe *u, const void *ip)
{
	struct thread *t = thread_here();
	uint64_t *mine, news;

	if (!t)
		return;
	mine = t->handles ? &u->in : &u->open;
	news = (t->handles ? t->handles : signals_open(t)) & ~load(mine);
	if (likely(!news) || !slow_begin(t))
		return;
	store(mine, *mine | news);
	news &= t->handles ? u->open : u->in;
	if (news)
		say_unsafe(t, u, news, ip);
	slow_end(t);
}

void lockdep_misuse(const void *lock, const char *what, const void *ip)
{
	struct held h = { .lock = lock, .ip = ip };
	struct thread *t = thread_here();

	if (!t || !slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_MISUSE, (uintptr_t)what, (uintptr_t)ip)) {
		say("thread %u %s:\n", (uint64_t)t->tid, what);
		say_lock(&h);
		report_end(t);
	}
	slow_end(t);
}
