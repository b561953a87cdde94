/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A server in C++ whose threads answer by a table that a handler of SIGHUP, and an administrator's
 * thread, replace: anyrcu/rcu.hpp has the interface of C++26's <rcu>.
 */
#include <anyrcu/rcu.hpp>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace
{

std::atomic<long> tables;

struct table : anyrcu::rcu_obj_base<table> {
	std::map<std::string, std::string> address;
	long version;

	explicit table(long v) : address{{"localhost", "127.0.0.1"}}, version(v)
	{
		tables++;
	}
	~table()
	{
		tables--;
	}
};

anyrcu::rcu_ptr<table> current(new table(0));
table *spare; /* made beforehand: a handler cannot call operator new */

void on_hangup(int)
{
	current.exchange(spare)->retire();
}

bool answers(const std::string &name)
{
	std::scoped_lock region(anyrcu::rcu_default_domain());
	auto found = current->address.find(name);

	return found != current->address.end() && found->second == "127.0.0.1";
}

} // namespace

int main()
{
	std::atomic<bool> stop{false};
	std::atomic<long> asked{0}, answered{0};
	std::vector<std::thread> threads;

	for (int i = 0; i < 2; i++)
		threads.emplace_back([&] {
			while (!stop) {
				asked++;
				answered += answers("localhost");
			}
		});
	for (long version = 1; version <= 2000; version++)
		current.replace(std::make_unique<table>(version));
	spare = new table(2001);
	std::signal(SIGHUP, on_hangup);
	std::raise(SIGHUP);
	stop = true;
	for (std::thread &t : threads)
		t.join();
	anyrcu::rcu_barrier();
	std::printf("%s answered, %ld table left, version %ld\n",
		    asked == answered ? "all" : "not all", tables.load(), current->version);
	current.replace();
	anyrcu::rcu_barrier();
}
