/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What anyrcu/rcu.hpp costs beside the C functions, and with object caches: medians of rounds that
 * take turns, in nanoseconds of the process's CPU time for an object or a region.
 *
 * usage: bench_rcu_hpp [ROUNDS]
 */
#include <anyrcu/rcu.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <vector>

namespace
{

struct object : anyrcu::rcu_obj_base<object> {
	char bytes[48];
};

struct plain {
	anyrcu_head head;
	char bytes[48];
};
static_assert(sizeof(object) == 64 && sizeof(plain) == 64, "");

double now()
{
	timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

void reclaim(anyrcu_head *head)
{
	delete reinterpret_cast<plain *>(head);
}

template <class F> double each(int n, F f)
{
	anyrcu_barrier();
	double begin = now();

	for (int i = 0; i < n; i++)
		f();
	anyrcu_barrier();
	return (now() - begin) / n;
}

} // namespace

int main(int argc, char **argv)
{
	const int rounds = argc > 1 ? std::atoi(argv[1]) : 7, n = 1000000, sections = 20000000;
	const char *const names[] = {"C section",
				     "scoped_lock of rcu_domain",
				     "new, delete at once",
				     "new, anyrcu_call()",
				     "new, rcu_obj_base::retire()",
				     "new, rcu_retire()",
				     "rcu_cache: make, retire"};
	std::vector<double> cost[7];
	anyrcu::rcu_cache<plain> cache;

	for (int r = 0; r < rounds; r++) {
		cost[0].push_back(each(sections, [] {
			anyrcu_read_lock();
			anyrcu_read_unlock();
		}));
		cost[1].push_back(each(
			sections, [] { std::scoped_lock region(anyrcu::rcu_default_domain()); }));
		cost[2].push_back(each(n, [] {
			plain *volatile p = new plain;
			p->bytes[0] = 1;
			delete p;
		}));
		cost[3].push_back(each(n, [] {
			plain *p = new plain;
			p->bytes[0] = 1;
			anyrcu_call(&p->head, reclaim);
		}));
		cost[4].push_back(each(n, [] {
			object *p = new object;
			p->bytes[0] = 1;
			p->retire();
		}));
		cost[5].push_back(each(n, [] {
			plain *p = new plain;
			p->bytes[0] = 1;
			anyrcu::rcu_retire(p);
		}));
		cost[6].push_back(each(n, [&] {
			plain *p = cache.make();
			p->bytes[0] = 1;
			cache.retire(p);
		}));
	}
	for (int i = 0; i < 7; i++) {
		std::sort(cost[i].begin(), cost[i].end());
		std::printf("%-30s %7.2f ns (%.2f..%.2f)\n", names[i], cost[i][cost[i].size() / 2],
			    cost[i].front(), cost[i].back());
	}
}
