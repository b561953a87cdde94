// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Kinds of programs that wait with the C++ library, or use its locks wrongly, in pairs; see
// kinds.h.
#include "kinds.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using guard = std::lock_guard<std::mutex>;

// ---- waits ----

static void any_condition()
{
	std::shared_mutex state;
	std::mutex other;
	std::condition_variable_any cond;
	bool set = false;
	std::atomic<bool> had{ false };
	std::thread signaller([&] {
		{
			guard held(other);
		}
		had = true;
		first_sleeps();
		std::unique_lock<std::shared_mutex> writes(state);
		set = true;
		cond.notify_all();
	});

	while (!had)
		std::this_thread::yield();
	std::unique_lock<std::mutex> held(other, std::defer_lock);
	if (wrong)
		held.lock();
	std::shared_lock<std::shared_mutex> reads(state);
	cond.wait(reads, [&] { return set; });
	reads.unlock();
	held = {};
	signaller.join();
}

// What sets a value takes what is held where that is waited for.
static void promise()
{
	std::promise<int> result;
	std::mutex m;
	auto future = result.get_future();
	std::atomic<bool> had{ false };
	std::thread setter([&] {
		{
			guard held(m);
		}
		had = true;
		first_sleeps();
		result.set_value(1);
	});

	while (!had)
		std::this_thread::yield();
	std::unique_lock<std::mutex> held(m, std::defer_lock);
	if (wrong)
		held.lock();
	future.get();
	held = {};
	setter.join();
}

class pool {
	std::mutex lock;
	std::condition_variable more;
	std::deque<std::packaged_task<void()>> tasks;
	bool ends = false;
	std::thread worker{ [this] { work(); } };

	void work()
	{
		std::unique_lock<std::mutex> held(lock);

		for (;;) {
			more.wait(held, [this] { return ends || !tasks.empty(); });
			if (tasks.empty())
				return;
			auto task = std::move(tasks.front());
			tasks.pop_front();
			held.unlock();
			task();
			held.lock();
		}
	}

public:
	std::future<void> submit(std::function<void()> f)
	{
		std::packaged_task<void()> task(std::move(f));
		auto result = task.get_future();
		guard held(lock);

		tasks.push_back(std::move(task));
		more.notify_one();
		return result;
	}

	~pool()
	{
		{
			guard held(lock);
			ends = true;
		}
		more.notify_all();
		worker.join();
	}
};

// With the lock held that a task takes its end is waited for.
static void thread_pool()
{
	std::mutex m;
	std::atomic<bool> had{ false };
	pool p;
	auto task = p.submit([&] {
		{
			guard held(m);
		}
		had = true;
		first_sleeps();
	});

	while (!had)
		std::this_thread::yield();
	std::unique_lock<std::mutex> held(m, std::defer_lock);
	if (wrong)
		held.lock();
	task.get();
}

static void joined()
{
	std::mutex m;
	std::thread t([&] { guard held(m); });

	std::this_thread::sleep_for(50ms);
	std::unique_lock<std::mutex> held(m);
	if (!wrong)
		held.unlock();
	t.join();
}

static std::mutex registry;

struct registered {
	~registered()
	{
		guard held(registry);
	}
};

static void thread_local_destructor()
{
	std::thread t([] {
		thread_local registered r;

		(void)&r;
	});

	std::this_thread::sleep_for(50ms);
	std::unique_lock<std::mutex> held(registry);
	if (!wrong)
		held.unlock();
	t.join();
}

// ---- misuse ----

static void exception()
{
	static std::mutex m;

	std::thread([] {
		try {
			std::unique_lock<std::mutex> held(m);

			if (wrong)
				held.release();
			throw std::runtime_error("expected");
		} catch (const std::exception &) {
		}
	}).join();
}

static void moved_lock()
{
	std::mutex m;
	std::unique_lock<std::mutex> held(m);
	auto leave = [moved = std::move(held)]() mutable { moved.unlock(); };

	if (wrong)
		std::thread([&] { leave(); }).join();
	else
		leave();
}

static const kind kinds[] = {
	KIND(any_condition),
	KIND(promise),
	KIND(thread_pool),
	KIND(joined),
	KIND(thread_local_destructor),
	KIND(exception),
	KIND(moved_lock),
};
KINDS_MAIN(kinds)
