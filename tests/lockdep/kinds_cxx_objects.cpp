// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Kinds of programs in C++ whose objects lock what they consist of, in pairs; see kinds.h.
#include "kinds.h"

#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using guard = std::lock_guard<std::mutex>;

static void in_thread(const std::function<void()> &f)
{
	std::thread(f).join();
}

static void in_order(std::mutex &first, std::mutex &second)
{
	guard one(first);
	guard two(second);
}

// ---- references ----

struct session {
	std::mutex &registry;

	explicit session(std::mutex &r) : registry(r)
	{
	}

	~session()
	{
		guard held(registry);
	}
};

static void last_reference()
{
	std::mutex registry, queue;
	auto one = std::make_shared<session>(registry);

	in_thread([&] { in_order(registry, queue); });
	in_thread([&] {
		std::unique_lock<std::mutex> held(queue);
		auto mine = std::move(one);

		if (!wrong)
			held.unlock();
		mine.reset();
	});
}

// A pool has a lock of its own, with which it asks for more below.
class below : public std::pmr::memory_resource {
	void *do_allocate(size_t n, size_t alignment) override
	{
		std::lock_guard<std::recursive_mutex> held(lock);
		return std::pmr::new_delete_resource()->allocate(n, alignment);
	}

	void do_deallocate(void *p, size_t n, size_t alignment) override
	{
		std::lock_guard<std::recursive_mutex> held(lock);
		std::pmr::new_delete_resource()->deallocate(p, n, alignment);
	}

	bool do_is_equal(const memory_resource &other) const noexcept override
	{
		return this == &other;
	}

public:
	std::recursive_mutex lock;
};

static void pool_resource()
{
	below upstream;
	std::pmr::synchronized_pool_resource pool(&upstream);

	in_thread([&] { pool.deallocate(pool.allocate(100000), 100000); });
	in_thread([&] {
		std::unique_lock<std::recursive_mutex> held(upstream.lock);

		if (!wrong)
			held.unlock();
		pool.release();
	});
}

// ---- callbacks ----

template <class Lock> struct unlocked {
	Lock &lock;

	explicit unlocked(Lock &l) : lock(l)
	{
		lock.unlock();
	}

	~unlocked()
	{
		lock.lock();
	}
};

static void unlocked_for_callback()
{
	std::mutex state, user;

	in_thread([&] { in_order(user, state); });
	in_thread([&] {
		std::unique_lock<std::mutex> held(state);
		auto callback = [&] { guard takes(user); };

		if (wrong) {
			callback();
		} else {
			unlocked<std::unique_lock<std::mutex>> while_called(held);
			callback();
		}
	});
}

// A deferred call runs where its result is asked for, with what is held there.
static void deferred_call()
{
	std::mutex cache, disk;

	in_thread([&] { in_order(disk, cache); });
	in_thread([&] {
		auto reads = std::async(std::launch::deferred, [&] {
			guard held(disk);
			return 1;
		});
		std::unique_lock<std::mutex> held(cache);

		if (!wrong)
			held.unlock();
		reads.get();
	});
}

// ---- values with locks ----

template <class T> class monitor {
	std::mutex lock;
	T value{};

	struct proxy {
		std::unique_lock<std::mutex> held;
		T *p;

		T *operator->()
		{
			return p;
		}
	};

public:
	proxy operator->()
	{
		return { std::unique_lock<std::mutex>(lock), &value };
	}
};

struct number {
	int n = 1;
};

// What is locked for an expression is locked to its end.
static void monitors()
{
	monitor<number> x, y;
	int sum = 0;

	in_thread([&] { sum += (x->n << 1) + y->n; });
	in_thread([&] {
		if (wrong) {
			sum += (y->n << 1) + x->n;
		} else {
			int first = y->n;

			sum += first + x->n;
		}
	});
}

class value {
	std::mutex lock;
	int n = 0;

public:
	noinline value &operator=(value &other)
	{
		if (this == &other)
			return *this;
		if (wrong) {
			guard mine(lock);
			guard its(other.lock);
			n = other.n;
		} else {
			std::scoped_lock both(lock, other.lock);
			n = other.n;
		}
		return *this;
	}
};

static void assigned()
{
	value x, y;

	in_thread([&] { x = y; });
	in_thread([&] { y = x; });
}

// It knows the level of each thread, and refuses none here.
class levelled_mutex {
	std::mutex m;
	unsigned long level, before = 0;
	static thread_local unsigned long now;

public:
	explicit levelled_mutex(unsigned long l) : level(l)
	{
	}

	void lock()
	{
		m.lock();
		before = now;
		now = level;
	}

	void unlock()
	{
		now = before;
		m.unlock();
	}

	static unsigned long level_now()
	{
		return now;
	}
};

thread_local unsigned long levelled_mutex::now = ULONG_MAX;

static void levels()
{
	levelled_mutex high(1000), low(10);

	in_thread([&] {
		std::lock_guard<levelled_mutex> one(high);
		std::lock_guard<levelled_mutex> two(low);
	});
	in_thread([&] {
		std::lock_guard<levelled_mutex> one(wrong ? low : high);
		std::lock_guard<levelled_mutex> two(wrong ? high : low);
	});
}

// ---- ends ----

struct per_thread {
	std::mutex *outer = nullptr, *inner = nullptr;

	~per_thread()
	{
		if (outer)
			in_order(*outer, *inner);
	}
};

static void order_in_thread_local()
{
	std::mutex a, b;

	for (bool other : { false, true })
		in_thread([&] {
			thread_local per_thread p;

			p.outer = wrong && other ? &b : &a;
			p.inner = wrong && other ? &a : &b;
		});
}

static std::mutex at_end_a, at_end_b;

struct at_end {
	bool active = false;

	~at_end()
	{
		if (active)
			in_order(at_end_a, at_end_b);
	}
};

// What is static is destroyed while threads run that nobody waited for.
static void static_destructor()
{
	static at_end object;
	std::promise<void> done;

	object.active = true;
	std::thread([&] {
		in_order(wrong ? at_end_b : at_end_a, wrong ? at_end_a : at_end_b);
		done.set_value();
		for (;;)
			pause();
	}).detach();
	done.get_future().wait();
}

static void told_at_thread_exit()
{
	std::mutex state, other;
	std::condition_variable ended;
	bool over = false;
	std::atomic<bool> had{ false };
	std::thread t([&] {
		{
			guard held(other);
		}
		had = true;
		first_sleeps();
		std::unique_lock<std::mutex> held(state);
		over = true;
		std::notify_all_at_thread_exit(ended, std::move(held));
	});

	while (!had)
		std::this_thread::yield();
	std::unique_lock<std::mutex> outer(other, std::defer_lock);
	if (wrong)
		outer.lock();
	std::unique_lock<std::mutex> held(state);
	ended.wait(held, [&] { return over; });
	held.unlock();
	outer = {};
	t.join();
}

// ---- misuse ----

static void adopted()
{
	static std::mutex m;

	in_thread([] {
		if (!wrong)
			m.lock();
		guard held(m, std::adopt_lock);
	});
}

static void mutex_of_freed_object()
{
	struct object {
		std::mutex lock;
	};
	auto one = std::make_unique<object>();
	std::unique_lock<std::mutex> held(one->lock);

	if (wrong)
		held.release();
	else
		held.unlock();
	one.reset();
}

static const kind kinds[] = {
	KIND(last_reference),
	KIND(pool_resource),
	KIND(unlocked_for_callback),
	KIND(deferred_call),
	KIND(monitors),
	KIND(assigned),
	KIND(levels),
	KIND(order_in_thread_local),
	KIND(static_destructor),
	KIND(told_at_thread_exit),
	KIND(adopted),
	KIND(mutex_of_freed_object),
};
KINDS_MAIN(kinds)
