/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Stacks: of the calls that a report shows, of those that tell classes of locks apart, and which
 * function a variable on the stack belongs to.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unwind.h>

#include "lockdep/preload.h"

/*
 * The initialisation of a lock. What initialises locks is often a wrapper, as a library's own
 * mutexes are, so one return address does not tell the classes of its callers' locks apart. The
 * calls that lead to it do.
 */
#define SITE_FRAMES 24
#define SITES 16384

static struct site {
	uint64_t hash;
	const void *ip;
	struct anyrcu_lock_class_key key;
} sites[SITES];

const void *site_begin(const void *address)
{
	size_t site = ((uintptr_t)address - (uintptr_t)sites) / sizeof(*sites);

	return site < SITES ? sites[site].ip : address;
}

/* Takes no lock, unlike dladdr(). */
const struct link_map *map_of(const void *address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_link_map : NULL;
}

#define UNWINDER_NEEDS 8192

/*
 * GCC's, by its name: a program may have another before it, as libunwind's, which takes mutexes of
 * its own. NULL before the start, and where there is none.
 */
static struct {
	__typeof__(&_Unwind_Backtrace) backtrace;
	__typeof__(&_Unwind_GetIP) ip;
	__typeof__(&_Unwind_GetCFA) cfa;
	__typeof__(&_Unwind_GetRegionStart) region_start;
} unwinder;

void find_unwinder(void)
{
	void *gcc = real.dlopen("libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD);

	if (!gcc)
		return;
	unwinder.ip = (__typeof__(&_Unwind_GetIP))dlsym(gcc, "_Unwind_GetIP");
	unwinder.cfa = (__typeof__(&_Unwind_GetCFA))dlsym(gcc, "_Unwind_GetCFA");
	unwinder.region_start =
		(__typeof__(&_Unwind_GetRegionStart))dlsym(gcc, "_Unwind_GetRegionStart");
	store_release(&unwinder.backtrace,
		      (__typeof__(&_Unwind_Backtrace))dlsym(gcc, "_Unwind_Backtrace"));
}

struct walk {
	const struct link_map *ours;
	void **frames;
	uint32_t n, max;
};

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	void *ip = (void *)unwinder.ip(context);

	if (!ip)
		return _URC_END_OF_STACK;
	if (map_of(ip) == w->ours)
		return _URC_NO_REASON;
	w->frames[w->n++] = ip;
	return w->n < w->max ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* The unwinder may take a mutex, if the program has registered code that it has made. */
uint32_t __wrap_port_stack(void **frames, uint32_t max)
{
	struct walk w = { .ours = map_of(sites), .frames = frames, .max = max };
	enum watch watch = me.watch;

	if (!load_acquire(&unwinder.backtrace) || !stack_suffices(UNWINDER_NEEDS))
		return 0;
	me.watch = BUSY;
	unwinder.backtrace(step, &w);
	me.watch = watch;
	return w.n;
}

/* ---- locks on the stack ---- */

static uint64_t hash_in(uint64_t hash, uint64_t v)
{
	hash = (hash ^ v) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

bool stack_suffices(size_t bytes)
{
	uintptr_t at = (uintptr_t)__builtin_frame_address(0);

	stack_t s;

	/* handlers are not looked after then */
	if (counted())
		return syscall(SYS_sigaltstack, NULL, &s) != 0 || !(s.ss_flags & SS_ONSTACK) ||
		       at - (uintptr_t)s.ss_sp > bytes;
	if (!me.handlers)
		return true;
	return at - (uintptr_t)me.handlers->stack->ss_sp >= me.handlers->stack->ss_size ||
	       at - (uintptr_t)me.handlers->stack->ss_sp > bytes;
}

struct owner_walk {
	uintptr_t lock, function, frame, end;
};

/* The innermost frame that begins above the lock is its caller's, the one before has it. */
static _Unwind_Reason_Code owner_step(struct _Unwind_Context *context, void *arg)
{
	struct owner_walk *w = arg;

	if (unwinder.cfa(context) > w->lock) {
		w->end = unwinder.cfa(context);
		return _URC_END_OF_STACK;
	}
	w->frame = unwinder.cfa(context);
	w->function = unwinder.region_start(context);
	return _URC_NO_REASON;
}

static struct stack_lock owner_of(const void *lock)
{
	struct stack_lock s = { .lock = lock };
	struct owner_walk w = { .lock = (uintptr_t)lock };
	enum watch watch = me.watch;

	me.watch = BUSY;
	unwinder.backtrace(owner_step, &w);
	me.watch = watch;
	s.owner = hash_in(hash_in(1, w.function), w.frame);
#ifdef __x86_64__
	w.end -= sizeof(*s.returns);
	if (w.end - me.stack < me.stack_size && w.end % sizeof(*s.returns) == 0) {
		s.returns = (const uintptr_t *)w.end;
		s.to = *s.returns;
	}
#endif
	return s;
}

static struct stack_lock *stack_lock_place(const void *lock)
{
	return &me.on_stack[hash_in(1, (uintptr_t)lock) % ARRAY_SIZE(me.on_stack)];
}

void stack_lock_begins(const void *lock)
{
	struct stack_lock *s = stack_lock_place(lock);

	if (s->lock == lock)
		s->lock = NULL;
}

/*
 * The owner is looked up once for each place and frame from which the lock is used: another
 * function with the same frame that calls the same helper returns to another address.
 */
static bool is_seen(const struct stack_lock *s, uint64_t from)
{
	if (s->returns && *s->returns != s->to)
		return false;
	return s->seen_from[0] == from || s->seen_from[1] == from || s->seen_from[2] == from;
}

void stack_lock(const void *lock, const void *ip, uintptr_t frame)
{
	struct stack_lock *s = stack_lock_place(lock);
	uint64_t from = hash_in(hash_in(1, (uintptr_t)ip), frame);
	struct stack_lock now;

	if (likely(s->lock == lock && is_seen(s, from)))
		return;
	if (!load_acquire(&unwinder.backtrace) || !stack_suffices(UNWINDER_NEEDS))
		return;
	now = owner_of(lock);
	if (s->lock == lock && s->owner != now.owner)
		lockdep_forget(lock, (const char *)lock + 1);
	if (s->lock != lock || s->owner != now.owner)
		*s = now;
	s->returns = now.returns;
	s->to = now.to;
	s->seen_from[2] = s->seen_from[1];
	s->seen_from[1] = s->seen_from[0];
	s->seen_from[0] = from;
}

const struct anyrcu_lock_class_key *class_of_caller(const void *ip)
{
	void *frames[SITE_FRAMES];
	uint32_t n = __wrap_port_stack(frames, SITE_FRAMES);
	uint64_t hash = 1;

	for (uint32_t i = 0; i < n; i++)
		hash = hash_in(hash, (uintptr_t)frames[i]);
	for (uint32_t i = 0; i < 64; i++) {
		struct site *s = &sites[(hash + i) % SITES];

		if (!load(&s->hash))
			cmpxchg(&s->hash, (uint64_t)0, hash);
		if (load(&s->hash) != hash)
			continue;
		store(&s->ip, ip); /* the same from all who come here */
		return &s->key;
	}
	return NULL;
}
