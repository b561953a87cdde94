// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What kinds of programs in C++20 have in common; see kinds.h.
#ifndef KINDS_CXX20_HPP
#define KINDS_CXX20_HPP

#include "kinds.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

using guard = std::lock_guard<std::mutex>;

static void in_thread(const std::function<void()> &f)
{
	std::jthread t(f);
}

// "causes", in a thread, what "waits" waits for here. It takes a lock before, which the wrong
// program holds while it waits.
static void waits_with_lock(const std::function<void()> &causes, const std::function<void()> &waits)
{
	std::mutex m;
	std::atomic<bool> had{ false };
	std::jthread t([&] {
		{
			guard held(m);
		}
		had = true;
		first_sleeps();
		causes();
	});

	while (!had)
		std::this_thread::yield();
	std::unique_lock<std::mutex> held(m, std::defer_lock);
	if (wrong)
		held.lock();
	waits();
}

#endif
