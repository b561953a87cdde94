/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * anyrcu/rcu.hpp: a case for each clause of [saferecl.rcu], for each context that it may be called
 * from, and for what it has beyond the draft. docs/rcu-hpp.md names the cases. Each runs in a
 * process of its own.
 *
 * usage: rcu_hpp [CASE]		run all cases, or one
 */
#include <anyrcu/rcu.hpp>

#include <anyrcu/anyrcu.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(x)                                                                             \
	do {                                                                                 \
		if (!(x)) {                                                                  \
			std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #x); \
			_exit(1);                                                            \
		}                                                                            \
	} while (0)

namespace
{

struct test {
	const char *name;
	void (*body)();
	int sig; /* that ends it; 0: none */
	test *next;
	static test *first;

	test(const char *n, void (*b)(), int s) : name(n), body(b), sig(s), next(first)
	{
		first = this;
	}
};
test *test::first;

#define CASE_ENDS_BY(name, sig)             \
	void name();                        \
	test test_##name(#name, name, sig); \
	void name()
#define CASE(name) CASE_ENDS_BY(name, 0)

void sleep_ms(int ms)
{
	std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

/* Wait for what must come. */
template <class F> void until(F f)
{
	while (!f())
		sleep_ms(1);
}

/* A region in another thread. */
struct holder {
	std::atomic<int> step{0};
	std::thread t{[this] {
		anyrcu::rcu_reader r;
		step = 1;
		until([this] { return step == 2; });
	}};

	holder()
	{
		until([this] { return step == 1; });
	}

	void leave()
	{
		step = 2;
		t.join();
	}
};

std::atomic<int> deleted;
#if defined(__cpp_exceptions)
bool no_memory; /* operator new fails */
#endif

struct node : anyrcu::rcu_obj_base<node> {
	int x = 0;

	~node()
	{
		deleted++;
	}
};

} // namespace

#if defined(__cpp_exceptions)
/* Not inlined: gcc would warn of free() on what operator new has returned. */
[[gnu::noinline]] void *operator new(std::size_t n)
{
	void *p = no_memory ? nullptr : std::malloc(n);

	if (!p)
		throw std::bad_alloc();
	return p;
}

[[gnu::noinline]] void *operator new(std::size_t n, const std::nothrow_t &) noexcept
{
	return no_memory ? nullptr : std::malloc(n);
}

[[gnu::noinline]] void operator delete(void *p) noexcept
{
	std::free(p);
}

[[gnu::noinline]] void operator delete(void *p, std::size_t) noexcept
{
	std::free(p);
}
#endif

namespace
{

/* ---- [saferecl.rcu.general] ---- */

CASE(region_holds_evaluation_back)
{
	holder h;

	(new node)->retire();
	anyrcu::rcu_retire(new node);
	sleep_ms(50);
	CHECK(deleted == 0);
	h.leave();
	anyrcu::rcu_barrier();
	CHECK(deleted == 2);
}

CASE(regions_nest)
{
	anyrcu::rcu_domain &d = anyrcu::rcu_default_domain();
	std::atomic<bool> over{false};

	d.lock();
	d.lock();
	(new node)->retire();
	d.unlock();
	CHECK(anyrcu_read_lock_held());
	std::thread t([&] {
		anyrcu::rcu_synchronize();
		over = true;
	});
	sleep_ms(50);
	CHECK(!over && deleted == 0);
	d.unlock();
	CHECK(!anyrcu_read_lock_held());
	t.join();
	anyrcu::rcu_barrier();
	CHECK(deleted == 1);
}

/* ---- [saferecl.rcu.base] ---- */

struct later; /* incomplete */
using base_of_later = anyrcu::rcu_obj_base<later>;
struct later : base_of_later {
	~later()
	{
		deleted++;
	}
};

struct plain : anyrcu::rcu_obj_base<plain> {
	int x;
};
static_assert(std::is_trivially_copyable<plain>::value, "as the deleter is");
static_assert(sizeof(plain) == 3 * sizeof(void *), "an empty deleter takes no room");
static_assert(noexcept(std::declval<plain &>().retire()), "");
static_assert(!std::is_constructible<anyrcu::rcu_obj_base<plain>>::value, "protected");
static_assert(!std::is_destructible<anyrcu::rcu_obj_base<plain>>::value, "protected");

CASE(incomplete_type)
{
	(new later)->retire();
	anyrcu::rcu_barrier();
	CHECK(deleted == 1);
}

CASE(copies_are_objects_of_their_own)
{
	node *a = new node, *b = new node(*a), *c = new node(std::move(*a));

	*b = *a;
	*c = std::move(*b);
	a->retire();
	node *d = new node(*a);
	b->retire();
	c->retire();
	d->retire();
	anyrcu::rcu_barrier();
	CHECK(deleted == 4);
}

/* With state, and moved alone. */
struct counting {
	std::unique_ptr<int> n;

	template <class T> void operator()(T *p) const
	{
		delete p;
		deleted += *n; /* the deleter outlives what it deletes */
	}
};

struct counted : anyrcu::rcu_obj_base<counted, counting> {
};
static_assert(!std::is_copy_constructible<counting>::value, "");

CASE(deleter_with_state)
{
	(new counted)->retire(counting{std::make_unique<int>(7)});
	anyrcu::rcu_barrier();
	CHECK(deleted == 7);
}

struct last final {
	void operator()(struct ended *p) const;
};

struct ended : anyrcu::rcu_obj_base<ended, last> {
};

void last::operator()(ended *p) const
{
	delete p;
	deleted++;
}

CASE(deleter_that_is_final)
{
	(new ended)->retire();
	anyrcu::rcu_barrier();
	CHECK(deleted == 1);
}

struct assignable { /* the copy constructor is for the parameter of retire() */
	int n = 0;

	assignable() = default;
	explicit assignable(int k) : n(k) {}
	assignable(const assignable &) = default;
	assignable &operator=(assignable &&other) noexcept
	{
		n = other.n;
		other.n = 0;
		return *this;
	}
	template <class T> void operator()(T *p)
	{
		deleted += n;
		delete p;
	}
};

struct assigned : anyrcu::rcu_obj_base<assigned, assignable> {
};

CASE(deleter_is_move_assigned)
{
	(new assigned)->retire(assignable(3));
	anyrcu::rcu_barrier();
	CHECK(deleted == 3);
}

struct left {
	virtual ~left() = default;
	long a = 1;
};

struct right {
	long b = 2;
};

struct many : left, right, anyrcu::rcu_obj_base<many> {
	std::string s = "a string that is too long to be stored in place";

	many *operator&() = delete;
	~many() override
	{
		deleted += a == 1 && b == 2;
	}
};

CASE(multiple_inheritance_and_address_operator)
{
	(new many)->retire();
	anyrcu::rcu_retire(new many);
	anyrcu::rcu_barrier();
	CHECK(deleted == 2);
}

struct virtual_base : anyrcu::rcu_obj_base<virtual_base> {
	virtual ~virtual_base() = default;
};

struct derived : virtual_base {
	~derived() override
	{
		deleted++;
	}
};

CASE(class_derived_from_a_protectable_one)
{
	(new derived)->retire();
	anyrcu::rcu_unique_ptr<derived>(new derived).reset();
	anyrcu::rcu_unique_ptr<virtual_base> p(anyrcu::rcu_unique_ptr<derived>(new derived));
	p.reset();
	anyrcu::rcu_barrier();
	CHECK(deleted == 3);
}

/* ---- [saferecl.rcu.domain] ---- */

static_assert(!std::is_copy_constructible<anyrcu::rcu_domain>::value, "");
static_assert(!std::is_copy_assignable<anyrcu::rcu_domain>::value, "");
static_assert(!std::is_default_constructible<anyrcu::rcu_domain>::value, "");
static_assert(noexcept(anyrcu::rcu_default_domain()), "");
static_assert(noexcept(anyrcu::rcu_default_domain().lock()), "");
static_assert(noexcept(anyrcu::rcu_default_domain().try_lock()), "");
static_assert(noexcept(anyrcu::rcu_default_domain().unlock()), "");
static_assert(noexcept(anyrcu::rcu_synchronize()) &&noexcept(anyrcu::rcu_barrier()), "");
static_assert(std::is_same<decltype(anyrcu::rcu_default_domain().try_lock()), bool>::value, "");
static_assert(std::is_same<decltype(anyrcu::rcu_default_domain()), anyrcu::rcu_domain &>::value,
	      "");

CASE(domain_is_lockable)
{
	anyrcu::rcu_domain &d = anyrcu::rcu_default_domain();
	std::mutex m;

	{
		std::scoped_lock<anyrcu::rcu_domain> l(d);
		CHECK(anyrcu_read_lock_held());
	}
	{
		std::scoped_lock both(d, m);
		CHECK(anyrcu_read_lock_held());
	}
	CHECK(!anyrcu_read_lock_held());
	std::unique_lock<anyrcu::rcu_domain> l(d, std::try_to_lock);
	CHECK(l.owns_lock() && anyrcu_read_lock_held());
	std::unique_lock<anyrcu::rcu_domain> other(std::move(l));
	other.unlock();
	CHECK(!anyrcu_read_lock_held());
	CHECK(d.try_lock());
	d.unlock();
	{
		anyrcu::rcu_reader r(d);
		CHECK(anyrcu_read_lock_held());
	}
	CHECK(!anyrcu_read_lock_held());
}

CASE(default_domain_is_one_object)
{
	anyrcu::rcu_domain *d = &anyrcu::rcu_default_domain(), *other = nullptr;

	CHECK(d == &anyrcu::rcu_default_domain());
	std::thread([&] { other = &anyrcu::rcu_default_domain(); }).join();
	CHECK(d == other);
}

CASE(synchronize_waits_for_regions)
{
	int seen = 0;
	holder h;
	std::thread t([&] {
		sleep_ms(20);
		seen = 1; /* what is before the end of the region happens before the return */
		h.step = 2;
	});

	anyrcu::rcu_synchronize(anyrcu::rcu_default_domain());
	CHECK(seen == 1);
	t.join();
	h.t.join();
}

CASE(barrier_waits_for_evaluations)
{
	static int plain_count; /* not atomic: evaluations happen before the return */

	for (int i = 0; i < 1000; i++)
		anyrcu::rcu_retire(new int, [](int *p) {
			delete p;
			__atomic_fetch_add(&plain_count, 1, __ATOMIC_RELAXED);
		});
	anyrcu::rcu_barrier(anyrcu::rcu_default_domain());
	CHECK(plain_count == 1000);
}

#if defined(__cpp_exceptions)
struct throws_when_moved {
	throws_when_moved() = default;
	throws_when_moved(throws_when_moved &&)
	{
		throw 5;
	}
	void operator()(int *) const
	{
		deleted++;
	}
	int state = 0;
};

CASE(retire_throws_what_the_move_throws)
{
	int x = 0, caught = 0;

	try {
		anyrcu::rcu_retire(&x, throws_when_moved());
	} catch (int e) {
		caught = e;
	}
	anyrcu::rcu_barrier();
	CHECK(caught == 5 && deleted == 0);
}

CASE(retire_throws_bad_alloc)
{
	int x = 0;
	bool caught = false;

	no_memory = true;
	try {
		anyrcu::rcu_retire(&x, [&x](int *) { deleted = 1 + x; });
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	no_memory = false;
	anyrcu::rcu_barrier();
	CHECK(caught && deleted == 0);
}

CASE_ENDS_BY(deleter_throws, SIGABRT)
{
	CHECK(std::freopen("/dev/null", "w", stderr)); /* where the C++ library says so */
	anyrcu::rcu_retire(new int, [](int *) { throw 1; });
	anyrcu::rcu_barrier();
}

/* Neither retire() nor rcu_retire() without state, nor deferred_delete, needs operator new. */
CASE(retire_without_memory)
{
	node *a = new node, *b = new node, *c = new node;

	no_memory = true;
	a->retire();
	anyrcu::rcu_retire(b);
	anyrcu::rcu_unique_ptr<node>(c).reset();
	anyrcu::rcu_barrier();
	no_memory = false;
	CHECK(deleted == 3);
}
#endif

CASE(retire_with_deleters_of_all_kinds)
{
	std::unique_ptr<int> state = std::make_unique<int>(1);
	struct by_state {
		std::unique_ptr<int> n;
		void operator()(const int *p) const
		{
			deleted += *n;
			delete p;
		}
	};

	anyrcu::rcu_retire(new node);
	anyrcu::rcu_retire(std::malloc(10), std::free);
	anyrcu::rcu_retire(static_cast<int *>(std::malloc(sizeof(int))), std::free);
	anyrcu::rcu_retire(new const int(3), by_state{std::move(state)});
	anyrcu::rcu_retire(
		new int, +[](int *p) {
			deleted++;
			delete p;
		});
	anyrcu::rcu_retire(static_cast<node *>(nullptr));
	CHECK(anyrcu::rcu_try_retire(new node));
	CHECK(anyrcu::rcu_try_retire(std::malloc(10), std::free));
	anyrcu::rcu_barrier();
	CHECK(deleted == 4);
}

/* ---- any context ---- */

std::mutex shared_lock;

struct locking {
	template <class T> void operator()(T *p) const
	{
		std::lock_guard<std::mutex> l(shared_lock);
		delete p;
		deleted++;
	}
};

struct locked : anyrcu::rcu_obj_base<locked, locking> {
};

/* The deadlock of an implementation whose retire or unlock invokes what is ready. */
CASE(retire_under_a_lock_that_the_deleter_takes)
{
	for (int i = 0; i < 20000; i++) {
		std::lock_guard<std::mutex> l(shared_lock);
		anyrcu::rcu_reader r;

		(new locked)->retire();
		anyrcu::rcu_retire(new int, locking());
		if (i % 1000 == 0)
			sleep_ms(12); /* what there is becomes ready */
	}
	anyrcu::rcu_barrier();
	CHECK(deleted == 40000);
}

struct in_this_thread : anyrcu::rcu_obj_base<in_this_thread> {
	std::thread::id retired_by = std::this_thread::get_id();

	~in_this_thread()
	{
		CHECK(retired_by != std::this_thread::get_id());
		deleted++;
	}
};

CASE(deleters_are_not_invoked_inline)
{
	for (int i = 0; i < 50000; i++) {
		anyrcu::rcu_reader r;
		(new in_this_thread)->retire();
	}
	until([] { return deleted == 50000; });
}

struct chain : anyrcu::rcu_obj_base<chain> {
	chain *next;

	explicit chain(chain *n) : next(n) {}
	~chain()
	{
		anyrcu::rcu_reader r;

		deleted++;
		if (next)
			next->retire();
	}
};

CASE(retire_in_a_destructor)
{
	chain *c = nullptr;

	for (int i = 0; i < 20; i++)
		c = new chain(c);
	c->retire();
	for (int i = 0; i < 20; i++)
		anyrcu::rcu_barrier(); /* covers what was retired before it */
	CHECK(deleted == 20);
}

struct retires_at_exit {
	~retires_at_exit()
	{
		(new node)->retire();
		anyrcu::rcu_retire(new node);
		anyrcu::rcu_retire(new int, [n = 1](int *p) {
			delete p;
			deleted += n;
		});
	}
};

CASE(retire_in_a_thread_that_exits)
{
	std::vector<std::thread> threads;

	for (int i = 0; i < 50; i++)
		threads.emplace_back([] {
			static thread_local retires_at_exit at_exit;
			anyrcu::rcu_reader r;

			static_cast<void>(at_exit);
		});
	for (std::thread &t : threads)
		t.join();
	anyrcu::rcu_barrier();
	CHECK(deleted == 150);
}

/* In the child, both what was pending at the fork and what it retires itself are deleted. */
CASE(retire_in_the_child_of_a_fork)
{
	int status;

	for (int i = 0; i < 100; i++)
		(new node)->retire();
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 100; i++) {
			(new node)->retire();
			anyrcu::rcu_retire(new node);
		}
		{
			anyrcu::rcu_reader r;
		}
		anyrcu::rcu_synchronize();
		anyrcu::rcu_barrier();
		_exit(deleted != 300);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	anyrcu::rcu_barrier();
	CHECK(deleted == 100);
}

/*
 * A handler that takes nodes from a stock, publishes them and retires what it replaces, while the
 * thread that it interrupts does the same, and reads.
 */
constexpr int stock_size = 20000;
node *stock[stock_size];
std::atomic<int> stock_used;
anyrcu::rcu_ptr<node> published;
std::atomic<int> ticks;

void replace_from_stock()
{
	int i = stock_used++;

	if (i >= stock_size)
		return;
	node *old = published.exchange(stock[i]);
	if (old && i % 2)
		old->retire();
	else if (old && !anyrcu::rcu_try_retire(old))
		old->retire();
}

void on_tick(int)
{
	anyrcu::rcu_reader r;

	ticks++;
	CHECK(published->x == 0);
	replace_from_stock();
}

CASE(retire_in_a_signal_handler)
{
	itimerval every = {{0, 500}, {0, 500}}, never = {};

	for (node *&n : stock)
		n = new node;
	replace_from_stock();
	std::signal(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &every, nullptr);
	while (stock_used < stock_size || ticks < 20) {
		anyrcu::rcu_reader r;

		CHECK(published->x == 0);
		replace_from_stock();
	}
	setitimer(ITIMER_REAL, &never, nullptr);
	published.exchange(nullptr)->retire();
	anyrcu::rcu_barrier();
	CHECK(deleted == stock_size);
}

CASE(try_retire_may_refuse_and_retire_may_not)
{
	anyrcu_config c = {};
	std::vector<node *> refused;
	int n = 0;

	c.size = sizeof(c);
	c.pending_max = 1024;
	CHECK(anyrcu_init(&c) == 0);
	holder h;
	for (; n < 100000 && refused.empty(); n++) {
		node *p = new node;
		if (!anyrcu::rcu_try_retire(p))
			refused.push_back(p);
	}
	CHECK(!refused.empty());
	for (node *p : refused)
		p->retire();
	for (int i = 0; i < 1000; i++) {
		anyrcu::rcu_retire(new node);
		anyrcu::rcu_unique_ptr<node>(new node).reset();
		n += 2;
	}
	CHECK(deleted == 0);
	h.leave();
	anyrcu::rcu_barrier();
	CHECK(deleted == n);
}

/* ---- beyond the draft ---- */

CASE(pointers_and_owners)
{
	anyrcu::rcu_ptr<node> p(new node);
	std::atomic<int *> a{new int(3)};
	int *plain_pointer = a;

	{
		anyrcu::rcu_reader r;
		CHECK(p && p->x == 0 && (*p).x == 0 && anyrcu::rcu_dereference(p) == p.load());
		CHECK(*anyrcu::rcu_dereference(a) == 3 &&
		      *anyrcu::rcu_dereference(plain_pointer) == 3);
	}
	p.replace(std::make_unique<node>());
	node *expected = nullptr, *mine = new node;
	CHECK(!p.compare_exchange(expected, mine) && expected == p.load());
	CHECK(p.compare_exchange(expected, mine));
	expected->retire_sized(sizeof(node));
	p.store(nullptr);
	mine->retire();
	CHECK(!p);
	p.replace();
	anyrcu::rcu_unique_ptr<int> owned(a.exchange(nullptr));
	owned.reset();
	anyrcu::rcu_barrier();
	CHECK(deleted == 3);
}

struct in_cache : anyrcu::rcu_obj_base<in_cache, anyrcu::cache_delete<in_cache>> {
	std::string s = "a string that is too long to be stored in place";

	~in_cache()
	{
		deleted += s.size() > 20;
	}
};

struct without_base {
	int x;
	std::string s;

	explicit without_base(int n) : x(n) {}
	~without_base()
	{
		deleted++;
	}
};

struct alignas(64) trivial {
	long x;
};

CASE(object_caches)
{
	anyrcu::rcu_cache<in_cache> a("in_cache");
	anyrcu::rcu_cache<without_base> b;
	anyrcu::rcu_cache<trivial> c;

	for (int i = 0; i < 1000; i++) {
		without_base *w = b.make(i);
		trivial *t = c.make();

		CHECK(w->x == i && reinterpret_cast<std::uintptr_t>(t) % 64 == 0);
		a.retire(a.make());
		b.retire(w);
		c.retire(t);
	}
	in_cache *object = a.try_make();
	CHECK(object);
	std::unique_ptr<in_cache, anyrcu::cache_delete<in_cache>> owned(object);
	owned.reset();
	anyrcu::rcu_barrier();
	CHECK(deleted == 2001);
}

int run(const char *self, const test *t)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(300); /* against a hang, on a machine however busy */
		execl(self, self, "--case", t->name, nullptr);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status) ? WTERMSIG(status) == t->sig
				: t->sig == 0 && WEXITSTATUS(status) == 0)
		return 0;
	std::fprintf(stderr, "%s: failed (status 0x%x)\n", t->name, static_cast<unsigned>(status));
	return 1;
}

} // namespace

int main(int argc, char **argv)
{
	int failed = 0, passed = 0;

	for (test *t = test::first; t; t = t->next) {
		if (argc == 3 && !std::strcmp(t->name, argv[2])) {
			t->body();
			return 0;
		}
		if (argc == 1 || (argc == 2 && !std::strcmp(t->name, argv[1])))
			run("/proc/self/exe", t) ? failed++ : passed++;
	}
	std::printf("%d passed, %d failed\n", passed, failed);
	return failed != 0 || passed == 0;
}
