/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* <anyrcu/page.h>: the page allocator. */
#include "test.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

static const unsigned modes[] = { ANYRCU_GFP_KERNEL, ANYRCU_GFP_NOWAIT, ANYRCU_GFP_NO_LOCKS };

static size_t bytes(unsigned order)
{
	return (size_t)ANYRCU_PAGE_SIZE << order;
}

static bool filled_with(const void *page, unsigned order, uint64_t tag)
{
	const uint64_t *p = page;

	for (size_t i = 0; i < bytes(order) / sizeof(*p); i++) {
		if (p[i] != tag)
			return false;
	}
	return true;
}

static void fill(void *page, unsigned order, uint64_t tag)
{
	uint64_t *p = page;

	for (size_t i = 0; i < bytes(order) / sizeof(*p); i++)
		p[i] = tag;
}

static void every_order(void)
{
	for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++) {
		for (size_t m = 0; m < COUNT(modes); m++) {
			void *page = anyrcu_page_alloc(modes[m], order);

			CHECK(page || modes[m] != ANYRCU_GFP_KERNEL);
			if (!page)
				continue;
			CHECK((uintptr_t)page % bytes(order) == 0);
			fill(page, order, UINT64_MAX);
			anyrcu_page_free(page, order);
		}
	}
}

/* Pages were written all over and given back before they are asked for with zeroes. */
static void zeroes(void)
{
	for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++) {
		void *page[8];

		for (size_t i = 0; i < COUNT(page); i++) {
			page[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, order);
			CHECK(page[i]);
			fill(page[i], order, UINT64_MAX);
		}
		for (size_t i = 0; i < COUNT(page); i++)
			anyrcu_page_free(page[i], order);
		for (size_t i = 0; i < COUNT(page); i++) {
			page[i] = anyrcu_page_alloc(modes[i % 3] | ANYRCU_GFP_ZERO, order);
			CHECK(page[i] || i % 3);
			CHECK(!page[i] || filled_with(page[i], order, 0));
		}
		for (size_t i = 0; i < COUNT(page); i++)
			anyrcu_page_free(page[i], order);
	}
}

static void distinct(void)
{
	enum { N = 1000 };
	static struct {
		void *page;
		unsigned order;
	} all[N];

	for (int round = 0; round < 3; round++) {
		for (unsigned i = round; i < N; i += 1 + round) {
			all[i].order = i * 7 % 11 < 8 ? i % 3 : i % 7;
			all[i].page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, all[i].order);
			CHECK(all[i].page);
			fill(all[i].page, all[i].order, i);
		}
		for (unsigned i = 0; i < N; i++)
			CHECK(!all[i].page || filled_with(all[i].page, all[i].order, i));
		for (unsigned i = 0; i < N; i++) {
			anyrcu_page_free(all[i].page, all[i].order);
			all[i].page = NULL;
		}
	}
}

static void arguments_out_of_range(void)
{
	static const struct {
		unsigned gfp, order;
	} bad[] = {
		{ ANYRCU_GFP_KERNEL, ANYRCU_PAGE_ORDER_MAX + 1 },
		{ ANYRCU_GFP_NOWAIT, ANYRCU_PAGE_ORDER_MAX + 1 },
		{ ANYRCU_GFP_NO_LOCKS, ANYRCU_PAGE_ORDER_MAX + 1 },
		{ ANYRCU_GFP_KERNEL, 32 },
		{ ANYRCU_GFP_KERNEL, 64 },
		{ ANYRCU_GFP_KERNEL, UINT32_MAX },
		{ 3, 0 },
		{ ANYRCU_GFP_ZERO | 3, 0 },
		{ 4, 0 },
		{ 0x200, 0 },
		{ 0x80, 0 },
		{ UINT32_MAX, 0 },
		{ UINT32_MAX, UINT32_MAX },
	};
	struct anyrcu_stats before = stats(), after;

	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!anyrcu_page_alloc(bad[i].gfp, bad[i].order));
	after = stats();
	CHECK(after.pages_failed == before.pages_failed);
	anyrcu_page_free(NULL, 0);
	anyrcu_page_free(NULL, ANYRCU_PAGE_ORDER_MAX);
}

static void free_misaligned(void)
{
	char *page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 1);

	anyrcu_page_free(page + 4096, 1);
}

static void free_inside_page(void)
{
	char *page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);

	anyrcu_page_free(page + 8, 0);
}

static void free_order_out_of_range(void)
{
	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0), ANYRCU_PAGE_ORDER_MAX + 1);
}

/* Takes pages until there is none, and gives all of them back. */
static size_t drain(unsigned gfp, unsigned order)
{
	void *page, *all = NULL;
	size_t n = 0;

	while ((page = anyrcu_page_alloc(gfp, order))) {
		*(void **)page = all;
		all = page;
		n++;
	}
	for (; all; all = page) {
		page = *(void **)all;
		anyrcu_page_free(all, order);
	}
	return n;
}

/* Without a worker, nobody else maps. */
static void drained(void)
{
	for (size_t m = 1; m < COUNT(modes); m++) {
		struct anyrcu_stats before = stats(), after;

		for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++)
			drain(modes[m], order);
		after = stats();
		CHECK(after.pages_mapped <= before.pages_mapped);
		CHECK(after.pages_mapped_high == before.pages_mapped_high);
		if (modes[m] == ANYRCU_GFP_NO_LOCKS)
			CHECK(after.pages_failed_no_locks - before.pages_failed_no_locks ==
			      ANYRCU_PAGE_ORDER_MAX + 1);
		else
			CHECK(after.pages_failed - before.pages_failed ==
			      ANYRCU_PAGE_ORDER_MAX + 1);
	}
}

static void counted_where_from(void)
{
	struct anyrcu_stats before = stats(), after;
	size_t n = drain(ANYRCU_GFP_NO_LOCKS, 0);
	void *page;

	for (int i = 0; i < 100; i++, n++) {
		page = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, i % 4);
		CHECK(page);
		anyrcu_page_free(page, i % 4);
	}
	after = stats();
	CHECK(after.pages_percpu + after.pages_reserve + after.pages_zone - before.pages_percpu -
		      before.pages_reserve - before.pages_zone ==
	      n);
	CHECK(after.pages_mapped && after.pages_mapped_high >= after.pages_mapped);
}

static void worker_refills(void)
{
	static void *page[1 << 16];
	size_t n = 0, more;

	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0), 0);
	for (int round = 0; round < 3; round++) {
		while (n < COUNT(page) && (page[n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)))
			n++;
		more = n;
		UNTIL((page[n] = anyrcu_page_alloc(ANYRCU_GFP_NO_LOCKS, 0)));
		n++;
		CHECK(n > more);
	}
	while (n)
		anyrcu_page_free(page[--n], 0);
}

static void memory_goes_back(void)
{
	static void *page[32];

	for (size_t i = 0; i < COUNT(page); i++) {
		page[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, ANYRCU_PAGE_ORDER_MAX);
		CHECK(page[i]);
		memset(page[i], 1, bytes(ANYRCU_PAGE_ORDER_MAX));
	}
	CHECK(stats().pages_mapped >= COUNT(page) * bytes(ANYRCU_PAGE_ORDER_MAX));
	for (size_t i = 0; i < COUNT(page); i++)
		anyrcu_page_free(page[i], ANYRCU_PAGE_ORDER_MAX);
	UNTIL(stats().pages_mapped < COUNT(page) / 4 * bytes(ANYRCU_PAGE_ORDER_MAX));
	CHECK(stats().pages_mapped_high >= COUNT(page) * bytes(ANYRCU_PAGE_ORDER_MAX));
}

/* What is in use stays, what lies beside it goes. */
static void memory_beside_pages_in_use_goes_back(void)
{
	static void *page[6000], *last;

	for (size_t i = 0; i < COUNT(page); i++) {
		page[i] = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0);
		CHECK(page[i]);
		fill(page[i], 0, i);
	}
	last = anyrcu_page_alloc(ANYRCU_GFP_KERNEL, ANYRCU_PAGE_ORDER_MAX);
	CHECK(last);
	fill(last, ANYRCU_PAGE_ORDER_MAX, 815);
	for (size_t i = 0; i < COUNT(page); i++) {
		if (i % 2000)
			anyrcu_page_free(page[i], 0);
	}
	UNTIL(stats().pages_mapped < COUNT(page) * bytes(0));
	for (size_t i = 0; i < COUNT(page); i += 2000) {
		CHECK(filled_with(page[i], 0, i));
		anyrcu_page_free(page[i], 0);
	}
	CHECK(filled_with(last, ANYRCU_PAGE_ORDER_MAX, 815));
	anyrcu_page_free(last, ANYRCU_PAGE_ORDER_MAX);
}

static void idle_memory_goes_back(void)
{
	object_defer(0);
	pool_check();
	memory_goes_back();
}

/* In a program that uses pages and nothing else, too. */
static void idle_memory_goes_back_without_deferral(void)
{
	memory_goes_back();
}

#if !ASAN && !TSAN /* whose runtimes make system calls of their own */
static void no_system_call(void)
{
	struct sock_filter allow_exit[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { .len = COUNT(allow_exit), .filter = allow_exit };
	size_t n = 0;

	anyrcu_page_free(anyrcu_page_alloc(ANYRCU_GFP_KERNEL, 0), 0);
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	for (int round = 0; round < 100; round++) {
		for (unsigned order = 0; order <= ANYRCU_PAGE_ORDER_MAX; order++)
			n += drain(ANYRCU_GFP_NO_LOCKS, order);
	}
	_exit(n ? 0 : 1);
}
#endif

#define SHARED 64
static void *_Atomic shared_pages[4][SHARED];
static _Atomic long in_handlers, overlaps;
static _Atomic bool stop;
static __thread unsigned seed __attribute__((tls_model("initial-exec")));

static unsigned rnd(void)
{
	return (seed = seed * 1664525u + 1013904223u) >> 8;
}

/*
 * Who has a page writes its address all over it, and finds it there when the page is taken out
 * again.
 */
static void exchange(unsigned gfp)
{
	unsigned r = rnd(), order = r % 4;
	void *page = NULL;

	if (r & 16) {
		page = anyrcu_page_alloc(gfp, order);
		if (page)
			fill(page, order, (uintptr_t)page);
	}
	page = atomic_exchange(&shared_pages[order][r / 32 % SHARED], page);
	if (!page)
		return;
	if (!filled_with(page, order, (uintptr_t)page))
		atomic_fetch_add(&overlaps, 1);
	anyrcu_page_free(page, order);
}

static void exchange_in_handler(int sig)
{
	exchange(ANYRCU_GFP_NO_LOCKS);
	atomic_fetch_add(&in_handlers, 1);
}

static void *exchanges(void *arg)
{
	timer_t t = ticks_start(SIGRTMIN, 100);

	seed = (unsigned)(uintptr_t)arg;
	while (!atomic_load(&stop))
		exchange(modes[rnd() % 3]);
	timer_delete(t);
	return NULL;
}

static void threads_and_handlers(void)
{
	pthread_t t[4];

	handle(SIGRTMIN, exchange_in_handler, 0);
	for (size_t i = 0; i < COUNT(t); i++)
		t[i] = thread_start(exchanges, (void *)(i + 1));
	UNTIL(atomic_load(&in_handlers) > SCALED(10000));
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(t); i++)
		thread_join(t[i]);
	CHECK(!atomic_load(&overlaps));
	for (unsigned order = 0; order < 4; order++) {
		for (size_t i = 0; i < SHARED; i++)
			anyrcu_page_free(atomic_load(&shared_pages[order][i]), order);
	}
}

static const struct test_case cases[] = {
	CASE(every_order),
	CASE(zeroes),
	CASE(distinct),
	CASE(arguments_out_of_range),
	CASE(free_misaligned, .sig = SIGABRT, .says = { "anyrcu_page_free" }),
	CASE(free_inside_page, .sig = SIGABRT, .says = { "anyrcu_page_free" }),
	CASE(free_order_out_of_range, .sig = SIGABRT, .says = { "anyrcu_page_free" }),
	CASE(drained, .env = { "ANYRCU_WORKERS=0" }),
	CASE(counted_where_from, .env = { "ANYRCU_WORKERS=0" }),
	CASE(worker_refills),
	CASE(memory_beside_pages_in_use_goes_back),
	CASE(idle_memory_goes_back),
	CASE(idle_memory_goes_back_without_deferral),
#if !ASAN && !TSAN
	CASE(no_system_call, .env = { "ANYRCU_WORKERS=0" }),
#endif
	CASE(threads_and_handlers),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, COUNT(cases));
}
