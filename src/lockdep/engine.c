/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What a thread holds, and what happens at each operation.
 *
 * The fast part of an operation works on the thread's own state and reads tables that others write. It takes no lock and makes no system call.
 * What is new, a lock, a class, an order of classes, a use in a handler, goes to the slow part in graph.c, which is under one lock with all
 * signals blocked. As programs do the same again and again, that becomes rare: the classes that a context holds are hashed one after the
 * other, and a hash that is in the table has been checked.
 *
 * Handlers. A handler may interrupt the fast part anywhere and use the validator, to any depth, and returns. Of the thread's state it finds:
 *
 *   - depth: entries below it belong to those whom it has interrupted, one of which may be half written (its class is 0 then). It puts its
 *     own on top, and has taken them away when it returns; what it leaves, signal_exit() takes. So whoever was interrupted finds depth as it was, and
 *     the entries below it untouched. An entry is reserved by depth before it is written, and complete with its class, last. Above depth all
 *     classes are 0.
 *   - base, limit, handles, blocked, preempt: changed by signal_enter() and put back by signal_exit(). They are kept in interrupted[], whose
 *     entries are reserved in the same way.
 *
 * signal_enter() sets base to depth: what the interrupted code holds is no part of an order, as it does not wait for the handler's locks to
 * take its own. An unlock in the middle moves the entries above it down; a handler in between sees one of them twice, below its base, where
 * nothing but is_held() looks.
 *
 * Tables. A slot of the table of locks gets its key before the lock's address, released; who finds the address finds the key. A class has its
 * contents before its number is in the key. A chain is one word. So readers without the lock find things whole or not at all, and when not at all
 * they look again under the lock. Uses are words that gain bits.
 *
 * fork(): whoever forks holds the lock; in the child the states of the other threads are free. A child without fork handlers (_Fork(), raw
 * system calls) might find the lock held by nobody for ever: it does not go to the slow part.
 */
#include <lockdep/engine.h>

struct tables *tables;
const struct lockdep_host *host;
static struct port_lock graph = { .unwatched = true };

/* ---- the calling thread ---- */

static PORT_THREAD_LOCAL struct thread *self;
static struct thread ended; /* of a thread that is about to be no more: busy for good */

static noinline struct thread *thread_make(void)
{
	uint32_t hint = load(&tables->thread_hint);
	struct thread *none = NULL;

	for (uint32_t i = 0; i < THREADS; i++) {
		struct thread *t = &tables->thread[(hint + i) % THREADS];

		if (load(&t->used))
			continue;
		count_max(&tables->threads_high, (hint + i) % THREADS + 1); /* before the claim: who forks looks at no others */
		if (!cmpxchg(&t->used, 0, 1))
			continue;
		store(&tables->thread_hint, hint + i + 1);
		t->blocked = port_signals_blocked();
		t->limit = ANYRCU_WAIT_SLEEP;
		t->tid = port_tid();
		if (cmpxchg(&self, none, t)) {
			port_thread_exit_arm();
			return t;
		}
		store_release(&t->used, 0); /* a handler was here */
		return self;
	}
	return NULL;
}

/* NULL where nothing is validated. */
static inline struct thread *thread(void)
{
	struct thread *t = self;

	if (unlikely(!t))
		t = thread_make();
	return unlikely(!t || t->busy) ? NULL : t;
}

/* False: what is new cannot be looked at here. */
static bool slow_begin(struct thread *t)
{
	if (port_forked_raw())
		return false;
	port_lock(&graph);
	t->busy = 1;
	return true;
}

static void slow_end(struct thread *t)
{
	t->busy = 0;
	port_unlock(&graph);
}

/* ---- wait types ---- */

static inline uint8_t least(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

/* CONFIG is a type of its own where raw spinlocks are to stay raw, and under rt, where it sleeps. */
static inline uint8_t wait_type(uint8_t w)
{
	return w == ANYRCU_WAIT_CONFIG && !host->raw_nesting && !(host->rt && host->rt()) ? ANYRCU_WAIT_SPIN : w;
}

/* A handler that nobody announced may have interrupted who writes the topmost. */
static inline struct held *top(struct thread *t)
{
	uint32_t depth = t->depth;

	while (depth > t->base && unlikely(!t->held[depth - 1].class))
		depth--;
	return depth > t->base ? &t->held[depth - 1] : NULL;
}

static inline uint8_t limit(struct thread *t)
{
	struct held *h = top(t);
	uint8_t l = h ? h->limit : t->limit;

	return t->preempt ? least(l, ANYRCU_WAIT_SPIN) : l;
}

/* Under rt, spinlocks alone do not forbid to sleep. */
static bool may_sleep(struct thread *t)
{
	return limit(t) >= ANYRCU_WAIT_SLEEP ||
	       (limit(t) == ANYRCU_WAIT_CONFIG && t->limit >= ANYRCU_WAIT_SLEEP && !t->preempt && host->rt && host->rt());
}

static void say_context(struct thread *t)
{
	if (t->handles)
		say("  the context is a signal handler\n");
	if (t->preempt)
		say("  preemption is disabled\n");
	for (uint32_t i = t->base; i < t->depth; i++)
		if (t->held[i].class > UNVALIDATED)
			say_lock(&t->held[i]);
}

static const char *wait_name(uint8_t w)
{
	static const char *const names[] = { "any", "free", "spin", "config", "sleep" };

	return names[w];
}

static noinline void wait_wrong(struct thread *t, struct held *n, uint8_t outer)
{
	if (!slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_WAIT, (uint64_t)n->class << 8 | limit(t), (uintptr_t)n->ip)) {
		say("thread %u is trying to take a lock of wait type %s:\n", (uint64_t)t->tid, wait_name(outer));
		say_lock(n);
		say("in a context that allows %s:\n", wait_name(limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

static noinline void sleep_wrong(struct thread *t, const char *what, const void *ip)
{
	if (!slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_ATOMIC, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s may sleep, called by thread %u at %a\n", what ? what : "this place", (uint64_t)t->tid, ip);
		say("in a context that allows %s:\n", wait_name(limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

static void might_sleep(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (t && !may_sleep(t))
		sleep_wrong(t, what, ip);
}

static void might_spin(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (!t || limit(t) >= wait_type(ANYRCU_WAIT_CONFIG) || !slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_WAIT, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s may take a spinlock, called by thread %u at %a\n", what, (uint64_t)t->tid, ip);
		say("in a context that allows %s:\n", wait_name(limit(t)));
		say_context(t);
		report_end(t);
	}
	slow_end(t);
}

/* ---- acquire and release ---- */

static noinline unsigned class_slow(struct thread *t, const void *lock, const struct anyrcu_lock_type *type, const char *name,
				    const void *id, unsigned subclass)
{
	unsigned class = UNVALIDATED;

	if (slow_begin(t)) {
		class = class_make(lock, type, name, id, subclass);
		slow_end(t);
	}
	return class;
}

static noinline void use_slow(struct thread *t, struct held *h, uint64_t in, uint64_t open)
{
	if (!slow_begin(t))
		return;
	use_check(t, h, in, open);
	slow_end(t);
}

static inline void use(struct thread *t, struct held *h, uint64_t in, uint64_t open)
{
	struct class *c = &tables->class[h->class];
	bool reads = READS(h->how);

	if (unlikely((in & ~load(&c->use[USED_IN][reads])) | (open & ~load(&c->use[HELD_OPEN][reads]))))
		use_slow(t, h, in, open);
}

static bool class_held(struct thread *t, unsigned class)
{
	for (uint32_t i = t->base; i < t->depth; i++)
		if (t->held[i].class == class)
			return true;
	return false;
}

static noinline void chain_slow(struct thread *t, struct held *n)
{
	if (!slow_begin(t))
		return;
	chain_check(t, n);
	slow_end(t);
}

static void look_at_mask(struct thread *t)
{
	if (!host->masks_told)
		t->blocked = port_signals_blocked();
}

static void link_up(struct thread *t, struct held *n, struct held *below)
{
	n->limit = least(below ? below->limit : t->limit,
			 n->class == UNVALIDATED ? ANYRCU_WAIT_SLEEP : wait_type(inner_of(type_of(n->class))) ?: ANYRCU_WAIT_SLEEP);
	n->chain = mix(below ? below->chain : mix(t->handles, t->limit), n->class | (uint64_t)n->how << 16);
}

static void validate(struct thread *t, struct held *n, uint8_t outer)
{
	bool tries = n->how & ANYRCU_LOCK_TRY;
	struct class *c = &tables->class[n->class];

	if (unlikely(!tries && outer > limit(t)))
		wait_wrong(t, n, outer);
	if (unlikely(++t->looks % 256 == 0 ||
		     (~t->blocked & ~load(&c->use[HELD_OPEN][READS(n->how) != 0])))) /* a use that is news, if it is true */
		look_at_mask(t);
	use(t, n, tries ? 0 : t->handles, ~t->blocked);
	if (unlikely((host->by_instance && class_held(t, n->class)) || !chain_known(n->chain)))
		chain_slow(t, n);
}

static void acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how, unsigned subclass, const void *nest,
		    const void *ip)
{
	struct thread *t = thread();
	struct held n = { lock, ip, nest, 0, 0, how, 0 }, *h;
	struct lock_slot *slot;
	struct key *key;

	if (!t)
		return;
	if (unlikely(t->depth == HELD)) {
		t->beyond++;
		if (slow_begin(t)) {
			say_full(0, "what one thread holds");
			slow_end(t);
		}
		return;
	}
	subclass = subclass < ANYRCU_LOCKDEP_SUBCLASSES ? subclass : ANYRCU_LOCKDEP_SUBCLASSES - 1;
	slot = lock_find(lock);
	key = slot ? &tables->key[load(&slot->key)] : NULL;
	n.class = key && likely(key->type == type) ? load_acquire(&key->class[subclass]) : 0;
	if (unlikely(!n.class))
		n.class = class_slow(t, lock, type, NULL, port_in_object(lock) ? lock : ip, subclass);
	link_up(t, &n, top(t));
	if (likely(n.class != UNVALIDATED))
		validate(t, &n, wait_type(type->wait_outer));

	h = &t->held[t->depth];
	t->depth++;
	compiler_barrier();
	h->lock = lock;
	h->ip = ip;
	h->nest = nest;
	h->chain = n.chain;
	h->how = how;
	h->limit = n.limit;
	compiler_barrier();
	h->class = n.class;
}

static void unheld(struct thread *t, const void *lock, const void *ip)
{
	struct held h = { lock, ip, NULL, 0, 0, 0, 0 };

	if (t->beyond) {
		t->beyond--;
		return;
	}
	if (!slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_BALANCE, (uintptr_t)lock, (uintptr_t)ip)) {
		say("thread %u is trying to release a lock that it does not hold:\n", (uint64_t)t->tid);
		say_lock(&h);
		report_end(t);
	}
	slow_end(t);
}

static void release(const void *lock, const void *ip)
{
	struct thread *t = thread();
	uint32_t i;

	if (!t)
		return;
	for (i = t->depth; i > t->base && t->held[i - 1].lock != lock; i--)
		;
	if (unlikely(i == t->base)) {
		unheld(t, lock, ip);
		return;
	}
	for (; i < t->depth; i++) {
		struct held h = t->held[i];

		link_up(t, &h, i - 1 > t->base ? &t->held[i - 2] : NULL);
		t->held[i - 1] = h;
	}
	t->held[t->depth - 1].class = 0;
	compiler_barrier();
	t->depth--;
}

static struct held *held(struct thread *t, const void *lock)
{
	for (uint32_t i = t->depth; i--;)
		if (t->held[i].lock == lock && t->held[i].class)
			return &t->held[i];
	return NULL;
}

static int is_held(const void *lock)
{
	struct thread *t = thread();

	return t && !t->beyond ? held(t, lock) != NULL : -1;
}

static void assert_held(const void *lock, bool expected, const void *ip)
{
	struct thread *t = thread();

	if (!t || t->beyond || (held(t, lock) != NULL) == expected || !slow_begin(t))
		return;
	if (report_begin(expected ? ANYRCU_LOCKDEP_NOT_HELD : ANYRCU_LOCKDEP_HELD, (uintptr_t)lock, (uintptr_t)ip)) {
		struct held h = { lock, ip, NULL, 0, 0, 0, 0 };

		say("thread %u should%s hold, at %a:\n", (uint64_t)t->tid, expected ? "" : " not", ip);
		say_lock(&h);
		report_end(t);
	}
	slow_end(t);
}

/* ---- the life of a lock ---- */

static void held_wrong(struct thread *t, enum anyrcu_lockdep_rule rule, struct held *h, const char *what, const void *ip)
{
	if (!report_begin(rule, h->class, (uintptr_t)ip))
		return;
	say("thread %u %s a lock that it holds, at %a:\n", (uint64_t)t->tid, what, ip);
	say_lock(h);
	report_end(t);
}

static void init(const void *lock, const struct anyrcu_lock_type *type, const char *name, const struct anyrcu_lock_class_key *key,
		 const void *ip)
{
	struct thread *t = thread();
	struct held *h;

	if (!t || !slow_begin(t))
		return;
	if ((h = held(t, lock)))
		held_wrong(t, ANYRCU_LOCKDEP_REINIT, h, "initialises", ip);
	lock_forget(lock);
	class_make(lock, type, name, key ? (const void *)key : ip, 0);
	slow_end(t);
}

static void destroy(const void *lock, const void *ip)
{
	struct thread *t = thread();
	struct held *h;

	if (!t || (!held(t, lock) && !lock_find(lock)) || !slow_begin(t))
		return;
	if ((h = held(t, lock)))
		held_wrong(t, ANYRCU_LOCKDEP_FREED, h, "destroys", ip);
	lock_forget(lock);
	slow_end(t);
}

static void free_(const void *p, size_t size, const void *ip)
{
	struct thread *t = thread();

	if (!t || likely(!lock_within(p, (const char *)p + size)))
		return;
	for (uint32_t i = 0; i < t->depth; i++) {
		struct held *h = &t->held[i];

		if (unlikely((uintptr_t)h->lock - (uintptr_t)p < size) && h->class && slow_begin(t)) {
			held_wrong(t, ANYRCU_LOCKDEP_FREED, h, "frees memory with", ip);
			slow_end(t);
		}
	}
	if (slow_begin(t)) {
		locks_forget(p, (const char *)p + size);
		slow_end(t);
	}
}

/* ---- RCU ---- */

static void rcu_suspicious(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (!t || !slow_begin(t))
		return;
	if (report_begin(ANYRCU_LOCKDEP_RCU, (uintptr_t)what, (uintptr_t)ip)) {
		say("%s, by thread %u at %a\n", what, (uint64_t)t->tid, ip);
		report_end(t);
	}
	slow_end(t);
}

static void rcu_wait(const char *what, const void *ip)
{
	struct thread *t = thread();

	if (!t)
		return;
	if (!may_sleep(t)) {
		sleep_wrong(t, what, ip);
	} else if (host->in_reader && host->in_reader()) {
		if (!slow_begin(t))
			return;
		if (report_begin(ANYRCU_LOCKDEP_RCU, (uintptr_t)what, (uintptr_t)ip)) {
			say("%s inside a read-side critical section, for whose end it waits, by thread %u at %a\n", what, (uint64_t)t->tid, ip);
			report_end(t);
		}
		slow_end(t);
	}
}

/* ---- contexts ---- */

static void signal_enter(int sig, uint64_t blocked, bool threaded)
{
	struct thread *t = thread();
	struct interrupted *i;

	if (!t)
		return;
	if (t->nesting == NESTING) {
		t->unnested++;
		return;
	}
	i = &t->interrupted[t->nesting++];
	compiler_barrier();
	*i = (struct interrupted){ t->handles, t->blocked, t->base, t->preempt, t->limit };
	compiler_barrier();
	t->base = t->depth;
	t->preempt = 0;
	/* Not those whose handlers it has interrupted: it comes through them only where its own signal is open as well. */
	t->handles = sig ? UINT64_C(1) << (sig - 1) : 0;
	t->blocked = blocked;
	t->limit = threaded ? wait_type(ANYRCU_WAIT_CONFIG) : ANYRCU_WAIT_SPIN;
	compiler_barrier();
}

static void signal_exit(uint64_t blocked)
{
	struct thread *t = thread();
	struct interrupted *i;

	if (!t || !t->nesting)
		return;
	if (t->unnested) {
		t->unnested--;
		return;
	}
	while (t->depth > t->base) {
		t->held[t->depth - 1].class = 0;
		compiler_barrier();
		t->depth--;
	}
	i = &t->interrupted[t->nesting - 1];
	t->limit = i->limit;
	t->blocked = blocked;
	t->handles = i->handles;
	t->preempt = i->preempt;
	t->base = i->base;
	compiler_barrier();
	t->nesting--;
}

static void signals_blocked(uint64_t mask)
{
	struct thread *t = thread();
	uint64_t opened;

	if (!t)
		return;
	opened = t->blocked & ~mask;
	t->blocked = mask;
	for (uint32_t i = t->base; opened && i < t->depth; i++)
		if (t->held[i].class > UNVALIDATED)
			use(t, &t->held[i], 0, opened);
}

static void preempt(int change)
{
	struct thread *t = thread();

	if (t)
		t->preempt += change;
}

static void thread_exit(bool in_reader)
{
	struct thread *t = thread();

	if (!t)
		return;
	if ((t->depth || in_reader) && slow_begin(t)) {
		if (report_begin(ANYRCU_LOCKDEP_EXIT, t->depth ? t->held[0].class : 0, t->depth ? (uintptr_t)t->held[0].ip : 0)) {
			say("thread %u ends%s%s\n", (uint64_t)t->tid, t->depth ? " while it holds locks" : "",
			    in_reader ? ", inside a read-side critical section" : "");
			for (uint32_t i = 0; i < t->depth; i++) /* so that they are what it is about */
				say_lock(&t->held[i]);
			report_end(t);
		}
		slow_end(t);
	}
	self = &ended;
	compiler_barrier();
	memset(t->held, 0, sizeof(t->held));
	t->depth = t->base = t->beyond = t->nesting = t->unnested = t->preempt = 0;
	t->handles = 0;
	store(&tables->thread_hint, t - tables->thread);
	store_release(&t->used, 0);
}

static uint64_t reports(void)
{
	return load(&tables->reports);
}

const struct lockdep_ops lockdep_engine = {
	sizeof(lockdep_engine), init, destroy, free_, acquire, release, is_held, assert_held, might_sleep, might_spin, rcu_wait,
	rcu_suspicious, signal_enter, signal_exit, signals_blocked, preempt, thread_exit, reports,
};

bool lockdep_start(const struct lockdep_host *h)
{
	struct tables *made = port_map((sizeof(*made) + 4095) & ~(size_t)4095, 4096);

	if (!made)
		return false;
	made->nkeys = made->nedges = made->ntrace = 1;
	made->nclasses = UNVALIDATED + 1;
	ended.busy = 1;
	host = h;
	store_release(&tables, made);
	return true;
}

/*
 * From prepare on the forking thread is busy, as a lock that other fork handlers take would wait for itself. A hook that forks is so already, and
 * holds the lock.
 */
static bool forks_busy;

void lockdep_fork_prepare(void)
{
	if (!tables)
		return;
	if (!self)
		thread_make();
	if (self && self != &ended && self->busy) {
		forks_busy = true;
		return;
	}
	port_lock(&graph);
	if (self && self != &ended)
		self->busy = 1;
}

static void fork_done(void)
{
	if (forks_busy) {
		forks_busy = false;
		return;
	}
	if (self && self != &ended)
		self->busy = 0;
	port_unlock(&graph);
}

void lockdep_fork_parent(void)
{
	if (tables)
		fork_done();
}

void lockdep_fork_child(void)
{
	if (!tables)
		return;
	for (uint64_t i = 0; i < tables->threads_high; i++) {
		struct thread *t = &tables->thread[i];

		if (t->used && t != self)
			memset(t, 0, sizeof(*t));
	}
	if (self && self != &ended)
		self->tid = port_tid();
	fork_done();
}

void lockdep_stats_get(struct lockdep_stats *out)
{
	uint32_t threads = 0;

	for (uint64_t i = 0; i < load(&tables->threads_high); i++)
		threads += load(&tables->thread[i].used);
	*out = (struct lockdep_stats){ tables->nclasses - UNVALIDATED - 1, tables->nedges - 1, tables->nchains, tables->nlocks, threads,
				       tables->deepest, tables->reports };
}
