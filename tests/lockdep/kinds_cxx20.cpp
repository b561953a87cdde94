// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Kinds of programs that use what C++20 has for threads, in pairs; see kinds.h.
#include "kinds_cxx20.hpp"

#include <barrier>
#include <condition_variable>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <streambuf>
#include <syncstream>

using namespace std::chrono_literals;

static void a_then_b(std::mutex &a, std::mutex &b)
{
	guard one(a);
	guard two(b);
}

// ---- jthread and stop_token ----

// A jthread is joined where it goes out of scope.
static void scope_of_jthread()
{
	std::mutex m;
	std::atomic<bool> had{ false };
	std::unique_lock<std::mutex> held(m, std::defer_lock);
	std::jthread t([&] {
		{
			guard takes(m);
		}
		had = true;
		first_sleeps();
	});

	while (!had)
		std::this_thread::yield();
	if (wrong) {
		held.lock();
		t = {};
		held.unlock();
	}
}

// A callback of a stop runs where the stop is asked for, with what is held there.
static void stop_callback()
{
	std::stop_source source;
	std::mutex state, callbacks;
	std::stop_callback f(source.get_token(), [&] { guard held(callbacks); });

	in_thread([&] { a_then_b(callbacks, state); });
	in_thread([&] {
		std::unique_lock<std::mutex> held(state);

		if (!wrong)
			held.unlock();
		source.request_stop();
	});
}

// A wait that a stop ends: who asks for it takes a lock before.
static void stopped_wait()
{
	std::mutex state;
	std::condition_variable_any cond;
	std::stop_source source;

	waits_with_lock([&] { source.request_stop(); },
			[&] {
				std::unique_lock<std::mutex> held(state);

				cond.wait(held, source.get_token(), [] { return false; });
			});
}

// ---- orders ----

// What is written to a synchronised stream comes to the buffer below, whose lock it has.
class buffer : public std::streambuf {
	std::mutex &lock;

	int overflow(int c) override
	{
		guard held(lock);
		return c;
	}

	std::streamsize xsputn(const char *, std::streamsize n) override
	{
		guard held(lock);
		return n;
	}

public:
	explicit buffer(std::mutex &m) : lock(m)
	{
	}
};

static void synchronised_stream()
{
	std::mutex m;
	buffer below(m);
	auto writes = [&] {
		std::osyncstream out(&below);

		out << "x\n";
	};

	in_thread(writes);
	in_thread([&] {
		std::unique_lock<std::mutex> held(m);

		if (!wrong)
			held.unlock();
		std::osyncstream empty(&below);
		empty.emit();
	});
}

static void three_together()
{
	static std::mutex a, b, c;

	in_thread([] { std::scoped_lock all(c, a, b); });
	in_thread([] { a_then_b(a, b); });
	in_thread([] { a_then_b(b, c); });
	in_thread([] {
		if (wrong)
			a_then_b(c, a);
		else
			std::scoped_lock two(c, a);
	});
}

// Who wants to write what it reads gives it back, and looks again.
static void shared_upgrade()
{
	static std::shared_mutex data;
	static std::mutex index;

	in_thread([] {
		std::unique_lock<std::shared_mutex> writes(data);
		guard held(index);
	});
	in_thread([] {
		std::shared_lock<std::shared_mutex> reads(data);
		std::unique_lock<std::mutex> held(index);

		reads.unlock();
		if (!wrong)
			held.unlock();
		std::unique_lock<std::shared_mutex> writes(data);
	});
}

static void shared_for_a_while()
{
	static std::shared_timed_mutex data;
	static std::mutex m;

	in_thread([] {
		std::unique_lock<std::shared_timed_mutex> writes(data);
		guard held(m);
	});
	in_thread([] {
		guard held(m);

		if (wrong)
			std::shared_lock<std::shared_timed_mutex> reads(data);
		else
			std::shared_lock<std::shared_timed_mutex> reads(data, 100ms);
	});
}

static void recursive_for_a_while()
{
	static std::recursive_timed_mutex r;
	static std::mutex m;

	in_thread([] {
		std::lock_guard<std::recursive_timed_mutex> one(r);
		guard held(m);
		std::unique_lock<std::recursive_timed_mutex> again(r, 1s);
	});
	in_thread([] {
		std::unique_lock<std::mutex> held(m);

		if (!wrong)
			held.unlock();
		std::lock_guard<std::recursive_timed_mutex> one(r);
	});
}

// ---- waits that are compiled into the program ----

static void atomic_wait()
{
	std::atomic<bool> ready{ false };

	waits_with_lock(
		[&] {
			ready = true;
			ready.notify_one();
		},
		[&] { ready.wait(false); });
}

static void counted_down()
{
	std::counting_semaphore<8> posted(0);

	waits_with_lock([&] { posted.release(2); }, [&] { posted.acquire(); });
}

static void arrival()
{
	std::barrier phase(2);

	waits_with_lock([&] { phase.arrive_and_wait(); }, [&] { phase.arrive_and_wait(); });
}

static const kind kinds[] = {
	KIND(scope_of_jthread),
	KIND(stop_callback),
	KIND(stopped_wait),
	KIND(synchronised_stream),
	KIND(three_together),
	KIND(shared_upgrade),
	KIND(shared_for_a_while),
	KIND(recursive_for_a_while),
	KIND(atomic_wait),
	KIND(counted_down),
	KIND(arrival),
};
KINDS_MAIN(kinds)
