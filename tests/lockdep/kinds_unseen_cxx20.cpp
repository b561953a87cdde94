// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Kinds of programs whose waits are compiled into them from the headers of the C++ library, without
// a call that could be seen, in pairs; see kinds.h. The wrong ones are missed.
#include "kinds_cxx20.hpp"

#include <barrier>
#include <latch>
#include <semaphore>

using namespace std::chrono_literals;

static void latch()
{
	std::latch done(1);

	waits_with_lock([&] { done.count_down(); }, [&] { done.wait(); });
}

static void completion_of_barrier()
{
	std::mutex m;
	std::atomic<int> rounds{ 0 };
	auto completion = [&]() noexcept {
		if (rounds++ == 0)
			guard held(m);
	};
	std::barrier phase(2, completion);
	std::jthread t([&] {
		phase.arrive_and_wait();
		std::this_thread::sleep_for(50ms);
		phase.arrive_and_wait();
	});

	phase.arrive_and_wait();
	std::unique_lock<std::mutex> held(m, std::defer_lock);
	if (wrong)
		held.lock();
	phase.arrive_and_wait();
}

static void semaphore_as_lock()
{
	std::binary_semaphore one(1);
	std::mutex m;

	in_thread([&] {
		one.acquire();
		{
			guard held(m);
		}
		one.release();
	});
	in_thread([&] {
		std::unique_lock<std::mutex> held(m, std::defer_lock);

		if (wrong)
			held.lock();
		one.acquire();
		one.release();
	});
}

static std::mutex static_lock;

struct made_with_lock {
	made_with_lock()
	{
		guard held(static_lock);
	}
};

static noinline made_with_lock &instance()
{
	static made_with_lock object;

	return object;
}

// A variable of a function is made by the first that calls it; others wait meanwhile, but who finds
// it made does not ask.
static void static_variable()
{
	in_thread([] { instance(); });
	in_thread([] {
		std::unique_lock<std::mutex> held(static_lock);

		if (!wrong)
			held.unlock();
		instance();
	});
}

static const kind kinds[] = {
	KIND(latch),
	KIND(completion_of_barrier),
	KIND(semaphore_as_lock),
	KIND(static_variable),
};
KINDS_MAIN(kinds)
