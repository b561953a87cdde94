// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Kinds of programs that use the locks of the C++ library, in pairs; see kinds.h.
#include "kinds.h"

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using guard = std::lock_guard<std::mutex>;

static void in_thread(const std::function<void()> &f)
{
	std::thread(f).join();
}

// ---- orders ----

// std::lock() gives back what it has before it waits, so it goes with any order.
static void lock_together()
{
	static std::mutex a, b;

	in_thread([] {
		guard one(b);
		guard two(a);
	});
	in_thread([] {
		if (wrong) {
			guard one(a);
			guard two(b);
		} else {
			std::scoped_lock both(a, b);
		}
	});
}

struct account {
	std::mutex lock;
	long money = 100;
};

static noinline void transfer(account *from, account *to)
{
	account *first = from, *second = to;

	if (!wrong && std::less<account *>()(second, first))
		std::swap(first, second);
	guard one(first->lock);
	guard two(second->lock);
	from->money--;
	to->money++;
}

static void by_address()
{
	auto a = std::make_unique<account>(), b = std::make_unique<account>();

	in_thread([&] { transfer(a.get(), b.get()); });
	in_thread([&] { transfer(b.get(), a.get()); });
}

struct node {
	std::mutex lock;
	node *next = nullptr, *previous = nullptr;
	int value = 0;
};

static noinline int walk(node *n, node *node::*direction)
{
	std::unique_lock<std::mutex> held(n->lock);
	int sum = n->value;

	while ((n = n->*direction)) {
		std::unique_lock<std::mutex> next(n->lock);

		held = std::move(next);
		sum += n->value;
	}
	return sum;
}

static void hand_over_hand()
{
	std::array<node, 4> nodes;

	for (size_t i = 0; i + 1 < nodes.size(); i++) {
		nodes[i].next = &nodes[i + 1];
		nodes[i + 1].previous = &nodes[i];
	}
	in_thread([&] { walk(&nodes[0], &node::next); });
	in_thread([&] {
		if (wrong)
			walk(&nodes[3], &node::previous);
		else
			walk(&nodes[1], &node::next);
	});
}

struct tree {
	std::mutex lock;
	tree *parent;
	std::vector<std::unique_ptr<tree>> children;
	int count = 0;

	explicit tree(tree *p) : parent(p)
	{
	}

	tree *add()
	{
		guard held(lock);

		children.push_back(std::make_unique<tree>(this));
		return children.back().get();
	}

	int sum()
	{
		guard held(lock);
		int n = count;

		for (auto &c : children)
			n += c->sum();
		return n;
	}

	noinline void touch()
	{
		std::unique_lock<std::mutex> held(lock);

		count++;
		if (!wrong)
			held.unlock();
		if (parent)
			parent->touch();
	}
};

static void tree_order()
{
	tree root(nullptr);
	tree *child = root.add(), *leaf = child->add();

	in_thread([&] { root.sum(); });
	in_thread([&] { leaf->touch(); });
}

static void stripes()
{
	static std::array<std::mutex, 8> stripe;

	auto all = [](auto begin, auto end) {
		for (auto i = begin; i != end; ++i)
			i->lock();
		for (auto i = begin; i != end; ++i)
			i->unlock();
	};
	in_thread([&] { all(stripe.begin(), stripe.end()); });
	in_thread([&] {
		if (wrong)
			all(stripe.rbegin(), stripe.rend());
		else
			all(stripe.begin() + 3, stripe.end());
	});
}

static void back_off()
{
	static std::mutex a, b;

	in_thread([] {
		guard one(a);
		guard two(b);
	});
	in_thread([] {
		for (;;) {
			guard one(b);
			std::unique_lock<std::mutex> two(a, std::defer_lock);

			if (wrong)
				two.lock();
			else if (!two.try_lock())
				continue;
			return;
		}
	});
}

static void timed()
{
	static std::timed_mutex a, b;

	in_thread([] {
		std::lock_guard<std::timed_mutex> one(a);
		std::lock_guard<std::timed_mutex> two(b);
	});
	in_thread([] {
		std::lock_guard<std::timed_mutex> one(b);
		std::unique_lock<std::timed_mutex> two(a, std::defer_lock);

		if (wrong)
			two.lock();
		else if (!two.try_lock_for(100ms))
			return;
	});
}

// Whoever has the recursive one already does not wait for it.
static void recursive()
{
	static std::recursive_mutex r;
	static std::mutex m;

	in_thread([] {
		std::unique_lock<std::recursive_mutex> one(r, std::defer_lock);

		if (!wrong)
			one.lock();
		guard two(m);
		std::lock_guard<std::recursive_mutex> again(r);
	});
	in_thread([] {
		std::lock_guard<std::recursive_mutex> one(r);
		guard two(m);
	});
}

// A reader waits for no reader; two writers would.
static void readers()
{
	static std::shared_mutex a, b;

	in_thread([] {
		std::shared_lock<std::shared_mutex> one(a);

		if (wrong)
			std::unique_lock<std::shared_mutex> two(b);
		else
			std::shared_lock<std::shared_mutex> two(b);
	});
	in_thread([] {
		std::shared_lock<std::shared_mutex> one(b);
		std::unique_lock<std::shared_mutex> two(a);
	});
}

// A gate keeps the others out if one of them writes.
static void shared_gate()
{
	static std::shared_mutex gate;
	static std::mutex a, b;

	in_thread([] {
		std::shared_lock<std::shared_mutex> held(gate);
		guard one(a);
		guard two(b);
	});
	in_thread([] {
		std::unique_lock<std::shared_mutex> writes(gate, std::defer_lock);
		std::shared_lock<std::shared_mutex> reads(gate, std::defer_lock);

		if (wrong)
			reads.lock();
		else
			writes.lock();
		guard one(b);
		guard two(a);
	});
}

// ---- calls ----

struct observed {
	std::mutex lock;
	std::vector<std::function<void()>> observers;

	void notify()
	{
		std::unique_lock<std::mutex> held(lock);
		auto copy = observers;

		if (!wrong)
			held.unlock();
		for (auto &f : copy)
			f();
	}

	void observe(std::function<void()> f)
	{
		guard held(lock);

		observers.push_back(std::move(f));
	}
};

static void observers()
{
	observed subject;
	std::mutex own;

	subject.observe([&] { guard held(own); });
	in_thread([&] {
		guard held(own);

		subject.observe([] {});
	});
	in_thread([&] { subject.notify(); });
}

static void called_once()
{
	static std::once_flag once;
	static std::mutex m;
	auto init = [] { guard held(m); };

	in_thread([&] { std::call_once(once, init); });
	in_thread([&] {
		std::unique_lock<std::mutex> held(m, std::defer_lock);

		if (wrong)
			held.lock();
		std::call_once(once, init);
	});
}

static const kind kinds[] = {
	KIND(lock_together),
	KIND(by_address),
	KIND(hand_over_hand),
	KIND(tree_order),
	KIND(stripes),
	KIND(back_off),
	KIND(timed),
	KIND(recursive),
	KIND(readers),
	KIND(shared_gate),
	KIND(observers),
	KIND(called_once),
};
KINDS_MAIN(kinds)
