/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "anyrcu urcu" loads into the programs that it runs: liburcu's deferral, call_rcu() and defer_rcu() with all that belongs to them, in its
 * place and on anyrcu's pages. The programs' read side is compiled into them, so grace periods stay liburcu's: each queue of callbacks
 * (what liburcu names struct call_rcu_data) is a domain whose source is the flavour's own synchronize_rcu().
 *
 * One source for the flavours memb, mb, qsbr and bp. Their names are put together by the macros at the end; what they do is the functions
 * before, which take a struct flavour.
 *
 * Workers. The first use of a flavour by a thread that reads (its registration) starts the worker of the default queue, since a call that comes
 * from a signal handler must not start a thread. A child of fork() has none: the fork handlers that its program calls start it, or else
 * the first call. Nothing else is done when a process starts, as most that inherit the preload know no RCU.
 *
 * It shares nothing with a libanyrcu that the program may have besides: what it needs of it is linked in, and hidden.
 */
#define _GNU_SOURCE
#include <defer/defer.h>
#include <domain/domain.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gp/gp.h>
#include <pages/pages.h>
#include <port/port.h>
#include <port/posix/init.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.h"
#include "urcu.h"

#define EXPORT __attribute__((visibility("default")))

/* The interface, as liburcu's installed headers have it. */
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};
_Static_assert(sizeof(struct rcu_head) == sizeof(struct anyrcu_head), "a head is a head");
#define CALL_RCU_RT 1ul

struct urcu_atfork {
	void (*before_fork)(void *priv);
	void (*after_fork_parent)(void *priv);
	void (*after_fork_child)(void *priv);
	void *priv;
};

struct flavour;

struct call_rcu_data {
	struct flavour *flavour;
	struct anyrcu_domain *domain;
	struct call_rcu_data *next;
	pthread_t thread;
	uint32_t begun; /* the thread is known */
	bool asked;	/* the program knows it, and may join it */
	uint32_t users; /* barriers that wait for it; under the flavour's lock */
	bool ends;	/* what waits in it is on its way to another; under the flavour's lock */
	struct urcu_line *line;
	struct anyrcu_domain_stats base; /* what the parent had counted before the fork */
};

#define DEFER_SLOTS 4096
enum { DEFER_ORDER = 4 };
struct defer_slot {
	void (*func)(void *arg);
	void *arg;
};
_Static_assert(DEFER_SLOTS * sizeof(struct defer_slot) == ANYRCU_PAGE_SIZE << DEFER_ORDER, "slots fill their pages");

/* What a thread has given to defer_rcu(). */
struct defer_queue {
	struct defer_slot *slots;
	uint64_t head;	/* the thread */
	uint64_t until; /* a barrier, under the lock of the flavour's queues */
	uint64_t tail __attribute__((aligned(CACHE_LINE))); /* under the lock */
	pthread_mutex_t lock;
	struct flavour *flavour;
	struct defer_queue *next;
};

enum { NO_REAPER, REAPER_AWAKE, REAPER_ASLEEP };

struct flavour {
	const char *name, *libraries[2];
	bool loaded;
	void (*synchronize)(void);
	void (*register_thread)(void), (*unregister_thread)(void);
	void (*thread_offline)(void), (*thread_online)(void);
	void (*bp_register)(void);
	int (*read_ongoing)(void);

	pthread_mutex_t lock; /* over the queues of callbacks, and across a fork */
	bool forks;	      /* its holder is about to */
	struct call_rcu_data *all, *standard;
	struct call_rcu_data *cpu[PORT_CPUS_MAX];
	bool per_cpu; /* there may be one */
	struct urcu_atfork *atfork;

	pthread_mutex_t defer_lock; /* over the list of what threads defer */
	struct defer_queue *queues;
	uint32_t reaper; /* one of the above */
	struct urcu_line *line;
	uint64_t defer_gps, defer_gp_ns, defer_gp_max, defer_invoked, defer_high;
};

enum { MEMB, MB, QSBR, BP, FLAVOURS };
#define FLAVOUR(n, a, b)                                                                                                   \
	{ .name = n, .libraries = { a, b }, .lock = PTHREAD_MUTEX_INITIALIZER, .defer_lock = PTHREAD_MUTEX_INITIALIZER }
static struct flavour flavours[FLAVOURS] = {
	[MEMB] = FLAVOUR("memb", "liburcu-memb.so.8", "liburcu.so.8"),
	[MB] = FLAVOUR("mb", "liburcu-mb.so.8", NULL),
	[QSBR] = FLAVOUR("qsbr", "liburcu-qsbr.so.8", NULL),
	[BP] = FLAVOUR("bp", "liburcu-bp.so.8", NULL),
};

static PORT_THREAD_LOCAL struct call_rcu_data *of_thread[FLAVOURS];
static PORT_THREAD_LOCAL struct defer_queue *my_queue[FLAVOURS];
static PORT_THREAD_LOCAL bool running; /* what was given to defer_rcu() */

static struct urcu_table *table;

static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };

/* ---- the library underneath ---- */

static void *symbol(struct flavour *f, const char *name)
{
	char full[64];
	void *p;

	snprintf(full, sizeof(full), "urcu_%s_%s", f->name, name);
	p = dlsym(RTLD_NEXT, full);
	/* A plugin may have brought it, for itself alone. */
	for (unsigned i = 0; !p && i < ARRAY_SIZE(f->libraries) && f->libraries[i]; i++) {
		void *lib = dlopen(f->libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		p = lib ? dlsym(lib, full) : NULL;
	}
	return p;
}

static bool find(struct flavour *f)
{
	void *synchronize = symbol(f, "synchronize_rcu");

	if (!synchronize)
		return false;
	f->register_thread = symbol(f, "register_thread");
	f->unregister_thread = symbol(f, "unregister_thread");
	f->thread_offline = symbol(f, "thread_offline");
	f->thread_online = symbol(f, "thread_online");
	f->read_ongoing = symbol(f, "read_ongoing");
	f->bp_register = symbol(f, "register");
	f->synchronize = synchronize;
	store_release(&f->loaded, true);
	return true;
}

static void need(struct flavour *f)
{
	if (unlikely(!load_acquire(&f->loaded)) && !find(f))
		port_bug("liburcu's flavour %s is called, but is in no loaded library", f->name);
}

/* A qsbr thread that waits holds up no grace period. In the other flavours nobody is online. */
static bool offline(struct flavour *f)
{
	bool online = f->thread_offline && f->read_ongoing();

	if (online)
		f->thread_offline();
	return online;
}

static void online(struct flavour *f, bool was)
{
	if (was)
		f->thread_online();
}

/* ---- the report ---- */

static struct urcu_line *new_line(struct flavour *f, enum urcu_kind kind)
{
	uint32_t n = table ? atomic_fetch_add(&table->lines, 1) : URCU_LINES;
	struct urcu_line *l;

	if (n >= URCU_LINES)
		return NULL;
	l = &table->line[n];
	l->process = getpid();
	snprintf(l->program, sizeof(l->program), "%s", program_invocation_short_name);
	snprintf(l->flavour, sizeof(l->flavour), "%s", f->name);
	atomic_store(&l->kind, kind);
	return l;
}

static void publish(struct call_rcu_data *c)
{
	struct anyrcu_domain_stats s = { .size = sizeof(s) };

	if (!table || (!c->line && !(c->line = new_line(c->flavour, URCU_CALL))))
		return;
	anyrcu_domain_stats_get(c->domain, &s);
	c->line->page = s.collected_page - c->base.collected_page;
	c->line->chain = s.collected_chain - c->base.collected_chain;
	c->line->deferred = c->line->page + c->line->chain;
	c->line->invoked = s.invoked - c->base.invoked;
	c->line->left = c->line->deferred > c->line->invoked ? c->line->deferred - c->line->invoked : 0;
	c->line->pending_high = s.pending_high;
	c->line->bytes_high = s.bytes_high;
	c->line->gp_done = s.gp_done - c->base.gp_done;
	c->line->gp_ns_total = s.gp_ns_total - c->base.gp_ns_total;
	c->line->gp_ns_max = s.gp_ns_max;
	c->line->wait_ns_total = s.wait_ns_total - c->base.wait_ns_total;
	c->line->wait_ns_max = s.wait_ns_max;
	c->line->gave_way = s.gave_way - c->base.gave_way;
	c->line->wakes = s.worker_wakes - c->base.worker_wakes;
}

static void publish_defer(struct flavour *f)
{
	if (!table || (!f->line && !(f->line = new_line(f, URCU_DEFER))))
		return;
	f->line->deferred = f->line->page = f->line->invoked = load(&f->defer_invoked);
	f->line->pending_high = load(&f->defer_high);
	f->line->gp_done = load(&f->defer_gps);
	f->line->gp_ns_total = load(&f->defer_gp_ns);
	f->line->gp_ns_max = load(&f->defer_gp_max);
}

/* ---- queues of callbacks ---- */

static void source_synchronize(void *arg)
{
	struct call_rcu_data *c = arg;

	c->flavour->synchronize();
}

static void source_begin(void *arg)
{
	struct call_rcu_data *c = arg;

	c->thread = pthread_self();
	store_release(&c->begun, 1);
	port_wake(&c->begun);
	c->flavour->register_thread();
}

static void source_end(void *arg)
{
	struct call_rcu_data *c = arg;

	publish(c);
	if (c->flavour->unregister_thread)
		c->flavour->unregister_thread();
}

static void source_sleeps(void *arg)
{
	struct call_rcu_data *c = arg;

	publish(c);
	if (c->flavour->thread_offline)
		c->flavour->thread_offline();
}

static void source_wakes(void *arg)
{
	struct call_rcu_data *c = arg;

	if (c->flavour->thread_online)
		c->flavour->thread_online();
}

static bool may_run_on(int cpu)
{
	cpu_set_t set;

	return cpu >= 0 && cpu < CPU_SETSIZE && cpu < PORT_CPUS_MAX && !sched_getaffinity(0, sizeof(set), &set) && CPU_ISSET(cpu, &set);
}

/* Not yet known to anybody, and without a worker. Any context. */
static struct call_rcu_data *make(struct flavour *f, unsigned long flags, int cpu)
{
	struct call_rcu_data *c = port_map(ANYRCU_PAGE_SIZE, ANYRCU_PAGE_SIZE);
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = source_synchronize, .thread_begin = source_begin,
		.thread_end = source_end, .thread_sleeps = source_sleeps, .thread_wakes = source_wakes, .arg = c };
	struct anyrcu_domain_config config = { .size = sizeof(config), .pinned = may_run_on(cpu), .cpu = cpu,
		.poll = flags & CALL_RCU_RT };

	if (!c || domain_make(&c->domain, &source, &config))
		port_bug("no memory for a queue of callbacks");
	c->flavour = f;
	return c;
}

struct starting {
	void (*main)(void *arg);
	void *arg;
};

static void *run_worker(void *p)
{
	struct starting s = *(struct starting *)p;

	free(p);
	pthread_setname_np(pthread_self(), "anyrcu");
	s.main(s.arg);
	return NULL;
}

/* As port_thread_start(), but like liburcu's threads these can be joined. */
static int start_worker(void (*main)(void *), void *arg, int cpu, int rt)
{
	struct starting *s = malloc(sizeof(*s));
	pthread_attr_t attr;
	sigset_t block, former;
	cpu_set_t set;
	pthread_t thread;
	int err;

	if (!s)
		return -ENOMEM;
	*s = (struct starting){ main, arg };
	CPU_ZERO(&set);
	if (cpu >= 0)
		CPU_SET(cpu, &set);
	pthread_attr_init(&attr);
	/* Not where the caller happens to be, having followed an object. */
	if (cpu >= 0 || sched_getaffinity(getpid(), sizeof(set), &set) == 0)
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	sigfillset(&block);
	/* What a fault raises must reach the program's handler. */
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&block, faults[i]);
	pthread_sigmask(SIG_SETMASK, &block, &former);
	err = pthread_create(&thread, &attr, run_worker, s);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		free(s);
	return -err;
}

static void start(struct call_rcu_data *c)
{
	static uint32_t told;
	int err;

	if (domain_runs(c->domain))
		return;
	store(&c->begun, 0);
	err = domain_start(c->domain, start_worker);
	if (err && !xchg(&told, 1))
		port_report("no worker could be started for call_rcu(): error %d; callbacks wait until one can be", (int64_t)-err);
}

/* Any context, but for the start of the worker, which is why readers come by here before they defer. */
static noinline struct call_rcu_data *standard(struct flavour *f)
{
	struct call_rcu_data *c = load_acquire(&f->standard), *all;

	need(f);
	if (!c) {
		struct call_rcu_data *mine = make(f, 0, -1);

		if (cmpxchg(&f->standard, NULL, mine)) {
			do
				mine->next = all = load(&f->all);
			while (!cmpxchg(&f->all, all, mine));
		} else {
			domain_unmake(mine->domain);
			port_unmap(mine, ANYRCU_PAGE_SIZE);
		}
		c = load_acquire(&f->standard);
	}
	start(c);
	return c;
}

static inline struct call_rcu_data *chosen(struct flavour *f)
{
	struct call_rcu_data *c = of_thread[f - flavours];

	if (likely(!c) && load(&f->per_cpu))
		c = load_acquire(&f->cpu[port_cpu()]);
	if (likely(!c))
		c = load_acquire(&f->standard);
	if (unlikely(!c))
		return standard(f);
	if (unlikely(!domain_runs(c->domain)))
		start(c);
	return c;
}

static inline void call(struct flavour *f, struct rcu_head *head, void (*func)(struct rcu_head *), uintptr_t caller)
{
	domain_call(chosen(f)->domain, (struct anyrcu_head *)head, (void (*)(struct anyrcu_head *))(void *)func, caller);
}

static struct call_rcu_data *create(struct flavour *f, unsigned long flags, int cpu)
{
	struct call_rcu_data *c, *all;

	need(f);
	c = make(f, flags, cpu);
	do
		c->next = all = load(&f->all);
	while (!cmpxchg(&f->all, all, c));
	start(c);
	return c;
}

/* Over all queues, none of which is about to end. */
static void lock_all(struct flavour *f)
{
	struct call_rcu_data *c;

	for (;;) {
		pthread_mutex_lock(&f->lock);
		for (c = load_acquire(&f->all); c && !c->ends; c = c->next)
			;
		if (!c)
			return;
		pthread_mutex_unlock(&f->lock);
		port_sleep(100000);
	}
}

static void destroy(struct flavour *f, struct call_rcu_data *c)
{
	struct call_rcu_data **at;
	bool was, ran;

	if (!c || c == load(&f->standard))
		return;
	standard(f);
	was = offline(f);
	pthread_mutex_lock(&f->lock);
	while (c->users) {
		pthread_mutex_unlock(&f->lock);
		port_sleep(100000);
		pthread_mutex_lock(&f->lock);
	}
	c->ends = true; /* and is in the list until the others have what waits in it, so that no barrier misses it */
	pthread_mutex_unlock(&f->lock);
	ran = domain_runs(c->domain);
	anyrcu_domain_destroy(c->domain, f->standard->domain);
	pthread_mutex_lock(&f->lock);
	/* Others only put themselves in front, by cmpxchg. */
	if (!cmpxchg(&f->all, c, c->next)) {
		for (at = &load(&f->all)->next; *at != c; at = &(*at)->next)
			;
		store(at, c->next);
	}
	pthread_mutex_unlock(&f->lock);
	online(f, was);
	if (ran && !c->asked)
		pthread_detach(c->thread);
	if (c->line) { /* what has moved is counted where it is now */
		c->line->page -= c->line->left;
		c->line->deferred -= c->line->left;
		c->line->left = 0;
	}
	port_unmap(c, ANYRCU_PAGE_SIZE);
}

static pthread_t thread_of(struct call_rcu_data *c)
{
	c->asked = true;
	while (!load_acquire(&c->begun))
		port_wait(&c->begun, 0, 1000000);
	return c->thread;
}

static struct call_rcu_data *get_cpu(struct flavour *f, int cpu)
{
	return cpu >= 0 && cpu < PORT_CPUS_MAX ? load_acquire(&f->cpu[cpu]) : NULL;
}

static struct call_rcu_data *get(struct flavour *f)
{
	need(f);
	return chosen(f);
}

static int ncpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n < PORT_CPUS_MAX ? n : PORT_CPUS_MAX;
}

static int set_cpu(struct flavour *f, int cpu, struct call_rcu_data *c)
{
	int err = 0;

	if (cpu < 0 || cpu >= ncpus()) {
		errno = EINVAL;
		return -EINVAL;
	}
	pthread_mutex_lock(&f->lock);
	if (f->cpu[cpu] && c) {
		err = EEXIST;
	} else {
		store_release(&f->cpu[cpu], c);
		store(&f->per_cpu, true);
	}
	pthread_mutex_unlock(&f->lock);
	if (err)
		errno = err;
	return -err;
}

static int create_all_cpu(struct flavour *f, unsigned long flags)
{
	for (int cpu = 0; cpu < ncpus(); cpu++) {
		struct call_rcu_data *c;
		int err;

		if (get_cpu(f, cpu))
			continue;
		c = create(f, flags, cpu);
		err = set_cpu(f, cpu, c);
		if (err) {
			destroy(f, c);
			if (err != -EEXIST)
				return err;
		}
	}
	return 0;
}

static void free_all_cpu(struct flavour *f)
{
	struct call_rcu_data *c[PORT_CPUS_MAX];
	bool any = false;

	pthread_mutex_lock(&f->lock);
	for (int cpu = 0; cpu < PORT_CPUS_MAX; cpu++) {
		c[cpu] = xchg(&f->cpu[cpu], NULL);
		any = any || c[cpu];
	}
	pthread_mutex_unlock(&f->lock);
	if (!any)
		return;
	f->synchronize(); /* who is a reader, and has found one, has deferred to it */
	for (int cpu = 0; cpu < PORT_CPUS_MAX; cpu++)
		destroy(f, c[cpu]);
}

/* ---- barrier ---- */

static void barrier(struct flavour *f)
{
	struct call_rcu_data *first, *c;
	bool was;

	if (!load(&f->all))
		return;
	need(f);
	was = offline(f);
	if (f->read_ongoing && f->read_ongoing()) {
		port_report("rcu_barrier() inside a read-side critical section of flavour %s would wait for itself: it does nothing",
			    f->name);
		online(f, was);
		return;
	}
	lock_all(f);
	first = load_acquire(&f->all); /* what comes in front of it meanwhile has nothing that was deferred before */
	for (c = first; c; c = c->next) {
		if (domain_is_worker(c->domain))
			port_bug("rcu_barrier() inside a callback would wait for itself");
		start(c);
		c->users++;
	}
	pthread_mutex_unlock(&f->lock);
	/* Each is hurried on before any is waited for, and who asks twice is waited for once more at most. */
	for (c = first; c; c = c->next)
		domain_barrier_begin(c->domain);
	for (c = first; c; c = c->next)
		domain_barrier_end(c->domain, domain_barrier_begin(c->domain));
	pthread_mutex_lock(&f->lock);
	for (c = first; c; c = c->next)
		c->users--;
	pthread_mutex_unlock(&f->lock);
	online(f, was);
}

/* ---- fork, as the program says ---- */

static void before_fork(struct flavour *f)
{
	bool was;

	lock_all(f);
	if (f->atfork)
		f->atfork->before_fork(f->atfork->priv);
	f->forks = true;
	was = load(&f->loaded) && offline(f);
	for (struct call_rcu_data *c = f->all; c; c = c->next)
		domain_pause(c->domain, 0);
	online(f, was);
}

static void after_fork_parent(struct flavour *f)
{
	for (struct call_rcu_data *c = f->all; c; c = c->next)
		domain_resume(c->domain);
	if (f->atfork)
		f->atfork->after_fork_parent(f->atfork->priv);
	f->forks = false;
	pthread_mutex_unlock(&f->lock);
}

/* The child keeps the default queue, and in it what waited in all of them. */
static void after_fork_child(struct flavour *f)
{
	struct call_rcu_data *c, *next;

	for (c = f->all; c; c = c->next)
		domain_resume(c->domain);
	if (f->atfork)
		f->atfork->after_fork_child(f->atfork->priv);
	f->forks = false;
	pthread_mutex_unlock(&f->lock);
	if (!f->all)
		return;
	memset(f->cpu, 0, sizeof(f->cpu));
	f->per_cpu = false;
	of_thread[f - flavours] = NULL;
	standard(f);
	for (c = f->all; c; c = next) {
		next = c->next;
		destroy(f, c);
	}
}

static void register_atfork(struct flavour *f, struct urcu_atfork *atfork)
{
	pthread_mutex_lock(&f->lock);
	f->atfork = atfork;
	pthread_mutex_unlock(&f->lock);
}

/* ---- defer_rcu() ---- */

/*
 * Each thread has an array of what it deferred, and empties it itself when it is full, after a grace period: what was allocated by a thread is
 * freed by it. The reaper looks after what has waited for 100 ms. A queue's tail moves before the function is called, under the lock.
 */
#define REAP 100000000

static void defer_synchronize(struct flavour *f)
{
	uint64_t ns = port_now();

	f->synchronize();
	ns = port_now() - ns;
	count_add(&f->defer_gps, 1);
	count_add(&f->defer_gp_ns, ns);
	count_max(&f->defer_gp_max, ns);
}

/* Under the queue's lock, after a grace period that began after @until was the head. */
static void run(struct defer_queue *q, uint64_t until)
{
	uint64_t tail = q->tail, n = 0;

	if ((int64_t)(until - tail) <= 0)
		return;
	count_max(&q->flavour->defer_high, until - tail);
	running = true;
	while ((int64_t)(until - tail) > 0) {
		struct defer_slot s = q->slots[tail % DEFER_SLOTS];

		if (until - tail > 16)
			__builtin_prefetch(q->slots[(tail + 16) % DEFER_SLOTS].arg, 1);
		store_release(&q->tail, ++tail);
		n++;
		s.func(s.arg);
	}
	running = false;
	count_add(&q->flavour->defer_invoked, n);
}

static void flush(struct defer_queue *q)
{
	uint64_t head = load_acquire(&q->head);

	if (head == load(&q->tail))
		return;
	pthread_mutex_lock(&q->lock);
	defer_synchronize(q->flavour);
	run(q, head);
	pthread_mutex_unlock(&q->lock);
	if (table)
		publish_defer(q->flavour);
}

static void flush_all(struct flavour *f)
{
	bool any = false, was = offline(f);

	pthread_mutex_lock(&f->defer_lock);
	for (struct defer_queue *q = f->queues; q; q = q->next) {
		q->until = load_acquire(&q->head);
		any = any || q->until != load(&q->tail);
	}
	if (any) {
		defer_synchronize(f);
		for (struct defer_queue *q = f->queues; q; q = q->next) {
			pthread_mutex_lock(&q->lock);
			run(q, q->until);
			pthread_mutex_unlock(&q->lock);
		}
	}
	pthread_mutex_unlock(&f->defer_lock);
	online(f, was);
	if (table)
		publish_defer(f);
}

static bool defer_waits(struct flavour *f)
{
	bool waits = false;

	pthread_mutex_lock(&f->defer_lock);
	for (struct defer_queue *q = f->queues; q && !waits; q = q->next)
		waits = load_acquire(&q->head) != load(&q->tail);
	pthread_mutex_unlock(&f->defer_lock);
	return waits;
}

static void reap(void *arg)
{
	struct flavour *f = arg;

	for (;;) {
		store(&f->reaper, REAPER_ASLEEP);
		full_fence(); /* pairs with that in defer(): we see what it has stored, or it sees us asleep */
		if (port_fence_all_works)
			port_fence_all(); /* which then has none */
		if (!defer_waits(f))
			port_wait(&f->reaper, REAPER_ASLEEP, 0);
		store(&f->reaper, REAPER_AWAKE);
		port_sleep(REAP);
		flush_all(f);
	}
}

static noinline void reaper_wake(struct flavour *f)
{
	int err;

	if (cmpxchg(&f->reaper, REAPER_ASLEEP, REAPER_AWAKE)) {
		port_wake(&f->reaper);
	} else if (cmpxchg(&f->reaper, NO_REAPER, REAPER_AWAKE)) {
		err = port_thread_start(reap, f, -1, 0);
		if (err) {
			store(&f->reaper, NO_REAPER);
			port_report("no thread could be started for defer_rcu(): error %d", (int64_t)-err);
		}
	}
}

static pthread_key_t queue_key;

/* Of a thread that ends without unregistering, too. */
static void queue_end(void *arg)
{
	struct defer_queue *q = arg, **at;
	struct flavour *f = q->flavour;
	bool was;

	flush(q);
	was = offline(f); /* the holder may be waiting for a grace period */
	pthread_mutex_lock(&f->defer_lock);
	for (at = &f->queues; *at != q; at = &(*at)->next)
		;
	*at = q->next;
	pthread_mutex_unlock(&f->defer_lock);
	online(f, was);
	my_queue[f - flavours] = NULL;
	pthread_mutex_destroy(&q->lock);
	anyrcu_page_free(q->slots, DEFER_ORDER);
	free(q);
}

/* A thread may have one for each flavour; the key has room for one, and all of them go with it. */
static void queues_end(void *arg)
{
	for (unsigned i = 0; i < FLAVOURS; i++)
		if (my_queue[i])
			queue_end(my_queue[i]);
}

static noinline struct defer_queue *queue_begin(struct flavour *f)
{
	struct defer_queue *q;
	bool was;

	need(f);
	if (posix_memalign((void **)&q, CACHE_LINE, sizeof(*q)))
		port_bug("no memory for defer_rcu()");
	memset(q, 0, sizeof(*q));
	q->slots = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, DEFER_ORDER);
	if (!q->slots)
		port_bug("no memory for defer_rcu()");
	pthread_mutex_init(&q->lock, NULL);
	q->flavour = f;
	was = offline(f);
	pthread_mutex_lock(&f->defer_lock);
	q->next = f->queues;
	f->queues = q;
	pthread_mutex_unlock(&f->defer_lock);
	online(f, was);
	my_queue[f - flavours] = q;
	pthread_setspecific(queue_key, q);
	return q;
}

static inline void defer(struct flavour *f, void (*func)(void *arg), void *arg)
{
	struct defer_queue *q = my_queue[f - flavours];
	uint64_t head;

	if (unlikely(!q) && !running)
		q = queue_begin(f);
	if (unlikely(!q)) { /* in the reaper, which has none, and has the list */
		defer_synchronize(f);
		func(arg);
		return;
	}
	head = q->head;
	if (unlikely(head - load_acquire(&q->tail) >= DEFER_SLOTS)) {
		if (running) { /* one of them defers more than it made room for */
			defer_synchronize(f);
			func(arg);
			return;
		}
		flush(q);
	}
	q->slots[head % DEFER_SLOTS] = (struct defer_slot){ func, arg };
	store_release(&q->head, head + 1);
	if (unlikely(!port_fence_all_works))
		full_fence(); /* pairs with that in reap() */
	compiler_barrier();
	if (unlikely(load(&f->reaper) != REAPER_AWAKE))
		reaper_wake(f);
}

/* The thread need not have announced itself. */
static int defer_register(struct flavour *f)
{
	if (!my_queue[f - flavours])
		queue_begin(f);
	return 0;
}

static void defer_unregister(struct flavour *f)
{
	if (my_queue[f - flavours])
		queue_end(my_queue[f - flavours]);
}

static void defer_barrier_thread(struct flavour *f)
{
	if (my_queue[f - flavours])
		flush(my_queue[f - flavours]);
}

/* ---- the names ---- */

#define CALLER ((uintptr_t)__builtin_return_address(0))
#define NAMES(n, F)                                                                                                    \
	EXPORT void urcu_##n##_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *))                        \
	{                                                                                                              \
		call(F, head, func, CALLER);                                                                           \
	}                                                                                                              \
	EXPORT struct call_rcu_data *urcu_##n##_create_call_rcu_data(unsigned long flags, int cpu)                     \
	{                                                                                                              \
		return create(F, flags, cpu);                                                                          \
	}                                                                                                              \
	EXPORT void urcu_##n##_call_rcu_data_free(struct call_rcu_data *c)                                             \
	{                                                                                                              \
		destroy(F, c);                                                                                         \
	}                                                                                                              \
	EXPORT struct call_rcu_data *urcu_##n##_get_default_call_rcu_data(void)                                        \
	{                                                                                                              \
		return standard(F);                                                                                    \
	}                                                                                                              \
	EXPORT struct call_rcu_data *urcu_##n##_get_cpu_call_rcu_data(int cpu)                                         \
	{                                                                                                              \
		return get_cpu(F, cpu);                                                                                \
	}                                                                                                              \
	EXPORT struct call_rcu_data *urcu_##n##_get_thread_call_rcu_data(void)                                         \
	{                                                                                                              \
		return of_thread[F - flavours];                                                                        \
	}                                                                                                              \
	EXPORT struct call_rcu_data *urcu_##n##_get_call_rcu_data(void)                                                \
	{                                                                                                              \
		return get(F);                                                                                         \
	}                                                                                                              \
	EXPORT pthread_t urcu_##n##_get_call_rcu_thread(struct call_rcu_data *c)                                       \
	{                                                                                                              \
		return thread_of(c);                                                                                   \
	}                                                                                                              \
	EXPORT void urcu_##n##_set_thread_call_rcu_data(struct call_rcu_data *c)                                       \
	{                                                                                                              \
		of_thread[F - flavours] = c;                                                                           \
	}                                                                                                              \
	EXPORT int urcu_##n##_set_cpu_call_rcu_data(int cpu, struct call_rcu_data *c)                                  \
	{                                                                                                              \
		return set_cpu(F, cpu, c);                                                                             \
	}                                                                                                              \
	EXPORT int urcu_##n##_create_all_cpu_call_rcu_data(unsigned long flags)                                        \
	{                                                                                                              \
		return create_all_cpu(F, flags);                                                                       \
	}                                                                                                              \
	EXPORT void urcu_##n##_free_all_cpu_call_rcu_data(void)                                                        \
	{                                                                                                              \
		free_all_cpu(F);                                                                                       \
	}                                                                                                              \
	EXPORT void urcu_##n##_barrier(void)                                                                           \
	{                                                                                                              \
		barrier(F);                                                                                            \
	}                                                                                                              \
	EXPORT void urcu_##n##_call_rcu_before_fork(void)                                                              \
	{                                                                                                              \
		before_fork(F);                                                                                        \
	}                                                                                                              \
	EXPORT void urcu_##n##_call_rcu_after_fork_parent(void)                                                        \
	{                                                                                                              \
		after_fork_parent(F);                                                                                  \
	}                                                                                                              \
	EXPORT void urcu_##n##_call_rcu_after_fork_child(void)                                                         \
	{                                                                                                              \
		after_fork_child(F);                                                                                   \
	}                                                                                                              \
	EXPORT void urcu_##n##_register_rculfhash_atfork(struct urcu_atfork *atfork)                                   \
	{                                                                                                              \
		register_atfork(F, atfork);                                                                            \
	}                                                                                                              \
	EXPORT void urcu_##n##_unregister_rculfhash_atfork(struct urcu_atfork *atfork)                                 \
	{                                                                                                              \
		register_atfork(F, NULL);                                                                              \
	}                                                                                                              \
	EXPORT void urcu_##n##_defer_rcu(void (*func)(void *arg), void *arg)                                           \
	{                                                                                                              \
		defer(F, func, arg);                                                                                   \
	}                                                                                                              \
	EXPORT int urcu_##n##_defer_register_thread(void)                                                              \
	{                                                                                                              \
		return defer_register(F);                                                                              \
	}                                                                                                              \
	EXPORT void urcu_##n##_defer_unregister_thread(void)                                                           \
	{                                                                                                              \
		defer_unregister(F);                                                                                   \
	}                                                                                                              \
	EXPORT void urcu_##n##_defer_barrier(void)                                                                     \
	{                                                                                                              \
		flush_all(F);                                                                                          \
	}                                                                                                              \
	EXPORT void urcu_##n##_defer_barrier_thread(void)                                                              \
	{                                                                                                              \
		defer_barrier_thread(F);                                                                               \
	}                                                                                                              \
	EXPORT void urcu_##n##_defer_exit(void)                                                                        \
	{                                                                                                              \
	}                                                                                                              \
	EXPORT void urcu_##n##_register_thread(void)                                                                   \
	{                                                                                                              \
		need(F);                                                                                               \
		(F)->register_thread();                                                                                \
		standard(F);                                                                                           \
	}

NAMES(memb, &flavours[MEMB])
NAMES(mb, &flavours[MB])
NAMES(qsbr, &flavours[QSBR])
NAMES(bp, &flavours[BP])

/* What a thread of this flavour calls when it reads for the first time. */
EXPORT void urcu_bp_register(void)
{
	need(&flavours[BP]);
	flavours[BP].bp_register();
	standard(&flavours[BP]);
}

/* ---- the process ---- */

static void fork_prepare(void)
{
	domain_fork_prepare();
	gp_fork_prepare();
	pages_fork_prepare();
}

static void fork_parent(void)
{
	pages_fork_done();
	domain_fork_parent();
}

/* Of the threads that there are not any more, none holds what it has held, and what they had deferred is kept. */
static void fork_child(void)
{
	port_follow_end();
	port_process();
	pages_fork_done();
	gp_fork_child();
	domain_fork_child(false);
	for (struct flavour *f = flavours; f < flavours + FLAVOURS; f++) {
		if (!f->forks)
			pthread_mutex_init(&f->lock, NULL);
		pthread_mutex_init(&f->defer_lock, NULL);
		for (struct defer_queue *q = f->queues; q; q = q->next)
			pthread_mutex_init(&q->lock, NULL);
		f->reaper = NO_REAPER;
		f->line = NULL;
		f->defer_gps = f->defer_gp_ns = f->defer_gp_max = f->defer_invoked = f->defer_high = 0;
		for (struct call_rcu_data *c = f->all; c; c = c->next) {
			c->users = 0;
			c->line = NULL;
			c->base.size = sizeof(c->base);
			anyrcu_domain_stats_get(c->domain, &c->base);
		}
	}
}

__attribute__((constructor)) static void process_begins(void)
{
	const char *debug = getenv("ANYRCU_DEBUG"), *membarrier = getenv("ANYRCU_MEMBARRIER"), *path = getenv(URCU_ENV);
	int saved = errno;

	port_init(!membarrier || strcmp(membarrier, "0"), false);
	port_process();
	port_thread_exit_hook = gp_thread_exit;
	gp_init();
	if (debug && !strcmp(debug, "1")) {
		port_stack_prime();
		store(&defer_debug, true);
	}
	if (path)
		table = shared_map(path, sizeof(*table), URCU_MAGIC, 0);
	for (struct flavour *f = flavours; f < flavours + FLAVOURS; f++)
		find(f);
	dlerror(); /* it is not the program's */
	pthread_key_create(&queue_key, queues_end);
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	errno = saved;
}

/* What is in pages that no worker has taken up yet, and will not. */
__attribute__((destructor)) static void process_ends(void)
{
	for (struct flavour *f = flavours; table && f < flavours + FLAVOURS; f++) {
		for (struct call_rcu_data *c = load_acquire(&f->all); c; c = c->next) {
			uint64_t open;

			if (c->ends)
				continue;
			open = domain_open(c->domain);
			publish(c);
			if (c->line) {
				c->line->left += open;
				c->line->page += open;
				c->line->deferred += open;
			}
		}
		if (f->queues || load(&f->defer_invoked))
			publish_defer(f);
	}
}
