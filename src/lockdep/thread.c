/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The calling thread, its end, and forks. thread_self is set by cmpxchg, so that a handler during
 * the thread's first operation does no harm: the loser gives back the state that it claimed.
 */
#include <lockdep/engine.h>

PORT_THREAD_LOCAL struct thread *thread_self;
/* The state of a thread that has reported its end. */
static struct thread ended = { .busy = 1 };

noinline struct thread *thread_make(void)
{
	uint32_t hint = load(&tables->thread_hint);
	struct thread *none = NULL;

	for (uint32_t i = 0; i < THREADS; i++) {
		struct thread *t = &tables->thread[(hint + i) % THREADS];

		if (load(&t->used))
			continue;
		/* before the claim: a fork checks only the states below this */
		count_max(&tables->threads_high, (hint + i) % THREADS + 1);
		if (!cmpxchg(&t->used, 0, 1))
			continue;
		store(&tables->thread_hint, hint + i + 1);
		t->blocked = port_signals_blocked();
		t->limit = ANYRCU_WAIT_SLEEP;
		t->tid = port_tid();
		if (cmpxchg(&thread_self, none, t)) {
			port_thread_exit_arm();
			return t;
		}
		store_release(&t->used, 0); /* a handler was here */
		return thread_self;
	}
	return NULL;
}

bool lockdep_known_thread(void)
{
	return lockdep_thread() != NULL;
}

/* False: new facts cannot be processed here. */
bool slow_begin(struct thread *t)
{
	if (port_forked_raw())
		return false;
	port_lock(&lockdep_lock);
	tables->here = 0;
	t->busy = 1;
	return true;
}

void slow_end(struct thread *t)
{
	t->busy = 0;
	port_unlock(&lockdep_lock);
}

/* Also called by a thread that has reported its end. */
void thread_forget(void (*what)(const void *, const void *), const void *p, const void *beyond)
{
	struct thread *t = thread_self;

	if (!tables || port_forked_raw() || (t && t != &ended && t->busy))
		return;
	if (t && t != &ended) {
		if (slow_begin(t)) {
			what(p, beyond);
			slow_end(t);
		}
		return;
	}
	port_lock(&lockdep_lock);
	what(p, beyond);
	port_unlock(&lockdep_lock);
}

void lockdep_thread_exit(bool in_reader)
{
	struct thread *t = thread();

	if (!t)
		return;
	while (t->depth && host->by_instance && instance_stale(&t->held[t->depth - 1])) {
		t->held[t->depth - 1].class = 0;
		compiler_barrier();
		t->depth--;
	}
	if ((t->depth || in_reader) && slow_begin(t)) {
		if (report_begin(ANYRCU_LOCKDEP_EXIT, t->depth ? t->held[0].class : 0,
				 t->depth ? (uintptr_t)t->held[0].ip : 0)) {
			say("thread %u ends%s%s\n", (uint64_t)t->tid,
			    t->depth ? " while it holds locks" : "",
			    in_reader ? ", inside a read-side critical section" : "");
			/* these are the locks that the report is about */
			for (uint32_t i = 0; i < t->depth; i++)
				say_lock(&t->held[i]);
			report_end(t);
		}
		slow_end(t);
	}
	thread_self = &ended;
	compiler_barrier();
	memset(t->held, 0, t->depth * sizeof(*t->held)); /* above depth all are 0 */
	t->depth = t->base = t->beyond = t->nesting = t->unnested = t->preempt = 0;
	t->handles = 0;
	t->ntook = t->waited = t->told = 0;
	memset(t->once, 0, sizeof(t->once));
	memset(t->kept, 0, sizeof(t->kept));
	t->nkept = 0;
	t->came_by = NULL;
	t->once_chain = 0;
	t->segment = 0;
	t->passed = (struct barrier_round){ 0 };
	checked_forget(t);
	t->end = NULL;
	t->blocks = NULL;
	store(&tables->thread_hint, t - tables->thread);
	store_release(&t->used, 0);
}

/*
 * From prepare on the forking thread is marked busy, as validating locks that other fork handlers
 * take would wait for the engine's lock, which this thread holds. The thread may hold that lock
 * already, if it forks in the report hook, or in a handler that interrupted it here: then it stays
 * busy, and the holder, afterwards.
 */
static PORT_THREAD_LOCAL uint8_t depth; /* forks of this thread that are in progress */

static void busy(int change)
{
	if (thread_self && thread_self != &ended)
		thread_self->busy += change;
}

void lockdep_fork_prepare(void)
{
	if (!tables)
		return;
	if (!thread_self)
		thread_make();
	busy(1);
	depth++;
	for (unsigned round = 0; !port_fork_lock(&lockdep_lock, depth); round++)
		port_yield(round);
}

static void fork_done(void)
{
	port_fork_unlock(&lockdep_lock, depth);
	depth--;
	busy(-1);
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

		if (load_acquire(&t->used) && t != thread_self) /* a thread may just have ended */
			memset(t, 0, sizeof(*t));
	}
	waits_fork();
	if (thread_self && thread_self != &ended) {
		thread_self->tid = port_tid();
		thread_self->blocks = NULL;
		/*
		 * A handler that forks may continue in the child for good, as its main program: no
		 * code there waits for the code that it interrupted.
		 */
		if (host->by_instance && thread_self->handles) {
			uses_forget(thread_self->handles);
			thread_self->handles = 0;
			thread_self->limit = ANYRCU_WAIT_SLEEP;
		}
	}
	fork_done();
}
