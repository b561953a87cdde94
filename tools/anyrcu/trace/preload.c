/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What "anyrcu record" loads into the programs that it records: malloc() and its kin, which pass on
 * to the allocator that the program has, and write down in the shared pool what they did. See
 * pool.h for how.
 *
 * It allocates nothing, keeps no file open, makes no system call but at its start and when the
 * recorder does not keep up, and leaves errno alone. It may be interrupted by a signal anywhere,
 * and the handler may allocate.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "trace/pool.h"
#include "shared.h"

#define EXPORT __attribute__((visibility("default")))
#define unlikely(x) __builtin_expect(!!(x), 0)

static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t n, size_t size);
	void *(*realloc)(void *p, size_t size);
	void (*free)(void *p);
	int (*posix_memalign)(void **p, size_t alignment, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
} real;

/* dlsym() may allocate, before it could say where. What it then gets is never given back. */
static _Alignas(16) char early[4096];
static size_t early_used;

static struct pool *pool;

/*
 * Wiped by the kernel in a forked child, however it was forked, which so finds that it needs a
 * number of its own.
 */
static struct {
	_Atomic uint32_t process;
} * self;

/*
 * The default TLS model would allocate on first access. The process tells a forked child that the
 * thread is the parent's.
 */
static __thread __attribute__((tls_model("initial-exec"))) struct {
	uint32_t process;
	uint32_t thread;
} me;

static void attach(void)
{
	const char *path = getenv(POOL_ENV);
	void *page;

	if (!path)
		return;
	page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (page == MAP_FAILED)
		return;
	if (madvise(page, getpagesize(), MADV_WIPEONFORK) == 0)
		pool = shared_map(path, sizeof(*pool), POOL_MAGIC, 0);
	if (!pool) {
		munmap(page, getpagesize());
		return;
	}
	self = page;
	atomic_store(&self->process, atomic_fetch_add(&pool->processes, 1) + 1);
}

/*
 * Runs at the first call, which may come before any constructor; then there may be no environment
 * yet, and it has to run again.
 */
static __attribute__((constructor)) void start(void)
{
	static bool attached;
	int saved = errno;

	if (!real.free) {
		real.calloc = dlsym(RTLD_NEXT, "calloc");
		real.realloc = dlsym(RTLD_NEXT, "realloc");
		real.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
		real.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
		real.memalign = dlsym(RTLD_NEXT, "memalign");
		real.valloc = dlsym(RTLD_NEXT, "valloc");
		real.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
		real.malloc = dlsym(RTLD_NEXT, "malloc");
		real.free = dlsym(RTLD_NEXT, "free");
	}
	if (!attached && environ) {
		attached = true;
		attach();
	}
	errno = saved;
}

static bool is_early(const void *p)
{
	return (uintptr_t)p - (uintptr_t)early < sizeof(early);
}

/* Each allocating function begins with this. True: serve the request from what dlsym() gets. */
static inline bool starting(void)
{
	static bool inside;

	if (!unlikely(!real.free))
		return false;
	if (inside)
		return true;
	inside = true;
	start();
	inside = false;
	return false;
}

static void *early_alloc(size_t size)
{
	size_t begin = early_used;

	if (size > sizeof(early) - begin) {
		errno = ENOMEM;
		return NULL;
	}
	early_used += (size + 15) & ~(size_t)15;
	return early + begin;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The first event of a thread, or of the thread that a forked child has. */
static __attribute__((noinline)) void introduce(void)
{
	uint32_t process = atomic_load(&self->process);

	if (process == 0) {
		uint32_t mine = atomic_fetch_add(&pool->processes, 1) + 1;

		if (atomic_compare_exchange_strong(&self->process, &process, mine))
			process = mine;
	}
	me.thread = atomic_fetch_add(&pool->threads, 1);
	me.process = process;
}

/* An unused chunk, or -1 when recording has ended. */
static int take_chunk(void)
{
	uint64_t beat = atomic_load(&pool->beat);

	for (int waited = 0; !atomic_load(&pool->end); waited++) {
		for (int i = 0; i < POOL_CHUNKS / 64; i++) {
			uint64_t bits = atomic_load(&pool->unused[i]);

			while (bits) {
				uint64_t bit = bits & -bits;

				bits = atomic_fetch_and(&pool->unused[i], ~bit);
				if (bits & bit)
					return i * 64 + __builtin_ctzll(bit);
			}
		}
		/*
		 * The recorder is behind, or stopped with us, or was killed: then the program goes
		 * on without it.
		 */
		syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = 1000000 }, NULL);
		if (atomic_load(&pool->beat) != beat) {
			beat = atomic_load(&pool->beat);
			waited = 0;
		} else if (waited > 10000) {
			atomic_compare_exchange_strong(&pool->end, &(uint64_t){ 0 }, now());
		}
	}
	return -1;
}

/*
 * Replace a full chunk and reserve a place in the new one, or in the one that another put there
 * meanwhile. When this is interrupted by a signal whose handler does the same, or killed half-way,
 * nobody waits for it.
 */
static __attribute__((noinline)) struct pool_event *reserve_slow(_Atomic uint64_t *open)
{
	int saved = errno;
	int chunk = take_chunk();
	uint64_t old = atomic_load(open);

	errno = saved;
	if (chunk < 0)
		return NULL;
	for (;;) {
		if ((uint32_t)old >= POOL_CHUNK_EVENTS) {
			if (atomic_compare_exchange_strong(open, &old, (uint64_t)chunk << 32 | 1))
				return &pool->chunk[chunk][0];
			continue;
		}
		old = atomic_fetch_add(open, 1);
		if ((uint32_t)old < POOL_CHUNK_EVENTS) {
			atomic_fetch_or(&pool->unused[chunk / 64], 1ull << chunk % 64);
			return &pool->chunk[old >> 32][(uint32_t)old];
		}
		old = atomic_load(open);
	}
}

/* An event that has its stamp and its place, in this order (see pool.h), to be filled. */
struct reserved {
	uint64_t stamp;
	struct pool_event *place; /* NULL: it is not recorded */
};

static inline struct reserved reserve(void)
{
	struct reserved r = { 0 };
	_Atomic uint64_t *open;
	uint64_t old;

	/*
	 * Who outlives the recording adds no more, so that places in a full chunk cannot overflow
	 * their half of the word.
	 */
	if (unlikely(!pool || atomic_load_explicit(&pool->end, memory_order_relaxed)))
		return r;
	if (unlikely(me.process == 0 ||
		     me.process != atomic_load_explicit(&self->process, memory_order_relaxed)))
		introduce();
	r.stamp = now();
	open = &pool->cpu[(unsigned int)sched_getcpu() % POOL_CPUS].open;
	old = atomic_fetch_add_explicit(open, 1, memory_order_acquire);
	if (unlikely((uint32_t)old >= POOL_CHUNK_EVENTS))
		r.place = reserve_slow(open);
	else
		r.place = &pool->chunk[old >> 32][(uint32_t)old];
	return r;
}

static inline void fill(struct reserved r, const void *p, uint64_t size)
{
	struct pool_event *e = r.place;

	if (unlikely(!e))
		return;
	e->address = (uintptr_t)p;
	e->size = size;
	e->process = me.process;
	e->thread = me.thread;
	atomic_store_explicit(&e->stamp, r.stamp, memory_order_release);
}

static inline void *allocated(void *p, uint64_t size)
{
	if (p)
		fill(reserve(), p, size);
	return p;
}

EXPORT void *malloc(size_t size)
{
	return starting() ? early_alloc(size) : allocated(real.malloc(size), size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return starting() ? early_alloc(n * size) : allocated(real.calloc(n, size), n * size);
}

EXPORT void free(void *p)
{
	if (!p || is_early(p) || starting())
		return;
	fill(reserve(), p, POOL_FREE);
	real.free(p);
}

EXPORT void *realloc(void *old, size_t size)
{
	struct reserved freed;
	void *p;

	if (!old)
		return malloc(size);
	if (is_early(old)) {
		size_t room = early + sizeof(early) - (char *)old;

		p = malloc(size);
		return p ? memcpy(p, old, size < room ? size : room) : NULL;
	}
	if (starting())
		return NULL;
	/* Whether it is freed is known only later, but others may have the memory by then. */
	freed = reserve();
	p = real.realloc(old, size);
	fill(freed, p || size == 0 ? old : NULL, POOL_FREE);
	return allocated(p, size);
}

/* Not passed on: libc's would call realloc() here, another allocator's would not. */
EXPORT void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

EXPORT int posix_memalign(void **p, size_t alignment, size_t size)
{
	int error = starting() ? ENOMEM : real.posix_memalign(p, alignment, size);

	if (!error)
		allocated(*p, size);
	return error;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	return starting() ? NULL : allocated(real.aligned_alloc(alignment, size), size);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	return starting() ? NULL : allocated(real.memalign(alignment, size), size);
}

EXPORT void *valloc(size_t size)
{
	return starting() ? NULL : allocated(real.valloc(size), size);
}

EXPORT void *pvalloc(size_t size)
{
	return starting() ? NULL : allocated(real.pvalloc(size), size);
}
