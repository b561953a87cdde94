/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Handlers of signals, hard or threaded.
 *
 * An installed action is a block of pages: the program's functions, a queue, and records for the
 * queue. Only the queue changes once the action is published. The handler is in a read-side
 * critical section from before it reads the pointer to the action until it is done. So a grace
 * period after an action was replaced, no hard part of it is running and no signal will be queued
 * to it any more; its thread then handles the queued signals and ends, and the block is freed.
 *
 * The queue is a stack that handlers push to by cmpxchg; the thread takes it whole by xchg, and
 * reverses it: no ABA. A record is claimed by cmpxchg on its own word, so a handler never holds
 * anything that another handler would have to wait for, and may be interrupted anywhere by the same
 * signal or others. The thread sleeps on the bell, which it has read before it checked the queue; a
 * handler rings after it has pushed.
 *
 * A standard signal is merged with one of its kind that is queued already: the handler that queues
 * sets "waiting", and the thread clears it before it calls the program. So whatever happened before
 * a signal that was dropped happens before a later call.
 *
 * The signals that the thread has taken are recorded in the action: if the program ends the thread
 * in the middle, another one continues there.
 *
 * A handler that the kernel had chosen before its action was removed finds no action. The kernel
 * has the former handler again by then, so our handler sends the signal once more to its thread.
 *
 * fork(): the child has the actions, and starts the threads of all that are in the list "threaded".
 * An action is in it from before its first thread is started until it is freed, so it does not
 * matter what a handler that forks has interrupted. A thread claims the action before it counts as
 * arrived; one that finds it claimed ends. So two threads may be started for one action.
 * The child must not handle what was sent to its parent: a record has the number of the process in
 * which it was queued, port_forks, and so has "waiting"; the thread drops records of a former one.
 * So the child changes no queue, which its own thread may be in the middle of taking. Read-side
 * sections of handlers in other threads do not exist there, like those of the threads themselves.
 */
#include <anyrcu/context.h>
#include <anyrcu/rcu.h>
#include <base/test_point.h>
#include <context/context.h>
#include <lockdep/lockdep.h>
#include <pages/pages.h>
#include <port/process.h>

#define STANDARD 32 /* signals below it are not queued by the kernel */
#define EINVAL 22
#define EAGAIN 11

struct record {
	struct record *next;
	uint32_t used; /* claimed; 0 in no record that was mapped */
	uint32_t forks; /* port_forks where it was queued */
	bool mapped;
	char info[PORT_SIGINFO] __attribute__((aligned(16)));
};

#define ORDER 2
#define RECORDS 64

struct action {
	int sig;
	void (*hard)(int, siginfo_t *, void *); /* in the handler */
	void (*hard_late)(int, siginfo_t *, void *); /* in the thread */
	void (*thread)(int, const siginfo_t *);
	uint64_t blocked; /* while the handler runs, in addition to the present mask */
	bool yields; /* under rt the hard part is called in the thread */

	struct record *queue;
	struct record *taken; /* the thread's */
	uint32_t waiting; /* port_forks + 1 where it was set */
	uint32_t bell;
	uint32_t retired; /* to end once the queue is empty */
	uint32_t ended; /* there is no thread any more */
	/* the port_id() of the thread; 0: none yet, the first thread that runs takes it */
	uint64_t worker;
	uint32_t tid; /* its number for the kernel */
	/* Under the lock: the port_id() of the task that installs or removes it; 0: in place */
	uint64_t setter;
	struct action *next; /* of "threaded" */
	struct record record[RECORDS];
};
_Static_assert(sizeof(struct action) <= ANYRCU_PAGE_SIZE << ORDER, "an action fits its pages");

static struct action *actions[PORT_NSIG];
/*
 * All actions that have a thread, or are to have one. Under the lock; each change is one store, so
 * the list is consistent at every instruction.
 */
static struct action *threaded;
struct port_lock context_lock; /* while an action is put in place */

/* The action whose thread the calling thread is. */
static PORT_THREAD_LOCAL struct action *mine;

/* ---- in the handler ---- */

static struct record *record_get(struct action *a)
{
	struct record *r;

	for (unsigned i = 0; i < RECORDS; i++)
		if (!load(&a->record[i].used) && cmpxchg(&a->record[i].used, 0, 1))
			return &a->record[i];
	r = port_map(ANYRCU_PAGE_SIZE, ANYRCU_PAGE_SIZE);
	if (r)
		r->mapped = true;
	return r;
}

static void record_put(struct record *r)
{
	if (r->mapped)
		port_unmap(r, ANYRCU_PAGE_SIZE);
	else
		store_release(&r->used, 0);
}

static void ring(struct action *a)
{
	fetch_add(&a->bell, 1);
	port_wake(&a->bell);
}

static void queue(struct action *a, const void *info)
{
	uint32_t here = load(&port_forks) + 1;
	struct record *r;

	port_release(&a->waiting);
	if (a->sig < STANDARD && xchg(&a->waiting, here) == here)
		return;
	r = record_get(a);
	if (!r) {
		store(&a->waiting, 0);
		port_report(
			"signal %u is lost: its thread has fallen behind, and there is no memory",
			(uint64_t)a->sig);
		return;
	}
	memcpy(r->info, info, sizeof(r->info));
	r->forks = here - 1;
	r->next = load(&a->queue);
	while (!__atomic_compare_exchange_n(&a->queue, &r->next, r, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
	ring(a);
}

static void call(struct action *a, void *info, void *context, uint64_t before)
{
	const struct lockdep_ops *ops = load_acquire(&lockdep_ops);

	if (unlikely(ops))
		ops->signal_enter(a->sig, before | a->blocked | UINT64_C(1) << (a->sig - 1),
				  a->yields);
	if (a->hard)
		a->hard(a->sig, info, context);
	if (a->hard_late || a->thread)
		queue(a, info);
	if (unlikely(ops))
		ops->signal_exit(before);
}

/*
 * The action was removed after the kernel had chosen our handler. Whoever has removed it, or
 * installs another one, changes the handler first, so the signal does not come back to here; unless
 * the program has saved our handler, and put it back after the removal.
 */
static noinline void pass_on(int sig, const void *info)
{
	if ((port_signal_taken(sig) && !load_acquire(&actions[sig])) ||
	    !port_signal_again(sig, info))
		port_report("signal %u is lost: its action was removed", (uint64_t)sig);
}

static void on_signal(int sig, void *info, void *context, uint64_t before)
{
	struct action *a;

	context_signals++;
	compiler_barrier();
	test_point(SIGNAL);
	anyrcu_read_lock();
	a = load_acquire(&actions[sig]);
	if (likely(a))
		call(a, info, context, before);
	anyrcu_read_unlock();
	compiler_barrier();
	context_signals--;
	if (unlikely(!a))
		pass_on(sig, info);
}

/* ---- in the thread ---- */

static void collect(struct action *a)
{
	struct record *r = xchg(&a->queue, NULL);

	while (r) {
		struct record *next = r->next;

		r->next = a->taken;
		/* its thread in the child of a fork starts from any of these stores */
		store_release(&a->taken, r);
		test_point(COLLECT);
		r = next;
	}
}

static void handle(struct action *a)
{
	struct record *r = a->taken;
	uint32_t forks = r->forks;
	siginfo_t info;

	memcpy(&info, r->info, sizeof(info));
	store(&a->taken, r->next);
	record_put(r);
	if (forks != load(&port_forks))
		return;
	/*
	 * acquire: what senders of dropped signals did; release: senders see "waiting" cleared
	 * before the call begins
	 */
	xchg(&a->waiting, 0);
	port_acquire(&a->waiting);
	if (a->hard_late) {
		lockdep(signal_enter, 0, UINT64_MAX, true);
		a->hard_late(a->sig, &info, NULL);
		lockdep(signal_exit, UINT64_MAX);
	}
	if (a->thread)
		a->thread(a->sig, &info);
}

static bool has_thread(const struct action *a)
{
	return a->hard_late || a->thread;
}

static void action_free(struct action *a)
{
	struct action **at = &threaded;

	if (has_thread(a)) {
		port_lock(&context_lock);
		while (*at != a)
			at = &(*at)->next;
		store(at, a->next);
		port_unlock(&context_lock);
	}
	page_free(a, ORDER);
}

static void thread_ended(struct action *a)
{
	store_release(&a->ended, 1);
	port_wake(&a->ended);
}

static void *thread(void *arg)
{
	struct action *a = arg;
	/*
	 * lost if a handler forked while this thread was being started, and its child has started
	 * another thread
	 */
	bool first = cmpxchg(&a->worker, 0, port_id());

	port_thread_arrives();
	if (!first)
		return NULL;
	store(&a->tid, port_tid());
	mine = a;
	port_thread_begin(-1, 0);
	for (;;) {
		uint32_t bell = load_acquire(&a->bell);
		/*
		 * Read before the queue; pairs with the release in action_end(), which comes after
		 * the last signal was queued: if it is set, collect() finds all there will ever be.
		 */
		bool retired = load_acquire(&a->retired);

		if (!a->taken)
			collect(a);
		test_point(TAKEN);
		if (a->taken)
			handle(a);
		else if (retired)
			break;
		else
			port_wait(&a->bell, bell, 0);
	}
	mine = NULL;
	if (load(&a->retired) == 2)
		action_free(a);
	else
		thread_ended(a);
	return NULL;
}

/* ---- installing ---- */

/* If a handler forks meanwhile, its child starts a thread too, and an error is none there. */
static bool first_thread(struct action *a)
{
	uint32_t forks = load(&port_forks);

	port_lock(&context_lock);
	a->next = threaded;
	store(&threaded, a);
	port_unlock(&context_lock);
	return !port_thread_start(thread, a, 0) || load(&port_forks) != forks;
}

static struct action *action_new(int sig, const struct anyrcu_signal_action *from)
{
	struct action *a = page_alloc(ANYRCU_GFP_KERNEL | ANYRCU_GFP_ZERO, ORDER);

	if (!a)
		return NULL;
	a->sig = sig;
	/* The signal of a fault must be handled in the thread that raised it. */
	a->yields = !(from->flags & ANYRCU_SIGNAL_NO_THREAD) && (port_signals >> (sig - 1) & 1);
	a->hard = a->yields && context_rt() ? NULL : from->hard;
	a->hard_late = a->hard ? NULL : from->hard;
	a->thread = from->thread;
	memcpy(&a->blocked, &from->mask, sizeof(a->blocked));
	a->setter = port_id();
	if (has_thread(a) && !first_thread(a)) {
		action_free(a);
		return NULL;
	}
	return a;
}

static void action_end(struct action *a)
{
	if (!a)
		return;
	anyrcu_synchronize();
	if (!has_thread(a)) {
		action_free(a);
	} else if (mine == a) {
		store(&a->retired, 2); /* we free it ourselves, when the present call returns */
	} else {
		/*
		 * Its thread part may wait for a grace period, which we would delay if online. This
		 * is what gp_waits_begin() does, which is in a layer above.
		 */
		bool online = load(&anyrcu_self->ctr) & ANYRCU_READER_QS;

		if (online)
			anyrcu_thread_offline();
		store_release(&a->retired, 1);
		ring(a);
		test_point(RETIRED);
		while (!load_acquire(&a->ended))
			port_wait(&a->ended, 0, 0);
		port_tid_await_death(load(&a->tid));
		if (online)
			anyrcu_thread_online();
		action_free(a);
	}
}

static bool valid(int sig, const struct anyrcu_signal_action *from)
{
	return sig > 0 && sig < PORT_NSIG &&
	       (!from || (from->size == sizeof(*from) && (from->hard || from->thread) &&
			  !(from->flags & ~ANYRCU_SIGNAL_NO_THREAD)));
}

int anyrcu_signal_action(int sig, const struct anyrcu_signal_action *action)
{
	struct action *new = NULL, *old;
	bool done = true;

	if (!valid(sig, action) || context_signals)
		return -EINVAL;
	if (action && !(new = action_new(sig, action)))
		return -EAGAIN;
	test_point(INSTALL);
	port_lock(&context_lock);
	if (!port_signal_hook)
		port_signal_hook = on_signal;
	old = actions[sig];
	if (new) {
		store_release(&actions[sig], new);
		done = port_signal_take(sig, &action->mask);
	} else {
		port_signal_leave(sig);
	}
	if (!new || !done)
		store_release(&actions[sig], done ? NULL : old);
	if (done && new)
		new->setter = 0;
	if (done && old)
		old->setter = port_id();
	port_unlock(&context_lock);
	action_end(done ? old : new);
	return done ? 0 : -EINVAL;
}

/* ---- fork, and the ends of threads ---- */

static void restart(struct action *a)
{
	if (port_thread_start(thread, a, 0)) {
		port_report(
			"signal %u is not handled any more: its thread has ended, and none could be started",
			(uint64_t)a->sig);
		thread_ended(a);
	}
}

/* The program's function has ended the thread. Its signal counts as handled. */
void context_thread_exit(void)
{
	struct action *a = mine;

	mine = NULL;
	if (!a)
		return;
	store(&a->worker, 0);
	restart(a);
}

/*
 * The thread of an action that an absent task was installing or removing is not needed. One that
 * has ended, as the action is removed, is not started anew: the task that removes it is this one,
 * and frees it.
 */
static void action_fork_child(struct action *a, bool start)
{
	if (load(&a->worker) == port_id() || (load(&a->setter) && a->setter != port_id()) ||
	    (load(&a->retired) && load(&a->ended)))
		return;
	store(&a->ended, 0);
	store(&a->worker, 0);
	if (start)
		restart(a);
	else
		thread_ended(a);
}

void context_wake_all(void)
{
	port_lock(&context_lock);
	for (struct action *a = threaded; a; a = a->next)
		ring(a);
	port_unlock(&context_lock);
}

void context_fork_child(bool start)
{
	context_tid_kept = 0;
	for (struct action *a = threaded; a; a = a->next)
		action_fork_child(a, start);
}
