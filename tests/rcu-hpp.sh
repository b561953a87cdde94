#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# anyrcu/rcu.hpp by g++ and clang++: each standard, with and without exceptions; what must not
# compile; and a program that uses liburcu's macros, too.
# usage: rcu-hpp.sh SOURCE_ROOT LIBRARY_DIR
set -eu
root=$1
lib=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
flags="-Wall -Wextra -Wshadow -pedantic -Werror -I$root/include"

cat >"$dir/use.cpp" <<'END'
#define rcu_dereference(p) urcu_dereference(p)
#define rcu_barrier() urcu_memb_barrier()
#define rcu_assign_pointer(p, v) urcu_assign_pointer(p, v)
#include <anyrcu/rcu.hpp>
using anyrcu::rcu_obj_base;
struct node : rcu_obj_base<node> {};
struct twice_a : rcu_obj_base<twice_a> {};
struct twice : twice_a, rcu_obj_base<twice> {};
struct hidden : private rcu_obj_base<hidden> { template <int = 0> void go() { retire(); } };
struct virt : virtual rcu_obj_base<virt> {};
struct stranger : rcu_obj_base<node> {};
struct no_call {};
struct uncallable : rcu_obj_base<uncallable, no_call> {};
struct immovable {
	immovable() = default;
	immovable(immovable &&) = delete;
	void operator()(int *) const {}
};
struct state { int n; void operator()(int *) const {} };
void use(int *p)
{
	USE;
}
END
# refused COMPILER STATEMENT WHAT_IT_SAYS
refused()
{
	if "$1" -std=c++17 $flags "-DUSE=$2" -fsyntax-only "$dir/use.cpp" >"$dir/err" 2>&1 ||
		! grep -q "$3" "$dir/err"; then
		echo "$1 does not refuse \"$2\" by: $3"
		cat "$dir/err"
		failed=1
	fi
}

for compiler in g++ clang++; do
	command -v $compiler >/dev/null || {
		echo "$compiler is not installed: not tried"
		continue
	}
	# C++17 with exceptions is built and run by each build directory.
	$compiler $flags -std=c++20 -fsyntax-only "$root/tests/rcu_hpp.cpp" || failed=1
	$compiler $flags -std=c++2b -O2 -fno-exceptions -fno-rtti "$root/tests/rcu_hpp.cpp" \
		-o "$dir/run" -L"$lib" -lanyrcu -pthread
	LD_LIBRARY_PATH=$lib "$dir/run" || failed=1

	$compiler -std=c++17 $flags "-DUSE=(new node)->retire(); anyrcu::rcu_retire(p)" \
		-fsyntax-only "$dir/use.cpp" || failed=1
	one_base='exactly one base class of type rcu_obj_base'
	refused $compiler '(new twice)->rcu_obj_base<twice>::retire()' "$one_base"
	refused $compiler '(new hidden)->go()' "$one_base"
	refused $compiler '(new virt)->retire()' "$one_base"
	strange='static_cast<rcu_obj_base<node> *>(new stranger)->retire()'
	refused $compiler "$strange; node n; rcu_obj_base<node> b(n)" protected
	refused $compiler '(new uncallable)->retire()' 'must be well-formed'
	refused $compiler 'anyrcu::rcu_retire(p, no_call())' 'must be well-formed'
	refused $compiler 'anyrcu::rcu_retire(p, immovable())' 'immovable\|move constructible'
	refused $compiler 'if (anyrcu::rcu_try_retire(p, state{1})) p = nullptr' \
		'deleter without state'
	refused $compiler 'anyrcu::rcu_domain d' 'private\|protected\|constructor'
	refused $compiler 'anyrcu::rcu_domain d(anyrcu::rcu_default_domain())' 'delete'
	refused $compiler 'anyrcu::rcu_try_retire(p)' 'nodiscard'
done
echo '#include <anyrcu/rcu.hpp>' >"$dir/old.cpp"
! g++ -std=c++14 -I"$root/include" -fsyntax-only "$dir/old.cpp" 2>"$dir/err"
grep -q 'needs C++17' "$dir/err" || { echo "C++14 is not refused"; failed=1; }
exit $failed
