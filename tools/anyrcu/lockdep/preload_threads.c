/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Threads: how many there are, where their stacks are, what waits for their ends; and what is done
 * once.
 *
 * Each thread begins in begin_thread() or begin_thrd(), which gets the program's function in a
 * slot. There are slots for as many threads as begin at once; when there is none the thread begins
 * as it would otherwise, and counts as running for good.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "lockdep/preload.h"

uint32_t threads = 1;

/*
 * Threads that have ended without a word to others, by pthread_self(): they count as running until
 * they are joined. 0: none. Written by the thread itself, and by who joins it or has its name next.
 */
static uintptr_t lingering[1024];

/* True: it was one of these. */
static bool linger_end(uintptr_t thread)
{
	for (unsigned i = 0; i < ARRAY_SIZE(lingering); i++)
		if (load(&lingering[i]) == thread) {
			store(&lingering[i], 0);
			return true;
		}
	return false;
}

/* False: there is no room. */
static bool linger(uintptr_t thread)
{
	for (unsigned i = 0; i < ARRAY_SIZE(lingering); i++)
		if (!load(&lingering[i]) && cmpxchg(&lingering[i], (uintptr_t)0, thread))
			return true;
	return false;
}

struct beginning {
	uint32_t taken;
	union {
		void *(*main)(void *);
		thrd_start_t thrd;
	};
	void *arg;
	size_t stack_size;
};

static struct beginning beginnings[1024];

static struct beginning *beginning_take(void)
{
	for (struct beginning *b = beginnings; b < &beginnings[ARRAY_SIZE(beginnings)]; b++)
		if (!load(&b->taken) && cmpxchg(&b->taken, (uint32_t)0, 1))
			return b;
	return NULL;
}

static struct beginning beginning_leave(void *slot)
{
	struct beginning b = *(struct beginning *)slot;

	store_release(&((struct beginning *)slot)->taken, 0);
	return b;
}

/* A little more than there is between here and the stack's end counts as not the stack. */
static void stack_is(uintptr_t top, size_t size)
{
	me.stack = top - size;
	me.stack_size = size;
}

static void begin(const struct beginning *b, uintptr_t top)
{
	stack_is(top, b->stack_size);
	if (!watched())
		return;
	/* of one before, that was detached: nobody learns of its end any more */
	linger_end((uintptr_t)pthread_self());
	lockdep_event_forget((const void *)pthread_self(), true);
	lockdep_thread_end_is((const void *)pthread_self());
}

static void *begin_thread(void *slot)
{
	struct beginning b = beginning_leave(slot);

	begin(&b, (uintptr_t)__builtin_frame_address(0));
	return b.main(b.arg);
}

static int begin_thrd(void *slot)
{
	struct beginning b = beginning_leave(slot);

	begin(&b, (uintptr_t)__builtin_frame_address(0));
	return b.thrd(b.arg);
}

static void count_thread(void)
{
	if (__atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) == 1)
		lockdep_not_alone();
}

static size_t stack_size_of(const pthread_attr_t *attr)
{
	pthread_attr_t defaults;
	size_t size = 0;

	if (!attr && pthread_attr_init(&defaults) == 0) {
		pthread_attr_getstacksize(&defaults, &size);
		pthread_attr_destroy(&defaults);
	} else if (attr) {
		pthread_attr_getstacksize(attr, &size);
	}
	return size;
}

EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
			  void *(*main)(void *), void *restrict arg)
{
	struct beginning *b;
	int error;

	if (!watched_or_counted() || !(b = beginning_take())) {
		count_thread();
		return real.pthread_create(thread, attr, main, arg);
	}
	b->main = main;
	b->arg = arg;
	b->stack_size = stack_size_of(attr);
	count_thread();
	error = real.pthread_create(thread, attr, begin_thread, b);
	if (error) {
		__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
		beginning_leave(b);
	}
	return error;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t main, void *arg)
{
	struct beginning *b;
	int result;

	if (!watched_or_counted() || !(b = beginning_take())) {
		count_thread();
		return real.thrd_create(thread, main, arg);
	}
	b->thrd = main;
	b->arg = arg;
	b->stack_size = stack_size_of(NULL);
	count_thread();
	result = real.thrd_create(thread, begin_thrd, b);
	if (result != thrd_success) {
		__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
		beginning_leave(b);
	}
	return result;
}

/*
 * Of the first thread the stack has no end that is known; what may be below its limit is taken for
 * it. A thread that libc started by itself, as for a timer, is one more; when it ends is not known.
 */
void thread_begins(void)
{
	extern void *__libc_stack_end;
	struct rlimit limit;

	if (me.stack_size)
		return;
	if (me.tid != (uint32_t)syscall(SYS_getpid)) {
		count_thread();
		return;
	}
	if (syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit) != 0)
		return;
	stack_is((uintptr_t)__libc_stack_end,
		 limit.rlim_cur < (1u << 30) ? limit.rlim_cur : 64u << 20);
}

/* Its stack, and its thread-local variables behind it, will be another's. */
void thread_over(bool silent)
{
	uintptr_t end = me.stack + me.stack_size, self = (uintptr_t)pthread_self();

	if (!me.stack_size)
		return;
	lockdep_forget((const void *)me.stack,
		       (const void *)(self > end && self - end < (1u << 20) ? self : end));
	me.stack_size = 0;
	if (!silent || !linger(self))
		__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
}

/* ---- its end ---- */

struct join {
	bool told;
};

static struct join begin_join(const void *thread, const char *what, const void *ip)
{
	struct join j = { watched() };

	if (!j.told)
		return j;
	loader_over();
	lockdep_engine.might_sleep(what, ip);
	if (!lockdep_holds()) {
		j.told = false;
		return j;
	}
	lockdep_joins(1);
	lockdep_wait_begin(thread, what, ip);
	return j;
}

static void end_join(struct join *j)
{
	if (!j->told)
		return;
	lockdep_joins(-1);
	lockdep_wait_end();
}

/* The next thread may have the same name, and an end of its own. */
static inline void joined(const void *thread)
{
	if (!watched())
		return;
	if (linger_end((uintptr_t)thread))
		__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
	lockdep_event_forget(thread, false);
}

EXPORT int pthread_join(pthread_t thread, void **result)
{
	__attribute__((cleanup(end_join), unused)) struct join j =
		begin_join((const void *)thread, "pthread_join", CALLER);
	int error = real.pthread_join(thread, result);

	if (!error)
		joined((const void *)thread);
	return error;
}

EXPORT int thrd_join(thrd_t thread, int *result)
{
	__attribute__((cleanup(end_join), unused)) struct join j =
		begin_join((const void *)thread, "thrd_join", CALLER);
	int error = real.thrd_join(thread, result);

	if (error == thrd_success)
		joined((const void *)thread);
	return error;
}

#define joins(thread, join)                             \
	({                                              \
		int error_ = (join);                    \
		if (!error_)                            \
			joined((const void *)(thread)); \
		error_;                                 \
	})

EXPORT int pthread_tryjoin_np(pthread_t thread, void **result)
{
	return joins(thread, real.pthread_tryjoin_np(thread, result));
}

EXPORT int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *until)
{
	return joins(thread, real.pthread_timedjoin_np(thread, result, until));
}

EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
				const struct timespec *until)
{
	return joins(thread, real.pthread_clockjoin_np(thread, result, clock, until));
}

/* ---- once: whoever comes while another is at it waits ---- */

static const struct anyrcu_lock_type once_type = { "once", ANYRCU_WAIT_CONFIG, ANYRCU_WAIT_SLEEP };

static void leave_once(const void **once)
{
	if (!*once)
		return;
	lockdep_engine.release(*once, CALLER);
	lockdep_once_done(*once);
}

/* With nothing held, what is done already teaches nothing. */
EXPORT int pthread_once(pthread_once_t *once, void (*init)(void))
{
	enum { DONE = 2 };
	__attribute__((cleanup(leave_once), unused)) const void *held = NULL;

	if (!watched() || (load((int *)once) == DONE && !lockdep_holds())) {
		if (me.watch == WATCHED)
			lockdep_once_done(once);
		return real.pthread_once(once, init);
	}
	loader_over();
	lockdep_engine.acquire(once, &once_type, ANYRCU_LOCK_WRITE, 0, NULL, CALLER);
	held = once;
	return real.pthread_once(once, init);
}

EXPORT void call_once(once_flag *once, void (*init)(void))
{
	pthread_once((pthread_once_t *)once, init);
}

/*
 * A C++ variable that is static in a function. What it needs is looked for when it is used, as the
 * C++ library may come later.
 */
static void *cxx(const char *name)
{
	void *library, *f = dlsym(RTLD_NEXT, name);

	if (f || !(library = real.dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD)))
		return f;
	f = dlsym(library, name);
	real.dlclose(library);
	return f;
}

static int (*guard_acquire)(uint64_t *);
static void (*guard_release)(uint64_t *), (*guard_abort)(uint64_t *);

EXPORT int __cxa_guard_acquire(uint64_t *guard)
{
	bool told = watched();
	int first;

	if (unlikely(!load(&guard_acquire))) {
		store(&guard_release, (void (*)(uint64_t *))cxx("__cxa_guard_release"));
		store(&guard_abort, (void (*)(uint64_t *))cxx("__cxa_guard_abort"));
		store(&guard_acquire, (int (*)(uint64_t *))cxx("__cxa_guard_acquire"));
	}
	if (told) {
		loader_over();
		lockdep_engine.acquire(guard, &once_type, ANYRCU_LOCK_WRITE, 0, NULL, CALLER);
	}
	first = guard_acquire(guard);
	if (told && !first)
		lockdep_engine.release(guard, CALLER);
	return first;
}

static void guard_left(uint64_t *guard, const void *ip)
{
	if (watched() && lockdep_engine.is_held(guard) == 1)
		lockdep_engine.release(guard, ip);
}

EXPORT void __cxa_guard_release(uint64_t *guard)
{
	guard_left(guard, CALLER);
	guard_release(guard);
}

EXPORT void __cxa_guard_abort(uint64_t *guard)
{
	guard_left(guard, CALLER);
	guard_abort(guard);
}

/*
 * ---- futures of C++: who waits for the value, and who sets it while others wait. Each has one
 * value, and what comes to lie there later is another ----
 */

#define FUTEX "_ZNSt28__atomic_futex_unsigned_base"
#define SECONDS "NSt6chrono8durationIlSt5ratioILl1ELl1EEEE"
#define NANOSECONDS "NS2_IlS3_ILl1ELl1000000000EEEE"

typedef bool (*future_wait_t)(void *, uint32_t *, uint32_t, bool, int64_t, int64_t);

static bool wait_future(future_wait_t wait, void *self, uint32_t *value, uint32_t old, bool bounded,
			int64_t s, int64_t ns, const void *ip)
{
	bool told = watched() && !bounded && lockdep_holds(), result;

	if (told) {
		loader_over();
		lockdep_engine.might_sleep("std::future::wait", ip);
		lockdep_wait_begin(value, "std::future::wait", ip);
	}
	result = wait(self, value, old, bounded, s, ns);
	if (told) {
		lockdep_wait_end();
		lockdep_event_forget(value, false);
	}
	return result;
}

#define cxx_function(name, type)                   \
	({                                         \
		static void *found_;               \
		if (unlikely(!load(&found_)))      \
			store(&found_, cxx(name)); \
		(type) load(&found_);              \
	})

#define future_wait(f, name)                                                                     \
	EXPORT bool f(void *self, uint32_t *value, uint32_t old, bool bounded, int64_t s,        \
		      int64_t ns) __asm__(name);                                                 \
	bool f(void *self, uint32_t *value, uint32_t old, bool bounded, int64_t s, int64_t ns)   \
	{                                                                                        \
		return wait_future(cxx_function(name, future_wait_t), self, value, old, bounded, \
				   s, ns, CALLER);                                               \
	}

future_wait(future_wait_until, FUTEX "19_M_futex_wait_untilEPjjb" SECONDS NANOSECONDS)
	future_wait(future_wait_steady,
		    FUTEX "26_M_futex_wait_until_steadyEPjjb" SECONDS NANOSECONDS)

		EXPORT void future_set(uint32_t *value) __asm__(FUTEX "19_M_futex_notify_allEPj");
void future_set(uint32_t *value)
{
	if (watched())
		lockdep_event(value, false, 1);
	cxx_function(FUTEX "19_M_futex_notify_allEPj", void (*)(uint32_t *))(value);
}
