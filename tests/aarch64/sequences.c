/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Interrupts each restartable sequence of the library at each of its instructions, on a kernel that
 * has sequences, and checks that no object is lost or doubled.
 *
 * The library is linked in, so __start___rseq_cs is its table of sequences. For each instruction a
 * breakpoint is written there, and the operations are called until it is hit. The kernel must then
 * have moved the thread to the sequence's abort label. The handler takes the breakpoint away, calls
 * all operations itself, and puts it back until it was hit HITS times, so that loops give up. What
 * is not reached like this is executed only where other sequences were interrupted time after time:
 * then they all have breakpoints, too, which stay. Nine in ten instructions must be reached.
 *
 * usage: sequences
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define BREAKPOINT 0xd4200000u /* brk #0 */
#define HITS 10
#define CALLS_MAX 2000 /* until an instruction counts as not reached */
#define OBJECTS (1 << 16)
#define SEQUENCES_MAX 64

struct sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
};
extern const struct sequence __start___rseq_cs[], __stop___rseq_cs[];

/* ---- objects ---- */

enum { FREE, USED };
struct object {
	_Atomic int state;
	struct anyrcu_head head;
};
static struct object objects[OBJECTS];
static _Atomic unsigned next;
static _Atomic unsigned long twice, refused;

static struct object *get(void)
{
	for (int i = 0; i < OBJECTS; i++) {
		struct object *o = &objects[atomic_fetch_add(&next, 1) % OBJECTS];
		int state = FREE;

		if (atomic_compare_exchange_strong(&o->state, &state, USED))
			return o;
	}
	fprintf(stderr, "sequences: no object comes back\n");
	abort();
}

static void put(void *p)
{
	struct object *o = p;

	if (atomic_exchange(&o->state, FREE) != USED)
		atomic_fetch_add(&twice, 1);
}

static void put_head(struct anyrcu_head *head)
{
	put((char *)head - offsetof(struct object, head));
}

/* The linker has the library call this for free(). */
void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	if ((struct object *)p >= objects && (struct object *)p < objects + OBJECTS)
		put(p);
	else
		__real_free(p);
}

/* ---- operations ---- */

static struct anyrcu_cache *cache;
#define KEPT 64
static _Atomic(_Atomic int *) kept[KEPT];

static void cache_put(_Atomic int *p, unsigned how)
{
	if (atomic_exchange(p, FREE) != USED)
		atomic_fetch_add(&twice, 1);
	if (how % 3)
		anyrcu_cache_free_deferred(cache, p);
	else
		anyrcu_cache_free(cache, p);
}

/* One object is allocated, and one that was allocated before is freed. */
static void cache_turn(unsigned gfp)
{
	static _Atomic unsigned turn;
	unsigned n = atomic_fetch_add(&turn, 1);
	_Atomic int *p = anyrcu_cache_alloc(cache, gfp);

	if (!p) {
		atomic_fetch_add(&refused, 1);
		return;
	}
	if (atomic_exchange(p, USED) == USED)
		atomic_fetch_add(&twice, 1);
	p = atomic_exchange(&kept[n % KEPT], p);
	if (p)
		cache_put(p, n);
}

static void any_context(unsigned gfp)
{
	void *p;

	anyrcu_call(&get()->head, put_head);
	anyrcu_raw_call(&get()->head, put_head);
	anyrcu_call_sized(&get()->head, put_head, 100);
	anyrcu_free(get(), head);
	anyrcu_raw_free(get(), head);
	p = get();
	if (!anyrcu_call_headless(put, p))
		put(p);
	p = get();
	if (!anyrcu_free_headless(p))
		put(p);
	for (int i = 0; i < 3; i++)
		cache_turn(gfp);
}

static void task(void)
{
	static int n;
	void *p;

	if (++n % 1000 == 0)
		anyrcu_barrier();
	p = get();
	any_context(ANYRCU_GFP_KERNEL);
	anyrcu_call_mightsleep(put, get());
	anyrcu_free_task(get(), head);
	if (!anyrcu_free_task_headless(p))
		put(p);
}

/* ---- breakpoints ---- */

static uint32_t *volatile where; /* the breakpoint, and what was there */
static uint32_t what;
static const struct sequence *volatile in;
static volatile int hits, moved;
static volatile bool all_others; /* have breakpoints at their begin */

static void poke(uint32_t *at, uint32_t insn)
{
	*(volatile uint32_t *)at = insn;
	__builtin___clear_cache((char *)at, (char *)(at + 1));
}

static void hit(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	uint32_t *at = where;

	(void)sig;
	if (info->si_addr != at && all_others)
		return; /* to the abort label */
	if (info->si_addr != at) {
		static const char said[] = "sequences: a breakpoint that nobody has set\n";

		(void)!write(2, said, sizeof(said) - 1);
		_exit(1);
	}
	poke(at, what);
	moved += uc->uc_mcontext.pc == in->abort;
	any_context(ANYRCU_GFP_NO_LOCKS);
	if (++hits < HITS)
		poke(at, BREAKPOINT);
}

static void make_writable(char *code, size_t length)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE), first = (uintptr_t)code & -page;

	if (mprotect((void *)first, (uintptr_t)code + length - first,
		     PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("sequences: mprotect");
		exit(1);
	}
}

/* Returns whether the instruction was hit. */
static bool interrupt(const struct sequence *s, uint32_t *at, int calls)
{
	what = *at;
	where = at;
	in = s;
	hits = moved = 0;
	poke(at, BREAKPOINT);
	for (int n = 0; n < calls && hits < (n < calls / 4 ? HITS : 1); n++)
		task();
	poke(at, what);
	return hits;
}

static bool interrupt_beside_others(const struct sequence *s, uint32_t *at)
{
	static uint32_t first[SEQUENCES_MAX];
	const struct sequence *o;
	bool was_hit;

	all_others = true;
	for (o = __start___rseq_cs; o < __stop___rseq_cs; o++) {
		first[o - __start___rseq_cs] = *(uint32_t *)o->start;
		if (o != s)
			poke((uint32_t *)o->start, BREAKPOINT);
	}
	was_hit = interrupt(s, at, CALLS_MAX / 50);
	for (o = __start___rseq_cs; o < __stop___rseq_cs; o++)
		if (o != s)
			poke((uint32_t *)o->start, first[o - __start___rseq_cs]);
	all_others = false;
	return was_hit;
}

static bool interrupt_in(const struct sequence *s, uint32_t *at, bool others)
{
	return others ? interrupt_beside_others(s, at) : interrupt(s, at, CALLS_MAX);
}

/* ---- */

static _Atomic bool open_there;

/* Any thread may come to a breakpoint, a worker too. */
static void open_signal(void *arg)
{
	sigset_t trap;

	(void)arg;
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
	atomic_store(&open_there, true);
}

int main(void)
{
	const struct anyrcu_config config = { .size = sizeof(config), .workers = 1 };
	const struct anyrcu_cache_config cache_config = { .size = sizeof(cache_config),
							  .name = "objects",
							  .object_size = 64 };
	struct sigaction action = { .sa_sigaction = hit, .sa_flags = SA_SIGINFO | SA_NODEFER };
	unsigned long insns = 0, reached = 0, elsewhere = 0, lost = 0;
	int leaked;

	cache = anyrcu_cache_create(&cache_config);
	if (__stop___rseq_cs - __start___rseq_cs > SEQUENCES_MAX || !cache ||
	    anyrcu_init(&config) || sigaction(SIGTRAP, &action, NULL) ||
	    !anyrcu_call_headless(open_signal, NULL)) {
		perror("sequences");
		return 1;
	}
	while (!atomic_load(&open_there))
		usleep(1000);
	for (const struct sequence *s = __start___rseq_cs; s < __stop___rseq_cs; s++)
		make_writable((void *)s->start, s->length);
	for (const struct sequence *s = __start___rseq_cs; s < __stop___rseq_cs; s++) {
		bool others = false; /* must be interrupted for the rest of it to be executed */

		for (uint32_t *at = (uint32_t *)s->start; at < (uint32_t *)(s->start + s->length);
		     at++) {
			insns++;
			if (!interrupt_in(s, at, others) &&
			    !interrupt_in(s, at, others = !others)) {
				printf("not reached: instruction %d of the sequence at %#lx\n",
				       (int)(at - (uint32_t *)s->start), (long)s->start);
				continue;
			}
			reached++;
			elsewhere += moved != hits;
		}
	}
	for (int i = 0; i < KEPT; i++)
		if (kept[i])
			cache_put(kept[i], i);
	anyrcu_barrier();
	for (int i = 0; i < OBJECTS; i++)
		lost += atomic_load(&objects[i].state) != FREE;
	leaked = anyrcu_cache_destroy(cache);
	printf("%d sequences, %lu instructions, %lu interrupted; continued elsewhere than at the "
	       "abort label: %lu; lost %lu, twice %lu, of the cache %d; refused %lu\n",
	       (int)(__stop___rseq_cs - __start___rseq_cs), insns, reached, elsewhere, lost, twice,
	       leaked, refused);
	return reached < insns * 9 / 10 || insns == 0 || elsewhere || lost || twice || leaked;
}
