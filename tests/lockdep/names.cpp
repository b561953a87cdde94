/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A C++ program that takes two locks in both orders, in functions with names to demangle. */
#include <mutex>
#include <cstdio>
#include <thread>

namespace bank
{
struct account {
	std::mutex lock;
};
static account first, second;

template <class T> __attribute__((noinline)) void transfer(T &from, T &to)
{
	std::lock_guard<std::mutex> a(from.lock), b(to.lock);
}
}

int main()
{
	std::thread([] { bank::transfer(bank::first, bank::second); }).join();
	std::thread([] { bank::transfer(bank::second, bank::first); }).join();
	std::puts("done");
}
