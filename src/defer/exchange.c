/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Deferred free by tasks, one for one.
 *
 * Objects that are freed in bulk overflow the per-thread cache of every allocator; objects that are
 * freed one by one, as others are allocated, stay in it ("Are your epochs too epic?", PPoPP 2024).
 * So a task that defers a free also calls free() on one object whose grace period is over. Each CPU
 * has two pages of pointers and one count:
 *
 *              0        count            CAP
 *     in       [ deferred |   empty      ]
 *     out      [  freed   |  to be freed ]
 *
 * An exchange stores to "in" and takes from "out" at the same index, by a restartable sequence
 * whose only commit is the store of the count (port/exchange.h). When the count has reached CAP,
 * "in" is sealed: it gets the cookie of a grace period, and waits in the CPU's list, the oldest
 * first. If the grace period of the first page in the list is over, that page becomes "out";
 * otherwise there is no "out" for one round, and exchanges only store. The former "out" is the next
 * "in".
 *
 * exchange_lock protects all but the count, which sequences write on their own CPU while count <
 * cap. A thread that changes "in", "out", count or cap holds the lock, and has made sure that no
 * sequence commits there any more. Either it has seen count >= cap (the sequence that brought the
 * count to CAP was the last; one that was stopped starts over), or it has stored cap = 0 and called
 * port_rseq_fence(). The store of cap comes last, and is a release.
 *
 * Why an object is not freed early: it was unlinked before the count was committed; after that, the
 * count was seen to be CAP (acquire), or the fence passed; and after that, the cookie was taken
 * (its full fence).
 *
 * If tasks stop exchanging, and for anyrcu_barrier(), pages are gathered: from then on each object
 * is either in a gathered page or deferred in the ordinary way, by "defer_ordinarily". Both happen
 * under the lock, which fork() takes. An object that another thread has taken and not yet freed
 * when the process forks is never freed in the child, like everything else that such a thread had
 * taken.
 *
 * Nothing is exchanged before a page of the store has been full, nor without a worker. Then, and
 * where there are no sequences, and while SEALED_MAX pages wait for readers, calls are refused, and
 * the caller defers in the ordinary way, which has flood control.
 *
 * A CPU without pages refuses the sequence, so the next call there takes the slow path. If no CPU
 * had pages before, that call wakes the worker, which checks from time to time until no CPU has
 * pages.
 */
#include <anyrcu/page.h>
#include <base/test_point.h>
#include <defer/defer.h>
#include <defer/exchange.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include <port/process.h>

#define CAP 500u
#define SEALED_DRIVE 2 /* from so many waiting pages on, the task drives a grace period */
#define SEALED_KEEP 4 /* matured pages beyond these are not left for tasks */
#define SEALED_MAX 64
#define TRIES 8

struct exchange_page {
	struct exchange_page *next;
	anyrcu_gp_t cookie;
	uint32_t first, end; /* of a gathered page: the words that are objects */
	uintptr_t word[504] __attribute__((aligned(PORT_RSEQ_WORDS)));
};
_Static_assert(sizeof(struct exchange_page) == 4096, "a page of pointers is a page");
_Static_assert(offsetof(struct exchange_page, word) == PORT_RSEQ_WORDS, "as sequences have it");
_Static_assert(CAP + PORT_EXCHANGE_AHEAD <= 504, "sequences read ahead");

struct exchange_cpu *exchange_cpus;
struct port_lock exchange_lock;
static bool (*defer_ordinarily)(void *p); /* constant once there are exchange_cpus */
static struct exchange_page *gathered; /* under the lock; read as a hint */
static uint32_t active; /* CPUs with pages; the same */
static uint32_t sealed; /* pages of all CPUs; the same */
static uint32_t ncpus; /* CPUs below this have had pages; the same */
static uint64_t freed; /* by exchange, without those of the present pages; under the lock */
static uint64_t gathered_objects; /* under the lock */

void exchange_begin(bool (*ordinary)(void *p))
{
	const size_t bytes = PORT_CPUS_MAX * sizeof(*exchange_cpus);
	struct exchange_cpu *cpus;

	if (load(&exchange_cpus) || !load_acquire(&port_rseq_cpus))
		return;
	cpus = port_map(bytes, 4096);
	if (!cpus)
		return;
	store(&defer_ordinarily, ordinary); /* always the same */
	if (!cmpxchg(&exchange_cpus, NULL, cpus))
		port_unmap(cpus, bytes);
}

static struct exchange_page *page_of(char *p)
{
	return (struct exchange_page *)(void *)p;
}

/* Pages count towards page_bytes_max of struct anyrcu_config, like those of the store. */
static struct exchange_page *page_get(void)
{
	uint64_t bytes = fetch_add(&defer_store.bytes, sizeof(struct exchange_page));
	struct exchange_page *p =
		bytes < load(&defer_store.bytes_max) ? page_alloc(ANYRCU_GFP_NOWAIT, 0) : NULL;

	if (!p)
		count_add(&defer_store.bytes, -(uint64_t)sizeof(*p));
	return p;
}

static void page_put(struct exchange_page *p)
{
	if (p)
		count_add(&defer_store.bytes, -(uint64_t)sizeof(*p));
	page_free(p, 0);
}

/* Remove and return the first sealed page if its grace period is over. Under the lock. */
static struct exchange_page *exchange_matured(struct exchange_cpu *c)
{
	struct exchange_page *p = c->first;

	if (!p || !anyrcu_gp_done(p->cookie))
		return NULL;
	c->first = p->next;
	store(&c->sealed, c->sealed - 1);
	store(&sealed, sealed - 1);
	return p;
}

static void exchange_seal(struct exchange_cpu *c, struct exchange_page *p)
{
	p->cookie = gp_cookie_quiet();
	p->next = NULL;
	*(c->first ? &c->last->next : &c->first) = p;
	c->last = p;
	store(&c->sealed, c->sealed + 1);
	store(&sealed, sealed + 1);
}

/*
 * Replace the used-up pages of @c. The former "out" becomes "in", or @spare if there was no "out".
 * Returns @spare, if unused, for the caller to free. Under the lock.
 */
static struct exchange_page *exchange_advance(struct exchange_cpu *c, struct exchange_page *spare)
{
	struct port_exchange *now = &c->now;
	struct exchange_page *in = page_of(now->out);

	if (load_acquire(&now->count) < now->cap)
		return spare; /* another thread was here before */
	if (now->in) {
		exchange_seal(c, page_of(now->in));
	} else {
		store(&active, active + 1);
		if (c >= exchange_cpus + ncpus)
			store(&ncpus, c - exchange_cpus + 1);
	}
	if (in) {
		store(&freed, freed + CAP);
	} else {
		in = spare;
		spare = NULL;
	}
	store(&now->in, (char *)in);
	store(&now->out, (char *)exchange_matured(c));
	store_release(&now->count, 0); /* cap may be CAP already */
	store_release(&now->cap, CAP);
	return spare;
}

/* May the CPU use another page? */
static bool has_room(const struct exchange_cpu *c)
{
	return load(&c->sealed) < SEALED_MAX &&
	       (uint64_t)load(&sealed) * CAP < load(&defer_limits.pending_max) / 4;
}

static bool make_room(struct exchange_cpu *c, bool *first)
{
	struct exchange_page *spare = load(&c->now.out) ? NULL : page_get();
	bool done, drive;

	port_lock(&exchange_lock);
	done = spare || c->now.out;
	if (done) {
		*first |= !active;
		spare = exchange_advance(c, spare);
	}
	drive = c->sealed >= SEALED_DRIVE && !anyrcu_gp_done(c->first->cookie);
	port_unlock(&exchange_lock);
	page_put(spare);
	if (drive) {
		gp_cookie();
		gp_step();
		gp_step();
	}
	return done;
}

bool exchange_slow(void *p, bool *first)
{
	*first = false;
	if (!load_acquire(&exchange_cpus))
		return false;
	for (int i = 0; i < TRIES; i++) {
		int cpu = port_rseq_cpu();
		struct exchange_cpu *c;
		uintptr_t taken;

		if (cpu < 0)
			return false;
		c = &exchange_cpus[cpu];
		test_point(CHOOSE);
		if (load(&c->now.count) >= load(&c->now.cap) &&
		    (!has_room(c) || !make_room(c, first)))
			return false;
		taken = port_exchange(&exchange_cpus[0].now, (uintptr_t)p);
		if (taken == PORT_EXCHANGE_REFUSED)
			continue;
		port_free((void *)taken);
		return true;
	}
	return false;
}

/* ---- taking everything back ---- */

/* The words from @first to @end are objects. Under the lock. */
static void exchange_gather(struct exchange_page *p, uint32_t first, uint32_t end)
{
	if (first == end) {
		page_put(p);
		return;
	}
	p->first = first;
	p->end = end;
	p->next = gathered;
	store(&gathered_objects, gathered_objects + end - first);
	store(&gathered, p);
}

/* Under the lock, with cap = 0 and after the fence. */
static void gather_cpu(struct exchange_cpu *c)
{
	struct port_exchange *now = &c->now;
	struct exchange_page *p, *next;

	if (!now->in)
		return;
	for (p = c->first; p; p = next) {
		next = p->next;
		exchange_gather(p, 0, CAP);
	}
	c->first = NULL;
	store(&sealed, sealed - c->sealed);
	store(&c->sealed, 0);
	if (now->out)
		store(&freed, freed + now->count);
	if (now->out)
		exchange_gather(page_of(now->out), now->count, CAP);
	page_of(now->in)->cookie = gp_cookie_quiet();
	exchange_gather(page_of(now->in), 0, now->count);
	store(&now->in, NULL);
	store(&now->out, NULL);
	store(&now->count, 0);
	store(&active, active - 1);
}

static void gather_all(void)
{
	for (uint32_t i = 0; i < load(&ncpus); i++)
		store(&exchange_cpus[i].now.cap, 0);
	port_rseq_fence();
	test_point(GATHER);
	for (uint32_t i = 0; i < load(&ncpus); i++)
		gather_cpu(&exchange_cpus[i]);
}

/* Defer the gathered objects. False: that failed for one. Under the lock. */
static bool defer_gathered(void)
{
	struct exchange_page *p;

	while ((p = gathered)) {
		for (; p->first < p->end; p->first++) {
			if (!defer_ordinarily((void *)p->word[p->first]))
				return false;
			store(&gathered_objects, gathered_objects - 1);
		}
		store(&gathered, p->next);
		page_put(p);
	}
	return true;
}

bool exchange_used(void)
{
	return load(&active) || load(&gathered);
}

bool exchange_collect(void)
{
	bool done;

	port_lock(&exchange_lock);
	gather_all();
	done = defer_gathered();
	port_unlock(&exchange_lock);
	return done;
}

/* Take one gathered object whose grace period is over. NULL: there is none. */
static void *pop_gathered(void)
{
	struct exchange_page **at = &gathered, *p, *empty = NULL;
	void *taken = NULL;

	port_lock(&exchange_lock);
	while ((p = *at) && !anyrcu_gp_done(p->cookie))
		at = &p->next;
	if (p) {
		taken = (void *)p->word[p->first++];
		store(&gathered_objects, gathered_objects - 1);
		store(&freed, freed + 1);
		if (p->first == p->end) {
			store(at, p->next);
			empty = p;
		}
	}
	port_unlock(&exchange_lock);
	page_put(empty);
	return taken;
}

/* One at a time, so that the child of a fork loses at most one object. */
static void free_matured(void)
{
	void *p;

	while ((p = pop_gathered()))
		port_free(p);
}

void exchange_free_matured(void)
{
	gp_cookie(); /* the cookies of pages are quiet: this one wants a grace period for them */
	free_matured();
}

void exchange_free_rest(void)
{
	anyrcu_synchronize(); /* for all objects that the caller has gathered */
	free_matured();
}

void exchange_look(void)
{
	bool idle = false, done;

	port_lock(&exchange_lock);
	for (uint32_t i = 0; i < load(&ncpus); i++) {
		struct exchange_cpu *c = &exchange_cpus[i];
		struct exchange_page *p;
		uint64_t now;

		if (!c->now.in)
			continue;
		now = (uintptr_t)c->now.in + load(&c->now.count);
		idle = idle || now == c->seen;
		c->seen = now;
		while (c->sealed > SEALED_KEEP && (p = exchange_matured(c)))
			exchange_gather(p, 0, CAP);
	}
	if (idle)
		gather_all();
	done = defer_gathered();
	port_unlock(&exchange_lock);
	if (!done)
		exchange_free_matured();
}

/* ---- statistics ---- */

uint64_t exchange_pending(void)
{
	uint64_t n = load(&gathered_objects);

	for (uint32_t i = 0; i < load(&ncpus); i++) {
		const struct exchange_cpu *c = &exchange_cpus[i];

		n += (uint64_t)load(&c->sealed) * CAP;
		n += load(&c->now.out) ? CAP : load(&c->now.count);
	}
	return n;
}

uint64_t exchange_freed(void)
{
	uint64_t n = load(&freed);

	for (uint32_t i = 0; i < load(&ncpus); i++)
		n += load(&exchange_cpus[i].now.out) ? load(&exchange_cpus[i].now.count) : 0;
	return n;
}
