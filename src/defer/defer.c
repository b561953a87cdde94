/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferring: storing what waits, from any context.
 *
 * Each CPU has an open page for each of two kinds: UNIFORM, whose words belong to the one function that opened it, and MIXED for
 * what comes in between. There are two sets of them, as there are two ways to append:
 *
 * 1. port_rseq_append(), a restartable sequence: no atomic, no fence, nothing to undo; see there. It reads the page
 *    without protection, which is right because a collection that takes the page away calls port_rseq_fence() before it goes on: a
 *    sequence that had read the pointer has committed by then, or starts over and does not find the page.
 *
 * 2. append_shared(), where sequences do not work: reserve a slot by fetch_add on the count, store to it, the key word last. The
 *    thread is in a read-side critical section from before it reads the page's pointer until the slot is filled. So when a grace
 *    period has passed after the page was taken away, no slot will be filled any more ("settled"), though the thread may have
 *    stopped for a minute in between. A slot that is still empty then belongs to a thread which is no more (a fork's child).
 *    The page needs a second grace period for what was stored late.
 *
 * Opening a page, for both: the new page has the object in it and the old page behind it before one cmpxchg on the CPU's pointer
 * makes it the open one and the old one full ("sealed"). Nothing is ever only in this thread's hands, so it does not matter where a
 * thread stops or dies. All of this is inside a read-side critical section, so a page that we read the pointer of is not freed,
 * nor used again, before we are done: there is no ABA. The CPU is that of an instant ago; a page opened on another CPU is as right.
 *
 * Attack: a signal handler defers between any two instructions. It appends to the open page (ours not being in yet), or opens a
 * page itself; our sequence then starts over, our fetch_add gets another slot, our cmpxchg fails and we start over. It never
 * waits for what it interrupted. Each round that starts over means that a handler or another thread has deferred in between; after a
 * few of them we take the shared way, and in the end the chain, whose loop is the only one without a bound of its own (lock-free).
 *
 * Attack: no page can be had. The form with a head pushes to the chain: one cmpxchg, and collections take the whole of it by
 * xchg, so no ABA. The headless forms say no. MIXED is tried before that, as its open page may have room.
 *
 * Attack: the page count wraps. It only goes up while below the cap, by at most the number of threads and handlers at it.
 */
#include <anyrcu/page.h>
#include <base/breaks.h>
#include <context/context.h>
#include <defer/defer.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/port.h>

#define TRIES 8

struct defer_cpu defer_cpus[PORT_CPUS_MAX];
uint32_t defer_ncpus;
struct anyrcu_head *defer_chain;
struct defer_stats defer_stats;
struct defer_limits defer_limits = { DEFER_DELAY_US * UINT64_C(1000), DEFER_PENDING_MAX, DEFER_BYTES_MAX };
uint32_t defer_policy = ANYRCU_POLICY_NOLOCKS;
uint32_t defer_sealed;
uint64_t defer_sealed_objects;

/* What is to be appended: the words of a slot, but in UNIFORM pages, which have only arg. */
struct slot {
	uintptr_t func, arg, head, caller;
	enum { ANY_CONTEXT, RAW_CONTEXT, TASK_CONTEXT } context; /* as the caller has said */
	bool opened;	 /* it went into a new page, */
	uint32_t sealed; /* which made so many full ones that wait to be collected; 0: none */
};

static inline enum port_rseq_result append_rseq(unsigned kind, uintptr_t key, uintptr_t a, uintptr_t b, uint32_t width)
{
	struct port_rseq_page **pages = (struct port_rseq_page **)(void *)&defer_cpus[0].rseq[kind];

	/* Before it is known where a thread's area is, arming a sequence would overwrite something else. */
	if (unlikely(!load_acquire(&port_rseq_cpus)))
		return PORT_RSEQ_REFUSE;
	for (int i = 0; i < TRIES; i++) {
		enum port_rseq_result r = port_rseq_append(pages, key, a, b, width);

		if (likely(r != PORT_RSEQ_ABORT))
			return r;
	}
	return PORT_RSEQ_ABORT;
}

static void page_fill(struct defer_page *p, uint32_t at, uintptr_t key, const struct slot *s)
{
	if (key == KEY_DEBUG) {
		store(&p->word[at + 2], s->head);
		store(&p->word[at + 3], s->caller);
	}
	if (key == KEY_MIXED || key == KEY_DEBUG)
		store(&p->word[at + 1], s->arg);
	/* The word that says "filled" comes last: pairs with the drainer's acquire. */
	store_release(&p->word[at], key == KEY_MIXED || key == KEY_DEBUG ? s->func : s->arg);
}

/*
 * The policies but NOLOCKS are ways to make an allocation that may take a lock safe: by not making it. ANYRCU_GFP_NOWAIT holds off signals
 * while it has the lock, so that where a policy errs, a handler waits for another thread, but never for itself.
 */
static noinline void *page_by_policy(const struct slot *s, unsigned flags)
{
	bool may = true;

	switch (load(&defer_policy)) {
	case ANYRCU_POLICY_PREEMPTIBLE:
		may = context_preemptible() == CONTEXT_YES;
		break;
	case ANYRCU_POLICY_RT_OFF:
		may = !context_rt() && !load(&lockdep_ops);
		break;
	case ANYRCU_POLICY_RAW_VARIANTS:
		may = s->context != RAW_CONTEXT;
		break;
	default:
		return page_alloc(ANYRCU_GFP_NO_LOCKS | flags, 0);
	}
	if (!may && s->context != TASK_CONTEXT)
		return NULL;
	lockdep(might_spin, "the allocation of a page by a deferral", __builtin_return_address(0));
	return page_alloc(ANYRCU_GFP_NOWAIT | flags, 0);
}

static struct defer_page *page_new(unsigned cpu, uintptr_t key, bool shared, const struct slot *s)
{
	uint64_t bytes = fetch_add(&defer_stats.bytes, sizeof(struct defer_page));
	struct defer_page *p = NULL;

	if (bytes < load(&defer_limits.bytes_max) || breaks(BOUND_IGNORED))
		p = page_by_policy(s, shared ? ANYRCU_GFP_ZERO : 0);
	if (!p) {
		count_add(&defer_stats.bytes, -(uint64_t)sizeof(*p));
		return NULL;
	}
	count_max(&defer_stats.bytes_high, bytes + sizeof(*p));
	p->open.key = key;
	p->open.cap = DEFER_WORDS - (key == KEY_DEBUG ? 3 : 1); /* where no slot begins; the sequence writes a word beyond */
	p->cursor = p->counted = 0;
	p->cpu = cpu;
	p->shared = shared;
	p->settled = !shared;
	page_fill(p, 0, key, s);
	store(&p->open.count, defer_width(key));
	return p;
}

/*
 * Make a page with @s in it the open one of @where, in place of @old. False: try again, if @refused is not set.
 * The bytes are counted before there is a page, and what is sealed after it is: in the child of a fork that comes in between, the
 * one is then never less than what there is, which would wrap, and the other is counted anew.
 */
static bool page_open(unsigned cpu, struct defer_page **where, struct defer_page *old, uintptr_t key, bool shared,
		      struct slot *s, bool *refused)
{
	struct defer_page *p = page_new(cpu, key, shared, s);

	*refused = !p;
	if (!p)
		return false;
	p->next = old;
	if (!breaks_cmpxchg(SEAL_TORN, where, old, p)) {
		page_free(p, 0);
		count_add(&defer_stats.bytes, -(uint64_t)sizeof(*p));
		return false;
	}
	if (old) {
		count_add(&defer_sealed_objects, defer_used(old) / defer_width(old->open.key));
		s->sealed = fetch_add(&defer_sealed, 1) + 1;
	}
	s->opened = true;
	return true;
}

static bool page_full(struct defer_page *p)
{
	return !p || load(&p->open.count) >= p->open.cap;
}

/* In a read-side critical section. */
static bool append_shared(unsigned cpu, unsigned kind, uintptr_t key, struct slot *s)
{
	struct defer_page **where = &defer_cpus[cpu].shared[kind];
	bool refused = false;

	for (int i = 0; i < TRIES && !refused; i++) {
		struct defer_page *p = load_acquire(where);
		uint32_t at;

		breaks_stop(LOADED);
		if (page_full(p)) {
			if (page_open(cpu, where, p, key, true, s, &refused))
				return true;
			continue;
		}
		if (p->open.key != key)
			return false;
		at = fetch_add(&p->open.count, defer_width(key));
		breaks_stop(FILL);
		if (at < p->open.cap) {
			page_fill(p, at, key, s);
			return true;
		}
	}
	return false;
}

static void cpu_seen(uint32_t cpu)
{
	uint32_t n = load(&defer_ncpus);

	while (n <= cpu && !__atomic_compare_exchange_n(&defer_ncpus, &n, cpu + 1, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

/* The sequence found no room in a page of its CPU: open one, or take the other kind. In a read-side critical section. */
static bool open_rseq(unsigned kind, uintptr_t key, struct slot *s)
{
	bool refused = false;

	for (int i = 0; i < TRIES && !refused; i++) {
		int cpu = port_rseq_cpu();
		struct defer_page **where, *p;

		if (cpu < 0)
			return false;
		cpu_seen(cpu);
		where = &defer_cpus[cpu].rseq[kind];
		p = load_acquire(where);
		if (page_full(p)) {
			if (page_open(cpu, where, p, key, false, s, &refused))
				return true;
		} else if (p->open.key != key) {
			return false;
		}
		if ((kind == UNIFORM ? append_rseq(kind, key, s->arg, 0, 1) :
				       append_rseq(kind, key, s->func, s->arg, 2)) == PORT_RSEQ_DONE)
			return true;
	}
	return false;
}

static noinline bool append_slow(struct slot *s)
{
	bool done = false;

	if (s->func == 0)
		port_bug("deferred call of a NULL function");
	anyrcu_read_lock();
	if (port_rseq_cpu() >= 0 && !defer_debug)
		done = open_rseq(UNIFORM, s->func, s) || open_rseq(MIXED, KEY_MIXED, s);
	if (!done) {
		unsigned cpu = port_cpu();

		cpu_seen(cpu);
		/* An empty word means "not filled yet" in a UNIFORM page, so a NULL argument needs its function beside it. */
		done = (s->arg && !defer_debug && append_shared(cpu, UNIFORM, s->func, s)) ||
		       append_shared(cpu, MIXED, defer_debug ? KEY_DEBUG : KEY_MIXED, s);
	}
	anyrcu_read_unlock();
	/* Outside the section: a worker that preempts us in the wake would find a reader to wait for. */
	if (s->opened)
		defer_wake(defer_flood_begins(defer_pending_closed()) || (s->sealed && s->sealed % DEFER_SEALED_WAKE == 0));
	return done || breaks(REFUSED_DROPS);
}

static inline bool append(uintptr_t func, uintptr_t arg, unsigned context)
{
	enum port_rseq_result r = append_rseq(UNIFORM, func, arg, 0, 1);

	if (likely(r == PORT_RSEQ_DONE))
		return true;
	if (r == PORT_RSEQ_OTHER && func && append_rseq(MIXED, KEY_MIXED, func, arg, 2) == PORT_RSEQ_DONE)
		return true;
	return append_slow(&(struct slot){ .func = func, .arg = arg, .context = context });
}

static noinline void chain_push(struct anyrcu_head *head, uintptr_t func)
{
	head->func = (void (*)(struct anyrcu_head *))func;
	count_add(&defer_stats.chain, 1);
	head->next = load(&defer_chain);
	while (!__atomic_compare_exchange_n(&defer_chain, &head->next, head, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	defer_wake(false);
}

static noinline void defer_head_debug(struct anyrcu_head *head, uintptr_t func, uintptr_t arg, unsigned context, uintptr_t caller)
{
	struct slot s = { .func = func, .arg = arg, .head = (uintptr_t)head, .caller = caller, .context = context };

	defer_debug_mark(head, caller);
	if (!append_slow(&s))
		chain_push(head, func == KEY_FREE ? (uintptr_t)head - arg + KEY_FREE : func);
}

static inline void defer_call(struct anyrcu_head *head, uintptr_t func, unsigned context, void *caller)
{
	if (unlikely(load(&defer_debug)))
		defer_head_debug(head, func, (uintptr_t)head, context, (uintptr_t)caller);
	else if (unlikely(!append(func, (uintptr_t)head, context)))
		chain_push(head, func);
}

/* In the chain, the function's place says how far into the object the head is. No function has so low an address. */
static inline void defer_free(struct anyrcu_head *head, size_t offset, unsigned context, void *caller)
{
	if (unlikely(load(&defer_debug)))
		defer_head_debug(head, KEY_FREE, (uintptr_t)head - offset, context, (uintptr_t)caller);
	else if (unlikely(!append(KEY_FREE, (uintptr_t)head - offset, context)))
		chain_push(head, offset + KEY_FREE);
}

void anyrcu_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head))
{
	defer_call(head, (uintptr_t)func, ANY_CONTEXT, __builtin_return_address(0));
}

void anyrcu_raw_call(struct anyrcu_head *head, void (*func)(struct anyrcu_head *head))
{
	defer_call(head, (uintptr_t)func, RAW_CONTEXT, __builtin_return_address(0));
}

void anyrcu_free_head(struct anyrcu_head *head, size_t offset)
{
	defer_free(head, offset, ANY_CONTEXT, __builtin_return_address(0));
}

void anyrcu_raw_free_head(struct anyrcu_head *head, size_t offset)
{
	defer_free(head, offset, RAW_CONTEXT, __builtin_return_address(0));
}

static noinline bool refuse(uint64_t *why)
{
	count_add(&defer_stats.refused, 1);
	if (why)
		count_add(why, 1);
	return false;
}

/* Far beyond what flood control should have held it at. */
static bool too_many(void)
{
	return unlikely(load(&defer_flood)) && defer_pending_closed() > 4 * load(&defer_limits.pending_max);
}

bool anyrcu_call_headless(void (*func)(void *arg), void *arg)
{
	if (too_many())
		return refuse(&defer_stats.refused_bound);
	return append((uintptr_t)func, (uintptr_t)arg, ANY_CONTEXT) || refuse(NULL);
}

bool anyrcu_free_headless(void *ptr)
{
	if (!ptr)
		return true;
	if (too_many())
		return refuse(&defer_stats.refused_bound);
	return append(KEY_FREE, (uintptr_t)ptr, ANY_CONTEXT) || refuse(NULL);
}

/*
 * A task may pay for memory, and for order: in a flood it frees some of what is ready, which takes no lock but malloc's own, and past the
 * bound it waits for a grace period.
 */
static void mightsleep(uintptr_t func, uintptr_t arg, const char *name)
{
	bool done;

	gp_must_not_read(name);
	if (unlikely(load(&defer_flood))) {
		defer_advance();
		count_add(&defer_stats.helped, defer_drain(DEFER_WORDS, DEFER_ONLY_FREE));
		if (too_many())
			anyrcu_synchronize();
	}
	done = append(func, arg, TASK_CONTEXT);
	if (!done && load(&defer_stats.bytes) < load(&defer_limits.bytes_max)) {
		pages_refill();
		done = append(func, arg, TASK_CONTEXT);
	}
	if (done)
		return;
	anyrcu_synchronize();
	/* Counted before the callback, which may end its thread. */
	count_add(&defer_stats.inline_, 1);
	count_add(&defer_stats.invoked, 1);
	if (func == KEY_FREE)
		port_free((void *)arg);
	else
		((void (*)(void *))func)((void *)arg);
}

void anyrcu_call_mightsleep(void (*func)(void *arg), void *arg)
{
	mightsleep((uintptr_t)func, (uintptr_t)arg, "anyrcu_call_mightsleep()");
}

void anyrcu_free_mightsleep(void *ptr)
{
	if (ptr)
		mightsleep(KEY_FREE, (uintptr_t)ptr, "anyrcu_free_mightsleep()");
}
