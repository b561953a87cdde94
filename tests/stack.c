/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How much stack the entry points for any context need. Each runs in a handler on an alternate
 * stack that was painted before; what is not painted any more was used. What a handler that does
 * nothing uses, above all the kernel's frame with the registers, is not counted.
 *
 * Each entry point is called by a new thread, which it then registers, and again as often as fills
 * pages; on each path: restartable sequences, atomics, no membarrier, debug mode, no page to be
 * had.
 *
 * The table counts the frame of the caller's function, too. Each runs on a stack of just the
 * promised size first, where lazy binding would not fit either.
 *
 * usage: stack [PATH]	prints a table; fails when a call takes more than the manual promises
 */
#define _GNU_SOURCE
#include <anyrcu/anyrcu.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROMISED 1024 /* bytes; anyrcu(7), "Stacks" */
#define SIZE (256 << 10)
#define MANY 1200 /* more than fill two pages */
#define PAINT 0xa5

static struct {
	struct anyrcu_head head;
} objects[2 * MANY + 4];
static unsigned used, refused;
static struct anyrcu_domain *domain;
static struct anyrcu_cache *cache;

static void nop(void *arg)
{
}

static void nop_head(struct anyrcu_head *head)
{
}

static struct anyrcu_head *head(void)
{
	return &objects[used++].head;
}

static void op_nothing(void)
{
}

static void op_read(void)
{
	anyrcu_read_lock();
	anyrcu_read_lock();
	anyrcu_read_unlock();
	anyrcu_read_unlock();
}

static void op_gp(void)
{
	anyrcu_gp_done(anyrcu_gp_start());
}

static void op_call(void)
{
	anyrcu_call(head(), nop_head);
}

static void op_raw_call(void)
{
	anyrcu_raw_call(head(), nop_head);
}

static void op_headless(void)
{
	if (!anyrcu_call_headless(nop, &used))
		refused++;
}

static void op_domain_call(void)
{
	anyrcu_domain_call(domain, head(), nop_head);
}

static void op_page(void)
{
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO, 1), 1);
}

static void op_stats(void)
{
	struct anyrcu_stats s = { .size = sizeof(s) };

	anyrcu_stats_get(&s);
}

static void op_lock(void)
{
	static anyrcu_raw_spinlock_t lock = ANYRCU_RAW_SPINLOCK_INIT;

	anyrcu_raw_spin_lock(&lock);
	anyrcu_raw_spin_unlock(&lock);
}

/* Objects are left over, so that slabs are needed. */
static void op_cache(void)
{
	for (int i = 0; i < 3; i++)
		anyrcu_cache_free_deferred(cache, anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS));
	anyrcu_cache_free(cache, anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS));
	if (!anyrcu_cache_alloc(cache, ANYRCU_GFP_NO_LOCKS | ANYRCU_GFP_ZERO))
		refused++;
}

static void op_contexts(void)
{
	anyrcu_preempt_disable();
	anyrcu_preemptible();
	anyrcu_in_signal();
	anyrcu_preempt_enable();
}

static const struct op {
	const char *name;
	void (*run)(void);
} ops[] = {
	{ "read_lock, read_unlock", op_read },
	{ "gp_start, gp_done", op_gp },
	{ "call", op_call },
	{ "raw_call", op_raw_call },
	{ "call_headless", op_headless },
	{ "domain_call", op_domain_call },
	{ "page_alloc, page_free", op_page },
	{ "stats_get", op_stats },
	{ "cache_alloc, cache_free", op_cache },
	{ "raw_spin_lock, _unlock", op_lock },
	{ "preempt_disable, ...", op_contexts },
};

static struct {
	void (*run)(void);
	unsigned times;
} now;

static void handler(int sig)
{
	for (unsigned i = 0; i < now.times; i++)
		now.run();
}

/* The compiler takes it that raise() calls nothing of this file. */
static void handle(void (*run)(void), unsigned times)
{
	now.run = run;
	now.times = times;
	__asm__ volatile("" ::: "memory");
	raise(SIGUSR1);
	__asm__ volatile("" ::: "memory");
}

static size_t in_handler(unsigned char *stack, void (*run)(void), unsigned times)
{
	size_t untouched = 0;

	memset(stack, PAINT, SIZE);
	handle(run, times);
	while (stack[untouched] == PAINT)
		untouched++;
	return SIZE - untouched;
}

struct measured {
	const struct op *op;
	size_t first, later;
};

static unsigned char *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(2);
	return p;
}

static void use_stack(void *stack, size_t size)
{
	stack_t s = { .ss_sp = stack, .ss_size = size, .ss_flags = stack ? 0 : SS_DISABLE };

	if (sigaltstack(&s, NULL))
		exit(2);
}

static void *measure(void *arg)
{
	struct measured *m = arg;
	unsigned char *stack = map(SIZE);
	size_t nothing;

	use_stack(stack, SIZE);
	nothing = in_handler(stack, op_nothing, 1);
	m->first = in_handler(stack, m->op->run, 1) - nothing;
	m->later = in_handler(stack, m->op->run, MANY) - nothing;
	use_stack(NULL, 0);
	munmap(stack, SIZE);
	return NULL;
}

/* The stack that the manual says is enough, and nothing before it. */
static void *on_smallest(void *arg)
{
	const struct op *op = arg;
	size_t size = sysconf(_SC_MINSIGSTKSZ) + PROMISED;
	unsigned char *stack = map(SIZE);

	if (mprotect(stack, SIZE / 2, PROT_NONE))
		exit(2);
	use_stack(stack + SIZE / 2, size);
	handle(op->run, 1);
	handle(op->run, MANY);
	use_stack(NULL, 0);
	munmap(stack, SIZE);
	return NULL;
}

static void synchronize(void *arg)
{
	anyrcu_synchronize();
}

/* All pages of the reserve, so that the next deferral gets none. */
static void exhaust(void)
{
	while (anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0))
		;
}

/* In a thread of its own, which is new to the library. */
static void in_thread(void *(*f)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, f, arg) || pthread_join(t, NULL))
		exit(2);
	anyrcu_barrier();
	anyrcu_domain_barrier(domain);
	used = 0;
}

static int run_path(const char *path)
{
	struct anyrcu_source source = { .size = sizeof(source), .synchronize = synchronize };
	struct anyrcu_cache_config config = { .size = sizeof(config),
					      .name = "stack",
					      .object_size = 64 };
	struct sigaction a = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	size_t most = 0;

	cache = anyrcu_cache_create(&config);
	if (!cache)
		return 2;
	domain = anyrcu_domain_create(&source, NULL);
	if (!domain)
		return 2;
	sigaction(SIGUSR1, &a, NULL);
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		struct measured m = { .op = &ops[i] };

		if (!strcmp(path, "no page"))
			exhaust();
		in_thread(on_smallest, (void *)m.op);
		if (!strcmp(path, "no page"))
			exhaust();
		in_thread(measure, &m);
		printf("%-12s %-24s %6zu %6zu\n", path, m.op->name, m.first, m.later);
		most = m.first > most ? m.first : most;
		most = m.later > most ? m.later : most;
	}
	if (most > PROMISED) {
		printf("%s: %zu bytes, which is more than %d\n", path, most, PROMISED);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *env[2];
	} paths[] = {
		{ "sequences", { "ANYRCU_WORKERS=0" } },
		{ "worker", { "ANYRCU_WORKERS=1" } },
		{ "atomics", { "ANYRCU_RSEQ=0", "ANYRCU_WORKERS=0" } },
		{ "fences", { "ANYRCU_MEMBARRIER=0", "ANYRCU_WORKERS=0" } },
		{ "debug", { "ANYRCU_DEBUG=1", "ANYRCU_WORKERS=0" } },
		{ "no page", { "ANYRCU_WORKERS=0" } },
	};
	int result = 0;

	if (argc == 2)
		return run_path(argv[1]);
	printf("bytes of stack beyond the kernel's %ld; %d are promised to be enough\n"
	       "%-12s %-24s %6s %6s\n",
	       sysconf(_SC_MINSIGSTKSZ), PROMISED, "path", "", "first", "later");
	fflush(stdout);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		int status;

		if (fork() == 0) {
			for (int e = 0; e < 2 && paths[i].env[e]; e++)
				putenv((char *)paths[i].env[e]);
			execl("/proc/self/exe", "stack", paths[i].name, NULL);
			_exit(127);
		}
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
			printf("%s: ended with status %#x\n", paths[i].name, status);
			result = 1;
		}
	}
	return result;
}
