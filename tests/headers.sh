#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Each public header alone, in C and C++, by gcc and clang, without a warning; pointers that are
# plain, atomic and volatile; and what must not compile.
# usage: headers.sh SOURCE_ROOT
set -eu
root=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# check COMPILER STANDARD FILE
check()
{
	"$1" -std="$2" -x "$4" -Wall -Wextra -Wshadow -pedantic -Werror -fsyntax-only \
		-D_GNU_SOURCE -I"$root/include" "$3" >"$dir/err" 2>&1
}

cat >"$dir/pointers" <<'END'
#include <anyrcu/anyrcu.h>
#ifdef __cplusplus
#include <atomic>
#define ATOMIC(type) std::atomic<type>
#else
#define ATOMIC(type) _Atomic(type)
#endif
struct object { int x; struct anyrcu_head head; };
static ATOMIC(struct object *) a;
static struct object *p, *volatile v;
int use(struct object *o);
int use(struct object *o)
{
	anyrcu_assign_pointer(a, o);
	anyrcu_assign_pointer(p, NULL);
	anyrcu_assign_pointer(v, o);
	anyrcu_free(o, head);
	anyrcu_free_sized(o, head, 5);
	return anyrcu_dereference(a)->x + anyrcu_dereference_check(p, 1)->x +
	       anyrcu_dereference_protected(v, 1)->x +
	       (anyrcu_xchg_pointer(a, o) == anyrcu_replace_pointer(v, o, 1)) +
	       !anyrcu_access_pointer(p) +
	       anyrcu_container_of(&o->head, struct object, head)->x;
}
struct item { int x; struct anyrcu_list_head links; struct anyrcu_hlist_node node; };
struct entry { int x; struct anyrcu_hash_node node; };
int find(struct anyrcu_hash *table, int x);
int find(struct anyrcu_hash *table, int x)
{
	struct entry *e;

	anyrcu_hash_for_each_possible(e, table, (uint64_t)x, node)
		if (e->x == x)
			return 1;
	anyrcu_hash_for_each(e, table, node)
		x += e->x;
	return x;
}
int sum(struct anyrcu_list_head *list, struct anyrcu_hlist_head *hlist);
int sum(struct anyrcu_list_head *list, struct anyrcu_hlist_head *hlist)
{
	struct item *i, *then;
	struct anyrcu_hlist_node *n;
	int all = 0;

	anyrcu_list_for_each(i, list, links)
		all += i->x;
	i = anyrcu_list_first_or_null(list, struct item, links);
	anyrcu_list_for_each_continue(i, list, links)
		all += i->x;
	anyrcu_list_for_each_safe(i, then, list, links)
		anyrcu_list_del(&i->links);
	anyrcu_hlist_for_each(i, hlist, node)
		all += i->x;
	anyrcu_hlist_for_each_safe(i, n, hlist, node)
		anyrcu_hlist_del(&i->node);
	return all;
}
END
cat >"$dir/c++-headless" <<'END'
#include <anyrcu/defer.h>
struct unknown;
struct object { int x; };
bool use(unknown *u, object *o, void *v);
bool use(unknown *u, object *o, void *v)
{
	bool (*later)(void *p) = anyrcu_free_headless;

	anyrcu_free_mightsleep(o);
	anyrcu_free_mightsleep_sized(v, 1);
	return anyrcu_free_headless(u) && anyrcu_free_headless(o) && anyrcu_free_headless(v) &&
	       anyrcu_free_headless(nullptr) && anyrcu_free_task_headless(o) &&
	       anyrcu_free_headless_sized(o, sizeof(*o)) && later(v);
}
END

for header in "$root"/include/anyrcu/*.h; do
	# for the kernel: "make kernel" compiles it
	case $header in */linux*.h) continue ;; esac
	printf '#include <anyrcu/%s>\n' "${header##*/}" >"$dir/alone-${header##*/}"
done
# Those for C++ alone.
for header in "$root"/include/anyrcu/*.hpp; do
	printf '#include <anyrcu/%s>\n' "${header##*/}" >"$dir/c++-${header##*/}"
done
# each COMPILER LANGUAGE STANDARDS...
each()
{
	compiler=$1
	language=$2
	shift 2
	command -v "$compiler" >/dev/null || {
		echo "$compiler is not installed: not tried"
		return 0
	}
	for standard; do
		for file in "$dir"/alone-* "$dir/pointers" "$dir/$language"-*; do
			[ -e "$file" ] || continue
			check "$compiler" "$standard" "$file" "$language" ||
				{
					echo "$compiler -std=$standard: ${file##*/}:"
					cat "$dir/err"
					failed=1
				}
		done
	done
}
each gcc c c11 gnu11 gnu17 c2x
each clang c c11 gnu11 gnu17 c2x
each g++ c++ c++17 c++20 c++2b
each clang++ c++ c++17 c++20 c++2b
for compiler in g++ clang++; do
	command -v $compiler >/dev/null || continue
	for call in "anyrcu_free(o, head)" "anyrcu_free_headless(o)" "anyrcu_free_mightsleep(o)" \
		"anyrcu_free_task_headless(o)" "anyrcu_free_headless_sized(o, 8)" \
		"anyrcu_free_mightsleep_sized(o, 8)"; do
		printf '%s\n' '#include <anyrcu/defer.h>' \
			'struct object { anyrcu_head head; ~object() {} };' \
			"void use(object *o) { $call; }" >"$dir/destructor"
		if check $compiler c++17 "$dir/destructor" c++ ||
			! grep -q 'runs no destructor: use anyrcu_call' "$dir/err"; then
			echo "$compiler lets $call skip a destructor"
			failed=1
		fi
	done
done
exit $failed
